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
    meet(one.segments(), other.segments(), walks)
}

fn meet(one: &[Segment], other: &[Segment], walks: bool) -> bool {
    let (Some((first, one_rest)), Some((second, other_rest))) =
        (one.split_first(), other.split_first())
    else {
        return one.is_empty() && other.is_empty();
    };
    let both_step = overlap(first, second) && meet(one_rest, other_rest, walks);
    // A descendant step may pass any step of the other; a dotted path passes steps into arrays.
    let skip_second = first.descendant || walks && steps_into_array(second);
    let skip_first = second.descendant || walks && steps_into_array(first);
    both_step
        || skip_second && meet(one, other_rest, walks)
        || skip_first && meet(one_rest, other, walks)
}

/// Whether `path`, relative to the answer, reaches into `records` or holds them.
pub(super) fn touches_records(path: &FieldPath, records: &FieldPath) -> bool {
    is_prefix_of_either(path.segments(), records.segments())
}

fn is_prefix_of_either(path: &[Segment], records: &[Segment]) -> bool {
    let (Some((first, path_rest)), Some((second, records_rest))) =
        (path.split_first(), records.split_first())
    else {
        return true;
    };
    first.descendant
        || second.descendant
        || overlap(first, second) && is_prefix_of_either(path_rest, records_rest)
        || steps_into_array(second) && is_prefix_of_either(path, records_rest)
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
