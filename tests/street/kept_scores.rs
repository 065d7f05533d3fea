//! Scores that are kept: what tells of them later, and to whom.

use fieldgate::demo::crm::Crm;
use serde_json::{Value, json};

use super::canary::Canaries;
use super::harness::*;

/// `rep` may not see budgets.
const REP: (&str, &str) =
    ("policies/roles/sales_rep.yaml", "role: sales_rep\ndefault: view\nlead: { budget: hidden }\n");

/// Only the status counts, so that a write can change the quality.
const BY_STATUS: &str = "leads: [lead]\nroles: { marketing: bucket, support: withhold }\n\
    weights: { status: 100, recent_activity: 0, age: 0, completeness: 0, engagement: 0, custom_fields: 0 }\n";

pub(crate) const STORE: &str = "data_dir: data";

/// The history of a lead as an operator reads it.
pub(crate) async fn past(gate: &Gate, lead: u64) -> Vec<Value> {
    let target = format!("/api/v1/leads/{lead}/score/history/?company=demo");
    let answer = Ask::new(gate.admin, "GET", &target).send().await;
    if answer.status != 200 {
        return Vec::new();
    }
    answer.json()["results"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_lead_past_the_hold_limit_has_its_last_known_score() {
    let note = "n".repeat(20_000);
    let lead = format!(
        r#"{{"id":7,"status":"qualified","created_at":"2000-01-01","email":"a@example.com","budget":424242,"notes":"{note}"}}"#
    );
    for pace in [Pace::OnePacket, Pace::ByteByByte] {
        let upstream = Upstream::scripted(json_answer(&lead), pace).await;
        let gate = gate(&upstream)
            .file(
                "policies/scoring.yaml",
                "leads: [lead]\nroles: { marketing: bucket, support: withhold }\n",
            )
            .file(REP.0, REP.1)
            .config("limits: { hold: 1KiB }")
            .start()
            .await;
        let get = |role| gate.get("/api/v1/leads/7/").as_role(role).send();
        let first = get("admin").await;
        assert_eq!(first.header("Transfer-Encoding"), Some("chunked"));
        assert_eq!(first.header("X-Lead-Score"), None, "nothing is known yet");
        gate.until(|| async { get("admin").await.header("X-Lead-Score-Age").is_some() }).await;
        let admin = get("admin").await;
        // qualified 20, old 3, two of seven fields 5.71.
        assert_eq!(admin.header("X-Lead-Score"), Some("28"), "{}", admin.head);
        let factors = admin.header("X-Lead-Score-Factors").unwrap();
        assert!(factors.contains("completeness=5.71"), "{factors}");
        assert!(admin.header("X-Lead-Score-Age").unwrap().parse::<u64>().unwrap() < 30);
        let rep = get("sales_rep").await;
        let factors = rep.header("X-Lead-Score-Factors").unwrap();
        assert!(factors.contains("other=5.71") && !factors.contains("completeness"), "{factors}");
        assert!(!rep.text().contains("424242"));
        let marketing = get("marketing").await;
        assert_eq!(marketing.header("X-Lead-Score"), None);
        assert_eq!(marketing.header("X-Lead-Score-Quality"), Some("COLD"));
        let support = get("support").await;
        assert!(!support.head.to_ascii_lowercase().contains("x-lead-score"), "{}", support.head);
        assert!(support.complete);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_quality_is_an_event_that_each_sink_sees_by_its_role() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let sinks: String = ["admin", "marketing", "support"]
        .iter()
        .map(|role| format!("    - file: {{ name: {role}, role: {role}, path: {role}.jsonl }}\n"))
        .collect();
    let gate = gate(&upstream)
        .file("policies/scoring.yaml", BY_STATUS)
        .file("data/.keep", "")
        .config(&format!("{STORE}\nevents:\n  sinks:\n{sinks}"))
        .start()
        .await;
    let patch = |status: &str| {
        let body = format!("{{\"status\":\"{status}\"}}");
        gate.request("PATCH", "/api/v1/leads/1/").as_role("admin").json(&body).send()
    };
    let lines = |role: &str| -> Vec<Value> {
        let path = gate.folder.path().join(format!("data/{role}.jsonl"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let changes = |role: &str| -> Vec<Value> {
        let is_change =
            |event: &Value| event["type"].as_str().unwrap().ends_with("lead.score_changed");
        lines(role).into_iter().filter(is_change).collect()
    };
    // Scores are kept behind the answers, so each is waited for: what is overtaken is no news.
    for (status, kept, told) in [("lost", 1, 0), ("lost", 1, 0), ("converted", 2, 1)] {
        let answer = patch(status).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("X-Lead-Score").is_some());
        gate.until(|| async {
            past(&gate, 1).await.len() == kept && changes("admin").len() == told
        })
        .await;
    }
    let correlation = patch("lost").await.header("X-Correlation-ID").unwrap().to_owned();
    gate.until(|| async { changes("admin").len() == 2 && changes("marketing").len() == 2 }).await;
    let told = changes("admin");
    assert_eq!(told[0]["subject"], "lead/1");
    let up = json!({"old_quality":"COLD","new_quality":"HOT","total_score":100});
    assert_eq!(told[0]["data"], up);
    let down = json!({"old_quality":"HOT","new_quality":"COLD","total_score":0});
    assert_eq!(told[1]["data"], down);
    assert_eq!(told[1]["correlationid"], correlation.as_str());
    let bucket = json!({"old_quality":"COLD","new_quality":"HOT"});
    assert_eq!(changes("marketing")[0]["data"], bucket, "no number");
    // Whoever is told no scores is not told that one has changed.
    gate.until(|| async { lines("support").len() == 5 }).await;
    assert!(changes("support").is_empty(), "{:?}", changes("support"));

    let past = past(&gate, 1).await;
    let totals: Vec<u64> = past.iter().map(|past| past["total_score"].as_u64().unwrap()).collect();
    assert_eq!(totals, [0, 100, 0], "a score that stays the same is no news");
    assert!(past.iter().all(|past| past["cause"] == "write"));

    let lead = crm.record("leads", 1).unwrap();
    let secret = |name: &str| lead.get(name).unwrap().as_text().unwrap().to_owned();
    let canaries = Canaries::new(["email", "ssn", "internal_notes", "phone"].map(secret));
    canaries.assert_not_in("what marketing gets", &bytes(&changes("marketing")));
    canaries.assert_not_in("what admin gets of scores", &bytes(&told));
    let folder = gate.stop_and_keep().await;
    let store = rusqlite::Connection::open(folder.path().join("data/fieldgate.db")).unwrap();
    let mut statement = store
        .prepare("SELECT group_concat(lead || kept || quality) FROM lead_score_history")
        .unwrap();
    let kept: String = statement.query_row([], |row| row.get(0)).unwrap();
    assert!(kept.contains("status `lost`"), "{kept}");
    canaries.assert_not_in("the history", kept.as_bytes());
}

fn bytes(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(|event| event.to_string().into_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_passes_by_counts_at_once() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).file("data/.keep", "").config(STORE).start().await;
    let get = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
    let before: u64 = get.header("X-Lead-Score").unwrap().parse().unwrap();
    gate.until(|| async { past(&gate, 1).await.len() == 1 }).await;
    let at = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
    let at = at.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = format!(r#"{{"type":"call","subject":"call","lead":1,"at":"{at}"}}"#);
    let made =
        gate.request("POST", "/api/v1/activities/").as_role("admin").json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    // Nobody reads the lead.
    gate.until(|| async { past(&gate, 1).await.len() == 2 }).await;
    let past = past(&gate, 1).await;
    assert_eq!(past[0]["cause"], "activity");
    assert_eq!(past[0]["total_score"], before + 2);
    let words = past[0]["components"][1]["explanation"].as_str().unwrap();
    assert_eq!(words, "1 activity in 30 days, observed");

    // Kept by lead and time.
    let folder = gate.stop_and_keep().await;
    let store = rusqlite::Connection::open(folder.path().join("data/fieldgate.db")).unwrap();
    let kept: String = store
        .query_row(
            "SELECT tenant || ' ' || resource || ' ' || lead FROM lead_activities",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(kept, "demo lead 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_are_asked_of_the_crm_where_the_policy_says_so() {
    let upstream = Upstream::demo().await;
    let at = time::OffsetDateTime::now_utc() - time::Duration::days(2);
    let at = at.format(&time::format_description::well_known::Rfc3339).unwrap();
    for number in 0..3 {
        let body = format!(r#"{{"type":"call","subject":"c{number}","lead":1,"at":"{at}"}}"#);
        let post = Ask::new(upstream.address, "POST", "/api/v1/activities/").as_role("admin");
        assert_eq!(post.json(&body).send().await.status, 201);
    }
    let scoring = "leads: [lead]\nactivities:\n  fetch: { resource: activity, path: \"/api/v1/activities/?lead={id}&page_size=100\", records: \"$.results[*]\", at: at }\n";
    let gate = gate(&upstream)
        .file("policies/scoring.yaml", scoring)
        .file("data/.keep", "")
        .file("crm.token", "Bearer demo-admin")
        .config(&format!(
            "{STORE}\nscores: {{ service: [{{ company: demo, value: {{ file: crm.token }} }}] }}"
        ))
        .start()
        .await;
    let explanation = || async {
        let target = "/api/v1/leads/1/score/?company=demo";
        let answer = Ask::new(gate.admin, "GET", target).send().await;
        answer.json()["components"][1]["explanation"].as_str().unwrap_or_default().to_owned()
    };
    let first = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
    assert_eq!(first.status, 200);
    gate.until(|| async { explanation().await == "3 activities in 30 days, by the CRM" }).await;
    let asked = upstream.crm.as_ref().unwrap().requests();
    let asked = asked.iter().filter(|request| request.target.contains("/activities/?lead=1&"));
    // Once for the lead that passed, and once for the operator where that was sooner.
    assert!((1..=2).contains(&asked.count()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_is_deleted_has_no_score() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).file("data/.keep", "").config(STORE).start().await;
    gate.get("/api/v1/leads/1/").as_role("admin").send().await;
    gate.until(|| async { past(&gate, 1).await.len() == 1 }).await;
    let gone = gate.request("DELETE", "/api/v1/leads/1/").as_role("admin").send().await;
    assert_eq!(gone.status, 204);
    gate.until(|| async { past(&gate, 1).await.is_empty() }).await;
    let answer = Ask::new(gate.admin, "GET", "/api/v1/leads/1/score/?company=demo").send().await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("no_such_lead")));
}

/// A CRM whose list is large is scored while it streams, and all of it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_list_is_kept_up_to_a_bound() {
    let upstream = Upstream::crm(Crm::with_leads(1_200)).await;
    let gate = gate(&upstream).file("data/.keep", "").config(STORE).start().await;
    let list = gate.get("/api/v1/leads/?page_size=10000").as_role("admin").send().await;
    assert!(list.complete);
    let counted = || async {
        let scrape = gate.metrics().await;
        let leads = scrape.lines().filter_map(|line| line.strip_prefix("fieldgate_scored_leads{"));
        leads.filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok()).sum::<u64>()
    };
    gate.until(|| async { counted().await == 1000 }).await;
}
