//! A real Prometheus scrapes a gate: the text is clean, every query of every dashboard and rule
//! finds what it asks for.
//!
//! Needs the package `prometheus`; `make test` installs it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use fieldgate::telemetry::catalogue::{Kind, METRICS};
use serde_json::Value;

use super::harness::*;

/// Families that dashboards and rules ask for and that nothing emits yet. Whoever emits one takes
/// it off this list; from then on its queries must find something.
const AWAITED: [&str; 1] = ["up"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Runs a tool of the package, or says how to get it.
fn tool(name: &str) -> Command {
    let is_there = Command::new(name).arg("--version").output().is_ok();
    assert!(is_there, "`{name}` is missing; run `.ci/need promtool prometheus \"for the tests\"`");
    Command::new(name)
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// Every query of every dashboard, with the dashboard's name.
fn queries() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(deploy().join("grafana")).unwrap() {
        let path = entry.unwrap().path();
        let board: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let name = format!("{}: {}", path.display(), panel["title"]);
                found.push((name, target["expr"].as_str().unwrap().to_owned()));
            }
        }
    }
    assert!(found.len() > 40, "the dashboards were not found");
    found
}

/// The families that a query asks for.
fn families(query: &str) -> BTreeSet<String> {
    let words = query.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let prefixes = ["fieldgate_", "http_server_", "process_"];
    words
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)) || *word == "up")
        .map(|word| {
            let base = |suffix| word.strip_suffix(suffix);
            let is_histogram =
                |name: &str| METRICS.iter().any(|m| m.name == name && m.kind == Kind::Histogram);
            let base = base("_bucket").or_else(|| base("_count")).or_else(|| base("_sum"));
            let of_histogram = base.filter(|name| is_histogram(name) || AWAITED.contains(name));
            of_histogram.unwrap_or(word).to_owned()
        })
        .collect()
}

fn is_emitted(family: &str) -> bool {
    METRICS.iter().any(|metric| metric.name == family)
}

#[test]
fn dashboards_and_rules_ask_for_families_that_are_known() {
    let rules = std::fs::read_to_string(deploy().join("prometheus/fieldgate.rules.yaml")).unwrap();
    // Prose about metrics stands beside the expressions; it must be true as well.
    let asked = queries().into_iter().chain([("the rules".to_owned(), rules)]);
    let mut awaited = BTreeSet::new();
    for (name, query) in asked {
        for family in families(&query) {
            if is_emitted(&family) {
                continue;
            }
            assert!(AWAITED.contains(&family.as_str()), "{name} asks for `{family}`");
            awaited.insert(family);
        }
    }
    let listed: BTreeSet<String> = AWAITED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(awaited, listed, "what is emitted or not asked for is awaited no longer");
}

#[test]
fn the_rules_do_what_their_cases_say() {
    let folder = deploy().join("prometheus");
    let run = |arguments: &[&str]| {
        let output = tool("promtool").args(arguments).current_dir(&folder).output().unwrap();
        succeeded(&output)
    };
    run(&["check", "rules", "fieldgate.rules.yaml"]);
    run(&["test", "rules", "fieldgate.rules.test.yaml"]);
    // Each alert has a case in which it fires.
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (rules, cases) = (read("fieldgate.rules.yaml"), read("fieldgate.rules.test.yaml"));
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        assert!(cases.contains(&format!("alertname: {alert}\n")), "{alert} has no case");
    }
}

