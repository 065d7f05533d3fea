//! Answers' heads, and answers without a record: what of the CRM's reaches a client.

use super::canary::Canaries;
use super::harness::*;

const LEAD: &str = "/api/v1/leads/1/";

/// What a gate makes of one scripted answer to `method`, asked as a sales representative.
async fn seen(method: &str, answer: &[u8], pace: Pace) -> (Answered, Gate) {
    let upstream = Upstream::scripted(answer, pace).await;
    let gate = gate(&upstream).start().await;
    let answered = within(gate.request(method, LEAD).as_role("sales_rep").send()).await;
    (answered, gate)
}

/// An answer with these header lines and this body, delimited by a length.
fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

const TELLING: &[&str] = &[
    "Content-Type: application/json; charset=utf-8",
    "ETag: \"canary-etag\"",
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
    "Set-Cookie: user=canary-cookie",
    "X-User-Email: canary-email@example.com",
    "Link: </api/v1/leads/?email=canary-link>; rel=next",
    "Server: canary-server",
    "Via: canary-via",
    "Content-Disposition: attachment; filename=\"canary-file.json\"",
    "Location: /leads/canary-location@example.com",
    "Accept-Ranges: bytes",
    "Cache-Control: public, max-age=3600",
    "Age: 10",
    "Allow: GET",
    "Trailer: X-Canary",
];

const CANARIES: [&str; 9] = [
    "canary-etag",
    "canary-cookie",
    "canary-email",
    "canary-link",
    "canary-server",
    "canary-via",
    "canary-file",
    "canary-location",
    "canary-reason",
];

