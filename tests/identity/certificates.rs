//! Callers known by the certificate that their connection has shown.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::harness::*;
use super::metric;

const LEAD: &str = "/api/v1/leads/1/";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key.
type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn issue(by: &Authority, change: impl FnOnce(&mut CertificateParams)) -> (Shown, String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    let pem = (certificate.pem(), key.serialize_pem());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ((certificate.der().clone(), key), pem.0, pem.1)
}

fn client(by: &Authority, unit: &str, mail: &str) -> Shown {
    issue(by, |params| {
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
        params.distinguished_name.push(DnType::OrganizationName, "demo");
        params.subject_alt_names = vec![SanType::Rfc822Name(mail.try_into().unwrap())];
    })
    .0
}

/// A gate over TLS whose clients show certificates of `clients`.
async fn tls_gate(upstream: &Upstream, clients: &Authority, demand: &str) -> (Gate, Authority) {
    let servers = authority("servers");
    let (_, certificate, key) = issue(&servers, |_| {});
    let config = format!(
        "  - client_certificate: {{ subject: email, roles: ou, tenant: o }}
    roles: {{ map: {{ Sales: sales_rep, Board: admin }} }}
listen:
  address: 127.0.0.1:0
  tls: {{ certificate: server.pem, key: server.key, client_ca: clients.pem, client_certificate: {demand} }}
tenant: {{ header: X-Tenant }}"
    );
    let gate = gate(upstream)
        .config(&config)
        .file("server.pem", &certificate)
        .file("server.key", &key)
        .file("clients.pem", &clients.pem())
        .start()
        .await;
    (gate, servers)
}

async fn connect(
    gate: &Gate,
    servers: &Authority,
    shown: Option<Shown>,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(servers.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(gate.data).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn request(gate: &Gate, headers: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().uri(format!("https://{}{LEAD}", gate.data));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

/// Two requests over one connection: status and body of each.
async fn ask(
    gate: &Gate,
    servers: &Authority,
    shown: Option<Shown>,
    protocol: &str,
    headers: &[(&str, &str)],
) -> Option<Vec<(u16, Bytes)>> {
    let stream = TokioIo::new(connect(gate, servers, shown, protocol).await.ok()?);
    let mut answers = Vec::new();
    if protocol == "h2" {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.ok()?;
        tokio::spawn(connection);
        for _ in 0..2 {
            let answer = sender.send_request(request(gate, headers)).await.ok()?;
            let status = answer.status().as_u16();
            answers.push((status, answer.into_body().collect().await.ok()?.to_bytes()));
        }
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.ok()?;
        tokio::spawn(connection);
        for _ in 0..2 {
            let mut request = request(gate, headers);
            *request.uri_mut() = LEAD.parse().unwrap();
            let host = gate.data.to_string().parse().unwrap();
            request.headers_mut().insert("host", host);
            sender.ready().await.ok()?;
            let answer = sender.send_request(request).await.ok()?;
            let status = answer.status().as_u16();
            answers.push((status, answer.into_body().collect().await.ok()?.to_bytes()));
        }
    }
    Some(answers)
}

const PROTOCOLS: [&str; 2] = ["http/1.1", "h2"];

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_who_calls() {
    // The CRM itself asks for nothing here, so that its answers are what a service would get.
    let upstream =
        Upstream::scripted(json_answer(r#"{"id":1,"ssn":"1-2-3"}"#), Pace::OnePacket).await;
    let clients = authority("clients");
    let (gate, servers) = tls_gate(&upstream, &clients, "required").await;
    for protocol in PROTOCOLS {
        let board = client(&clients, "Board", "ann@demo.example");
        let seen = ask(&gate, &servers, Some(board), protocol, &[]).await.unwrap();
        for (status, body) in seen {
            assert_eq!((status, &body[..]), (200, &br#"{"id":1,"ssn":"1-2-3"}"#[..]), "{protocol}");
        }
        let sales = client(&clients, "Sales", "sam@demo.example");
        let seen = ask(&gate, &servers, Some(sales), protocol, &[]).await.unwrap();
        for (status, body) in seen {
            assert_eq!((status, &body[..]), (200, &br#"{"id":1}"#[..]), "{protocol}");
        }
        let guest = client(&clients, "Guests", "gus@demo.example");
        let seen = ask(&gate, &servers, Some(guest), protocol, &[]).await.unwrap();
        assert!(seen.iter().all(|(status, _)| *status == 403), "{protocol}");
        let sales = client(&clients, "Sales", "sam@demo.example");
        let other = [("x-tenant", "other")];
        let seen = ask(&gate, &servers, Some(sales), protocol, &other).await.unwrap();
        assert!(seen.iter().all(|(status, _)| *status == 403), "{protocol}");
    }
    let lines = gate.access_lines(16).await;
    assert!(lines.iter().any(|line| line["user_id"] == "ann@demo.example"));
    let identified =
        r#"fieldgate_identifications_total{outcome="identified",source="client_certificate"}"#;
    assert!(metric(&gate, identified).await >= 8);
    assert_eq!(upstream.heads().len(), 8, "two clients, two requests, two protocols");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vouches_for_a_certificate_counts() {
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let clients = authority("clients");
    let (gate, servers) = tls_gate(&upstream, &clients, "required").await;
    for protocol in PROTOCOLS {
        // Of another authority of the same name.
        let forged = client(&authority("clients"), "Board", "ann@demo.example");
        assert!(ask(&gate, &servers, Some(forged), protocol, &[]).await.is_none());
        assert!(ask(&gate, &servers, None, protocol, &[]).await.is_none());
        let (expired, _, _) = issue(&clients, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 12, 31);
        });
        assert!(ask(&gate, &servers, Some(expired), protocol, &[]).await.is_none());
    }
    assert!(upstream.heads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_optional_something_else_may_say_it() {
    let upstream =
        Upstream::scripted(json_answer(r#"{"id":1,"ssn":"1-2-3"}"#), Pace::OnePacket).await;
    let clients = authority("clients");
    let (gate, servers) = tls_gate(&upstream, &clients, "optional").await;
    for protocol in PROTOCOLS {
        let token = [("authorization", "Bearer demo-sales_rep")];
        let seen = ask(&gate, &servers, None, protocol, &token).await.unwrap();
        assert!(seen.iter().all(|(status, _)| *status == 200), "{protocol}");
        let seen = ask(&gate, &servers, None, protocol, &[]).await.unwrap();
        assert!(seen.iter().all(|(status, _)| *status == 401), "{protocol}");
        // The tokens stand first in the configuration, so the token decides.
        let board = client(&clients, "Board", "ann@demo.example");
        let seen = ask(&gate, &servers, Some(board), protocol, &token).await.unwrap();
        assert!(seen.iter().all(|(_, body)| &body[..] == br#"{"id":1}"#), "{protocol}");
    }
}
