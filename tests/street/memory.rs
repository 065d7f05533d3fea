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

/// 500 clients ask for 30 MB each and read nothing of it. All of them get a head or a refusal, what
/// is held stays within the budget, and whoever reads then gets the whole.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_answers_of_30_mb_at_once_stay_within_the_budget() {
    const CLIENTS: usize = 500;
    const ANSWER: usize = 30_000_000;
    const HELD_TOTAL: usize = 32 << 20;
    let lead = format!(r#"{{"id":1,"description":"{}"}}"#, "Re: Fwd: hello ".repeat(2_000));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_with(stream, lead.clone(), ANSWER));
        }
    });
    let limits = "limits: { held_total: 32MiB, hold: 256KiB, connections: 1024, requests: 1024 }";
    let program = Program::in_front_of(&format!("http://{upstream}"), limits).await;
    let data = program.data;
    let before = program.peak();
    let ask = format!(
        "GET /api/v1/leads/ HTTP/1.1\r\nHost: {data}\r\nAuthorization: Bearer demo-sales_rep\r\nConnection: close\r\n\r\n"
    );
    let asking: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(data).await.unwrap();
                stream.write_all(ask.as_bytes()).await.unwrap();
                let mut start = [0; 12];
                stream.read_exact(&mut start).await.unwrap();
                (stream, String::from_utf8_lossy(&start[9..]).into_owned())
            })
        })
        .collect();
    let (mut answered, mut refused) = (Vec::new(), 0);
    for asked in asking {
        let (stream, status) = within(asked).await.unwrap();
        match status.as_str() {
            "200" => answered.push(stream),
            "503" => refused += 1,
            other => panic!("{other}"),
        }
    }
    let peak = program.peak();
    // What is held, and for each connection the buffers of both sides.
    let most = before + HELD_TOTAL + CLIENTS * (256 << 10);
    assert!(peak < most, "{before} bytes before, {peak} at most; {refused} were refused");
    assert!(answered.len() >= HELD_TOTAL / (1 << 20), "only {} were answered", answered.len());
    let mut one = answered.swap_remove(0);
    drop(answered);
    let mut rest = Vec::new();
    one.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > ANSWER && rest.ends_with(b"]}\r\n0\r\n\r\n"), "{}", rest.len());
    let ask = Ask::new(data, "GET", "/api/v1/leads/").as_role("sales_rep");
    let again = tokio::time::timeout(std::time::Duration::from_secs(60), ask.send()).await.unwrap();
    assert_eq!(again.status, 200, "what was held was given back");
}

/// A list of the same lead over and over; gives the bytes of its body.
async fn answer_with_a_gigabyte(stream: TcpStream, lead: &str) -> usize {
    answer_with(stream, lead.to_owned(), GIGABYTE).await.unwrap()
}

/// The same of any length; nothing, where the connection ends before.
async fn answer_with(mut stream: TcpStream, lead: String, least: usize) -> Option<usize> {
    read_message(&mut stream).await?;
    let mut some = String::new();
    while some.len() < 1 << 20 {
        some.push_str(&lead);
        some.push(',');
    }
    let start = "{\"count\":1,\"next\":null,\"previous\":null,\"results\":[";
    let times = least / some.len() + 1;
    let length = start.len() + times * some.len() + lead.len() + 2;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{start}"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    for _ in 0..times {
        stream.write_all(some.as_bytes()).await.ok()?;
    }
    stream.write_all(format!("{lead}]}}").as_bytes()).await.ok()?;
    Some(length)
}
