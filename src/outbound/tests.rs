//! The client against servers that answer well, badly, too much and not at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server that answers each request, over a connection of its own, by a script.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stub {
    /// `script` gets each request as text, and makes the bytes to answer with; empty hangs.
    pub(crate) async fn start(script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::over(None, script).await
    }

    async fn over(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, script) = (Arc::clone(&seen), Arc::new(script));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, script, tls) = (Arc::clone(&log), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, &log, &*script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, &log, &*script).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    /// The requests so far, as they stood on the wire.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<String>>,
    script: &impl Fn(&str) -> Vec<u8>,
) {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .split("\r\n")
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        if stream.read_buf(&mut request).await.is_ok_and(|count| count == 0) {
            return;
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    log.lock().unwrap().push(text.clone());
    let answer = script(&text);
    if answer.is_empty() {
        std::future::pending::<()>().await;
    }
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

pub(crate) fn reply(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn client(address: SocketAddr) -> Client {
    Client::new("127.0.0.1", address.port(), None, Duration::from_secs(5)).unwrap()
}

fn get(target: &str) -> Request<Bytes> {
    Request::builder().uri(target).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_whole_answer_is_read() {
    let stub = Stub::start(|_| reply("200 OK", r#"{"a":1}"#)).await;
    let answer = client(stub.address).send(get("/keys?a=b")).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{\"a\":1}"[..]));
    let seen = stub.seen().concat();
    assert!(seen.starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: {}\r\n", stub.address)), "{seen}");
    assert!(seen.contains("accept-encoding: identity\r\n"), "{seen}");
}

#[track_caller]
fn check(answer: impl Into<Vec<u8>>, expected: Result<u16, Failed>) -> impl Future<Output = ()> {
    let answer = answer.into();
    let place = std::panic::Location::caller();
    async move {
        let stub = Stub::start(move |_| answer.clone()).await;
        let found = client(stub.address).send(get("/")).await;
        assert_eq!(found.map(|answer| answer.status.as_u16()), expected, "{place}");
    }
}

#[tokio::test]
async fn what_answers_become() {
    check(reply("401 Unauthorized", ""), Ok(401)).await;
    // Not followed.
    check("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", Ok(302)).await;
    check("HTTP/1.1 200 OK\r\n\r\nuntil the end", Ok(200)).await;
    check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", Err(Failed::Malformed)).await;
    check("hello", Err(Failed::Malformed)).await;
    let coded = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx";
    check(coded, Err(Failed::Encoded)).await;
    check(reply("200 OK", &"x".repeat(MAX_BODY)), Ok(200)).await;
    check(reply("200 OK", &"x".repeat(MAX_BODY + 1)), Err(Failed::TooLarge)).await;
    let head = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD));
    check(head, Err(Failed::Malformed)).await;
}

#[tokio::test]
async fn nobody_is_waited_for_too_long() {
    let stub = Stub::start(|_| Vec::new()).await;
    let patience = Duration::from_millis(50);
    let client = Client::new("127.0.0.1", stub.address.port(), None, patience).unwrap();
    assert_eq!(client.send(get("/")).await.unwrap_err(), Failed::Timeout);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(self::client(gone).send(get("/")).await.unwrap_err(), Failed::Connect);
}

#[tokio::test]
async fn certificates_are_verified() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let stub = Stub::over(Some(acceptor), |_| reply("200 OK", "{}")).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, cert.pem()).unwrap();

    let ask = |name: &str, ca: &Path| {
        let tls = UpstreamTls { server_name: name.to_owned(), ca: Some(ca.to_owned()) };
        let client =
            Client::new("127.0.0.1", stub.address.port(), Some(&tls), Duration::from_secs(5));
        async move { client.unwrap().send(get("/")).await.map(|answer| answer.status.as_u16()) }
    };
    assert_eq!(ask("localhost", &ca).await, Ok(200));
    assert_eq!(ask("other.example", &ca).await, Err(Failed::Tls));
    let other = folder.path().join("other.pem");
    let stranger = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    assert_eq!(ask("localhost", &other).await, Err(Failed::Tls));
}

#[test]
fn a_host_has_its_port_where_it_is_not_the_usual_one() {
    let authority =
        |host, port| Client::new(host, port, None, Duration::from_secs(1)).unwrap().authority();
    assert_eq!(authority("crm.example", 80), "crm.example");
    assert_eq!(authority("crm.example", 8080), "crm.example:8080");
    assert_eq!(authority("::1", 8080), "[::1]:8080");
}
