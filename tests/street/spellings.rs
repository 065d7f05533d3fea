//! Every way to spell the path of a record: none reaches it ungoverned.

use super::harness::*;

/// Spellings that some server or other takes for `/api/v1/leads/1/`.
const SPELLINGS: &[&str] = &[
    "//api/v1/leads/1/",
    "/api//v1/leads/1/",
    "/api/v1/leads//1/",
    "/api/v1/leads/1//",
    "/./api/v1/leads/1/",
    "/api/v1/./leads/1/",
    "/api/v1/x/../leads/1/",
    "/favicon.ico/../api/v1/leads/1/",
    "/favicon.ico/%2e%2e/api/v1/leads/1/",
    "/favicon.ico/..%2fapi/v1/leads/1/",
    "/favicon.ico/%252e%252e/api/v1/leads/1/",
    "/favicon.ico;/../api/v1/leads/1/",
    "/favicon.ico/..;/api/v1/leads/1/",
    "/favicon.ico/..\\api/v1/leads/1/",
    "/favicon.ico%00/api/v1/leads/1/",
    "/favicon.ico%23/../api/v1/leads/1/",
    "/favicon.ico?/../api/v1/leads/1/",
    "/api/v1/%2e/leads/1/",
    "/api/v1/x/%2e%2e/leads/1/",
    "/api/v1/x/.%2e/leads/1/",
    "/api/v1/x/%2E./leads/1/",
    "/API/v1/leads/1/",
    "/api/V1/leads/1/",
    "/api/v1/Leads/1/",
    "/api/v1/LEADS/1/",
    "/api/v1/%6Ceads/1/",
    "/api/v1/%6ceads/%31/",
    "/%61%70%69/v1/leads/1/",
    "/api/v1/%256Ceads/1/",
    "/api/v1/leads%2F1/",
    "/api/v1/leads%2f1%2f",
    "/api/v1/leads/1%2f",
    "/api%2fv1%2fleads%2f1%2f",
    "/api/v1/leads%5C1/",
    "/api/v1\\leads\\1\\",
    "/api/v1/leads/1/;x",
    "/api/v1/leads/1;x=y/",
    "/api/v1/leads;jsessionid=1/1/",
    "/;x/api/v1/leads/1/",
    "/api/v1/leads/1%3Bx/",
    "/api/v1/leads/1",
    "/api/v1/leads/1.json",
    "/api/v1/leads/1.JSON/",
    "/api/v1/leads/1./",
    "/api/v1/leads./1/",
    "/api/v1/leads/1%20/",
    "/api/v1/leads%20/1/",
    "/api/v1/leads/%201/",
    "/api/v1/leads/1%09/",
    "/api/v1/leads/1%00/",
    "/api/v1/leads/1%0d%0aX:y/",
    "/api/v1/leads/1%C0%AF",
    "/api/v1/leads/1%E2%81%84",
    "/api/v1/leads/%EF%BC%91/",
    "/api/v1/leads/01/",
    "/api/v1/leads/+1/",
    "/api/v1/leads/1/?format=json",
    "/api/v1/leads/1/?_method=GET",
    "/api/v1/leads/1/#x",
    "api/v1/leads/1/",
    "?/api/v1/leads/1/",
    "*",
    "http://127.0.0.1/api/v1/leads/1/",
    "http://x@127.0.0.1/api/v1/leads/1/",
    "HTTP://127.0.0.1/api/v1/leads/1/",
    "//127.0.0.1/api/v1/leads/1/",
    "/http://127.0.0.1/api/v1/leads/1/",
];

/// Row 29: every other spelling is refused, or meant and governed.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_reaches_a_record_ungoverned() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let lead = crm.record("leads", 1).unwrap();
    let text = |name: &str| lead.get(name).unwrap().as_text().unwrap().to_owned();
    let notes = text("internal_notes").split(':').next().unwrap().to_owned();
    let secrets = [text("ssn"), text("email"), notes];
    let global = std::fs::read_to_string("policies/global.yaml").unwrap();
    let open = global.replace("unmatched: deny", "unmatched: global_only");
    assert_ne!(open, global);

    let plain = gate(&upstream).start().await;
    let known = plain.get("/api/v1/leads/1/").as_role("admin").send().await;
    for secret in &secrets {
        assert!(known.text().contains(secret), "who may see it finds `{secret}`");
    }
    for gate in [plain, gate(&upstream).file("policies/global.yaml", &open).start().await] {
        for spelling in SPELLINGS {
            for role in [Some("sales_rep"), None] {
                let ask = gate.get(spelling);
                let ask = role.map_or_else(|| ask.clone(), |role| ask.clone().as_role(role));
                let answer = ask.send().await;
                let raw = String::from_utf8_lossy(&answer.raw).into_owned();
                for secret in &secrets {
                    assert!(!raw.contains(secret.as_str()), "{spelling} {role:?}: {raw}");
                }
                if role.is_none() {
                    assert_ne!(answer.status, 200, "{spelling}: {raw}");
                }
            }
        }
    }
    // The absolute form of the gate's own address is the same request.
    let gate = gate(&upstream).start().await;
    let absolute = format!("http://{}/api/v1/leads/1/", gate.data);
    let seen = gate.get(&absolute).as_role("sales_rep").send().await;
    assert_eq!(seen.status, 200, "{}", seen.head);
    assert!(secrets.iter().all(|secret| !seen.text().contains(secret.as_str())));
    let last = crm.requests().pop().unwrap();
    assert_eq!(last.target, "/api/v1/leads/1/");
    // What did reach the CRM is written as the policies have it.
    for request in crm.requests() {
        let path = request.target.split('?').next().unwrap();
        let is_lead = path
            .trim_end_matches('/')
            .rsplit_once('/')
            .is_some_and(|(before, _)| before == "/api/v1/leads");
        let is_open = path == "/favicon.ico";
        let looks_like_one = path.to_ascii_lowercase().contains("leads");
        assert!(is_lead || is_open || !looks_like_one, "{}", request.target);
    }
}
