//! The byte filter against an oracle that works on trees, under random policies and documents.
//!
//! The oracle shares no code with the filter: it asks `jsonpath-rust` (or a small walk, for dotted
//! paths) which places each entry selects, and applies the words of `docs/policies.md` to a tree.

#![cfg(test)]

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use fieldgate::diagnostic::{SourceFile, Span};
use fieldgate::json::Refusal;
use fieldgate::json::filter::{Filter, FilterLimits, Replacer};
use fieldgate::json::navigate::Slot;
use fieldgate::json::path::FieldPath;
use fieldgate::policy::emits::Events;
use fieldgate::policy::plan::{MaskSlot, Plan, Purpose, Scope};
use fieldgate::policy::query::QueryRules;
use fieldgate::policy::set::{
    Entry, Field, Global, Origin, Resource, Role, RoleResource, Route, Writes,
};
use fieldgate::policy::{Combine, Mode};
use jsonpath_rust::JsonPath;
use proptest::prelude::*;
use serde_json::Value;

/// A place in a document, as a JSON pointer.
type Place = String;

#[derive(Debug, Clone)]
struct Rule {
    path: &'static str,
    mode: Mode,
}

#[derive(Debug, Clone)]
struct Case {
    records: &'static str,
    /// Of each role: its default and its entries.
    roles: Vec<(Mode, Vec<Rule>)>,
    combine: Combine,
    global: Vec<Rule>,
    document: Value,
}

const PATHS: &[&str] = &[
    "a",
    "b",
    "c",
    "a.b",
    "b.a.c",
    "$.a",
    "$..a",
    "$..b.c",
    "$.a..c",
    "$.b[0]",
    "$.c[1:]",
    "$.a[::2]",
    "$.b[*]",
    "$..c[1]",
    "$.*",
    "$.a.*",
    "$.c[-1]",
    "$.a[?@.b]",
    "$.b[?@.a==1].c",
    "$['a','c']",
    "$..*",
];

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::View), Just(Mode::Mask), Just(Mode::Hidden), Just(Mode::Edit)]
}

fn rules(most: usize) -> impl Strategy<Value = Vec<Rule>> {
    let rule = (prop::sample::select(PATHS), mode()).prop_map(|(path, mode)| Rule { path, mode });
    prop::collection::vec(rule, 0..=most)
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i64..3).prop_map(Value::from),
        "[xyz\"\\\\é]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(&["a", "b", "c", "d"][..]),
                inner,
                0..4
            )
            .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::sample::select(&["$", "$.a[*]", "$.b"][..]),
        prop::collection::vec((mode(), rules(4)), 1..3),
        prop_oneof![Just(Combine::MostRestrictive), Just(Combine::Union)],
        rules(1),
        document(),
    )
        .prop_map(|(records, roles, combine, global, document)| {
            // Global expressions are widened; the widening is the plan's own matter.
            let global = global
                .into_iter()
                .filter(|rule| !FieldPath::parse(rule.path).unwrap().needs_whole_record())
                .collect();
            Case { records, roles, combine, global, document }
        })
}

fn origin() -> Origin {
    Origin { source: SourceFile::new("test.yaml", ""), span: Span::default() }
}

fn entries(rules: &[Rule]) -> Vec<Entry> {
    let entry = |rule: &Rule| Entry {
        path: FieldPath::parse(rule.path).unwrap(),
        mode: rule.mode,
        origin: origin(),
    };
    rules.iter().map(entry).collect()
}

