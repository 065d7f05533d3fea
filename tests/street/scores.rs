//! Lead scores on answers, and what they must not tell.

use crate::harness::{Gate, Pace, Upstream, gate, json_answer};

/// `rep` may not see budgets.
const ROLES: [(&str, &str); 2] = [
    ("policies/roles/admin.yaml", "role: admin\ndefault: edit\n"),
    ("policies/roles/sales_rep.yaml", "role: sales_rep\ndefault: view\nlead: { budget: hidden }\n"),
];

const SCORING: &str = "leads: [lead]\nmember: _score\n";

async fn scored(upstream: &Upstream) -> Gate {
    let mut builder = gate(upstream).file("policies/scoring.yaml", SCORING);
    for (name, text) in ROLES {
        builder = builder.file(name, text);
    }
    builder.start().await
}

fn lead(id: u32, budget: &str) -> String {
    format!(
        r#"{{"id":{id},"status":"qualified","created_at":"2000-01-01","email":"a@example.com","phone":"1","company_name":"c","industry":"i","annual_revenue":5,"budget":{budget},"title":"t"}}"#
    )
}

fn score_headers(head: &str) -> Vec<String> {
    let lines = head.split("\r\n").map(str::to_ascii_lowercase);
    lines.filter(|line| line.starts_with("x-lead-score") && !line.contains("-at:")).collect()
}

#[tokio::test]
async fn one_lead_carries_its_score() {
    for pace in [Pace::OnePacket, Pace::ByteByByte] {
        let upstream = Upstream::scripted(json_answer(&lead(7, "100")), pace).await;
        let gate = scored(&upstream).await;
        let answer = gate
            .get("/api/v1/leads/7/")
            .as_role("admin")
            .header("X-Lead-Score", "100")
            .send()
            .await;
        // qualified 20, old 3, all seven fields 20.
        assert_eq!(answer.header("X-Lead-Score"), Some("43"), "{}", answer.head);
        assert_eq!(answer.header("X-Lead-Score-Quality"), Some("COOL"));
        assert_eq!(answer.header("X-Lead-Score-Version"), Some("v2"));
        assert!(answer.header("X-Lead-Score-Factors").unwrap().starts_with("status=20"));
        assert!(answer.header("X-Lead-Score-Calculated-At").is_some());
        assert!(answer.text().ends_with(r#","_score":{"total":43,"quality":"COOL"}}"#));
        let seen = upstream.seen.lock().unwrap().concat().to_ascii_lowercase();
        assert!(!seen.contains("x-lead-score"), "the client's own goes nowhere");
    }
}

#[tokio::test]
async fn a_role_can_have_the_member_without_the_headers() {
    let upstream = Upstream::scripted(json_answer(&lead(7, "100")), Pace::OnePacket).await;
    let scoring = format!("{SCORING}without_headers: [sales_rep]\n");
    let mut builder = gate(&upstream).file("policies/scoring.yaml", &scoring);
    for (name, text) in ROLES {
        builder = builder.file(name, text);
    }
    let gate = builder.start().await;
    let ask = |role| gate.get("/api/v1/leads/7/").as_role(role).send();
    assert_eq!(ask("admin").await.header("X-Lead-Score"), Some("43"));
    let answer = ask("sales_rep").await;
    assert_eq!(score_headers(&answer.head), [""; 0], "{}", answer.head);
    assert!(answer.text().contains(r#""_score":{"total":43"#));
}

#[tokio::test]
async fn a_list_carries_the_scores_of_its_leads() {
    let body = format!(
        r#"{{"count":2,"next":null,"previous":null,"results":[{},{}]}}"#,
        lead(17, "100"),
        r#"{"id":18,"status":"lost"}"#
    );
    let upstream = Upstream::scripted(json_answer(&body), Pace::ByteByByte).await;
    let gate = scored(&upstream).await;
    let answer = gate.get("/api/v1/leads/").as_role("admin").send().await;
    assert_eq!(answer.header("X-Lead-Scores"), Some("17=43;COOL, 18=0;COLD"), "{}", answer.head);
    assert_eq!(answer.header("X-Lead-Score"), None);
    assert!(answer.text().contains(r#""status":"lost","_score":{"total":0,"quality":"COLD"}}]"#));
}

/// The promise: whoever may not see a field learns nothing of its value from the score.
#[tokio::test]
async fn leads_that_differ_in_what_a_role_may_not_see_look_alike() {
    let mut heads = Vec::new();
    for budget in ["100", "999999999"] {
        let upstream = Upstream::scripted(json_answer(&lead(7, budget)), Pace::OnePacket).await;
        let gate = scored(&upstream).await;
        let rep = gate.get("/api/v1/leads/7/").as_role("sales_rep").send().await;
        let factors = rep.header("X-Lead-Score-Factors").unwrap().to_owned();
        assert!(factors.contains("other=") && !factors.contains("completeness"), "{factors}");
        assert!(!rep.text().contains(budget));
        heads.push(score_headers(&rep.head));
        let admin = gate.get("/api/v1/leads/7/").as_role("admin").send().await;
        let factors = admin.header("X-Lead-Score-Factors").unwrap();
        assert!(factors.contains("completeness=20"), "{factors}");
    }
    assert_eq!(heads[0], heads[1]);
    assert!(heads[0].len() >= 4, "{heads:?}");
}

#[tokio::test]
async fn activities_that_pass_by_count() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    let total = async || -> u32 {
        let answer = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
        answer.header("X-Lead-Score").unwrap().parse().unwrap()
    };
    let before = total().await;
    let at = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
    let at = at.format(&time::format_description::well_known::Rfc3339).unwrap();
    for number in 0..5 {
        let body = format!(r#"{{"type":"call","subject":"call {number}","lead":1,"at":"{at}"}}"#);
        let made =
            gate.request("POST", "/api/v1/activities/").as_role("admin").json(&body).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    // Five of ten activities are half of 20.
    assert_eq!(total().await, before + 10);
    let marketing = gate.get("/api/v1/leads/1/").as_role("marketing").send().await;
    assert_eq!(marketing.header("X-Lead-Score"), None, "a bucket, no number");
    assert!(marketing.header("X-Lead-Score-Quality").is_some());
    let support = gate.get("/api/v1/leads/1/").as_role("support").send().await;
    assert!(score_headers(&support.head).is_empty(), "withheld");
}
