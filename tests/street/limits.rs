//! Every wait ends and every buffer has a bound, whoever is slow and however many come at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::harness::*;

const LEAD: &str = "/api/v1/leads/1/";
const LEADS: &str = "/api/v1/leads/";

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_ends_its_connection_however_steadily_it_drips() {
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let gate = gate(&upstream).config("limits: { header_timeout: 300ms }").start().await;
    let mut stream = TcpStream::connect(gate.data).await.unwrap();
    let began = Instant::now();
    let (mut reading, mut writing) = stream.split();
    let dripping = async {
        let head = format!("GET {LEAD} HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        for byte in head.bytes().chain(std::iter::repeat(b'a')) {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = Vec::new();
    let read = async {
        let _ = reading.read_to_end(&mut answer).await;
    };
    within(async {
        tokio::select! { () = dripping => {}, () = read => {} }
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(upstream.heads().is_empty(), "nothing was forwarded");
    assert_eq!(gate.get(LEAD).as_role("admin").send().await.status, 200, "others are served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_408() {
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let gate = gate(&upstream).config("limits: { body_timeout: 300ms }").start().await;
    let head = format!(
        "POST {LEADS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-admin\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    let answered = within(send_raw(gate.data, head.as_bytes())).await;
    answered.expect_problem(408, "body_timeout");
    assert!(upstream.heads().is_empty(), "nothing was forwarded");
}

/// An upstream that reads a request, sends `first`, and then nothing or a space now and then.
async fn stalling(first: &'static str, drip: Option<Duration>) -> Upstream {
    Upstream::connections(move |mut stream, _| async move {
        let Some(_) = read_message(&mut stream).await else { return };
        stream.write_all(first.as_bytes()).await.unwrap();
        let Some(drip) = drip else { return std::future::pending().await };
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(drip).await;
        }
    })
    .await
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_is_504_before_the_head() {
    let soon = Duration::from_millis(20);
    for (timeouts, first, drip, code) in [
        ("first_byte: 200ms, idle: 200ms", "", None, "upstream_first_byte_timeout"),
        (
            "first_byte: 200ms",
            "HTTP/1.1 200 OK\r\nX-A: ",
            Some(soon),
            "upstream_first_byte_timeout",
        ),
        ("idle: 200ms", HEAD, None, "upstream_idle_timeout"),
        ("total: 400ms", HEAD, Some(soon), "upstream_total_timeout"),
    ] {
        let upstream = stalling(first, drip).await;
        let gate = gate(&upstream).timeouts(timeouts).start().await;
        let answered = within(gate.get(LEAD).as_role("admin").send()).await;
        answered.expect_problem(504, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_ends_the_connection_after_the_head() {
    let long: &'static str = Box::leak(
        format!("{HEAD}{{\"results\":[{}", r#"{"id":1},"#.repeat(3_000)).into_boxed_str(),
    );
    let upstream = stalling(long, None).await;
    let gate = gate(&upstream).timeouts("idle: 200ms").config("limits: { hold: 1KiB }");
    let gate = gate.start().await;
    let answered = within(gate.get(LEADS).as_role("admin").send()).await;
    assert_eq!((answered.status, answered.complete), (200, false));
    assert_eq!(gate.access_lines(1).await[0]["refusal"], "upstream_idle_timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_left() {
    // Long values, so that what fills the buffers on the way is filtered well before the time is up.
    let body = format!("[{}1]", format!("\"{}\",", "0123456789abcdef".repeat(400)).repeat(4_000));
    let upstream = Upstream::scripted(json_answer(&body), Pace::OnePacket).await;
    let gate = gate(&upstream).timeouts("total: 1s").start().await;
    let mut stream = TcpStream::connect(gate.data).await.unwrap();
    let ask =
        format!("GET {LEADS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-admin\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let lines = gate.access_lines(1).await;
    assert_eq!(lines[0]["refusal"], "client_gone", "{}", lines[0]);
    drop(stream);
}

/// An upstream whose answers wait until they are let go.
async fn held_back(body: String) -> (Upstream, Arc<Semaphore>) {
    let gates = Arc::new(Semaphore::new(0));
    let open = Arc::clone(&gates);
    let upstream = Upstream::connections(move |mut stream, seen| {
        let (open, body) = (Arc::clone(&open), body.clone());
        async move {
            while let Some(request) = read_message(&mut stream).await {
                seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
                let answer = json_answer(&body);
                // All but the end, so that the gate holds what it has.
                let (most, end) = answer.split_at(answer.len() - 1);
                let _ = stream.write_all(most).await;
                open.acquire().await.unwrap().forget();
                let _ = stream.write_all(end).await;
            }
        }
    })
    .await;
    (upstream, gates)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_too_many_is_503() {
    let (upstream, open) = held_back(r#"{"id":1}"#.to_owned()).await;
    let gate = gate(&upstream).config("limits: { requests: 2 }").start().await;
    let ask = gate.get(LEAD).as_role("admin");
    let under_way = [ask.clone(), ask.clone()].map(|ask| tokio::spawn(ask.send()));
    gate.until(|| async { upstream.heads().len() == 2 }).await;
    let refused = within(ask.clone().send()).await;
    refused.expect_problem(503, "overloaded");
    assert_eq!(refused.header("Retry-After"), Some("1"));
    open.add_permits(3);
    for answered in under_way {
        assert_eq!(within(answered).await.unwrap().status, 200);
    }
    assert_eq!(within(ask.send()).await.status, 200, "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_bytes_than_all_may_hold_are_503_and_given_back() {
    let body = format!("[{}1]", "\"0123456789abcdef\",".repeat(1_500)); // 28 kB
    let (upstream, open) = held_back(body).await;
    let gate = gate(&upstream).config("limits: { held_total: 64KiB }").start().await;
    let ask = gate.get(LEADS).as_role("admin");
    let answers: Vec<_> = (0..8).map(|_| tokio::spawn(ask.clone().send())).collect();
    // Two find room; six are refused while the two wait for their ends.
    let refused = Arc::new(AtomicUsize::new(0));
    let (count, all) = (Arc::clone(&refused), Arc::new(tokio::sync::Notify::new()));
    let seen = Arc::clone(&all);
    let waiting: Vec<_> = answers
        .into_iter()
        .map(|answer| {
            let (count, seen) = (Arc::clone(&count), Arc::clone(&seen));
            tokio::spawn(async move {
                let answered = answer.await.unwrap();
                if answered.status == 503 {
                    answered.expect_problem(503, "held_bytes_exhausted");
                    assert_eq!(answered.header("Retry-After"), Some("1"));
                    if count.fetch_add(1, Ordering::SeqCst) + 1 == 6 {
                        seen.notify_one();
                    }
                }
                answered.status
            })
        })
        .collect();
    within(all.notified()).await;
    open.add_permits(100);
    let mut good = 0;
    for answered in waiting {
        good += usize::from(within(answered).await.unwrap() == 200);
    }
    assert_eq!((good, refused.load(Ordering::SeqCst)), (2, 6));
    for _ in 0..3 {
        assert_eq!(within(ask.clone().send()).await.status, 200, "it was given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_waits_for_its_turn() {
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let gate = gate(&upstream).config("limits: { connections: 1 }").start().await;
    let first = TcpStream::connect(gate.data).await.unwrap();
    assert!(gate.is_ready().await, "operators have a listener of their own");
    let mut second = tokio::spawn(gate.get(LEAD).as_role("admin").send());
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
    assert!(waited.is_err(), "the place is taken");
    drop(first);
    assert_eq!(within(second).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_read_but_not_its_write() {
    let (upstream, open) = held_back("{}".to_owned()).await;
    let gate = gate(&upstream).start().await;
    for (method, target, body) in [("GET", LEAD, ""), ("POST", LEADS, "{}")] {
        let mut stream = TcpStream::connect(gate.data).await.unwrap();
        let ask = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-admin\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let before = upstream.heads().len();
        stream.write_all(ask.as_bytes()).await.unwrap();
        gate.until(|| async { upstream.heads().len() > before }).await;
        drop(stream);
        if method == "POST" {
            // One for the answer that nobody waits for any more.
            open.add_permits(2);
        }
    }
    let lines = gate.access_lines(2).await;
    let of = |method: &str| lines.iter().find(|line| line["method"] == method).unwrap();
    assert_eq!(of("GET")["refusal"], "client_gone");
    assert_eq!(of("POST")["status_code"], 200, "its answer was read: {}", of("POST"));
}

/// Answers the first request of a connection and closes it when the next one comes.
async fn one_answer_a_connection() -> Upstream {
    Upstream::connections(|mut stream, seen| async move {
        for number in 0..2 {
            let Some(request) = read_message(&mut stream).await else { return };
            seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            if number == 0 {
                stream.write_all(&json_answer(r#"{"id":1}"#)).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_pooled_connection_costs_a_read_one_more_attempt_and_a_write_its_answer() {
    let upstream = one_answer_a_connection().await;
    let gate = gate(&upstream).start().await;
    let read = gate.get(LEAD).as_role("admin");
    assert_eq!(read.clone().send().await.status, 200);
    assert_eq!(read.clone().send().await.status, 200, "asked again on a fresh connection");
    assert_eq!(upstream.heads().len(), 3);
    let ids: Vec<_> = upstream.heads();
    let ids = ids[1..].iter().map(|head| header(head, "x-correlation-id")[0].to_owned());
    let ids: Vec<String> = ids.collect();
    assert_eq!(ids[0], ids[1], "both attempts carry one id");

    let write = gate.request("POST", LEADS).as_role("admin").json("{}");
    write.send().await.expect_problem(502, "upstream_closed");
    assert_eq!(upstream.heads().len(), 4, "a write is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_repeated_once_and_never_through_another_dead_connection() {
    let upstream = one_answer_a_connection().await;
    let gate = gate(&upstream).start().await;
    let read = gate.get(LEAD).as_role("admin");
    let together: Vec<_> = (0..8).map(|_| tokio::spawn(read.clone().send())).collect();
    for answered in together {
        assert_eq!(within(answered).await.unwrap().status, 200);
    }
    // Several pooled connections now wait, and each would close at its next request.
    let before = upstream.heads().len();
    assert_eq!(read.send().await.status, 200);
    assert_eq!(upstream.heads().len() - before, 2);
}
