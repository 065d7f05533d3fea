//! `fieldgate demo`.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{FREE, ask, program, read_until, signal};

fn demo(more: &[&str]) -> Command {
    let mut command = program(&["demo"]);
    for flag in ["--listen", "--crm-listen", "--admin-listen"] {
        if !more.contains(&flag) {
            command.args([flag, FREE]);
        }
    }
    command.args(more);
    command
}

#[test]
fn every_step_of_the_tour_is_as_promised() {
    let output = demo(&["--once"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert_eq!(err, "");
    let kept = out.lines().filter(|line| line.trim_start().starts_with('✓')).count();
    assert!(kept >= 15, "{out}");
    assert!(out.ends_with(&format!("all {kept} promises were kept\n")), "{out}");
    assert!(!out.contains('\x1b') && !out.contains('✗'), "{out}");
    for line in out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_broken_promise_is_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    for part in ["resources", "roles"] {
        std::fs::create_dir_all(policies.join(part)).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(part);
        for entry in std::fs::read_dir(shipped).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), policies.join(part).join(entry.file_name())).unwrap();
        }
    }
    // A sales representative who sees everything is not what the tour promises.
    std::fs::write(policies.join("roles/sales_rep.yaml"), "role: sales_rep\ndefault: edit\n")
        .unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let output = demo(&["--once", "--data-dir", data_dir]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("✗ sales_rep: "), "{out}");
    assert!(out.contains("the value of `email` is there"), "{out}");
    assert!(out.contains("promises were not kept"), "{out}");
}

#[test]
fn the_demo_stays_until_it_is_stopped_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = demo(&[]).env("TMPDIR", temporary.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let tour = read_until(&mut lines, "Ctrl-C stops both").concat();
    let gate = tour.lines().find_map(|line| line.trim().strip_prefix("gate    http://")).unwrap();
    let gate: SocketAddr = gate.parse().unwrap();

    for (token, sees) in [("demo-admin", true), ("demo-support", true), ("demo-finance", false)] {
        let answer = ask(gate, "GET /api/v1/leads/2/", token, "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(answer.contains("@example.com"), sees, "{token}: {answer}");
    }
    let state = std::fs::read_dir(temporary.path()).unwrap().next().unwrap().unwrap().path();
    for (name, mode) in [("keys.yaml", 0o600), ("access.log", 0o600), ("", 0o700)] {
        let found = std::fs::metadata(state.join(name)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!state.exists());
}

#[test]
fn a_port_in_use_names_the_flag() {
    for flag in ["--listen", "--crm-listen", "--admin-listen"] {
        let taken = TcpListener::bind(FREE).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let output = demo(&["--once", flag, &address]).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{flag}: {err}");
        assert!(err.contains(&format!("cannot listen on {address}")), "{flag}: {err}");
        assert!(err.contains(&format!("`{flag}`")), "{err}");
        assert_eq!(output.stdout, b"", "nothing is shown before everything listens");
    }
}
