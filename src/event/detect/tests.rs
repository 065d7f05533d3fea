use std::sync::Arc;

use super::*;
use crate::diagnostic::{SourceFile, render};
use crate::policy::read;

const DEAL: &str = r#"
resource: deal
id: $.id
routes:
  - { methods: [GET, POST], path: /deals/, records: "$.results[*]" }
  - { methods: [GET, PUT, PATCH, DELETE], path: "/deals/{id}/", records: "$" }
  - { methods: [POST], path: "/deals/{id}/change_stage/", records: "$" }
  - { methods: [POST], path: /deals/search/, records: "$.results[*]", write: none }
  - { methods: [POST], path: "/deals/{id}/copy/", records: "$", write: created }
  - { methods: [POST, PUT, PATCH, DELETE], path: /deals/bulk/, records: "$[*]" }
  - { methods: [POST], path: "/deals/{id}/drop/", records: "$", write: deleted }
fields: { amount: { mask: redact } }
emits:
  - { on: [PATCH, PUT], when: { field: stage, operator: changed }, event: deal.stage_changed, data: { old_stage: old.stage, new_stage: new.stage } }
  - { on: [POST], path: "/deals/{id}/change_stage/", when: { field: stage, operator: changed }, event: deal.stage_changed, data: { old_stage: old.stage, new_stage: new.stage }, previous: fetch, if_unknown: emit }
  - { when: { and: [{ field: stage, operator: changed }, { field: new.stage, operator: eq, value: won }] }, event: deal.won, data: { amount: new.amount, kind: { value: deal } } }
  - { on: [DELETE], event: deal.gone, data: { stage: old.stage } }
  - { on: [PUT], when: { field: owner.id, operator: changed }, event: deal.moved, previous: none, if_unknown: emit, data: { to: owner.id, from: old.owner.id } }
  - { on: [PATCH], when: { field: stage, operator: exists }, event: deal.stage_changed, data: { again: { value: true } } }
events:
  creates:
    - { resource: contact, at: "$.contact" }
    - { resource: contact, at: "$.people[*]", event: deal.person_made, on: [PATCH] }
"#;
const CONTACT: &str = r#"
resource: contact
routes: [{ methods: [GET], path: "/contacts/{id}", records: "$" }]
fields: { x: { mask: redact } }
"#;

fn deal() -> Arc<Resource> {
    let files = [
        SourceFile::new("resources/deal.yaml", DEAL),
        SourceFile::new("resources/contact.yaml", CONTACT),
        SourceFile::new("roles/admin.yaml", "role: admin\ndefault: edit\n"),
    ];
    let read = read("".as_ref(), &files);
    let (errors, _) = crate::diagnostic::count(&read.findings);
    assert_eq!(errors, 0, "{}", render(&read.findings, false, 100));
    Arc::clone(&read.set.unwrap().resources["deal"])
}

fn values(of: &[(&str, &str)]) -> Values {
    of.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect()
}

fn record(id: Option<&str>, new: &[(&str, &str)], old: Option<&[(&str, &str)]>) -> Observed {
    Observed {
        id: id.map(ToOwned::to_owned),
        values: Some(values(new)),
        old: old.map_or(Old::Unknown, |old| Old::Known(values(old))),
    }
}

/// A request, and what was seen of it.
struct Case<'c> {
    method: &'c str,
    route: usize,
    status: u16,
    success: Truth,
    records: Vec<Observed>,
    created: Vec<Beside>,
    path: Option<&'c str>,
    location: Option<&'c str>,
}

impl<'c> Case<'c> {
    fn new(method: &'c str, route: usize, records: Vec<Observed>) -> Self {
        Self {
            method,
            route,
            status: 200,
            success: Truth::True,
            records,
            created: Vec::new(),
            path: None,
            location: None,
        }
    }

    fn path(self, id: &'c str) -> Self {
        Self { path: Some(id), ..self }
    }

    fn location(self, id: &'c str) -> Self {
        Self { location: Some(id), ..self }
    }

