//! Row 34: who calls is decided once a request, whatever came over the connection before.

use bytes::Bytes;
use data_encoding::BASE64;
use fieldgate::demo::crm::PEOPLE;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::asking_gate;
use super::harness::*;

const LEAD: &str = "/api/v1/leads/1/";
const CONNECTIONS: usize = 8;
/// A hundred thousand take minutes without optimisation.
const REQUESTS: usize = if cfg!(debug_assertions) { 12_000 } else { 100_000 };

/// Sends its share of the requests over one connection, each with another identity than the last.
async fn alternate(
    gate: std::net::SocketAddr,
    first: usize,
    count: usize,
    callers: &[((&'static str, String), u16, Bytes)],
) {
    let stream = TcpStream::connect(gate).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for number in 0..count {
        // Neighbours are never the same, and neighbours differ from connection to connection.
        let at = (first + number * (1 + number / callers.len() % 3)) % callers.len();
        let ((name, value), status, body) = &callers[at];
        let request = Request::builder()
            .uri(LEAD)
            .header("host", gate.to_string())
            .header(*name, value)
            .body(Empty::<Bytes>::new())
            .unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), *status, "{name}");
        let seen = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(*status != 200 || seen == *body, "an answer of somebody else");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn alternating_identities_are_never_mixed_up() {
    let upstream = Upstream::demo().await;
    let gate = asking_gate(&upstream, "").await;
    let mut callers = Vec::new();
    for (person, role) in PEOPLE.into_iter().zip(ROLES) {
        let basic = BASE64.encode(format!("{}:{}", person.username, person.token).as_bytes());
        let body = gate.get(LEAD).as_role(role).send().await.body;
        for credential in [
            ("authorization", format!("Bearer {}", person.token)),
            ("authorization", format!("Basic {basic}")),
            ("x-api-key", person.api_key.to_owned()),
        ] {
            callers.push((credential, 200, Bytes::from(body.clone())));
        }
    }
    callers.push((("authorization", "Bearer nobody".to_owned()), 401, Bytes::new()));
    callers.push((("x-other", "nothing".to_owned()), 401, Bytes::new()));
    let distinct: std::collections::HashSet<&Bytes> =
        callers.iter().map(|(_, _, body)| body).collect();
    assert!(distinct.len() >= 5, "the roles see different things");

    let callers = std::sync::Arc::new(callers);
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|first| {
            let (callers, gate) = (std::sync::Arc::clone(&callers), gate.data);
            tokio::spawn(async move {
                alternate(gate, first, REQUESTS / CONNECTIONS, &callers).await;
            })
        })
        .collect();
    for connection in connections {
        connection.await.unwrap();
    }
}
