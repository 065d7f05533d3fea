//! The admin listener over real sockets.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{LogFormat, LogLevel, Telemetry as TelemetrySettings};
use crate::telemetry::{MemoryLog, Moment};

struct Server {
    address: SocketAddr,
    readiness: Readiness,
    telemetry: Telemetry,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Server {
    async fn start(token: Option<&str>) -> Self {
        let telemetry = Telemetry::start(
            &TelemetrySettings {
                correlation_header: http::HeaderName::from_static("x-correlation-id"),
                service: "gate".into(),
                environment: "test".into(),
                log_format: LogFormat::Json,
                log_level: LogLevel::Info,
                ..TelemetrySettings::default()
            },
            Box::new(MemoryLog::new()),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::new();
        let settings = Settings {
            address,
            token: token.map(Into::into),
            hosts: vec!["gate.internal".to_owned()],
        };
        let state = AdminState::new(&settings, telemetry.clone(), readiness.clone(), None, None);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, state, async { stopped.await.unwrap() }));
        Self { address, readiness, telemetry, stop, serving }
    }

    /// Sends a request as written, lines separated by `\n`, and reads the answer to its end.
    async fn send(&self, head: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = head.replace('\n', "\r\n") + "\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\nHost: localhost")).await
    }
}

#[track_caller]
fn check_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json()["status"], status);
    assert_eq!(answer.json()["type"], kind);
}

#[tokio::test]
async fn pages() {
    let server = Server::start(None).await;
    let live = server.get("/livez").await;
    assert_eq!((live.status, live.body.as_str()), (200, "ok"));
    assert_eq!(live.header("cache-control"), Some("no-store"));
    assert_eq!(live.header("x-content-type-options"), Some("nosniff"));

    let index = server.get("/").await;
    assert_eq!(index.status, 200);
    assert!(["/livez", "/readyz", "/metrics"].iter().all(|page| index.body.contains(page)));

    let mut exchange = server.telemetry.begin(&http::Method::GET, Moment::now());
    exchange.status = Some(200);
    server.telemetry.account(exchange);
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.body.contains("# TYPE http_server_request_duration_seconds histogram\n"));
    assert!(metrics.body.contains("status_class=\"2xx\"} 1\n"), "{}", metrics.body);

    check_problem(&server.get("/api/v1/leads/").await, 404, "about:blank");
    check_problem(&server.get("/livez/").await, 404, "about:blank");
}

#[tokio::test]
async fn readiness_is_shown_as_it_changes() {
    let server = Server::start(None).await;
    let before = server.get("/readyz").await;
    assert_eq!(before.status, 503);
    assert_eq!(
        before.json(),
        json!({
            "ready": false,
            "checks": {"policies_loaded": false, "keys_loaded": false, "store_healthy": false,
                "accepting": false}
        })
    );
    for condition in Condition::ALL {
        server.readiness.set(condition, true);
    }
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)));
    assert_eq!(ready.header("content-type"), Some("application/json"));
    server.readiness.set(Condition::Accepting, false);
    let draining = server.get("/readyz").await;
    assert_eq!((draining.status, &draining.json()["checks"]["accepting"]), (503, &json!(false)));
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn only_get_and_head() {
    let server = Server::start(None).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for page in ["/", "/livez", "/readyz", "/metrics"] {
            let head = format!("{method} {page} HTTP/1.1\nHost: localhost");
            let answer = server.send(&head).await;
            check_problem(&answer, 405, "about:blank");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {page}");
        }
    }
    let head = server.send("HEAD /livez HTTP/1.1\nHost: localhost").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn foreign_hosts_get_nothing() {
    let server = Server::start(None).await;
    let own = ["localhost", "LocalHost:1", "127.0.0.1", "gate.internal:80"];
    for host in own.map(str::to_owned).into_iter().chain([server.address.to_string()]) {
        let answer = server.send(&format!("GET /metrics HTTP/1.1\nHost: {host}")).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    let kind = "urn:fieldgate:problem:foreign_host";
    for page in ["/", "/livez", "/readyz", "/metrics", "/nowhere"] {
        for request in [
            format!("GET {page} HTTP/1.1\nHost: evil.example"),
            format!("GET {page} HTTP/1.1\nHost: localhost.evil.example:9901"),
            format!("GET {page} HTTP/1.1\nHost: localhost\nHost: evil.example"),
            format!("GET {page} HTTP/1.1\nX-No-Host: localhost"),
            format!("GET {page} HTTP/1.0\nX-No-Host: localhost"),
            format!("GET http://evil.example{page} HTTP/1.1\nHost: localhost"),
            format!("GET http://localhost{page} HTTP/1.1\nHost: evil.example"),
        ] {
            check_problem(&server.send(&request).await, 421, kind);
        }
    }
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let server = Server::start(Some("s3cret-token")).await;
    let metrics = "GET /metrics HTTP/1.1\nHost: localhost";
    let kind = "urn:fieldgate:problem:admin_token";
    for credentials in [
        "X-None: none",
        "Authorization: Bearer wrong",
        "Authorization: Bearer s3cret-toke",
        "Authorization: Bearer s3cret-token2",
        "Authorization: Bearer",
        "Authorization: Basic s3cret-token",
        "Authorization: s3cret-token",
        "Authorization: Bearer s3cret-token\nAuthorization: Bearer s3cret-token",
    ] {
        let answer = server.send(&format!("{metrics}\n{credentials}")).await;
        check_problem(&answer, 401, kind);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer "), "{credentials}");
        assert!(!answer.body.contains("s3cret"));
    }
    for page in ["/", "/nowhere", "/livez/", "/readyz/x"] {
        check_problem(&server.get(page).await, 401, kind);
    }
    for scheme in ["Bearer", "bearer"] {
        let request = format!("{metrics}\nAuthorization: {scheme} s3cret-token");
        assert_eq!(server.send(&request).await.status, 200);
    }
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 503);
}

