//! Kills a process that writes, at random and at named places: what it acknowledged must be there.
//!
//! The process is this test binary again, told by a variable to write.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

/// Where the child keeps its store.
const FOLDER: &str = "FIELDGATE_TEST_STORE";
const WRITERS: i64 = 8;
const ENOUGH: Duration = Duration::from_secs(60);

/// Not a test by itself: the process that is killed.
#[test]
#[ignore = "the process that the other tests start and kill"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open_with(Path::new(&folder), &options());
    let next = numbers(&store).last().map_or(0, |last| last / WRITERS + 1);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = store.clone();
            scope.spawn(move || {
                for count in next.. {
                    let number = count * WRITERS + writer;
                    store.commit_blocking(move |inside| insert(inside, number)).unwrap();
                    // One write to a pipe is whole or not at all.
                    std::io::stderr().write_all(format!("{number}\n").as_bytes()).unwrap();
                }
            });
        }
    });
}

/// Starts a child, kills it once it has acknowledged so much (unless it dies by itself), and says
/// what it has acknowledged.
fn round(folder: &Path, fail_at: &str, kill_after: usize) -> BTreeSet<i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::kill::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env("FIELDGATE_FAIL_AT", fail_at)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = BTreeSet::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        acknowledged.insert(line.parse().unwrap_or_else(|_| panic!("the child says: {line}")));
        if acknowledged.len() == kill_after {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    acknowledged
}

fn lost(folder: &Path, acknowledged: &BTreeSet<i64>) -> Vec<i64> {
    let started = std::time::Instant::now();
    let kept: BTreeSet<i64> = numbers(&open_with(folder, &options())).into_iter().collect();
    assert!(started.elapsed() < Duration::from_secs(5), "opening took too long");
    acknowledged.difference(&kept).copied().collect()
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = TempDir::new().unwrap();
    let mut acknowledged = BTreeSet::new();
    for (fail_at, kill_after) in [
        ("", 1),
        ("", 37),
        ("store.committed=kill:20", usize::MAX),
        ("store.fsync=kill:15", usize::MAX),
        ("", 200),
        ("store.committed=kill:1", usize::MAX),
        ("", 400),
        ("store.fsync=kill:40", usize::MAX),
    ] {
        acknowledged.extend(round(folder.path(), fail_at, kill_after));
        assert_eq!(lost(folder.path(), &acknowledged), [0; 0], "{fail_at} {kill_after}");
    }
    assert!(acknowledged.len() > 600, "{}", acknowledged.len());
}

/// The same check must be able to fail.
#[test]
fn without_durability_it_does_not() {
    let folder = TempDir::new().unwrap();
    let started = std::time::Instant::now();
    let mut acknowledged = BTreeSet::new();
    while lost(folder.path(), &acknowledged).is_empty() {
        assert!(started.elapsed() < ENOUGH, "answers do not precede the commit");
        acknowledged.extend(round(folder.path(), "store.durability=off", 30));
    }
}
