//! The write guard: names a violation exactly where a tree has a member that may not be written.

use std::sync::LazyLock;

use fieldgate::guard::{Unreadable, violations};
use fieldgate::policy::Mode;
use fieldgate::policy::plan::{Plan, Purpose};

use super::document::Document;
use super::plans::{path, plan};

const NOT_WRITABLE: [(&str, Mode); 3] =
    [("secret", Mode::Hidden), ("ssn", Mode::Mask), ("id", Mode::View)];

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let entry = |(name, mode): &(&str, Mode)| (path(&format!("$..{name}")), *mode);
    let entries = NOT_WRITABLE.iter().map(entry).collect();
    plan("$", Mode::Edit, entries, Purpose::Write).expect("the plan is simple")
});

/// The request body.
pub fn write_guard(body: &[u8]) {
    let found = violations(&PLAN.automaton, body);
    let Some(document) = Document::read(body) else {
        assert!(found.is_err(), "a body that is no JSON is checked");
        return;
    };
    let objects = document.names();
    if objects.iter().any(|names| has_twice(names)) {
        assert_eq!(found, Err(Unreadable::RepeatedName));
        return;
    }
    let is_forbidden = |name: &str| NOT_WRITABLE.iter().any(|(forbidden, _)| *forbidden == name);
    let found = found.expect("a document without a fault is checked");
    let has_forbidden = objects.iter().flatten().any(|name| is_forbidden(name));
    assert_eq!(!found.is_empty(), has_forbidden, "{found:?}");
    for place in found {
        assert!(is_forbidden(place.rsplit('.').next().unwrap_or_default()), "{place}");
    }
}

fn has_twice(names: &[&str]) -> bool {
    names.iter().enumerate().any(|(at, name)| names.iter().skip(at + 1).any(|other| other == name))
}
