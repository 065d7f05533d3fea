//! What is counted and what is watched; what is sent is the business of `tests/filter_oracle.rs`.

use std::sync::Arc;

use super::*;
use crate::diagnostic::{SourceFile, Span};
use crate::json;
use crate::json::filter::{Filter, FilterLimits, Observer, Replacer};
use crate::policy::emits::Events;
use crate::policy::query::QueryRules;
use crate::policy::set::{RoleResource, Writes};

struct Stars;

impl Replacer for Stars {
    fn replace(&mut self, _: Slot, _: &[u8], out: &mut Vec<u8>) -> Result<(), json::Refusal> {
        out.extend_from_slice(b"\"*\"");
        Ok(())
    }
}

#[derive(Default)]
struct Seen(Vec<(u128, String)>);

impl Observer for Seen {
    fn watched(&mut self, slots: u128, raw: &[u8]) {
        self.0.push((slots, String::from_utf8(raw.to_vec()).unwrap()));
    }
}

fn origin() -> Origin {
    Origin { source: SourceFile::new("lead.yaml", ""), span: Span::default() }
}

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

fn role(name: &str, default: Mode, entries: &[(&str, Mode)]) -> Role {
    let entry =
        |(text, mode): &(&str, Mode)| Entry { path: path(text), mode: *mode, origin: origin() };
    let here = RoleResource {
        default: None,
        default_origin: None,
        entries: entries.iter().map(entry).collect(),
    };
    Role {
        name: name.into(),
        default,
        default_origin: origin(),
        resources: [("lead".to_owned(), here)].into(),
        reveal: std::collections::BTreeMap::new(),
    }
}

/// Filters a list of leads; answers the accounts met, as `field treatment count`, and what was
/// watched.
fn run(roles: &[Role], watched: &[&str], shown: bool, text: &str) -> (Vec<String>, Seen) {
    let field = |text| Field {
        path: path(text),
        is_pii: true,
        strategy: None,
        detokenize: false,
        origin: origin(),
    };
    let resource = Resource {
        name: "lead".into(),
        id: None,
        combine: Combine::default(),
        routes: vec![Route {
            methods: vec![http::Method::GET],
            path: "/".into(),
            records: path("$.results[*]"),
            envelope: vec![path("count")],
            write: None,
            body: None,
            is_search: false,
        }],
        fields: vec![field("$..email"), field("phone")],
        emits: Vec::new(),
        events: Events::default(),
        query: QueryRules::default(),
        writes: Writes::default(),
    };
    let scope = Scope { resource: &resource, route: &resource.routes[0] };
    let roles: Vec<&Role> = roles.iter().collect();
    let watched: Vec<FieldPath> = watched.iter().map(|text| path(text)).collect();
    let interest = Interest { watched: &watched, shown };
    let global = Global::default();
    let plan =
        Plan::compile_for(Some(scope), &roles, &global, Purpose::Read, Some(interest)).unwrap();
    let limits = FilterLimits { replaced_value: 1000, held_value: 1000 };
    let mut filter = Filter::observed(Arc::clone(&plan.automaton), Stars, Seen::default(), limits);
    let mut out = Vec::new();
    filter.push(text.as_bytes(), &mut out).unwrap();
    let unwatched = Plan::compile(Some(scope), &roles, &global, Purpose::Read).unwrap();
    let mut plain = Filter::new(Arc::clone(&unwatched.automaton), Stars, limits);
    let mut expect = Vec::new();
    plain.push(text.as_bytes(), &mut expect).unwrap();
    assert_eq!(out, expect, "watching changes nothing of what is sent");
    let notes = filter.tally().notes.iter().zip(&*plan.accounts).filter(|(count, _)| **count > 0);
    let notes = notes
        .map(|(count, account)| format!("{} {} {count}", account.field, account.treatment.name()))
        .collect();
    (notes, std::mem::take(filter.observer()))
}

const LEADS: &str = r#"{"count":2,"results":[
    {"id":1,"email":"a@x","owner":{"email":"b@x","name":"B"},"phone":"1","ssn":"2","stage":"new"},
    {"id":2,"email":null,"owner":{},"stage":"won"}]}"#;

#[test]
fn each_rule_has_its_account() {
    let entries = [("$..email", Mode::Mask), ("ssn", Mode::Hidden), ("stage", Mode::Edit)];
    let (notes, _) = run(&[role("rep", Mode::View, &entries)], &[], false, LEADS);
    assert_eq!(notes, ["$..email masked 3", "ssn hidden 1"]);
    let (notes, _) = run(&[role("rep", Mode::View, &entries)], &[], true, LEADS);
    assert_eq!(notes, ["phone shown 1", "$..email masked 3", "ssn hidden 1"]);
    let (notes, _) = run(&[role("admin", Mode::Edit, &[])], &[], true, LEADS);
    assert_eq!(notes, ["$..email shown 3", "phone shown 1"]);
}

#[test]
fn the_rule_that_decides_is_counted_and_no_other() {
    let rep = role("rep", Mode::View, &[("$..email", Mode::Mask)]);
    let temp = role("temp", Mode::Hidden, &[("id", Mode::View), ("$..email", Mode::View)]);
    let (notes, _) = run(&[rep, temp], &[], false, LEADS);
    // The owner is structure neither for `rep` nor for `temp`: it disappears with what is in it.
    assert_eq!(notes, ["$..email masked 2", "* hidden 6"]);
}

#[test]
fn watched_places_are_told_by_their_bit_under_any_rule() {
    let everything = [("id", "1"), ("stage", "\"new\""), ("owner.email", "\"b@x\"")];
    let watched: Vec<&str> = everything.iter().map(|(path, _)| *path).collect();
    for default in [Mode::Edit, Mode::View, Mode::Mask, Mode::Hidden] {
        let (_, seen) = run(&[role("rep", default, &[])], &watched, false, LEADS);
        let mut seen = seen.0;
        seen.sort();
        let expect = [(1, "1"), (1, "2"), (2, "\"new\""), (2, "\"won\""), (4, "\"b@x\"")];
        assert_eq!(seen, expect.map(|(slots, raw)| (slots, raw.to_owned())), "{default:?}");
    }
}
