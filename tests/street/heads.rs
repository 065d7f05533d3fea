//! Request heads: what is refused before anybody acts on it, and what the CRM gets to read.

use super::harness::*;

const LEAD: &str = "/api/v1/leads/1/";
const LEADS: &str = "/api/v1/leads/";

/// A gate in front of a CRM that answers everything with an empty object.
async fn street() -> (Upstream, Gate) {
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let gate = gate(&upstream).start().await;
    (upstream, gate)
}

/// Sends a head as it stands; `{host}` becomes the gate's address.
async fn raw(gate: &Gate, head: &str) -> Answered {
    let head = head.replace("{host}", &gate.data.to_string());
    within(send_raw(gate.data, head.as_bytes())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn absolute_targets_are_forwarded_as_paths_and_only_for_the_host_they_name() {
    let (upstream, gate) = street().await;
    let bearer = "Authorization: Bearer demo-admin\r\nConnection: close\r\n\r\n";
    let host = gate.data;
    let good = format!("GET http://{host}{LEAD}?a=b HTTP/1.1\r\nHost: {host}\r\n{bearer}");
    assert_eq!(raw(&gate, &good).await.status, 200);
    let seen = upstream.heads().remove(0);
    assert!(seen.starts_with(&format!("GET {LEAD}?a=b HTTP/1.1\r\n")), "{seen}");
    assert_eq!(header(&seen, "host"), [host.to_string()]);

    for target in [
        format!("http://other{LEAD}"),
        format!("http://{host}.other{LEAD}"),
        format!("http://x@{host}{LEAD}"),
        format!("http://{host}\\@other{LEAD}"),
        format!("http:///{host}{LEAD}"),
        format!("http:/{host}{LEAD}"),
        format!("ftp://{host}{LEAD}"),
        format!("{host}"),
        "api/v1/leads/1/".to_owned(),
        format!("{LEAD}#a"),
    ] {
        let bad = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{bearer}");
        assert_eq!(raw(&gate, &bad).await.status, 400, "{target}");
    }
    assert_eq!(upstream.heads().len(), 1, "only the good one was forwarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_with_two_readings_are_refused_and_end_the_connection() {
    let (upstream, gate) = street().await;
    let bearer = "Authorization: Bearer demo-admin";
    let json = "Content-Type: application/json";
    for head in [
        format!(
            "POST {LEADS} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n{json}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        ),
        format!(
            "POST {LEADS} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n{json}\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}"
        ),
        format!(
            "POST {LEADS} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n{json}\r\nContent-Length: 2, 2\r\n\r\n{{}}"
        ),
        format!(
            "POST {LEADS} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n{json}\r\nContent-Length: +2\r\n\r\n{{}}"
        ),
        format!(
            "POST {LEADS} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n{json}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"
        ),
        format!(
            "POST {LEADS} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n{json}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
        ),
        format!(
            "POST {LEADS} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n{json}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("GET {LEAD} HTTP/1.1\nHost: {{host}}\n{bearer}\n\n"),
        format!("GET {LEAD} HTTP/1.1\r\nHost: {{host}}\n{bearer}\r\n\r\n"),
        format!("GET {LEAD} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\nX-A: b\r\n c\r\n\r\n"),
        format!("GET {LEAD} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\nX_Role: admin\r\n\r\n"),
        format!("GET {LEAD} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\nX-A : b\r\n\r\n"),
        format!("GET {LEAD} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\nX-A: b\u{1b}[31m\r\n\r\n"),
        format!("GET {LEAD} HTTP/1.1\r\nHost: {{host}}\r\nHost: {{host}}\r\n{bearer}\r\n\r\n"),
        format!("GET {LEAD} HTTP/1.1\r\n{bearer}\r\n\r\n"),
        format!("GET {LEAD} a HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n\r\n"),
        format!("GET  {LEAD} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n\r\n"),
        format!("GET\t{LEAD} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n\r\n"),
        format!("GET {LEAD}é HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n\r\n"),
        format!("CONNECT {{host}} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n\r\n"),
    ] {
        let smuggled = format!("GET {LEAD} HTTP/1.1\r\nHost: {{host}}\r\n{bearer}\r\n\r\n");
        let answered = raw(&gate, &(head.clone() + &smuggled)).await;
        assert!([400, 405].contains(&answered.status), "{head:?} {}", answered.head);
        let text = String::from_utf8_lossy(&answered.raw);
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{head:?} {text}");
    }
    assert!(upstream.heads().is_empty(), "nothing was forwarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_form_of_a_path_is_matched_and_forwarded() {
    let (upstream, gate) = street().await;
    for (asked, forwarded) in [
        ("/api/v1/leads/1", "/api/v1/leads/1"),
        ("/api/v1/%6Ceads/%31/?q=%6C&x=a;b", "/api/v1/leads/1/?q=%6C&x=a;b"),
        ("/api/v1/leads/caf%c3%a9/", "/api/v1/leads/caf%C3%A9/"),
    ] {
        let answered = gate.get(asked).as_role("admin").send().await;
        assert_eq!(answered.status, 200, "{asked}");
        let seen = upstream.heads().pop().unwrap();
        assert!(seen.starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")), "{seen}");
    }
    let before = upstream.heads().len();
    for bad in [
        "//api/v1/leads/1/",
        "/api//v1/leads/1/",
        "/api/v1/leads/../leads/1/",
        "/api/v1/leads/%2e%2e/leads/1/",
        "/api/v1/leads/%2E./1/",
        "/api/v1/leads%2f1/",
        "/api/v1/leads/1;x/",
        "/api/v1/leads/1%3Bx/",
        "/api/v1/leads/1%00/",
        "/api/v1/leads\\1/",
        "/api/v1/leads%5c1/",
        "/api/v1/%256ceads/1/",
        "/api/v1/leads/%ff/",
    ] {
        let answered = gate.get(bad).as_role("admin").send().await;
        answered.expect_problem(400, "bad_path");
    }
    // Case is not folded: a CRM that folds it would serve what nobody declared.
    gate.get("/API/v1/leads/1/").as_role("admin").send().await.expect_problem(403, "no_route");
    assert_eq!(upstream.heads().len(), before, "none of these was forwarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_taken_for_another_method_or_protocol() {
    let (upstream, gate) = street().await;
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let ask = gate.request("POST", "/api/v1/leads/").as_role("admin").header(name, "DELETE");
        ask.json("{}").send().await.expect_problem(400, "method_override");
    }
    for target in [format!("{LEAD}?_method=DELETE"), format!("{LEAD}?a=b&%5fmethod=PUT")] {
        let ask = gate.request("PATCH", &target).as_role("admin").json("{}");
        ask.send().await.expect_problem(400, "method_override");
    }
    for protocol in ["websocket", "h2c"] {
        let ask = gate.get(LEAD).as_role("admin").header("Upgrade", protocol);
        ask.send().await.expect_problem(400, "upgrade");
    }
    gate.request("TRACE", LEAD).as_role("admin").send().await.expect_problem(403, "no_route");
    assert!(upstream.heads().is_empty(), "nothing was forwarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_cannot_be_forged_or_taken_away() {
    let upstream =
        Upstream::scripted(json_answer(r#"{"ssn":"canary-ssn","a":1}"#), Pace::OnePacket);
    let upstream = upstream.await;
    let identity = "  - trusted_headers: { peers: [10.0.0.0/8], subject: X-User, roles: X-Roles, tenant: X-Tenant }";
    let gate = gate(&upstream).config(identity).start().await;
    let answered = gate
        .get(LEAD)
        .as_role("sales_rep")
        .header("X-Roles", "admin")
        .header("X-User", "root")
        .header("X-Tenant", "other")
        .header("X-Fieldgate-Role", "admin")
        .header("X-Lead-Score", "100")
        .header("X-Causation-ID", "0190a5c8-7e60-7cc3-98c8-dc0c0c07398f")
        .header("X-Request-ID", "theirs-1")
        .header("X-Correlation-ID", "theirs-2")
        .header("Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
        .header("X-Kept", "kept")
        .header("X-Hop", "hop")
        .header("Connection", "X-Roles, X-Correlation-ID, traceparent, x-hop, authorization, close")
        .header("Accept-Encoding", "gzip, br, zstd")
        .header("Range", "bytes=0-10")
        .header("If-None-Match", "\"a\"")
        .send()
        .await;
    assert_eq!((answered.status, answered.text()), (200, r#"{"a":1}"#), "still a sales_rep");
    assert_eq!(answered.header("X-Correlation-ID"), Some("theirs-2"));

    let seen = upstream.heads().remove(0);
    for name in [
        "x-roles",
        "x-user",
        "x-tenant",
        "x-fieldgate-role",
        "x-lead-score",
        "x-causation-id",
        "x-request-id",
        "x-hop",
        "connection",
        "range",
        "if-none-match",
    ] {
        assert_eq!(header(&seen, name), [""; 0], "{name}: {seen}");
    }
    assert_eq!(header(&seen, "x-correlation-id"), ["theirs-2"]);
    assert_eq!(header(&seen, "accept-encoding"), ["identity"]);
    assert_eq!(header(&seen, "x-kept"), ["kept"]);
    let trace = header(&seen, "traceparent").remove(0);
    assert!(trace.starts_with("00-0123456789abcdef0123456789abcdef-"), "{trace}");
    assert!(!trace.contains("-0123456789abcdef-"), "the span is ours: {trace}");

    // Without credentials that count, the forged ones are none.
    let nobody = gate.get(LEAD).header("X-Roles", "admin").header("X-User", "root").send().await;
    nobody.expect_problem(401, "credentials_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn correlation_ids_are_kept_if_they_are_harmless_and_made_otherwise() {
    let (upstream, gate) = street().await;
    for kept in ["a", "A.b_c-9", &"x".repeat(64)] {
        let answered =
            gate.get(LEAD).as_role("admin").header("X-Correlation-ID", kept).send().await;
        assert_eq!(answered.header("X-Correlation-ID"), Some(kept));
    }
    let second = gate.get(LEAD).as_role("admin").header("X-Request-ID", "by-name-2").send().await;
    assert_eq!(second.header("X-Correlation-ID"), Some("by-name-2"));
    for replaced in ["", "a b", "a;b", "<script>", "é", &"x".repeat(65), &"x".repeat(30_000)] {
        let answered =
            gate.get(LEAD).as_role("admin").header("X-Correlation-ID", replaced).send().await;
        let id = answered.header("X-Correlation-ID").unwrap();
        assert!(uuid::Uuid::parse_str(id).is_ok(), "{replaced:.80}: {id}");
        assert_eq!(header(&upstream.heads().pop().unwrap(), "x-correlation-id"), [id]);
        let lines = gate.logged();
        assert!(lines.contains(id), "the id is in the log");
    }
    let two = gate.get(LEAD).as_role("admin");
    let two = two.header("X-Correlation-ID", "one").header("X-Correlation-ID", "two").send().await;
    let id = two.header("X-Correlation-ID").unwrap().to_owned();
    assert_eq!(header(&upstream.heads().pop().unwrap(), "x-correlation-id"), [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let (upstream, gate) = street().await;
    let large = gate.get(LEAD).as_role("admin").header("X-Large", &"x".repeat(70_000));
    let answered = within(large.send()).await;
    answered.expect_problem(431, "head_too_large");
    // Past what the parser itself takes there is no answer, but an end.
    let huge = gate.get(LEAD).as_role("admin").header("X-Correlation-ID", &"x".repeat(2 << 20));
    let answered = within(huge.send()).await;
    assert!(answered.status == 0 || answered.status >= 400, "{}", answered.head);
    assert!(upstream.heads().is_empty(), "nothing was forwarded");
}