    fn outcome(&self) -> Outcome {
        detect(&ObservedWrite {
            resource: &deal(),
            route: self.route,
            method: &self.method.parse().unwrap(),
            status: StatusCode::from_u16(self.status).unwrap(),
            success: self.success,
            records: &self.records,
            created: &self.created,
            id_in_path: self.path,
            id_in_location: self.location,
        })
    }

    /// `deal.won 7 amount=new.amount kind="deal"`; `?` marks what is not known.
    #[track_caller]
    fn check(&self, expect: &[&str]) {
        let Outcome::Happened(events) = self.outcome() else {
            panic!("{:?}", self.outcome());
        };
        let seen: Vec<String> = events.iter().map(shown).collect();
        assert_eq!(seen, expect);
    }
}

fn shown(event: &Detected) -> String {
    let mut text = format!("{} {}", event.event_type, event.record.as_deref().unwrap_or("-"));
    for entry in &event.data.entries {
        text.push_str(&match &entry.source {
            DataSource::Field { side, path, known } => {
                let mark = if *known { "" } else { "?" };
                format!(" {}={}.{path}{mark}", entry.name, side.word())
            }
            DataSource::Constant(constant) => format!(" {}={constant}", entry.name),
        });
    }
    text + if event.data.undecided { " undecided" } else { "" }
}

