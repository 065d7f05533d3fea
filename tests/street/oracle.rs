//! What no gate of any test may have told: after each, its log, its metrics, its spans and its
//! ledger are searched for the personal data that its CRM holds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldgate::audit::{self, Query, SCHEMA};
use fieldgate::demo::crm::Crm;
use fieldgate::store::Visitor;
use fieldgate::telemetry::{MemoryLog, Telemetry};

use super::canary::Canaries;

/// Fields whose values nobody may be told of beside the answers.
const SECRET: [&str; 5] = ["email", "phone", "ssn", "iban", "internal_notes"];

/// Most values looked for: a CRM may hold thousands, and one in so many stands for the others.
const MOST: usize = 200;

/// A collector of spans that keeps the bytes. A thread of its own, so that it works while a test
/// ends.
#[derive(Debug)]
pub(crate) struct SpanBytes {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl SpanBytes {
    pub(crate) fn collect() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
        let keeps = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeps = Arc::clone(&keeps);
                std::thread::spawn(move || while keep_one(&stream, &keeps).is_some() {});
            }
        });
        Self { address, kept }
    }

    /// The lines of `fieldgate.yaml` that send every span here.
    pub(crate) fn config(&self) -> String {
        let address = self.address;
        format!(
            "telemetry: {{ traces: {{ endpoint: \"http://{address}\", protocol: http, share: 1 }} }}\n"
        )
    }
}

/// Reads one request and says yes to it; `None` at the end of the connection.
fn keep_one(stream: &TcpStream, kept: &Mutex<Vec<u8>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    kept.lock().unwrap().extend_from_slice(&body);
    let answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    let mut writer = stream;
    writer.write_all(answer).ok()
}

/// The personal data of a CRM, as far as it is looked for.
fn secrets(crm: &Crm) -> Vec<String> {
    let records = ["leads", "contacts", "accounts"].map(|collection| crm.records(collection));
    let values: Vec<String> = records
        .iter()
        .flatten()
        .flat_map(|record| SECRET.map(|name| record.get(name)?.as_text().map(str::to_owned)))
        .flatten()
        .filter(|value| value.len() >= 8)
        .collect();
    let step = values.len().div_ceil(MOST).max(1);
    values.into_iter().step_by(step).collect()
}

/// Fails the test where a gate has told what it may not.
pub(crate) fn search(
    crm: &Crm,
    (log, telemetry): (&MemoryLog, &Telemetry),
    spans: Option<&SpanBytes>,
    folder: &Path,
) {
    let secrets = secrets(crm);
    if secrets.is_empty() {
        return;
    }
    let canaries = Canaries::new(secrets);
    // What is still on its way when it takes longer than that was not asked for by the test.
    telemetry.flush(Duration::from_secs(2));
    canaries.assert_not_in("the log", log.text().as_bytes());
    canaries.assert_not_in("the metrics", telemetry.scrape_open().as_bytes());
    if let Some(spans) = spans {
        canaries.assert_not_in("a span", &spans.kept.lock().unwrap());
    }
    let data = folder.join("data");
    if let Ok(visitor) = Visitor::reader(&data, &[SCHEMA])
        && let Ok(found) = visitor.read(|all| audit::query(all, &Query::default()))
    {
        let entries = found.iter().filter_map(|stored| stored.entry.as_ref());
        let text: Vec<String> =
            entries.map(|entry| serde_json::to_string(entry).unwrap()).collect();
        canaries.assert_not_in("the ledger", text.join("\n").as_bytes());
    }
}

/// It finds what a gate tells, wherever that is.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_log_or_in_a_span_is_found() {
        let crm = Crm::seeded();
        let secret = secrets(&crm).into_iter().next().unwrap();
        let log = MemoryLog::default();
        let telemetry =
            Telemetry::start(&fieldgate::config::Telemetry::default(), Box::new(log.clone()))
                .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let spans = SpanBytes::collect();
        search(&crm, (&log, &telemetry), Some(&spans), folder.path());
        let mut stream = TcpStream::connect(spans.address).unwrap();
        let length = secret.len();
        write!(stream, "POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{secret}").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            search(&crm, (&log, &telemetry), Some(&spans), folder.path());
        }));
        assert!(found.is_err());
    }
}
