//! What scoring files come to mean.

use std::sync::Arc;

use time::Duration;
use time::macros::datetime;

use crate::diagnostic::SourceFile;
use crate::json::path::FieldPath;
use crate::policy::scoring::{ScoreApi, Scoring, Told};
use crate::policy::set::Role;
use crate::policy::{self, PolicySet};
use crate::score::{
    Activities, ActivityRule, ActivitySource, ComponentName, ComponentSet, Disclosure, HeaderNames,
    Inputs, Score, ScoreHeader, ScoringPlan,
};

const LEAD: &str = r#"
resource: lead
id: id
routes: [{ methods: [GET], path: "/leads/{id}/", records: "$" }]
fields: { "$..email": { pii: true, mask: redact } }
"#;
const ACTIVITY: &str = r#"
resource: activity
routes: [{ methods: [GET], path: "/activities/", records: "$[*]" }]
fields: { "$..body": { mask: redact } }
"#;

fn set(scoring: &str, more: &[(&str, &str)]) -> PolicySet {
    let roles = [
        ("roles/admin.yaml", "role: admin\ndefault: edit\n"),
        ("roles/sales.yaml", "role: sales\nlead: { \"$..budget\": mask, custom: hidden }\n"),
        (
            "roles/desk.yaml",
            "role: desk\ndefault: hidden\nlead: { status: view }\nactivity: { at: view }\n",
        ),
    ];
    let files = [
        ("resources/lead.yaml", LEAD),
        ("resources/activity.yaml", ACTIVITY),
        ("scoring.yaml", scoring),
    ];
    let files: Vec<Arc<SourceFile>> = files
        .iter()
        .chain(&roles)
        .chain(more)
        .map(|(name, text)| SourceFile::new(*name, *text))
        .collect();
    let read = policy::read("".as_ref(), &files);
    read.set.unwrap_or_else(|| panic!("{:?}", read.findings))
}

fn scoring(text: &str) -> Scoring {
    set(text, &[]).scoring.unwrap()
}

fn watched(plan: &ScoringPlan) -> Vec<&str> {
    plan.watched_paths().iter().map(FieldPath::as_str).collect()
}

fn total(plan: &Arc<ScoringPlan>, record: &str) -> u8 {
    let now = datetime!(2026-11-22 10:00 UTC);
    let mut inputs = Inputs::at(now);
    inputs.see_record(plan, record.as_bytes()).unwrap();
    let activities = Activities { count: 5, source: ActivitySource::Observed };
    Score::of(plan, &inputs, activities, now).total()
}

#[test]
fn one_line_is_a_whole_file() {
    let scoring = scoring("leads: [lead]");
    let plan = scoring.plan("lead", Some("acme")).unwrap();
    assert!(scoring.plan("activity", None).is_none());
    let expect = [
        "status",
        "created_at",
        "email",
        "phone",
        "company_name",
        "industry",
        "annual_revenue",
        "budget",
        "title",
        "email_opened",
        "link_clicked",
        "form_submitted",
    ];
    assert_eq!(watched(plan), expect);
    assert_eq!(*plan.activity_rule(), ActivityRule::Nowhere);
    assert_eq!(scoring.headers, Some(HeaderNames::default()));
    assert_eq!((scoring.list_limit, scoring.member.as_deref()), (50, None));
    assert_eq!(scoring.api, ScoreApi::Admin);
    assert_eq!(scoring.stale_after, Duration::days(7));
    assert_eq!(scoring.refresh_every, Duration::hours(24));
    assert_eq!(scoring.retention, Duration::days(365));
    assert!(scoring.disclosures.is_empty());
    assert!(set("leads: [lead]", &[]).scoring.is_some());
}

#[test]
fn no_file_is_no_scoring() {
    let files =
        [SourceFile::new("resources/lead.yaml", LEAD), SourceFile::new("roles/a.yaml", "role: a")];
    assert!(policy::read("".as_ref(), &files).set.unwrap().scoring.is_none());
}

