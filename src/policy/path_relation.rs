//! What one field path says of another: whether they are the same field, whether they can meet.
//!
//! Pure. Used for findings only; what a path matches in a body is decided by its automaton.

use crate::json::path::{FieldPath, Segment, Selector};

/// Whether two spellings name the same field, as `email` and `$.email` do.
pub(super) fn is_same_field(one: &FieldPath, other: &FieldPath) -> bool {
    if one.needs_whole_record() || other.needs_whole_record() {
        // The steps do not show what a filter says; its text does.
        return one.as_str() == other.as_str();
    }
    one.segments() == other.segments()
}

/// The first of `known` that names the same field as `new`.
pub(super) fn first_of_same_field<'k, T>(
    known: &'k [T],
    new: &T,
    path: impl Fn(&T) -> &FieldPath,
) -> Option<&'k T> {
    known.iter().find(|known| is_same_field(path(known), path(new)))
}

/// Whether a value that one path means can be meant by the other as well. Errs towards `true`.
pub(super) fn can_meet(one: &FieldPath, other: &FieldPath) -> bool {
    let walks = one.through_arrays() || other.through_arrays();
    // A descendant step may pass any step of the other; a dotted path passes steps into arrays.
    let may_pass = |by: Option<&Segment>, passed: &Segment| {
        by.is_some_and(|by| by.descendant) || walks && steps_into_array(passed)
    };
    align(one.segments(), other.segments(), &|one, other| match (one, other) {
        (None, None) => Step { ends_well: true, ..Step::default() },
        (Some(first), Some(second)) => Step {
            ends_well: false,
            both: overlap(first, second),
            first: may_pass(Some(second), first),
            second: may_pass(Some(first), second),
        },
        (Some(first), None) => Step { first: may_pass(None, first), ..Step::default() },
        (None, Some(second)) => Step { second: may_pass(None, second), ..Step::default() },
    })
}

/// Whether `path`, relative to the answer, reaches into `records` or holds them.
pub(super) fn touches_records(path: &FieldPath, records: &FieldPath) -> bool {
    align(path.segments(), records.segments(), &|path, records| match (path, records) {
        (Some(first), Some(second)) => Step {
            ends_well: first.descendant || second.descendant,
            both: overlap(first, second),
            first: false,
            second: steps_into_array(second),
        },
        (None, _) | (_, None) => Step { ends_well: true, ..Step::default() },
    })
}

/// What two paths may do next, seen from a step of each (`None` behind the last one).
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "any of the moves may be open, in any combination"
)]
struct Step {
    /// The question is answered with yes.
    ends_well: bool,
    /// Both take their step.
    both: bool,
    /// The first path steps alone.
    first: bool,
    /// The second path steps alone.
    second: bool,
}

/// Whether some order of steps ends well. Filled in from the ends, row by row: to try every order
/// would take for ever on paths like `$..a..a..a..a`.
fn align(
    one: &[Segment],
    other: &[Segment],
    step: &dyn Fn(Option<&Segment>, Option<&Segment>) -> Step,
) -> bool {
    let mut below = vec![false; other.len() + 2];
    for from_one in (0..=one.len()).rev() {
        let mut row = vec![false; other.len() + 2];
        for from_other in (0..=other.len()).rev() {
            let step = step(one.get(from_one), other.get(from_other));
            let at = |row: &[bool], place: usize| row.get(place).copied().unwrap_or(false);
            let ends_well = step.ends_well
                || step.both && at(&below, from_other + 1)
                || step.first && at(&below, from_other)
                || step.second && at(&row, from_other + 1);
            if let Some(cell) = row.get_mut(from_other) {
                *cell = ends_well;
            }
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

fn steps_into_array(segment: &Segment) -> bool {
    segment.selectors.iter().all(|selector| match selector {
        Selector::Wildcard | Selector::Index(_) | Selector::Slice { .. } | Selector::Held => true,
        Selector::Name(_) => false,
    })
}

fn overlap(one: &Segment, other: &Segment) -> bool {
    one.selectors
        .iter()
        .any(|one| other.selectors.iter().any(|other| selectors_overlap(one, other)))
}

fn selectors_overlap(one: &Selector, other: &Selector) -> bool {
    match (one, other) {
        (Selector::Name(one), Selector::Name(other)) => one == other,
        (Selector::Index(one), Selector::Index(other)) => one == other,
        (Selector::Name(_), Selector::Index(_) | Selector::Slice { .. })
        | (Selector::Index(_) | Selector::Slice { .. }, Selector::Name(_)) => false,
        (Selector::Wildcard | Selector::Held, _)
        | (_, Selector::Wildcard | Selector::Held)
        | (Selector::Slice { .. }, Selector::Slice { .. } | Selector::Index(_))
        | (Selector::Index(_), Selector::Slice { .. }) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FieldPath {
        FieldPath::parse(text).unwrap()
    }

    #[track_caller]
    fn check_same(one: &str, other: &str, expect: bool) {
        assert_eq!(is_same_field(&path(one), &path(other)), expect);
    }

    #[test]
    fn two_spellings_of_one_field() {
        check_same("email", "$.email", true);
        check_same("email", "$['email']", true);
        check_same("owner.email", "$.owner[\"email\"]", true);
        check_same("email", "$..email", false);
        check_same("$.tags[0]", "$.tags[1]", false);
        check_same("$[?@.a==1]", "$[?@.a==2]", false);
        check_same("$[?@.a==1]", "$[?@.a==1]", true);
    }

    #[track_caller]
    fn check_meet(one: &str, other: &str, expect: bool) {
        assert_eq!(can_meet(&path(one), &path(other)), expect, "{one} {other}");
        assert_eq!(can_meet(&path(other), &path(one)), expect, "{other} {one}");
    }

    #[test]
    fn paths_that_can_meet() {
        check_meet("email", "$.email", true);
        check_meet("email", "$..email", true);
        check_meet("owner.email", "$..email", true);
        check_meet("owner.email", "email", false);
        check_meet("$..owner.email", "$..email", true);
        check_meet("emails.value", "$.emails[*].value", true);
        check_meet("$.emails.value", "$.emails[*].value", false);
        check_meet("$..email", "$..phone", false);
        check_meet("$.tags[0]", "$.tags[1:3]", true);
        check_meet("$.a.*", "a.b", true);
        check_meet("owner", "owner.email", false);
        check_meet("emails", "$.emails[*]", true);
        check_meet("$.emails", "$.emails[*]", false);
        check_meet("$..contacts[*].name", "$..owner.name", true);
        check_meet("$..contacts.name", "$..owner.name", false);
    }

    #[test]
    fn long_paths_take_no_long_time() {
        let long = |last: &str| format!("${}..{last}", "..a".repeat(80));
        check_meet(&long("b"), &long("c"), false);
        check_meet(&long("b"), &long("b"), true);
        let records = format!("${}.x", "[*]".repeat(80));
        check_touches(&vec!["a"; 120].join("."), &records, false);
    }

    #[track_caller]
    fn check_touches(envelope: &str, records: &str, expect: bool) {
        assert_eq!(touches_records(&path(envelope), &path(records)), expect);
    }

    #[test]
    fn envelopes_and_records() {
        check_touches("count", "$.results[*]", false);
        check_touches("meta.count", "$.meta.items[*]", false);
        check_touches("results", "$.results[*]", true);
        check_touches("meta", "$.meta.items[*]", true);
        check_touches("results.email", "$.results[*]", true);
        check_touches("count", "$.*", true);
        check_touches("count", "$[*]", true);
        check_touches("count", "$", true);
        check_touches("count", "$..items[*]", true);
    }
}
