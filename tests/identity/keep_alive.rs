//! Row 34: who calls is decided once a request, whatever came over the connection before. A hundred
//! thousand requests over kept-alive connections, each with another identity than the last.

use std::sync::Arc;

use data_encoding::BASE64;
use fieldgate::demo::crm::PEOPLE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::asking_gate;
use super::harness::*;

/// The smallest records that the roles see differently: most of the time goes to identities.
const DEAL: &str = "/api/v1/deals/1/";
const CONNECTIONS: usize = 16;
const REQUESTS: usize = 100_000;

/// A caller: the bytes of its request, and what it must be answered.
struct Caller {
    request: Vec<u8>,
    status: &'static [u8],
    /// `None` where the answer is a problem with an id of its own.
    body: Option<Vec<u8>>,
}

/// A connection that is written to and read from by the byte, for a client must not be what takes
/// the time.
struct Line {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Line {
    async fn ask(&mut self, caller: &Caller) {
        self.stream.write_all(&caller.request).await.unwrap();
        self.read.clear();
        let (head, length) = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break (end + 4, length_of(&self.read[..end]));
            }
            self.more().await;
        };
        while self.read.len() < head + length {
            self.more().await;
        }
        assert_eq!(self.read.len(), head + length, "more than one answer");
        let (head, body) = self.read.split_at(head);
        assert!(
            head.starts_with(caller.status),
            "{} instead of {}",
            String::from_utf8_lossy(head),
            String::from_utf8_lossy(caller.status)
        );
        if let Some(expected) = &caller.body {
            assert!(body == expected.as_slice(), "an answer of somebody else");
        }
    }

    async fn more(&mut self) {
        let count = self.stream.read_buf(&mut self.read).await.unwrap();
        assert!(count > 0, "the connection was not kept");
    }
}

fn length_of(head: &[u8]) -> usize {
    let name = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then_some(value)
    });
    std::str::from_utf8(value.unwrap()).unwrap().trim().parse().unwrap()
}

/// Sends its share of the requests over one connection.
async fn alternate(gate: std::net::SocketAddr, first: usize, count: usize, callers: &[Caller]) {
    let stream = TcpStream::connect(gate).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut line = Line { stream, read: Vec::with_capacity(16 * 1024) };
    for number in 0..count {
        // Neighbours are never the same, and neighbours differ from connection to connection.
        let at = (first + number * (1 + number / callers.len() % 3)) % callers.len();
        line.ask(&callers[at]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn alternating_identities_are_never_mixed_up() {
    let upstream = Upstream::demo().await;
    let gate = asking_gate(&upstream, "telemetry: { log: { level: error } }").await;
    let request = |name: &str, value: &str| {
        format!("GET {DEAL} HTTP/1.1\r\nHost: {}\r\n{name}: {value}\r\n\r\n", gate.data)
            .into_bytes()
    };
    let mut callers = Vec::new();
    for (person, role) in PEOPLE.into_iter().zip(ROLES) {
        let basic = BASE64.encode(format!("{}:{}", person.username, person.token).as_bytes());
        let body = gate.get(DEAL).as_role(role).send().await.body;
        for (name, value) in [
            ("authorization", format!("Bearer {}", person.token)),
            ("authorization", format!("Basic {basic}")),
            ("x-api-key", person.api_key.to_owned()),
        ] {
            let request = request(name, &value);
            callers.push(Caller { request, status: b"HTTP/1.1 200 ", body: Some(body.clone()) });
        }
    }
    for (name, value) in [("authorization", "Bearer nobody"), ("x-other", "nothing")] {
        let request = request(name, value);
        callers.push(Caller { request, status: b"HTTP/1.1 401 ", body: None });
    }
    let bodies: Vec<_> = callers.iter().filter_map(|caller| caller.body.as_ref()).collect();
    let distinct: std::collections::HashSet<_> = bodies.iter().collect();
    assert!(distinct.len() >= 4, "the roles see different things: {}", distinct.len());

    let callers = Arc::new(callers);
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|first| {
            let (callers, gate) = (Arc::clone(&callers), gate.data);
            tokio::spawn(async move {
                alternate(gate, first, REQUESTS / CONNECTIONS, &callers).await;
            })
        })
        .collect();
    for connection in connections {
        connection.await.unwrap();
    }
}
