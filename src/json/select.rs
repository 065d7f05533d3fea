//! What a path selects in a small document.

use std::sync::Arc;

use super::automaton::{Automaton, Found, Groups, Judge, Pattern, Ruling};
use super::filter::Observer;
use super::navigate::{Navigator, Verdict, Watch};
use super::observe::observe;
use super::path::FieldPath;
use super::text::unescape;

/// The values at `path`, as they stand in `raw`, in their order. A document that is not JSON has
/// none; nor has a path that could only be decided over a held record.
#[must_use]
pub fn select(raw: &[u8], path: &FieldPath) -> Vec<Box<str>> {
    Selection::new(path).map(|selection| selection.of(raw)).unwrap_or_default()
}

/// A path made ready to select in many documents.
#[derive(Debug, Clone)]
pub struct Selection(Arc<Automaton<Selected>>);

impl Selection {
    /// `None` where the path could only be decided over a held record.
    #[must_use]
    pub fn new(path: &FieldPath) -> Option<Self> {
        if path.needs_whole_record() {
            return None;
        }
        let automaton = Automaton::compile(vec![(Pattern::new(path), 0)], Selected).ok()?;
        Some(Self(Arc::new(automaton)))
    }

    /// The values in `raw`, as they stand there. A document that is not JSON has none.
    #[must_use]
    pub fn of(&self, raw: &[u8]) -> Vec<Box<str>> {
        let mut values = Values(Vec::new());
        observe(&self.0, &self.0.root(), raw, &mut values);
        values.0
    }

    /// The one id of a record: a string that is not empty, or a whole number as it was written.
    #[must_use]
    pub fn id_in(&self, record: &[u8]) -> Option<String> {
        let found = self.of(record);
        let [id] = found.as_slice() else { return None };
        if let Some(inner) = id.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            let id = String::from_utf8(unescape(inner.as_bytes()).into_owned()).ok()?;
            return (!id.is_empty()).then_some(id);
        }
        id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.as_ref().to_owned())
    }
}

#[derive(Debug)]
struct Selected;

impl Judge for Selected {
    type Context = ();

    fn outset(&self) {}

    fn judge(&self, (): &(), found: &Found) -> Ruling<()> {
        let slots = u128::from(!found.accepted.is_empty());
        let watch = Watch { slots, ..Watch::default() };
        let verdict = Verdict { watch, ..Verdict::KEEP };
        Ruling { context: (), verdict, live_groups: Groups::ALL }
    }
}

struct Values(Vec<Box<str>>);

impl Observer for Values {
    fn watched(&mut self, _slots: u128, raw: &[u8]) {
        if let Ok(text) = std::str::from_utf8(raw) {
            self.0.push(text.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, path: &str, expect: &[&str]) {
        let found = select(raw.as_bytes(), &FieldPath::parse(path).unwrap());
        assert_eq!(found.iter().map(|text| &**text).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn the_id_of_a_record() {
        let id = Selection::new(&FieldPath::parse("id").unwrap()).unwrap();
        for (record, expect) in [
            (r#"{"id":42}"#, Some("42")),
            (r#"{"a":{"id":1},"id":"l-\u0037"}"#, Some("l-7")),
            (r#"{"id":""}"#, None),
            (r#"{"id":null}"#, None),
            (r#"{"id":1.5}"#, None),
            (r#"{"id":-1}"#, None),
            (r#"{"id":[1]}"#, None),
            (r#"{"id":1,"id":2}"#, None),
            ("{}", None),
        ] {
            assert_eq!(id.id_in(record.as_bytes()).as_deref(), expect, "{record}");
        }
    }

    #[test]
    fn what_stands_at_a_path() {
        let deal = r#"{"stage":"won","amount":1.10,"owner":{"email":"a"},"tags":["x","y"],
            "contacts":[{"email":1},{"email":2},[{"email":3}]],"st\u0061ge2":null}"#;
        check(deal, "stage", &["\"won\""]);
        check(deal, "amount", &["1.10"]);
        check(deal, "owner.email", &["\"a\""]);
        check(deal, "owner", &[r#"{"email":"a"}"#]);
        check(deal, "tags", &[r#"["x","y"]"#]);
        check(deal, "contacts.email", &["1", "2", "3"]);
        check(deal, "$.contacts[*].email", &["1", "2"]);
        check(deal, "$..email", &["\"a\"", "1", "2", "3"]);
        check(deal, "stage2", &["null"]);
        check(deal, "email", &[]);
        check(deal, "stage.x", &[]);
        check("{\"a\":", "a", &[]);
        check("", "a", &[]);
        check("7", "$", &["7"]);
    }
}
