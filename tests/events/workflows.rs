//! Runs that outlive the process: killed between an action and its record, and in a group of three
//! that share their runs over a real NATS server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use fieldgate::config::{Fleet, NatsLogin, NatsTls};
use fieldgate::workflow::fleet::SharedRuns;
use fieldgate::workflow::runs::{Filter, RunStatus, Runs as _};
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::gate::{Gate, Home};
use crate::nats_server::NatsServer;
use crate::receiver::KEY;
use crate::scripted::{Scripted, json};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Records that one write of the group changes.
const BULK: usize = 25;

/// Events of the group, at least.
const EVENTS: usize = 2000;

const SIDECARS: usize = 3;

const DEAL: &str = r#"
resource: deal
id: $.id
routes:
  - { methods: [PATCH], path: /api/v1/deals/bulk/, records: "$[*]" }
  - { methods: [GET, PATCH], path: "/api/v1/deals/{id}/", records: "$" }
"#;

/// Counts calls by their idempotency key.
struct Hook {
    address: SocketAddr,
    calls: Calls,
    task: JoinHandle<()>,
}

type Calls = Arc<Mutex<BTreeMap<String, usize>>>;

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Calls::default();
        let router = Router::new().fallback(called).with_state(Arc::clone(&calls));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, calls, task }
    }

    fn calls(&self) -> BTreeMap<String, usize> {
        self.calls.lock().unwrap().clone()
    }

    async fn until(&self, keys: usize) {
        let began = Instant::now();
        while self.calls.lock().unwrap().len() < keys {
            assert!(began.elapsed() < 2 * PATIENCE, "only {} calls", self.calls().len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn called(State(calls): State<Calls>, headers: HeaderMap) -> StatusCode {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    *calls.lock().unwrap().entry(key).or_default() += 1;
    StatusCode::NO_CONTENT
}

/// The files of a gate whose one workflow calls `hook` so many times for each changed deal.
fn home(folder: &Path, crm: SocketAddr, hook: SocketAddr, calls: usize, more: &str) -> Home {
    let config = format!(
        "events: {{ retry: [200ms, 200ms, 500ms, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s] }}\n\
         workflows:\n  lease: 3s\n  webhooks: {{ secrets: [whsec], allow: [127.0.0.0/8] }}\n{more}"
    );
    let home = Home::new(folder, crm, &config);
    let key = folder.join("whsec");
    std::fs::write(&key, KEY).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    // With the fields of the shipped one, which the roles speak of.
    let deal = folder.join("policies/resources/deal.yaml");
    let shipped = std::fs::read_to_string(&deal).unwrap();
    let (_, fields) = shipped.split_once("\nfields:").unwrap();
    let (fields, _) = fields.split_once("\nemits:").unwrap();
    std::fs::write(deal, format!("{DEAL}fields:{fields}\n")).unwrap();
    std::fs::remove_dir_all(folder.join("policies/workflows")).unwrap();
    std::fs::create_dir(folder.join("policies/workflows")).unwrap();
    let mut workflow = "name: call\nrole: admin\nstatus: active\n\
         triggers: [{ event: deal.updated }]\nactions:\n"
        .to_owned();
    for number in 0..calls {
        write!(
            workflow,
            "  - call_webhook: {{ url: \"http://{hook}/{number}\", body: {{ id: \"{{{{deal.id}}}}\" }} }}\n    \
             retry: {{ attempts: 20, backoff: 200ms }}\n"
        )
        .unwrap();
    }
    std::fs::write(folder.join("policies/workflows/call.yaml"), workflow).unwrap();
    home
}

/// A CRM whose answers to bulk writes have records that nobody has seen before.
async fn crm() -> Scripted {
    let records = Arc::new(AtomicUsize::new(0));
    Scripted::answers(move |call| {
        if !call.contains("bulk") {
            return json(200, r#"{"id":7}"#);
        }
        let first = records.fetch_add(BULK, Ordering::SeqCst);
        let mut body = String::new();
        for number in first..first + BULK {
            let begin = if number == first { '[' } else { ',' };
            write!(body, r#"{begin}{{"id":{number}}}"#).unwrap();
        }
        json(200, body + "]")
    })
    .await
}

/// The status of one write, on a connection of its own; `None` where the gate is gone.
async fn write(gate: SocketAddr, path: &str, correlation: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(gate).await.ok()?;
    let request = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {gate}\r\nAuthorization: Bearer demo-admin\r\n\
         X-Correlation-ID: {correlation}\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

fn shared(server: &NatsServer) -> String {
    format!("  nats: {{ servers: [\"{}\"], name: gates }}\n", server.url())
}

/// The runs of the group, looked at from outside.
async fn look(server: &NatsServer) -> (SharedRuns, JoinHandle<()>) {
    let runs = SharedRuns::new(Fleet {
        servers: vec![server.url()],
        name: "gates".to_owned(),
        replicas: 1,
        timeout: Duration::from_secs(10),
        login: NatsLogin::Anonymous,
        tls: NatsTls::default(),
    });
    let runs = runs.unwrap();
    let listener = runs.clone();
    let listening = tokio::spawn(async move { listener.listen().await });
    runs.wait_until_current().await;
    (runs, listening)
}

/// Kills a gate at a fail point in its second action, and lets the next process go on. The keys of
/// the calls, and how often each came.
async fn killed_at(fail_point: &str, server: Option<&NatsServer>) -> Vec<usize> {
    let (crm, hook) = (crm().await, Hook::start().await);
    let folder = tempfile::tempdir().unwrap();
    let more = server.map(shared).unwrap_or_default();
    let home = home(folder.path(), crm.address, hook.address, 3, &more);
    let mut gate = home.start(&format!("{fail_point}=kill:2"));
    assert_eq!(write(gate.data, "/api/v1/deals/7/", "req-1").await, Some(200));
    let began = Instant::now();
    while !gate.has_ended() {
        assert!(began.elapsed() < PATIENCE, "it does not come to `{fail_point}`");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let gate = home.start("");
    let began = Instant::now();
    loop {
        let statuses = statuses(&home, server).await;
        if statuses == ["completed"] {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{statuses:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gate.stop();
    let calls = hook.calls();
    let run: BTreeSet<&str> = calls.keys().map(|key| key.rsplit_once('-').unwrap().0).collect();
    assert_eq!(run.len(), 1, "{calls:?}");
    calls.into_values().collect()
}

async fn statuses(home: &Home, server: Option<&NatsServer>) -> Vec<String> {
    if let Some(server) = server {
        let (runs, listening) = look(server).await;
        let listed = runs.list(Filter::default(), 10).await.unwrap();
        listening.abort();
        return listed.iter().map(|run| run.status.word().to_owned()).collect();
    }
    let text = home.ask(&["runs", "list", "--json"]);
    let runs = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    runs.map(|run| run["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_at_the_action_that_was_not_recorded() {
    // Done, and not recorded: it is done again, with the same key.
    assert_eq!(killed_at("after_action", None).await, [1, 2, 1]);
    assert_eq!(killed_at("after_action_recorded", None).await, [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_run_goes_on_at_the_action_that_was_not_recorded() {
    let server = NatsServer::start("");
    assert_eq!(killed_at("after_action", Some(&server)).await, [1, 2, 1]);
    drop(server);
    let server = NatsServer::start("");
    assert_eq!(killed_at("after_action_recorded", Some(&server)).await, [1, 1, 1]);
}

/// Pages of an export, and the records of each.
const PAGES: u64 = 6;
const ON_A_PAGE: u64 = 2;

const PAGED: &str = r#"
resource: deal
id: $.id
routes:
  - { methods: [GET], path: /api/v1/deals/, records: "$.results[*]" }
  - { methods: [GET, PATCH], path: "/api/v1/deals/{id}/", records: "$" }
actions:
  enqueue_export: { path: /api/v1/deals/, page: page }
"#;

const EXPORT: &str = "name: call\nrole: admin\nstatus: active\n\
     triggers: [{ event: deal.updated }]\n\
     actions:\n  - enqueue_export: { export_type: csv, entity_type: deal }\n";

/// A CRM that counts how often it was asked for which page.
async fn paged(asked: Arc<Mutex<Vec<u64>>>) -> (SocketAddr, JoinHandle<()>) {
    let answer = move |request: axum::extract::Request| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let page = query.split('&').find_map(|pair| pair.strip_prefix("page="));
        let page = page.map(|page| page.parse::<u64>().unwrap());
        if let Some(page) = page {
            asked.lock().unwrap().push(page);
        }
        std::future::ready(match page {
            None => json(200, r#"{"id":7}"#),
            Some(page) if page > PAGES => json(404, r#"{"detail":"there is no such page"}"#),
            Some(page) => {
                let first = (page - 1) * ON_A_PAGE + 1;
                let records: Vec<String> =
                    (first..first + ON_A_PAGE).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
                json(200, format!(r#"{{"results":[{}]}}"#, records.join(",")))
            }
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    (address, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

/// Killed behind a page, the next process asks for the one after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_behind_the_pages_that_are_there() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (crm, serving) = paged(Arc::clone(&asked)).await;
    let folder = tempfile::tempdir().unwrap();
    let more = "  crm: { token_file: crm.token }\n  exports: { folder: exports }\n";
    let home = home(folder.path(), crm, crm, 0, more);
    let token = folder.path().join("crm.token");
    std::fs::write(&token, "demo-admin").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let exports = folder.path().join("exports");
    std::fs::create_dir(&exports).unwrap();
    let deal = folder.path().join("policies/resources/deal.yaml");
    let text = std::fs::read_to_string(&deal).unwrap();
    std::fs::write(&deal, text.replace(DEAL, PAGED)).unwrap();
    std::fs::write(folder.path().join("policies/workflows/call.yaml"), EXPORT).unwrap();

    let mut gate = home.start("export.page=kill:3");
    assert_eq!(write(gate.data, "/api/v1/deals/7/", "req-1").await, Some(200));
    let began = Instant::now();
    while !gate.has_ended() {
        assert!(began.elapsed() < PATIENCE, "it does not come to the third page");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(*asked.lock().unwrap(), [1, 2, 3]);
    let finished = || {
        let files = std::fs::read_dir(&exports).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|it| it == "csv")).collect::<Vec<_>>()
    };
    assert!(finished().is_empty());

    let gate = home.start("");
    let began = Instant::now();
    while statuses(&home, None).await != ["completed"] {
        assert!(began.elapsed() < PATIENCE, "{}", home.ask(&["runs", "list", "--json"]));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gate.stop();
    serving.abort();
    // The last one is where the CRM says that there is no more.
    assert_eq!(*asked.lock().unwrap(), (1..=PAGES + 1).collect::<Vec<_>>());
    let text = std::fs::read_to_string(&finished()[0]).unwrap();
    let rows: Vec<u64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(rows, (1..=PAGES * ON_A_PAGE).collect::<Vec<_>>());
}

/// One of the group: its files, and where it listens now.
struct Sidecar {
    home: Home,
    gate: Option<Gate>,
    address: Arc<Mutex<SocketAddr>>,
    _folder: TempDir,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_three_carries_out_every_run_whoever_of_them_dies() {
    let (server, crm, hook) = (NatsServer::start(""), crm().await, Hook::start().await);
    let mut sidecars = Vec::new();
    for _ in 0..SIDECARS {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path(), crm.address, hook.address, 1, &shared(&server));
        let gate = home.start("");
        let address = Arc::new(Mutex::new(gate.data));
        sidecars.push(Sidecar { home, gate: Some(gate), address, _folder: folder });
    }
    let written = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = sidecars
        .iter()
        .map(|sidecar| {
            let (address, written) = (Arc::clone(&sidecar.address), Arc::clone(&written));
            tokio::spawn(async move {
                while written.load(Ordering::SeqCst) < EVENTS {
                    let gate = *address.lock().unwrap();
                    let correlation = format!("write-{}", uuid::Uuid::now_v7());
                    match write(gate, "/api/v1/deals/bulk/", &correlation).await {
                        Some(200) => {
                            written.fetch_add(BULK, Ordering::SeqCst);
                        }
                        // It dies, or is not up again.
                        _ => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
            })
        })
        .collect();
    for (number, sidecar) in sidecars.iter_mut().enumerate() {
        hook.until((number + 1) * EVENTS / 5).await;
        sidecar.gate.take().unwrap().kill();
        let gate = sidecar.home.start("");
        *sidecar.address.lock().unwrap() = gate.data;
        sidecar.gate = Some(gate);
    }
    for writer in writers {
        writer.await.unwrap();
    }

    // What the journals have is what must run; a write that was cut off may have no event.
    let events = sidecars.iter().flat_map(|sidecar| sidecar.home.events());
    let wanted = events.filter(|event| event["type"] == "deal.updated").count();
    assert!(wanted >= EVENTS, "only {wanted} events");
    let (runs, listening) = look(&server).await;
    let began = Instant::now();
    loop {
        let filter = Filter { status: Some(RunStatus::Completed), ..Filter::default() };
        let completed = runs.list(filter, usize::MAX).await.unwrap().len();
        if completed == wanted {
            break;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{completed} of {wanted} runs are completed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(runs.list(Filter::default(), usize::MAX).await.unwrap().len(), wanted);
    listening.abort();
    // Each run has called, and whoever keeps the keys has done it once.
    let calls = hook.calls();
    assert_eq!(calls.len(), wanted);
    let again: usize = calls.values().map(|times| times - 1).sum();
    assert!(again < wanted / 5, "{again} of {wanted} calls were made again");
}