fn plan(case: &Case) -> Plan {
    let resource = Resource {
        name: "thing".into(),
        id: None,
        combine: case.combine,
        writes: Writes::default(),
        query: QueryRules::default(),
        routes: vec![Route {
            methods: vec![http::Method::GET],
            path: "/".into(),
            records: FieldPath::parse(case.records).unwrap(),
            envelope: vec![FieldPath::parse("d").unwrap()],
            write: None,
            body: None,
            is_search: false,
        }],
        fields: Vec::<Field>::new(),
        emits: Vec::new(),
        events: Events::default(),
    };
    let roles: Vec<Role> = case
        .roles
        .iter()
        .enumerate()
        .map(|(number, (default, rules))| Role {
            name: format!("role{number}"),
            default: *default,
            default_origin: origin(),
            resources: BTreeMap::from([(
                "thing".to_owned(),
                RoleResource { default: None, default_origin: None, entries: entries(rules) },
            )]),
            reveal: BTreeMap::new(),
        })
        .collect();
    let global = Global { entries: entries(&case.global), ..Global::default() };
    let scope = Scope { resource: &resource, route: &resource.routes[0] };
    Plan::compile(Some(scope), &roles.iter().collect::<Vec<_>>(), &global, Purpose::Read).unwrap()
}

struct Redact(Arc<[MaskSlot]>);

impl Replacer for Redact {
    fn replace(&mut self, slot: Slot, _raw: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        assert!(self.0.get(slot.0 as usize).is_some());
        out.extend_from_slice(b"\"MASK\"");
        Ok(())
    }
}

fn filter(plan: &Plan, text: &[u8], size: usize) -> Result<Vec<u8>, Refusal> {
    let limits = FilterLimits { replaced_value: 1 << 20, held_value: 1 << 20 };
    let mut filter =
        Filter::new(Arc::clone(&plan.automaton), Redact(Arc::clone(&plan.slots)), limits);
    let mut out = Vec::new();
    for chunk in text.chunks(size) {
        filter.push(chunk, &mut out)?;
    }
    filter.finish(&mut out)?;
    Ok(out)
}

// --- the oracle -------------------------------------------------------------------------------

fn pointer_of(normalized: &str) -> Place {
    // `$['a'][0]` as jsonpath-rust prints it, for the simple names used here.
    normalized
        .trim_start_matches('$')
        .replace("['", "/")
        .replace("']", "")
        .replace('[', "/")
        .replace(']', "")
}

fn dotted(value: &Value, at: &Place, names: &[&str], found: &mut HashSet<Place>) {
    let Some((name, rest)) = names.split_first() else {
        found.insert(at.clone());
        return;
    };
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                dotted(item, &format!("{at}/{index}"), names, found);
            }
        }
        Value::Object(map) => {
            if let Some(child) = map.get(*name) {
                dotted(child, &format!("{at}/{name}"), rest, found);
            }
        }
        _ => {}
    }
}

/// The places that `path` selects below `root`, which stands at `at`.
fn selected(root: &Value, at: &Place, path: &str) -> HashSet<Place> {
    let mut found = HashSet::new();
    if path.starts_with('$') {
        for place in root.query_only_path(path).unwrap() {
            found.insert(format!("{at}{}", pointer_of(&place)));
        }
    } else {
        dotted(root, at, &path.split('.').collect::<Vec<_>>(), &mut found);
    }
    found
}

/// The places that `path` selects from any object or array of the document.
fn selected_anywhere(root: &Value, path: &str) -> HashSet<Place> {
    // Expressions and indices from the end are widened to every child.
    let wide = path.replace("[-1]", "[*]").replace("[?@.b]", "[*]").replace("[?@.a==1]", "[*]");
    let mut found = HashSet::new();
    let mut stack = vec![(root, String::new())];
    while let Some((value, at)) = stack.pop() {
        found.extend(selected(value, &at, &wide));
        match value {
            Value::Array(items) => {
                stack.extend(items.iter().enumerate().map(|(i, item)| (item, format!("{at}/{i}"))));
            }
            Value::Object(map) => {
                stack.extend(map.iter().map(|(name, item)| (item, format!("{at}/{name}"))));
            }
            _ => {}
        }
    }
    found
}

