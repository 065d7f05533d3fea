//! Workflows through the whole program: a write starts a run, and operators read and change what
//! runs, over the admin listener.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::*;

/// Longest wait for what happens off the street.
const PATIENCE: Duration = Duration::from_secs(20);

const TOKEN: &str = "an-admin-token-of-tests";

const CONFIG: &str = "listen: 127.0.0.1:0\ndata_dir: data\nworkflows: { concurrency: 4 }\n\
     admin: { listen: 127.0.0.1:0, token_file: admin.token }";

/// Tells everybody of a change; acts as a role that no other workflow acts as.
const TELL: &str = "name: tell\nrole: support\nstatus: active\n\
     triggers: [{ event: lead.updated, conditions: { field: status, operator: eq, value: lost } }]\n\
     actions:\n  - send_notification: { recipient: nobody, message: \"lost: {{lead.email}}\" }\n";

async fn gate_with(upstream: &Upstream, config: &str) -> Gate {
    let gate = gate(upstream).file("data/.keep", "").file("admin.token", TOKEN).config(config);
    gate.start().await
}

impl Gate {
    fn page(&self, method: &str, path: &str) -> Ask {
        let ask = Ask::new(self.admin, method, path);
        ask.header("Authorization", &format!("Bearer {TOKEN}"))
    }

