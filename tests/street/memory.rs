//! Memory is bounded by what is held, not by what passes: the whole program under one long answer.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::harness::*;
use super::program::Program;

const GIGABYTE: usize = 1_000_000_000;
const MOST_RESIDENT: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_streams_through_less_than_64_mib() {
    let lead = {
        let demo = Upstream::demo().await;
        let answered = Ask::new(demo.address, "GET", "/api/v1/leads/1/").as_role("admin");
        // With a long text of the kind that people paste, for a gigabyte of short values takes an
        // unoptimised build a minute.
        let described = format!("{{\"description\":\"{}\",", "Re: Fwd: hello\\n".repeat(500));
        answered.send().await.text().replacen('{', &described, 1)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer_with_a_gigabyte(stream, &lead).await
    });

    let program = Program::in_front_of(&format!("http://{upstream}"), "").await;
    let data = program.data;
    let before = program.peak();
    let mut stream = TcpStream::connect(data).await.unwrap();
    let ask = format!(
        "GET /api/v1/leads/ HTTP/1.1\r\nHost: {data}\r\nAuthorization: Bearer demo-sales_rep\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 256 << 10];
    let (mut received, mut end) = (0, Vec::new());
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        received += count;
        end.extend_from_slice(&buffer[count.saturating_sub(16)..count]);
        end.drain(..end.len().saturating_sub(16));
    }
    let sent = serving.await.unwrap();
    let peak = program.peak();
    assert!(end.ends_with(b"]}\r\n0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&end));
    assert!(sent >= GIGABYTE && received > GIGABYTE / 2, "{sent} {received}");
    assert!(peak < MOST_RESIDENT, "{before} bytes before, {peak} at most");
}

/// A list of the same lead over and over; gives the bytes of its body.
async fn answer_with_a_gigabyte(mut stream: TcpStream, lead: &str) -> usize {
    read_message(&mut stream).await.unwrap();
    let mut some = String::new();
    while some.len() < 1 << 20 {
        some.push_str(lead);
        some.push(',');
    }
    let start = "{\"count\":1,\"next\":null,\"previous\":null,\"results\":[";
    let times = GIGABYTE / some.len() + 1;
    let length = start.len() + times * some.len() + lead.len() + 2;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{start}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..times {
        stream.write_all(some.as_bytes()).await.unwrap();
    }
    stream.write_all(format!("{lead}]}}").as_bytes()).await.unwrap();
    length
}
