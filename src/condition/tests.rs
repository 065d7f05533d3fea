//! What conditions mean, as tables.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::path::FieldPath;

/// Two records as JSON objects; a path walks objects only.
struct Records {
    old: Option<serde_json::Value>,
    new: Option<serde_json::Value>,
    texts: BTreeMap<(Side, String), String>,
}

impl Records {
    fn new(old: Option<serde_json::Value>, new: Option<serde_json::Value>) -> Self {
        Self { old, new, texts: BTreeMap::new() }
    }

    /// One field `x` with the exact text of its value on each side.
    fn of_texts(old: Option<&str>, new: Option<&str>) -> Self {
        let sides = [(Side::Old, old), (Side::New, new)];
        let texts = sides
            .into_iter()
            .filter_map(|(side, text)| Some(((side, "x".to_owned()), text?.to_owned())));
        let some = Some(json!({}));
        Self { old: some.clone(), new: some, texts: texts.collect() }
    }
}

fn own(value: &serde_json::Value) -> Value<'static> {
    Value::parse(&value.to_string()).unwrap().into_owned()
}

impl Facts for Records {
    fn look_up(&self, side: Side, path: &FieldPath) -> Fact<'_> {
        if let Some(text) = self.texts.get(&(side, path.as_str().to_owned())) {
            return if text == "?" { Fact::Unknown } else { Fact::from_json(text) };
        }
        let record = match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        };
        let Some(record) = record else { return Fact::Unknown };
        let found = path.as_str().split('.').try_fold(record, |value, name| value.get(name));
        found.map_or(Fact::Missing, |value| Fact::Known(own(value)))
    }
}

fn compiled(written: &serde_json::Value) -> Condition {
    Condition::from_json(written).unwrap()
}

/// `operator` and the text of its value, held against the text of a field's value.
#[track_caller]
fn check(field: &str, operator: &str, value: &str, expect: bool) {
    let value = Value::parse(value).unwrap().into_owned();
    let operator = Operator::from_word(operator).unwrap();
    let leaf = Leaf::new(Field::parse("x").unwrap(), operator, Some(value)).unwrap();
    let facts = Records::of_texts(None, Some(field));
    assert_eq!(Condition::from(leaf.clone()).evaluate(&facts), expect.into(), "{field}: {leaf}");
}