/// The containers that lie on the fixed part of `path`, below `root`: those that its longest part
/// without `..` goes through, arrays between the names of a dotted path among them.
fn on_the_way(root: &Value, at: &Place, path: &str) -> HashSet<Place> {
    let parsed = FieldPath::parse(path).unwrap();
    let mut ways = HashSet::new();
    if parsed.needs_whole_record() {
        // Only the ways to values that the expression really selects.
        for place in selected(root, at, path) {
            let mut way = place.as_str();
            while let Some((up, _)) = way.rsplit_once('/') {
                if up.len() < at.len() {
                    break;
                }
                ways.insert(up.to_owned());
                way = up;
            }
        }
        return ways;
    }
    let fixed: Vec<_> = parsed.segments().iter().take_while(|s| !s.descendant).collect();
    let has_descendant = fixed.len() < parsed.segments().len();
    let mut here: Vec<(&Value, Place)> = vec![(root, at.clone())];
    for (step, segment) in fixed.iter().enumerate() {
        let mut through = here.clone();
        if parsed.through_arrays() {
            let mut open = here.clone();
            while let Some((value, at)) = open.pop() {
                if let Value::Array(items) = value {
                    for (index, item) in items.iter().enumerate() {
                        through.push((item, format!("{at}/{index}")));
                        open.push((item, format!("{at}/{index}")));
                    }
                }
            }
        }
        ways.extend(through.iter().map(|(_, at)| at.clone()));
        let _ = step;
        here = through
            .iter()
            .flat_map(|(value, at)| {
                children(value).into_iter().filter_map(move |(key, child)| {
                    selects(segment, value, &key).then(|| (child, format!("{at}/{key}")))
                })
            })
            .collect();
    }
    if has_descendant {
        ways.extend(here.into_iter().map(|(_, at)| at));
    }
    ways
}

fn children(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        _ => Vec::new(),
    }
}

fn selects(segment: &fieldgate::json::path::Segment, parent: &Value, key: &str) -> bool {
    use fieldgate::json::path::Selector;
    segment.selectors.iter().any(|selector| match selector {
        Selector::Name(name) => parent.is_object() && name == key,
        Selector::Wildcard => true,
        Selector::Index(index) => parent.is_array() && index.to_string() == key,
        Selector::Slice { start, end, step } => {
            parent.is_array() && {
                let index: u64 = key.parse().unwrap();
                index >= *start
                    && end.is_none_or(|end| index < end)
                    && (index - start).is_multiple_of(*step)
            }
        }
        Selector::Held => unreachable!("held paths are handled apart"),
    })
}

struct Oracle<'a> {
    case: &'a Case,
    /// For each role and rule: selected places inside records, and anywhere outside.
    inside: Vec<Vec<HashSet<Place>>>,
    outside: Vec<Vec<HashSet<Place>>>,
    ways: Vec<HashSet<Place>>,
    records: HashSet<Place>,
    around_records: HashSet<Place>,
    envelope: HashSet<Place>,
    global: Vec<HashSet<Place>>,
}

impl<'a> Oracle<'a> {
    fn new(case: &'a Case) -> Self {
        let root = String::new();
        let records = selected(&case.document, &root, case.records);
        let from_records = |path: &str, way: bool| -> HashSet<Place> {
            records
                .iter()
                .flat_map(|at| {
                    let record = case.document.pointer(at).unwrap();
                    if way { on_the_way(record, at, path) } else { selected(record, at, path) }
                })
                .collect()
        };
        let per_rule = |make: &dyn Fn(&Rule) -> HashSet<Place>| -> Vec<Vec<HashSet<Place>>> {
            case.roles.iter().map(|(_, rules)| rules.iter().map(make).collect()).collect()
        };
        let inside = per_rule(&|rule| from_records(rule.path, false));
        let outside = per_rule(&|rule| match rule.mode {
            Mode::Mask | Mode::Hidden => selected_anywhere(&case.document, rule.path),
            Mode::View | Mode::Edit => HashSet::new(),
        });
        let ways = case
            .roles
            .iter()
            .map(|(default, rules)| {
                let granting = rules.iter().filter(|rule| rule.mode < *default);
                granting.flat_map(|rule| from_records(rule.path, true)).collect()
            })
            .collect();
        let mut around_records = on_the_way(&case.document, &root, case.records);
        around_records.extend(on_the_way(&case.document, &root, "d"));
        Self {
            inside,
            outside,
            ways,
            around_records,
            envelope: selected(&case.document, &root, "d"),
            global: case.global.iter().map(|r| selected(&case.document, &root, r.path)).collect(),
            records,
            case,
        }
    }

