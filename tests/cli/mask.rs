//! `fieldgate mask`: the shipped policies over records of the demo CRM.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use fieldgate::demo::crm::{Crm, Value};

use crate::harness::{DOUBTFUL, Ran, argument, folder, run_with};

const LEAD: &str = "GET /api/v1/leads/1/";
const LEADS: &str = "GET /api/v1/leads/";

/// A key ring that masks the same today and tomorrow.
struct Keys(
    #[expect(dead_code, reason = "removes the folder in the end")] tempfile::TempDir,
    PathBuf,
);

fn keys() -> Keys {
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let text = format!("active: k1\nkeys: {{ k1: {{ secret: \"{secret}\" }} }}\n");
    let folder = folder(&[("keys.yaml", &text)]);
    let path = folder.path().join("keys.yaml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Keys(folder, path)
}

/// Filters `body` as a caller with `roles` would get it, with the shipped policies.
fn masked(roles: &[&str], route: &str, more: &[&str], body: &str) -> Ran {
    let keys = keys();
    let mut arguments = vec!["mask", "--keys", argument(&keys.1), "--route", route];
    for role in roles {
        arguments.extend(["--role", role]);
    }
    arguments.extend(more);
    run_with(&arguments, body.as_bytes())
}

fn lead() -> String {
    Crm::seeded().record("leads", 1).unwrap().to_string()
}

fn list(crm: &Crm) -> String {
    let records: Vec<String> = crm.records("leads").iter().map(Value::to_string).collect();
    let count = records.len();
    let results = records.join(",");
    format!(r#"{{"count":{count},"next":null,"previous":null,"results":[{results}]}}"#)
}

/// The text with what depends on a key made short.
fn without_tokens(text: &str) -> String {
    let mut parts = text.split("token_");
    let mut shown = parts.next().unwrap().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|one: char| one.is_ascii_alphanumeric());
        shown.push_str("token_...");
        shown.push_str(rest);
    }
    shown
}

/// One member a line.
fn in_lines(record: &str) -> String {
    record.replace(",\"", ",\n\"")
}

#[test]
fn one_lead_as_each_role_gets_it() {
    for role in ["admin", "sales_rep", "marketing", "finance", "support"] {
        let ran = masked(&[role], LEAD, &["--stats"], &lead());
        assert_eq!(ran.code, 0, "{ran:?}");
        let text = format!("{}\n{}", in_lines(&without_tokens(&ran.out)), ran.err);
        insta::assert_snapshot!(format!("lead_for_{role}"), text);
    }
}

#[test]
fn bytes_that_no_policy_touches_stay() {
    let awkward =
        "  {\"id\": 1,\t\"x\":[9007199254740993, 1.10, 1e400, -0, [], {}, \"\\u00e9\"]}\n";
    let ran = masked(&["admin"], LEAD, &[], awkward);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, awkward, ""));
}

#[test]
fn a_long_list_streams_and_shows_no_personal_value() {
    let crm = Crm::with_leads(2_000);
    let body = list(&crm);
    assert!(body.len() > 1_500_000);
    let ran = masked(&["marketing"], LEADS, &[], &body);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let answer = Value::parse(ran.out.as_bytes()).unwrap();
    assert_eq!(answer.get("count").unwrap().to_string(), "2000");
    for record in crm.records("leads").iter().step_by(97) {
        for field in ["email", "phone", "ssn", "external_id"] {
            let value = record.get(field).unwrap();
            let text = value.as_text().map_or_else(|| value.to_string(), str::to_owned);
            // Empty and `null` values stay as they are.
            assert!(text.len() <= 4 || !ran.out.contains(&text), "{field}: {text}");
        }
    }
}

#[test]
fn several_roles_get_the_least_of_all() {
    let both = masked(&["support", "sales_rep"], LEAD, &[], &lead()).out;
    let turned = masked(&["sales_rep", "support", "sales_rep"], LEAD, &[], &lead()).out;
    assert_eq!(both, turned);
    let both = Value::parse(both.as_bytes()).unwrap();
    assert!(both.get("annual_revenue").is_none(), "support may not see it");
    assert!(both.get("email").unwrap().as_text().unwrap().contains('*'), "sales_rep may not");
}

#[test]
fn tenants_have_tokens_of_their_own() {
    let token = |more: &[&str]| {
        let ran = masked(&["marketing"], LEAD, more, &lead());
        let token = Value::parse(ran.out.as_bytes()).unwrap().get("external_id").unwrap().clone();
        token.as_text().unwrap().to_owned()
    };
    let (one, other) = (token(&["--tenant", "one"]), token(&["--tenant", "other"]));
    assert!(one.starts_with("token_"));
    assert_eq!(one, token(&["--tenant", "one"]));
    assert_ne!(one, other);
    assert_ne!(one, token(&[]));
}

