//! CRMs with manners of their own, clients that leave, connections that break: what counts as
//! having happened, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::body::Body;
use axum::response::Response;
use hyper::body::Bytes;
use serde_json::json as value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::scene::{Stage, line};
use crate::scripted::{Scripted, json};

const DEAL: &str = r#"
resource: deal
id: $.id
routes:
  - { methods: [GET], path: /api/v1/deals/, records: "$.results[*]" }
  - { methods: [POST], path: /api/v1/deals/, records: "$" }
  - { methods: [PATCH, DELETE], path: /api/v1/deals/bulk/, records: "$[*]" }
  - { methods: [GET, PUT, PATCH, DELETE], path: "/api/v1/deals/{id}/", records: "$" }
events:
  success: { field: error, operator: exists, value: false }
  creates:
    - { resource: contact, at: "$.made.contacts[*]", on: [POST] }
    - { resource: account, at: "$.made.account", on: [POST] }
emits:
  - when: { field: stage, operator: changed }
    event: deal.stage_changed
    data: { old_stage: old.stage, new_stage: new.stage }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_tells_what_has_happened() {
    let crm = Scripted::answers(|call| match call {
        "PATCH /api/v1/deals/1/" => json(200, r#"{"error":{"code":17},"id":1,"stage":"won"}"#),
        "PATCH /api/v1/deals/2/" => json(200, r#"{"error":null,"id":2,"stage":"won"}"#),
        "PATCH /api/v1/deals/3/" => json(302, ""),
        "PATCH /api/v1/deals/4/" => json(500, r#"{"id":4}"#),
        "PATCH /api/v1/deals/5/" => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = http::StatusCode::NO_CONTENT;
            answer
        }
        "POST /api/v1/deals/" => {
            let mut answer = json(201, "{}");
            answer.headers_mut().insert("location", "/api/v1/deals/77/".parse().unwrap());
            answer
        }
        "GET /api/v1/deals/" => {
            json(200, r#"{"results":[{"id":11,"stage":"new"},{"id":12,"stage":"won"}]}"#)
        }
        "PATCH /api/v1/deals/bulk/" => json(
            200,
            r#"[{"id":11,"stage":"won"},{"id":12,"stage":"won"},{"id":"13","stage":"won"}]"#,
        ),
        "DELETE /api/v1/deals/bulk/" => json(200, r#"[{"id":11},{"id":12}]"#),
        other => panic!("{other}"),
    })
    .await;
    let scene = Stage { deal: Some(DEAL), ..Stage::before(crm.address) }.set();
    let mut client = scene.client().await;
    let body = r#"{"stage":"won"}"#;
    for deal in 1..=5 {
        client.ask("admin", &format!("PATCH /api/v1/deals/{deal}/"), "one", body).await;
    }
    client.done("POST /api/v1/deals/", "made", "{}").await;
    client.done("GET /api/v1/deals/", "look", "").await;
    client.done("PATCH /api/v1/deals/bulk/", "many", "{}").await;
    client.done("DELETE /api/v1/deals/bulk/", "gone", "").await;
    assert_eq!(
        scene.told(),
        [
            "deal.updated deal/2",
            "deal.updated deal/5",
            "deal.created deal/77",
            "deal.updated deal/11",
            "deal.stage_changed deal/11",
            "deal.updated deal/12",
            "deal.updated deal/13",
            "deal.deleted deal/11",
            "deal.deleted deal/12",
        ]
    );
    let many = scene.of_request("many", 4);
    assert_eq!(many[1]["data"]["old_stage"], "new");
    assert_eq!(many[1]["data"]["record"], value!({ "id": 11, "stage": "won" }));
    assert_eq!(many[3]["data"]["record"], value!({ "id": "13", "stage": "won" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_beside_is_told_as_well() {
    let answer = r#"{"id":7,"made":{"contacts":[{"id":1,"iban":"canary"},{"id":2}],
        "account":{"id":3,"name":"Acme"}}}"#;
    let crm = Scripted::answers(move |_| json(201, answer)).await;
    let scene = Stage { deal: Some(DEAL), ..Stage::before(crm.address) }.set();
    scene.client().await.done("POST /api/v1/deals/", "made", "{}").await;
    let events = scene.of_request("made", 4);
    let lines: Vec<String> = events.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "deal.created deal/7",
            "contact.created contact/1",
            "contact.created contact/2",
            "account.created account/3"
        ]
    );
    assert_eq!(events[3]["data"]["record"], value!({ "id": 3, "name": "Acme" }));
}

/// Hardening: the client is gone half way through a write.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_recorded_although_its_client_has_left() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (arrives, goes) = (Arc::clone(&arrived), Arc::clone(&go));
    let crm = Scripted::start(move |_| {
        let (arrives, goes) = (Arc::clone(&arrives), Arc::clone(&goes));
        async move {
            arrives.notify_one();
            goes.notified().await;
            json(200, r#"{"id":8,"stage":"won"}"#)
        }
    })
    .await;
    let scene = Stage { deal: Some(DEAL), ..Stage::before(crm.address) }.set();
    let client = send_raw(&scene.gate.data, "/api/v1/deals/8/", "left").await;
    arrived.notified().await;
    drop(client);
    go.notify_one();
    assert_eq!(line(&scene.of_request("left", 1)[0]), "deal.updated deal/8");
}

/// The same in the middle of an answer that streams.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_read_to_its_end_although_its_client_has_left() {
    const RECORDS: usize = 4_000;
    let (more, chunks) = mpsc::channel::<Bytes>(1);
    let chunks = Arc::new(tokio::sync::Mutex::new(Some(chunks)));
    let crm = Scripted::start(move |_| {
        let chunks = Arc::clone(&chunks);
        async move {
            let chunks = chunks.lock().await.take().unwrap();
            json(200, Body::new(Chunks(chunks)))
        }
    })
    .await;
    let top = "limits: { hold: 4KiB }\n";
    let scene = Stage { deal: Some(DEAL_WITHOUT_PREDICATE), top, ..Stage::before(crm.address) };
    let scene = scene.set();
    let mut client = Some(send_raw(&scene.gate.data, "/api/v1/deals/bulk/", "left").await);
    let padding = "x".repeat(200);
    for number in 0..RECORDS {
        let begin = if number == 0 { "[" } else { "," };
        let text = format!(r#"{begin}{{"id":{number},"name":"{padding}"}}"#);
        more.send(text.into()).await.unwrap();
        if number == 100
            && let Some(mut client) = client.take()
        {
            // Something has come, so the answer streams; the rest of it is refused.
            assert!(client.read(&mut [0; 64]).await.unwrap() > 0);
            client.set_zero_linger().unwrap();
        }
    }
    more.send("]".into()).await.unwrap();
    drop(more);
    let events = scene.of_request("left", RECORDS);
    assert_eq!(line(&events[RECORDS - 1]), format!("deal.updated deal/{}", RECORDS - 1));
}

/// An answer that breaks off does not tell which records it was about.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_has_one_event_that_names_nobody() {
    for length in [3, 300] {
        let crm = Scripted::start(move |_| async move {
            let (more, chunks) = mpsc::channel::<Bytes>(1);
            tokio::spawn(async move {
                for number in 0..length {
                    let begin = if number == 0 { "[" } else { "," };
                    let text = format!(r#"{begin}{{"id":{number},"name":"someone"}}"#);
                    more.send(text.into()).await.unwrap();
                }
                more.send("}".into()).await.unwrap();
            });
            json(200, Body::new(Chunks(chunks)))
        })
        .await;
        let top = "limits: { hold: 4KiB }\n";
        let scene = Stage { deal: Some(DEAL_WITHOUT_PREDICATE), top, ..Stage::before(crm.address) };
        let scene = scene.set();
        let mut client = send_raw(&scene.gate.data, "/api/v1/deals/bulk/", "broken").await;
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        let events = scene.of_request("broken", 1);
        assert_eq!(line(&events[0]), "deal.updated -", "{length}");
        assert_eq!(events[0]["data"], value!({ "id": null }));
    }
}

const DEAL_WITHOUT_PREDICATE: &str = r#"
resource: deal
id: $.id
routes:
  - { methods: [PATCH], path: /api/v1/deals/bulk/, records: "$[*]" }
"#;

/// Hardening: an upstream that is asked twice. One request of a client has its events once.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_sent_twice_is_one_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while let Some(head) = read_request(&mut stream).await {
                    tell.send(head).unwrap();
                    number += 1;
                    if connection == 0 && number == 2 {
                        return;
                    }
                    let body = r#"{"id":6,"stage":"won"}"#;
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                         Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let scene = Stage { deal: Some(DEAL), ..Stage::before(address) }.set();
    let mut client = scene.client().await;
    client.done("PUT /api/v1/deals/6/", "first", r#"{"stage":"won"}"#).await;
    client.done("PUT /api/v1/deals/6/", "second", r#"{"stage":"won"}"#).await;
    let mut heads = Vec::new();
    while let Ok(head) = asked.try_recv() {
        heads.push(head);
    }
    // Each write is preceded by a read of its record.
    let puts = heads.iter().filter(|head| head.starts_with("put") && head.contains("first"));
    assert_eq!(puts.count(), 2, "{heads:#?}");
    assert_eq!(scene.told(), ["deal.updated deal/6", "deal.updated deal/6"]);
    assert_eq!(scene.of_request("first", 1).len(), 1);
}

/// A CRM that takes a request of `method` on a pooled connection and closes that without a byte, as
/// if it had died behind its commit. The second attempt gets `then`; without it nobody listens any
/// more.
async fn forgetful(method: &'static str, then: Option<&'static str>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while !read_request(&mut stream).await.unwrap().starts_with(method) {
            stream.write_all(text_answer("200 OK").as_bytes()).await.unwrap();
        }
        let Some(then) = then else { return drop(listener) };
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await.unwrap();
        stream.write_all(text_answer(then).as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    address
}

fn text_answer(status: &str) -> String {
    let body = r#"{"id":6,"stage":"won"}"#;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The first attempt may have been carried out, whatever becomes of the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_second_attempt_fails_has_an_unknown_outcome() {
    for (call, then) in [
        ("PUT /api/v1/deals/6/", None),
        ("DELETE /api/v1/deals/6/", Some("404 Not Found")),
        ("PUT /api/v1/deals/6/", Some("412 Precondition Failed")),
    ] {
        let (method, body) =
            if call.starts_with("PUT") { ("put", r#"{"stage":"won"}"#) } else { ("delete", "") };
        let crm = forgetful(method, then).await;
        let scene = Stage { deal: Some(DEAL), ..Stage::before(crm) }.set();
        let mut client = scene.client().await;
        client.done("GET /api/v1/deals/6/", "first", "").await;
        let answer = client.ask("admin", call, "second", body).await;
        let expected = then.map_or("502", |then| &then[..3]);
        assert_eq!(answer.status.as_str(), expected, "{call} {then:?}");
        let events = scene.of_request("second", 1);
        assert_eq!(line(&events[0]), "write.outcome_unknown deal/6", "{call} {then:?}");
        assert_eq!(events[0]["data"]["reason"], "no_answer");
        let told = scene.metric("fieldgate_writes_observed_total{outcome=\"unknown\"}").await;
        assert_eq!(told, "1", "{call} {then:?}");
        let events = "fieldgate_events_total{type=\"write.outcome_unknown\"}";
        assert_eq!(scene.metric(events).await, "1");
        let log = std::fs::read_to_string(scene.home.folder.join("log")).unwrap();
        assert!(log.contains("the outcome of a write is not known"), "{log}");
    }
}

/// A bulk answer tells which record it shows; what that was before is asked for by its id.
#[tokio::test(flavor = "multi_thread")]
async fn the_old_values_of_a_bulk_write_are_those_of_its_records() {
    let crm = Scripted::answers(|call| match call {
        "GET /api/v1/deals/" => json(
            200,
            r#"{"results":[{"id":11,"stage":"new"},{"id":12,"stage":"open"},{"id":13,"stage":"new"}]}"#,
        ),
        "PATCH /api/v1/deals/bulk/" => json(200, r#"[{"id":11,"stage":"won"}]"#),
        "PATCH /api/v1/deals/several/" => {
            json(200, r#"[{"id":12,"stage":"won"},{"id":13,"stage":"won"}]"#)
        }
        other => panic!("{other}"),
    })
    .await;
    let several = "  - { methods: [PATCH], path: /api/v1/deals/several/, records: \"$[*]\" }\n";
    let deal = DEAL.replace("events:\n", &format!("{several}events:\n"));
    let mut scene = Stage { deal: Some(&deal), ..Stage::before(crm.address) }.set();
    let mut client = scene.client().await;
    client.done("GET /api/v1/deals/", "look", "").await;
    client.done("PATCH /api/v1/deals/bulk/", "one", "{}").await;
    let one = scene.of_request("one", 2);
    assert_eq!(line(&one[1]), "deal.stage_changed deal/11");
    assert_eq!(one[1]["data"]["old_stage"], "new");
    // What memory has lost is still in the store.
    scene.restart();
    let mut client = scene.client().await;
    client.done("PATCH /api/v1/deals/several/", "many", "{}").await;
    let many = scene.of_request("many", 4);
    let old: Vec<_> = many.iter().filter_map(|event| event["data"].get("old_stage")).collect();
    assert_eq!(old, ["open", "new"]);
}

/// Whether the record is still as it was seen is not known either.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_unknown_outcome_makes_the_old_record_unknown() {
    let is_second = Arc::new(AtomicBool::new(false));
    let crm = Scripted::answers(move |call| match call {
        "GET /api/v1/deals/" => {
            json(200, r#"{"results":[{"id":8,"stage":"new"},{"id":9,"stage":"new"}]}"#)
        }
        "PATCH /api/v1/deals/8/" if is_second.swap(true, Relaxed) => {
            json(200, r#"{"id":8,"stage":"won"}"#)
        }
        "PATCH /api/v1/deals/8/" => json(200, "{"),
        "PATCH /api/v1/deals/9/" => json(200, r#"{"id":9,"stage":"won"}"#),
        other => panic!("{other}"),
    })
    .await;
    let mut scene = Stage { deal: Some(DEAL), ..Stage::before(crm.address) }.set();
    let mut client = scene.client().await;
    client.done("GET /api/v1/deals/", "look", "").await;
    client.ask("admin", "PATCH /api/v1/deals/8/", "broken", "{}").await;
    client.done("PATCH /api/v1/deals/8/", "after", "{}").await;
    assert_eq!(scene.told(), ["write.outcome_unknown deal/8", "deal.updated deal/8"]);
    // The same where it is the gate that dies.
    scene.restart_with("call.after_forward=kill");
    let body = "{}";
    let request = format!(
        "PATCH /api/v1/deals/9/ HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer demo-admin\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(scene.gate.data).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    scene.revive().await;
    let mut client = scene.client().await;
    client.done("PATCH /api/v1/deals/9/", "later", "{}").await;
    assert_eq!(scene.told()[2..], ["write.outcome_unknown deal/9", "deal.updated deal/9"]);
}

/// Who takes a whole answer as a receipt must be able to find its events.
#[tokio::test(flavor = "multi_thread")]
async fn no_streamed_answer_is_whole_before_its_outcome_is_on_disk() {
    const RECORDS: usize = 10_000;
    let crm = Scripted::answers(|_| {
        let padding = "x".repeat(200);
        let records: Vec<String> =
            (0..RECORDS).map(|id| format!(r#"{{"id":{id},"name":"{padding}"}}"#)).collect();
        json(200, format!("[{}]", records.join(",")))
    })
    .await;
    let top = "limits: { hold: 64KiB }\n";
    let stage = Stage { deal: Some(DEAL_WITHOUT_PREDICATE), top, ..Stage::before(crm.address) };
    let mut scene = stage.set();
    // Dies with the outcome on disk, and before the client could be told.
    scene.restart_with("after_outcome=kill");
    let mut client = send_raw(&scene.gate.data, "/api/v1/deals/bulk/", "whole").await;
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    assert!(answer.len() > 1 << 20, "it streams: {}", answer.len());
    assert!(!answer.ends_with(b"0\r\n\r\n"), "the answer came to its end");
    assert!(!String::from_utf8_lossy(&answer).contains(r#""id":9999,"#));
    assert_eq!(scene.of_request("whole", RECORDS).len(), RECORDS);
}

/// More than can be looked at of one answer is said to be so.
#[tokio::test(flavor = "multi_thread")]
async fn the_records_beyond_the_bound_are_said_to_be_left_out() {
    let crm = Scripted::answers(|_| {
        let records: Vec<String> = (0..10_007).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
        json(200, format!("[{}]", records.join(",")))
    })
    .await;
    let scene = Stage { deal: Some(DEAL_WITHOUT_PREDICATE), ..Stage::before(crm.address) }.set();
    scene.client().await.done("PATCH /api/v1/deals/bulk/", "many", "{}").await;
    let events = scene.of_request("many", 10_001);
    let last = &events[10_000];
    assert_eq!(line(last), "write.outcome_unknown -");
    assert_eq!(last["data"]["reason"], "too_many_records");
    assert_eq!(last["data"]["records"], 7);
    assert!(last["data"]["id"].is_null() && last["data"].get("id").is_some());
    let left_out = scene.metric("fieldgate_records_left_out_total").await;
    assert_eq!(left_out, "7");
}

/// Past the hold limit nobody looks for records of other resources.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_streamed_answer_created_beside_is_said_to_be_unknown() {
    let crm = Scripted::answers(|_| {
        let padding = "x".repeat(16 * 1024);
        let made = r#"{"contacts":[{"id":1}]}"#;
        json(201, format!(r#"{{"id":7,"name":"{padding}","made":{made}}}"#))
    })
    .await;
    let deal = DEAL.replace("  success: { field: error, operator: exists, value: false }\n", "");
    let top = "limits: { hold: 4KiB }\n";
    let scene = Stage { deal: Some(&deal), top, ..Stage::before(crm.address) }.set();
    scene.client().await.done("POST /api/v1/deals/", "made", "{}").await;
    let events = scene.of_request("made", 2);
    assert_eq!(line(&events[0]), "deal.created deal/7");
    assert_eq!(line(&events[1]), "write.outcome_unknown -");
    assert_eq!(events[1]["data"]["reason"], "created_not_seen");
}

async fn send_raw(gate: &std::net::SocketAddr, path: &str, correlation: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gate).await.unwrap();
    let request = format!(
        "PATCH {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer demo-admin\r\n\
         X-Correlation-ID: {correlation}\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Head and body of one request with a Content-Length.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if read.len() >= end + 4 + length {
            return Some(text);
        }
    }
}

/// A body whose chunks come from elsewhere.
struct Chunks(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        let chunk = self.0.poll_recv(context);
        chunk.map(|chunk| chunk.map(|chunk| Ok(hyper::body::Frame::data(chunk))))
    }
}
