//! Workflows behind a whole gate: what they do to the demo CRM, by mail and in exports, and what
//! nobody gets to see by them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fieldgate::condition::Value as Exact;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::canary::Canaries;
use super::smtp::SmtpServer;
use super::street::{Ask, Gate, Pace, Upstream, gate, header, json_answer};

const PATIENCE: Duration = Duration::from_secs(30);

const TOKEN: &str = "an-admin-token-of-tests";

const LEAD: &str = r#"{"first_name":"Ada","last_name":"Stone","company_name":"Stone & <i>Sons</i>","annual_revenue":2000000,"budget":80000,"email":"ada@stone.example"}"#;

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
    // Both forms of the text; what is filled in is no markup.
    let content = mails[0]["content"].as_str().unwrap();
    for part in [
        "Content-Type: multipart/alternative",
        "Content-Type: text/plain",
        &format!("Lead {id} of Stone & <i>Sons</i> has been qualified."),
        "Content-Type: text/html",
        &format!("<p>Lead <b>{id}</b> of Stone &amp; &lt;i&gt;Sons&lt;/i&gt; has been"),
    ] {
        assert!(content.contains(part), "{part}: {content}");
    }

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

/// The CRM may follow what a run did: it is told the run, and the request that it began with.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_run_names_the_run() {
    let record = r#"{"id":501,"status":"new","annual_revenue":2000000,"budget":80000}"#;
    let upstream = Upstream::each(move |_| json_answer(record), Pace::OnePacket).await;
    let gate = gate_with(&upstream, &server(), &[]).await;
    let forged = "0190a5c8-7e60-7cc3-98c8-dc0c0c07398f";
    let ask = gate.request("POST", "/api/v1/leads/").as_role("admin").json(LEAD);
    let created = ask.header("X-Causation-ID", forged).send().await;
    let run = ended(&gate, "qualify_high_value_leads").await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let heads = upstream.heads();
    let of = |method: &str| -> Vec<&String> {
        heads.iter().filter(|head| head.starts_with(method)).collect()
    };
    let posts = of("POST");
    assert_eq!(header(posts[0], "x-causation-id"), [""; 0], "{}", posts[0]);
    let calls = [of("PATCH /api/v1/leads/501/"), of("POST /api/v1/activities/")].concat();
    assert_eq!(calls.len(), 2, "{heads:?}");
    for call in calls {
        assert_eq!(header(call, "x-causation-id"), [run["id"].as_str().unwrap()], "{call}");
        let correlation = created.header("x-correlation-id").unwrap();
        assert_eq!(header(call, "x-correlation-id"), [correlation], "{call}");
        assert_eq!(header(call, "idempotency-key").len(), 1, "{call}");
    }
}

const TELL: &str = "name: tell\nrole: support\nstatus: active\n\
     triggers: [{ event: lead.updated }]\n\
     actions:\n  - send_notification: { recipient: ann, message: \"{{lead.status}}\" }\n";

/// Somebody who follows the feed, over a connection of his own.
struct Reader {
    stream: TcpStream,
    read: String,
}