#[test]
fn nothing_in_an_error_is_a_record() {
    let error = r#"{"detail":{"lead":{"id":7,"email":"john@example.com","phone":"555-0100"}}}"#;
    let ran = masked(&["sales_rep"], LEAD, &["--error-body"], error);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.out.contains("john@") && !ran.out.contains("555"), "{ran:?}");
}

/// A refused input: exit code 1, the reason, and nothing printed that had not been filtered.
#[track_caller]
fn check_refused(body: &str, more: &[&str], said: &str) {
    let ran = masked(&["sales_rep"], LEAD, more, body);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!ran.out.contains("john"), "{ran:?}");
    assert!(ran.err.contains("the input is refused"), "{ran:?}");
    assert!(ran.err.contains(said), "{ran:?}");
    assert!(!ran.err.contains("john"), "{ran:?}");
}

#[test]
fn refused_inputs() {
    check_refused("", &[], "ended early");
    check_refused("{\"email\":\"john@example.com\"", &[], "ended early");
    check_refused("{\"email\":\"john@example.com\",}", &[], "not valid JSON");
    check_refused("{} {\"email\":\"john@example.com\"}", &[], "not valid JSON");
    check_refused(&"[".repeat(200), &[], "too deep");
    let long = format!("{{\"email\":\"{}\"}}", "john".repeat(100));
    check_refused(&long, &["--limit-masked-value", "100"], "--limit-masked-value");
}

#[test]
fn after_a_refusal_nothing_more_is_printed() {
    let good = list(&Crm::with_leads(1_000));
    let body = format!("{} oops", good.strip_suffix("]}").unwrap());
    let whole = masked(&["sales_rep"], LEADS, &[], &good).out;
    let ran = masked(&["sales_rep"], LEADS, &[], &body);
    assert_eq!(ran.code, 1);
    assert!(!ran.out.is_empty());
    assert!(whole.starts_with(&ran.out), "what was printed before had been filtered");
}

/// A call that never looks at its input.
#[track_caller]
fn check_stopped(arguments: &[&str], code: i32, said: &str) {
    let ran = run_with(&[&["mask"], arguments].concat(), b"{\"email\":\"john@example.com\"}");
    assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
    assert!(ran.err.contains(said), "{ran:?}");
}

#[test]
fn what_the_command_line_names_must_be_there() {
    let keys = keys();
    let keys = ["--keys", argument(&keys.1)];
    let with = |more: &[&'static str]| [&keys[..], more].concat();
    check_stopped(&with(&["--role", "admn", "--route", LEAD]), 2, "did you mean `admin`?");
    let lead = "GET /api/v1/lead/";
    check_stopped(&with(&["--role", "admin", "--route", lead]), 2, "`GET /api/v1/leads/`?");
    let put = "PUT /api/v1/leads/";
    check_stopped(&with(&["--role", "admin", "--route", put]), 2, "no policy declares PUT");
    let upper = "GET /API/v1/leads/";
    check_stopped(&with(&["--role", "admin", "--route", upper]), 2, "another spelling");
    let folder = ["--role", "admin", "--route", LEAD, "--policies", "no/such/folder"];
    check_stopped(&with(&folder), 3, "there is no policy folder");
    let folder =
        ["--role", "a", "--route", LEAD, "--policies", "tests/fixtures/policies/ten_faults"];
    check_stopped(&with(&folder), 1, "policy::unknown_word");
}

#[test]
fn on_a_passthrough_only_global_entries_hold() {
    let body = r#"{"password":"1","email":"john@example.com"}"#;
    let ran = masked(&["marketing"], "GET /favicon.ico", &[], body);
    assert_eq!((ran.code, ran.out.as_str()), (0, r#"{"email":"john@example.com"}"#));
}

#[test]
fn keys_that_are_needed_and_not_there() {
    let call = ["--role", "sales_rep", "--route", LEAD];
    check_stopped(&call, 3, "needs a key, and `--keys` is not given");
    let missing = [&call[..], &["--keys", "no/such.yaml"]].concat();
    check_stopped(&missing, 3, "keys::unreadable");
    let open = folder(&[("keys.yaml", "active: k1")]);
    let path = open.path().join("keys.yaml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let open = [&call[..], &["--keys", argument(&path)]].concat();
    check_stopped(&open, 1, "chmod 600");
}

#[test]
fn policies_without_keyed_masks_need_no_keys() {
    let folder = folder(&DOUBTFUL);
    let policies = folder.path().join("policies");
    let arguments =
        ["mask", "--policies", argument(&policies), "--role", "viewer", "--route", "GET /leads/"];
    let ran = run_with(&arguments, br#"[{"email":"john@example.com"}]"#);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, r#"[{"email":"john@example.com"}]"#);
}
