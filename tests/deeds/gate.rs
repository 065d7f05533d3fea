//! Workflows behind a whole gate: what they do to the demo CRM, by mail and in exports, and what
//! nobody gets to see by them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::canary::Canaries;
use super::smtp::SmtpServer;
use super::street::{Ask, Gate, Upstream, gate};

const PATIENCE: Duration = Duration::from_secs(30);

const TOKEN: &str = "an-admin-token-of-tests";

const LEAD: &str = r#"{"first_name":"Ada","last_name":"Stone","company_name":"Stone Ltd","annual_revenue":2000000,"budget":80000,"email":"ada@stone.example"}"#;

async fn gate_with(upstream: &Upstream, server: &SmtpServer, files: &[(&str, &str)]) -> Gate {
    let config = format!(
        "listen: 127.0.0.1:0\ndata_dir: data\n\
         admin: {{ listen: 127.0.0.1:0, token_file: admin.token }}\n\
         workflows:\n  crm: {{ token_file: crm.token }}\n  \
         smtp: {{ host: 127.0.0.1, port: {}, tls: \"off\", from: \"Fieldgate <crm@example.com>\" }}\n  \
         exports: {{ folder: exports }}\n  feed: {{ keep: 10 }}",
        server.port
    );
    let mut gate = gate(upstream)
        .file("data/.keep", "")
        .file("exports/.keep", "")
        .file("admin.token", TOKEN)
        // What the demo CRM takes.
        .file("crm.token", "demo-admin")
        .config(&config);
    for (name, text) in files {
        gate = gate.file(name, text);
    }
    gate.start().await
}

fn server() -> SmtpServer {
    SmtpServer::start(false, json!({}))
}

async fn page(gate: &Gate, path: &str) -> Value {
    let ask = Ask::new(gate.admin, "GET", path);
    ask.header("Authorization", &format!("Bearer {TOKEN}")).send().await.json()
}

