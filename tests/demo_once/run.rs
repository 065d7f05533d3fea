//! `fieldgate run`.

use std::fmt::Write as _;
use std::io::{BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{ChildStdout, Command};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use fieldgate::demo::crm::{self, Crm};
use sha2::{Digest, Sha256};

use crate::harness::{FREE, ask, program, read_until, signal};

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

/// Where clients and operators can connect, as the log says.
fn listening(log: &mut BufReader<ChildStdout>) -> (SocketAddr, SocketAddr) {
    let (mut data, mut admin) = (None, None);
    loop {
        let line = read_until(log, "\"listening\"").pop().unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["address"].as_str().unwrap().parse().ok();
        match line["purpose"].as_str().unwrap() {
            "data" => data = address,
            _ => admin = address,
        }
        if let (Some(data), Some(admin)) = (data, admin) {
            return (data, admin);
        }
    }
}

#[test]
fn run_serves_until_it_is_asked_to_stop() {
    let folder = configured(FREE, FREE, crm());
    let mut child = run(folder.path()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let (gate, admin) = listening(&mut log);
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
fn run_with_faulty_policies_says_so_and_is_not_ready() {
    let folder = configured(FREE, FREE, "127.0.0.1:1".parse().unwrap());
    let config = folder.path().join("fieldgate.yaml");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let faulty = root.join("tests/fixtures/policies/ten_faults");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace(root.join("policies").to_str().unwrap(), faulty.to_str().unwrap());
    std::fs::write(&config, text).unwrap();

    let mut child = run(folder.path()).spawn().unwrap();
    let (gate, admin) = listening(&mut BufReader::new(child.stdout.take().unwrap()));
    assert!(ask(admin, "GET /readyz", "", "").starts_with("HTTP/1.1 503 "));
    assert!(ask(gate, "GET /api/v1/leads/1/", "demo-admin", "").starts_with("HTTP/1.1 503 "));
    signal(&child, "TERM");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.contains("policy::unknown_word"), "{said}");
    assert!(
        said.ends_with("not ready: every request is refused until policies and keys are good\n")
    );
}
