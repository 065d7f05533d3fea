//! Rounds of writing and killing, and the reckoning at the end.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::crm::{CANARY, Crm};
use super::gate::Home;

const WRITERS: usize = 8;

/// Rounds in the short form.
const ROUNDS: usize = 12;

/// Where the gate dies, besides at random moments.
const FAIL_POINTS: [&str; 5] =
    ["after_intent", "call.after_forward", "after_outcome", "answer.after_head", "after_delivery"];

/// The file that the gate's one sink writes; its role may not see amounts.
const SINK: &str =
    "events:\n  sinks:\n    - file: { name: trail, role: support, path: trail.jsonl }\n";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_whatever_kills_the_gate() {
    let rounds = std::env::var("FIELDGATE_CRASH_ROUNDS");
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut story = Story::begin().await;
    for round in 0..rounds {
        let faults = match rand::rng().random_range(0..=FAIL_POINTS.len()) {
            0 => String::new(),
            at => format!("{}=kill:{}", FAIL_POINTS[at - 1], rand::rng().random_range(1..40)),
        };
        story.round(round, &faults).await;
    }
    let faults = story.reckon().await;
    assert!(faults.is_empty(), "after {rounds} rounds: {faults:#?}");
}

/// The same with a store that says yes too early: if this found nothing, the test above would
/// prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_says_yes_too_early_is_found_out() {
    for _ in 0..10 {
        let mut story = Story::begin().await;
        for round in 0..4 {
            let n = rand::rng().random_range(5..40);
            let faults = format!("store.durability=off,after_outcome=kill:{n}");
            story.round(round, &faults).await;
        }
        if !story.reckon().await.is_empty() {
            return;
        }
    }
    panic!("switching durability off made no difference");
}

/// One CRM, one gate's files, and what the clients were told.
struct Story {
    folder: TempDir,
    crm: Crm,
    home: Home,
    /// Correlation ids of writes whose answer came whole.
    acknowledged: Arc<Mutex<HashSet<String>>>,
}

