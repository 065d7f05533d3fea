//! Starts an upstream, a gate in front of it, and asks through real sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldgate::config;
use fieldgate::demo::crm::{self, Crm};
use fieldgate::server::Server;
use fieldgate::telemetry::{MemoryLog, Telemetry};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::oracle::{self, SpanBytes};

/// The roles of the shipped policies; the token of each is `demo-<role>`.
pub(crate) const ROLES: [&str; 5] = ["admin", "sales_rep", "marketing", "finance", "support"];

/// Ends a test that would wait for ever.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it takes too long")
}

// --- upstreams ----------------------------------------------------------------------------------

/// A running upstream.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// The demo CRM, where it is one.
    pub(crate) crm: Option<Arc<Crm>>,
    /// Raw request heads that a scripted upstream has read, in order.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a scripted upstream puts its bytes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    OnePacket,
    ByteByByte,
}

pub(crate) const PACES: [Pace; 2] = [Pace::OnePacket, Pace::ByteByByte];

impl Upstream {
    /// The demo CRM with its seed.
    pub(crate) async fn demo() -> Self {
        Self::crm(Crm::seeded()).await
    }

    pub(crate) async fn crm(crm: Crm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crm = Arc::new(crm);
        let serving = crm::serve(listener, Arc::clone(&crm), std::future::pending());
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, crm: Some(crm), seen: Arc::default(), task }
    }

    /// Answers every request with the same bytes, then closes the connection.
    pub(crate) async fn scripted(answer: impl Into<Vec<u8>>, pace: Pace) -> Self {
        let answer = answer.into();
        Self::each(move |_| answer.clone(), pace).await
    }

    /// Does with each connection what `serve` does, for upstreams that misbehave.
    pub(crate) async fn connections<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, Arc::clone(&log)));
            }
        });
        Self { address, crm: None, seen, task }
    }

    /// Answers each request with what `script` makes of its number, then closes the connection.
    pub(crate) async fn each(
        script: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
        pace: Pace,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let script = Arc::new(script);
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer_one(stream, Arc::clone(&script), pace, Arc::clone(&log)));
            }
        });
        Self { address, crm: None, seen, task }
    }
}

impl Upstream {
    /// The requests that a scripted upstream has read.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// The values of a header in a raw head, in order.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.split("\r\n").skip(1).take_while(|line| !line.is_empty());
    let named = lines.filter_map(|line| line.split_once(':'));
    named.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
}

async fn answer_one(
    mut stream: TcpStream,
    script: Arc<impl Fn(usize) -> Vec<u8>>,
    pace: Pace,
    log: Arc<Mutex<Vec<String>>>,
) {
    stream.set_nodelay(true).unwrap();
    let Some(request) = read_message(&mut stream).await else { return };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(String::from_utf8_lossy(&request).into_owned());
        log.len() - 1
    };
    let answer = script(number);
    match pace {
        Pace::OnePacket => {
            let _ = stream.write_all(&answer).await;
        }
        Pace::ByteByByte => {
            for byte in answer {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    }
    let _ = stream.shutdown().await;
}

/// Reads one HTTP/1 message that has a Content-Length or no body.
pub(crate) async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = head_end(&read) {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head
                .split("\r\n")
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |length| length.trim().parse().unwrap());
            if read.len() >= end + length {
                return Some(read);
            }
        }
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&buffer[..count]);
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// An answer with a JSON body and a Content-Length.
pub(crate) fn json_answer(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

// --- the gate -----------------------------------------------------------------------------------

/// How to start a gate.
pub(crate) struct GateBuilder {
    upstream: String,
    crm: Option<Arc<Crm>>,
    extra: String,
    files: Vec<(String, String)>,
}

/// A running gate.
pub(crate) struct Gate {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) folder: TempDir,
    log: MemoryLog,
    pub(crate) telemetry: Telemetry,
    crm: Option<Arc<Crm>>,
    spans: Option<SpanBytes>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        if let Some(crm) = self.crm.take()
            && !std::thread::panicking()
        {
            let told = (&self.log, &self.telemetry);
            oracle::search(&crm, told, self.spans.as_ref(), self.folder.path());
        }
    }
}

