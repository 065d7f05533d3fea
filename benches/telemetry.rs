//! What telling costs: CPU of a gate per request, everything on beside everything off, in one run.
//!
//! Two gates, each a process of its own, in front of one upstream; rounds alternate between them,
//! so that whatever else the machine does hits both. "Off" is what cannot be switched off: access
//! log and metrics. "On" is that and spans of a tenth of the requests to a collector, the audit
//! ledger (`best_effort`) with every field of every record, the journal's look at what is read, and a
//! scrape a round with exemplars. CPU is read from `/proc`; what was dropped would be cheap, so
//! nothing may have been.
//!
//! Then the audit ledger alone, which `-- ledger` measures without the rest: a million entries
//! written, and verified.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up must stop")]
#![allow(clippy::print_stdout, reason = "it is what a bench is for")]
#![allow(clippy::indexing_slicing, reason = "a bench may stop")]
#![allow(
    clippy::cast_precision_loss,
    clippy::unchecked_time_subtraction,
    reason = "figures for people"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldgate::audit::{
    AuditEntry, FieldEntry, Kind, Ledger, LedgerParts, Outcome, PublicKey, SCHEMA, verify,
};
use fieldgate::config::{Audit, AuditMode, Telemetry as Settings};
use fieldgate::mask;
use fieldgate::store::{Options, Store, Visitor};
use fieldgate::telemetry::{MemoryLog, Telemetry};

#[path = "street/gates.rs"]
mod gates;

use gates::{CONNECTIONS, Gate, document, serve, upstream, write_keys};

const ROUNDS: usize = 12;
const ENTRIES: u64 = 1_000_000;

fn main() {
    // `cargo test` runs benches too, to see whether they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    if std::env::args().any(|argument| argument == "ledger") {
        return ledger(folder.path());
    }
    println!("{:>8} {:>14} {:>14} {:>8}", "answer", "off us/request", "on us/request", "more");
    for (leads, requests) in [(1, 4_000), (45, 600)] {
        compare(folder.path(), leads, requests);
    }
    ledger(folder.path());
}

/// Alternates between the two gates and prints what a request costs each of them.
fn compare(folder: &std::path::Path, leads: u64, requests: usize) {
    let body = document(leads);
    let upstream = upstream(&body);
    let collector = collector();
    let on = format!(
        "data_dir: data\ntelemetry:\n  traces: {{ endpoint: \"http://{collector}\", protocol: http }}\n"
    );
    let gates = [
        Gate::start(&folder.join(format!("off{leads}")), upstream, "", None),
        Gate::start(&folder.join(format!("on{leads}")), upstream, &on, None),
    ];
    let path = if leads == 1 { "/api/v1/leads/1/" } else { "/api/v1/leads/" };
    let mut spent = [Duration::ZERO; 2];
    for round in 0..=ROUNDS {
        for (gate, spent) in gates.iter().zip(&mut spent) {
            let before = gate.cpu();
            gate.ask(path, requests);
            // Spans and entries are dealt with a moment later; they count.
            std::thread::sleep(Duration::from_millis(700));
            gate.scrape();
            if round > 0 {
                *spent += gate.cpu() - before;
            }
        }
    }
    let scrape = gates[1].scrape();
    let asked = ((ROUNDS + 1) * requests * CONNECTIONS) as u64;
    assert_eq!(count(&scrape, "fieldgate_audit_entries_total{outcome=\"written\"}"), asked);
    assert_eq!(count(&scrape, "fieldgate_spans_total{outcome=\"dropped\"}"), 0);
    let [off, on] =
        spent.map(|spent| spent.as_secs_f64() * 1e6 / (ROUNDS * requests * CONNECTIONS) as f64);
    let more = (on / off - 1.0) * 100.0;
    println!("{:>6} B {off:>14.1} {on:>14.1} {more:>7.1}%", body.len());
}

fn count(scrape: &str, series: &str) -> u64 {
    let line = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    // OpenMetrics may write a whole number as `7.0`.
    line.and_then(|count| count.split(['.', ' ']).next()?.parse().ok()).unwrap()
}

/// Takes every batch of spans.
fn collector() -> SocketAddr {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length";
    serve(format!("{head}: 0\r\n\r\n"))
}

/// Writes a million entries through the ledger's own thread, and verifies them.
fn ledger(folder: &std::path::Path) {
    let keys = folder.join("keys.yaml");
    write_keys(&keys);
    let ring = Arc::new(mask::load(&keys).unwrap());
    let data = folder.join("ledger");
    let store = Store::open(&data, &[SCHEMA], &Options::default()).unwrap();
    let telemetry = Telemetry::start(&Settings::default(), Box::new(MemoryLog::new())).unwrap();
    let in_force = Arc::clone(&ring);
    let ledger = Ledger::start(LedgerParts {
        store: store.clone(),
        settings: Audit {
            mode: AuditMode::BestEffort,
            keep: Duration::from_secs(3650 * 24 * 3600),
            queue: 1 << 20,
        },
        keys: Box::new(move || Some(Arc::clone(&in_force))),
        telemetry,
    })
    .unwrap();
    let began = Instant::now();
    for number in 0..ENTRIES {
        ledger.record(entry(number));
    }
    ledger.close();
    let written = began.elapsed();
    store.close();
    let visitor = Visitor::reader(&data, &[SCHEMA]).unwrap();
    let key = |id: &str| PublicKey::of(&ring, Some(id)).map(|(_, key)| key);
    let began = Instant::now();
    let report = visitor.read(|connection| verify(connection, Some(&key), None)).unwrap();
    let verified = began.elapsed();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_eq!(report.entries, ENTRIES);
    println!(
        "ledger: {} entries written in {:.1} s, verified in {:.1} s",
        report.entries,
        written.as_secs_f64(),
        verified.as_secs_f64()
    );
}

fn entry(number: u64) -> AuditEntry {
    let field = |field: &str, act: &str| FieldEntry {
        field: field.to_owned(),
        act: act.to_owned(),
        count: 1,
        rule: format!("sales_rep:{field}"),
        origin: "policies/roles/sales_rep.yaml:12".to_owned(),
    };
    AuditEntry {
        time: "2026-03-04T05:06:07.890Z".to_owned(),
        kind: Kind::Answer,
        subject: Some(format!("user-{}", number % 100)),
        roles: vec!["sales_rep".to_owned()],
        tenant: Some("acme".to_owned()),
        object_type: Some("lead".to_owned()),
        objects: vec![(number % 10_000).to_string()],
        object_count: 1,
        fields: vec![field("$.email", "masked"), field("$.ssn", "hidden")],
        masked: 1,
        hidden: 1,
        policy_revision: Some("0123456789ab".to_owned()),
        correlation_id: format!("0b5e7c1a-0000-4000-8000-{number:012}"),
        method: "GET".to_owned(),
        route: Some("/api/v1/leads/{id}/".to_owned()),
        status: Some(200),
        outcome: Some(Outcome::Sent),
        reason: None,
    }
}
