//! What a path selects in a small document.

use std::sync::Arc;

use super::automaton::{Automaton, Found, Groups, Judge, Pattern, Ruling};
use super::filter::Observer;
use super::navigate::{Navigator, Verdict, Watch};
use super::observe::observe;
use super::path::FieldPath;

/// The values at `path`, as they stand in `raw`, in their order. A document that is not JSON has
/// none; nor has a path that could only be decided over a held record.
#[must_use]
pub fn select(raw: &[u8], path: &FieldPath) -> Vec<Box<str>> {
    if path.needs_whole_record() {
        return Vec::new();
    }
    let Ok(automaton) = Automaton::compile(vec![(Pattern::new(path), 0)], Selected) else {
        return Vec::new();
    };
    let automaton = Arc::new(automaton);
    let mut values = Values(Vec::new());
    observe(&automaton, &automaton.root(), raw, &mut values);
    values.0
}

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
