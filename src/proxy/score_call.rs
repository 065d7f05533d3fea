//! The scoring API: which request asks for what, and how answers are written.
//!
//! Pure. What a caller may be told is decided elsewhere; here a rendering becomes text.

use http::Method;
use serde_json::Value;
use serde_json::value::RawValue;

use super::governance::Governance;
use crate::event::detect::id_of;
use crate::json::text::quote;
use crate::policy::CanonicalPath;
use crate::score::Rendering;
use crate::score_history::Cause;

/// Most leads of one question.
pub(super) const MOST_LEADS: usize = 100;

/// Scores of the past in one answer, unless asked for fewer, and the most.
const USUAL_PAST: usize = 100;
const MOST_PAST: usize = 1000;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The score of a lead.
    Score(String),
    /// The scores of several.
    Bulk,
    /// How a score came there.
    History(String),
    /// How a company counts, changed.
    Configure(String),
    /// A refresh, begun or looked at.
    Refresh,
}

impl Wanted {
    /// What a path asks for, with and without the slash at its end.
    pub(super) fn of(path: &CanonicalPath) -> Option<Self> {
        let path = path.as_str().strip_prefix("/api/v1/")?;
        let mut parts = path.strip_suffix('/').unwrap_or(path).split('/');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
        match parts {
            [Some("leads"), Some("score-bulk"), None, None, _] => Some(Self::Bulk),
            [Some("leads"), Some(id), Some("score"), None, _] => decoded(id).map(Self::Score),
            [Some("leads"), Some(id), Some("score"), Some("history"), None] => {
                decoded(id).map(Self::History)
            }
            [Some("companies"), Some(id), Some("scoring-config"), None, _] => {
                decoded(id).map(Self::Configure)
            }
            [Some("scores"), Some("refresh"), None, None, _] => Some(Self::Refresh),
            _ => None,
        }
    }

    /// The template of its path, for logs and metrics.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Self::Score(_) => "/api/v1/leads/{id}/score/",
            Self::Bulk => "/api/v1/leads/score-bulk/",
            Self::History(_) => "/api/v1/leads/{id}/score/history/",
            Self::Configure(_) => "/api/v1/companies/{id}/scoring-config/",
            Self::Refresh => "/api/v1/scores/refresh/",
        }
    }

    /// Whether a method asks for it.
    pub(super) fn takes(&self, method: &Method) -> bool {
        match self {
            Self::Score(_) | Self::History(_) => *method == Method::GET,
            Self::Bulk => *method == Method::POST,
            Self::Configure(_) => *method == Method::PUT,
            Self::Refresh => [Method::GET, Method::POST].contains(method),
        }
    }
}

fn decoded(segment: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

/// What a query says; a parameter that is not known is a fault, as is one that stands twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) resource: Option<String>,
    pub(super) company: Option<String>,
    pub(super) roles: Vec<String>,
    pub(super) limit: Option<usize>,
}

impl Parameters {
    pub(super) fn read(query: Option<&str>) -> Option<Self> {
        let mut found = Self::default();
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for pair in pairs {
            let (name, value) = pair.split_once('=')?;
            let value = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
            let place = match name {
                "resource" => &mut found.resource,
                "company" => &mut found.company,
                "role" => {
                    found.roles.push(value.into_owned());
                    continue;
                }
                "limit" if found.limit.is_none() => {
                    found.limit = Some(value.parse().ok().filter(|limit| *limit > 0)?);
                    continue;
                }
                _ => return None,
            };
            if place.replace(value.into_owned()).is_some() {
                return None;
            }
        }
        found.roles.sort();
        found.roles.dedup();
        Some(found)
    }

    /// How many scores of the past are wanted.
    pub(super) fn most_past(&self) -> usize {
        self.limit.unwrap_or(USUAL_PAST).min(MOST_PAST)
    }

