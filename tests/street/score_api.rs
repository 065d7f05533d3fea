//! The scoring API on both listeners, and what it must not tell.

use serde_json::{Value, json};

use super::canary::Canaries;
use super::harness::*;
use super::kept_scores::STORE;

const ON_DATA: &str = "leads: [lead]\napi: data\nconfigure: [admin]\n\
    roles: { marketing: bucket, support: withhold }\n\
    activities:\n  observed: { resource: activity, lead: lead, at: at }\n";

/// `rep` may not see budgets.
const REP: (&str, &str) =
    ("policies/roles/sales_rep.yaml", "role: sales_rep\ndefault: view\nlead: { budget: hidden }\n");

async fn on_data(upstream: &Upstream) -> Gate {
    gate(upstream)
        .file("policies/scoring.yaml", ON_DATA)
        .file(REP.0, REP.1)
        .file("data/.keep", "")
        .config(STORE)
        .start()
        .await
}

fn operator(gate: &Gate, method: &str, target: &str) -> Ask {
    Ask::new(gate.admin, method, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_is_told_what_its_headers_tell() {
    let upstream = Upstream::demo().await;
    let gate = on_data(&upstream).await;
    let target = "/api/v1/leads/1/score/";
    for role in ["admin", "sales_rep", "marketing", "support"] {
        let lead = gate.get("/api/v1/leads/1/").as_role(role).send().await;
        let answer = gate.get(target).as_role(role).send().await;
        if role == "support" {
            answer.expect_problem(403, "score_withheld");
            continue;
        }
        assert_eq!(answer.status, 200, "{} {}", answer.head, answer.text());
        assert!(answer.header("Cache-Control").unwrap().contains("no-store"));
        let score = answer.json();
        assert_eq!(score["lead_id"], 1);
        assert_eq!(score["quality"].as_str(), lead.header("X-Lead-Score-Quality"));
        assert_eq!(score["score_version"], "v2");
        let total = score.get("total_score").map(Value::to_string);
        assert_eq!(total.as_deref(), lead.header("X-Lead-Score"), "{role}");
        let lines = score.get("components").and_then(Value::as_array);
        let factors: Option<Vec<String>> = lines.map(|lines| {
            lines
                .iter()
                .map(|line| {
                    let name =
                        line["name"].as_str().unwrap().replace("recent_activity", "activity");
                    format!("{name}={}", line["contribution"])
                })
                .collect()
        });
        let factors = factors.map(|factors| factors.join(","));
        assert_eq!(factors.as_deref(), lead.header("X-Lead-Score-Factors"), "{role}");
        assert_eq!(role == "sales_rep", answer.text().contains("\"other\""));
        assert_eq!(role == "admin", answer.text().contains("completeness"));
    }
    gate.get(target).send().await.expect_problem(401, "credentials_missing");
    gate.get("/api/v1/leads/99999/score/")
        .as_role("admin")
        .send()
        .await
        .expect_problem(404, "no_such_lead");
    gate.get("/api/v1/leads/..%2f1/score/")
        .as_role("admin")
        .send()
        .await
        .expect_problem(400, "bad_path");
    gate.get(&format!("{target}?company=acme"))
        .as_role("admin")
        .send()
        .await
        .expect_problem(400, "score_request_invalid");
    gate.get(&format!("{target}?role=admin"))
        .as_role("sales_rep")
        .send()
        .await
        .expect_problem(400, "score_request_invalid");
    gate.request("DELETE", target).as_role("admin").send().await.expect_problem(403, "no_route");
    gate.get("/api/v1/scores/refresh/")
        .as_role("admin")
        .send()
        .await
        .expect_problem(403, "no_route");

    let lines = gate.access_lines(9).await;
    let routes: Vec<&str> = lines.iter().map(|line| line["route"].as_str().unwrap()).collect();
    assert!(routes.contains(&"/api/v1/leads/{id}/score/"), "{routes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_and_their_past() {
    let upstream = Upstream::demo().await;
    let gate = on_data(&upstream).await;
    let bulk = |role, body: &str| {
        gate.request("POST", "/api/v1/leads/score-bulk/").as_role(role).json(body).send()
    };
    let answer = bulk("admin", r#"{"lead_ids": [2, "3", 99999, 2]}"#).await;
    let results = answer.json()["results"].as_array().unwrap().clone();
    let ids: Vec<&Value> = results.iter().map(|result| &result["lead_id"]).collect();
    assert_eq!(ids, [&json!(2), &json!("3"), &json!(99999)]);
    assert!(results[0]["total_score"].is_u64() && results[1]["total_score"].is_u64());
    assert_eq!(results[2], json!({"lead_id": 99999, "error": "no_such_lead"}));
    let marketing = bulk("marketing", r#"{"lead_ids": [2]}"#).await.json();
    assert!(marketing["results"][0].get("total_score").is_none(), "{marketing}");
    bulk("support", r#"{"lead_ids": [2]}"#).await.expect_problem(403, "score_withheld");
    bulk("admin", r#"{"lead_ids": 2}"#).await.expect_problem(400, "score_request_invalid");

    // What the street calculated, operators find.
    let target = "/api/v1/leads/2/score/?company=demo";
    gate.until(|| async { operator(&gate, "GET", target).send().await.status == 200 }).await;
    let by_operator = operator(&gate, "GET", target).send().await.json();
    assert_eq!(by_operator["total_score"], results[0]["total_score"]);
    assert_eq!(by_operator["is_stale"], false);
    let other = operator(&gate, "GET", "/api/v1/leads/2/score/?company=acme").send().await;
    assert_eq!(other.status, 404, "another company's lead");
    let unknown = operator(&gate, "GET", "/api/v1/leads/2/score/?role=nobody").send().await;
    assert_eq!(unknown.status, 400);
    let as_role = operator(&gate, "GET", &format!("{target}&role=sales_rep")).send().await.json();
    assert!(as_role.to_string().contains("\"other\""), "{as_role}");
    let as_two = format!("{target}&role=admin&role=support");
    assert_eq!(operator(&gate, "GET", &as_two).send().await.status, 403);
    let body = r#"{"lead_ids": [2, 77777]}"#;
    let results = operator(&gate, "POST", "/api/v1/leads/score-bulk/?company=demo");
    let results = results.json(body).send().await.json();
    assert_eq!(results["results"][1], json!({"lead_id": 77777, "error": "no_such_lead"}));
    assert_eq!(operator(&gate, "PUT", target).send().await.status, 405);

    // The past: by role as well. A CRM that does not show the lead does not show its past.
    for status in ["lost", "converted"] {
        let body = format!("{{\"status\":\"{status}\"}}");
        gate.request("PATCH", "/api/v1/leads/2/").as_role("admin").json(&body).send().await;
    }
    let past = |role| gate.get("/api/v1/leads/2/score/history/").as_role(role).send();
    let length = |answer: &Answered| answer.json()["results"].as_array().unwrap().len();
    gate.until(|| async { length(&past("admin").await) >= 2 }).await;
    let admin = past("admin").await;
    assert!(admin.text().contains("\"cause\":\"write\""), "{}", admin.text());
    let rep = past("sales_rep").await;
    assert!(
        !rep.text().contains("cause") && !rep.text().contains("completeness"),
        "{}",
        rep.text()
    );
    past("support").await.expect_problem(403, "score_withheld");
    let gone = gate.get("/api/v1/leads/99999/score/history/").as_role("admin").send().await;
    gone.expect_problem(404, "no_such_lead");
}

/// The CRM decides who sees a lead. Whoever it does not show it to is not told its score, however well
/// it is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_the_crm_hides_has_no_score() {
    let lead = r#"{"id":7,"status":"qualified"}"#;
    let hidden = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}".to_vec();
    let shown = json_answer(lead);
    let script = move |number| if number == 0 { shown.clone() } else { hidden.clone() };
    let upstream = Upstream::each(script, Pace::OnePacket).await;
    let gate = on_data(&upstream).await;
    let get = |target: &'static str| gate.get(target).as_role("admin").send();
    assert_eq!(get("/api/v1/leads/7/score/").await.status, 200);
    for target in ["/api/v1/leads/7/score/", "/api/v1/leads/7/score/history/"] {
        get(target).await.expect_problem(404, "no_such_lead");
    }
    let heads = upstream.heads();
    assert!(heads.iter().all(|head| header(head, "Authorization") == ["Bearer demo-admin"]));
    assert!(heads.iter().all(|head| head.starts_with("GET /api/v1/leads/7/ ")), "{heads:?}");
}

fn lead(budget: &str) -> String {
    format!(
        r#"{{"id":7,"status":"qualified","created_at":"2000-01-01","email":"a@example.com","phone":"1","company_name":"c","industry":"i","annual_revenue":5,"budget":{budget},"title":"t"}}"#
    )
}

/// Cuts out what is new each time.
fn without_moments(text: &str) -> String {
    let mut kept = text.to_owned();
    while let Some(at) = kept.find("\"calculated_at\":\"") {
        let end = at + kept[at + 17..].find('"').unwrap() + 18;
        kept.replace_range(at..end, "");
    }
    kept
}

/// The promise: whoever may not see a field learns nothing of its value from the API.
#[tokio::test(flavor = "multi_thread")]
async fn leads_that_differ_in_what_a_role_may_not_see_look_alike() {
    let mut told = Vec::new();
    for budget in ["100", "987654321"] {
        let upstream = Upstream::scripted(json_answer(&lead(budget)), Pace::ByteByByte).await;
        let gate = on_data(&upstream).await;
        let mut answers = Vec::new();
        answers.push(gate.get("/api/v1/leads/7/score/").as_role("sales_rep").send().await);
        let bulk = gate.request("POST", "/api/v1/leads/score-bulk/").as_role("sales_rep");
        answers.push(bulk.json(r#"{"lead_ids":[7]}"#).send().await);
        let as_rep = "/api/v1/leads/7/score/?company=demo&role=sales_rep";
        gate.until(|| async { operator(&gate, "GET", as_rep).send().await.status == 200 }).await;
        answers.push(operator(&gate, "GET", as_rep).send().await);
        let past = "/api/v1/leads/7/score/history/";
        gate.until(|| async {
            let past = gate.get(past).as_role("sales_rep").send().await;
            past.text().contains("quality")
        })
        .await;
        answers.push(gate.get(past).as_role("sales_rep").send().await);
        answers.push(
            operator(&gate, "GET", &format!("{past}?company=demo&role=sales_rep")).send().await,
        );
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.text());
            let text = answer.text();
            assert!(text.contains("\"other\"") && !text.contains("completeness"), "{text}");
            assert!(!text.contains(budget) || budget == "100", "{text}");
        }
        told.push(answers.iter().map(|answer| without_moments(answer.text())).collect::<Vec<_>>());
        let admin = gate.get("/api/v1/leads/7/score/").as_role("admin").send().await;
        assert!(admin.text().contains("completeness"), "the entitled see it");
    }
    assert_eq!(told[0], told[1]);
}

/// The canary oracle over everything that the API says, to whomever.
#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_record_leaves_by_the_api() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let gate = on_data(&upstream).await;
    let mut secrets = Vec::new();
    for id in [1, 2, 3] {
        let lead = crm.record("leads", id).unwrap();
        let names = ["email", "ssn", "internal_notes", "phone", "company_name"];
        let texts =
            names.map(|name| lead.get(name).and_then(|value| value.as_text().map(str::to_owned)));
        secrets.extend(texts.into_iter().flatten().filter(|text| text.len() >= 8));
    }
    let canaries = Canaries::new(secrets);
    let mut answers = Vec::new();
    for role in ROLES {
        for id in [1, 2, 3] {
            for end in ["score/", "score/history/", "score"] {
                let target = format!("/api/v1/leads/{id}/{end}");
                answers.push(gate.get(&target).as_role(role).send().await);
                let target = format!("{target}?company=demo&role={role}");
                answers.push(operator(&gate, "GET", &target).send().await);
            }
        }
        let bulk = gate.request("POST", "/api/v1/leads/score-bulk/").as_role(role);
        answers.push(bulk.json(r#"{"lead_ids":[1,2,3]}"#).send().await);
    }
    for target in
        ["/api/v1/leads/1/score/?company=demo", "/api/v1/leads/1/score/history/?company=demo"]
    {
        answers.push(operator(&gate, "GET", target).send().await);
    }
    assert!(answers.iter().filter(|answer| answer.status == 200).count() > 30);
    let answers: Vec<&Answered> = answers.iter().collect();
    canaries.assert_absent(&gate, &answers).await;
    // What was searched for is what the entitled are shown.
    let lead = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
    assert!(
        lead.text()
            .contains(crm.record("leads", 1).unwrap().get("ssn").unwrap().as_text().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_counts_otherwise_at_once() {
    let upstream = Upstream::demo().await;
    let gate = on_data(&upstream).await;
    let total = || async {
        let answer = gate.get("/api/v1/leads/1/score/").as_role("admin").send().await;
        answer.json()["total_score"].as_u64().unwrap()
    };
    let put = |role: &str, company: &str, body: &str| {
        let target = format!("/api/v1/companies/{company}/scoring-config/");
        gate.request("PUT", &target).as_role(role).json(body).send()
    };
    let nothing =
        json!({"weights": {"status": 0, "recent_activity": 0, "age": 0, "completeness": 0,
        "engagement": 0, "custom_fields": 0}})
        .to_string();
    let before = total().await;
    assert!(before > 0);
    put("sales_rep", "demo", &nothing).await.expect_problem(403, "no_route");
    put("admin", "acme", &nothing).await.expect_problem(403, "no_route");
    let faulty = put("admin", "demo", r#"{"weights": {"status": 101}, "weigths": {}}"#).await;
    assert_eq!(faulty.status, 422, "{}", faulty.text());
    let problem = faulty.json();
    assert_eq!(problem["code"], "scoring_refused");
    assert_eq!(problem["correlation_id"].as_str(), faulty.header("X-Correlation-ID"));
    let findings = problem["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(
        findings[0].as_str().unwrap().starts_with("companies/demo/scoring.yaml:2:"),
        "{findings:?}"
    );
    assert_eq!(total().await, before, "nothing has changed");
    assert!(!gate.folder.path().join("policies/companies/demo").exists());

    let kept = "/api/v1/leads/1/score/?company=demo";
    gate.until(|| async { operator(&gate, "GET", kept).send().await.status == 200 }).await;
    assert_eq!(operator(&gate, "GET", kept).send().await.json()["is_stale"], false);

    let done = put("admin", "demo", &nothing).await;
    assert_eq!(done.status, 200, "{}", done.text());
    // It was calculated by other rules, and the CRM cannot be asked.
    let known = operator(&gate, "GET", kept).send().await.json();
    assert_eq!((&known["is_stale"], &known["total_score"]), (&json!(true), &json!(before)));
    let revision = done.json()["revision"].as_str().unwrap().to_owned();
    assert!(done.json()["warnings"][0].as_str().unwrap().contains("add up to 0"));
    assert_eq!(total().await, 0, "the next request counts by them");
    let line = gate.access_lines(1).await.last().unwrap().clone();
    assert_eq!(line["policy_revision"], revision.as_str());

    let target = "/api/v1/companies/demo/scoring-config/";
    let back = operator(&gate, "PUT", target).json("{}").send().await;
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(total().await, before);
    for (company, body, status) in
        [("..%2fx", "{}", 404), ("a%20b", "{}", 422), ("demo", "[]", 422), ("demo", "no", 422)]
    {
        let target = format!("/api/v1/companies/{company}/scoring-config/");
        let answer = operator(&gate, "PUT", &target).json(body).send().await;
        assert_eq!(answer.status, status, "{company} {body}: {}", answer.text());
    }
}

/// A CRM that knows the caller's own lead as `me`: that is no name of a lead.
#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_asked_for_by_its_own_id() {
    let upstream = Upstream::scripted(json_answer(&lead("1000")), Pace::OnePacket).await;
    let gate = on_data(&upstream).await;
    let own: Value = serde_json::from_str(&lead("1000")).unwrap();
    let own =
        gate.get(&format!("/api/v1/leads/{}/score/", own["id"])).as_role("admin").send().await;
    assert_eq!(own.status, 200, "{}", own.text());
    for other in ["me", "0017"] {
        let target = format!("/api/v1/leads/{other}/score/");
        gate.get(&target).as_role("admin").send().await.expect_problem(404, "no_such_lead");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_policies_say_no_there_is_nothing() {
    let upstream = Upstream::demo().await;
    for (api, on_admin) in [("admin", true), ("off", false)] {
        let gate = gate(&upstream)
            .file("policies/scoring.yaml", &format!("leads: [lead]\napi: {api}\n"))
            .start()
            .await;
        let data = gate.get("/api/v1/leads/1/score/").as_role("admin").send().await;
        data.expect_problem(403, "no_route");
        let lead = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
        assert!(lead.header("X-Lead-Score").is_some());
        let target = "/api/v1/leads/1/score/?company=demo";
        gate.until(|| async {
            let answer = operator(&gate, "GET", target).send().await;
            answer.status == if on_admin { 200 } else { 404 }
        })
        .await;
    }
}
