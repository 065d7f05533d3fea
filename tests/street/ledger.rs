//! The audit ledger through the street: who was shown what is on disk before the answer is out.

use fieldgate::audit::{self, AuditEntry, Outcome, PublicKey, Query, SCHEMA};
use fieldgate::demo::crm::Crm;
use fieldgate::store::Visitor;

use super::harness::*;

const REQUIRED: &str = "data_dir: data\naudit: { mode: required }";

fn with_ledger(upstream: &Upstream, config: &str) -> GateBuilder {
    gate(upstream).file("data/.keep", "").config(config)
}

fn visitor(gate: &Gate) -> Visitor {
    Visitor::reader(&gate.folder.path().join("data"), &[SCHEMA]).unwrap()
}

fn entries(gate: &Gate) -> Vec<AuditEntry> {
    let found = visitor(gate).read(|connection| audit::query(connection, &Query::default()));
    found.unwrap().into_iter().map(|stored| stored.entry.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_in_the_ledger_when_the_client_has_it() {
    let upstream = Upstream::demo().await;
    let gate = with_ledger(&upstream, REQUIRED).start().await;
    let answer = gate.get("/api/v1/leads/1/?status=canary@example.com").as_role("sales_rep").send();
    let answer = answer.await;
    assert_eq!(answer.status, 200);
    let entries = entries(&gate);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0];
    assert_eq!(entry.subject.as_deref(), Some("user-sales_rep"));
    assert_eq!(entry.roles, ["sales_rep"]);
    assert_eq!(entry.tenant.as_deref(), Some("demo"));
    assert_eq!(entry.object_names().collect::<Vec<_>>(), ["lead/1"]);
    assert_eq!((entry.status, entry.outcome), (Some(200), Some(Outcome::Sending)));
    assert_eq!(entry.route.as_deref(), Some("/api/v1/leads/{id}/"));
    assert_eq!(entry.correlation_id, answer.header("X-Correlation-ID").unwrap());
    assert!(entry.masked > 0 && entry.hidden > 0);
    let told = |field: &str, act: &str| {
        let found = entry.fields.iter().find(|told| told.field == field && told.act == act);
        let found = found.unwrap_or_else(|| panic!("{field} {act}: {:?}", entry.fields));
        let from = found.origin.find("roles/").unwrap_or_default();
        (found.count, found.rule.as_str(), &found.origin[from..])
    };
    assert_eq!(told("$..phone", "masked"), (2, "sales_rep:$..phone", "roles/sales_rep.yaml:9"));
    assert_eq!(told("$..ssn", "hidden"), (1, "sales_rep:$..ssn", "roles/sales_rep.yaml:10"));
    assert_eq!(told("$..first_name", "shown"), (1, "", ""));
    let sum = |act| -> u64 {
        let of = entry.fields.iter().filter(|told| told.act == act);
        of.map(|told| told.count).sum()
    };
    assert_eq!((sum("masked"), sum("hidden")), (entry.masked, entry.hidden));
    let by_rule = r#"fieldgate_fields_hidden_total{resource="lead",rule="sales_rep:$..ssn"} 1"#;
    gate.until(async || gate.metrics().await.contains(by_rule)).await;
    assert_eq!(entry.policy_revision.as_deref().map(str::len), Some(12));

    let by_http = Ask::new(gate.admin, "GET", "/api/v1/audit/masking-logs/?user_id=user-sales_rep");
    let by_http = by_http.send().await.json();
    assert_eq!(by_http["results"][0]["entry"]["subject"], "user-sales_rep");
    assert_eq!(by_http["next_after"], serde_json::Value::Null);
    let future = "/api/v1/audit/masking-logs/?date_from=2999-01-01";
    let none = Ask::new(gate.admin, "GET", future).send().await.json();
    assert_eq!(none["results"], serde_json::json!([]));
    for wrong in ["?date_from=yesterday", "?nonsense=1", "?limit=x"] {
        let target = format!("/api/v1/audit/masking-logs/{wrong}");
        assert_eq!(Ask::new(gate.admin, "GET", &target).send().await.status, 400, "{wrong}");
    }

    // No value of the record, and nothing of the query, is anywhere in the file.
    let direct =
        Ask::new(upstream.address, "GET", "/api/v1/leads/1/").as_role("admin").send().await;
    let record = direct.json();
    let database = std::fs::read(gate.folder.path().join("data/fieldgate.db")).unwrap();
    let log = std::fs::read(gate.folder.path().join("data/fieldgate.db-wal")).unwrap();
    for canary in ["email", "phone", "ssn"].map(|name| record[name].as_str().unwrap().to_owned()) {
        for bytes in [&database, &log] {
            assert!(
                !bytes.windows(canary.len()).any(|window| window == canary.as_bytes()),
                "{canary}"
            );
        }
    }
    assert!(!log.windows(6).any(|window| window == b"canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_names_everybody_in_it() {
    let upstream = Upstream::demo().await;
    let gate = with_ledger(&upstream, REQUIRED).start().await;
    let list = gate.get("/api/v1/leads/?page_size=3").as_role("finance").send().await.json();
    let ids: Vec<String> = list["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lead| format!("lead/{}", lead["id"]))
        .collect();
    assert_eq!(ids.len(), 3);
    let entries = entries(&gate);
    assert_eq!(entries[0].object_names().collect::<Vec<_>>(), ids);
    assert_eq!(entries[0].object_count, 3);
    let by_default = entries[0].fields.iter().find(|told| told.field == "*").unwrap();
    assert_eq!(by_default.rule, "finance:default");
    assert!(by_default.origin.ends_with("roles/finance.yaml:7"), "{by_default:?}");
    let of = Query { object: Some(ids[1].clone()), ..Query::default() };
    let found = visitor(&gate).read(|connection| audit::query(connection, &of)).unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_has_its_entry_and_strangers_have_none() {
    let upstream = Upstream::crm(Crm::with_leads(5_000)).await;
    let gate = with_ledger(&upstream, REQUIRED).start().await;
    let streamed = gate.get("/api/v1/leads/?page_size=10000").as_role("support").send().await;
    assert!(streamed.complete);
    let write = gate.request("PATCH", "/api/v1/leads/1/").as_role("support");
    assert_eq!(write.json(r#"{"ssn":"1"}"#).send().await.status, 403);
    assert_eq!(gate.get("/api/v1/leads/1/").send().await.status, 401);
    let folder = gate.stop_and_keep().await;
    let folder = folder.path();
    let visitor = Visitor::reader(&folder.join("data"), &[SCHEMA]).unwrap();
    let found = visitor.read(|connection| audit::query(connection, &Query::default())).unwrap();
    let outcomes: Vec<_> = found
        .iter()
        .map(|stored| stored.entry.as_ref().unwrap())
        .map(|entry| (entry.outcome.unwrap(), entry.reason.as_deref()))
        .collect();
    let streamed = found[1].entry.as_ref().unwrap();
    assert_eq!((streamed.objects.len(), streamed.object_count), (100, 5_000));
    assert!(!streamed.fields.is_empty());
    assert_eq!(
        outcomes,
        [
            (Outcome::Streaming, None),
            (Outcome::Sent, None),
            (Outcome::Refused, Some("field_not_editable")),
        ]
    );
    let ring = fieldgate::mask::load(&folder.join("keys.yaml")).unwrap();
    let key = |id: &str| PublicKey::of(&ring, Some(id)).map(|(_, key)| key);
    let report = visitor.read(|connection| audit::verify(connection, Some(&key), None)).unwrap();
    assert_eq!(report.faults, []);
    assert_eq!(report.entries, 3);
}

/// The store is taken away from under a running gate: another process holds the file.
#[tokio::test(flavor = "multi_thread")]
async fn no_audit_no_answer() {
    let upstream = Upstream::demo().await;
    for (config, expect) in [(REQUIRED, 503), ("data_dir: data", 200)] {
        let gate = with_ledger(&upstream, config).start().await;
        let first = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
        assert_eq!(first.status, 200);
        gate.until(|| async { !entries(&gate).is_empty() }).await;
        let database = gate.folder.path().join("data/fieldgate.db");
        rusqlite::Connection::open(database)
            .unwrap()
            .execute_batch("DROP TABLE audit_entry")
            .unwrap();
        let answer = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
        assert_eq!(answer.status, expect, "{config}");
        if expect == 503 {
            assert_eq!(answer.json()["code"], "audit_unavailable");
            assert!(answer.header("Retry-After").is_some());
            assert!(!answer.text().contains('@'), "nothing of the record");
        }
        gate.until(|| async {
            let scrape = gate.metrics().await;
            !scrape.contains("fieldgate_audit_entries_total{outcome=\"failed\"} 0\n")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_data_folder_there_is_no_ledger() {
    let upstream = Upstream::demo().await;
    let gate = gate(&upstream).start().await;
    assert_eq!(gate.get("/api/v1/leads/1/").as_role("admin").send().await.status, 200);
    assert!(!gate.metrics().await.contains("fieldgate_store_healthy"));
    let answer = Ask::new(gate.admin, "GET", "/api/v1/audit/masking-logs/").send().await;
    assert_eq!(answer.status, 404);
}
