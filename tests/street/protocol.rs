//! Protocols on both sides: HTTP/1.1 kept alive, HTTP/2 with and without TLS, TLS to the CRM.

use std::sync::Arc;

use bytes::Bytes;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::canary::Canaries;
use super::harness::*;

const LEAD: &str = "/api/v1/leads/1/";

// --- HTTP/1.1 -----------------------------------------------------------------------------------

/// A connection that is kept: one request after the other, answers with a length.
struct Kept {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Kept {
    async fn open(gate: &Gate) -> Self {
        let stream = TcpStream::connect(gate.data).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new() }
    }

    async fn ask(&mut self, target: &str, role: &str) {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-{role}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> (u16, String) {
        answer(&mut self.stream, &mut self.unread).await
    }
}

/// Status and body of the next answer.
async fn answer(stream: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> (u16, String) {
    loop {
        let text = std::str::from_utf8(unread).unwrap();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length: usize = header(head, "content-length")[0].parse().unwrap();
            if rest.len() >= length {
                let status = head[9..12].parse().unwrap();
                let body = rest[..length].to_owned();
                let used = head.len() + 4 + length;
                unread.drain(..used);
                return (status, body);
            }
        }
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "closed: {text}");
        unread.extend_from_slice(&buffer[..count]);
    }
}

/// What each role must be shown of `RECORD`.
const RECORD: &str = r#"{"id":7,"ssn":"canary-ssn","budget":1234567890,"title":"x"}"#;

fn shown(role: &str) -> &'static str {
    match role {
        "admin" => RECORD,
        "sales_rep" => r#"{"id":7,"budget":1234567890,"title":"x"}"#,
        "marketing" => r#"{"id":7,"budget":null,"title":"x"}"#,
        "finance" => r#"{"id":7,"budget":1234567890}"#,
        "support" => r#"{"id":7,"title":"x"}"#,
        _ => unreachable!(),
    }
}

