//! What each shipped role sees of the demo CRM, through the gate.

use fieldgate::demo::crm::Crm;

use super::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_lead_as_three_roles() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    let direct =
        Ask::new(upstream.address, "GET", "/api/v1/leads/1/").as_role("admin").send().await;

    let admin = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
    assert_eq!(admin.status, 200, "{}", admin.head);
    assert_eq!(admin.text(), direct.text(), "an entitled role sees every byte as it was");

    let sales = gate.get("/api/v1/leads/1/").as_role("sales_rep").send().await;
    let (seen, real) = (sales.json(), direct.json());
    assert_eq!(seen["first_name"], real["first_name"]);
    assert_ne!(seen["email"], real["email"]);
    assert!(seen["email"].as_str().unwrap().contains("**"));
    assert!(seen.get("ssn").is_none());
    assert!(seen.get("internal_notes").is_none());
    assert!(!sales.text().contains(real["ssn"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_five_thousand_streams() {
    let upstream = Upstream::crm(Crm::with_leads(5_000)).await;
    let gate = gate(&upstream).start().await;
    let target = "/api/v1/leads/?page_size=10000";
    let direct = Ask::new(upstream.address, "GET", target).as_role("admin").send().await;
    assert!(direct.body.len() > 5_000_000);
    let admin = gate.get(target).as_role("admin").send().await;
    // `next` and `previous` are null on the only page, so nothing in the body names the host.
    assert!(admin.complete && admin.body == direct.body, "every byte is as it was");
    assert_eq!(admin.header("Transfer-Encoding"), Some("chunked"));
    for role in ROLES {
        let seen = gate.get(target).as_role(role).send().await;
        assert!(seen.complete, "{role}");
        // The page holds 1e400, which serde_json cannot read.
        assert_eq!(seen.text().matches("\"created_at\":").count(), 5_000, "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_and_allowed_writes() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    let lead = "/api/v1/leads/1/";
    let refused = gate.request("PATCH", lead).as_role("sales_rep").json(r#"{"ssn":"1"}"#);
    let problem = refused.send().await.expect_problem(403, "field_not_editable");
    assert_eq!(problem["fields"], serde_json::json!(["ssn"]));

    let allowed =
        gate.request("PATCH", lead).as_role("sales_rep").json(r#"{"status":"contacted"}"#);
    let allowed = allowed.send().await;
    assert_eq!(allowed.status, 200, "{}", allowed.text());
    assert_eq!(allowed.json()["status"], "contacted");
    assert!(allowed.json().get("ssn").is_none(), "the answer to a write is filtered too");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_nowhere() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    gate.get("/api/v1/leads/1/").send().await.expect_problem(401, "credentials_missing");
    gate.get("/api/v1/leads/1/")
        .header("Authorization", "Bearer nobody")
        .send()
        .await
        .expect_problem(401, "credentials_invalid");
    gate.get("/api/v1/other/").as_role("admin").send().await.expect_problem(403, "no_route");
    assert!(upstream.crm.as_ref().unwrap().requests().is_empty(), "nothing was forwarded");
    gate.stop().await;
}
