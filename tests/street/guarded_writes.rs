//! Writes through the gate: records that go straight back, masks, forms, and what each setting does.

use fieldgate::demo::crm::Crm;
use serde_json::{Value, json};

use super::harness::*;

const COLLECTIONS: [&str; 5] = ["leads", "contacts", "deals", "accounts", "activities"];

/// A lead with every strategy, and a role that sees all of its masks and may write one field.
const EVERY_STRATEGY: &str = r#"
resource: lead
routes:
  - { methods: [GET], path: /api/v1/leads/, records: "$.results[*]" }
  - { methods: [GET, PUT, PATCH, DELETE], path: "/api/v1/leads/{id}/", records: "$" }
fields:
  "$..first_name": { pii: true, mask: hash }
  "$..last_name": { pii: true, mask: encrypt }
  "$..email": { pii: true, mask: { partial: { show_first: 2, keep_domain: true } } }
  "$..phone": { pii: true, mask: tokenize }
  "$..company_name": { mask: { tokenize: { vault: true } } }
  "$..ssn": { pii: true, mask: redact }
  "$..budget": { mask: { as: null } }
  "$..annual_revenue": { mask: { as: 0 } }
  "$..custom_fields": { mask: { as: {} } }
  "$..address": { mask: encrypt }
  "$..emails": { mask: hash }
  "$..owner": { mask: tokenize }
  "$..internal_notes": { mask: { as: "" } }
  "$..tags": { mask: { as: [] } }
"#;
const SEES_MASKS: &str = r#"
role: sales_rep
lead:
  default: mask
  id: view
  status: edit
  consent: hidden
"#;

/// A record of the CRM without what it writes itself.
fn stored(crm: &Crm, collection: &str, id: u64) -> Option<String> {
    let record = crm.record(collection, id)?.to_string();
    let (before, rest) = record.split_once("\"updated_at\":")?;
    let end = rest.find([',', '}'])?;
    Some(format!("{before}{}", &rest[end..]))
}

/// Reads every record as each role and sends it straight back.
async fn there_and_back(gate: &Gate, crm: &Crm, collections: &[&str], roles: &[&str]) -> usize {
    let mut written = 0;
    for collection in collections {
        for id in 1.. {
            let Some(before) = stored(crm, collection, id) else { break };
            for role in roles {
                let path = format!("/api/v1/{collection}/{id}/");
                for method in ["PUT", "PATCH"] {
                    // A write changes the date of change, so each begins with what is there now.
                    let read = gate.get(&path).as_role(role).send().await;
                    assert_eq!(read.status, 200, "{role} {path}");
                    let sent = gate.request(method, &path).as_role(role).json(read.text());
                    let answer = sent.send().await;
                    let told = format!("{role} {method} {path} {}", answer.text());
                    assert_eq!(answer.status, 200, "{told}");
                    assert_eq!(stored(crm, collection, id).as_ref(), Some(&before), "{told}");
                    written += 1;
                }
            }
        }
    }
    written
}

/// Rows 26 and 27: masks and what was hidden stay as the CRM has them, for every record and role.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_go_straight_back_change_nothing() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let shipped = gate(&upstream).start().await;
    let written = there_and_back(&shipped, &crm, &COLLECTIONS, &ROLES).await;
    assert!(written > 500, "{written}");

    let masked = gate(&upstream)
        .config("data_dir: data")
        .file("data/.keep", "")
        .file("policies/resources/lead.yaml", EVERY_STRATEGY)
        .file("policies/roles/sales_rep.yaml", SEES_MASKS)
        .start()
        .await;
    assert!(masked.is_ready().await, "{}", masked.logged());
    let one = masked.get("/api/v1/leads/1/").as_role("sales_rep").send().await;
    for mark in ["hash:", "enc:", "token_", "**@", "[REDACTED]"] {
        assert!(one.text().contains(mark), "{mark} {}", one.text());
    }
    let written = there_and_back(&masked, &crm, &["leads"], &["sales_rep"]).await;
    assert!(written > 20, "{written}");
}

