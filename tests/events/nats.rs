//! Ten thousand events into a stream whose server dies twice, from a gate that dies once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream;

use crate::client::Client;
use crate::nats_server::NatsServer;
use crate::scene::Stage;
use crate::scripted::{Scripted, json};

const EVENTS: usize = 10_000;

/// Records that one write changes.
const BULK: usize = 25;

const WRITERS: usize = 8;

const DEAL: &str = r#"
resource: deal
id: $.id
routes:
  - { methods: [PATCH], path: /api/v1/deals/bulk/, records: "$[*]" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_events_arrive_once_each_through_three_kills() {
    let records = Arc::new(AtomicUsize::new(0));
    let crm = Scripted::answers(move |_| {
        let first = records.fetch_add(BULK, Ordering::SeqCst);
        let mut body = String::new();
        for number in first..first + BULK {
            let begin = if number == first { '[' } else { ',' };
            write!(body, r#"{begin}{{"id":{number}}}"#).unwrap();
        }
        json(200, body + "]")
    })
    .await;
    let mut server = NatsServer::start("");
    let sinks = format!(
        "    - nats: {{ name: bus, role: admin, servers: [\"{}\"], stream: CRM, create: true }}\n",
        server.url()
    );
    let pauses = vec!["500ms"; 32].join(", ");
    let events = format!("  retry: [{pauses}]\n");
    let stage =
        Stage { deal: Some(DEAL), sinks: &sinks, events: &events, ..Stage::before(crm.address) };
    let scene = stage.set();
    let (home, gate) = (&scene.home, scene.gate);

    // The server dies while events are on their way, and stays away until the writers are done.
    let writing = tokio::spawn(write(gate.data, 0, EVENTS / 2));
    until_stored(&server, 200).await;
    server.kill();
    writing.await.unwrap();
    server.start_again();
    // Fieldgate dies while it delivers what has been waiting.
    until_stored(&server, EVENTS / 4).await;
    gate.kill();
    let before = stored(&server).await;
    assert!(before < EVENTS / 2, "all {before} were delivered before the kill");
    let gate = home.start("");
    // And the server once more.
    let writing = tokio::spawn(write(gate.data, EVENTS / 2, EVENTS));
    until_stored(&server, EVENTS * 6 / 10).await;
    server.kill();
    server.start_again();
    writing.await.unwrap();
    until_stored(&server, EVENTS).await;

    let journal: Vec<String> =
        home.events().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(journal.len(), EVENTS);
    // Not one of them waits any more, so nothing is still to come.
    let began = Instant::now();
    while home.ask(&["events", "list", "--limit", "0"]).contains("waiting") {
        assert!(began.elapsed() < Duration::from_secs(30), "a delivery is never recorded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(home.ask(&["events", "dead", "--json"]), "");
    gate.stop();
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for id in message_ids(&server).await {
        *arrived.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = arrived.iter().filter(|(_, count)| **count > 1).take(5).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(arrived.len(), EVENTS);
    assert!(journal.iter().all(|id| arrived.contains_key(id)), "other events than the journal's");
}

/// Writes until `to` records are changed, of which `from` are already; every write succeeds.
async fn write(gate: SocketAddr, from: usize, to: usize) {
    let next = Arc::new(AtomicUsize::new(from));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let next = Arc::clone(&next);
        writers.push(tokio::spawn(async move {
            let mut client = Client::connect(gate).await;
            loop {
                let number = next.fetch_add(BULK, Ordering::SeqCst);
                if number >= to {
                    return;
                }
                let correlation = format!("write-{number}");
                client.done("PATCH /api/v1/deals/bulk/", &correlation, "{}").await;
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

/// How many messages the stream holds; none where there is no stream yet.
async fn stored(server: &NatsServer) -> usize {
    let Ok(stream) = context(server).await.get_stream("CRM").await else { return 0 };
    usize::try_from(stream.cached_info().state.messages).unwrap()
}

async fn until_stored(server: &NatsServer, count: usize) {
    let began = Instant::now();
    loop {
        let stored = stored(server).await;
        if stored >= count {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{stored} of {count} have arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn context(server: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

/// The id of every message in the stream.
async fn message_ids(server: &NatsServer) -> Vec<String> {
    let stream = Arc::new(context(server).await.get_stream("CRM").await.unwrap());
    let last = stream.cached_info().state.last_sequence;
    let mut readers = Vec::new();
    for first in 1..=16 {
        let stream = Arc::clone(&stream);
        readers.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for sequence in (first..=last).step_by(16) {
                let message = stream.get_raw_message(sequence).await.unwrap();
                ids.push(message.headers.get("Nats-Msg-Id").unwrap().to_string());
            }
            ids
        }));
    }
    let mut ids = Vec::new();
    for reader in readers {
        ids.extend(reader.await.unwrap());
    }
    ids
}