impl Story {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let crm = Crm::start(folder.path()).await;
        let home = Home::new(folder.path(), crm.address, SINK).without_workflows();
        Self { folder, crm, home, acknowledged: Arc::default() }
    }

    /// Writes until the gate is dead.
    async fn round(&mut self, round: usize, faults: &str) {
        let program = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
        let Some(mut gate) = self.home.try_start(program, faults) else {
            // What the round before had left to deliver killed it before it listened.
            assert!(!faults.is_empty(), "the gate ended before it listened");
            return;
        };
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let (data, acknowledged) = (gate.data, Arc::clone(&self.acknowledged));
            tasks.push(tokio::spawn(async move {
                for number in 0.. {
                    let id = format!("r{round}-w{writer}-{number}");
                    match write(data, &id, writer).await {
                        Some(200) => assert!(acknowledged.lock().unwrap().insert(id)),
                        Some(status) => panic!("{status} for {id}"),
                        None => break,
                    }
                }
            }));
        }
        let data = gate.data;
        tasks.push(tokio::spawn(async move {
            while let Some(seen) = read(data).await {
                assert!(!seen.contains(CANARY), "a read was not masked: {seen}");
            }
        }));
        let patience = rand::rng().random_range(100..400);
        let mut waited = 0;
        let most = if faults.is_empty() { patience } else { 3_000 };
        while !gate.has_ended() && waited < most {
            tokio::time::sleep(Duration::from_millis(10)).await;
            waited += 10;
        }
        gate.kill();
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Lets a last gate deliver everything, and says what does not add up.
    async fn reckon(self) -> Vec<String> {
        let gate = self.home.start("");
        let trail = self.home.data_dir().join("trail.jsonl");
        let wanted: HashSet<String> =
            self.home.events().iter().map(|event| text(event, "id")).collect();
        let mut faults = Vec::new();
        let mut lines = Vec::new();
        for attempt in 0.. {
            let written = std::fs::read_to_string(&trail).unwrap_or_default();
            let whole = written.lines().filter(|line| line.ends_with('}'));
            lines = whole.map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>();
            let delivered: HashSet<String> = lines.iter().map(|event| text(event, "id")).collect();
            if wanted.is_subset(&delivered) {
                break;
            }
            if attempt == 3000 {
                let missing = wanted.difference(&delivered).count();
                faults.push(format!("{missing} events were never delivered"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gate.stop();

        let events = self.home.events();
        let of = |types: &[&str]| -> HashSet<String> {
            let those = events.iter().filter(|event| types.contains(&&*text(event, "type")));
            those.map(|event| text(event, "correlationid")).collect()
        };
        let (known, unknown) = (of(&["deal.updated"]), of(&["write.outcome_unknown"]));
        let accounted: HashSet<String> = known.union(&unknown).cloned().collect();
        let done = self.crm.done();
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        assert!(!acknowledged.is_empty(), "no write ever succeeded");
        let mut compare = |what: &str, part: &HashSet<String>, whole: &HashSet<String>| {
            let missing: Vec<&String> = part.difference(whole).take(5).collect();
            if !missing.is_empty() {
                faults.push(format!("{what}: {missing:?}"));
            }
        };
        compare("acknowledged, but no event", &acknowledged, &known);
        compare("an event of a write that the CRM never did", &known, &done);
        compare("done by the CRM, but neither event nor unknown outcome", &done, &accounted);

        let mut ids: HashMap<(String, String), String> = HashMap::new();
        for event in lines.iter().chain(&events) {
            let key = (text(event, "correlationid"), text(event, "type"));
            let first = ids.entry(key.clone()).or_insert_with(|| text(event, "id"));
            if *first != text(event, "id") {
                faults.push(format!("two ids for {key:?}"));
            }
        }
        faults.extend(out_of_order(&events, &lines));
        for file in ["data/trail.jsonl", "data/fieldgate.db", "data/fieldgate.db-wal"] {
            let bytes = std::fs::read(self.folder.path().join(file)).unwrap_or_default();
            if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
                faults.push(format!("`{file}` holds what the sink's role may not see"));
            }
        }
        faults
    }
}

/// What is wrong with the order: the events of each record are numbered from 1 without gaps, and
/// come to the sink in that order, whatever is repeated.
fn out_of_order(events: &[serde_json::Value], delivered: &[serde_json::Value]) -> Vec<String> {
    let numbers_of = |events: &[serde_json::Value]| {
        let mut seen = HashSet::new();
        let mut numbers: HashMap<String, Vec<u64>> = HashMap::new();
        for event in events.iter().filter(|event| seen.insert(text(event, "id"))) {
            let number = text(event, "sequence").parse().unwrap();
            numbers.entry(text(event, "subject")).or_default().push(number);
        }
        numbers
    };
    let mut faults = Vec::new();
    for (subject, mut numbers) in numbers_of(events) {
        numbers.sort_unstable();
        if !numbers.iter().copied().eq(1..=numbers.len() as u64) {
            faults.push(format!("`{subject}` is not numbered without gaps: {numbers:?}"));
        }
    }
    for (subject, numbers) in numbers_of(delivered) {
        if !numbers.is_sorted() {
            faults.push(format!("`{subject}` was delivered out of order: {numbers:?}"));
        }
    }
    faults
}

pub(crate) fn text(event: &serde_json::Value, name: &str) -> String {
    event[name].as_str().unwrap_or_else(|| panic!("`{name}` in {event}")).to_owned()
}

/// The status of one write, if its answer came whole.
pub(crate) async fn write(gate: SocketAddr, correlation: &str, deal: usize) -> Option<u16> {
    let answer = write_raw(gate, correlation, deal).await?;
    answer.ends_with('}').then(|| answer.split(' ').nth(1).unwrap().parse().unwrap())
}

/// The answer to one write, as far as it came.
pub(crate) async fn write_raw(gate: SocketAddr, correlation: &str, deal: usize) -> Option<String> {
    let body = r#"{"stage":"won"}"#;
    let request = format!(
        "PATCH /api/v1/deals/{deal}/ HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer demo-admin\r\n\
         X-Correlation-ID: {correlation}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    exchange(gate, &request).await
}

/// What a role that may not see amounts gets, as far as it came; `None` once the gate is dead.
pub(crate) async fn read(gate: SocketAddr) -> Option<String> {
    let request = "GET /api/v1/deals/1/ HTTP/1.1\r\nHost: gate\r\n\
                   Authorization: Bearer demo-support\r\nConnection: close\r\n\r\n";
    exchange(gate, request).await
}

pub(crate) async fn exchange(gate: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(gate).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    String::from_utf8(answer).ok().filter(|answer| !answer.is_empty())
}