/// The run of a workflow once it has ended, with its actions.
async fn ended(gate: &Gate, workflow: &str) -> Value {
    let began = Instant::now();
    loop {
        let runs = page(gate, &format!("/api/v1/workflows/{workflow}/runs/")).await;
        let done = runs["results"].as_array().into_iter().flatten().find(|run| {
            ["completed", "failed"].contains(&run["status"].as_str().unwrap_or_default())
        });
        if let Some(run) = done {
            let id = run["id"].as_str().unwrap();
            return page(gate, &format!("/api/v1/workflow-runs/{id}/")).await;
        }
        assert!(began.elapsed() < PATIENCE, "{runs}\n{}", gate.logged());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn create(gate: &Gate) -> Value {
    let created = gate.request("POST", "/api/v1/leads/").as_role("admin").json(LEAD).send().await;
    assert_eq!(created.status, 201, "{}", created.head);
    created.json()
}

async fn read(gate: &Gate, path: &str) -> Value {
    let answer = gate.get(path).as_role("admin").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The shipped workflow, from the write of a client to the mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_lead_of_high_value_is_qualified() {
    let (upstream, server) = (Upstream::demo().await, server());
    let gate = gate_with(&upstream, &server, &[]).await;
    let id = create(&gate).await["id"].clone();

    let run = ended(&gate, "qualify_high_value_leads").await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let lead = read(&gate, &format!("/api/v1/leads/{id}/")).await;
    assert_eq!(lead["status"], "qualified");
    let activities = read(&gate, "/api/v1/activities/?page_size=200").await;
    let task = activities["results"].as_array().unwrap().iter().find(|one| one["lead"] == id);
    let task = task.expect("the task");
    assert_eq!(task["type"], "task");
    assert!(task["subject"].as_str().unwrap().starts_with("Call Ada Stone"), "{task}");

    let mails = server.mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    assert_eq!(mails[0]["to"], json!(["sales@example.com"]));

    // What the run wrote is an event like any other, and names the run as its cause.
    let journal = causes(&gate, &run);
    assert!(
        journal
            .contains(&("lead.updated".to_owned(), "workflow:qualify_high_value_leads".to_owned())),
        "{journal:?}"
    );
    assert!(journal.iter().any(|(event, _)| event == "activity.created"), "{journal:?}");
    // Each call is a line of its own in the access log, in the workflow's role.
    let lines = gate.access_lines(4).await;
    let own = lines.iter().filter(|line| line["user_id"] == "workflow:qualify_high_value_leads");
    let own: Vec<(&Value, &Value)> = own.map(|line| (&line["method"], &line["roles"])).collect();
    let roles = json!(["sales_rep"]);
    assert_eq!(own, [(&json!("PATCH"), &roles), (&json!("POST"), &roles)]);

    // The role does not see the address, so it is in no mail, no run and no log; nor is the token.
    let secrets = Canaries::new(["ada@stone.example", "demo-admin"]);
    secrets.assert_not_in("the mail", mails[0]["content"].as_str().unwrap().as_bytes());
    secrets.assert_not_in("the run", run.to_string().as_bytes());
    secrets.assert_not_in("the log", gate.logged().as_bytes());
}

/// Type and actor of the events that a run has caused.
fn causes(gate: &Gate, run: &Value) -> Vec<(String, String)> {
    let schemas = [fieldgate::event::journal::SCHEMA];
    let folder = gate.folder.path().join("data");
    let visitor = fieldgate::store::Visitor::reader(&folder, &schemas).unwrap();
    let id = run["id"].as_str().unwrap().to_owned();
    let found = visitor.read(|connection| {
        let mut statement = connection.prepare(
            "SELECT events.type, events.actor FROM journal_events AS events
             WHERE events.cause_run = ?1 AND events.cause_depth = 1",
        )?;
        let rows = statement.query_map([&id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<Vec<(String, String)>, _>>()
    });
    found.unwrap()
}

const EXPORT: &str = "name: export\nrole: marketing\nstatus: active\n\
     triggers: [{ event: lead.created }]\n\
     actions:\n  - enqueue_export: { export_type: csv, entity_type: lead, email_to: ops@example.com }\n    timeout: 60s\n";

/// Everything, page after page, as the role of the workflow sees it.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_what_its_role_sees() {
    let (upstream, server) = (Upstream::demo().await, server());
    let lists = shipped("policies/resources/lead.yaml").replace("page_size=100", "page_size=7");
    let files =
        [("policies/workflows/export.yaml", EXPORT), ("policies/resources/lead.yaml", &lists)];
    let gate = gate_with(&upstream, &server, &files).await;
    create(&gate).await;
    let run = ended(&gate, "export").await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let file = exported(&gate);
    let text = std::fs::read_to_string(&file).unwrap();

    let mut raw = Vec::new();
    let mut next = Some("/api/v1/leads/?page_size=50".to_owned());
    while let Some(path) = next {
        let page = read(&gate, &path).await;
        raw.extend(page["results"].as_array().unwrap().clone());
        let target = |url: &str| url.split_once("/api/").map(|(_, rest)| format!("/api/{rest}"));
        next = page["next"].as_str().and_then(target);
    }
    let ids: Vec<String> = raw.iter().map(|lead| lead["id"].to_string()).collect();
    let mut exported: Vec<String> =
        text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(exported.len(), ids.len());
    exported.sort();
    exported.dedup();
    let mut expect = ids.clone();
    expect.sort();
    assert_eq!(exported, expect);

    // Marketing sees these masked or not at all; an administrator has just read them.
    let hidden = ["email", "phone", "ssn"];
    let values = raw.iter().flat_map(|lead| hidden.iter().filter_map(|name| lead[*name].as_str()));
    let values: Vec<&str> = values.filter(|value| value.len() > 6).collect();
    assert!(values.len() > 20, "the oracle knows what to look for");
    let canaries = Canaries::new(values);
    canaries.assert_not_in("the export", text.as_bytes());
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    let content = mails[0]["content"].as_str().unwrap();
    assert!(content.contains(&format!("{} records", ids.len())), "{content}");
    assert!(content.contains("Content-Disposition: attachment"), "{content}");
    canaries.assert_not_in("the mail", content.as_bytes());
    canaries.assert_not_in("the log", gate.logged().as_bytes());
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "nobody else may read it");
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The one file of the folder for exports.
fn exported(gate: &Gate) -> PathBuf {
    let files = std::fs::read_dir(gate.folder.path().join("exports")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "csv")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Even where the resource would only strip or report what a role may not write, and drop what it
/// may not ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_may_do_what_its_role_may() {
    let (upstream, server) = (Upstream::demo().await, server());
    let writes = "name: overreach\nrole: marketing\nstatus: active\n\
         triggers: [{ event: lead.created }]\n\
         actions:\n  - update_field: { entity_type: lead, entity_id: \"{{lead.id}}\", field: status, value: lost }\n";
    let asks = "name: peek\nrole: marketing\nstatus: active\n\
         triggers: [{ event: lead.created }]\n\
         actions:\n  - enqueue_export: { export_type: json, entity_type: lead, filters: { ssn: \"1\" } }\n";
    let lenient =
        format!("writes: strip\noracle: drop\n{}", shipped("policies/resources/lead.yaml"));
    let files = [
        ("policies/workflows/overreach.yaml", writes),
        ("policies/workflows/peek.yaml", asks),
        ("policies/resources/lead.yaml", &lenient),
    ];
    let gate = gate_with(&upstream, &server, &files).await;
    let id = create(&gate).await["id"].clone();
    for workflow in ["overreach", "peek"] {
        let run = ended(&gate, workflow).await;
        assert_eq!(run["status"], "failed", "{run:#}");
        assert_eq!(run["failure"], "not_permitted", "{run:#}");
    }
    let lead = read(&gate, &format!("/api/v1/leads/{id}/")).await;
    assert_ne!(lead["status"], "lost");
}

/// Nothing outside can say that it comes from inside.
#[tokio::test(flavor = "multi_thread")]
async fn no_header_makes_a_client_a_workflow() {
    let (upstream, server) = (Upstream::demo().await, server());
    let gate = gate_with(&upstream, &server, &[]).await;
    let forged = gate
        .get("/api/v1/leads/1/")
        .header("X-Fieldgate-Workflow", "qualify_high_value_leads")
        .header("X-Fieldgate-Role", "admin")
        .send()
        .await;
    assert_eq!(forged.status, 401, "{}", forged.text());
}
