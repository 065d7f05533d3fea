//! What recording writes costs: the same writes through gates that differ in nothing but the
//! journal, and through pass-through, interleaved in one run. And reads, with a journal and without.
//!
//! Each gate is a process of its own, the CRM answers at once, and clients keep their connections.
//! `sink` has a file sink beside the journal, so it makes and syncs every delivery as well.
//! `FIELDGATE_BENCH_ROUNDS` and `FIELDGATE_BENCH_SECONDS` make it longer; `-- "writes, 64"` runs that
//! part alone.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up must stop")]
#![allow(clippy::expect_used, reason = "the same")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "the same")]
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../tests/crash/gate.rs"]
#[allow(dead_code, reason = "its fail points are for the crash suite")]
mod gate;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use gate::{Gate, Home};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CLIENTS: [usize; 2] = [1, 64];

const RECORD: &str = r#"{"id":1,"name":"Deal","stage":"won","amount":"1200.00","owner":{"name":"Ann Lee","email":"ann@example.com"}}"#;

/// What a write goes through.
struct Way {
    name: &'static str,
    home: Home,
    gate: Gate,
    path: &'static str,
    _folder: TempDir,
}

/// What one way did in one round.
#[derive(Clone, Copy)]
struct Figures {
    rate: f64,
    p50: Duration,
    p99: Duration,
    fsyncs: f64,
    fsyncs_per_call: f64,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let rounds = setting("FIELDGATE_BENCH_ROUNDS", 5);
    let seconds = setting("FIELDGATE_BENCH_SECONDS", 2);
    let crm = crm().await;
    let governed = "/api/v1/deals/1/";
    let sink = "events:\n  sinks:\n    - file: { name: trail, role: admin, path: trail.jsonl }\n";
    let ways = [
        way("pass-through", "", "/open/deals/1/", crm),
        way("journal off", "", governed, crm),
        way("journal on", "events: { source: /bench }\n", governed, crm),
        way("journal, sink", sink, governed, crm),
    ];
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    println!("{rounds} rounds of {seconds} s for each way, interleaved; medians of the rounds");
    let seconds = Duration::from_secs(seconds as u64);
    for (what, method) in [("writes", "PATCH"), ("reads", "GET")] {
        for clients in CLIENTS {
            let title = format!("{what}, {clients} clients");
            if !only.iter().all(|part| title.contains(part)) {
                continue;
            }
            println!(
                "\n{title}\n{:<14} {:>9} {:>8} {:>10} {:>10} {:>9} {:>9}",
                "", "1/s", "of off", "p50", "p99", "fsyncs/s", "fsyncs/1"
            );
            let mut figures: Vec<Vec<Figures>> = ways.iter().map(|_| Vec::new()).collect();
            for way in &ways {
                measure(way, method, clients, seconds / 4).await;
            }
            for _ in 0..rounds {
                for (way, figures) in ways.iter().zip(&mut figures) {
                    figures.push(measure(way, method, clients, seconds).await);
                }
            }
            let figures: Vec<Figures> = figures.iter().map(|rounds| median(rounds)).collect();
            for (way, one) in ways.iter().zip(&figures) {
                println!(
                    "{:<14} {:>9.0} {:>8.2} {:>7.2} ms {:>7.2} ms {:>9.0} {:>9.3}",
                    way.name,
                    one.rate,
                    one.rate / figures[1].rate,
                    one.p50.as_secs_f64() * 1000.0,
                    one.p99.as_secs_f64() * 1000.0,
                    one.fsyncs,
                    one.fsyncs_per_call,
                );
            }
        }
    }
    println!("\none fsync alone: {:.2} ms", fsync(ways[2].home.folder.as_path()) * 1000.0);
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn way(name: &'static str, events: &str, path: &'static str, crm: SocketAddr) -> Way {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path(), crm, events).without_workflows();
    let global = folder.path().join("policies/global.yaml");
    let mut text = std::fs::read_to_string(&global).unwrap();
    text.push_str("  - { methods: [GET, PATCH], path: \"/open/{*rest}\" }\n");
    std::fs::write(&global, text).unwrap();
    let gate = home.start("");
    Way { name, home, gate, path, _folder: folder }
}

/// Asks for so long through so many connections.
async fn measure(way: &Way, method: &str, clients: usize, seconds: Duration) -> Figures {
    let body = if method == "PATCH" { r#"{"stage":"won"}"# } else { "" };
    let request = format!(
        "{method} {} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer demo-admin\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        way.path,
        body.len()
    );
    let before = commits(&way.gate).await;
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (address, request) = (way.gate.data, request.clone());
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut took, mut read) = (Vec::new(), Vec::new());
            while began.elapsed() < seconds {
                let asked = Instant::now();
                stream.write_all(request.as_bytes()).await.unwrap();
                let head = message(&mut stream, &mut read).await.expect("no answer");
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                took.push(asked.elapsed());
            }
            took
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    let elapsed = began.elapsed().as_secs_f64();
    let fsyncs = commits(&way.gate).await - before;
    took.sort();
    let calls = took.len() as f64;
    Figures {
        rate: calls / elapsed,
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
        fsyncs: fsyncs / elapsed,
        fsyncs_per_call: fsyncs / calls,
    }
}

/// Each figure by itself.
fn median(rounds: &[Figures]) -> Figures {
    let of = |figure: &dyn Fn(&Figures) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let time = |figure: &dyn Fn(&Figures) -> Duration| {
        Duration::from_secs_f64(of(&|one| figure(one).as_secs_f64()))
    };
    Figures {
        rate: of(&|one| one.rate),
        p50: time(&|one| one.p50),
        p99: time(&|one| one.p99),
        fsyncs: of(&|one| one.fsyncs),
        fsyncs_per_call: of(&|one| one.fsyncs_per_call),
    }
}

/// Commits of the store so far; each is one fsync of the log.
async fn commits(gate: &Gate) -> f64 {
    let mut stream = TcpStream::connect(gate.admin).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("fieldgate_store_commits_total{outcome=\"success\"} "));
    line.map_or(0.0, |count| count.parse().unwrap())
}

/// A CRM that answers every request with the same record.
async fn crm() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{RECORD}",
        RECORD.len()
    );
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                while message(&mut stream, &mut read).await.is_some() {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// The head of the next message, whose body is read as well. Bodies have a Content-Length or come
/// in one piece of chunks.
async fn message(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = find(read, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end + 4]).into_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
            let is_chunked = lower.contains("transfer-encoding: chunked");
            let whole = if is_chunked {
                find(&read[end..], b"\r\n0\r\n\r\n").map(|at| end + at + 7)
            } else {
                Some(end + 4 + length.unwrap_or_default())
            };
            if let Some(whole) = whole.filter(|whole| read.len() >= *whole) {
                read.drain(..whole);
                return Some(head);
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Seconds that the disk takes for a small write and its fsync, the median of many.
fn fsync(folder: &Path) -> f64 {
    use std::io::Write as _;
    let mut file = std::fs::File::create(folder.join("fsync")).unwrap();
    let mut took: Vec<f64> = (0..200)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[0; 4096]).unwrap();
            file.sync_data().unwrap();
            began.elapsed().as_secs_f64()
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}
