//! Rows of the hardening list about callers: unknown roles, no credentials, other companies.

use super::harness::*;
use super::{asking_gate, forwarded, metric};

const LEAD: &str = "/api/v1/leads/1/";

/// Row 33: whoever is not known, or only by roles that no policy has, sees nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_nobody_we_know() {
    let upstream = Upstream::demo().await;
    let stranger = "  - who_am_i:\n      path: /api/v1/me/\n      credentials: { headers: [X-Api-Key] }\n      subject: $.username\n      roles: $.groups[*].name";
    let gate = gate(&upstream).config(stranger).start().await;
    gate.get(LEAD).send().await.expect_problem(401, "credentials_missing");
    // Known to the CRM, but `CRM Admins` is no role of a policy.
    let ann = gate.get(LEAD).header("X-Api-Key", "key-ann-8f41").send().await;
    ann.expect_problem(403, "no_known_role");
    assert_eq!(forwarded(&upstream), 0);
    let line = gate.access_lines(2).await.pop().unwrap();
    assert_eq!(line["user_id"], "ann");
}

/// Row 33: a company comes from the caller's identity, and a request that names another is refused.
#[tokio::test(flavor = "multi_thread")]
async fn another_company_is_refused() {
    let upstream = Upstream::demo().await;
    let places =
        "tenant: { header: X-Tenant, path: [\"/t/{tenant}/...\", \"/api/v1/orgs/{tenant}/...\"] }";
    let gate = asking_gate(&upstream, places).await;
    let own = gate.get(LEAD).as_role("admin").header("X-Tenant", "demo").send().await;
    assert_eq!(own.status, 200, "{}", own.head);
    let own = gate.get(LEAD).header("X-Api-Key", "key-ann-8f41").header("X-Tenant", "demo");
    assert_eq!(own.send().await.status, 200);
    let identified =
        r#"fieldgate_identifications_total{outcome="identified",source="static_tokens"}"#;
    assert_eq!(metric(&gate, identified).await, 1);
    let before = forwarded(&upstream);

    for (target, tenant) in [
        (LEAD, Some("other")),
        (LEAD, Some("DEMO")),
        (LEAD, Some("demo, other")),
        (LEAD, Some("")),
        ("/t/other/leads/", None),
        ("/T/other/leads/", None),
        ("/t/%6fther/leads/", Some("demo")),
        ("/api/v1/orgs/other/leads/", None),
    ] {
        for credential in [("Authorization", "Bearer demo-admin"), ("X-Api-Key", "key-ann-8f41")] {
            let mut ask = gate.get(target).header(credential.0, credential.1);
            if let Some(tenant) = tenant {
                ask = ask.header("X-Tenant", tenant);
            }
            let answered = ask.send().await;
            answered.expect_problem(403, "tenant_mismatch");
        }
    }
    let both = gate.get(LEAD).as_role("admin").header("X-Tenant", "demo").header("X-Tenant", "x");
    both.send().await.expect_problem(403, "tenant_mismatch");
    // A path of one's own company is refused for another reason.
    gate.get("/t/demo/leads/").as_role("admin").send().await.expect_problem(403, "no_route");
    assert_eq!(forwarded(&upstream), before);
}
