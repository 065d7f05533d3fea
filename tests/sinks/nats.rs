//! NATS `JetStream`: what is published, once each through kills, and which streams get nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use data_encoding::BASE64URL_NOPAD;
use fieldgate::config::{ContentMode, HttpUrl, NatsLogin, NatsStream, NatsTls};
use fieldgate::event::sink::{Doubt, NatsSink};
use fieldgate::event::{Delivered, DeliveryFailure, Message, Sink, envelope};
use nkeys::KeyPair;
use serde_json::value::RawValue;

use crate::harness::{certificates, failed, message};
use crate::line::Line;
use crate::nats_server::NatsServer;
use crate::receiver::closed_port;

fn settings(url: String) -> NatsStream {
    NatsStream {
        servers: vec![url],
        stream: "CRM".to_owned(),
        subject_prefix: "crm".to_owned(),
        mode: ContentMode::Structured,
        create: true,
        replicas: 1,
        max_age: None,
        duplicate_window: NatsStream::DUPLICATE_WINDOW,
        timeout: NatsStream::TIMEOUT,
        login: NatsLogin::Anonymous,
        tls: NatsTls::default(),
        monitor: None,
    }
}

fn sink(settings: NatsStream) -> NatsSink {
    NatsSink::new("bus".to_owned(), "integration".to_owned(), settings).unwrap()
}

async fn context(server: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

/// A message as the stream has it.
struct Stored {
    subject: String,
    /// One a line, sorted.
    headers: String,
    payload: Vec<u8>,
}

/// Every message of the stream.
async fn stored(server: &NatsServer) -> Vec<Stored> {
    let stream = context(server).await.get_stream("CRM").await.unwrap();
    let state = stream.get_info().await.unwrap().state;
    let mut messages = Vec::new();
    if state.messages == 0 {
        return messages;
    }
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        messages.push(Stored {
            subject: message.subject.to_string(),
            headers: header_text(&message.headers),
            payload: message.payload.to_vec(),
        });
    }
    messages
}

fn header_text(headers: &async_nats::HeaderMap) -> String {
    let mut lines: Vec<String> =
        headers.iter().map(|(name, values)| format!("{}: {}", name, values[0].as_str())).collect();
    lines.sort();
    lines.join("\n")
}

#[tokio::test]
async fn a_stream_is_created_and_gets_structured_events() {
    let server = NatsServer::start("");
    let sink = sink(settings(server.url()));
    assert_eq!(sink.inspect().await, [Doubt::OneReplica]);
    let message = message(1);
    assert_eq!(sink.deliver(&message, 1).await, Delivered::Accepted);
    let stored = stored(&server).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].subject, "crm.acme.deal.stage_changed");
    assert_eq!(stored[0].payload, envelope::structured(&message));
    assert_eq!(
        stored[0].headers,
        format!(
            "Nats-Expected-Stream: CRM\nNats-Msg-Id: {}\ncontent-type: application/cloudevents+json",
            message.id
        )
    );
    let stream = context(&server).await.get_stream("CRM").await.unwrap();
    let config = &stream.cached_info().config;
    assert_eq!(config.subjects, ["crm.>"]);
    assert_eq!(config.storage, stream::StorageType::File);
    assert_eq!(config.duplicate_window, NatsStream::DUPLICATE_WINDOW);
}

#[tokio::test]
async fn binary_events_have_their_attributes_in_headers() {
    let server = NatsServer::start("");
    let sink = sink(NatsStream { mode: ContentMode::Binary, ..settings(server.url()) });
    let message = Message { tenant: None, ..message(1) };
    assert_eq!(sink.deliver(&message, 1).await, Delivered::Accepted);
    let stored = stored(&server).await;
    assert_eq!(stored[0].subject, "crm.-.deal.stage_changed");
    assert_eq!(stored[0].payload, message.data.get().as_bytes());
    let headers = &stored[0].headers;
    for (name, value) in envelope::headers(&message) {
        assert!(headers.contains(&format!("{name}: {value}")), "{name} in {headers}");
    }
    assert!(headers.contains("content-type: application/json"), "{headers}");
}

#[tokio::test]
async fn a_repetition_is_accepted_and_stored_once() {
    let server = NatsServer::start("");
    for attempt in 1..=3 {
        let sink = sink(settings(server.url()));
        assert_eq!(sink.deliver(&message(1), attempt).await, Delivered::Accepted);
    }
    assert_eq!(stored(&server).await.len(), 1);
}

