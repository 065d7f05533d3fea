//! Query strings and search bodies through the gate: what is refused, dropped and forwarded.

use super::harness::*;

const LEAD: &str = r#"
resource: lead
oracle: ORACLE
routes:
  - { methods: [GET], path: /api/v1/leads/, records: "$[*]" }
  - { methods: [POST], path: /api/v1/leads/search/, records: "$[*]", search: true }
query: { dialect: DIALECT }
fields: { "$..ssn": { pii: true, mask: redact }, "$..email": { pii: true, mask: redact } }
"#;

async fn street(dialect: &str, oracle: &str) -> (Upstream, Gate) {
    let upstream = Upstream::scripted(json_answer("[]"), Pace::OnePacket).await;
    let lead = LEAD.replace("DIALECT", dialect).replace("ORACLE", oracle);
    let deal = "resource: deal\nroutes: [{ methods: [GET], path: /d/, records: \"$\" }]\n";
    let gate = gate(&upstream)
        .file("policies/resources/lead.yaml", &lead)
        .file("policies/resources/deal.yaml", deal)
        .start()
        .await;
    (upstream, gate)
}

/// The request lines that the CRM has read.
fn asked(upstream: &Upstream) -> Vec<String> {
    let seen = upstream.seen.lock().unwrap();
    seen.iter().map(|request| request.lines().next().unwrap().to_owned()).collect()
}

/// Row 24: a parameter that asks for what the caller may not see is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_goes_on_to_the_byte_or_not_at_all() {
    let (upstream, gate) = street("odata", "refuse").await;
    let query = "$filter=status%20eq%20'a+b'&&$top=5&$select=id,email";
    let answer = gate.get(&format!("/api/v1/leads/?{query}")).as_role("sales_rep").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let refused = gate.get("/api/v1/leads/?$top=5&$filter=ssn%20eq%20'9'").as_role("sales_rep");
    let problem = refused.send().await.expect_problem(403, "oracle_param");
    assert_eq!(problem["fields"], serde_json::json!(["$filter"]));
    assert!(!problem.to_string().contains(" eq "), "names only: {problem}");
    assert_eq!(asked(&upstream), [format!("GET /api/v1/leads/?{query} HTTP/1.1")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_too_much_is_taken_out_where_the_policy_says_so() {
    let (upstream, gate) = street("plain", "drop").await;
    let ask = gate.get("/api/v1/leads/?a=%41+b&ssn_like=9&sort=ssn&&c=1;ssn=2&status=x");
    assert_eq!(ask.as_role("sales_rep").send().await.status, 200);
    let ask = gate.get("/api/v1/leads/?ssn=9").as_role("sales_rep");
    assert_eq!(ask.send().await.status, 200);
    assert_eq!(
        asked(&upstream),
        ["GET /api/v1/leads/?a=%41+b&status=x HTTP/1.1", "GET /api/v1/leads/ HTTP/1.1"]
    );
    let metrics = Ask::new(gate.admin, "GET", "/metrics").send().await;
    let line = "fieldgate_query_parameters_dropped_total 4";
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

/// Row 24: so is a member of a search body.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_search_are_held_to_the_same() {
    let (upstream, gate) = street("plain", "drop").await;
    let search = |label: &str, body: &str| {
        let ask = gate.request("POST", "/api/v1/leads/search/").as_role("sales_rep");
        ask.body(label, body).send()
    };
    let json = "application/json";
    let fine = r#"{"filters":[{"field":"status","operator":"eq","value":"ssn"}],"limit":1}"#;
    assert_eq!(search(json, fine).await.status, 200);
    for body in [r#"{"ssn":"9"}"#, r#"{"filters":[{"field":"ssn"}]}"#, r#"{"sort":["-ssn"]}"#] {
        search(json, body).await.expect_problem(403, "oracle_param");
    }
    search("application/x-www-form-urlencoded", "ssn=9").await.expect_problem(403, "oracle_param");
    search(json, r#"{"a":1,"a":2}"#).await.expect_problem(400, "request_json_invalid");
    search(json, "[]").await.expect_problem(400, "request_json_invalid");
    search("text/plain", "ssn=9").await.expect_problem(415, "request_not_json");
    assert_eq!(asked(&upstream).len(), 1);

    // A read may have a body that asks.
    let ask = gate.get("/api/v1/leads/").as_role("sales_rep").json(r#"{"ssn":"9"}"#);
    ask.send().await.expect_problem(403, "oracle_param");
}