#[tokio::test(flavor = "multi_thread")]
async fn only_known_headers_pass_and_none_that_speaks_of_the_whole_body() {
    for pace in PACES {
        let answer = answer("200 canary-reason", TELLING, r#"{"ssn":"canary-ssn","id":1}"#);
        let (answered, gate) = seen("GET", &answer, pace).await;
        assert_eq!(answered.text(), r#"{"id":1}"#);
        assert!(answered.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", answered.head);
        for (name, value) in [
            ("Content-Length", Some("8")),
            ("Content-Type", Some("application/json")),
            ("Cache-Control", Some("private, no-store")),
            ("Vary", Some("authorization")),
            ("Accept-Ranges", Some("none")),
            ("X-Content-Type-Options", Some("nosniff")),
            ("Allow", Some("GET")),
            ("ETag", None),
            ("Last-Modified", None),
            ("Age", None),
            ("Trailer", None),
        ] {
            assert_eq!(answered.header(name), value, "{name}: {}", answered.head);
        }
        Canaries::new(CANARIES).assert_absent(&gate, &[&answered]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_and_trailers_stay_inside() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </canary-hint>\r\n\r\nHTTP/1.1 100 Continue\r\nX-Canary: canary-continue\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"id\r\n4;canary-extension=1\r\n\":1}\r\n0\r\nX-Canary: canary-trailer\r\n\r\n";
    for pace in PACES {
        let (answered, gate) = seen("GET", (interim.to_owned() + chunked).as_bytes(), pace).await;
        assert_eq!((answered.status, answered.text()), (200, r#"{"id":1}"#), "{pace:?}");
        assert_eq!(answered.header("Content-Length"), Some("8"));
        let canaries =
            Canaries::new(["canary-hint", "canary-continue", "canary-trailer", "canary-extension"]);
        canaries.assert_absent(&gate, &[&answered]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_tell_no_length_of_one() {
    let head_of_whole = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 123456\r\nETag: \"canary-etag\"\r\n\r\n";
    let no_content = "HTTP/1.1 204 No Content\r\nETag: \"canary-etag\"\r\n\r\n";
    let not_modified =
        "HTTP/1.1 304 Not Modified\r\nETag: \"canary-etag\"\r\nContent-Length: 123456\r\n\r\n";
    for (method, answer, status) in [
        ("HEAD", head_of_whole, 200),
        ("GET", no_content, 204),
        ("DELETE", no_content, 204),
        ("GET", not_modified, 304),
    ] {
        let role = if method == "DELETE" { "admin" } else { "sales_rep" };
        let upstream = Upstream::scripted(answer, Pace::OnePacket).await;
        let gate = gate(&upstream).start().await;
        let answered = within(gate.request(method, LEAD).as_role(role).send()).await;
        assert_eq!(answered.status, status, "{method} {}", answered.head);
        assert_eq!(answered.header("Content-Length"), None, "{}", answered.head);
        assert_eq!(answered.header("ETag"), None);
        assert!(answered.body.is_empty());
    }
    // A redirect's body is dropped; its target goes on where it is a plain path.
    let redirect = answer("302 Found", &["Location: /api/v1/leads/2/"], "see canary-body");
    let (answered, gate) = seen("GET", &redirect, Pace::OnePacket).await;
    assert_eq!((answered.status, answered.header("Location")), (302, Some("/api/v1/leads/2/")));
    Canaries::new(["canary-body"]).assert_absent(&gate, &[&answered]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_json_whatever_its_label() {
    let body = r#"{"ssn":"canary-ssn","id":1}"#;
    for (label, shown) in [
        ("Content-Type: text/plain", "application/json"),
        ("Content-Type: text/html; charset=utf-8", "application/json"),
        ("Content-Type: application/vnd.api+json", "application/vnd.api+json"),
        ("Content-Type: application/problem+json", "application/problem+json"),
        ("Content-Type: multipart/mixed; boundary=x", "application/json"),
        ("X-Nothing: 1", "application/json"),
    ] {
        let (answered, gate) =
            seen("GET", &answer("200 OK", &[label], body), Pace::OnePacket).await;
        assert_eq!(answered.text(), r#"{"id":1}"#, "{label}");
        assert_eq!(answered.header("Content-Type"), Some(shown), "{label}");
        assert_eq!(answered.header("X-Content-Type-Options"), Some("nosniff"));
        Canaries::new(["canary-ssn"]).assert_absent(&gate, &[&answered]).await;
    }
    let two = ["Content-Type: application/json", "Content-Type: text/html"];
    let (answered, _gate) = seen("GET", &answer("200 OK", &two, body), Pace::OnePacket).await;
    answered.expect_problem(502, "upstream_malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_crm_keep_their_status_and_are_filtered() {
    for pace in PACES {
        // A record in an error is filtered wherever it stands.
        let echoed = r#"{"detail":"no","input":{"lead":{"ssn":"canary-ssn","id":1}}}"#;
        let (answered, gate) = seen("GET", &answer("400 canary-reason", &[], echoed), pace).await;
        assert_eq!(answered.status, 400);
        assert_eq!(answered.text(), r#"{"detail":"no","input":{"lead":{"id":1}}}"#);
        Canaries::new(["canary-ssn", "canary-reason"]).assert_absent(&gate, &[&answered]).await;

        for (status, code) in [("500 Oops", 500), ("404 Not Found", 404), ("503 Busy", 503)] {
            let page = "<html>Traceback: ssn = 'canary-ssn'</html>";
            let html = answer(status, &["Content-Type: text/html"], page);
            let (answered, gate) = seen("GET", &html, pace).await;
            answered.expect_problem(code, "json_invalid");
            Canaries::new(["canary-ssn"]).assert_absent(&gate, &[&answered]).await;
        }
        let empty = answer("404 Not Found", &[], "");
        let (answered, _gate) = seen("GET", &empty, pace).await;
        assert_eq!((answered.status, answered.header("Content-Length")), (404, Some("0")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_crm_shows_nothing_of_its_records() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    let crash = "/api/v1/leads/?annual_revenue__gt=abc";
    let direct = Ask::new(upstream.address, "GET", crash).as_role("admin").send().await;
    assert_eq!(direct.status, 500, "{}", direct.head);
    let lead = upstream.crm.as_ref().unwrap().record("leads", 7).unwrap();
    let email = lead.get("email").and_then(|email| email.as_text()).unwrap().to_owned();
    assert!(direct.text().contains(&email), "the debug page shows a record");
    let answered = gate.get(crash).as_role("admin").send().await;
    answered.expect_problem(500, "json_invalid");
    Canaries::new([email]).assert_absent(&gate, &[&answered]).await;
}
