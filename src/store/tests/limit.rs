//! A process whose files may not grow: a real write that the system refuses, not a pretended one.
//!
//! The process is this test binary again, behind a shell that sets the limit.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

/// Where the child keeps its store.
const FOLDER: &str = "FIELDGATE_TEST_LIMITED_STORE";

/// In blocks of 512 bytes: the log fills it after some dozen commits. The signal that comes with
/// the limit would end the process; ignored, the write fails.
const SCRIPT: &str = "trap '' XFSZ; ulimit -f 400; exec \"$@\"";

/// Not a test by itself: the process that is limited.
#[test]
#[ignore = "the process that the other test starts"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open_with(Path::new(&folder), &options());
    let tell = |line: String| std::io::stderr().write_all(line.as_bytes()).unwrap();
    for number in 0..10_000 {
        match store.commit_blocking(move |inside| insert(inside, number)) {
            Ok(()) => tell(format!("{number}\n")),
            Err(error) => return tell(format!("{error:?} {:?}\n", store.health())),
        }
    }
}

#[test]
fn what_was_acknowledged_before_the_disk_was_full_is_there() {
    let folder = TempDir::new().unwrap();
    let mut child = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::limit::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "the process did not live to tell: {lines:?}");
    let last = lines.pop().unwrap();
    let told = ["NotCommitted Ailing(Write)", "NotCommitted Ailing(Full)"];
    assert!(told.contains(&last.as_str()), "{last}");
    let acknowledged: BTreeSet<i64> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert!(acknowledged.len() > 10, "{acknowledged:?}");

    let store = open(&folder);
    let kept: BTreeSet<i64> = numbers(&store).into_iter().collect();
    assert!(acknowledged.is_subset(&kept), "{kept:?}");
    store.commit_blocking(|inside| insert(inside, 20_000)).unwrap();
}