/// A gate in front of `upstream`, with the shipped policies and the demo's tokens.
pub(crate) fn gate(upstream: &Upstream) -> GateBuilder {
    GateBuilder {
        upstream: format!("http://{}", upstream.address),
        crm: upstream.crm.clone(),
        extra: String::new(),
        files: Vec::new(),
    }
}

impl GateBuilder {
    /// Adds lines to `fieldgate.yaml`.
    pub(crate) fn config(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self.extra.push('\n');
        self
    }

    /// The upstream's URL, where it is not plain HTTP to its address.
    pub(crate) fn upstream_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.upstream);
        self
    }

    /// Sets deadlines of the upstream.
    pub(crate) fn timeouts(mut self, timeouts: &str) -> Self {
        self.upstream.push_str(&format!("\n  timeouts: {{ {timeouts} }}"));
        self
    }

    /// Replaces or adds a file below the gate's folder, such as `policies/global.yaml`.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    pub(crate) async fn start(mut self) -> Gate {
        let spans =
            (self.crm.is_some() && !self.extra.contains("telemetry:")).then(SpanBytes::collect);
        self.extra.extend(spans.iter().map(SpanBytes::config));
        let folder = tempfile::tempdir().unwrap();
        let path = write_gate(folder.path(), &self.upstream, &self.extra, &self.files);
        let loaded = config::load(&path, &environment).unwrap_or_else(|findings| {
            panic!("{}", fieldgate::diagnostic::render(&findings, false, 100))
        });
        let log = MemoryLog::default();
        let telemetry =
            Telemetry::start(&loaded.settings.telemetry, Box::new(log.clone())).unwrap();
        let server = Server::start(loaded.settings, telemetry.clone()).await.unwrap();
        let (data, admin) = (server.data_addresses()[0], server.admin_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        let (stop, task) = (Some(stop), Some(task));
        Gate { data, admin, folder, log, telemetry, crm: self.crm, spans, stop, task }
    }
}

/// Writes what a gate reads, and gives the path of its configuration.
pub(crate) fn write_gate(
    folder: &Path,
    upstream: &str,
    extra: &str,
    files: &[(String, String)],
) -> PathBuf {
    copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"), &folder.join("policies"));
    write_keys(&folder.join("keys.yaml"));
    let is_own = |part: &str| files.iter().any(|(name, _)| name.starts_with(part));
    if is_own("policies/resources/") || is_own("policies/scoring.yaml") {
        // The shipped workflows are about the shipped resources and their scores.
        std::fs::remove_dir_all(folder.join("policies/workflows")).unwrap();
    }
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        // Some of them hold secrets.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let listen = if extra.contains("listen:") { "" } else { "listen: 127.0.0.1:0\n" };
    let admin = "admin: { listen: 127.0.0.1:0 }\n";
    let admin = if extra.contains("admin:") { "" } else { admin };
    let config = format!(
        "{listen}upstream:\n  url: {upstream}\n{admin}policies: policies\nkeys: keys.yaml\nidentity:\n{}{extra}",
        tokens(),
    );
    let path = folder.join("fieldgate.yaml");
    std::fs::write(&path, config).unwrap();
    path
}

/// The one variable that gates of tests find.
pub(crate) const VARIABLE: (&str, &str) = ("FIELDGATE_OF_TESTS", "canary-of-the-environment");

fn environment(name: &str) -> Option<String> {
    (name == VARIABLE.0).then(|| VARIABLE.1.to_owned())
}

fn tokens() -> String {
    let mut text = "  - static_tokens:\n".to_owned();
    for role in ROLES {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(format!("demo-{role}")));
        text.push_str(&format!(
            "      - {{ sha256: \"{digest}\", subject: user-{role}, roles: [{role}], tenant: demo }}\n"
        ));
    }
    text
}

