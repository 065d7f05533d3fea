//! One field of a small document: what stands at a dotted path.

use super::filter::Observer;
use super::navigate::{Navigator, Verdict, Watch};
use super::observe::observe;

/// The values at `path`, names joined by dots, as they stand in `raw`. Arrays on the way are walked
/// through, so there can be several. A document that is not JSON has none.
#[must_use]
pub fn pick(raw: &[u8], path: &str) -> Vec<Box<str>> {
    let names: Vec<&[u8]> = path.split('.').map(str::as_bytes).collect();
    let mut found = Found(Vec::new());
    observe(&Names(&names), &Some(0), raw, &mut found);
    found.0
}

/// How many of the names led here; `None` beside the way.
struct Names<'a>(&'a [&'a [u8]]);

impl Navigator for Names<'_> {
    type State = Option<usize>;

    fn root(&self) -> Option<usize> {
        Some(0)
    }

    fn member(&self, parent: &Option<usize>, name: &[u8]) -> Option<usize> {
        let reached = (*parent)?;
        (self.0.get(reached) == Some(&name)).then_some(reached + 1)
    }

    fn element(&self, parent: &Option<usize>, _index: u64) -> Option<usize> {
        // Behind the last name, an array is a value like any other.
        parent.filter(|reached| *reached < self.0.len())
    }

    fn verdict(&self, state: &Option<usize>) -> Verdict {
        let slots = u64::from(*state == Some(self.0.len()));
        Verdict { watch: Watch { slots, ..Watch::default() }, ..Verdict::KEEP }
    }

    fn is_inert(&self, _state: &Option<usize>) -> bool {
        false
    }
}

struct Found(Vec<Box<str>>);

impl Observer for Found {
    fn watched(&mut self, _slots: u64, raw: &[u8]) {
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
        let found = pick(raw.as_bytes(), path);
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
        check(deal, "stage2", &["null"]);
        check(deal, "email", &[]);
        check(deal, "stage.x", &[]);
        check("[{\"a\":1}]", "a", &["1"]);
        check("{\"a\":", "a", &[]);
        check("", "a", &[]);
    }
}