/// Subjects with their own order, as the dispatcher keeps it: the next event of a subject goes out
/// when the one before was accepted.
const SUBJECTS: u64 = 20;
const EVENTS_EACH: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_once_and_in_order_through_two_kills() {
    let mut server = NatsServer::start("");
    let sink = Arc::new(sink(settings(server.url())));
    let accepted = Arc::new(AtomicUsize::new(0));
    let failures = Arc::new(AtomicUsize::new(0));
    let subjects: Vec<_> = (0..SUBJECTS)
        .map(|subject| {
            let (sink, accepted, failures) =
                (Arc::clone(&sink), Arc::clone(&accepted), Arc::clone(&failures));
            tokio::spawn(async move {
                for number in 0..EVENTS_EACH {
                    let message = Message {
                        record: Some(subject.to_string()),
                        ..message(subject * EVENTS_EACH + number)
                    };
                    let mut attempt = 1;
                    while sink.deliver(&message, attempt).await != Delivered::Accepted {
                        failures.fetch_add(1, Ordering::Relaxed);
                        attempt += 1;
                    }
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let all = usize::try_from(SUBJECTS * EVENTS_EACH).unwrap();
    for part in [all / 4, all / 2] {
        while accepted.load(Ordering::Relaxed) < part {
            tokio::task::yield_now().await;
        }
        server.kill();
        // Somebody must have seen it dead before it comes back.
        let before = failures.load(Ordering::Relaxed);
        while failures.load(Ordering::Relaxed) == before {
            tokio::task::yield_now().await;
        }
        server.start_again();
    }
    for subject in subjects {
        subject.await.unwrap();
    }
    let mut orders: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in stored(&server).await {
        let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        let subject = event["subject"].as_str().unwrap().to_owned();
        orders.entry(subject).or_default().push(event["data"]["number"].as_u64().unwrap());
    }
    for subject in 0..SUBJECTS {
        let expected: Vec<u64> =
            (0..EVENTS_EACH).map(|number| subject * EVENTS_EACH + number).collect();
        assert_eq!(orders[&format!("deal/{subject}")], expected);
    }
}

#[tokio::test]
async fn a_dead_server_fails_soon_and_is_found_when_it_is_back() {
    let mut server = NatsServer::start("");
    let sink = sink(settings(server.url()));
    assert_eq!(sink.deliver(&message(1), 1).await, Delivered::Accepted);
    server.kill();
    let began = Instant::now();
    for attempt in 1..=2 {
        let delivered = sink.deliver(&message(2), attempt).await;
        assert!(matches!(delivered, Delivered::Failed { .. }), "{delivered:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    server.start_again();
    deliver_at_last(&sink, &message(2)).await;
    assert_eq!(stored(&server).await.len(), 2);
}

/// Repeats until accepted; each attempt waits for a connection by itself.
async fn deliver_at_last(sink: &NatsSink, message: &Message) {
    let began = Instant::now();
    while sink.deliver(message, 1).await != Delivered::Accepted {
        assert!(began.elapsed() < Duration::from_secs(30), "never accepted");
    }
}

/// The server takes the message, and its answer does not come through.
#[tokio::test]
async fn an_acknowledgement_that_does_not_come_is_waited_for_and_then_asked_for_again() {
    let server = NatsServer::start("");
    let line = Line::to(server.port).await;
    let timeout = Duration::from_millis(500);
    let sink = sink(NatsStream { timeout, ..settings(format!("nats://{}", line.address)) });
    deliver_at_last(&sink, &message(1)).await;
    line.is_held.send_replace(true);
    let began = Instant::now();
    let delivered = sink.deliver(&message(2), 1).await;
    assert_eq!(delivered, failed(DeliveryFailure::NotAcknowledged));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    line.is_held.send_replace(false);
    deliver_at_last(&sink, &message(2)).await;
    assert_eq!(stored(&server).await.len(), 2);
}

#[tokio::test]
async fn nobody_at_the_address() {
    let sink = sink(settings(format!("nats://127.0.0.1:{}", closed_port().await)));
    let began = Instant::now();
    assert_eq!(sink.inspect().await, [Doubt::NotReached]);
    assert_eq!(sink.deliver(&message(1), 1).await, failed(DeliveryFailure::Connect));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stream_in_memory_gets_nothing_until_it_is_mended() {
    let server = NatsServer::start("");
    let context = context(&server).await;
    let config = |storage| stream::Config {
        name: "CRM".to_owned(),
        subjects: vec!["crm.>".to_owned()],
        storage,
        ..stream::Config::default()
    };
    context.create_stream(config(stream::StorageType::Memory)).await.unwrap();
    let sink = sink(settings(server.url()));
    let short = Doubt::ShortDuplicateWindow(Duration::from_secs(120));
    assert_eq!(sink.inspect().await, [Doubt::MemoryStorage, short, Doubt::OneReplica]);
    assert_eq!(sink.deliver(&message(1), 1).await, failed(DeliveryFailure::Write));
    assert!(stored(&server).await.is_empty());
    context.delete_stream("CRM").await.unwrap();
    context.create_stream(config(stream::StorageType::File)).await.unwrap();
    assert_eq!(sink.deliver(&message(1), 1).await, Delivered::Accepted);
    assert_eq!(sink.inspect().await, [short, Doubt::OneReplica]);
}

#[tokio::test]
async fn a_stream_that_is_missing_is_created_only_where_that_is_asked_for() {
    let server = NatsServer::start("");
    let closed = sink(NatsStream { create: false, ..settings(server.url()) });
    assert_eq!(closed.inspect().await, [Doubt::NoStream]);
    assert_eq!(closed.deliver(&message(1), 1).await, failed(DeliveryFailure::Write));
    // One server cannot keep three copies.
    let greedy = sink(NatsStream { replicas: 3, ..settings(server.url()) });
    assert_eq!(greedy.inspect().await, [Doubt::NotCreated]);
    let open = sink(settings(server.url()));
    assert_eq!(open.deliver(&message(1), 1).await, Delivered::Accepted);
    // It vanishes, and is made again for the next attempt but one.
    context(&server).await.delete_stream("CRM").await.unwrap();
    assert_eq!(open.deliver(&message(2), 1).await, failed(DeliveryFailure::NotAcknowledged));
    assert_eq!(open.deliver(&message(2), 2).await, Delivered::Accepted);
}

#[tokio::test]
async fn subjects_of_another_stream_are_not_acknowledged() {
    let server = NatsServer::start("");
    let context = context(&server).await;
    for (name, subjects) in [("CRM", "eu.>"), ("OTHER", "crm.>")] {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![subjects.to_owned()],
            duplicate_window: Duration::from_secs(3600),
            ..stream::Config::default()
        };
        context.create_stream(config).await.unwrap();
    }
    let sink = sink(settings(server.url()));
    assert_eq!(sink.inspect().await, [Doubt::Subjects, Doubt::OneReplica]);
    assert_eq!(sink.deliver(&message(1), 1).await, failed(DeliveryFailure::NotAcknowledged));
}

#[tokio::test]
async fn an_event_larger_than_the_server_allows() {
    let server = NatsServer::start("max_payload: 10000");
    let sink = sink(settings(server.url()));
    let data = RawValue::from_string(format!("\"{}\"", "x".repeat(20_000))).unwrap();
    let large = Message { data, ..message(1) };
    assert_eq!(sink.deliver(&large, 1).await, failed(DeliveryFailure::Write));
    assert_eq!(sink.deliver(&message(2), 1).await, Delivered::Accepted);
}

#[tokio::test]
async fn the_monitor_tells_whether_the_server_syncs() {
    for (sync, expected) in
        [("2m", vec![Doubt::OneReplica, Doubt::NotSynced]), ("always", vec![Doubt::OneReplica])]
    {
        let server = NatsServer::start(&format!(
            "jetstream {{ store_dir: \"STORE\", sync_interval: {sync} }}"
        ));
        let monitor = Some(HttpUrl {
            is_https: false,
            host: "127.0.0.1".to_owned(),
            port: server.monitor,
            target: "/".to_owned(),
        });
        let sink = sink(NatsStream { monitor, ..settings(server.url()) });
        assert_eq!(sink.inspect().await, expected, "{sync}");
    }
}

#[tokio::test]
async fn logins() {
    let server = NatsServer::start("authorization { user: fieldgate, password: hunter2 }");
    let user = |password: &str| NatsLogin::User("fieldgate".to_owned(), password.to_owned().into());
    let deliver = async |server: &NatsServer, login| {
        let sink = sink(NatsStream { login, ..settings(server.url()) });
        let delivered = sink.deliver(&message(1), 1).await;
        assert!(!format!("{sink:?}").contains("hunter"), "{sink:?}");
        delivered
    };
    assert_eq!(deliver(&server, user("hunter2")).await, Delivered::Accepted);
    assert_eq!(deliver(&server, user("hunter3")).await, failed(DeliveryFailure::Connect));
    assert_eq!(deliver(&server, NatsLogin::Anonymous).await, failed(DeliveryFailure::Connect));

    let server = NatsServer::start("authorization { token: hunter2 }");
    let token = |token: &str| NatsLogin::Token(token.to_owned().into());
    assert_eq!(deliver(&server, token("hunter2")).await, Delivered::Accepted);
    assert_eq!(deliver(&server, token("hunter3")).await, failed(DeliveryFailure::Connect));
}

/// A server that knows its accounts by signed tokens, and the credentials file of one user.
#[tokio::test]
async fn a_credentials_file_logs_in() {
    let [operator, system, account, user] = [
        KeyPair::new_operator(),
        KeyPair::new_account(),
        KeyPair::new_account(),
        KeyPair::new_user(),
    ];
    let limits = serde_json::json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let nats = |kind: &str| serde_json::json!({ "type": kind, "version": 2 });
    let mut account_claims = nats("account");
    account_claims["limits"] = limits;
    let server = NatsServer::start(&format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\n\
         resolver_preload {{ {}: {}\n {}: {} }}",
        token(&operator, &operator, &nats("operator")),
        system.public_key(),
        system.public_key(),
        token(&operator, &system, &nats("account")),
        account.public_key(),
        token(&operator, &account, &account_claims),
    ));
    let mut user_claims = nats("user");
    user_claims["subs"] = (-1).into();
    user_claims["data"] = (-1).into();
    user_claims["payload"] = (-1).into();
    let credentials = |seed: &str| {
        let jwt = token(&account, &user, &user_claims);
        NatsLogin::Credentials(
            format!(
                "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
                 -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
            )
            .into(),
        )
    };
    let deliver = async |login| {
        sink(NatsStream { login, ..settings(server.url()) }).deliver(&message(1), 1).await
    };
    assert_eq!(deliver(credentials(&user.seed().unwrap())).await, Delivered::Accepted);
    let other = KeyPair::new_user().seed().unwrap();
    assert_eq!(deliver(credentials(&other)).await, failed(DeliveryFailure::Connect));
    assert_eq!(deliver(NatsLogin::Anonymous).await, failed(DeliveryFailure::Connect));
}

/// A JWT as NATS wants it: `issuer` says `claims` of `subject`.
fn token(issuer: &KeyPair, subject: &KeyPair, claims: &serde_json::Value) -> String {
    let part = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = part(&serde_json::json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let claims = part(&serde_json::json!({
        "jti": "test", "iat": 1_700_000_000, "name": "test",
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": claims,
    }));
    let signature = issuer.sign(format!("{header}.{claims}").as_bytes()).unwrap();
    format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&signature))
}

#[tokio::test]
async fn tls_is_verified_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (certificates("127.0.0.1"), certificates("127.0.0.1"));
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let ca = write("ca.pem", &ours.authority);
    let other_ca = write("other.pem", &other.authority);
    let certificate = write("tls.pem", &ours.certificate);
    let key = write("tls.key", &ours.key);
    let quoted = |path: &Path| format!("{:?}", path.to_str().unwrap());
    let server = NatsServer::start(&format!(
        "tls {{ cert_file: {}, key_file: {}, ca_file: {}, verify: true }}",
        quoted(&certificate),
        quoted(&key),
        quoted(&ca),
    ));
    let deliver = async |ca: &Path, client| {
        let tls = NatsTls { is_required: true, ca: Some(ca.to_owned()), client };
        sink(NatsStream { tls, ..settings(server.url()) }).deliver(&message(1), 1).await
    };
    let client = Some((certificate, key));
    assert_eq!(deliver(&ca, client.clone()).await, Delivered::Accepted);
    for (ca, client) in [(&other_ca, client), (&ca, None)] {
        let delivered = deliver(ca, client).await;
        assert!(matches!(delivered, Delivered::Failed { .. }), "{delivered:?}");
    }
}