    /// The kind of lead: the one that is named, the only one, or the one that is called so.
    pub(super) fn resource<'a>(&'a self, governance: &'a Governance) -> Option<&'a str> {
        let leads = &governance.set().scoring.as_ref()?.leads;
        if let Some(named) = &self.resource {
            return leads.get_key_value(named).map(|(name, _)| name.as_str());
        }
        let mut names = leads.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => Some(only),
            _ => leads.get_key_value("lead").map(|(name, _)| name.as_str()),
        }
    }
}

/// An id as a question writes it, to be written so in the answer.
#[derive(Debug)]
pub(super) struct AskedId {
    pub(super) id: String,
    written: Box<RawValue>,
}

/// The ids in `{"lead_ids": [...]}`, each once; `None` where that is not what stands there, or where
/// they are too many.
pub(super) fn asked_ids(body: &[u8]) -> Option<Vec<AskedId>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        lead_ids: Vec<Box<RawValue>>,
    }
    let asked: Asked = serde_json::from_slice(body).ok()?;
    if asked.lead_ids.len() > MOST_LEADS {
        return None;
    }
    let mut ids: Vec<AskedId> = Vec::new();
    for written in asked.lead_ids {
        let id = id_of(written.get())?;
        if !ids.iter().any(|known| known.id == id) {
            ids.push(AskedId { id, written });
        }
    }
    Some(ids)
}

