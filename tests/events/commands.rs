//! `fieldgate events` beside a gate that runs, and on what a stopped one has left.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::gate::Home;
use crate::receiver::Receiver;
use crate::scene::{Stage, demo_crm, line};

/// Ends with the test, whatever happens in it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `fieldgate events tail`, and what it prints.
fn tail(home: &Home, arguments: &[&str]) -> (Running, mpsc::Receiver<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fieldgate"))
        .args(["events", "tail"])
        .args(arguments)
        .arg("--data-dir")
        .arg(home.data_dir())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    (Running(child), told)
}

fn next(lines: &mpsc::Receiver<String>) -> String {
    lines.recv_timeout(Duration::from_secs(20)).expect("nothing more is printed")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_can_be_read_beside_a_gate_that_runs_and_after_it() {
    let (address, _) = demo_crm().await;
    let receiver = Receiver::start().await;
    let sinks = receiver.sink("billing", "support") + &receiver.sink("mail", "marketing");
    let scene = Stage { sinks: &sinks, ..Stage::before(address) }.set();
    let mut client = scene.client().await;
    // Its heading says that it has found its place: what comes now, it prints.
    let (mut child, lines) = tail(&scene.home, &["--count", "2"]);
    assert!(next(&lines).starts_with("TIME"));
    client.done("POST /api/v1/leads/", "req-1", r#"{"last_name":"Okafor"}"#).await;
    client.done("PATCH /api/v1/deals/2/", "req-2", r#"{"currency":"EUR"}"#).await;
    assert!(next(&lines).contains("lead.created"));
    assert!(next(&lines).contains("deal.updated"));
    assert!(child.0.wait().unwrap().success(), "two were asked for");
    receiver.bodies(4).await;

    let check = |when: &str| {
        let ask = |arguments: &[&str]| scene.home.ask(arguments);
        let events = scene.home.events();
        let lines: Vec<String> = events.iter().map(line).collect();
        assert_eq!(lines, ["lead.created lead/61", "deal.updated deal/2"], "{when}");
        let table = ask(&["events", "list"]);
        assert_eq!(table.lines().count(), 3, "{when}: {table}");
        for (filter, expect) in [
            (["--type", "deal.*"], "deal.updated"),
            (["--type", "lead.created"], "lead.created"),
            (["--subject", "deal/2"], "deal.updated"),
            (["--subject", "lead"], "lead.created"),
            (["--correlation-id", "req-2"], "deal.updated"),
            (["--limit", "1"], "deal.updated"),
        ] {
            let text = ask(&[&["events", "list", "--json"][..], &filter].concat());
            let event: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(event["type"], expect, "{when}: {filter:?}");
        }
        assert_eq!(ask(&["events", "list", "--json", "--since", "0s"]), "", "{when}");
        let seen = |role: &str| {
            let text = ask(&["events", "list", "--json", "--limit", "1", "--role", role]);
            serde_json::from_str::<Value>(&text).unwrap()["data"].clone()
        };
        let amount = |role| {
            let data = seen(role);
            assert_eq!(data["record"]["currency"], "EUR", "{when}: {data}");
            data["record"].get("amount").cloned()
        };
        assert_eq!(amount("support"), None, "{when}");
        assert_eq!(amount("marketing"), Some(Value::Null), "{when}");
        assert_eq!(seen("admin"), Value::Null, "{when}: no sink has the role, so no view is kept");
        let shown = ask(&["events", "show", events[1]["id"].as_str().unwrap()]);
        for part in ["deal/2", "req-2", "support", "marketing", "billing", "mail", "delivered"] {
            assert!(shown.contains(part), "{when}: {part} in {shown}");
        }
        let (mut child, lines) = tail(&scene.home, &["--since", "1h", "--count", "2", "--json"]);
        let first: Value = serde_json::from_str(&next(&lines)).unwrap();
        assert_eq!(first["id"], events[0]["id"], "{when}");
        assert!(child.0.wait().unwrap().success());
        assert_eq!(ask(&["events", "dead", "--json"]), "", "{when}");
    };
    // Recording a delivery follows the answer of the receiver.
    while scene.home.ask(&["events", "list"]).matches("2 delivered").count() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    check("live");
    scene.gate.stop();
    check("at rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_and_replays_go_out_again_with_their_ids() {
    let (address, _) = demo_crm().await;
    let (good, ailing) = (Receiver::start().await, Receiver::start().await);
    ailing.answers(500);
    let sinks = good.sink("good", "support") + &ailing.sink("ailing", "support");
    let stage = Stage { sinks: &sinks, events: "  retry: [1ms]\n", ..Stage::before(address) };
    let scene = stage.set();
    let (home, gate) = (&scene.home, scene.gate);
    let mut client = crate::client::Client::connect(gate.data).await;
    for number in 1..=2 {
        let path = format!("PATCH /api/v1/deals/{number}/");
        client.done(&path, &format!("req-{number}"), r#"{"currency":"EUR"}"#).await;
    }
    good.events(2).await;
    let ids: Vec<String> = home.events().iter().map(id).collect();
    let dead = || {
        let text = home.ask(&["events", "dead", "--json"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let until_dead = async |count: usize| {
        while dead().len() != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until_dead(2).await;
    let mut letters = dead();
    letters.sort_by_key(id);
    assert_eq!(letters.iter().map(id).collect::<Vec<_>>(), ids);
    for letter in &letters {
        assert_eq!(letter["sink"], "ailing");
        assert_eq!(letter["attempts"], 2);
        assert!(letter["failure"].as_str().unwrap().contains("500"), "{letter}");
    }

    // One of them, beside the gate that runs.
    ailing.answers(204);
    home.ask(&["events", "retry", "--id", &ids[0]]);
    let bodies = ailing.bodies(5).await;
    assert_eq!(id(&serde_json::from_slice(&bodies[4]).unwrap()), ids[0]);
    until_dead(1).await;
    assert_eq!(dead()[0]["id"], ids[1]);
    // All that was delivered, to one sink.
    home.ask(&["events", "replay", "--since", "1h", "--sink", "good"]);
    let again: Vec<String> = good.events(4).await.iter().skip(2).map(id).collect();
    assert_eq!(sorted(again), ids);
    // And at rest: the next start delivers.
    gate.stop();
    home.ask(&["events", "retry", "--sink", "ailing"]);
    home.ask(&["events", "replay", "--id", &ids[1], "--sink", "good"]);
    let gate = home.start("");
    let bodies = ailing.bodies(6).await;
    assert_eq!(id(&serde_json::from_slice(&bodies[5]).unwrap()), ids[1]);
    assert_eq!(id(&good.events(5).await[4]), ids[1]);
    until_dead(0).await;
    gate.stop();
}

fn id(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}