    fn filtered(&self) -> Value {
        let explicit = vec![None; self.case.roles.len()];
        self.walk(&self.case.document, &String::new(), false, false, &explicit)
            .unwrap_or(Value::Null)
    }

    fn walk(
        &self,
        value: &Value,
        at: &Place,
        in_record: bool,
        in_envelope: bool,
        above: &[Option<Mode>],
    ) -> Option<Value> {
        let begins_record = !in_record && self.records.contains(at);
        let in_record = in_record || begins_record;
        let in_envelope = !in_record && (in_envelope || self.envelope.contains(at));
        let mut explicit = Vec::new();
        let mut modes = Vec::new();
        for (role, (default, rules)) in self.case.roles.iter().enumerate() {
            let places = if in_record { &self.inside[role] } else { &self.outside[role] };
            let here = rules
                .iter()
                .zip(places)
                .filter(|(_, places)| places.contains(at))
                .map(|(rule, _)| rule.mode)
                .max()
                .or(above[role]);
            explicit.push(here);
            let default = if in_envelope { (*default).min(Mode::View) } else { *default };
            let structure = at.is_empty()
                || begins_record
                || (in_record && self.ways[role].contains(at))
                || (!in_record && self.around_records.contains(at));
            let is_container = value.is_array() || value.is_object();
            modes.push(match here {
                Some(mode) => mode,
                None if structure && is_container => Mode::Edit,
                None => default,
            });
        }
        let mut mode = match self.case.combine {
            Combine::MostRestrictive => modes.into_iter().max().unwrap(),
            Combine::Union => modes.into_iter().min().unwrap(),
        };
        for (rule, places) in self.case.global.iter().zip(&self.global) {
            if places.contains(at) {
                mode = mode.max(rule.mode);
            }
        }
        match mode {
            Mode::Hidden => return None,
            Mode::Mask => return Some(Value::from("MASK")),
            Mode::View | Mode::Edit => {}
        }
        let below = |key: &str, child: &Value| {
            self.walk(child, &format!("{at}/{key}"), in_record, in_envelope, &explicit)
        };
        Some(match value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| below(&index.to_string(), item))
                .collect::<Vec<_>>()
                .into(),
            Value::Object(map) => map
                .iter()
                .filter_map(|(name, item)| Some((name.clone(), below(name, item)?)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        })
    }
}

// --- properties -------------------------------------------------------------------------------

/// Every scalar of a document, as text with its place among its siblings ignored.
fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(map) => map.values().for_each(|item| leaves(item, found)),
        scalar => found.push(scalar.to_string()),
    }
}

/// Gives every scalar of a document a value of its own, so that leaves can be told apart.
fn with_canaries(value: &mut Value, next: &mut u32) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| with_canaries(item, next)),
        Value::Object(map) => map.values_mut().for_each(|item| with_canaries(item, next)),
        scalar => {
            *next += 1;
            *scalar = Value::from(format!("canary-{next}"));
        }
    }
}

/// A small damage to a text: so many bytes taken away, these put in their place.
fn edit() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let piece = prop::sample::select(
        &["", ",", ":", "{", "}", "[", "]", "\"", "\\", "null", "0", "-", "1e5", "\u{1}", " ", "é"]
            [..],
    );
    (0_usize..3, piece).prop_map(|(taken, piece)| (taken, piece.as_bytes().to_vec()))
}

