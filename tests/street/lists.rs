//! What comes through for each shipped role, compared with the upstream's own bytes.

use std::fmt::Write as _;

use fieldgate::demo::crm::Crm;

use super::canary::Canaries;
use super::harness::*;
use super::raw::Differences;

const COLLECTIONS: [&str; 5] = ["leads", "contacts", "deals", "accounts", "activities"];

async fn direct(upstream: &Upstream, target: &str) -> Answered {
    let answered = Ask::new(upstream.address, "GET", target).as_role("admin").send().await;
    assert_eq!(answered.status, 200, "{target}");
    answered
}

/// Values long enough for the oracle that stand at no place where the role may see them.
fn secrets(found: &Differences) -> Vec<String> {
    let secret = found.withheld.difference(&found.shown);
    secret.filter(|value| value.len() >= 8).cloned().collect()
}

/// The table below is read by people: it must say what `policies/` says.
#[tokio::test(flavor = "multi_thread")]
async fn what_each_role_is_not_shown() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    let mut table = String::new();
    for collection in COLLECTIONS {
        let target = format!("/api/v1/{collection}/?page_size=50");
        let whole = direct(&upstream, &target).await;
        for role in ROLES {
            let seen = gate.get(&target).as_role(role).send().await;
            assert_eq!((seen.status, seen.complete), (200, true), "{role} {target}");
            let found = Differences::between(body(&whole), body(&seen));
            writeln!(table, "{collection} as {role}").unwrap();
            for (what, places) in [("masked", &found.masked), ("hidden", &found.hidden)] {
                for place in places {
                    writeln!(table, "  {what} {place}").unwrap();
                }
            }
        }
    }
    insta::assert_snapshot!(table);
}

/// The bodies differ in `next`, which names the host that was asked; so only `results` counts.
fn body(answered: &Answered) -> &str {
    let text = answered.text();
    text.split_once("\"results\":").unwrap().1.strip_suffix('}').unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withheld_is_nowhere_to_be_found() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    for collection in COLLECTIONS {
        let list = format!("/api/v1/{collection}/?page_size=10");
        for target in [format!("/api/v1/{collection}/3/"), list] {
            let whole = direct(&upstream, &target).await;
            for role in ROLES {
                let seen = gate.get(&target).as_role(role).send().await;
                assert_eq!(seen.status, 200, "{role} {target}");
                let found = if target.ends_with("3/") {
                    Differences::between(whole.text(), seen.text())
                } else {
                    Differences::between(body(&whole), body(&seen))
                };
                let secrets = secrets(&found);
                if role == "admin" {
                    assert!(secrets.is_empty(), "an entitled role sees everything");
                } else if !secrets.is_empty() {
                    Canaries::new(secrets).assert_absent(&gate, &[&seen]).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_leads_are_ten_pages_in_one() {
    let upstream = Upstream::crm(Crm::with_leads(5_000)).await;
    let gate = gate(&upstream).start().await;
    let all = "/api/v1/leads/?page_size=10000";
    let whole = direct(&upstream, all).await;
    assert!(whole.body.len() > 5_000_000);
    for role in ROLES {
        let seen = gate.get(all).as_role(role).send().await;
        assert!(seen.complete, "{role}");
        let streams = seen.header("Transfer-Encoding") == Some("chunked");
        assert_eq!(streams, seen.body.len() > 1 << 20, "{role}: a large answer streams");
        let mut pages = Vec::new();
        for number in 1..=10 {
            let page = format!("/api/v1/leads/?page_size=500&page={number}");
            let page = gate.get(&page).as_role(role).send().await;
            assert!(page.header("Content-Length").is_some(), "{role}: a small answer is held");
            let records = body(&page).trim_start_matches('[').trim_end_matches(']');
            pages.push(records.to_owned());
        }
        assert!(body(&seen) == format!("[{}]", pages.join(",")), "{role}");
        if role == "sales_rep" {
            let found = Differences::between(body(&whole), body(&seen));
            assert!(found.masked.contains("email") && found.hidden.contains("ssn"));
            for secret in secrets(&found).iter().step_by(500) {
                assert!(!seen.text().contains(secret.as_str()), "{secret}");
            }
        }
    }
}

const AWKWARD: &str = "{ \"id\" : 9007199254740993 ,\r\n\t\"a\":1.10, \"b\":1e400,\"c\":-0,\"d\":-0.0e-0,\
    \"e\":[],\"f\":{},\"g\":[ ],\"h\":{ },\"i\":[[],{}],\"j\":123456789012345678901234567890,\
    \"k\":\"\\u00e9\\/\\ud83d\\ude00 \u{1f680}\",\"l\":null,\"\":\"\",\"z\":1,\"y\":2,\
    \"company_name\":\"x\",\"ssn\":\"canary-ssn\"}";

#[tokio::test(flavor = "multi_thread")]
async fn awkward_values_keep_every_byte() {
    for pace in PACES {
        let upstream = Upstream::scripted(json_answer(AWKWARD), pace).await;
        let gate = gate(&upstream).start().await;
        let whole = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
        assert_eq!(whole.text(), AWKWARD);
        for role in ["sales_rep", "marketing", "support"] {
            let seen = gate.get("/api/v1/leads/1/").as_role(role).send().await;
            assert_eq!(seen.text(), AWKWARD.replace(",\"ssn\":\"canary-ssn\"", ""), "{role}");
        }
        let seen = gate.get("/api/v1/leads/1/").as_role("finance").send().await;
        assert_eq!(seen.text(), "{ \"id\" : 9007199254740993 ,\"company_name\":\"x\"}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_found_whatever_their_spelling_place_and_type() {
    let cases = [
        (r#"{"em\u0061il":"canary-1@x.org"}"#, r#"{"em\u0061il":"ca******@x.org"}"#),
        (r#"{"ssn":"canary-1x","s\u0073n":"canary-2x","ssn":"canary-3x"}"#, "{}"),
        (r#"{"ssn":{"deep":["canary-1x"]},"a":1}"#, r#"{"a":1}"#),
        (r#"{"annual_revenue":1234567890}"#, r#"{"annual_revenue":1234567890}"#),
        (
            r#"{"x":[{"y":{"phone":"555-0142-9876","ssn":"canary-1x"}}]}"#,
            r#"{"x":[{"y":{"phone":"***-****-9876"}}]}"#,
        ),
        (r#"{"custom_fields":{"a":"canary-1x"}}"#, r#"{"custom_fields":{}}"#),
        (r#"{"email":["canary-1@x.org",{"a":"canary-2"}]}"#, r#"{"email":"[REDACTED]"}"#),
        (r#"{"phone":null,"email":""}"#, r#"{"phone":null,"email":""}"#),
    ];
    for pace in PACES {
        let upstream = Upstream::each(move |number| json_answer(cases[number].0), pace).await;
        let gate = gate(&upstream).start().await;
        for (body, expect) in cases {
            let seen = gate.get("/api/v1/leads/1/").as_role("sales_rep").send().await;
            assert_eq!(seen.text(), expect, "{body}");
            Canaries::new(["canary-1", "canary-2", "canary-3"])
                .assert_absent(&gate, &[&seen])
                .await;
        }
    }
}