    /// The runs of a workflow, as soon as one of them stands like this.
    async fn runs(&self, workflow: &str, status: &str) -> Vec<Value> {
        let path = format!("/api/v1/workflows/{workflow}/runs/?status={status}");
        let began = Instant::now();
        loop {
            let answer = self.page("GET", &path).send().await;
            if answer.status == 200
                && let Some(runs) =
                    answer.json()["results"].as_array().filter(|runs| !runs.is_empty())
            {
                return runs.clone();
            }
            assert!(began.elapsed() < PATIENCE, "{}: {}", answer.status, answer.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Nothing is configured to act with, so that the run fails, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_starts_a_run_that_says_why_it_failed() {
    let upstream = Upstream::demo().await;
    let gate = gate_with(&upstream, CONFIG).await;
    let lead = r#"{"last_name":"Stone","company_name":"Stone Ltd","annual_revenue":2000000,"budget":80000,"email":"ada@stone.example"}"#;
    let created = gate.request("POST", "/api/v1/leads/").as_role("admin").json(lead).send().await;
    assert_eq!(created.status, 201, "{}", created.head);
    let id = created.json()["id"].to_string();
    let correlation = created.header("x-correlation-id").unwrap().to_owned();

    let runs = gate.runs("qualify_high_value_leads", "failed").await;
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    assert_eq!(run["event"]["type"], "lead.created");
    assert_eq!(run["event"]["subject"], format!("lead/{id}"));
    assert_eq!((&run["role"], &run["tenant"]), (&json!("sales_rep"), &json!("demo")));
    assert_eq!(run["correlation_id"], correlation.as_str());
    assert_eq!(run["failure"], "not_configured");

    let path = format!("/api/v1/workflow-runs/{}/", run["id"].as_str().unwrap());
    let shown = gate.page("GET", &path).send().await;
    let standing: Vec<(String, String)> = shown.json()["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["action"].as_str().unwrap().into(), one["status"].as_str().unwrap().into()))
        .collect();
    let expect =
        [("update_field", "failed"), ("create_task", "cancelled"), ("send_email", "cancelled")];
    assert_eq!(standing, expect.map(|(one, other)| (one.to_owned(), other.to_owned())));
    // What the role may not see is nowhere.
    assert!(!shown.text().contains("ada@stone.example"), "{}", shown.text());

    let log = gate.logged();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = lines.into_iter().any(|line| {
        line["message"] == "a run of a workflow failed; see `fieldgate runs show`"
            && line["correlation_id"] == correlation.as_str()
            && line["reason"] == "not_configured"
    });
    assert!(told, "{log}");
    let metrics = gate.page("GET", "/metrics").send().await;
    let series =
        "fieldgate_workflow_runs_total{outcome=\"failed\",workflow=\"qualify_high_value_leads\"} 1";
    assert!(metrics.text().contains(series), "{}", metrics.text());

    let unknown = gate.page("GET", "/api/v1/workflow-runs/0190a5c8-7e60-7cc3-98c8-dc0c0c07398f/");
    assert_eq!(unknown.send().await.status, 404);
    assert_eq!(gate.page("GET", "/api/v1/workflows/nobody/runs/").send().await.status, 404);
}

/// What is sent is checked with all other policies, written into the folder, and in force without a
/// restart, although no workflow acted as its role before.
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_made_changed_and_removed() {
    let upstream = Upstream::demo().await;
    let gate = gate_with(&upstream, CONFIG).await;
    let names = async || {
        let answer = gate.page("GET", "/api/v1/workflows/").send().await.json();
        let names = answer["results"].as_array().unwrap().iter();
        names.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(names().await.contains(&"qualify_high_value_leads".to_owned()));
    let file = gate.folder.path().join("policies/workflows/tell.yaml");

    let faulty = TELL.replace("lead.updated", "lead.exploded");
    let answer =
        gate.page("POST", "/api/v1/workflows/").body("application/yaml", &faulty).send().await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let finding = &answer.json()["findings"][0];
    assert_eq!(finding["code"], "policy::unknown_event");
    assert_eq!((&finding["file"], &finding["line"]), (&json!("workflows/tell.yaml"), &json!(4)));
    assert!(!file.exists());

    let made = gate.page("POST", "/api/v1/workflows/").body("application/yaml", TELL).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["workflow"]["status"], "active");
    let began = Instant::now();
    while !names().await.contains(&"tell".to_owned()) {
        assert!(began.elapsed() < PATIENCE, "it never comes into force");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = gate.page("POST", "/api/v1/workflows/").body("application/yaml", TELL).send().await;
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("workflow_exists")));
    let shown = gate.page("GET", "/api/v1/workflows/tell/").send().await.json();
    assert_eq!(shown["text"], TELL);

    // Its starter joins while the gate runs.
    let write = gate.request("PATCH", "/api/v1/leads/1/").as_role("admin");
    assert_eq!(write.json(r#"{"status":"lost"}"#).send().await.status, 200);
    assert_eq!(gate.runs("tell", "failed").await.len(), 1);

    let paused = TELL.replace("status: active", "status: paused");
    let other = TELL.replace("name: tell", "name: told");
    let put = async |text: &str| {
        let put = gate.page("PUT", "/api/v1/workflows/tell/").body("application/yaml", text);
        put.send().await
    };
    assert_eq!(put(&other).await.status, 400);
    let changed = put(&paused).await;
    assert_eq!((changed.status, &changed.json()["workflow"]["status"]), (200, &json!("paused")));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), paused);

    assert_eq!(gate.page("DELETE", "/api/v1/workflows/tell/").send().await.status, 204);
    assert!(!file.exists());
    // A workflow that a test beside it expects cannot go alone.
    let needed = gate.page("DELETE", "/api/v1/workflows/nurture_low_scores/").send().await;
    assert_eq!(needed.status, 422, "{}", needed.text());
}

/// A file may hold a workflow of another name; making one must not take it away.
#[tokio::test(flavor = "multi_thread")]
async fn making_a_workflow_overwrites_no_file() {
    let upstream = Upstream::demo().await;
    let other = TELL.replace("name: tell", "name: other");
    let gate = gate(&upstream)
        .file("data/.keep", "")
        .file("admin.token", TOKEN)
        .file("policies/workflows/tell.yaml", &other)
        .config(CONFIG);
    let gate = gate.start().await;
    let made = gate.page("POST", "/api/v1/workflows/").body("application/yaml", TELL).send().await;
    assert_eq!((made.status, &made.json()["code"]), (409, &json!("file_exists")));
    let file = gate.folder.path().join("policies/workflows/tell.yaml");
    assert_eq!(std::fs::read_to_string(file).unwrap(), other);
    assert_eq!(gate.page("GET", "/api/v1/workflows/other/").send().await.status, 200);
}

/// What the configuration lets templates name is filled in when a run acts, and shown to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_no_environment() {
    let upstream = Upstream::demo().await;
    let tell = TELL.replace("lost: {{lead.email}}", "{{env.FIELDGATE_OF_TESTS}}");
    let gate = gate(&upstream)
        .file("data/.keep", "")
        .file("admin.token", TOKEN)
        .file("policies/workflows/tell.yaml", &tell)
        .config(&CONFIG.replace("concurrency: 4", "concurrency: 4, env: [FIELDGATE_OF_TESTS]"));
    let gate = gate.start().await;
    let execute = "/api/v1/workflows/tell/execute/?dry_run=true";
    let tried = gate.page("POST", execute).json(r#"{"record":{"id":1}}"#).send().await;
    assert_eq!(tried.status, 200, "{}", tried.text());
    let actions = &tried.json()["actions"];
    assert_eq!(actions[0]["payload"]["message"], "[env.FIELDGATE_OF_TESTS]");
    assert!(!tried.text().contains(VARIABLE.1), "{}", tried.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_tried_and_started_by_hand() {
    let upstream = Upstream::demo().await;
    let gate = gate_with(&upstream, CONFIG).await;
    let execute = "/api/v1/workflows/qualify_high_value_leads/execute/";
    let record = r#"{"record":{"id":9,"first_name":"Ada","last_name":"Stone","budget":80000}}"#;
    let tried = gate.page("POST", &format!("{execute}?dry_run=true")).json(record).send().await;
    assert_eq!(tried.status, 200, "{}", tried.text());
    let tried = tried.json();
    let actions = tried["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 3);
    let decided = json!(["`new.annual_revenue gt 1000000` is false: the record has no such field"]);
    assert_eq!((&tried["starts"], &tried["decided_by"]), (&json!(false), &decided));
    assert_eq!(actions[0]["outcome"], "would_perform");
    let payload =
        json!({ "entity_type": "lead", "entity_id": "9", "field": "status", "value": "qualified" });
    assert_eq!(actions[0]["payload"], payload);
    assert_eq!(actions[1]["payload"]["title"], "Call Ada Stone of an unknown company");

    for (path, body, status) in [
        (execute, record, 400),
        (execute, "{}", 400),
        (execute, r#"{"event":"x"}"#, 400),
        (execute, r#"{"event":"0190a5c8-7e60-7cc3-98c8-dc0c0c07398f"}"#, 404),
        (&format!("{execute}?dry_run=maybe"), record, 400),
        (&format!("{execute}?dry_run=true"), r#"{"record":[]}"#, 400),
        ("/api/v1/workflows/nobody/execute/", r#"{"event":"x"}"#, 404),
    ] {
        let answer = gate.page("POST", path).json(body).send().await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
    }

    // An event that did not start it by itself: its conditions are not asked.
    let lead = r#"{"last_name":"Small","budget":1}"#;
    let created = gate.request("POST", "/api/v1/leads/").as_role("admin").json(lead).send().await;
    assert_eq!(created.status, 201);
    let event = event_of(&gate, created.header("x-correlation-id").unwrap());
    let body = json!({ "event": event }).to_string();
    let started = gate.page("POST", execute).json(&body).send().await;
    assert_eq!(started.status, 202, "{}", started.text());
    let runs = gate.runs("qualify_high_value_leads", "failed").await;
    assert_eq!(runs[0]["id"], started.json()["run"]);
}

/// The id of the event that a request caused, from the journal.
fn event_of(gate: &Gate, correlation: &str) -> String {
    let folder = gate.folder.path().join("data");
    let schemas = [fieldgate::event::journal::SCHEMA];
    let visitor = fieldgate::store::Visitor::reader(&folder, &schemas).unwrap();
    let found = visitor.read(|connection| {
        connection.query_row(
            "SELECT id FROM journal_events WHERE correlation_id = ?1",
            [correlation],
            |row| row.get::<_, String>(0),
        )
    });
    found.unwrap()
}

/// A page in an operator's browser could send these; without a token nothing is changed.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_without_a_token() {
    let upstream = Upstream::demo().await;
    let open = gate(&upstream).file("data/.keep", "").config("data_dir: data\nevents: {}");
    let open = open.start().await;
    let one = "/api/v1/workflows/qualify_high_value_leads/";
    for (method, path) in [
        ("POST", "/api/v1/workflows/"),
        ("PUT", one),
        ("DELETE", one),
        ("POST", &format!("{one}execute/")),
    ] {
        let ask = Ask::new(open.admin, method, path).body("application/yaml", TELL);
        let answer = ask.send().await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
        assert_eq!(answer.json()["code"], "admin_token_unset");
    }
    assert_eq!(Ask::new(open.admin, "GET", one).send().await.status, 200);

    let guarded = gate_with(&upstream, CONFIG).await;
    assert_eq!(Ask::new(guarded.admin, "GET", one).send().await.status, 401);
    let plain = guarded.page("POST", "/api/v1/workflows/").body("text/plain", TELL).send().await;
    assert_eq!(plain.status, 415);
    assert!(!guarded.folder.path().join("policies/workflows/tell.yaml").exists());

    let none = gate(&upstream).start().await;
    let answer = Ask::new(none.admin, "GET", "/api/v1/workflows/").send().await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}
