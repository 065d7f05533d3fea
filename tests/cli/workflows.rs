//! `fieldgate workflows` and `fieldgate runs`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldgate::diagnostic::SourceFile;
use fieldgate::event::journal;
use fieldgate::policy::workflow::Workflow;
use fieldgate::store::{Options, Store};
use fieldgate::workflow::action::ActionFailure;
use fieldgate::workflow::by_hand;
use fieldgate::workflow::runs::{
    self, Attempted, Cause, Claim, End, NewRun, Outcome, RunFailure, Runs as _, Settled, Step,
    StoredRuns, Then,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::harness::{Ran, argument, check, finish, folder, program, run};

const LEAD: &str = r#"resource: lead
routes:
  - { methods: [GET], path: /leads/, records: "$[*]" }
  - { methods: [POST], path: /leads/, records: "$" }
  - { methods: [GET, PATCH], path: "/leads/{id}/", records: "$" }
fields:
  "$..email": { pii: true, mask: redact }
"#;

const GREET: &str = "name: greet
role: sales
status: active
triggers: [{ event: lead.created, conditions: { field: budget, operator: gt, value: 10 } }]
actions:
  - send_notification: { recipient: sales, message: \"hello {{lead.name}}\" }
  - call_webhook: { url: \"https://{{env.HOST}}/\", body: { key: \"{{env.KEY}}\" } }
    when: { field: name, operator: eq, value: Ann }
";

const ALSO: &str = "name: also
role: sales
status: active
triggers: [{ event: lead.created, priority: 5, conditions: { field: budget, operator: gt, value: 10 } }]
actions:
  - send_notification: { recipient: board, message: more }
";

/// A policy folder whose tests of workflows are these.
fn policies(tests: &str) -> tempfile::TempDir {
    folder(&[
        ("policies/resources/lead.yaml", LEAD),
        ("policies/roles/sales.yaml", "role: sales\ndefault: view\n"),
        ("policies/workflows/greet.yaml", GREET),
        ("policies/workflows/also.yaml", ALSO),
        ("policies/workflows/tests/greet.yaml", tests),
    ])
}

fn test_of(rest: &str) -> String {
    let event = "type: lead.created, record: { id: 1, name: Bo, budget: 20 }";
    format!("tests:\n  - name: one\n    event: {{ {event} }}\n{rest}")
}

#[test]
fn the_shipped_tests_pass() {
    let ran = run(&["workflows", "test", "policies"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains(" passed"), "{ran:?}");
    assert!(ran.out.lines().all(|line| line.starts_with("passed  ")), "{ran:?}");
    assert!(ran.out.lines().count() >= 8, "{ran:?}");
}

/// Each is told with its place in the file of the test.
#[test]
fn what_a_failed_test_says() {
    let greet = "      - workflow: greet\n        actions:\n          - send_notification: { message: hello Bo }\n";
    let also = "      - { workflow: also }\n";
    let with = |rest: String| test_of(&rest);
    let with_ann = |rest: &str| with(rest.to_owned()).replace("name: Bo", "name: Ann");
    let whole = with(format!("    expect:\n{also}{greet}"));
    let passed = policies(&whole);
    let at = passed.path().join("policies");
    let ran = run(&["workflows", "test", argument(&at)]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "passed  one\n"), "{ran:?}");

    for (tests, code, said) in [
        (
            with(format!("    expect:\n{greet}")),
            "workflow::unexpected_run",
            "`also` runs, and the test does not expect it",
        ),
        (whole.replace("budget: 20", "budget: 5"), "workflow::missing_run", "`greet` does not run"),
        (
            with(format!("    expect:\n{greet}{also}")),
            "workflow::run_order",
            "`also` goes before `greet`, not after it",
        ),
        (
            whole.replace(
                "actions:\n          - send_notification: { message: hello Bo }",
                "actions: []",
            ),
            "workflow::action_count",
            "`greet` performs 1 actions, and the test expects 0",
        ),
        (
            whole.replace("hello Bo", "hello Cy"),
            "workflow::action_differs",
            "`message` of action 1 is `\"hello Bo\"`, not `\"hello Cy\"`",
        ),
        (
            whole.replace("send_notification: { message: hello Bo }", "add_note: {}"),
            "workflow::action_differs",
            "action 1 is `send_notification`, not `add_note`",
        ),
        (
            with_ann(&format!(
                "    expect:\n{also}      - workflow: greet\n        actions:\n          - send_notification: {{}}\n          - call_webhook: {{}}\n"
            )),
            "workflow::action_fails",
            "action 2, `call_webhook`, would fail: the environment variable `HOST` is not allowed",
        ),
    ] {
        let folder = policies(&tests);
        let at = folder.path().join("policies");
        let ran = run(&["workflows", "test", argument(&at)]);
        assert_eq!((ran.code, ran.out.as_str()), (1, "failed  one\n"), "{code}: {ran:?}");
        assert!(ran.err.contains("1 of 1 failed"), "{code}: {ran:?}");
        // Lines are broken where the terminal ends.
        let plain: Vec<&str> =
            ran.err.split(['\n', '│', ' ']).filter(|part| !part.is_empty()).collect();
        let plain = plain.join(" ");
        assert!(plain.contains(code) && plain.contains(said), "{code}: {plain}");
        assert!(plain.contains("greet.yaml:"), "{code}: {plain}");
    }
}

#[test]
fn workflows_are_listed() {
    let ran = run(&["workflows", "list"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let mut lines = ran.out.lines();
    assert!(lines.next().unwrap().starts_with("NAME"), "{ran:?}");
    let line = lines.find(|line| line.starts_with("qualify_high_value_leads ")).expect(&ran.out);
    let words: Vec<&str> = line.split_whitespace().collect();
    let expect =
        ["active", "-", "sales_rep", "lead.created", "update_field", "create_task", "send_email"];
    assert_eq!(words[1..], expect);

    let ran = run(&["workflows", "list", "--json"]);
    let listed: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = listed.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"export_on_deal_won") && names.is_sorted(), "{names:?}");
    check(&["workflows", "list", "--policies", "no/such/folder"], 3, "there is no policy folder");
    check(
        &["workflows", "list", "--policies", "tests/fixtures/policies/ten_faults"],
        1,
        "policy::",
    );
}

/// What it would do is shown, the environment is not, and nothing is written.
#[test]
fn a_workflow_is_tried_with_a_record() {
    let folder = policies(&test_of("    expect: []\n"));
    std::fs::write(folder.path().join("lead.json"), r#"{"id":7,"name":"Ann","budget":20}"#)
        .unwrap();
    let tried = |more: &[&str]| {
        let mut program = program();
        program.current_dir(folder.path()).env("HOST", "hooks.example").env("KEY", "hunter2");
        program.args(["workflows", "run", "greet", "--record", "lead.json", "--dry-run"]);
        finish(program.args(more), b"")
    };
    let ran = tried(&["--env", "HOST", "--env", "KEY", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdict = json!({ "starts": true, "decided_by": ["`new.budget gt 10` is true"] });
    assert_eq!(lines[0], verdict);
    let shown: Vec<&Value> = lines.iter().filter(|line| line.get("action").is_some()).collect();
    assert_eq!(shown[0]["payload"]["message"], "hello Ann");
    assert_eq!(shown[1]["payload"]["url"], "https://[env.HOST]/");
    assert_eq!(shown[1]["payload"]["body"], json!({ "key": "[env.KEY]" }));

    let ran = tried(&["--env", "HOST", "--env", "KEY"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("would be performed") && ran.out.contains("[env.KEY]"), "{ran:?}");
    assert!(!ran.out.contains("hunter2") && !ran.out.contains("hooks.example"), "{ran:?}");
    let ran = tried(&[]);
    assert!(ran.out.contains("would fail") && ran.out.contains("`HOST`"), "{ran:?}");

    let ran = run(&["workflows", "run", "qualify_high_value_lead", "--record", "x", "--dry-run"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("did you mean `qualify_high_value_leads`?"), "{ran:?}");
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 2, "the policies and the record: {files:?}");
}

fn greet() -> Arc<Workflow> {
    Arc::new(Workflow::alone(&SourceFile::new("greet.yaml", GREET)).unwrap())
}

/// A data folder with one run that failed at its second action.
async fn failed_run() -> (tempfile::TempDir, Uuid) {
    let folder = policies(&test_of("    expect: []\n"));
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let schemas = [journal::SCHEMA, runs::SCHEMA];
    let store = Store::open(&data, &schemas, &Options::default()).unwrap();
    let stored = StoredRuns::new(store);
    let (now, workflow) = (OffsetDateTime::now_utc(), greet());
    let event = by_hand::made_up(r#"{"id":7,"name":"Ann"}"#, &workflow, now).unwrap();
    let id = Uuid::now_v7();
    let new =
        NewRun { id, workflow, cause: Cause::Event, priority: 0, event: Arc::new(event), depth: 1 };
    assert_eq!(stored.add(vec![new], now).await.unwrap(), 1);
    let claim = Claim {
        owner: "test".into(),
        now,
        lease: Duration::from_secs(60),
        limit: 1,
        bounds: Arc::default(),
        most_interruptions: 5,
        aboard: Arc::default(),
    };
    assert_eq!(stored.claim(claim).await.unwrap().runs.len(), 1);
    let failure = ActionFailure::Status;
    let error = "the receiver answered 503".to_owned();
    let outcomes = [
        Outcome::Completed { result: r#"{"channel":"sales"}"#.to_owned() },
        Outcome::Failed { failure, error: error.clone() },
    ];
    let attempted = (0..).zip(outcomes).map(|(ordinal, outcome)| Attempted {
        ordinal,
        attempts: 1,
        started: now,
        outcome,
    });
    let end = End::Failed { failure: RunFailure::Action(failure), error };
    let step = Step {
        run: id,
        owner: "test".into(),
        now,
        attempted: attempted.collect(),
        then: Then::End(end),
    };
    assert_eq!(stored.settle(step).await.unwrap(), Settled::Yes);
    stored.store().close();
    (folder, id)
}

/// A command on the data folder.
fn on(folder: &Path, arguments: &[&str]) -> Ran {
    let data = folder.join("data");
    run(&[arguments, &["--data-dir", argument(&data)]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_listed_and_shown() {
    let (folder, id) = failed_run().await;
    let (folder, id) = (folder.path(), id.to_string());
    let ran = on(folder, &["runs", "list"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran:?}");
    assert!(ran.out.contains("failed") && ran.out.contains("lead/7"), "{ran:?}");
    assert!(ran.out.trim_end().ends_with(&id), "{ran:?}");
    for (more, found) in [
        (["--status", "failed"], true),
        (["--status", "completed"], false),
        (["--workflow", "greet"], true),
        (["--workflow", "also"], false),
        (["--correlation-id", "dry-run"], true),
    ] {
        let ran = on(folder, &[&["runs", "list", "--json"][..], &more].concat());
        assert_eq!((ran.code, ran.out.contains(&id)), (0, found), "{more:?}: {ran:?}");
    }
    let ran = on(folder, &["runs", "show", &id]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    for part in [
        "greet  failed",
        "├─ 1 send_notification  completed",
        "{\"channel\":\"sales\"}",
        "└─ 2 call_webhook       failed",
        "the receiver answered 503",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = on(folder, &["runs", "show", &id, "--json"]);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&shown["failure"], &shown["status"]), (&json!("status"), &json!("failed")));
    assert_eq!(shown["actions"][1]["error"], "the receiver answered 503");

    for command in ["show", "retry", "cancel"] {
        let ran = on(folder, &["runs", command, "ffffffff"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("there is no run `ffffffff`"), "{ran:?}");
    }
    let ran = run(&["runs", "list", "--data-dir", "no/such/folder"]);
    assert_eq!(ran.code, 3, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_begun_again_and_taken_back() {
    let (folder, id) = failed_run().await;
    let (folder, id) = (folder.path(), id.to_string());
    let status = || {
        let ran = on(folder, &["runs", "show", &id, "--json"]);
        let shown: Value = serde_json::from_str(&ran.out).unwrap();
        let actions = shown["actions"].as_array().unwrap().iter();
        let actions: Vec<String> =
            actions.map(|one| one["status"].as_str().unwrap().to_owned()).collect();
        format!("{}: {}", shown["status"].as_str().unwrap(), actions.join(", "))
    };
    let ran = on(folder, &["runs", "cancel", &id]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("the run is failed: there is nothing to take back"), "{ran:?}");

    let ran = on(folder, &["runs", "retry", &id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains(&format!("{id} goes on")), "{ran:?}");
    // What was done stays done.
    assert_eq!(status(), "pending: completed, pending");
    let ran = on(folder, &["runs", "retry", &id]);
    assert_eq!(ran.code, 1, "{ran:?}");

    let ran = on(folder, &["runs", "cancel", &id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains(&format!("{id} is cancelled")), "{ran:?}");
    assert_eq!(status(), "cancelled: completed, cancelled");
}

/// Runs of a group are with its servers: what is written into a folder, nobody there would see.
#[test]
fn a_group_is_asked_over_its_admin_listener() {
    let folder = policies(&test_of("    expect: []\n"));
    let config = "listen: 127.0.0.1:0\nupstream: { url: \"http://127.0.0.1:9\" }\n\
         policies: policies\ndata_dir: data\nidentity:\n  - static_tokens:\n      \
         - { sha256: \"0000000000000000000000000000000000000000000000000000000000000000\", subject: ann, roles: [sales] }\n\
         workflows: { nats: { servers: [\"nats://127.0.0.1:9\"] } }\n";
    std::fs::write(folder.path().join("fieldgate.yaml"), config).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let schemas = [journal::SCHEMA, runs::SCHEMA];
    Store::open(&data, &schemas, &Options::default()).unwrap().close();
    let event = Uuid::now_v7().to_string();
    let mut program = program();
    program.current_dir(folder.path());
    program.args(["workflows", "run", "greet", "--event", &event]);
    let ran = finish(&mut program, b"");
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(ran.err.contains("`workflows.nats`"), "{ran:?}");
    assert!(ran.err.contains("POST /api/v1/workflows/greet/execute/"), "{ran:?}");
}