impl Reader {
    async fn new(gate: &Gate, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(gate.admin).await.unwrap();
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        let head = format!(
            "GET /api/v1/notifications/ HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n{last}\r\n",
            gate.admin
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut reader = Self { stream, read: String::new() };
        reader.until("\r\n\r\n").await;
        reader
    }

    /// Reads until something was read, and gives out everything up to it.
    async fn until(&mut self, end: &str) -> String {
        let reading = async {
            loop {
                if let Some((before, behind)) = self.read.split_once(end) {
                    let before = before.to_owned();
                    self.read = behind.to_owned();
                    return before;
                }
                let mut bytes = [0; 4096];
                let length = self.stream.read(&mut bytes).await.unwrap();
                assert!(length > 0, "it ends after: {}", self.read);
                self.read.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("nothing comes")
    }

    /// Id and message of the next notification.
    async fn next(&mut self) -> (String, String) {
        self.until("id: ").await;
        let event = self.until("\n\n").await;
        let id = event.lines().next().unwrap().to_owned();
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect(&event);
        let data: Value = serde_json::from_str(data).unwrap();
        (id, data["message"].as_str().unwrap().to_owned())
    }
}

async fn change(gate: &Gate, status: &str) {
    let write = gate.request("PATCH", "/api/v1/leads/1/").as_role("admin");
    let write = write.json(&json!({ "status": status }).to_string()).send().await;
    assert_eq!(write.status, 200, "{}", write.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_followed_over_http() {
    let upstream = Upstream::demo().await;
    let gate = gate_with(&upstream, &server(), &[("policies/workflows/tell.yaml", TELL)]).await;
    let mut reader = Reader::new(&gate, None).await;
    change(&gate, "lost").await;
    let (first, message) = reader.next().await;
    assert_eq!(message, "lost");
    drop(reader);
    // What comes while nobody reads is there for whoever comes back.
    change(&gate, "new").await;
    let mut again = Reader::new(&gate, Some(&first)).await;
    let (second, message) = again.next().await;
    assert_eq!(message, "new");
    assert_ne!(first, second);
    let mut whole = Reader::new(&gate, None).await;
    assert_eq!(whole.next().await, (first, "lost".to_owned()));
    assert_eq!(whole.next().await, (second, "new".to_owned()));
}

/// They hold a connection each, and there must be some left for metrics and probes.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_the_feed_are_bounded_and_end_with_the_listener() {
    let upstream = Upstream::demo().await;
    let gate = gate_with(&upstream, &server(), &[]).await;
    let ask = || {
        let ask = Ask::new(gate.admin, "GET", "/api/v1/notifications/");
        ask.header("Authorization", &format!("Bearer {TOKEN}"))
    };
    let mut readers = Vec::new();
    for _ in 0..16 {
        readers.push(Reader::new(&gate, None).await);
    }
    let refused = ask().send().await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("too_many_readers")));
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(Ask::new(gate.admin, "GET", "/readyz").send().await.status, 200);
    // Who goes makes place, as soon as that is noticed.
    readers.pop();
    let began = Instant::now();
    loop {
        let reader = TcpStream::connect(gate.admin).await.unwrap();
        let mut reader = Reader { stream: reader, read: String::new() };
        let head = format!(
            "GET /api/v1/notifications/ HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
            gate.admin
        );
        reader.stream.write_all(head.as_bytes()).await.unwrap();
        if reader.until("\r\n").await.contains(" 200 ") {
            readers.push(reader);
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no place comes free");
    }
    let began = Instant::now();
    gate.stop().await;
    // Answers that do not end are cut off after five seconds; these have ended.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    for mut reader in readers {
        // The mark of an answer that is whole.
        reader.until("0\r\n\r\n").await;
    }
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

/// Nothing in it is ever false, so that only the depth can end it.
const ROUND: &str = "name: round\nrole: admin\nstatus: active\n\
     triggers: [{ event: lead.updated }]\n\
     actions:\n  - update_field: { entity_type: lead, entity_id: \"{{lead.id}}\", field: title, value: \"{{run.id}}\" }\n";

/// What the files allow is cut all the same, through a CRM and its answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_starts_itself_is_cut() {
    let upstream = Upstream::demo().await;
    let gate = gate_with(&upstream, &server(), &[("policies/workflows/round.yaml", ROUND)]).await;
    change(&gate, "lost").await;
    let began = Instant::now();
    let runs = loop {
        let runs = page(&gate, "/api/v1/workflows/round/runs/").await["results"].clone();
        let runs = runs.as_array().unwrap().clone();
        if runs.iter().any(|run| run["status"] == "failed") {
            break runs;
        }
        assert!(began.elapsed() < PATIENCE, "{runs:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let mut standing: Vec<(u64, &str, Option<&str>)> = runs
        .iter()
        .map(|run| {
            let depth = run["causation_depth"].as_u64().unwrap();
            (depth, run["status"].as_str().unwrap(), run["failure"].as_str())
        })
        .collect();
    standing.sort_unstable();
    let mut expect: Vec<_> = (1..=5).map(|depth| (depth, "completed", None)).collect();
    expect.push((6, "failed", Some("causation_depth")));
    assert_eq!(standing, expect);
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

    let hidden = ["email", "phone", "ssn"];
    let (mut ids, mut values) = (Vec::new(), Vec::new());
    let mut next = Some("/api/v1/leads/?page_size=50".to_owned());
    while let Some(path) = next {
        let answer = gate.get(&path).as_role("admin").send().await;
        // Some numbers are larger than serde_json takes.
        let page = Exact::parse(answer.text().trim_start()).expect("a page");
        let Some(Exact::List(leads)) = page.member("results") else { panic!("{path}") };
        for lead in leads {
            ids.push(lead.member("id").unwrap().to_string());
            values.extend(hidden.iter().filter_map(|name| text_of(lead.member(name)?)));
        }
        let target = |url: String| url.split_once("/api/").map(|(_, rest)| format!("/api/{rest}"));
        next = page.member("next").and_then(text_of).and_then(target);
    }
    let mut exported: Vec<String> =
        text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(exported.len(), ids.len());
    exported.sort();
    exported.dedup();
    let mut expect = ids.clone();
    expect.sort();
    assert_eq!(exported, expect);

    // Marketing sees these masked or not at all; an administrator has just read them.
    values.retain(|value| value.len() > 6);
    assert!(values.len() > 20, "the oracle knows what to look for");
    let canaries = Canaries::new(values);
    canaries.assert_not_in("the export", text.as_bytes());
    // The shipped workflow writes one as well.
    let mut mails = server.mails();
    mails.retain(|mail| mail["to"] == json!(["ops@example.com"]));
    assert_eq!(mails.len(), 1);
    let content = mails[0]["content"].as_str().unwrap();
    assert!(content.contains(&format!("{} records", ids.len())), "{content}");
    assert!(content.contains("Content-Disposition: attachment"), "{content}");
    canaries.assert_not_in("the mail", content.as_bytes());
    canaries.assert_not_in("the log", gate.logged().as_bytes());
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "nobody else may read it");
}

fn text_of(value: &Exact<'_>) -> Option<String> {
    match value {
        Exact::Text(text) => Some(text.to_string()),
        _ => None,
    }
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