fn visible_canaries(case: &Case) -> HashSet<String> {
    let text = serde_json::to_vec(&case.document).unwrap();
    let out = filter(&plan(case), &text, usize::MAX).unwrap();
    let mut found = Vec::new();
    leaves(&serde_json::from_slice(&out).unwrap(), &mut found);
    found.into_iter().filter(|leaf| leaf.contains("canary")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn filter_agrees_with_the_tree_oracle_at_any_chunking(case in case(), size in 1_usize..20) {
        let text = serde_json::to_vec_pretty(&case.document).unwrap();
        let plan = plan(&case);
        let whole = filter(&plan, &text, usize::MAX).unwrap();
        prop_assert_eq!(&filter(&plan, &text, size).unwrap(), &whole);
        prop_assert_eq!(&filter(&plan, &text, 1).unwrap(), &whole);
        let found: Value = serde_json::from_slice(&whole).unwrap();
        prop_assert_eq!(found, Oracle::new(&case).filtered());
    }

    #[test]
    fn another_role_or_restriction_never_reveals_more(
        case in case(),
        role in (mode(), rules(3)),
        path in prop::sample::select(PATHS),
        restriction in prop_oneof![Just(Mode::Mask), Just(Mode::Hidden)],
    ) {
        let mut case = Case { combine: Combine::MostRestrictive, ..case };
        with_canaries(&mut case.document, &mut 0);
        let before = visible_canaries(&case);

        let mut with_role = case.clone();
        with_role.roles.push(role);
        prop_assert!(visible_canaries(&with_role).is_subset(&before));

        // Under a default of `hidden` an entry that masks is a grant, not a restriction.
        let restriction = restriction.max(case.roles[0].0);
        let mut with_rule = case.clone();
        with_rule.roles[0].1.push(Rule { path, mode: restriction });
        prop_assert!(visible_canaries(&with_rule).is_subset(&before));

        let mut with_global = case;
        with_global.global.push(Rule { path, mode: restriction });
        prop_assert!(visible_canaries(&with_global).is_subset(&before));
    }

    #[test]
    fn without_rules_no_byte_changes(document in document(), size in 1_usize..20) {
        let case = Case {
            records: "$",
            roles: vec![(Mode::View, Vec::new())],
            combine: Combine::MostRestrictive,
            global: Vec::new(),
            document,
        };
        let text = serde_json::to_vec_pretty(&case.document).unwrap();
        prop_assert_eq!(filter(&plan(&case), &text, size).unwrap(), text);
    }

    #[test]
    fn what_the_oracle_takes_away_occurs_nowhere_in_the_output(
        case in case(),
        size in 1_usize..20,
    ) {
        let mut case = case;
        let mut count = 0;
        with_canaries(&mut case.document, &mut count);
        let text = serde_json::to_vec(&case.document).unwrap();
        let out = String::from_utf8(filter(&plan(&case), &text, size).unwrap()).unwrap();
        let mut visible = Vec::new();
        leaves(&Oracle::new(&case).filtered(), &mut visible);
        for number in 1..=count {
            // With its quotes, for `canary-1` begins `canary-12`.
            let canary = format!("\"canary-{number}\"");
            prop_assert_eq!(out.contains(&canary), visible.contains(&canary), "{}", canary);
        }
    }

    #[test]
    fn what_is_let_through_parses_whatever_became_of_the_text(
        case in case(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), edit()), 1..4),
        size in 1_usize..20,
    ) {
        let mut text = serde_json::to_vec(&case.document).unwrap();
        for (place, edit) in edits {
            let place = place.index(text.len() + 1);
            let end = (place + edit.0).min(text.len());
            text.splice(place..end, edit.1);
        }
        let plan = plan(&case);
        // Which of two faults is found first may depend on the chunks.
        let whole = filter(&plan, &text, usize::MAX).ok();
        prop_assert_eq!(&filter(&plan, &text, size).ok(), &whole);
        if let Some(out) = whole {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&out).is_ok());
            // And what it let through was JSON when it came in.
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_filtered_but_never_panic(
        case in case(),
        text in prop::collection::vec(any::<u8>(), 0..60),
        size in 1_usize..10,
    ) {
        let plan = plan(&case);
        let whole = filter(&plan, &text, usize::MAX);
        prop_assert_eq!(filter(&plan, &text, size).is_ok(), whole.is_ok());
    }
}