#[test]
fn a_file_that_says_everything() {
    let scoring = scoring(
        r#"
leads:
  lead:
status: state.name
created_at: $.meta.created
timezone: "+03:00"
date_formats: [DD.MM.YYYY]
activities: { list: history, at: when }
weights: { status: 100, recent_activity: 0, age: 0, completeness: 0, engagement: 0, custom_fields: 0 }
statuses: { Booked: 0.9, lost: 0.05 }
unknown_status: 0
aliases: { Dead: lost, 7: Booked }
tracked: [email, { budget: money }]
engagement: { clicks: 0.5 }
custom_fields: { custom.plan: 12.5 }
headers: { score: X-Heat }
list_limit: 10
member: _score
api: data
stale_after: 36h
refresh_every: 90m
retention: 30d
roles: { sales: bucket, desk: withhold }
"#,
    );
    let plan = scoring.plan("lead", None).unwrap();
    let expect = [
        "state.name",
        "$.meta.created",
        "email",
        "budget",
        "clicks",
        "custom.plan",
        "history.when",
    ];
    assert_eq!(watched(plan), expect);
    for (status, expect) in
        [("booked", 90), ("Dead", 5), ("7", 90), ("qualified", 80), ("somewhere", 0)]
    {
        assert_eq!(
            total(plan, &format!(r#"{{"state":{{"name":"{status}"}}}}"#)),
            expect,
            "{status}"
        );
    }
    assert_eq!(scoring.headers.as_ref().unwrap().of(ScoreHeader::Total), "x-heat");
    assert_eq!((scoring.list_limit, scoring.member.as_deref()), (10, Some("_score")));
    assert_eq!(scoring.api, ScoreApi::Data);
    assert_eq!(scoring.stale_after, Duration::hours(36));
    assert_eq!(scoring.refresh_every, Duration::minutes(90));
    assert_eq!(scoring.retention, Duration::days(30));
    assert_eq!(scoring.disclosures["desk"], Disclosure::Withhold);
}

#[test]
fn what_can_be_switched_off() {
    let scoring = scoring("leads: [lead]\nheaders: off\nmember: off\napi: off\nlist_limit: 0\n");
    assert_eq!((scoring.headers, scoring.member, scoring.list_limit), (None, None, 0));
    assert_eq!(scoring.api, ScoreApi::Off);
}

#[test]
fn activities_outside_of_the_record() {
    let rule = |text: &str| {
        let scoring = scoring(&format!("leads: [lead]\nactivities: {text}"));
        scoring.plan("lead", None).unwrap().activity_rule().clone()
    };
    let observed = rule("{ observed: { resource: activity, lead: lead.id } }");
    let ActivityRule::Observed { resource, lead, at: None } = observed else {
        panic!("{observed:?}")
    };
    assert_eq!((resource.as_str(), lead.as_str()), ("activity", "lead.id"));
    let fetch = rule(
        r#"{ fetch: { resource: activity, path: "/api/a/?lead={id}&n=9", records: "$.results[*]", at: at, limit: 500, good_for: 2h } }"#,
    );
    let ActivityRule::Fetch(fetch) = fetch else { panic!("{fetch:?}") };
    assert_eq!((fetch.target.as_str(), fetch.most), ("/api/a/?lead={id}&n=9", 500));
    assert_eq!(fetch.records.as_str(), "$.results[*]");
    assert_eq!(fetch.good_for, Duration::hours(2));
}

/// The defaults, the file, the kind of lead, the section of a company, its own file.
#[test]
fn rules_lie_one_over_the_other() {
    let set = set(
        r"
leads:
  lead: { status: state, statuses: { new: 0.6 } }
weights: { status: 100, recent_activity: 0, age: 0, completeness: 0, engagement: 0, custom_fields: 0 }
statuses: { new: 0.4, contacted: 0.7 }
aliases: { Fresh: new }
companies:
  acme: { statuses: { new: 0.2 }, aliases: { fresh: contacted } }
",
        &[
            ("companies/acme/scoring.yaml", "statuses: { contacted: 0.3 }\n"),
            ("companies/globex/scoring.yaml", "statuses: { new: 0.1 }\nunknown_status: 0.9\n"),
        ],
    );
    let scoring = set.scoring.unwrap();
    let totals = |company: Option<&str>| -> Vec<u8> {
        let plan = scoring.plan("lead", company).unwrap();
        ["new", "fresh", "contacted", "other"]
            .iter()
            .map(|status| total(plan, &format!(r#"{{"state":"{status}"}}"#)))
            .collect()
    };
    assert_eq!(totals(None), [60, 60, 70, 50]);
    assert_eq!(totals(Some("unheard-of")), [60, 60, 70, 50]);
    assert_eq!(totals(Some("acme")), [20, 30, 30, 50]);
    assert_eq!(totals(Some("globex")), [10, 10, 70, 90]);
    let plan = scoring.plan("lead", Some("acme")).unwrap();
    assert_eq!(plan.weights().of(ComponentName::Status).to_string(), "100");
}

fn told(set: &PolicySet, roles: &[&str]) -> (Told, ComponentSet) {
    let roles: Vec<&Role> = roles.iter().map(|role| &*set.roles[*role]).collect();
    let scoring = set.scoring.as_ref().unwrap();
    let plan = scoring.plan("lead", None).unwrap();
    let told = scoring.told(set, "lead", &roles, plan).unwrap();
    (told, plan.folded(told.visible))
}

#[test]
fn what_roles_are_told() {
    let set = set(
        r"
leads: [lead]
custom_fields: { custom.plan: 100 }
activities: { observed: { resource: activity, lead: lead, at: at } }
roles: { sales: bucket }
",
        &[],
    );
    let folded = |names: &[ComponentName]| names.iter().copied().collect::<ComponentSet>();
    let (admin, hidden) = told(&set, &["admin"]);
    assert_eq!((admin.disclosure, admin.ids, hidden), (Disclosure::Full, true, folded(&[])));
    let (sales, hidden) = told(&set, &["sales"]);
    let of_sales = folded(&[ComponentName::Completeness, ComponentName::CustomFields]);
    assert_eq!((sales.disclosure, sales.ids, hidden), (Disclosure::Bucket, true, of_sales));
    let (together, hidden) = told(&set, &["admin", "sales"]);
    assert_eq!((together.disclosure, hidden), (Disclosure::Bucket, of_sales));
    // The desk sees when activities were, but not whose; and no id.
    let (desk, hidden) = told(&set, &["desk"]);
    let all_but_status = ComponentName::ALL[1..].iter().copied().collect::<ComponentSet>();
    assert_eq!((desk.disclosure, desk.ids, hidden), (Disclosure::Full, false, all_but_status));
    let (nobody, hidden) = told(&set, &[]);
    assert_eq!((nobody.disclosure, hidden), (Disclosure::Withhold, ComponentSet::ALL));
}

#[test]
fn where_a_union_of_roles_sees_more() {
    let lead = LEAD.replace("id: id", "id: id\ncombine: union");
    let files = [
        SourceFile::new("resources/lead.yaml", lead),
        SourceFile::new("roles/a.yaml", "role: a\nlead: { status: hidden }"),
        SourceFile::new("roles/b.yaml", "role: b"),
        SourceFile::new("scoring.yaml", "leads: [lead]\nroles: { a: withhold, b: bucket }"),
    ];
    let set = policy::read("".as_ref(), &files).set.unwrap();
    let (both, folded) = told(&set, &["a", "b"]);
    assert_eq!((both.disclosure, folded), (Disclosure::Bucket, ComponentSet::NONE));
    assert_eq!(told(&set, &["a"]).1, ComponentSet::NONE.with(ComponentName::Status));
}

#[test]
fn the_shipped_scoring_of_the_demo() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let set = policy::load(&folder).set.unwrap();
    let word = |role| {
        let (told, folded) = told(&set, &[role]);
        let named = ComponentName::ALL.into_iter().filter(|name| !folded.has(*name));
        let named: Vec<&str> = named.map(ComponentName::word).collect();
        (told.disclosure, told.ids, named.join(" "))
    };
    let all = "status recent_activity age completeness engagement custom_fields";
    let some = "status recent_activity age engagement";
    assert_eq!(word("admin"), (Disclosure::Full, true, all.to_owned()));
    assert_eq!(word("sales_rep"), (Disclosure::Full, true, some.to_owned()));
    assert_eq!(word("marketing"), (Disclosure::Bucket, true, some.to_owned()));
    assert_eq!(word("support"), (Disclosure::Withhold, true, some.to_owned()));
    assert_eq!(word("finance"), (Disclosure::Full, true, "status age".to_owned()));
    let scoring = set.scoring.as_ref().unwrap();
    let plan = |company| scoring.plan("lead", company).unwrap().weights().of(ComponentName::Status);
    assert_eq!(
        (plan(None).to_string(), plan(Some("acme")).to_string()),
        ("25".into(), "30".into())
    );
    let lead = crate::demo::crm::Crm::with_leads(7).records("leads")[6].to_string();
    let plan = scoring.plan("lead", None).unwrap();
    // Contacted 12.5, five activities 10, old 3, 5 of 7 fields 14.28, all signals 15, custom 3.
    assert_eq!(total(plan, &lead), 57);
}