/// Rails and PHP merge the query string with the body.
#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_of_a_write_is_a_field() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let gate = gate(&upstream).start().await;
    let before = stored(&crm, "leads", 7);
    for query in ["source=x", "ssn=9", "lead_id=1&source=x"] {
        let path = format!("/api/v1/leads/7/?{query}");
        let sent = gate.request("PATCH", &path).as_role("sales_rep").json(r#"{"status":"new"}"#);
        let answer = sent.send().await;
        assert_eq!(answer.status, 403, "{query} {}", answer.text());
    }
    let sent = gate.request("PATCH", "/api/v1/leads/7/?source=x").as_role("sales_rep");
    let answer = sent.json(r#"{"status":"new"}"#).send().await;
    answer.expect_problem(403, "field_not_editable");
    assert_eq!(stored(&crm, "leads", 7), before);
    let sent = gate.request("PATCH", "/api/v1/leads/7/?notify=1").as_role("sales_rep");
    assert_eq!(sent.json(r#"{"status":"qualified"}"#).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_field_changed_in_a_record_that_goes_back() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let gate = gate(&upstream).start().await;
    let lead = "/api/v1/leads/1/";
    let real: Value = serde_json::from_str(&crm.record("leads", 1).unwrap().to_string()).unwrap();
    let seen = gate.get(lead).as_role("sales_rep").send().await.json();
    let with = |name: &str, value: Value| {
        let mut changed = seen.clone();
        changed[name] = value;
        changed.to_string()
    };
    let put = |body: String| gate.request("PUT", lead).as_role("sales_rep").json(&body);

    let answer = put(with("status", json!("contacted"))).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let now: Value = serde_json::from_str(&crm.record("leads", 1).unwrap().to_string()).unwrap();
    assert_eq!(now["status"], "contacted");
    for name in ["email", "phone", "ssn", "internal_notes", "custom_fields", "owner", "emails"] {
        assert_eq!(now[name], real[name], "{name}");
    }

    // Back to what the record says now, since it has a new date of change.
    let seen = gate.get(lead).as_role("sales_rep").send().await.json();
    for (name, value) in [
        ("email", real["email"].clone()),
        ("email", json!("nobody@example.com")),
        ("industry", json!("other")),
        ("ssn", real["ssn"].clone()),
        ("ssn", json!("900-00-0000")),
    ] {
        let mut changed = seen.clone();
        changed[name] = value;
        let problem =
            put(changed.to_string()).send().await.expect_problem(403, "field_not_editable");
        assert_eq!(problem["fields"], json!([name]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_read_with_the_credentials_of_its_writer_and_its_validator_goes_on() {
    let record = r#"{"id":1,"status":"new","email":"john@example.com","ssn":"900"}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"v7\"\r\nContent-Length: {}\r\n\r\n{record}",
        record.len()
    );
    for pace in PACES {
        let upstream = Upstream::scripted(answer.clone(), pace).await;
        let gate = gate(&upstream).start().await;
        let put = gate
            .request("PUT", "/api/v1/leads/1/")
            .as_role("sales_rep")
            .header("X-Correlation-ID", "abc-1")
            .json(r#"{"id":1,"status":"x","email":"jo**@example.com"}"#);
        assert_eq!(put.send().await.status, 200);
        let seen = upstream.seen.lock().unwrap().clone();
        let [read, write] = seen.as_slice() else { panic!("{seen:?}") };
        assert!(read.starts_with("GET /api/v1/leads/1/ HTTP/1.1\r\n"), "{read}");
        let (read_head, read_body) = read.split_once("\r\n\r\n").unwrap();
        let read_head = read_head.to_ascii_lowercase();
        assert!(read_head.contains("authorization: bearer demo-sales_rep"), "{read}");
        assert!(read_head.contains("x-correlation-id: abc-1"), "{read}");
        assert!(!read_head.contains("content-type") && read_body.is_empty(), "{read}");
        let (write_head, write_body) = write.split_once("\r\n\r\n").unwrap();
        assert!(write_head.to_ascii_lowercase().contains("if-match: \"v7\""), "{write}");
        let body: Value = serde_json::from_str(write_body).unwrap();
        let expect = json!({"id":1,"status":"x","email":"john@example.com","ssn":"900"});
        assert_eq!(body, expect);
        assert!(write_head.contains(&format!("Content-Length: {}", write_body.len())), "{write}");
    }
}

/// Rows 26 and 27: what cannot be restored is a conflict.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_record_cannot_be_read_nothing_is_overwritten() {
    for answer in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n7x".to_owned(),
    ] {
        let upstream = Upstream::scripted(answer, Pace::OnePacket).await;
        let gate = gate(&upstream).start().await;
        let lead = "/api/v1/leads/1/";
        let put = gate.request("PUT", lead).as_role("sales_rep").json(r#"{"status":"x"}"#);
        put.send().await.expect_problem(409, "masked_value_writeback");
        let back = gate.request("PATCH", lead).as_role("sales_rep");
        let back = back.json(r#"{"email":"jo**@example.com"}"#).send().await;
        let problem = back.expect_problem(409, "masked_value_writeback");
        assert_eq!(problem["fields"], json!(["email"]));
        let seen = upstream.seen.lock().unwrap().clone();
        assert!(seen.iter().all(|request| request.starts_with("GET ")), "{seen:?}");
    }
}

/// Row 25: in whatever form a field is written that its sender may not write, it is named and refused.
#[tokio::test(flavor = "multi_thread")]
async fn forms_patches_and_everything_else() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let gate = gate(&upstream).start().await;
    let before = stored(&crm, "leads", 1);
    let part = |name: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n--b--\r\n")
    };
    for (label, body, status, code) in [
        ("application/x-www-form-urlencoded", "ssn=1", 403, "field_not_editable"),
        ("application/x-www-form-urlencoded", "owner[email]=1", 403, "field_not_editable"),
        ("application/x-www-form-urlencoded", "status=x&_method=PUT", 400, "method_override"),
        ("application/x-www-form-urlencoded", "a[b]=1&a.b=2", 400, "request_form_invalid"),
        ("application/x-www-form-urlencoded", "status=%zz", 400, "request_form_invalid"),
        ("multipart/form-data; boundary=b", &part("ssn"), 403, "field_not_editable"),
        ("multipart/form-data; boundary=c", &part("status"), 400, "request_form_invalid"),
        (
            "application/json-patch+json",
            r#"[{"op":"remove","path":"/ssn"}]"#,
            403,
            "field_not_editable",
        ),
        (
            "application/json-patch+json",
            r#"[{"op":"copy","from":"/ssn","path":"/title"}]"#,
            403,
            "field_not_editable",
        ),
        (
            "application/json-patch+json",
            r#"[{"op":"test","path":"/ssn","value":"900-01-0001"}]"#,
            403,
            "field_not_editable",
        ),
        ("application/json-patch+json", "{}", 400, "request_form_invalid"),
        ("application/merge-patch+json", r#"{"ssn":null}"#, 403, "field_not_editable"),
        ("application/json", r#"{"status":"x","status":"y"}"#, 400, "request_json_invalid"),
        ("application/json; charset=utf-16", "{}", 415, "request_not_json"),
        ("text/plain", "{}", 415, "request_not_json"),
        ("application/xml", "<a/>", 415, "request_not_json"),
    ] {
        let patch = gate.request("PATCH", "/api/v1/leads/1/").as_role("sales_rep");
        patch.body(label, body).send().await.expect_problem(status, code);
    }
    let coded = gate.request("PATCH", "/api/v1/leads/1/").as_role("sales_rep");
    let coded = coded.header("Content-Encoding", "gzip").json("{}").send().await;
    coded.expect_problem(415, "request_encoded");
    assert_eq!(stored(&crm, "leads", 1), before);
    // What may be written is forwarded; this CRM knows nothing but JSON and says so.
    let form = gate.request("PATCH", "/api/v1/leads/1/").as_role("sales_rep");
    let form = form.body("application/x-www-form-urlencoded", "status=new").send().await;
    assert_eq!(form.status, 415, "{}", form.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn strip_and_report() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let lead = std::fs::read_to_string("policies/resources/lead.yaml").unwrap();
    let body = r#"{"status":"qualified","industry":"told-by-nobody","ssn":"000"}"#;

    let strip = gate(&upstream)
        .file("policies/resources/lead.yaml", &format!("writes: strip\n{lead}"))
        .start()
        .await;
    let before = crm.record("leads", 2).unwrap();
    let patch = strip.request("PATCH", "/api/v1/leads/2/").as_role("sales_rep").json(body);
    assert_eq!(patch.send().await.status, 200);
    let now = crm.record("leads", 2).unwrap();
    assert_eq!(now.get("status").unwrap().as_text(), Some("qualified"));
    assert_eq!(now.get("ssn"), before.get("ssn"));
    assert_eq!(now.get("industry"), before.get("industry"));
    let metrics = Ask::new(strip.admin, "GET", "/metrics").send().await;
    let line = "fieldgate_write_fields_total{outcome=\"stripped\"} 2";
    assert!(metrics.text().contains(line), "{}", metrics.text());

    let report = gate(&upstream)
        .file("policies/resources/lead.yaml", &format!("writes: report\n{lead}"))
        .start()
        .await;
    let patch = report.request("PATCH", "/api/v1/leads/3/").as_role("sales_rep").json(body);
    assert_eq!(patch.send().await.status, 200);
    let now = crm.record("leads", 3).unwrap();
    assert_eq!(now.get("ssn").unwrap().as_text(), Some("000"));
    let metrics = Ask::new(report.admin, "GET", "/metrics").send().await;
    let line = "fieldgate_write_fields_total{outcome=\"reported\"} 2";
    assert!(metrics.text().contains(line), "{}", metrics.text());
    let log = report.logged();
    assert!(log.contains("industry, ssn"), "{log}");
    assert!(!log.contains("told-by-nobody"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_turned_back_for_who_may_write_the_field() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let gate = gate(&upstream).start().await;
    let seen = gate.get("/api/v1/leads/4/").as_role("marketing").send().await.json();
    let token = seen["external_id"].as_str().unwrap().to_owned();
    assert!(token.starts_with("token_"));
    let before = stored(&crm, "leads", 4);
    let body = json!({ "external_id": token }).to_string();
    let patch = gate.request("PATCH", "/api/v1/leads/4/").as_role("admin").json(&body);
    assert_eq!(patch.send().await.status, 200);
    assert_eq!(stored(&crm, "leads", 4), before);
    // Sent by who may not write it, it changes nothing either.
    let patch = gate.request("PATCH", "/api/v1/leads/4/").as_role("marketing").json(&body);
    assert_eq!(patch.send().await.status, 200);
    assert_eq!(stored(&crm, "leads", 4), before);
}
