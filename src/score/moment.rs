//! Dates as CRMs write them, in milliseconds since 1970.
//!
//! What is read without being declared: RFC 3339, `2026-11-01T10:00:00` and `2026-11-01 10:00:00`
//! (with or without seconds, a fraction, an offset), `2026-11-01`, and seconds or milliseconds
//! since 1970. Forms whose order of day and month is a custom (`11/01/2026`) are refused unless
//! declared: half of the dates would be wrong, and nobody would notice.

use super::value::Raw;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(super) type Milliseconds = i64;

pub(super) const DAY: Milliseconds = 86_400_000;

/// From here on a number counts milliseconds: as seconds it would be the year 5138, and as
/// milliseconds anything below is before March 1973.
const LEAST_MILLISECONDS: f64 = 1e11;

/// The end of the year 9999.
const LATEST: Milliseconds = 253_402_300_799_999;

/// Where the clock stands of whoever wrote a date without an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Zone {
    minutes_east: i16,
}

impl Zone {
    /// Greenwich.
    pub const UTC: Self = Self { minutes_east: 0 };

    /// `Z`, `UTC`, `+03:00` or `-0530`, at most 14 hours away.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "UTC" {
            return Some(Self::UTC);
        }
        let mut cursor = Cursor(text.as_bytes());
        let zone = cursor.offset()?;
        cursor.0.is_empty().then_some(zone)
    }

    fn milliseconds(self) -> Milliseconds {
        i64::from(self.minutes_east) * 60_000
    }
}

/// A form of dates that must be declared. Each may have ` 10:00` or ` 10:00:00` behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DateForm {
    /// `31.12.2026`
    DayDotMonth,
    /// `31/12/2026`
    DaySlashMonth,
    /// `12/31/2026`
    MonthSlashDay,
}

impl DateForm {
    /// Every form with the word that policies use for it.
    pub const ALL: [(&'static str, Self); 3] = [
        ("DD.MM.YYYY", Self::DayDotMonth),
        ("DD/MM/YYYY", Self::DaySlashMonth),
        ("MM/DD/YYYY", Self::MonthSlashDay),
    ];

    fn separator(self) -> u8 {
        match self {
            Self::DayDotMonth => b'.',
            Self::DaySlashMonth | Self::MonthSlashDay => b'/',
        }
    }
}

/// The moment that a value stands for; `None` where it stands for none.
pub(super) fn read(value: &Raw<'_>, zone: Zone, forms: &[DateForm]) -> Option<Milliseconds> {
    match value {
        Raw::Number(digits) => since_1970(digits),
        Raw::Text(text) => {
            let text = text.trim_ascii();
            // Nine digits are 1973; fewer are a year or a compact date, and nobody knows which.
            if text.len() >= 9 && text.iter().all(u8::is_ascii_digit) {
                return since_1970(std::str::from_utf8(text).ok()?);
            }
            let mut cursor = Cursor(text);
            let moment = cursor.moment(zone, forms)?;
            (cursor.0.is_empty() && moment <= LATEST).then_some(moment)
        }
        Raw::Null | Raw::Bool(_) | Raw::Container { .. } => None,
    }
}

fn since_1970(digits: &str) -> Option<Milliseconds> {
    let number: f64 = digits.parse().ok()?;
    let milliseconds =
        if number.abs() >= LEAST_MILLISECONDS { number } else { (number * 1000.0).floor() };
    #[expect(clippy::cast_precision_loss, reason = "a bound; a double holds it exactly")]
    let latest = LATEST as f64;
    #[expect(clippy::cast_possible_truncation, reason = "within the bounds just checked")]
    (1.0..=latest).contains(&milliseconds).then_some(milliseconds as i64)
}

/// What is still to be read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn moment(&mut self, zone: Zone, forms: &[DateForm]) -> Option<Milliseconds> {
        let day = self.day(forms)?;
        let midnight = day * DAY;
        if self.0.is_empty() {
            return Some(midnight - zone.milliseconds());
        }
        let [b'T' | b't' | b' ', rest @ ..] = self.0 else { return None };
        self.0 = rest;
        let time = self.time()?;
        let zone = if self.0.is_empty() { zone } else { self.offset()? };
        Some(midnight + time - zone.milliseconds())
    }

    fn day(&mut self, forms: &[DateForm]) -> Option<i64> {
        if self.0.get(4) == Some(&b'-') {
            let year = self.number(4)?;
            self.skip(b'-')?;
            let month = self.number(2)?;
            self.skip(b'-')?;
            return day_number(year, month, self.number(2)?);
        }
        let separator = *self.0.get(2)?;
        let form = forms.iter().find(|form| form.separator() == separator)?;
        let first = self.number(2)?;
        self.skip(separator)?;
        let second = self.number(2)?;
        self.skip(separator)?;
        let year = self.number(4)?;
        match form {
            DateForm::DayDotMonth | DateForm::DaySlashMonth => day_number(year, second, first),
            DateForm::MonthSlashDay => day_number(year, first, second),
        }
    }

    /// `10:00`, `10:00:00`, `10:00:00.123`. A leap second is taken for the second before it.
    fn time(&mut self) -> Option<Milliseconds> {
        let hour = self.number(2)?;
        self.skip(b':')?;
        let minute = self.number(2)?;
        let mut second = 0;
        let mut milliseconds = 0;
        if self.skip(b':').is_some() {
            second = self.number(2)?;
            if self.skip(b'.').is_some() {
                milliseconds = self.fraction()?;
            }
        }
        let second = if second == 60 { 59 } else { second };
        let is_time = hour < 24 && minute < 60 && second < 60;
        is_time.then_some(((hour * 60 + minute) * 60 + second) * 1000 + milliseconds)
    }

    /// The digits of a fraction, cut after the third.
    fn fraction(&mut self) -> Option<Milliseconds> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let place_values = [100, 10, 1].into_iter();
        let value = fraction
            .iter()
            .zip(place_values)
            .map(|(digit, place)| i64::from(*digit - b'0') * place);
        (!fraction.is_empty()).then(|| value.sum())
    }

    /// `Z`, `+03:00` or `+0300`.
    fn offset(&mut self) -> Option<Zone> {
        let (sign, rest) = self.0.split_first()?;
        self.0 = rest;
        let sign = match sign {
            b'Z' | b'z' => return Some(Zone::UTC),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.number(2)?;
        let _ = self.skip(b':');
        let minutes = self.number(2)?;
        let away = hours * 60 + minutes;
        let is_offset = minutes < 60 && away <= 14 * 60;
        let minutes_east = i16::try_from(sign * away).ok()?;
        is_offset.then_some(Zone { minutes_east })
    }

    /// A number of exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let mut value = 0;
        for digit in number {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
        }
        self.0 = rest;
        Some(value)
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }
}

