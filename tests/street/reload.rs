//! Policies change while requests are under way: each answer is wholly old or wholly new.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::harness::*;

const LEADS: &str = "/api/v1/leads/";

fn role(mode: &str) -> String {
    format!(
        "role: sales_rep\ndefault: view\nlead: {{ \"$..ssn\": {mode}, \"$..phone\": {mode} }}\n"
    )
}

fn list() -> String {
    let lead = r#"{"ssn":"s-1","phone":"555-0142-9876"}"#;
    format!(r#"{{"count":50,"results":[{}]}}"#, vec![lead; 50].join(","))
}

/// Writes as an editor does: a new file that takes the place of the old one.
fn replace(folder: &Path, name: &str, text: &str) {
    let path = folder.join("policies").join(name);
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Row 35: an answer is by the old policies or by the new ones.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_wholly_old_or_wholly_new() {
    let upstream = Upstream::scripted(json_answer(&list()), Pace::OnePacket).await;
    let sales = "policies/roles/sales_rep.yaml";
    let gate = gate(&upstream).file(sales, &role("hidden")).start().await;
    let gate = Arc::new(gate);
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
            tokio::spawn(async move {
                let mut kinds = [0; 2];
                while !done.load(Ordering::SeqCst) {
                    let answered = gate.get(LEADS).as_role("sales_rep").send().await;
                    assert_eq!((answered.status, answered.complete), (200, true));
                    let text = answered.text();
                    let count = |part: &str| text.matches(part).count();
                    let hidden = (count("ssn"), count("phone")) == (0, 0);
                    let masked =
                        (count(r#""ssn":"[REDACTED]""#), count(r#""phone":"***-****-9876""#));
                    assert!(hidden || masked == (50, 50), "half of each: {text:.200}");
                    assert!(!text.contains("s-1"));
                    kinds[usize::from(!hidden)] += 1;
                }
                kinds
            })
        })
        .collect();
    let shows = |mode: &'static str| {
        let gate = Arc::clone(&gate);
        move || {
            let gate = Arc::clone(&gate);
            async move {
                let answered = gate.get(LEADS).as_role("sales_rep").send().await;
                answered.text().contains("REDACTED") == (mode == "mask")
            }
        }
    };
    for mode in ["mask", "hidden", "mask"] {
        replace(gate.folder.path(), "roles/sales_rep.yaml", &role(mode));
        gate.until(shows(mode)).await;
    }
    done.store(true, Ordering::SeqCst);
    let mut seen = [0; 2];
    for client in clients {
        let kinds = client.await.unwrap();
        seen = [seen[0] + kinds[0], seen[1] + kinds[1]];
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    // Each access line names the policies that it was answered under.
    let lines = gate.access_lines(4).await;
    let revisions: std::collections::BTreeSet<_> =
        lines.iter().map(|line| line["policy_revision"].to_string()).collect();
    assert_eq!(revisions.len(), 2, "{revisions:?}");
}

/// Row 35: the last good policies stay in force.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_changes_nothing_but_is_told() {
    let upstream = Upstream::scripted(json_answer(&list()), Pace::OnePacket).await;
    let sales = "policies/roles/sales_rep.yaml";
    let gate = gate(&upstream).file(sales, &role("hidden")).start().await;
    let failures = |metrics: &str| {
        let line = metrics.lines().find_map(|line| {
            line.strip_prefix("fieldgate_policy_reloads_total{outcome=\"failure\"} ")
        });
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let mut expect = failures(&gate.metrics().await);
    for broken in ["role: sales_rep\ndefault: veiw\n", "role: [", "", "\0\u{1}"] {
        replace(gate.folder.path(), "roles/sales_rep.yaml", broken);
        expect += 1;
        gate.until(|| async { failures(&gate.metrics().await) == expect }).await;
        let answered = gate.get(LEADS).as_role("sales_rep").send().await;
        assert!(answered.status == 200 && !answered.text().contains("ssn"), "{broken:?}");
        assert!(gate.is_ready().await, "last good wins");
    }
    assert!(gate.logged().contains("sales_rep.yaml:2:10"), "the log says where");
    replace(gate.folder.path(), "roles/sales_rep.yaml", &role("mask"));
    gate.until(|| async {
        gate.get(LEADS).as_role("sales_rep").send().await.text().contains("REDACTED")
    })
    .await;
}

/// Row 35: without any there is no answer.
#[tokio::test(flavor = "multi_thread")]
async fn without_good_policies_or_keys_nothing_is_answered_until_there_are() {
    for (name, broken, code) in [
        ("policies/roles/sales_rep.yaml", "role: sales_rep\ndefault: veiw\n", "policy_not_ready"),
        ("policies/global.yaml", "unmatched: [\n", "policy_not_ready"),
        ("keys.yaml", "keys: []\n", "policy_not_ready"),
    ] {
        let upstream = Upstream::scripted(json_answer(&list()), Pace::OnePacket).await;
        let whole = gate(&upstream).start().await;
        let good = std::fs::read_to_string(whole.folder.path().join(name)).unwrap();
        let gate = gate(&upstream).file(name, broken).start().await;
        assert!(!gate.is_ready().await, "{name}");
        let refused = gate.get(LEADS).as_role("admin").send().await;
        refused.expect_problem(503, code);
        assert_eq!(refused.header("Retry-After"), Some("1"));
        let live = Ask::new(gate.admin, "GET", "/livez").send().await;
        assert_eq!(live.status, 200, "not ready is not dead");
        assert!(upstream.heads().is_empty());

        std::fs::write(gate.folder.path().join(name), good).unwrap();
        gate.until(|| gate.is_ready()).await;
        assert_eq!(gate.get(LEADS).as_role("admin").send().await.status, 200, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_sees_as_a_role_nobody_declares_is_a_fault_of_the_policies() {
    let upstream = Upstream::scripted(json_answer(&list()), Pace::OnePacket).await;
    let sink = "data_dir: data\nevents:\n  sinks:\n    - file: { name: trail, role: auditor, path: trail.jsonl }";
    let gate = gate(&upstream).file("data/.keep", "").config(sink).start().await;
    assert!(!gate.is_ready().await);
    gate.get(LEADS).as_role("admin").send().await.expect_problem(503, "policy_not_ready");
    let told = "the sink `trail` sees events as `auditor`, a role that no policy declares";
    assert!(gate.logged().contains(told), "{}", gate.logged());
    let role = gate.folder.path().join("policies/roles/auditor.yaml");
    std::fs::write(role, "role: auditor\ndefault: view\n").unwrap();
    gate.until(|| gate.is_ready()).await;
}