#[test]
fn equality() {
    check("1.10", "eq", "1.1", true);
    check("9007199254740993", "eq", "9007199254740992", false);
    check("9007199254740993", "eq", "9007199254740993", true);
    check("1e400", "eq", "10e399", true);
    check("1e400", "eq", "1e401", false);
    check("0.1", "eq", "0.1000000000000000055511151231257827", false);
    check(r#""won""#, "eq", r#""won""#, true);
    check(r#""won""#, "eq", r#""Won""#, false);
    check(r#""\u00e9""#, "eq", r#""é""#, true);
    check(r#""é""#, "eq", r#""e\u0301""#, false);
    check("true", "eq", "true", true);
    check("true", "eq", "false", false);
    check("null", "eq", "null", true);
    check("[1,2.0]", "eq", "[1.0,2]", true);
    check("[1,2]", "eq", "[2,1]", false);
    check(r#"{"a":1,"b":2}"#, "eq", r#"{"b":2,"a":1.0}"#, true);
    check("{}", "eq", "{}", true);
}

#[test]
fn inequality() {
    check(r#""won""#, "ne", r#""lost""#, true);
    check(r#""won""#, "ne", r#""won""#, false);
    check("1", "ne", "1.0", false);
    check("1", "ne", "2", true);
    check("null", "ne", r#""won""#, true);
    check(r#""won""#, "ne", "null", true);
    check("0", "ne", "null", true);
    check("null", "ne", "null", false);
    check("[1]", "ne", "[2]", true);
}

#[test]
fn kinds_that_do_not_compare_are_false() {
    let kinds = ["true", "1", r#""1""#, "[1]", r#"{"a":1}"#];
    for field in kinds {
        for value in kinds {
            let differ = field != value;
            check(field, "eq", value, !differ);
            check(field, "ne", value, false);
            for operator in ["gt", "gte", "lt", "lte"] {
                if matches!(value, "true" | "1" | r#""1""#) && differ {
                    check(field, operator, value, false);
                }
            }
        }
    }
    // `null` is equal to `null` alone, and before nothing.
    for value in kinds {
        check("null", "eq", value, false);
        check(value, "eq", "null", false);
    }
    for operator in ["gt", "gte", "lt", "lte"] {
        check("null", operator, "0", false);
        check("null", operator, r#""""#, false);
        check("null", operator, "false", false);
    }
}

#[test]
fn order() {
    check("2", "gt", "1", true);
    check("1", "gt", "1.0", false);
    check("1", "gte", "1.0", true);
    check("10", "gt", "9", true);
    check(r#""10""#, "gt", r#""9""#, false);
    check("9007199254740993", "gt", "9007199254740992", true);
    check("1e400", "gt", "1e399", true);
    check("-1e400", "lt", "0", true);
    check("0.1", "lt", "0.10000000000000000001", true);
    check("2000000", "gte", "1000000", true);
    check(r#""b""#, "gt", r#""a""#, true);
    check(r#""B""#, "lt", r#""a""#, true);
    check(r#""a""#, "lt", r#""aa""#, true);
    check(r#""z""#, "lt", r#""é""#, true);
    // By scalar values, not by UTF-16 units, where the emoji would come first.
    check(r#""\uffee""#, "lt", r#""😀""#, true);
    check(r#""2026-01-31""#, "lt", r#""2026-02-01""#, true);
    check("true", "gt", "false", true);
    check("false", "gte", "true", false);
}

#[test]
fn lists_and_parts() {
    check(r#""won""#, "in", r#"["lost","won"]"#, true);
    check(r#""open""#, "in", r#"["lost","won"]"#, false);
    check("2.0", "in", "[1,2]", true);
    check(r#""2""#, "in", "[1,2]", false);
    check("null", "in", "[null]", true);
    check("1", "in", "[]", false);
    check("[1]", "in", "[[1],[2]]", true);
    check("[1]", "in", "[1,2]", false);
    check(r#""negotiation""#, "contains", r#""tia""#, true);
    check(r#""negotiation""#, "contains", r#""TIA""#, false);
    check(r#""negotiation""#, "contains", r#""""#, true);
    check(r#"["vip","eu"]"#, "contains", r#""vip""#, true);
    check(r#"["vip","eu"]"#, "contains", r#""vi""#, false);
    check("[1.0]", "contains", "1", true);
    check("[null]", "contains", "null", true);
    check("15", "contains", "5", false);
    check(r#""15""#, "contains", "5", false);
    check(r#"{"vip":1}"#, "contains", r#""vip""#, false);
    check(r#""Dr. No""#, "startswith", r#""Dr.""#, true);
    check(r#""Dr. No""#, "endswith", r#""No""#, true);
    check(r#""Dr. No""#, "endswith", r#""no""#, false);
    check(r#"["Dr."]"#, "startswith", r#""Dr.""#, false);
    check("12", "startswith", r#""1""#, false);
}

/// One value of every kind, and every operator that looks for a value in another, all against all.
#[test]
fn every_kind_in_every_kind() {
    const KINDS: [&str; 6] = ["null", "true", "1", r#""a""#, r#"["a"]"#, r#"{"a":1}"#];
    for (row, field) in KINDS.iter().enumerate() {
        for (column, value) in KINDS.iter().enumerate() {
            // A value is in a list of itself alone.
            check(field, "in", &format!("[{value}]"), row == column);
            // Of these, the text and the list hold the text.
            let holds = [r#""a""#, r#"["a"]"#].contains(field) && *value == r#""a""#;
            check(field, "contains", value, holds);
            for operator in [Operator::StartsWith, Operator::EndsWith] {
                let parsed = Value::parse(value).unwrap().into_owned();
                let leaf = Leaf::new(Field::parse("x").unwrap(), operator, Some(parsed));
                if value.starts_with('"') {
                    check(field, operator.word(), value, *field == r#""a""#);
                } else {
                    assert_eq!(leaf, Err(Wrong::NeedsText(operator)), "{operator} {value}");
                }
            }
            let alone = Value::parse(value).unwrap().into_owned();
            let leaf = Leaf::new(Field::parse("x").unwrap(), Operator::In, Some(alone));
            assert_eq!(leaf.is_err(), !value.starts_with('['), "in {value}");
        }
    }
}

#[track_caller]
fn check_sides(operator: &str, old: Option<&str>, new: Option<&str>, expect: Truth) {
    let condition = compiled(&json!({ "field": "x", "operator": operator }));
    let seen = condition.evaluate(&Records::of_texts(old, new));
    assert_eq!(seen, expect, "{old:?} {new:?}");
}

#[test]
fn what_has_changed() {
    use Truth::{False, True, Unknown};
    let some = Some;
    check_sides("changed", some(r#""a""#), some(r#""b""#), True);
    check_sides("changed", some(r#""a""#), some(r#""a""#), False);
    check_sides("changed", some("1.0"), some("1.00"), False);
    check_sides("changed", some("1"), some(r#""1""#), True);
    check_sides("changed", some("null"), some("1"), True);
    check_sides("changed", some("1"), some("null"), True);
    check_sides("changed", some("null"), some("null"), False);
    check_sides("changed", some(r#"{"a":1,"b":2}"#), some(r#"{"b":2,"a":1}"#), False);
    check_sides("changed", None, some("1"), True);
    check_sides("changed", None, some("null"), False);
    check_sides("changed", None, None, False);
    check_sides("changed", some("1"), None, Unknown);
    check_sides("changed", some("?"), some("1"), Unknown);
    check_sides("changed", some("1"), some("?"), Unknown);
    check_sides("changed", some("?"), None, Unknown);
}

#[test]
fn what_exists() {
    use Truth::{False, True, Unknown};
    check_sides("exists", None, Some("1"), True);
    check_sides("exists", None, Some(r#""""#), True);
    check_sides("exists", None, Some("null"), False);
    check_sides("exists", Some("1"), None, False);
    check_sides("exists", Some("1"), Some("?"), Unknown);
    let not = compiled(&json!({ "field": "x", "operator": "exists", "value": false }));
    for (new, expect) in [(None, True), (Some("null"), True), (Some("0"), False)] {
        assert_eq!(not.evaluate(&Records::of_texts(None, new)), expect);
    }
}

#[test]
fn what_is_missing_or_not_known() {
    let facts = Records::of_texts(None, Some("?"));
    for operator in Operator::ALL {
        let value = match operator {
            Operator::In => json!([1]),
            Operator::Exists => json!(true),
            _ => json!("a"),
        };
        let mut written = json!({ "operator": operator.word(), "value": value });
        if operator == Operator::Changed {
            written.as_object_mut().unwrap().remove("value");
        }
        written["field"] = json!("x");
        assert_eq!(compiled(&written).evaluate(&facts), Truth::Unknown, "{operator}");
        written["field"] = json!("missing");
        assert_eq!(compiled(&written).evaluate(&facts), Truth::False, "{operator}");
    }
}

#[test]
fn fields_walk_objects_and_end_at_lists() {
    let new = json!({ "owner": { "name": "Ann", "teams": [{ "id": 1 }] }, "old": { "x": 2 } });
    let facts = Records::new(Some(json!({ "owner": { "name": "Bob" } })), Some(new));
    let table = [
        (json!({ "field": "owner.name", "operator": "eq", "value": "Ann" }), Truth::True),
        (json!({ "field": "new.owner.name", "operator": "eq", "value": "Ann" }), Truth::True),
        (json!({ "field": "old.owner.name", "operator": "eq", "value": "Bob" }), Truth::True),
        (json!({ "field": "owner.teams.id", "operator": "exists" }), Truth::False),
        (json!({ "field": "owner.name.first", "operator": "exists" }), Truth::False),
        (json!({ "field": "new.old.x", "operator": "eq", "value": 2 }), Truth::True),
        (json!({ "field": "owner.name", "operator": "changed" }), Truth::True),
        (json!({ "field": "new.owner.name", "operator": "changed" }), Truth::True),
    ];
    for (written, expect) in table {
        assert_eq!(compiled(&written).evaluate(&facts), expect, "{written}");
    }
}

#[test]
fn three_truths_joined() {
    use Truth::{False, True, Unknown};
    let leaf = |name: &str| json!({ "field": name, "operator": "eq", "value": 1 });
    let (yes, no, open) = (leaf("x"), leaf("y"), leaf("z"));
    let mut facts = Records::of_texts(None, Some("1"));
    facts.texts.insert((Side::New, "y".to_owned()), "2".to_owned());
    facts.texts.insert((Side::New, "z".to_owned()), "?".to_owned());
    let table = [
        (json!({}), True),
        (json!(null), True),
        (json!({ "and": [] }), True),
        (json!({ "not": {} }), False),
        (json!({ "and": [yes, yes] }), True),
        (json!({ "and": [yes, no] }), False),
        (json!({ "and": [open, no] }), False),
        (json!({ "and": [yes, open] }), Unknown),
        (json!({ "or": [no, yes] }), True),
        (json!({ "or": [open, yes] }), True),
        (json!({ "or": [no, open] }), Unknown),
        (json!({ "or": [no, no] }), False),
        (json!({ "not": open }), Unknown),
        (json!({ "not": yes }), False),
        (json!({ "or": [{ "and": [no, open] }, { "not": { "or": [no, { "not": yes }] } }] }), True),
    ];
    for (written, expect) in table {
        let condition = compiled(&written);
        assert_eq!(condition.evaluate(&facts), expect, "{written}");
        assert_eq!(condition.explain(&facts).truth, expect, "{written}");
    }
}

#[track_caller]
fn check_explained(written: &serde_json::Value, expect: &[&str]) {
    let facts =
        Records::new(Some(json!({ "stage": "new" })), Some(json!({ "stage": "won", "n": 3 })));
    let condition = compiled(written);
    let explained = condition.explain(&facts);
    let decided: Vec<String> = explained.decided_by.iter().map(ToString::to_string).collect();
    assert_eq!(decided, expect);
}

#[test]
fn the_leaf_that_decided() {
    let changed = json!({ "field": "stage", "operator": "changed" });
    let won = json!({ "field": "stage", "operator": "eq", "value": "won" });
    let lost = json!({ "field": "stage", "operator": "eq", "value": "lost" });
    let big = json!({ "field": "n", "operator": "gt", "value": "2" });
    let none = json!({ "field": "reason", "operator": "startswith", "value": "no" });
    let was = json!({ "field": "old.stage", "operator": "in", "value": ["a", 1.5] });
    check_explained(
        &json!({ "and": [changed, won] }),
        &["`stage changed` is true", r#"`new.stage eq "won"` is true"#],
    );
    check_explained(
        &json!({ "and": [changed, lost, big] }),
        &[r#"`new.stage eq "lost"` is false"#],
    );
    check_explained(&json!({ "or": [lost, won, big] }), &[r#"`new.stage eq "won"` is true"#]);
    check_explained(
        &json!({ "or": [lost, { "not": { "or": [won] } }] }),
        &[r#"`new.stage eq "lost"` is false"#, r#"`new.stage eq "won"` is true"#],
    );
    check_explained(&big, &[r#"`new.n gt "2"` is false: the field has a value of another kind"#]);
    check_explained(
        &none,
        &[r#"`new.reason startswith "no"` is false: the record has no such field"#],
    );
    check_explained(&was, &[r#"`old.stage in ["a",1.5]` is false"#]);
    check_explained(&json!({}), &[]);
    let unseen = Records::new(None, Some(json!({ "stage": "won" })));
    let condition = compiled(&json!({ "and": [won, changed] }));
    let explained = condition.explain(&unseen);
    assert_eq!(explained.truth, Truth::Unknown);
    let decided: Vec<String> = explained.decided_by.iter().map(ToString::to_string).collect();
    assert_eq!(decided, ["`stage changed` is not known: nobody saw the value"]);
}

#[test]
fn it_knows_what_it_reads() {
    let condition = compiled(&json!({ "and": [
        { "field": "stage", "operator": "changed" },
        { "or": [
            { "field": "new.owner.id", "operator": "exists" },
            { "not": { "field": "old.amount", "operator": "gt", "value": 1 } },
            { "field": "stage", "operator": "eq", "value": "won" },
        ] },
    ] }));
    let reads: Vec<String> =
        condition.reads().map(|(side, path)| format!("{}.{path}", side.word())).collect();
    assert_eq!(reads, ["old.stage", "new.stage", "new.owner.id", "old.amount", "new.stage"]);
    let paths: Vec<&str> = condition.paths().into_iter().map(FieldPath::as_str).collect();
    assert_eq!(paths, ["stage", "owner.id", "amount"]);
    assert!(compiled(&json!({})).is_empty() && !condition.is_empty());
}

#[track_caller]
fn check_faults(written: &serde_json::Value, expect: &[&str]) {
    let faults = Condition::from_json(written).unwrap_err();
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, expect, "{written}");
}

#[test]
fn faults_of_json() {
    check_faults(&json!([]), &["a condition is a mapping, at ``"]);
    check_faults(&json!("stage"), &["a condition is a mapping, at ``"]);
    check_faults(&json!({ "field": "a" }), &["`operator` is missing, at ``"]);
    check_faults(
        &json!({ "operator": "is", "value": 1, "a/b": 2 }),
        &[
            "unknown key `a/b`, at `/a~1b`",
            "`field` is missing, at ``",
            "unknown operator `is`, at `/operator`",
        ],
    );
    check_faults(
        &json!({ "and": [], "or": [] }),
        &["a condition is one of `field`, `and`, `or` and `not`, at ``"],
    );
    check_faults(
        &json!({ "not": {}, "field": "a" }),
        &["a condition is one of `field`, `and`, `or` and `not`, at ``"],
    );
    check_faults(&json!({ "or": [] }), &["an `or` without conditions is never true, at `/or`"]);
    check_faults(&json!({ "and": {} }), &["`and` takes a list of conditions, at `/and`"]);
    check_faults(
        &json!({ "and": [{ "field": "a..b", "operator": "exists" }, { "not": 1 }] }),
        &[
            "`a..b` is no dotted path: a path name is empty, at `/and/0/field`",
            "a condition is a mapping, at `/and/1/not`",
        ],
    );
    let leaf = |operator: &str, value: serde_json::Value| json!({ "field": "a", "operator": operator, "value": value });
    check_faults(&leaf("in", json!("a")), &["`in` needs a list as its `value`, at ``"]);
    check_faults(
        &leaf("startswith", json!(5)),
        &["`startswith` needs a string as its `value`, at ``"],
    );
    check_faults(
        &leaf("endswith", json!(null)),
        &["`endswith` needs a string as its `value`, at ``"],
    );
    check_faults(
        &leaf("gt", json!(null)),
        &["`gt` needs a number, a string or a boolean as its `value`, at ``"],
    );
    check_faults(
        &leaf("exists", json!("yes")),
        &["`exists` takes `true` or `false` as its `value`, at ``"],
    );
    check_faults(&leaf("changed", json!(null)), &["`changed` takes no `value`, at ``"]);
    check_faults(
        &json!({ "field": "old.a", "operator": "changed" }),
        &["`changed` looks at the old and the new record, at ``"],
    );
    check_faults(&json!({ "field": "a", "operator": "eq" }), &["`eq` needs a `value`, at ``"]);
}

#[test]
fn depth_has_an_end() {
    let leaf = json!({ "field": "x", "operator": "exists" });
    let nested = |depth: usize| (1..depth).fold(leaf.clone(), |inner, _| json!({ "not": inner }));
    assert!(Condition::from_json(&nested(MAX_DEPTH)).is_ok());
    let faults = Condition::from_json(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(faults[0].wrong, Wrong::TooDeep);
    assert_eq!(Condition::from_json(&nested(500)).unwrap_err()[0].wrong, Wrong::TooDeep);
    let mut condition = compiled(&leaf);
    for _ in 1..MAX_DEPTH {
        condition = Condition::all(vec![condition]).unwrap();
    }
    assert_eq!(Condition::any(vec![condition]), Err(Wrong::TooDeep));
}

/// Small values, so that they meet.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        (0..3).prop_map(|value| json!(value)),
        "[ab]{0,2}".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| json!(items)),
            prop::collection::btree_map("[ab]", inner, 0..2).prop_map(|members| json!(members)),
        ]
    })
}

/// A field of few, on either side.
fn any_leaf() -> impl Strategy<Value = Condition> {
    let field = prop::sample::select(vec!["a", "old.a", "b", "old.b", "a.b"]);
    let operator = prop::sample::select(Operator::ALL.to_vec());
    (field, operator, prop::option::of(any_value())).prop_filter_map(
        "a comparison that makes sense",
        |(field, operator, value)| {
            let value = value.as_ref().map(own);
            Leaf::new(Field::parse(field).unwrap(), operator, value).ok().map(Condition::from)
        },
    )
}

fn any_condition() -> impl Strategy<Value = Condition> {
    any_leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Condition::negate(part).unwrap()),
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|parts| Condition::all(parts).unwrap()),
            prop::collection::vec(inner, 0..3).prop_map(|parts| Condition::any(parts).unwrap()),
        ]
    })
}

fn any_records() -> impl Strategy<Value = Records> {
    let record = || {
        let members = prop::collection::btree_map("[ab]", any_value(), 0..3);
        prop::option::weighted(0.8, members.prop_map(|members| json!(members)))
    };
    (record(), record()).prop_map(|(old, new)| Records::new(old, new))
}

impl std::fmt::Debug for Records {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} {:?}", self.old, self.new)
    }
}

proptest! {
    #[test]
    fn not_not_is_nothing(condition in any_condition(), facts in any_records()) {
        let plain = condition.evaluate(&facts);
        let twice = Condition::negate(Condition::negate(condition).unwrap()).unwrap();
        prop_assert_eq!(twice.evaluate(&facts), plain);
    }

    #[test]
    fn de_morgan(parts in prop::collection::vec(any_condition(), 0..4), facts in any_records()) {
        let negated = || {
            parts.iter().map(|part| Condition::negate(part.clone()).unwrap()).collect::<Vec<_>>()
        };
        let not_all = Condition::negate(Condition::all(parts.clone()).unwrap()).unwrap();
        let any_not = Condition::any(negated()).unwrap();
        prop_assert_eq!(not_all.evaluate(&facts), any_not.evaluate(&facts));
        let not_any = Condition::negate(Condition::any(parts.clone()).unwrap()).unwrap();
        let all_not = Condition::all(negated()).unwrap();
        prop_assert_eq!(not_any.evaluate(&facts), all_not.evaluate(&facts));
    }

    #[test]
    fn an_explanation_says_the_same(condition in any_condition(), facts in any_records()) {
        let explained = condition.explain(&facts);
        prop_assert_eq!(explained.truth, condition.evaluate(&facts));
        prop_assert!(!explained.decided_by.is_empty() || condition.leaves().is_empty()
            || explained.truth != Truth::Unknown);
        for decided in explained.decided_by {
            prop_assert_eq!(decided.leaf.evaluate(&facts), (decided.truth, decided.reason));
        }
    }

    /// The order is total where there is one: exactly one of less, equal and greater holds.
    #[test]
    fn one_of_three(one in any_value(), other in any_value()) {
        let holds = |operator, field: &str, value: &serde_json::Value| {
            let leaf = Leaf::new(Field::parse("x").unwrap(), operator, Some(own(value))).ok()?;
            let facts = Records::of_texts(None, Some(field));
            Some(Condition::from(leaf).evaluate(&facts) == Truth::True)
        };
        let text = one.to_string();
        let eq = holds(Operator::Eq, &text, &other).unwrap();
        let ne = holds(Operator::Ne, &text, &other).unwrap();
        prop_assert!(!(eq && ne));
        let ordered = [Operator::Lt, Operator::Gt, Operator::Lte, Operator::Gte];
        if let [Some(lt), Some(gt), Some(lte), Some(gte)] =
            ordered.map(|operator| holds(operator, &text, &other))
        {
            if lte || gte {
                prop_assert_eq!(u8::from(lt) + u8::from(gt) + u8::from(eq), 1);
                prop_assert_eq!(ne, lt || gt);
            }
            prop_assert_eq!((lte, gte), (lt || (eq && lte), gt || (eq && gte)));
        }
    }

    #[test]
    fn no_json_makes_it_panic(written in any_json()) {
        if let Ok(condition) = Condition::from_json(&written) {
            let _ = condition.evaluate(&Records::new(None, None));
        }
    }
}

/// JSON that comes close to conditions.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let word = prop::sample::select(vec!["a", "old.a", "eq", "in", "changed", "exists", "", "$"]);
    let leaf = prop_oneof![any_value(), word.prop_map(|word| json!(word))];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop::sample::select(vec!["and", "or", "not", "field", "operator", "value", "x"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}
