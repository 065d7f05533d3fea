//! Writes to the demo CRM, and what receivers get to know of them.

use fieldgate::demo::crm::Crm;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::scene::{Stage, demo_crm, line};

fn stage_of(crm: &Crm, deal: u64) -> String {
    let deal = crm.record("deals", deal).unwrap();
    deal.get("stage").unwrap().as_text().unwrap().to_owned()
}

/// A stage that is not this one, and means nothing more.
fn other_than(stage: &str) -> &'static str {
    if stage == "proposal" { "negotiation" } else { "proposal" }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_tells_the_old_and_the_new_stage() {
    let (address, crm) = demo_crm().await;
    let receiver = Receiver::start().await;
    let sinks = receiver.sink("billing", "sales_rep");
    let scene = Stage { sinks: &sinks, ..Stage::before(address) }.set();
    let mut client = scene.client().await;
    let old = stage_of(&crm, 7);
    let new = other_than(&old);

    client.done("GET /api/v1/deals/7/", "look", "").await;
    client.done("PATCH /api/v1/deals/7/", "req-1", &format!(r#"{{"stage":"{new}"}}"#)).await;
    let events = receiver.events(2).await;
    let lines: Vec<String> = events.iter().map(line).collect();
    assert_eq!(lines, ["deal.updated deal/7", "deal.stage_changed deal/7"]);
    for (number, event) in (1..).zip(&events) {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], "/fieldgate");
        assert_eq!(event["correlationid"], "req-1");
        assert_eq!(event["tenant"], "t");
        assert_eq!(event["actor"], "admin");
        assert_eq!(event["sequence"], format!("{number:020}"));
        assert_eq!(event["data"]["record"]["stage"], new, "{event}");
    }
    assert_eq!(events[1]["data"]["old_stage"], old);
    assert_eq!(events[1]["data"]["new_stage"], new);
    assert_eq!(events[1]["data"].get("unknown"), None);

    // What the answer to the write said is what the next one is held against.
    client.done("PATCH /api/v1/deals/7/", "req-2", &format!(r#"{{"stage":"{old}"}}"#)).await;
    let events = receiver.events(4).await;
    assert_eq!(events[3]["data"]["old_stage"], new);
    assert_eq!(events[3]["data"]["new_stage"], old);
    // And a write that leaves the stage alone changes no stage.
    client.done("PATCH /api/v1/deals/7/", "req-3", r#"{"currency":"EUR"}"#).await;
    assert_eq!(line(&receiver.events(5).await[4]), "deal.updated deal/7");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_and_go() {
    let (address, _) = demo_crm().await;
    let receiver = Receiver::start().await;
    let sinks = receiver.sink("billing", "admin");
    let scene = Stage { sinks: &sinks, ..Stage::before(address) }.set();
    let mut client = scene.client().await;
    let made = client.done("POST /api/v1/leads/", "make", r#"{"last_name":"Okafor"}"#).await;
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let subject = format!("lead/{}", made["id"]);
    client.done(&format!("DELETE /api/v1/leads/{}/", made["id"]), "drop", "").await;
    let events = receiver.events(2).await;
    let lines: Vec<String> = events.iter().map(line).collect();
    assert_eq!(lines, [format!("lead.created {subject}"), format!("lead.deleted {subject}")]);
    assert_eq!(events[0]["data"]["record"], made);
    assert_eq!(events[1]["data"], json!({}), "an answer without a body shows no record");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_record_is_fetched_as_the_caller() {
    let (address, crm) = demo_crm().await;
    let receiver = Receiver::start().await;
    let sinks = receiver.sink("billing", "admin");
    let scene = Stage { sinks: &sinks, ..Stage::before(address) }.set();
    let mut client = scene.client().await;
    let old = stage_of(&crm, 9);
    let body = format!(r#"{{"stage":"{}"}}"#, other_than(&old));
    client.done("POST /api/v1/deals/9/change_stage/", "move", &body).await;
    let events = receiver.events(2).await;
    assert_eq!(line(&events[1]), "deal.stage_changed deal/9");
    let asked: Vec<String> = crm
        .requests()
        .iter()
        .map(|head| {
            let header = |name| head.headers.get(name).unwrap().to_str().unwrap();
            let (token, id) = (header("authorization"), header("x-correlation-id"));
            format!("{} {} {token} {id}", head.method, head.target)
        })
        .collect();
    assert_eq!(
        asked,
        [
            "GET /api/v1/deals/9/ Bearer demo-admin move",
            "POST /api/v1/deals/9/change_stage/ Bearer demo-admin move",
        ]
    );
    assert_eq!(events[1]["data"]["old_stage"], old);
    assert_eq!(events[1]["data"]["new_stage"], other_than(&old));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_saw_is_marked() {
    const DEAL: &str = r#"
resource: deal
id: $.id
routes:
  - { methods: [GET, PATCH], path: "/api/v1/deals/{id}/", records: "$" }
emits:
  - when: { field: stage, operator: changed }
    if_unknown: emit
    event: deal.stage_changed
    data: { old_stage: old.stage, new_stage: new.stage, margin: new.no_such_field }
  - when: { field: stage, operator: changed }
    event: deal.surely_changed
"#;
    let (address, crm) = demo_crm().await;
    let scene = Stage { deal: Some(DEAL), ..Stage::before(address) }.set();
    let mut client = scene.client().await;
    let new = other_than(&stage_of(&crm, 3));
    client.done("PATCH /api/v1/deals/3/", "blind", &format!(r#"{{"stage":"{new}"}}"#)).await;
    let events = scene.of_request("blind", 2);
    assert_eq!(line(&events[1]), "deal.stage_changed deal/3");
    let mut data = events[1]["data"].clone();
    data.as_object_mut().unwrap().remove("record").unwrap();
    assert_eq!(
        data,
        json!({
            "old_stage": null, "new_stage": new, "margin": null,
            "unknown": ["old_stage", "margin"], "undecided": true,
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_crm_or_the_gate_refuses_has_not_happened() {
    let (address, _) = demo_crm().await;
    let scene = Stage::before(address).set();
    let mut client = scene.client().await;
    for (role, call, body, status) in [
        ("admin", "PATCH /api/v1/deals/1/", r#"{"stage":"no such stage"}"#, 400),
        ("admin", "PATCH /api/v1/deals/4711/", r#"{"stage":"won"}"#, 404),
        ("admin", "DELETE /api/v1/leads/4711/", "", 404),
        ("admin", "POST /api/v1/leads/", r#"{"first_name":"no last name"}"#, 400),
        ("support", "PATCH /api/v1/deals/1/", r#"{"stage":"won"}"#, 403),
        ("admin", "POST /api/v1/leads/", "not json", 400),
    ] {
        let answer = client.ask(role, call, "refused", body).await;
        assert_eq!(answer.status.as_u16(), status, "{call}: {answer:?}");
    }
    client.done("GET /api/v1/deals/", "read", "").await;
    client.done("PATCH /api/v1/deals/1/", "good", r#"{"currency":"EUR"}"#).await;
    assert_eq!(scene.told(), ["deal.updated deal/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_gets_what_its_role_may_see() {
    // Nobody but admin sees the first four; the address, only support does as well.
    const LEAD: &str = r#"{"last_name":"Canary","ssn":"canary-ssn","internal_notes":"canary-notes",
        "custom_fields":{"deep":["canary-custom"]},"email":"canary-mail@example.com"}"#;
    const DEAL: &str = r#"{"amount":"4111111111.11","lost_reason":"canary-reason","stage":"lost"}"#;
    const HIDDEN: [&str; 5] =
        ["canary-ssn", "canary-notes", "canary-custom", "4111111111.11", "canary-reason"];
    let finds = |bytes: &[u8], canary: &str| {
        bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
    };
    let mut seen_by_admin = Vec::new();
    for with_admin in [false, true] {
        let (address, crm) = demo_crm().await;
        let open = (1..).find(|deal| !["won", "lost"].contains(&&*stage_of(&crm, *deal))).unwrap();
        let (support, marketing) = (Receiver::start().await, Receiver::start().await);
        let admin = Receiver::start().await;
        let mut sinks = support.sink("desk", "support") + &marketing.sink("mail", "marketing");
        if with_admin {
            sinks += &admin.sink("all", "admin");
        }
        let scene = Stage { sinks: &sinks, ..Stage::before(address) }.set();
        let mut client = scene.client().await;
        client.done("POST /api/v1/leads/", "lead", LEAD).await;
        client.done(&format!("GET /api/v1/deals/{open}/"), "look", "").await;
        client.done(&format!("PATCH /api/v1/deals/{open}/"), "deal", DEAL).await;
        let mut received = Vec::new();
        for receiver in [&support, &marketing] {
            let bodies = receiver.bodies(4).await;
            let events: Vec<Value> =
                bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
            let lost = events.iter().find(|event| event["type"] == "deal.lost").unwrap();
            assert_eq!(lost["data"].get("reason"), None, "{lost}");
            assert_eq!(lost["data"]["record"]["stage"], "lost", "{lost}");
            received.push(bodies.concat());
        }
        if with_admin {
            seen_by_admin = admin.bodies(4).await.concat();
        }
        let events = String::from_utf8_lossy(&received[1]).into_owned();
        assert!(events.contains("ca*********@example.com"), "masked, not left out: {events}");
        assert!(finds(&received[0], "canary-mail@example.com"), "support sees addresses");
        assert!(!finds(&received[1], "canary-mail"), "marketing sees none");
        let log = scene.home.folder.join("log");
        assert!(!finds(&std::fs::read(&log).unwrap(), "canary-mail"));
        let mut journal = Vec::new();
        for file in ["fieldgate.db", "fieldgate.db-wal"] {
            journal.extend(std::fs::read(scene.home.data_dir().join(file)).unwrap());
        }
        for canary in HIDDEN {
            for (received, role) in received.iter().zip(["support", "marketing"]) {
                assert!(!finds(received, canary), "{role} got {canary}");
            }
            assert!(!finds(&std::fs::read(&log).unwrap(), canary), "{canary} is in the log");
        }
        // Where a sink may see them they must be there; the end of a page can cut one in two.
        let kept = HIDDEN.iter().filter(|canary| finds(&journal, canary)).count();
        assert_eq!(kept > 0, with_admin, "{kept} are in the journal");
    }
    for canary in HIDDEN {
        assert!(finds(&seen_by_admin, canary), "{canary} was never on its way");
    }
}