fn write_keys(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let id = fieldgate::mask::KeyId::parse("t1").unwrap();
    let date = time::macros::date!(2026 - 11 - 22);
    let text = fieldgate::mask::KeyRing::generate_file(&mut rand::rng(), &id, date);
    std::fs::write(path, secrecy::ExposeSecret::expose_secret(&text)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Gate {
    /// A request to the data listener.
    pub(crate) fn request(&self, method: &str, target: &str) -> Ask {
        Ask::new(self.data, method, target)
    }

    pub(crate) fn get(&self, target: &str) -> Ask {
        self.request("GET", target)
    }

    /// Stops the gate in order and waits for its end.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }

    /// [`stop`](Self::stop), with its folder kept to look into.
    pub(crate) async fn stop_and_keep(mut self) -> TempDir {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        self.stop().await;
        folder
    }

    /// Everything logged so far.
    pub(crate) fn logged(&self) -> String {
        assert!(self.telemetry.flush(Duration::from_secs(10)));
        self.log.text()
    }

    /// The log lines of requests, once there are `count` of them.
    pub(crate) async fn access_lines(&self, count: usize) -> Vec<serde_json::Value> {
        within(async {
            loop {
                self.logged();
                let mut lines = self.log.json_lines();
                lines.retain(|line| line.get("status_code").is_some());
                if lines.len() >= count {
                    return lines;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// What an operator reads.
    pub(crate) async fn metrics(&self) -> String {
        Ask::new(self.admin, "GET", "/metrics").send().await.text().to_owned()
    }

    /// Whether `/readyz` says yes.
    pub(crate) async fn is_ready(&self) -> bool {
        Ask::new(self.admin, "GET", "/readyz").send().await.status == 200
    }

    /// Waits until `holds`, which is asked again and again.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, holds: impl Fn() -> F) {
        within(async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

// --- the client ---------------------------------------------------------------------------------

/// A request over a connection of its own, written to the byte.
#[derive(Clone)]
pub(crate) struct Ask {
    address: SocketAddr,
    head: String,
    body: Vec<u8>,
}

/// What came back, to the byte.
#[derive(Debug)]
pub(crate) struct Answered {
    /// Everything the connection carried.
    pub(crate) raw: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The body without its chunk framing.
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its declared end.
    pub(crate) complete: bool,
}

impl Ask {
    pub(crate) fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
        Self { address, head, body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// With the demo's token of a role.
    pub(crate) fn as_role(self, role: &str) -> Self {
        self.header("Authorization", &format!("Bearer demo-{role}"))
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("Content-Type", "application/json").bytes(body.as_bytes())
    }

    /// With a body whose type is not said.
    pub(crate) fn bytes(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    /// With a body under any label.
    pub(crate) fn body(mut self, label: &str, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        let length = self.body.len().to_string();
        self.header("Content-Type", label).header("Content-Length", &length)
    }

    pub(crate) async fn send(self) -> Answered {
        let mut bytes = format!("{}Connection: close\r\n\r\n", self.head).into_bytes();
        bytes.extend_from_slice(&self.body);
        send_raw(self.address, &bytes).await
    }
}

/// Sends bytes as they are and reads until the connection ends.
pub(crate) async fn send_raw(address: SocketAddr, bytes: &[u8]) -> Answered {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A refusal may come, and the connection go, before everything was written.
    let _ = stream.write_all(bytes).await;
    let mut raw = Vec::new();
    let _ = stream.read_to_end(&mut raw).await;
    Answered::parse(raw)
}

impl Answered {
    fn parse(raw: Vec<u8>) -> Self {
        let Some(end) = head_end(&raw) else {
            return Self { raw, status: 0, head: String::new(), body: Vec::new(), complete: false };
        };
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let rest = &raw[end..];
        let lower = head.to_ascii_lowercase();
        let length = lower
            .split("\r\n")
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let (body, complete) = if lower.contains("transfer-encoding: chunked") {
            unchunk(rest)
        } else {
            (rest.to_vec(), length.is_none_or(|length: usize| rest.len() == length))
        };
        Self { status, head, body, complete, raw }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.beginning()))
    }

    /// The first bytes of the body, for messages.
    fn beginning(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(500)]).into_owned()
    }

    /// A problem document of this code, with a correlation id and no other byte.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> serde_json::Value {
        assert_eq!(self.status, status, "{} {}", self.head, self.beginning());
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"), "{}", self.head);
        assert!(self.header("Cache-Control").unwrap().contains("no-store"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["correlation_id"].as_str(), self.header("X-Correlation-ID"));
        assert!(self.complete);
        problem
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return (body, rest == b"\r\n");
        }
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..size.min(rest.len())]);
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}
