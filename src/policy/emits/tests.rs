use std::sync::Arc;

use super::*;
use crate::diagnostic::{SourceFile, render};
use crate::policy::{Read, read};

fn resource(events: &str) -> Arc<Resource> {
    let read = deal_with(events);
    assert_eq!(render(&read.findings, false, 100), "");
    Arc::clone(&read.set.unwrap().resources["deal"])
}

fn deal_with(events: &str) -> Read {
    let deal = format!(
        r#"
resource: deal
id: $.id
routes:
  - {{ methods: [GET], path: /deals/, records: "$[*]" }}
  - {{ methods: [POST], path: /deals/, records: "$" }}
  - {{ methods: [GET, PUT, PATCH, DELETE], path: "/deals/{{id}}/", records: "$" }}
  - {{ methods: [POST], path: "/deals/{{id}}/change_stage/", records: "$" }}
  - {{ methods: [POST], path: "/deals/search/", records: "$[*]", write: none }}
fields: {{ amount: {{ mask: redact }} }}
{events}"#
    );
    let files = [
        SourceFile::new("resources/deal.yaml", deal),
        SourceFile::new(
            "resources/contact.yaml",
            "resource: contact\nid: $.key\nroutes: [{ methods: [GET], path: /contacts/, records: \"$[*]\" }]\nfields: { x: { mask: redact } }\n",
        ),
        SourceFile::new("roles/admin.yaml", "role: admin\ndefault: edit\n"),
    ];
    read("".as_ref(), &files)
}

/// Every event may have these members beside those of its rule.
#[test]
fn members_that_are_taken() {
    for name in ["id", "record", "unknown", "undecided"] {
        let found = deal_with(&format!("emits: [{{ event: a.b, data: {{ {name}: x }} }}]\n"));
        let text = render(&found.findings, false, 100);
        let expect = format!("a member of an event cannot be named `{name}`");
        assert!(found.set.is_none() && text.contains(&expect), "{text}");
    }
}

const STAGES: &str = r#"
emits:
  - { on: [PATCH, PUT], when: { field: stage, operator: changed }, event: deal.stage_changed, data: { old_stage: old.stage, new_stage: new.stage } }
  - { on: [POST], path: "/deals/{pk}/change_stage", event: deal.stage_changed, previous: fetch, if_unknown: emit, data: { old_stage: old.stage } }
  - { when: { field: owner.id, operator: exists }, event: deal.won, data: { amount: amount, kind: { value: deal }, share: { value: 1.10 } } }
  - { on: [DELETE], when: { field: old.amount, operator: gt, value: 9007199254740993 }, event: deal.lost_money, data: { number: new.number } }
"#;

fn stages() -> Arc<Resource> {
    resource(STAGES)
}

#[test]
fn a_rule_says_what_the_file_says() {
    let deal = stages();
    let [changed, moved, won, lost] = deal.emits.as_slice() else { panic!("four rules") };
    assert_eq!(changed.on, Some(vec![Method::PATCH, Method::PUT]));
    assert_eq!((changed.previous, changed.if_unknown), (Previous::LastSeen, IfUnknown::Skip));
    assert_eq!(changed.when.leaves()[0].to_string(), "stage changed");
    assert_eq!(changed.origin.file_and_line(), "resources/deal.yaml:13");
    assert!(changed.routes.is_none() && changed.reads_old());
    assert_eq!(moved.routes, Some(vec![3]));
    assert_eq!((moved.previous, moved.if_unknown), (Previous::Fetch, IfUnknown::Emit));
    assert!(moved.when.is_empty());
    assert!(won.on.is_none() && !won.reads_old());
    assert_eq!(won.members[1].source, Source::Constant(r#""deal""#.to_owned()));
    assert_eq!(won.members[2].source, Source::Constant("1.10".to_owned()));
    let Source::Field(amount) = &won.members[0].source else { panic!("a field") };
    assert_eq!(amount.to_string(), "new.amount");
    assert_eq!(lost.when.leaves()[0].to_string(), "old.amount gt 9007199254740993");
}

fn texts(paths: &[FieldPath]) -> Vec<&str> {
    paths.iter().map(FieldPath::as_str).collect()
}

#[test]
fn paths_that_are_watched_and_remembered() {
    let deal = stages();
    assert_eq!(texts(&deal.watched_paths()), ["stage", "owner.id", "amount", "number"]);
    assert_eq!(texts(&deal.remembered_paths()), ["stage", "amount"]);
    assert!(deal.watched_paths().iter().all(FieldPath::means_one_value));
    let off = resource("events: { off: true }\nemits: [{ event: a.b, data: { x: x } }]\n");
    assert!(off.watched_paths().is_empty() && off.remembered_paths().is_empty());
    assert!(resource("").watched_paths().is_empty());
}

#[test]
fn where_the_old_record_comes_from() {
    let deal = stages();
    let table = [
        (1, Method::POST, Previous::None),
        (2, Method::PATCH, Previous::LastSeen),
        (2, Method::DELETE, Previous::LastSeen),
        (2, Method::GET, Previous::None),
        (3, Method::POST, Previous::Fetch),
        (4, Method::POST, Previous::None),
    ];
    for (route, method, expect) in table {
        assert_eq!(deal.previous_of(route, &method), expect, "{method} {route}");
    }
}

#[test]
fn the_writes_of_a_rule() {
    let deal = stages();
    let covering = |route: usize, method: Method| -> Vec<usize> {
        let write = deal.write_of(route, &method);
        let rules = deal.emits.iter().enumerate();
        rules.filter(|(_, rule)| rule.covers(route, &method, write)).map(|(at, _)| at).collect()
    };
    assert_eq!(covering(1, Method::POST), [2]);
    assert_eq!(covering(2, Method::PATCH), [0, 2]);
    assert_eq!(covering(2, Method::DELETE), [3]);
    assert_eq!(covering(3, Method::POST), [1, 2]);
    assert_eq!(covering(4, Method::POST), [] as [usize; 0]);
    assert_eq!(covering(2, Method::GET), [] as [usize; 0]);
}

#[test]
fn records_that_come_into_being_beside() {
    let deal = resource(
        r#"
events:
  success: { and: [{ field: error, operator: exists, value: false }, { field: old.x, operator: ne, value: 1 }] }
  creates:
    - { resource: contact, at: "$.contact" }
    - { resource: contact, at: "$.people[*]", event: contact.created, on: [PATCH] }
    - { resource: contact, at: "$.who", event: deal.contact_made, path: "/deals/{id}/change_stage/" }
"#,
    );
    let leaves: Vec<String> =
        deal.events.success.leaves().into_iter().map(ToString::to_string).collect();
    assert_eq!(leaves, ["new.error exists false", "new.old.x ne 1"]);
    let [plain, many, named] = deal.events.creates.as_slice() else { panic!("three") };
    assert_eq!(
        (plain.event.as_str(), plain.id.as_ref().unwrap().as_str()),
        ("contact.created", "$.key")
    );
    assert_eq!((named.event.as_str(), named.at.as_str()), ("deal.contact_made", "$.who"));
    let covers = |create: &Create, route: usize, method: Method| {
        create.covers(route, &method, deal.write_of(route, &method))
    };
    assert!(covers(plain, 1, Method::POST) && covers(plain, 3, Method::POST));
    assert!(!covers(plain, 2, Method::PATCH) && !covers(plain, 4, Method::POST));
    assert!(covers(many, 2, Method::PATCH) && !covers(many, 1, Method::POST));
    assert!(covers(named, 3, Method::POST) && !covers(named, 1, Method::POST));
}
