//! `fieldgate demo` and `fieldgate run`, started as a person starts them, asked over sockets.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use fieldgate::demo::crm::{self, Crm};
use sha2::{Digest, Sha256};

const FREE: &str = "127.0.0.1:0";

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
    command.args(arguments).env("COLUMNS", "80").env_remove("CLICOLOR_FORCE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

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

/// Sends a signal that asks to stop.
fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

/// The lines until one contains `wanted`; that one is the last.
fn read_until(lines: &mut BufReader<ChildStdout>, wanted: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let mut line = String::new();
        let length = lines.read_line(&mut line).unwrap();
        assert!(length > 0, "no {wanted} in {seen:#?}");
        let is_it = line.contains(wanted);
        seen.push(line);
        if is_it {
            return seen;
        }
    }
}

/// One request, the whole answer as text.
fn ask(address: SocketAddr, request_line: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request_line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
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

/// Serves a demo CRM for as long as the test runs.
fn crm() -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(FREE).await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            crm::serve(listener, Arc::new(Crm::seeded()), std::future::pending()).await
        })
    });
    told.recv().unwrap()
}

/// A folder with a configuration for the shipped policies.
fn configured(listen: &str, admin: &str, upstream: SocketAddr) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut text = format!(
        "listen: \"{listen}\"\nadmin: {{ listen: \"{admin}\" }}\nupstream: http://{upstream}\n\
         policies: \"{}\"\nkeys: keys.yaml\nthreads: 1\ndrain: 2s\nidentity:\n  - static_tokens:\n",
        policies.display()
    );
    for role in ["admin", "sales_rep"] {
        let digest = HEXLOWER.encode(&Sha256::digest(format!("demo-{role}")));
        writeln!(text, "      - {{ sha256: \"{digest}\", subject: test, roles: [{role}] }}")
            .unwrap();
    }
    std::fs::write(folder.path().join("fieldgate.yaml"), text).unwrap();
    let keys = folder.path().join("keys.yaml");
    let made = program(&["keys", "new", "--out", keys.to_str().unwrap()]).status().unwrap();
    assert!(made.success());
    folder
}

fn run(folder: &Path) -> Command {
    program(&["run", "--config", folder.join("fieldgate.yaml").to_str().unwrap()])
}

/// The address in a line of the log that says that a listener has started.
fn address_in(lines: &[String], purpose: &str) -> Option<SocketAddr> {
    lines.iter().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let is_it = line["message"] == "listening" && line["purpose"] == purpose;
        is_it.then(|| line["address"].as_str().unwrap().parse().unwrap())
    })
}

#[test]
fn run_serves_until_it_is_asked_to_stop() {
    let folder = configured(FREE, FREE, crm());
    let mut child = run(folder.path()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    let (gate, admin) = loop {
        lines.extend(read_until(&mut log, "\"listening\""));
        if let (Some(gate), Some(admin)) = (address_in(&lines, "data"), address_in(&lines, "admin"))
        {
            break (gate, admin);
        }
    };
    assert!(ask(admin, "GET /readyz", "", "").starts_with("HTTP/1.1 200 "));
    let lead = ask(gate, "GET /api/v1/leads/1/", "demo-sales_rep", "");
    assert!(lead.starts_with("HTTP/1.1 200 "), "{lead}");
    assert!(lead.contains("lu**") && !lead.contains("\"ssn\""), "{lead}");
    let refused = ask(gate, "PATCH /api/v1/leads/1/", "demo-sales_rep", r#"{"ssn": "1"}"#);
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains(r#""fields":["ssn"]"#), "{refused}");

    signal(&child, "TERM");
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}{complaints}");
    assert_eq!(complaints, "");
    assert!(rest.contains("\"status_code\":403"), "{rest}");
}

#[test]
fn run_names_the_key_of_an_address_that_is_taken() {
    let taken = TcpListener::bind(FREE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let upstream = "127.0.0.1:1".parse().unwrap();
    for (listen, admin, key) in
        [(address.as_str(), FREE, "change `listen` in"), (FREE, &address, "`listen` under `admin`")]
    {
        let folder = configured(listen, admin, upstream);
        let output = run(folder.path()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{err}");
        assert!(err.contains(&format!("cannot listen on {address}")), "{err}");
        assert!(err.contains(key), "{err}");
    }
}

#[test]
fn run_refuses_policies_with_faults() {
    let folder = configured(FREE, FREE, "127.0.0.1:1".parse().unwrap());
    let config = folder.path().join("fieldgate.yaml");
    let faulty = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policies/ten_faults");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace(shipped.to_str().unwrap(), faulty.to_str().unwrap());
    std::fs::write(&config, text).unwrap();
    let output = run(folder.path()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("policy::unknown_word"), "{err}");
}
