//! A score in response headers.
//!
//! Values are printable ASCII whatever the record holds: numbers, words of ours, and ids that are
//! percent-encoded or left out.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};
use time::OffsetDateTime;

use super::rendering::Rendering;

/// Longest id in a list header, encoded. Longer ones are left out.
const LONGEST_ID: usize = 64;

/// Longest list header, in bytes: many servers refuse heads of 8 KiB.
const LONGEST_LIST: usize = 4096;

/// The headers that tell of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScoreHeader {
    /// `72`
    Total,
    /// `WARM`
    Quality,
    /// `schedule a follow-up within 24 hours`
    Recommendation,
    /// `status=20,activity=14,...`
    Factors,
    /// `v2`
    Version,
    /// `2026-11-22T10:00:00Z`
    CalculatedAt,
    /// Seconds since the score was calculated, where it is the last known one.
    Age,
    /// `17=72;WARM, 18=11;COLD`
    List,
    /// `true` where the list leaves leads out.
    Truncated,
}

impl ScoreHeader {
    /// Every header: the word that policies use for it, and its name unless they say otherwise.
    pub const ALL: [(&'static str, &'static str, Self); 9] = [
        ("score", "x-lead-score", Self::Total),
        ("quality", "x-lead-score-quality", Self::Quality),
        ("recommendation", "x-lead-score-recommendation", Self::Recommendation),
        ("factors", "x-lead-score-factors", Self::Factors),
        ("version", "x-lead-score-version", Self::Version),
        ("calculated_at", "x-lead-score-calculated-at", Self::CalculatedAt),
        ("age", "x-lead-score-age", Self::Age),
        ("scores", "x-lead-scores", Self::List),
        ("truncated", "x-lead-scores-truncated", Self::Truncated),
    ];
}

/// What each header is called. No two share a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderNames([HeaderName; 9]);

impl Default for HeaderNames {
    fn default() -> Self {
        Self(ScoreHeader::ALL.map(|(_, name, _)| HeaderName::from_static(name)))
    }
}

impl HeaderNames {
    /// The name of a header.
    #[must_use]
    pub fn of(&self, header: ScoreHeader) -> &HeaderName {
        let [total, quality, recommendation, factors, version, calculated_at, age, list, truncated] =
            &self.0;
        match header {
            ScoreHeader::Total => total,
            ScoreHeader::Quality => quality,
            ScoreHeader::Recommendation => recommendation,
            ScoreHeader::Factors => factors,
            ScoreHeader::Version => version,
            ScoreHeader::CalculatedAt => calculated_at,
            ScoreHeader::Age => age,
            ScoreHeader::List => list,
            ScoreHeader::Truncated => truncated,
        }
    }

    /// Calls a header something else; `false`, and nothing changes, where another has the name.
    pub fn rename(&mut self, header: ScoreHeader, name: HeaderName) -> bool {
        let at = header as usize;
        let is_taken =
            self.0.iter().enumerate().any(|(other, taken)| other != at && *taken == name);
        if let (false, Some(place)) = (is_taken, self.0.get_mut(at)) {
            *place = name;
        }
        !is_taken
    }

    /// Every name, to strip what a client or the CRM sends under it.
    pub fn all(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter()
    }
}

impl Rendering<'_> {
    /// Hands out the headers of one lead.
    pub fn headers(&self, names: &HeaderNames, mut set: impl FnMut(&HeaderName, HeaderValue)) {
        if let Some(total) = self.total() {
            set(names.of(ScoreHeader::Total), HeaderValue::from(u16::from(total)));
        }
        let word = HeaderValue::from_static;
        set(names.of(ScoreHeader::Quality), word(self.quality().word()));
        set(names.of(ScoreHeader::Recommendation), word(self.recommendation()));
        let mut factors = String::with_capacity(96);
        for line in self.lines() {
            let between = if factors.is_empty() { "" } else { "," };
            // Writing to a `String` cannot fail.
            let _ = write!(factors, "{between}{}={}", line.name.short_word(), line.contribution);
        }
        if !factors.is_empty()
            && let Ok(factors) = HeaderValue::try_from(factors)
        {
            set(names.of(ScoreHeader::Factors), factors);
        }
        set(names.of(ScoreHeader::Version), word(self.version()));
        if let Ok(moment) = HeaderValue::try_from(self.moment()) {
            set(names.of(ScoreHeader::CalculatedAt), moment);
        }
    }

    /// The value of the header that marks a score as the last known one.
    #[must_use]
    pub fn age(&self, now: OffsetDateTime) -> HeaderValue {
        let seconds = (now - self.calculated_at()).whole_seconds();
        HeaderValue::from(u64::try_from(seconds).unwrap_or(0))
    }
}

/// A moment in UTC, cut to the second. By hand, for the general formatter takes longer than the
/// score.
pub(super) fn rfc_3339(moment: OffsetDateTime) -> String {
    let moment = moment.to_offset(time::UtcOffset::UTC);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.to_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

/// The scores of a list, one behind the other, up to a limit.
#[derive(Debug)]
pub struct ListHeader {
    text: String,
    left: usize,
    is_truncated: bool,
}

impl ListHeader {
    /// For at most `limit` leads.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { text: String::new(), left: limit, is_truncated: false }
    }

    /// Adds a lead. `id` is the JSON text of its id as the caller sees it; a lead without one that
    /// can stand in a header is left out.
    pub fn push(&mut self, id: Option<&[u8]>, rendering: &Rendering<'_>) {
        let id = id.and_then(header_safe);
        let room = LONGEST_LIST.checked_sub(self.text.len() + LONGEST_ID + ", =100;WARM".len());
        let (Some(id), Some(_), Some(left)) = (id, room, self.left.checked_sub(1)) else {
            self.is_truncated = true;
            return;
        };
        self.left = left;
        let between = if self.text.is_empty() { "" } else { ", " };
        let quality = rendering.quality().word();
        // Writing to a `String` cannot fail.
        let _ = match rendering.total() {
            Some(total) => write!(self.text, "{between}{id}={total};{quality}"),
            None => write!(self.text, "{between}{id}={quality}"),
        };
    }

    /// Notes a lead that there is no score for.
    pub fn leave_out(&mut self) {
        self.is_truncated = true;
    }

    /// The headers; none for an empty list.
    pub fn headers(self, names: &HeaderNames, mut set: impl FnMut(&HeaderName, HeaderValue)) {
        if !self.text.is_empty()
            && let Ok(list) = HeaderValue::try_from(self.text)
        {
            set(names.of(ScoreHeader::List), list);
        }
        if self.is_truncated {
            set(names.of(ScoreHeader::Truncated), HeaderValue::from_static("true"));
        }
    }
}

/// The id as it stands in a header: digits, or the characters of a string, percent-encoded but for
/// `A-Z a-z 0-9 - . _ ~`.
fn header_safe(id: &[u8]) -> Option<String> {
    let raw = super::value::Raw::read(id);
    let bytes = match &raw {
        super::value::Raw::Number(digits) => digits.as_bytes(),
        super::value::Raw::Text(text) => text,
        _ => return None,
    };
    let mut safe = String::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                safe.push(char::from(*byte));
            }
            other => {
                // Writing to a `String` cannot fail.
                let _ = write!(safe, "%{other:02X}");
            }
        }
        if safe.len() > LONGEST_ID {
            return None;
        }
    }
    (!safe.is_empty()).then_some(safe)
}
