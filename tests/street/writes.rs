//! Writes: what a role may not write is refused before the CRM hears of it.

use super::canary::Canaries;
use super::harness::*;

const LEAD: &str = "/api/v1/leads/3/";
const LEADS: &str = "/api/v1/leads/";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_write_is_named_and_never_forwarded() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    let before = upstream.crm.as_ref().unwrap().records("leads");
    let mut answers = Vec::new();
    for (role, method, target, body, fields) in [
        ("sales_rep", "PATCH", LEAD, r#"{"email":"canary-1"}"#, &["email"][..]),
        ("sales_rep", "PATCH", LEAD, r#"{"status":"new","ssn":"canary-1"}"#, &["ssn"]),
        ("sales_rep", "PATCH", LEAD, r#"{"em\u0061il":"canary-1"}"#, &["email"]),
        ("sales_rep", "PATCH", LEAD, r#"{"owner":{"email":"canary-1"}}"#, &["owner"]),
        ("sales_rep", "PUT", LEAD, r#"{"status":"new","score_hint":1}"#, &["score_hint"]),
        ("sales_rep", "POST", LEADS, r#"{"company_name":"x","phone":"canary-1"}"#, &["phone"]),
        ("sales_rep", "POST", LEADS, r#"[{"status":"x"},{"ssn":"canary-1"}]"#, &["ssn"]),
        ("marketing", "PATCH", LEAD, r#"{"status":"canary-1"}"#, &["status"]),
        ("finance", "PATCH", LEAD, r#"{"budget":1}"#, &["budget"]),
        ("support", "PATCH", LEAD, r#"{"annual_revenue":"canary-1"}"#, &["annual_revenue"]),
        ("finance", "POST", "/api/v1/deals/3/change_stage/", r#"{"stage":"won"}"#, &["stage"]),
    ] {
        let answered = gate.request(method, target).as_role(role).json(body).send().await;
        let problem = answered.expect_problem(403, "field_not_editable");
        assert_eq!(problem["fields"], serde_json::json!(fields), "{role} {body}");
        answers.push(answered);
    }
    let crm = upstream.crm.as_ref().unwrap();
    // The record may have been read, to see whether the write would change anything.
    assert!(crm.requests().iter().all(|head| head.method == "GET"), "no write was forwarded");
    assert_eq!(crm.records("leads"), before);
    Canaries::new(["canary-1"]).assert_absent(&gate, &answers.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_write_arrives_and_its_answer_is_filtered() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    let crm = upstream.crm.as_ref().unwrap();
    for (role, method, target, body, status) in [
        ("sales_rep", "PATCH", LEAD, r#"{"status":"contacted"}"#, 200),
        ("sales_rep", "POST", "/api/v1/deals/3/change_stage/", r#"{"stage":"proposal"}"#, 200),
        ("support", "PATCH", LEAD, r#"{"phone":"+1 555-0199"}"#, 200),
        ("admin", "PATCH", LEAD, r#"{"ssn":"999-00-0001"}"#, 200),
    ] {
        let answered = gate.request(method, target).as_role(role).json(body).send().await;
        assert_eq!(answered.status, status, "{role} {target} {}", answered.text());
        let shows = |name: &str| answered.json().get(name).is_some();
        assert_eq!(shows("ssn"), role == "admin" && target == LEAD, "{role} {target}");
    }
    let text = |name: &str| {
        let lead = crm.record("leads", 3).unwrap();
        lead.get(name).and_then(|value| value.as_text()).unwrap().to_owned()
    };
    assert_eq!(text("status"), "contacted");
    assert_eq!(text("phone"), "+1 555-0199");
    assert_eq!(text("ssn"), "999-00-0001");
    let deleted = gate.request("DELETE", LEAD).as_role("admin").send().await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert!(crm.record("leads", 3).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_checked_are_refused() {
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let gate = gate(&upstream).config("limits: { request_body: 64KiB }").start().await;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let large = format!(r#"{{"status":"{}"}}"#, "x".repeat(70_000));
    let json = "application/json";
    for (kind, coding, body, status, code) in [
        (json, "", r#"{"status":1,"status":2}"#, 400, "request_json_invalid"),
        (json, "", r#"{"status":1,"st\u0061tus":2}"#, 400, "request_json_invalid"),
        (json, "", r#"{"status":1"#, 400, "request_json_invalid"),
        (json, "", r#"{"status":1}{"ssn":1}"#, 400, "request_json_invalid"),
        (json, "", "\u{feff}{}", 400, "request_json_invalid"),
        (json, "", &deep, 400, "request_json_invalid"),
        (json, "gzip", "{}", 415, "request_encoded"),
        ("", "", "{}", 415, "request_not_json"),
        ("text/plain", "", r#"{"ssn":1}"#, 415, "request_not_json"),
        (json, "", &large, 413, "body_too_large"),
    ] {
        let mut ask = gate.request("PATCH", LEAD).as_role("sales_rep").bytes(body.as_bytes());
        if !kind.is_empty() {
            ask = ask.header("Content-Type", kind);
        }
        if !coding.is_empty() {
            ask = ask.header("Content-Encoding", coding);
        }
        within(ask.send()).await.expect_problem(status, code);
    }
    let two = gate.request("PATCH", LEAD).as_role("sales_rep").json("{}");
    let two = two.header("Content-Type", "text/plain").send().await;
    two.expect_problem(415, "request_not_json");
    assert!(upstream.heads().is_empty(), "nothing was forwarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_arrives_whole_however_it_was_sent() {
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let gate = gate(&upstream).start().await;
    let start = format!(
        "PATCH {LEAD} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-sales_rep\r\nConnection: close\r\nContent-Type: application/json\r\n"
    );
    let chunked = format!(
        "{start}Transfer-Encoding: chunked\r\n\r\n4\r\n{{\"st\r\nd;x=y\r\natus\":\"new\" }}\r\n0\r\nX-Trailer: canary\r\n\r\n"
    );
    assert_eq!(within(send_raw(gate.data, chunked.as_bytes())).await.status, 200);
    let seen = upstream.heads().remove(0);
    assert_eq!(header(&seen, "content-length"), ["17"], "{seen}");
    assert_eq!(header(&seen, "transfer-encoding"), [""; 0]);
    assert!(seen.ends_with("\r\n\r\n{\"status\":\"new\" }"), "{seen}");
    assert!(!seen.contains("canary"));

    let expecting = format!("{start}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{{}}");
    let answered = within(send_raw(gate.data, expecting.as_bytes())).await;
    let text = String::from_utf8_lossy(&answered.raw).into_owned();
    assert!(text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
    assert_eq!(header(&upstream.heads()[1], "expect"), [""; 0]);

    let chunked_ssn = format!(
        "{start}Transfer-Encoding: chunked\r\n\r\n6\r\n{{\"s\\u0\r\n9\r\n073n\":1}}\r\n0\r\n\r\n"
    );
    within(send_raw(gate.data, chunked_ssn.as_bytes())).await;
    assert_eq!(upstream.heads().len(), 2);
}