#[tokio::test]
async fn debug_output_has_no_token() {
    let settings = Settings {
        address: "127.0.0.1:9901".parse().unwrap(),
        token: Some("s3cret-token".into()),
        hosts: vec![],
    };
    let text = format!("{:?}", Guard::new(&settings));
    assert_eq!(text, "Guard { hosts: [], .. }");
}

#[tokio::test]
async fn it_stops_when_told_even_if_a_connection_is_idle() {
    let server = Server::start(None).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    idle.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    server.stop.send(()).unwrap();
    server.serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let server = Server::start(None).await;
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let answer = server.send(&format!("GET /metrics HTTP/1.1\nHost: localhost\n{accept}")).await;
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(open));
    assert!(answer.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_log_level_is_shown_and_changed() {
    let server = Server::start(Some("s3cret-token")).await;
    let token = "Authorization: Bearer s3cret-token";
    let put = |body: &str, token: &str| {
        let length = body.len();
        format!(
            "PUT /log-level HTTP/1.1\nHost: localhost\n{token}\nContent-Length: {length}\nConnection: close\n\n{body}"
        )
    };
    let shown = server.send(&format!("GET /log-level HTTP/1.1\nHost: localhost\n{token}")).await;
    assert_eq!(shown.json(), json!({"level": "info"}));
    let problem = "urn:fieldgate:problem:admin_token";
    check_problem(&server.send(&put("{\"level\":\"debug\"}", "X-None: none")).await, 401, problem);
    assert_eq!(server.telemetry.log_level(), LogLevel::Info);
    let changed = server.send(&put("{\"level\":\"debug\"}", token)).await;
    assert_eq!((changed.status, changed.json()), (200, json!({"level": "debug"})));
    assert_eq!(server.telemetry.log_level(), LogLevel::Debug);
    for body in ["", "debug", "{}", "{\"level\":\"loud\"}", "{\"level\":5}", "[]"] {
        let answer = server.send(&put(body, token)).await;
        check_problem(&answer, 400, "urn:fieldgate:problem:log_level");
    }
    let long = format!("{{\"level\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(server.send(&put(&long, token)).await.status, 413);
    assert_eq!(server.telemetry.log_level(), LogLevel::Debug);
}

#[tokio::test]
async fn without_a_ledger_there_is_nothing_to_ask() {
    let server = Server::start(None).await;
    let answer = server.get("/api/v1/audit/masking-logs/").await;
    check_problem(&answer, 404, "urn:fieldgate:problem:no_ledger");
}