/// Days since 1970-01-01 of a day that exists, from 1900 on.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if year < 1900 || !(1..=days).contains(&day) {
        return None;
    }
    // Years that begin in March end with the day that comes and goes.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    const DECLARED: [DateForm; 2] = [DateForm::DayDotMonth, DateForm::MonthSlashDay];

    #[track_caller]
    fn check_with(text: &str, zone: &str, forms: &[DateForm], expect: Option<&str>) {
        let zone = Zone::parse(zone).unwrap();
        let read = read(&Raw::read(text.as_bytes()), zone, forms);
        let expect = expect.map(|expect| {
            let moment = OffsetDateTime::parse(expect, &Rfc3339).unwrap();
            i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap()
        });
        assert_eq!(read, expect, "{text}");
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        check_with(text, "Z", &[], Some(expect));
    }

    #[track_caller]
    fn check_refused(text: &str) {
        check_with(text, "Z", &[], None);
    }

    #[test]
    fn forms_that_need_no_word() {
        check("\"2026-11-01T10:00:00Z\"", "2026-11-01T10:00:00Z");
        check("\"2026-11-01t10:00:00z\"", "2026-11-01T10:00:00Z");
        check("\"2026-11-01T10:00:00.123456Z\"", "2026-11-01T10:00:00.123Z");
        check("\"2026-11-01T10:00:00.5+03:00\"", "2026-11-01T07:00:00.5Z");
        check("\"2026-11-01T10:00:00.000+0000\"", "2026-11-01T10:00:00Z");
        check("\"2026-11-01 10:00:00-05:30\"", "2026-11-01T15:30:00Z");
        check("\"2026-11-01T23:59:60Z\"", "2026-11-01T23:59:59Z");
        check("\"2026-11-01T23:59:60\"", "2026-11-01T23:59:59Z");
        check("\"2026-11-01\"", "2026-11-01T00:00:00Z");
        check("\" 2026-11-01 \"", "2026-11-01T00:00:00Z");
        check("\"2024-02-29\"", "2024-02-29T00:00:00Z");
        check("\"2026-11-01 10:00:00\"", "2026-11-01T10:00:00Z");
        check("\"2026-11-01 10:00\"", "2026-11-01T10:00:00Z");
        check("1793527200", "2026-11-01T10:00:00Z");
        check("1793527200.9", "2026-11-01T10:00:00.9Z");
        check("1.7935272e9", "2026-11-01T10:00:00Z");
        check("1793527200000", "2026-11-01T10:00:00Z");
        check("\"1793527200\"", "2026-11-01T10:00:00Z");
        check("\"1793527200123\"", "2026-11-01T10:00:00.123Z");
    }

    #[test]
    fn the_zone_is_for_dates_without_one() {
        check_with("\"2026-11-01 10:00:00\"", "+03:00", &[], Some("2026-11-01T07:00:00Z"));
        check_with("\"2026-11-01\"", "-0800", &[], Some("2026-11-01T08:00:00Z"));
        check_with("\"2026-11-01T10:00:00Z\"", "+03:00", &[], Some("2026-11-01T10:00:00Z"));
        check_with("1793527200", "+03:00", &[], Some("2026-11-01T10:00:00Z"));
        for bad in ["", "Europe/Berlin", "+3", "+15:00", "+03:60", "+03:00x", "03:00"] {
            assert_eq!(Zone::parse(bad), None, "{bad}");
        }
        assert_eq!(Zone::parse("UTC"), Zone::parse("+00:00"));
    }

    #[test]
    fn forms_that_must_be_declared() {
        let declared = |text: &str, expect| check_with(text, "Z", &DECLARED, expect);
        declared("\"01.11.2026\"", Some("2026-11-01T00:00:00Z"));
        declared("\"01.11.2026 10:30\"", Some("2026-11-01T10:30:00Z"));
        declared("\"11/01/2026\"", Some("2026-11-01T00:00:00Z"));
        declared("\"13/01/2026\"", None);
        check_with("\"13/01/2026\"", "Z", &[DateForm::DaySlashMonth], Some("2026-01-13T00:00:00Z"));
        check_refused("\"01.11.2026\"");
        check_refused("\"11/01/2026\"");
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "null",
            "true",
            "[]",
            "{\"at\":1}",
            "\"\"",
            "0",
            "-1793527200",
            "1e400",
            "1e18",
            "\"yesterday\"",
            "\"20261101\"",
            "\"2026\"",
            "\"2026-13-01\"",
            "\"2026-02-29\"",
            "\"2026-00-10\"",
            "\"2026-11-31\"",
            "\"1899-12-31\"",
            "\"0000-00-00\"",
            "\"2026-11-01T\"",
            "\"2026-11-01T10\"",
            "\"2026-11-01T24:00:00Z\"",
            "\"2026-11-01T10:60:00Z\"",
            "\"2026-11-01T10:00:61Z\"",
            "\"2026-11-01T10:00:00.Z\"",
            "\"2026-11-01T10:00:00+25:00\"",
            "\"2026-11-01T10:00:00 Z\"",
            "\"2026-11-01x\"",
            "\"2026-11-0\u{661}\"",
        ] {
            check_refused(text);
        }
    }

    proptest! {
        #[test]
        fn every_rfc_3339_date_reads_as_the_library_reads_it(
            seconds in -2_208_988_800_i64..253_402_214_400, minutes in -14_i32 * 60..=14 * 60
        ) {
            let offset = time::UtcOffset::from_whole_seconds(minutes * 60).unwrap();
            let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap().to_offset(offset);
            prop_assume!(moment.year() >= 1900);
            let text = format!("\"{}\"", moment.format(&Rfc3339).unwrap());
            prop_assert_eq!(read(&Raw::read(text.as_bytes()), Zone::UTC, &[]), Some(seconds * 1000));
        }

        #[test]
        fn no_text_is_too_strange(text: String) {
            let _ = read(&Raw::Text(text.as_bytes().into()), Zone::UTC, &DECLARED);
            let _ = read(&Raw::Number(&text), Zone::UTC, &DECLARED);
        }
    }
}
