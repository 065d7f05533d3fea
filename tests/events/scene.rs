//! A CRM, the gate in front of it, and the files of the gate.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldgate::demo::crm::{self, Crm};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::gate::{Gate, Home};
use crate::receiver;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Scene {
    pub(crate) home: Home,
    pub(crate) gate: Gate,
    _folder: TempDir,
}

/// A gate that is not started yet.
pub(crate) struct Stage<'a> {
    pub(crate) crm: SocketAddr,
    /// Lines of its configuration.
    pub(crate) top: &'a str,
    /// Lines under `events`.
    pub(crate) events: &'a str,
    /// Lines under `sinks`; where there are none, a file for admin.
    pub(crate) sinks: &'a str,
    /// The policy of deals, but for their fields, instead of the shipped one.
    pub(crate) deal: Option<&'a str>,
}

impl Stage<'_> {
    /// Before the demo CRM or another one.
    pub(crate) fn before(crm: SocketAddr) -> Self {
        Self { crm, top: "", events: "", sinks: "", deal: None }
    }

    pub(crate) fn set(self) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let Self { crm, top, events, sinks, deal } = self;
        let sinks = if sinks.is_empty() {
            "    - file: { name: trail, role: admin, path: trail.jsonl }\n"
        } else {
            sinks
        };
        let home =
            Home::new(folder.path(), crm, &format!("{top}events:\n{events}  sinks:\n{sinks}"));
        let key = folder.path().join("whsec");
        std::fs::write(&key, receiver::KEY).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        // What the shipped workflows do with events is for the tests of workflows.
        std::fs::remove_dir_all(folder.path().join("policies/workflows")).unwrap();
        if let Some(deal) = deal {
            // With the fields of the shipped one, which the roles speak of.
            let path = folder.path().join("policies/resources/deal.yaml");
            let shipped = std::fs::read_to_string(&path).unwrap();
            let (_, fields) = shipped.split_once("\nfields:").unwrap();
            let (fields, _) = fields.split_once("\nemits:").unwrap();
            std::fs::write(path, format!("{deal}fields:{fields}\n")).unwrap();
        }
        let gate = home.start("");
        Scene { home, gate, _folder: folder }
    }
}

impl Scene {
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.gate.data).await
    }

    /// Ends the process in peace, and starts another.
    pub(crate) fn restart(&mut self) {
        self.restart_with("");
    }

    /// [`restart`](Self::restart) with these faults.
    pub(crate) fn restart_with(&mut self, faults: &str) {
        self.gate.end();
        self.gate = self.home.start(faults);
    }

    /// Waits for a process that dies of its faults, and starts another.
    pub(crate) async fn revive(&mut self) {
        let began = Instant::now();
        while !self.gate.has_ended() {
            assert!(began.elapsed() < PATIENCE, "it lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.gate = self.home.start("");
    }

    /// The value of one series of the metrics.
    pub(crate) async fn metric(&self, series: &str) -> String {
        let mut stream = TcpStream::connect(self.gate.admin).await.unwrap();
        let host = self.gate.admin;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(series));
        found.map_or_else(|| panic!("{series}: {text}"), |value| value.trim().to_owned())
    }

    /// Type and subject of every event in the journal, in their order.
    pub(crate) fn told(&self) -> Vec<String> {
        self.home.events().iter().map(line).collect()
    }

    /// The events of one request, as soon as there are so many.
    pub(crate) fn of_request(&self, correlation: &str, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let mut events = self.home.events();
            events.retain(|event| event["correlationid"] == correlation);
            if events.len() >= count {
                assert_eq!(events.len(), count, "{events:#?}");
                return events;
            }
            assert!(began.elapsed() < PATIENCE, "only {events:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// `deal.updated deal/7`
pub(crate) fn line(event: &Value) -> String {
    let subject = event["subject"].as_str().unwrap_or("-");
    format!("{} {subject}", event["type"].as_str().unwrap())
}

/// The demo CRM on a port of its own.
pub(crate) async fn demo_crm() -> (SocketAddr, Arc<Crm>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let crm = Arc::new(Crm::seeded());
    tokio::spawn(crm::serve(listener, Arc::clone(&crm), std::future::pending()));
    (address, crm)
}