/// Answers any number of requests on a connection.
async fn kept_upstream(answer: Vec<u8>) -> Upstream {
    Upstream::connections(move |mut stream, seen| {
        let answer = answer.clone();
        async move {
            while let Some(request) = read_message(&mut stream).await {
                let head = String::from_utf8_lossy(&request).into_owned();
                seen.lock().unwrap().push(head);
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_connection_has_a_caller_of_its_own() {
    const ROUNDS: usize = 400;
    let upstream = kept_upstream(json_answer(RECORD)).await;
    let gate = Arc::new(gate(&upstream).start().await);
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move {
                let mut kept = Kept::open(&gate).await;
                for round in 0..ROUNDS {
                    let role = ROLES[(client + round * 3) % ROLES.len()];
                    kept.ask(LEAD, role).await;
                    assert_eq!(kept.answer().await, (200, shown(role).to_owned()), "{role}");
                    if round % 50 == 0 {
                        kept.stream
                            .write_all(format!("GET {LEAD} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
                            .await
                            .unwrap();
                        assert_eq!(kept.answer().await.0, 401, "nobody is the one before");
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order_each_for_its_role() {
    let upstream = kept_upstream(json_answer(RECORD)).await;
    let gate = gate(&upstream).start().await;
    let get = |role: &str| {
        format!("GET {LEAD} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-{role}\r\n\r\n")
    };
    let patch = |role: &str, body: &str| {
        format!(
            "PATCH {LEAD} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-{role}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut all = String::new();
    for role in ROLES {
        all += &get(role);
        all += &patch(role, r#"{"ssn":"1"}"#);
    }
    for size in [usize::MAX, 1, 7, 100] {
        let mut kept = Kept::open(&gate).await;
        let (mut reading, mut writing) = kept.stream.into_split();
        let pieces: Vec<Vec<u8>> =
            all.as_bytes().chunks(size.min(all.len())).map(<[u8]>::to_vec).collect();
        let writing = tokio::spawn(async move {
            for piece in pieces {
                writing.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            writing
        });
        for role in ROLES {
            let read = answer(&mut reading, &mut kept.unread);
            assert_eq!(within(read).await, (200, shown(role).to_owned()), "{role}");
            let (status, body) = within(answer(&mut reading, &mut kept.unread)).await;
            let expect = if role == "admin" { 200 } else { 403 };
            assert_eq!(status, expect, "{role}: {body}");
        }
        drop(writing.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_is_answered_with_a_length() {
    let upstream = kept_upstream(json_answer(RECORD)).await;
    let gate = gate(&upstream).start().await;
    let old =
        format!("GET {LEAD} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer demo-support\r\n\r\n");
    let answered = within(send_raw(gate.data, old.as_bytes())).await;
    assert_eq!((answered.status, answered.text()), (200, shown("support")));
    assert!(answered.complete && answered.header("Content-Length").is_some());
}

// --- HTTP/2 -------------------------------------------------------------------------------------

/// The answer to one stream: status, headers, body, and how the body ended.
struct Streamed {
    head: http::response::Parts,
    body: Vec<u8>,
    end: Result<(), h2::Error>,
}

async fn http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> h2::client::SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender.ready().await.unwrap()
}

async fn ask(
    sender: &h2::client::SendRequest<Bytes>,
    uri: &str,
    role: &str,
    headers: &[(&str, &str)],
) -> Streamed {
    let mut request =
        http::Request::get(uri).header("authorization", format!("Bearer demo-{role}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    let (head, mut incoming) = response.await.unwrap().into_parts();
    let mut body = Vec::new();
    let mut end = Ok(());
    while let Some(chunk) = incoming.data().await {
        match chunk {
            Ok(chunk) => {
                incoming.flow_control().release_capacity(chunk.len()).unwrap();
                body.extend_from_slice(&chunk);
            }
            Err(error) => {
                end = Err(error);
                break;
            }
        }
    }
    assert!(incoming.trailers().await.is_ok_and(|trailers| trailers.is_none()) || end.is_err());
    Streamed { head, body, end }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_http2_are_filtered_each_for_its_role() {
    let upstream = kept_upstream(json_answer(RECORD)).await;
    let gate = gate(&upstream).start().await;
    let sender = http2(TcpStream::connect(gate.data).await.unwrap()).await;
    let uri = format!("http://{}{LEAD}", gate.data);
    let asked = (0..50).map(|number| {
        let (sender, uri) = (sender.clone(), uri.clone());
        let role = ROLES[number % ROLES.len()];
        tokio::spawn(async move { (role, ask(&sender, &uri, role, &[]).await) })
    });
    for answered in asked.collect::<Vec<_>>() {
        let (role, answered) = within(answered).await.unwrap();
        assert_eq!(answered.head.status, 200);
        assert_eq!(String::from_utf8(answered.body).unwrap(), shown(role), "{role}");
        assert!(answered.head.headers.contains_key("x-correlation-id"));
        assert!(!answered.head.headers.contains_key("transfer-encoding"));
    }
    let seen = upstream.heads().remove(0);
    assert_eq!(header(&seen, "host"), [gate.data.to_string()], "{seen}");

    for (headers, status) in [
        (&[("host", "other")][..], 400),
        (&[("x_role", "admin")], 400),
        (&[("x-http-method-override", "DELETE")], 400),
    ] {
        let refused = within(ask(&sender, &uri, "sales_rep", headers)).await;
        assert_eq!(refused.head.status, status, "{headers:?}");
    }
    let crooked = format!("http://{}/api/v1/leads/%2e%2e/leads/1/", gate.data);
    assert_eq!(within(ask(&sender, &crooked, "admin", &[])).await.head.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_a_long_answer_resets_its_stream_and_no_other() {
    let long =
        format!(r#"{{"results":[{}nope]}}"#, r#"{"id":1,"ssn":"canary-ssn"},"#.repeat(4_000));
    let upstream = kept_upstream(json_answer(&long)).await;
    let gate = gate(&upstream).config("limits: { hold: 8KiB }").start().await;
    let sender = http2(TcpStream::connect(gate.data).await.unwrap()).await;
    let uri = format!("http://{}/api/v1/leads/", gate.data);
    for _ in 0..2 {
        let answered = within(ask(&sender, &uri, "sales_rep", &[])).await;
        assert_eq!(answered.head.status, 200);
        let error = answered.end.expect_err("the stream must not come to its end");
        assert!(error.is_reset(), "{error}");
        Canaries::new(["canary-ssn"]).assert_not_in("a stream", &answered.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_only_to_be_reset_cost_nobody_else() {
    let upstream = kept_upstream(json_answer(RECORD)).await;
    let gate = gate(&upstream).start().await;
    let uri = format!("http://{}{LEAD}", gate.data);
    for _ in 0..3 {
        let sender = http2(TcpStream::connect(gate.data).await.unwrap()).await;
        for _ in 0..1_000 {
            let Ok(mut sender) = within(sender.clone().ready()).await else { break };
            let request = http::Request::get(&uri).header("authorization", "Bearer demo-admin");
            match sender.send_request(request.body(()).unwrap(), true) {
                Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
                Err(_) => break,
            }
        }
    }
    let sender = http2(TcpStream::connect(gate.data).await.unwrap()).await;
    let answered = within(ask(&sender, &uri, "support", &[])).await;
    assert_eq!(String::from_utf8(answered.body).unwrap(), shown("support"));
}

// --- TLS ----------------------------------------------------------------------------------------

/// A certificate of its own for `name`, and its key, as PEM.
/// A head that never ends, in CONTINUATION frames: the connection is closed long before it costs
/// memory, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_endless_continuations_ends_its_connection() {
    const MOST: usize = 4 << 20;
    let upstream = kept_upstream(json_answer(RECORD)).await;
    let gate = gate(&upstream).start().await;
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, stream]);
        frame.extend_from_slice(payload);
        frame
    };
    // A literal header without indexing, with a new name: x and 100 times y.
    let mut line = vec![0x00, 1, b'x', 100];
    line.extend_from_slice(&[b'y'; 100]);
    let block = line.repeat(100);
    let flood = async |continuation: &[u8]| {
        let mut stream = TcpStream::connect(gate.data).await.unwrap();
        let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        start.extend(frame(4, 0, 0, &[]));
        start.extend(frame(1, 0, 1, &[]));
        stream.write_all(&start).await.unwrap();
        let mut sent = 0;
        // Until it is closed, a write may still find room in the system's buffers.
        while sent < MOST && stream.write_all(&frame(9, 0, 1, continuation)).await.is_ok() {
            sent += continuation.len() + 9;
        }
        let mut end = Vec::new();
        let _ = stream.read_to_end(&mut end).await;
        sent
    };
    for continuation in [&block[..], &[]] {
        let sent = within(flood(continuation)).await;
        assert!(sent < MOST, "{sent} bytes of {} each were read", continuation.len());
    }
    let uri = format!("http://{}{LEAD}", gate.data);
    let sender = http2(TcpStream::connect(gate.data).await.unwrap()).await;
    let answered = within(ask(&sender, &uri, "support", &[])).await;
    assert_eq!(String::from_utf8(answered.body).unwrap(), shown("support"));
}

fn certificate(name: &str) -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

async fn tls_client(
    gate: &Gate,
    trusted: &str,
    protocol: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(gate.data).await.unwrap();
    let name = ServerName::try_from("gate.test").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_with_a_certificate_speaks_http_1_and_2() {
    let upstream = kept_upstream(json_answer(RECORD)).await;
    let (chain, key) = certificate("gate.test");
    let gate = gate(&upstream)
        .config("listen: { address: 127.0.0.1:0, tls: { certificate: tls/gate.pem, key: tls/gate.key } }")
        .file("tls/gate.pem", &chain)
        .file("tls/gate.key", &key)
        .start()
        .await;

    let mut stream = tls_client(&gate, &chain, b"http/1.1").await;
    let request = format!(
        "GET {LEAD} HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer demo-finance\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(shown("finance")));

    let sender = http2(tls_client(&gate, &chain, b"h2").await).await;
    let answered = within(ask(&sender, "https://gate.test/api/v1/leads/1/", "support", &[])).await;
    assert_eq!(String::from_utf8(answered.body).unwrap(), shown("support"));

    // Plain HTTP is no TLS handshake, and gets no answer.
    let plain = gate.get(LEAD).as_role("admin").send().await;
    assert!(plain.status == 0, "{}", plain.head);
}

/// A CRM behind TLS; remembers the names it was asked for.
async fn tls_upstream(chain: &str, key: &str) -> Upstream {
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Upstream::connections(move |stream, seen| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
            seen.lock().unwrap().push(name);
            let mut buffer = [0; 4096];
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                let Ok(count @ 1..) = stream.read(&mut buffer).await else { return };
                read.extend_from_slice(&buffer[..count]);
            }
            let _ = stream.write_all(&json_answer(RECORD)).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_the_crm_is_verified() {
    let (chain, key) = certificate("crm.test");
    let (other, _) = certificate("crm.test");
    let upstream = tls_upstream(&chain, &key).await;
    let url = format!("https://127.0.0.1:{}", upstream.address.port());
    for (ca, name, good) in
        [(&chain, "crm.test", true), (&other, "crm.test", false), (&chain, "other.test", false)]
    {
        let gate = gate(&upstream)
            .upstream_url(&format!("{url}\n  tls: {{ ca: tls/ca.pem, server_name: {name} }}"))
            .file("tls/ca.pem", ca)
            .start()
            .await;
        let answered = within(gate.get(LEAD).as_role("support").send()).await;
        if good {
            assert_eq!(answered.text(), shown("support"));
            assert_eq!(upstream.heads(), ["crm.test"], "the name that was asked for");
        } else {
            answered.expect_problem(502, "upstream_connect");
        }
    }
    assert_eq!(upstream.heads().len(), 1, "no request went to the others");
}
