//! `fieldgate score explain`.

use std::path::Path;

use crate::harness::{argument, check, finish, folder, program, run, run_with};

const AT: &str = "2026-11-22T10:00:00Z";

/// The first check value of the formula: 72.
const LEAD: &str = r#"{
  "id": 17,
  "status": "qualified",
  "created_at": "2026-11-07T09:30:00Z",
  "email": "canary@example.com", "phone": "+49 30 555-0101", "company_name": "Harbour Tools",
  "industry": "logistics", "budget": "73125.50", "title": null,
  "engagement": { "email_opened": true, "link_clicked": true, "form_submitted": false },
  "custom_fields": { "plan": "gold", "loyalty_card": "LC-30000013", "preferences": { "newsletter": false } }
}
"#;

fn lead() -> tempfile::TempDir {
    folder(&[("lead.json", LEAD)])
}

/// Runs it over the lead and the shipped policies.
fn explain(more: &[&str], columns: &str) -> String {
    let folder = lead();
    let path = folder.path().join("lead.json");
    let mut program = program();
    program.args(["score", "explain", "--at", AT, "--activities", "7", "--lead", argument(&path)]);
    program.args(more).env("COLUMNS", columns);
    let ran = finish(&mut program, b"");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{more:?}: {ran:?}");
    assert!(
        ran.out.lines().all(|line| line.chars().count() <= columns.parse().unwrap())
            || ran.out.starts_with('{'),
        "{}",
        ran.out
    );
    for value in ["canary", "0101", "Harbour", "73125", "LC-3", "gold"] {
        assert!(!ran.out.contains(value), "{}", ran.out);
    }
    ran.out
}

#[test]
fn a_chart() {
    insta::assert_snapshot!("score_wide", explain(&[], "110"));
    insta::assert_snapshot!("score_narrow", explain(&[], "50"));
}

#[test]
fn what_roles_are_told() {
    insta::assert_snapshot!("score_sales_rep", explain(&["--role", "sales_rep"], "110"));
    insta::assert_snapshot!("score_marketing", explain(&["--role", "marketing"], "110"));
    assert_eq!(explain(&["--role", "support"], "110"), "withheld from `support`\n");
    let both = explain(&["--role", "marketing", "--role", "support"], "110");
    assert_eq!(both, "withheld from `marketing`, `support`\n");
}

#[test]
fn json_for_programs() {
    insta::assert_snapshot!("score_json", explain(&["--json"], "110"));
    insta::assert_snapshot!(
        "score_json_sales_rep",
        explain(&["--json", "--role", "sales_rep"], "80")
    );
    let json = |role| explain(&["--json", "--role", role], "110");
    assert_eq!(json("support"), "{\"disclosure\":\"withhold\"}\n");
    assert!(!json("marketing").contains("total"));
}

#[test]
fn companies_count_otherwise() {
    let total = |more: &[&str]| -> u64 {
        let json: serde_json::Value =
            serde_json::from_str(&explain(&[&["--json"], more].concat(), "110")).unwrap();
        json["total_score"].as_u64().unwrap()
    };
    // 20 + 14 + 12 + 20 * 5 / 7 + 9 + 5 * 60 / 100
    assert_eq!(total(&[]), 72);
    assert_eq!(total(&["--company", "nobody-has-heard-of"]), 72);
    // 24 + 14 + 8 + 20 * 5 / 7 + 9 + 5
    assert_eq!(total(&["--company", "acme"]), 74);
}

#[test]
fn the_lead_may_come_through_a_pipe() {
    let arguments = ["score", "explain", "--lead", "-", "--at", AT, "--json"];
    let ran = run_with(&arguments, LEAD.as_bytes());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    // Nobody tells how many activities there were.
    assert!(ran.out.contains("\"total_score\":58"), "{}", ran.out);
    assert!(ran.out.contains("no activities are known"), "{}", ran.out);
}

#[test]
fn now_is_the_moment_unless_another_is_named() {
    let ran = run_with(&["score", "explain", "--lead", "-", "--json"], b"{}");
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let moment = json["calculated_at"].as_str().unwrap();
    let moment =
        time::OffsetDateTime::parse(moment, &time::format_description::well_known::Rfc3339);
    let age = time::OffsetDateTime::now_utc() - moment.unwrap();
    assert!(age < time::Duration::minutes(10) && !age.is_negative(), "{age}");
}

#[test]
fn there_is_colour_only_where_someone_can_see_it() {
    assert!(!explain(&[], "110").contains('\x1b'));
    let folder = lead();
    let path = folder.path().join("lead.json");
    let mut forced = program();
    forced.args(["score", "explain", "--lead", argument(&path)]).env("CLICOLOR_FORCE", "1");
    assert!(finish(&mut forced, b"").out.contains("\x1b["));
}

#[test]
fn what_is_refused() {
    let lead = lead();
    let path = lead.path().join("lead.json");
    let explain = ["score", "explain", "--lead", argument(&path)];
    let with = |more: &[&'static str]| [&explain[..], more].concat();
    check(&with(&["--role", "sales_rp"]), 2, "did you mean `sales_rep`?");
    check(&with(&["--resource", "deal"]), 2, "`deal` holds no leads");
    check(&with(&["--at", "yesterday"]), 2, "2026-11-22T10:00:00Z");
    check(&with(&["--policies", "no/such/folder"]), 3, "there is no policy folder");
    check(&["score", "explain"], 2, "--lead <FILE>");
    check(&["score", "explain", "--lead", "no/such/lead.json"], 3, "cannot be read");
    let faulty = "tests/fixtures/policies/ten_faults";
    check(&with(&["--policies", faulty]), 1, "policy::");
    for (input, said) in [
        ("[]", "a lead is one JSON object"),
        ("", "a lead is one JSON object"),
        ("{\"status\":", "the lead is refused: the JSON text ended early"),
        ("{} {}", "the lead is refused: the text is not valid JSON"),
    ] {
        let ran = run_with(&["score", "explain", "--lead", "-"], input.as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{input}: {ran:?}");
        assert!(ran.err.contains(said), "{input}: {ran:?}");
    }
}

#[test]
fn policies_without_scoring_and_with_several_kinds() {
    let lead = r#"resource: lead
routes: [{ methods: [GET], path: /leads/, records: "$[*]" }]
fields: { "$..email": { pii: true, mask: redact } }
"#;
    let files = [
        ("p/resources/lead.yaml", lead.to_owned()),
        ("p/resources/inquiry.yaml", lead.replace("lead", "inquiry")),
        ("p/roles/admin.yaml", "role: admin\n".to_owned()),
        ("lead.json", LEAD.to_owned()),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let folder = folder(&files);
    let (policies, file) = (folder.path().join("p"), folder.path().join("lead.json"));
    let arguments =
        ["score", "explain", "--policies", argument(&policies), "--lead", argument(&file)];
    check(&arguments, 2, "`leads: [lead]` is enough");
    write(&policies.join("scoring.yaml"), "leads: [lead, inquiry]\n");
    check(&arguments, 2, "name one with `--resource`: `inquiry`, `lead`");
    let ran = run(&[&arguments[..], &["--resource", "inquiry"]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