/// A running Prometheus.
struct Prometheus {
    address: SocketAddr,
    child: Child,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts one that scrapes `target` five times a second and keeps what it finds in `folder`.
    async fn start(folder: &Path, target: SocketAddr) -> Self {
        let rules = deploy().join("prometheus/fieldgate.rules.yaml");
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: fieldgate\n    static_configs: [{{ targets: [\"{target}\"] }}]\n",
            rules.display()
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        succeeded(&tool("promtool").args(["check", "config"]).arg(&file).output().unwrap());
        let child = tool("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = within(async {
            loop {
                if let Some(address) = listening(child.id()) {
                    return address;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        Self { address, child }
    }

    /// How many series a query finds now.
    async fn find(&self, query: &str) -> usize {
        let query =
            percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
        let target = format!("/api/v1/query?query={query}");
        let answer = Ask::new(self.address, "GET", &target).send().await;
        let answer = answer.json();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"]["result"].as_array().unwrap().len()
    }
}

/// Where a process listens: port 0 was asked for, and the kernel knows what it became.
fn listening(process: u32) -> Option<SocketAddr> {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let sockets: BTreeSet<String> = descriptors
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let is_listening = parts.get(3) == Some(&"0A");
        let port = parts.get(1)?.rsplit(':').next()?;
        (is_listening && sockets.contains(*parts.get(9)?))
            .then(|| u16::from_str_radix(port, 16).ok().map(|port| ([127, 0, 0, 1], port).into()))?
    })
}

/// Starts with every write below.
const TELL: &str = "name: tell\nrole: admin\nstatus: active\ntriggers: [{ event: lead.updated }]\n\
     actions:\n  - send_notification: { recipient: nobody, message: hello }\n";

/// A little of everything that is counted.
async fn traffic(gate: &Gate) {
    for role in ROLES {
        gate.get("/api/v1/leads/1/").as_role(role).send().await;
        gate.get("/api/v1/leads/?page_size=50").as_role(role).send().await;
    }
    gate.get("/api/v1/leads/1/").send().await;
    gate.get("/api/v1/nowhere/").as_role("admin").send().await;
    let write = gate.request("PATCH", "/api/v1/leads/1/").as_role("admin");
    let written = write.json(r#"{"first_name":"Ada"}"#).send().await;
    assert_eq!(written.status, 200, "{}", written.head);
}

/// What Prometheus' own tool says of a scrape: nothing.
fn lint(scrape: &str) {
    let mut lint = tool("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    assert_eq!(succeeded(&lint.wait_with_output().unwrap()), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dashboard_finds_what_it_asks_for() {
    let upstream = Upstream::demo().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "data_dir: data\naudit: {{ mode: required }}\n\
         events:\n  sinks:\n    - file: {{ name: trail, role: admin, path: events.jsonl }}\n\
         scores: {{ service: [{{ company: demo, value: {{ file: crm.token }} }}] }}\n\
         telemetry:\n  traces: {{ endpoint: \"http://{nobody}\", share: 1 }}"
    );
    let gate = gate(&upstream)
        .file("data/.keep", "")
        .file("crm.token", "Bearer demo-admin")
        .file("policies/workflows/tell.yaml", TELL)
        .config(&config)
        .start()
        .await;
    // The one of the start may still run; then this is not begun.
    gate.until(async || {
        let refresh = Ask::new(gate.admin, "POST", "/api/v1/scores/refresh/");
        refresh.json("{\"kind\":\"all\"}").send().await.json()["kind"] == "all"
    })
    .await;
    traffic(&gate).await;

    // Both formats are what their readers want.
    lint(&gate.metrics().await);

    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), gate.admin).await;
    let queries: Vec<(String, String)> = queries()
        .into_iter()
        .filter(|(_, query)| families(query).iter().all(|family| is_emitted(family)))
        .map(|(name, query)| {
            // A query that is never without an answer would find nothing missing.
            let query = query.strip_suffix(" or vector(0)").unwrap_or(&query);
            // The demo has no lead that is hot.
            let query = query.replace("quality=\"HOT\"", "quality=~\".+\"");
            (name, query.replace("$__rate_interval", "1m").replace("$job", ".*"))
        })
        .collect();
    let deadline = std::time::Instant::now() + Duration::from_secs(90);
    let mut missing = queries;
    while !missing.is_empty() {
        assert!(std::time::Instant::now() < deadline, "these find nothing: {missing:#?}");
        // Rates need something that grows between two scrapes.
        traffic(&gate).await;
        let mut still = Vec::new();
        for (name, query) in missing {
            if prometheus.find(&query).await == 0 {
                still.push((name, query));
            }
        }
        missing = still;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Also the families that came late.
    lint(&gate.metrics().await);
    // Prometheus asked for OpenMetrics and could read it: every family came through.
    assert_eq!(prometheus.find("up{job=\"fieldgate\"} == 1").await, 1);
    for metric in METRICS {
        let name = match metric.kind {
            Kind::Histogram => format!("{}_count", metric.name),
            Kind::Counter | Kind::Gauge => metric.name.to_owned(),
        };
        // What a refresh of scores counts comes when its first page was read, and with the scrape
        // after that.
        while prometheus.find(&name).await == 0 {
            assert!(std::time::Instant::now() < deadline, "{name} was not scraped");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