const WON: [(&str, &str); 2] = [("stage", r#""won""#), ("amount", "5.00")];

#[test]
fn built_in_events() {
    Case::new("POST", 0, vec![record(Some("9"), &[], None)]).check(&["deal.created 9"]);
    Case::new("PUT", 1, vec![record(Some("7"), &[("owner.id", "1")], None)])
        .check(&["deal.updated 7", "deal.moved 7 to=new.owner.id from=old.owner.id? undecided"]);
    Case::new("PATCH", 1, vec![record(Some("7"), &[], None)]).check(&["deal.updated 7"]);
    Case::new("DELETE", 1, vec![])
        .path("7")
        .check(&["deal.deleted 7", "deal.gone 7 stage=old.stage?"]);
    Case::new("POST", 4, vec![record(Some("8"), &[], None)]).path("7").check(&["deal.created 8"]);
    Case::new("POST", 6, vec![]).path("7").check(&["deal.deleted 7"]);
}

#[test]
fn what_is_no_write() {
    assert_eq!(Case::new("GET", 1, vec![]).outcome(), Outcome::NotAWrite);
    assert_eq!(Case::new("POST", 3, vec![]).outcome(), Outcome::NotAWrite);
    assert_eq!(Case::new("POST", 99, vec![]).outcome(), Outcome::NotAWrite);
}

#[test]
fn what_did_not_happen() {
    for (status, success, expect) in [
        (400, Truth::True, Outcome::Refused),
        (404, Truth::Unknown, Outcome::Refused),
        (500, Truth::True, Outcome::Refused),
        (303, Truth::True, Outcome::Refused),
        (200, Truth::False, Outcome::Refused),
        (200, Truth::Unknown, Outcome::Unknown),
    ] {
        let case = Case { status, success, ..Case::new("PATCH", 1, vec![]) };
        assert_eq!(case.outcome(), expect, "{status} {success:?}");
    }
    for status in [200, 201, 202, 204] {
        Case { status, ..Case::new("PATCH", 1, vec![]) }.check(&["deal.updated -"]);
    }
}

#[test]
fn where_ids_come_from() {
    let nameless = || record(None, &[], None);
    let named = |id: &str| record(Some(id), &[], None);
    let table: [(Case<'_>, &[&str]); 9] = [
        (Case::new("PATCH", 1, vec![named("1")]).path("2").location("3"), &["deal.updated 1"]),
        (Case::new("PATCH", 1, vec![nameless()]).path("2").location("3"), &["deal.updated 2"]),
        (Case::new("PATCH", 1, vec![nameless()]).location("3"), &["deal.updated 3"]),
        (Case::new("PATCH", 1, vec![]).path("2"), &["deal.updated 2"]),
        (Case::new("POST", 0, vec![]).location("3"), &["deal.created 3"]),
        (Case::new("POST", 0, vec![]), &["deal.created -"]),
        // The path of a copy names what is copied.
        (Case::new("POST", 4, vec![nameless()]).path("2"), &["deal.created -"]),
        (Case::new("POST", 4, vec![nameless()]).path("2").location("3"), &["deal.created 3"]),
        // One id cannot be that of two records.
        (
            Case::new("POST", 5, vec![nameless(), named("5")]).path("2").location("3"),
            &["deal.created -", "deal.created 5"],
        ),
    ];
    for (case, expect) in table {
        case.check(expect);
    }
}

#[test]
fn richer_events_follow_the_built_in_one() {
    let old: &[(&str, &str)] = &[("stage", r#""new""#)];
    Case::new("PATCH", 1, vec![record(Some("7"), &WON, Some(old))]).check(&[
        "deal.updated 7",
        "deal.stage_changed 7 old_stage=old.stage new_stage=new.stage",
        r#"deal.won 7 amount=new.amount kind="deal""#,
    ]);
    Case::new("PATCH", 1, vec![record(Some("7"), &WON, Some(&WON))]).check(&[
        "deal.updated 7",
        // The second rule of this name, for the first one does not hold.
        "deal.stage_changed 7 again=true",
    ]);
    Case::new("POST", 2, vec![record(Some("7"), &WON, Some(old))]).check(&[
        "deal.updated 7",
        "deal.stage_changed 7 old_stage=old.stage new_stage=new.stage",
        r#"deal.won 7 amount=new.amount kind="deal""#,
    ]);
    let partly: &[(&str, &str)] = &[("stage", r#""won""#)];
    Case::new("POST", 2, vec![record(Some("7"), partly, Some(old))]).check(&[
        "deal.updated 7",
        "deal.stage_changed 7 old_stage=old.stage new_stage=new.stage",
        r#"deal.won 7 amount=new.amount? kind="deal""#,
    ]);
}

#[test]
fn what_is_created_was_nothing_before() {
    Case::new("POST", 0, vec![record(Some("9"), &WON, None)])
        .check(&["deal.created 9", r#"deal.won 9 amount=new.amount kind="deal""#]);
    let open: &[(&str, &str)] = &[("stage", r#""open""#)];
    Case::new("POST", 0, vec![record(Some("9"), open, None)]).check(&["deal.created 9"]);
}

#[test]
fn unknown_stays_unknown() {
    // `skip` on a PATCH, `emit` on the sub-action; `deal.won` skips.
    Case::new("PATCH", 1, vec![record(Some("7"), &[("amount", "1")], None)])
        .check(&["deal.updated 7"]);
    Case::new("POST", 2, vec![record(Some("7"), &WON, None)]).check(&[
        "deal.updated 7",
        "deal.stage_changed 7 old_stage=old.stage? new_stage=new.stage undecided",
    ]);
    // Old values that do not hold the path tell nothing of it.
    Case::new("POST", 2, vec![record(Some("7"), &WON, Some(&[("amount", "1")]))]).check(&[
        "deal.updated 7",
        "deal.stage_changed 7 old_stage=old.stage? new_stage=new.stage undecided",
    ]);
    // An answer without the member does not say that it was emptied.
    Case::new("POST", 2, vec![record(Some("7"), &[], Some(&WON))]).check(&[
        "deal.updated 7",
        "deal.stage_changed 7 old_stage=old.stage new_stage=new.stage? undecided",
    ]);
    // 204, the old record known by its id.
    let unseen = Observed { id: None, values: None, old: Old::Known(values(&WON)) };
    Case::new("POST", 2, vec![unseen]).path("7").check(&[
        "deal.updated 7",
        "deal.stage_changed 7 old_stage=old.stage new_stage=new.stage? undecided",
    ]);
    // A value that is no JSON is none.
    Case::new("POST", 2, vec![record(Some("7"), &[("stage", "wo")], Some(&WON))]).check(&[
        "deal.updated 7",
        "deal.stage_changed 7 old_stage=old.stage new_stage=new.stage? undecided",
    ]);
    // `previous: none` knows nothing, though somebody else does.
    let owners: &[(&str, &str)] = &[("owner.id", "1"), ("stage", "null")];
    Case::new("PUT", 1, vec![record(Some("7"), owners, Some(owners))])
        .check(&["deal.updated 7", "deal.moved 7 to=new.owner.id from=old.owner.id? undecided"]);
    let Outcome::Happened(events) = Case::new("POST", 2, vec![record(None, &WON, None)]).outcome()
    else {
        panic!("it happened");
    };
    assert_eq!(events[1].data.unknown().collect::<Vec<_>>(), ["old_stage"]);
}

#[test]
fn many_records_are_many_events() {
    let old: &[(&str, &str)] = &[("stage", r#""new""#)];
    let records = || {
        vec![
            record(Some("1"), &WON, Some(old)),
            record(Some("2"), &WON, Some(&WON)),
            record(None, &[], None),
        ]
    };
    Case::new("POST", 5, records()).check(&[
        "deal.created 1",
        r#"deal.won 1 amount=new.amount kind="deal""#,
        "deal.created 2",
        r#"deal.won 2 amount=new.amount kind="deal""#,
        "deal.created -",
    ]);
    let case = Case::new("PATCH", 5, records());
    case.check(&[
        "deal.updated 1",
        "deal.stage_changed 1 old_stage=old.stage new_stage=new.stage",
        r#"deal.won 1 amount=new.amount kind="deal""#,
        "deal.updated 2",
        "deal.stage_changed 2 again=true",
        "deal.updated -",
    ]);
    let Outcome::Happened(events) = case.outcome() else { panic!("it happened") };
    let of: Vec<Option<usize>> = events.iter().map(|event| event.observed).collect();
    assert_eq!(of, [Some(0), Some(0), Some(0), Some(1), Some(1), Some(2)]);
    Case::new("DELETE", 5, records()).check(&[
        "deal.deleted 1",
        "deal.gone 1 stage=old.stage",
        "deal.deleted 2",
        "deal.gone 2 stage=old.stage",
        "deal.deleted -",
        "deal.gone - stage=old.stage?",
    ]);
    Case::new("DELETE", 5, vec![]).check(&["deal.deleted -", "deal.gone - stage=old.stage?"]);
}

#[test]
fn records_created_beside_come_last() {
    let beside = |create, id: Option<&str>| Beside { create, id: id.map(ToOwned::to_owned) };
    let all = vec![beside(0, Some("70")), beside(1, Some("71")), beside(1, None), beside(9, None)];
    let post =
        Case { created: all.clone(), ..Case::new("POST", 0, vec![record(Some("1"), &WON, None)]) };
    post.check(&[
        "deal.created 1",
        r#"deal.won 1 amount=new.amount kind="deal""#,
        "contact.created 70",
    ]);
    let Outcome::Happened(events) = post.outcome() else { panic!("it happened") };
    let contact = events.last().unwrap();
    assert_eq!((contact.resource.as_str(), contact.observed), ("contact", None));
    Case { created: all, ..Case::new("PATCH", 1, vec![]) }.path("1").check(&[
        "deal.updated 1",
        "deal.person_made 71",
        "deal.person_made -",
    ]);
}

#[test]
fn ids_in_json() {
    for (text, expect) in [
        ("42", Some("42")),
        ("9007199254740993", Some("9007199254740993")),
        (r#""a-1""#, Some("a-1")),
        (r#""a\u0062""#, Some("ab")),
        (r#""""#, None),
        ("null", None),
        ("true", None),
        ("1.0", None),
        ("1e3", None),
        ("-1", None),
        ("[1]", None),
        ("{", None),
    ] {
        assert_eq!(id_of(text).as_deref(), expect, "{text}");
    }
}
