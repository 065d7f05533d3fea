//! A thousand leads scored anew from the demo CRM, by the program as it is installed.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fieldgate::demo::crm::Crm;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::harness::*;

const LEADS: u64 = 1000;

/// Fifty pages.
const SCORING: &str = "leads: [lead]\n\
    listing: { path: \"/api/v1/leads/?page_size=20&ordering=id\", next: next, total: count }\n";

/// A folder as `fieldgate run` has it, with a credential for the CRM.
fn home(upstream: &Upstream, rate: usize) -> TempDir {
    home_of(upstream, rate, "{ company: demo, value: { file: crm.token } }")
}

fn home_of(upstream: &Upstream, rate: usize, service: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("policies/scoring.yaml", SCORING),
        ("data/.keep", ""),
        ("crm.token", "Bearer demo-admin"),
        ("other.token", "Bearer nobody"),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let config =
        format!("data_dir: data\nscores:\n  rate: {rate}\n  batch: 10\n  service: [{service}]\n");
    write_gate(folder.path(), &format!("http://{}", upstream.address), &config, &files);
    folder
}

fn refresh(folder: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
    command.args(["score", "refresh", "--config"]).arg(folder.join("fieldgate.yaml")).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Exit code, standard output, standard error.
async fn ended(child: Child) -> (Option<i32>, String, String) {
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = within(waiting).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// How many of the CRM's lists were asked for, and how many single leads.
fn asked(upstream: &Upstream) -> (usize, usize) {
    let requests = upstream.crm.as_ref().unwrap().requests();
    let lists = requests.iter().filter(|request| request.target.contains("page_size=20")).count();
    (lists, requests.len() - lists)
}

fn kept(folder: &Path) -> u64 {
    let store = Connection::open(folder.join("data/fieldgate.db")).unwrap();
    store
        .query_row("SELECT count(*) FROM lead_scores WHERE tenant = 'demo'", [], |row| row.get(0))
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_leads_are_scored_and_what_was_killed_half_way_goes_on() {
    let upstream = Upstream::crm(Crm::with_leads(LEADS)).await;
    let folder = home(&upstream, 100);
    let mut first = refresh(folder.path(), &["--all"]);
    within(async {
        while asked(&upstream).0 < 25 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    first.kill().unwrap();
    first.wait().unwrap();
    let mut told = String::new();
    first.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("lead of demo  [####----------------]  200 of 1000"), "{told}");
    let (half, _) = asked(&upstream);
    let done = kept(folder.path());
    assert!((400..1000).contains(&done), "{done}");

    let (code, out, told) = ended(refresh(folder.path(), &["--all"])).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(out, "1000 leads, 0 of them gone or not to be read\n");
    assert!(told.starts_with("lead of demo: goes on after "), "{told}");
    assert!(told.contains("[####################]  1000 of 1000"), "{told}");
    assert_eq!(kept(folder.path()), LEADS);
    let (all, single) = asked(&upstream);
    assert!(half < 50 && (50..=52).contains(&all), "{half} pages, then {all}");
    assert_eq!(single, 0);

    // Then nothing is old; later some are, and one of these is gone.
    let (code, out, _) = ended(refresh(folder.path(), &[])).await;
    assert_eq!((code, out.as_str()), (Some(0), "0 leads, 0 of them gone or not to be read\n"));
    let store = Connection::open(folder.path().join("data/fieldgate.db")).unwrap();
    let aged = "UPDATE lead_scores SET at = at - 8 * 86400000 WHERE CAST(lead AS INTEGER) <= 25";
    assert_eq!(store.execute(aged, []).unwrap(), 25);
    drop(store);
    let gone = Ask::new(upstream.address, "DELETE", "/api/v1/leads/3/").as_role("admin");
    assert_eq!(gone.send().await.status, 204);
    let (code, out, told) = ended(refresh(folder.path(), &[])).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(out, "25 leads, 1 of them gone or not to be read\n");
    assert_eq!(asked(&upstream).1, 1 + 25, "each lead by itself, and nothing else");
    assert_eq!(kept(folder.path()), LEADS - 1);
    let store = Connection::open(folder.path().join("data/fieldgate.db")).unwrap();
    let causes: Vec<String> = store
        .prepare("SELECT DISTINCT cause FROM lead_scores")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(causes, ["refresh"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_runs_is_asked_to_do_it() {
    let upstream = Upstream::crm(Crm::with_leads(60)).await;
    let gate = gate(&upstream)
        .file("policies/scoring.yaml", SCORING)
        .file("data/.keep", "")
        .file("crm.token", "Bearer demo-admin")
        .config(
            "data_dir: data\nscores: { service: [{ company: demo, value: { file: crm.token } }] }",
        )
        .start()
        .await;
    // The port that the gate got.
    let path = gate.folder.path().join("fieldgate.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let admin = format!("admin: {{ listen: \"{}\" }}", gate.admin);
    std::fs::write(&path, config.replace("admin: { listen: 127.0.0.1:0 }", &admin)).unwrap();
    let (code, out, told) = ended(refresh(gate.folder.path(), &["--all"])).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(out, "60 leads, 0 of them gone or not to be read\n");
    let known = Ask::new(gate.admin, "GET", "/api/v1/leads/60/score/?company=demo").send().await;
    assert_eq!(known.json()["is_stale"], false);
    let progress = Ask::new(gate.admin, "GET", "/api/v1/scores/refresh/").send().await.json();
    let expect = json!({"number": progress["number"], "is_running": false, "kind": "all",
        "company": "demo", "resource": "lead", "is_resumed": false, "done": 60, "total": 60,
        "gone": 0, "stopped": null});
    assert_eq!(progress, expect);
    let refreshed = "fieldgate_scores_refreshed_total{outcome=\"scored\",resource=\"lead\"} 60";
    assert!(gate.metrics().await.contains(refreshed));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_refreshed_is_said() {
    let upstream = Upstream::crm(Crm::with_leads(20)).await;
    let folder = home(&upstream, 100);
    std::fs::write(folder.path().join("crm.token"), "Bearer nobody").unwrap();
    let (code, _, told) = ended(refresh(folder.path(), &["--all"])).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("the refresh had to stop after 0 leads: not_allowed"), "{told}");
    assert!(!told.contains("nobody"), "the credential is nowhere: {told}");

    std::fs::write(folder.path().join("policies/scoring.yaml"), "leads: [lead]\n").unwrap();
    let (code, _, told) = ended(refresh(folder.path(), &["--all"])).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("no_listing") && told.contains("add `listing`"), "{told}");

    let config = folder.path().join("fieldgate.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let (without, _) = text.split_once("scores:").unwrap();
    std::fs::write(&config, without).unwrap();
    let (code, _, told) = ended(refresh(folder.path(), &[])).await;
    assert_eq!(code, Some(2));
    assert!(told.contains("names no credential"), "{told}");
}

/// A company whose leads cannot be read is told of, and keeps no other from its refresh.
#[tokio::test(flavor = "multi_thread")]
async fn one_company_does_not_stop_the_others() {
    let upstream = Upstream::crm(Crm::with_leads(20)).await;
    let service = "{ company: closed, value: { file: other.token } }, \
                   { company: demo, value: { file: crm.token } }";
    let folder = home_of(&upstream, 100, service);
    let (code, _, told) = ended(refresh(folder.path(), &["--all"])).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("not_allowed"), "{told}");
    assert_eq!(kept(folder.path()), 20);
}

/// Leads that the credential may not read, more of them in a row than end a refresh at its begin.
#[tokio::test(flavor = "multi_thread")]
async fn leads_that_may_not_be_read_stop_nothing() {
    const FORBIDDEN: std::ops::RangeInclusive<usize> = 2..=14;
    // First the list is asked for, then each lead, in the order of their ids.
    let answer = |number: usize| {
        let lead = |id: usize| format!(r#"{{"id":{id},"status":"new"}}"#);
        if number == 0 {
            let leads = (1..=16).map(lead).collect::<Vec<_>>().join(",");
            return json_answer(&format!(r#"{{"count":16,"next":null,"results":[{leads}]}}"#));
        }
        if FORBIDDEN.contains(&number) {
            return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        json_answer(&lead(number))
    };
    let upstream = Upstream::each(answer, Pace::OnePacket).await;
    let folder = home(&upstream, 1000);
    let (code, _, told) = ended(refresh(folder.path(), &["--all"])).await;
    assert_eq!((code, kept(folder.path())), (Some(0), 16), "{told}");
    let store = Connection::open(folder.path().join("data/fieldgate.db")).unwrap();
    // The oldest first, so one that can be read comes before those that cannot.
    let aged = "UPDATE lead_scores SET at = at - 8 * 86400000 + CAST(lead AS INTEGER)";
    assert_eq!(store.execute(aged, []).unwrap(), 16);
    drop(store);
    let (code, out, told) = ended(refresh(folder.path(), &[])).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(out, "16 leads, 13 of them gone or not to be read\n");
}

/// What was ended with a gate goes on with the next one, without being asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_goes_on_with_what_was_ended_half_way() {
    let upstream = Upstream::crm(Crm::with_leads(LEADS)).await;
    let folder = home(&upstream, 100);
    let mut first = refresh(folder.path(), &["--all"]);
    within(async {
        while asked(&upstream).0 < 10 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    first.kill().unwrap();
    first.wait().unwrap();
    let mut gate = super::program::program(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    within(async {
        while kept(folder.path()) < LEADS {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    gate.kill().unwrap();
    gate.wait().unwrap();
    assert!((50..=52).contains(&asked(&upstream).0));
}