/// The kind of refresh in `{"kind": "all"}`; without a body the old scores.
pub(super) fn asks_for_all(body: &[u8]) -> Option<bool> {
    if body.trim_ascii().is_empty() {
        return Some(false);
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    match body.as_object()?.get("kind")?.as_str()? {
        "all" => Some(true),
        "stale" => Some(false),
        _ => None,
    }
}

/// Text that answers grow in.
#[derive(Debug, Default)]
pub(super) struct Text(Vec<u8>);

impl Text {
    /// `{"lead_id":42,...}`, the score behind the id; `more` are members of our own.
    pub(super) fn score(&mut self, id: &str, rendering: &Rendering<'_>, more: &str) {
        self.open(id);
        self.0.push(b',');
        rendering.write_members(&mut self.0);
        self.0.extend_from_slice(more.as_bytes());
        self.0.push(b'}');
    }

    /// A member of a list: a score, or why there is none.
    pub(super) fn result(&mut self, asked: &AskedId, score: Result<(&Rendering<'_>, &str), &str>) {
        self.0.extend_from_slice(b"{\"lead_id\":");
        self.0.extend_from_slice(asked.written.get().as_bytes());
        self.0.push(b',');
        match score {
            Ok((rendering, more)) => {
                rendering.write_members(&mut self.0);
                self.0.extend_from_slice(more.as_bytes());
            }
            Err(reason) => {
                self.0.extend_from_slice(format!("\"error\":\"{reason}\"").as_bytes());
            }
        }
        self.0.push(b'}');
    }

    /// `{"lead_id":42,"results":[...]}`: scores of the past, the newest first. Of those that look the
    /// same here, one behind the other, only the oldest is told: what changed between them is not for
    /// these eyes. Nor is why they were calculated, unless all of the score is.
    pub(super) fn history(&mut self, id: &str, past: &[(Rendering<'_>, Cause)]) {
        self.open(id);
        self.0.extend_from_slice(b",\"results\":[");
        let mut is_first = true;
        for (at, (rendering, cause)) in past.iter().enumerate() {
            let older = past.get(at + 1);
            let tells_all = rendering.is_whole();
            if !tells_all && older.is_some_and(|(older, _)| older.looks_like(rendering)) {
                continue;
            }
            self.0.extend_from_slice(if is_first { b"{" } else { b",{" });
            is_first = false;
            rendering.write_members(&mut self.0);
            if tells_all {
                self.0.extend_from_slice(format!(",\"cause\":\"{}\"", cause.word()).as_bytes());
            }
            self.0.push(b'}');
        }
        self.0.extend_from_slice(b"]}");
    }

    /// `{"results":[...]}` around what `each` writes.
    pub(super) fn begin_results(&mut self) {
        self.0.extend_from_slice(b"{\"results\":[");
    }

    pub(super) fn next_result(&mut self) {
        if !self.0.ends_with(b"[") {
            self.0.push(b',');
        }
    }

    pub(super) fn end_results(&mut self) {
        self.0.extend_from_slice(b"]}");
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// `{"lead_id":42`, as a number where it is one.
    fn open(&mut self, id: &str) {
        self.0.extend_from_slice(b"{\"lead_id\":");
        let is_number = id.parse::<u64>().is_ok_and(|number| number.to_string() == id);
        if is_number { self.0.extend_from_slice(id.as_bytes()) } else { quote(id, &mut self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let of = |path: &str| Wanted::of(&CanonicalPath::parse(path).unwrap());
        let id = || "17".to_owned();
        for (path, wanted) in [
            ("/api/v1/leads/17/score/", Some(Wanted::Score(id()))),
            ("/api/v1/leads/17/score", Some(Wanted::Score(id()))),
            ("/api/v1/leads/a%20b/score/", Some(Wanted::Score("a b".into()))),
            ("/api/v1/leads/17/score/history/", Some(Wanted::History(id()))),
            ("/api/v1/leads/score-bulk/", Some(Wanted::Bulk)),
            ("/api/v1/companies/17/scoring-config/", Some(Wanted::Configure(id()))),
            ("/api/v1/scores/refresh/", Some(Wanted::Refresh)),
            ("/api/v1/leads/17/", None),
            ("/api/v1/leads/17/scores/", None),
            ("/api/v1/leads/17/score/history/1/", None),
            ("/api/v1/leads/17/score/past/", None),
            ("/api/v1/leads/score-bulk/x/", None),
            ("/x/api/v1/leads/17/score/", None),
            ("/api/v1/Leads/17/score/", None),
        ] {
            assert_eq!(of(path), wanted, "{path}");
        }
    }

    #[test]
    fn queries() {
        let read = |query: &str| Parameters::read(Some(query));
        assert_eq!(Parameters::read(None), Some(Parameters::default()));
        assert_eq!(read("resource=lead&limit=7").unwrap().most_past(), 7);
        assert_eq!(read("limit=100000").unwrap().most_past(), MOST_PAST);
        assert_eq!(read("role=b&role=a&role=b").unwrap().roles, ["a", "b"]);
        assert_eq!(read("company=a%26b").unwrap().company.as_deref(), Some("a&b"));
        for bad in
            ["x=1", "resource", "company=a&company=b", "limit=0", "limit=x", "limit=1&limit=2"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_of_a_question() {
        let ids = |body: &str| {
            asked_ids(body.as_bytes()).map(|ids| {
                ids.iter()
                    .map(|id| (id.id.clone(), id.written.get().to_owned()))
                    .collect::<Vec<_>>()
            })
        };
        let both = |id: &str, written: &str| (id.to_owned(), written.to_owned());
        let found = ids(r#"{"lead_ids": [1, "2", 1, "a/b"]}"#).unwrap();
        assert_eq!(found, [both("1", "1"), both("2", "\"2\""), both("a/b", "\"a/b\"")]);
        assert_eq!(ids(r#"{"lead_ids":[]}"#).unwrap(), []);
        let many = |count: usize| format!("{{\"lead_ids\":{:?}}}", (0..count).collect::<Vec<_>>());
        assert!(ids(&many(MOST_LEADS)).is_some());
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"lead_ids":1}"#,
            r#"{"lead_ids":[null]}"#,
            r#"{"lead_ids":[1.5]}"#,
            r#"{"lead_ids":[""]}"#,
            r#"{"lead_ids":[[1]]}"#,
            r#"{"lead_ids":[1],"x":1}"#,
            &many(MOST_LEADS + 1),
        ] {
            assert_eq!(ids(bad), None, "{bad}");
        }
    }
}
