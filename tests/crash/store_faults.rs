//! A store that cannot write: the CRM is left alone, or the gate says that it is not well.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::crm::Crm;
use super::gate::{Gate, Home};
use super::rounds::{exchange, read, text, write};

const EVENTS: &str =
    "events:\n  sinks:\n    - file: { name: trail, role: support, path: trail.jsonl }\n";

async fn story(events: &str) -> (TempDir, Crm, Home) {
    let folder = tempfile::tempdir().unwrap();
    let crm = Crm::start(folder.path()).await;
    let home = Home::new(folder.path(), crm.address, events).without_workflows();
    (folder, crm, home)
}

async fn ask(gate: &Gate, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(gate.admin, &request).await.unwrap()
}

fn ids(home: &Home, event_type: &str) -> HashSet<String> {
    let events = home.events();
    let those = events.iter().filter(|event| event["type"] == event_type);
    those.map(|event| text(event, "correlationid")).collect()
}

/// Hardening: the store fails before a watched write is forwarded.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_cannot_be_recorded_does_not_reach_the_crm() {
    let (_folder, crm, home) = story(EVENTS).await;
    let (gate, answer, id) = first_failing(&home, "HTTP/1.1 503 ").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: "), "{answer}");
    assert!(answer.contains("\"store_unavailable\""), "{answer}");
    assert!(!crm.done().contains(&id));
    assert!(read(gate.data).await.unwrap().contains("Deal 1"), "reads go on");
    assert!(ask(&gate, "/readyz").await.contains("\"store_healthy\":false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_cannot_be_recorded_passes_where_the_operator_chose_so() {
    let chosen = EVENTS.replace("events:\n", "events:\n  on_store_failure: pass\n");
    let (_folder, crm, home) = story(&chosen).await;
    let (gate, _, id) = first_failing(&home, "HTTP/1.1 200 ").await;
    assert!(crm.done().contains(&id));
    // Now the store is known to take nothing any more.
    assert_eq!(write(gate.data, "passed", 1).await, Some(200));
    assert!(crm.done().contains("passed"));
    let metrics = ask(&gate, "/metrics").await;
    let counted = "fieldgate_writes_unrecorded_total{moment=\"intent\"} ";
    assert!(metrics.contains(counted) && !metrics.contains(&format!("{counted}0")), "{metrics}");
}

/// A gate that starts, and whose store fails by the first write; it must be answered like this.
async fn first_failing(home: &Home, expect: &str) -> (Gate, String, String) {
    for (attempt, nth) in (1..12).cycle().take(44).enumerate() {
        let command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
        let Some(gate) = home.try_start(command, &format!("store.fsync=error:{nth}")) else {
            continue;
        };
        let id = format!("failing-{attempt}");
        let answer = super::rounds::write_raw(gate.data, &id, 1).await.unwrap();
        let is_unwell = ask(&gate, "/readyz").await.contains("\"store_healthy\":false");
        if is_unwell && answer.starts_with(expect) {
            return (gate, answer, id);
        }
        gate.kill();
    }
    panic!("no write was answered with {expect}");
}

/// Hardening: the store fails after the CRM has committed.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_recorded_is_reported_at_the_next_start() {
    let (_folder, crm, home) = story(EVENTS).await;
    // The start commits too, and so does what goes on beside; how often is not a promise, so the
    // fault is tried later and later, and more than once.
    for (attempt, nth) in (1..12).cycle().take(44).enumerate() {
        let command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
        let Some(gate) = home.try_start(command, &format!("store.fsync=error:{nth}")) else {
            continue;
        };
        let id = format!("nth-{attempt}");
        let status = write(gate.data, &id, 1).await;
        let is_unwell = ask(&gate, "/readyz").await.contains("\"store_healthy\":false");
        gate.kill();
        let gate = home.start("");
        gate.stop();
        let unknown = ids(&home, "write.outcome_unknown").contains(&id);
        if status == Some(200) {
            assert!(crm.done().contains(&id), "the CRM has done it");
            assert!(unknown || ids(&home, "deal.updated").contains(&id), "`{id}` is lost");
        }
        if status == Some(200) && is_unwell && unknown {
            return;
        }
    }
    panic!("no fault came between the intent and the outcome");
}

/// A disk that is full: a limit on the size of files stands for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_loses_none() {
    let (folder, crm, home) = story(EVENTS).await;
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_fieldgate");
    // In blocks of 512 bytes. The signal is ignored, so that writing fails instead.
    let script = format!("trap '' XFSZ; ulimit -f 2048; exec '{program}' \"$@\"");
    shell.args(["-c", &script, "sh"]);
    let gate = home.start_by(shell, "");
    let (mut acknowledged, mut refused) = (HashSet::new(), HashSet::new());
    for number in 0..3000 {
        let id = format!("full-{number}");
        match write(gate.data, &id, number).await {
            Some(200) => assert!(acknowledged.insert(id)),
            Some(503) => assert!(refused.insert(id)),
            other => panic!("{other:?}"),
        }
        if refused.len() == 5 {
            break;
        }
    }
    assert!(!acknowledged.is_empty() && refused.len() == 5, "the disk was never full");
    assert!(read(gate.data).await.unwrap().contains("Deal 1"), "reads go on");
    gate.kill();
    assert!(crm.done().is_disjoint(&refused), "a refused write reached the CRM");

    let gate = home.start("");
    assert_eq!(write(gate.data, "after", 1).await, Some(200));
    gate.stop();
    let known = ids(&home, "deal.updated");
    let unknown = ids(&home, "write.outcome_unknown");
    let accounted: HashSet<&String> = known.union(&unknown).collect();
    assert!(known.contains("after"));
    for id in &acknowledged {
        assert!(accounted.contains(id), "`{id}` is lost");
    }
    assert!(has_no_canary(folder.path()));
}

fn has_no_canary(folder: &Path) -> bool {
    let database = std::fs::read(folder.join("data/fieldgate.db")).unwrap();
    let canary = super::crm::CANARY.as_bytes();
    !database.windows(canary.len()).any(|window| window == canary)
}
