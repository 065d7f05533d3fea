//! A thousand requests of one stranger at once are one question.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fieldgate::demo::crm::PEOPLE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::harness::*;
use super::metric;

const CONNECTIONS: usize = 10;
const STREAMS: usize = 100;

/// A thousand requests at once take their time on a machine with other work.
const LONGEST: Duration = Duration::from_secs(300);

/// Waits until `holds`, which is asked again and again.
async fn patiently<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONGEST, waiting).await.expect("it takes too long");
}

/// Tells who somebody is, once it may.
async fn teller(asked: Arc<AtomicUsize>, may_tell: Arc<Notify>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.fetch_add(1, Ordering::SeqCst);
            let may_tell = Arc::clone(&may_tell);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                may_tell.notified().await;
                let answer = json_answer(r#"{"id":"sam","role":"sales_rep"}"#);
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_first_requests_ask_once() {
    let (asked, may_tell) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let address = teller(Arc::clone(&asked), Arc::clone(&may_tell)).await;
    let upstream = Upstream::demo().await;
    let source = format!(
        "  - who_am_i:\n      url: http://{address}/me\n      timeout: 1h\n      credentials: {{ headers: [X-Api-Key] }}\n      subject: $.id\n      roles: $.role"
    );
    let gate = gate(&upstream)
        .timeouts("connect: 1h, first_byte: 1h, idle: 1h, total: 1h")
        .config(&source)
        .start()
        .await;

    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(gate.data).await.unwrap();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..STREAMS {
            let mut sender = sender.clone();
            let request = Request::builder()
                .uri(format!("http://{}/api/v1/leads/1/", gate.data))
                .header("x-api-key", PEOPLE[1].api_key)
                .body(Empty::<Bytes>::new())
                .unwrap();
            callers.push(tokio::spawn(async move {
                let answer = sender.send_request(request).await.unwrap();
                let status = answer.status();
                (status, answer.into_body().collect().await.unwrap().to_bytes())
            }));
        }
    }
    // All of them are under way, and one has asked.
    let under_way = CONNECTIONS * STREAMS;
    patiently(async || metric(&gate, "http_server_active_requests").await == under_way as u64)
        .await;
    patiently(async || asked.load(Ordering::SeqCst) == 1).await;
    may_tell.notify_waiters();

    let expected = gate.get("/api/v1/leads/1/").as_role("sales_rep").send().await;
    for caller in callers {
        let (status, body) = timeout(LONGEST, caller).await.expect("it takes too long").unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, expected.body);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
