//! Answers that cannot be filtered: a problem before the head, an end of the connection after it,
//! and never a byte of them.

use std::io::Write as _;

use super::canary::Canaries;
use super::harness::*;

const LEAD: &str = "/api/v1/leads/1/";
const SECRET: &str = "canary-secret";

/// Bytes of an answer's head and body; the body holds the canary in a place that the caller may
/// see, so that nothing but the refusal keeps it from leaving.
fn with_length(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn json(body: &str) -> Vec<u8> {
    with_length("Content-Type: application/json\r\n", body.as_bytes())
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn utf16(body: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    body.encode_utf16().flat_map(bytes).collect()
}

/// Name, answer, code of the refusal.
fn faults() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = format!(r#"{{"id":1,"title":"{SECRET}"}}"#);
    let head = "Content-Type: application/json\r\n";
    let deep = format!(r#"{{"title":"{SECRET}","a":{}1{}}}"#, "[".repeat(128), "]".repeat(128));
    let mut latin1 = good.clone().into_bytes();
    latin1.splice(1..1, *b"\"x\":\"\xe9\",");
    let chunked = |text: &str| {
        format!("HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n{text}").into_bytes()
    };
    let short = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 1000\r\n\r\n{good}").into_bytes();
    vec![
        ("truncated document", json(&good[..good.len() - 1]), "json_truncated"),
        ("truncated in a string", json(&good[..good.len() - 2]), "json_truncated"),
        ("nothing but space", json("   \n"), "json_truncated"),
        ("shorter than its length", short, "upstream_closed"),
        ("no last chunk", chunked(&format!("{:x}\r\n{good}\r\n", good.len())), "upstream_closed"),
        ("broken chunk", chunked(&format!("zz\r\n{good}\r\n0\r\n\r\n")), "upstream_malformed"),
        ("two documents", json(&format!("{good}{good}")), "json_invalid"),
        ("lines of documents", json(&format!("{good}\n{good}\n")), "json_invalid"),
        ("trailing bytes", json(&format!("{good} x")), "json_invalid"),
        ("trailing comma", json(&format!(r#"{{"title":"{SECRET}",}}"#)), "json_invalid"),
        ("comment", json(&format!(r#"{{"title":"{SECRET}"/*x*/}}"#)), "json_invalid"),
        ("NaN", json(&format!(r#"{{"title":"{SECRET}","a":NaN}}"#)), "json_invalid"),
        ("leading zero", json(&format!(r#"{{"title":"{SECRET}","a":01}}"#)), "json_invalid"),
        ("lone surrogate", json(&format!(r#"{{"title":"{SECRET}","a":"\ud800"}}"#)), "json_invalid"),
        ("control character", json(&format!("{{\"title\":\"{SECRET}\n\"}}")), "json_invalid"),
        ("single quotes", json(&format!("{{'title':'{SECRET}'}}")), "json_invalid"),
        ("JSONP", json(&format!("cb({good})")), "json_invalid"),
        ("anti-hijacking prefix", json(&format!(")]}}',\n{good}")), "json_invalid"),
        ("CSV", with_length("Content-Type: text/csv\r\n", format!("id,title\n1,{SECRET}\n").as_bytes()), "json_invalid"),
        ("HTML", with_length("Content-Type: text/html\r\n", format!("<p>{SECRET}").as_bytes()), "json_invalid"),
        ("SSE", with_length("Content-Type: text/event-stream\r\n", format!("data: {good}\n\n").as_bytes()), "json_invalid"),
        ("PDF", with_length("Content-Type: application/pdf\r\n", format!("%PDF-1.7 {SECRET}").as_bytes()), "json_invalid"),
        ("too deep", json(&deep), "json_too_deep"),
        ("byte order mark", json(&format!("\u{feff}{good}")), "json_invalid"),
        ("UTF-16, little", with_length(head, &utf16(&good, u16::to_le_bytes)), "json_invalid"),
        ("UTF-16, big", with_length(head, &utf16(&good, u16::to_be_bytes)), "json_invalid"),
        ("latin-1", with_length(head, &latin1), "json_invalid"),
        ("gzip", with_length(&format!("{head}Content-Encoding: gzip\r\n"), &gzip(&good)), "upstream_encoded"),
        ("gzip unsaid", with_length(head, &gzip(&good)), "json_invalid"),
        ("gzip said of plain text", with_length(&format!("{head}Content-Encoding: gzip\r\n"), good.as_bytes()), "upstream_encoded"),
        ("two codings", with_length(&format!("{head}Content-Encoding: gzip, br\r\n"), good.as_bytes()), "upstream_encoded"),
        ("unknown coding", with_length(&format!("{head}Content-Encoding: x\r\n"), good.as_bytes()), "upstream_encoded"),
        ("206", format!("HTTP/1.1 206 Partial Content\r\n{head}Content-Range: bytes 0-9/99\r\nContent-Length: {}\r\n\r\n{good}", good.len()).into_bytes(), "upstream_partial_content"),
        ("a range said to be all", with_length(&format!("{head}Content-Range: bytes 0-9/99\r\n"), good.as_bytes()), "upstream_partial_content"),
        ("101 unasked", format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{good}").into_bytes(), "upstream_switched_protocols"),
        ("no HTTP", format!("{SECRET}\r\n\r\n{good}").into_bytes(), "upstream_malformed"),
        ("broken header", format!("HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n{good}").into_bytes(), "upstream_malformed"),
        ("two lengths", format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{good}").into_bytes(), "upstream_malformed"),
        ("nothing at all", Vec::new(), "upstream_closed"),
        ("half a head", format!("HTTP/1.1 200 OK\r\nX-A: {SECRET}").into_bytes(), "upstream_closed"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_head_there_is_a_problem_and_no_byte_of_the_answer() {
    for pace in PACES {
        let upstream = Upstream::each(|number| faults()[number].1.clone(), pace).await;
        let gate = gate(&upstream).start().await;
        let mut answers = Vec::new();
        for (name, _, code) in faults() {
            let answered = within(gate.get(LEAD).as_role("sales_rep").send()).await;
            assert_eq!(answered.status, 502, "{name}, {pace:?}: {}", answered.head);
            assert_eq!(answered.json()["code"], code, "{name}, {pace:?}");
            answered.expect_problem(502, code);
            answers.push(answered);
        }
        let lines = gate.access_lines(answers.len()).await;
        for (line, (name, _, code)) in lines.iter().zip(faults()) {
            assert_eq!(line["refusal"], code, "{name}: {line}");
            assert_eq!(line["route"], "/api/v1/leads/{id}/");
            assert!(line["policy_revision"].is_string());
        }
        let metrics = gate.metrics().await;
        assert!(metrics.contains("reason=\"json_too_deep\"} 1\n"), "{metrics}");
        Canaries::new([SECRET]).assert_absent(&gate, &answers.iter().collect::<Vec<_>>()).await;
    }
}

/// A list that is longer than what is held, with something wrong at its end.
fn long_list(end: &str) -> String {
    let record =
        format!(r#"{{"id":1,"title":"x","ssn":"{SECRET}","more":"{}"}},"#, "y".repeat(200));
    format!(r#"{{"count":1,"results":[{}{end}"#, record.repeat(400))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_head_the_connection_ends_without_an_end_of_the_body() {
    let deep = format!("{}1{}]}}", "[".repeat(127), "]".repeat(127));
    let whole = json(&long_list(r#"{"id":2}]}"#));
    let hold = "limits: { hold: 16KiB }";
    for (name, answer, code) in [
        ("truncated", json(&long_list("{}")), "json_truncated"),
        ("invalid", json(&long_list("nope]}")), "json_invalid"),
        ("trailing", json(&long_list("{}]} {}")), "json_invalid"),
        ("too deep", json(&long_list(&deep)), "json_too_deep"),
        ("closed", whole[..whole.len() - 5].to_vec(), "upstream_closed"),
    ] {
        let upstream = Upstream::scripted(answer, Pace::OnePacket).await;
        let gate = gate(&upstream).config(hold).start().await;
        let answered = within(gate.get("/api/v1/leads/").as_role("sales_rep").send()).await;
        assert_eq!(answered.status, 200, "{name}");
        assert!(!answered.complete && answered.body.len() > 16 << 10, "{name}");
        let lines = gate.access_lines(1).await;
        assert_eq!(lines[0]["refusal"], code, "{name}: {}", lines[0]);
        Canaries::new([SECRET]).assert_absent(&gate, &[&answered]).await;
    }
    // The control: without the fault the same answer comes to its end.
    let upstream = Upstream::scripted(whole, Pace::OnePacket).await;
    let gate = gate(&upstream).config(hold).start().await;
    let answered = gate.get("/api/v1/leads/").as_role("sales_rep").send().await;
    assert!(answered.complete && answered.json()["results"].as_array().unwrap().len() == 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_could_not_tell_an_end_from_a_fault_gets_no_stream() {
    let upstream = Upstream::scripted(json(&long_list("{}]}")), Pace::OnePacket).await;
    let gate = gate(&upstream).config("limits: { hold: 16KiB }").start().await;
    let old = format!(
        "GET /api/v1/leads/ HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer demo-admin\r\n\r\n",
        gate.data
    );
    within(send_raw(gate.data, old.as_bytes())).await.expect_problem(502, "upstream_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_allowed_is_refused_or_broken_off() {
    let body = long_list("{}]}");
    let long_value = format!(r#"{{"email":"{SECRET}{}@x"}}"#, "y".repeat(5_000));
    let many = format!(r#"{{{}"title":"{SECRET}"}}"#, r#""a":1,"#.repeat(100_000));
    for (limits, body, code) in [
        ("response_body: 20KiB", &body, "upstream_too_large"),
        ("masked_value: 4KiB", &long_value, "value_too_long"),
        ("response_body: 100KiB", &many, "upstream_too_large"),
    ] {
        let upstream = Upstream::scripted(json(body), Pace::OnePacket).await;
        let gate = gate(&upstream).config(&format!("limits: {{ {limits} }}")).start().await;
        let answered = within(gate.get(LEAD).as_role("sales_rep").send()).await;
        answered.expect_problem(502, code);
        Canaries::new([SECRET]).assert_absent(&gate, &[&answered]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_there() {
    let upstream = Upstream::scripted("", Pace::OnePacket).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let gate = gate(&upstream).upstream_url(&format!("http://{address}")).start().await;
    let answered = within(gate.get(LEAD).as_role("admin").send()).await;
    answered.expect_problem(502, "upstream_connect");
}
