//! `fieldgate audit`: query, verify, subject, export.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldgate::audit::{AuditEntry, FieldEntry, Kind, Ledger, LedgerParts, Outcome, SCHEMA};
use fieldgate::config::{Audit, AuditMode, Telemetry as Settings};
use fieldgate::mask;
use fieldgate::store::{DATABASE, OpenError, Options, Store};
use fieldgate::telemetry::{MemoryLog, Telemetry};
use tempfile::TempDir;

use crate::harness::{Ran, argument, check, run};

const RING: &str =
    "active: k1\nkeys: { k1: { secret: \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\" } }\n";

/// A data folder with a ledger of six entries, and the key ring that signed it.
struct Kept {
    folder: TempDir,
}

fn entry(number: u64) -> AuditEntry {
    let is_masked = number.is_multiple_of(2);
    let field = |field: &str, act: &str, line: u64| FieldEntry {
        field: field.to_owned(),
        act: act.to_owned(),
        count: 1,
        rule: format!("support:{field}"),
        origin: format!("roles/support.yaml:{line}"),
    };
    AuditEntry {
        time: format!("2026-03-0{number}T05:06:07.890Z"),
        kind: Kind::Answer,
        subject: Some(if is_masked { "u-7" } else { "u-8" }.to_owned()),
        roles: vec!["support".to_owned()],
        tenant: Some("acme".to_owned()),
        object_type: Some("lead".to_owned()),
        objects: vec![(40 + number % 3).to_string()],
        object_count: 1,
        fields: if is_masked {
            vec![field("$.email", "masked", 7), field("$.phone", "shown", 9)]
        } else {
            vec![field("$.notes", "hidden", 12)]
        },
        masked: u64::from(is_masked),
        hidden: u64::from(!is_masked),
        policy_revision: Some("0123456789ab".to_owned()),
        correlation_id: format!("abc-{number}"),
        method: "GET".to_owned(),
        route: Some("/api/v1/leads/{id}/".to_owned()),
        status: Some(200),
        outcome: Some(Outcome::Sent),
        reason: None,
    }
}

fn kept() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.yaml");
    std::fs::write(&keys, RING).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let kept = Kept { folder };
    let (ledger, store) = kept.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for number in 1..=6 {
        runtime.block_on(ledger.require(entry(number))).unwrap();
    }
    ledger.close();
    store.close();
    kept
}

impl Kept {
    fn data(&self) -> String {
        argument(&self.folder.path().join("data")).to_owned()
    }

    fn keys(&self) -> String {
        argument(&self.folder.path().join("keys.yaml")).to_owned()
    }

    /// Opens it as a running gate does.
    fn open(&self) -> (Ledger, Store) {
        let data = self.folder.path().join("data");
        let store = loop {
            match Store::open(&data, &[SCHEMA], &Options::default()) {
                Ok(store) => break store,
                // A program that another test starts has a copy of every open file until it runs, of
                // the lock that was just given back as well.
                Err(OpenError::Owned(_)) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        let ring = Arc::new(mask::load(Path::new(&self.keys())).unwrap());
        let telemetry = Telemetry::start(&Settings::default(), Box::new(MemoryLog::new())).unwrap();
        let settings = Audit {
            mode: AuditMode::Required,
            keep: Duration::from_secs(3650 * 24 * 3600),
            queue: 64,
        };
        let keys = Box::new(move || Some(Arc::clone(&ring)));
        let parts = LedgerParts { store: store.clone(), settings, keys, telemetry };
        (Ledger::start(parts).unwrap(), store)
    }

    fn damage(&self, sql: &str) {
        let database = self.folder.path().join("data").join(DATABASE);
        rusqlite::Connection::open(database).unwrap().execute_batch(sql).unwrap();
    }

    fn verify(&self, more: &[&str]) -> Ran {
        let (data, keys) = (self.data(), self.keys());
        run(&[&["audit", "verify", "--data-dir", &data, "--keys", &keys], more].concat())
    }

    fn ask(&self, command: &[&str]) -> Ran {
        let data = self.data();
        let ran = run(&[&["audit"], command, &["--data-dir", &data]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }
}

#[test]
fn what_was_asked_and_answered() {
    let kept = kept();
    for (name, command) in [
        ("query", &["query"][..]),
        ("query_user", &["query", "--user", "u-7", "--since", "2026-03-03"]),
        ("query_field", &["query", "--field", "notes", "--limit", "2", "--format", "csv"]),
        ("subject", &["subject", "lead/42"]),
        ("subject_csv", &["subject", "lead/42", "--format", "csv"]),
        ("export", &["export", "--until", "2026-03-03T00:00:00Z"]),
    ] {
        let ran = kept.ask(command);
        insta::assert_snapshot!(format!("audit_{name}"), format!("{}---\n{}", ran.out, ran.err));
    }
    assert_eq!(kept.ask(&["query", "--user", "nobody"]).err, "0 entries\n");
}

#[test]
fn a_whole_ledger() {
    let kept = kept();
    let ran = kept.verify(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!("audit_verify", ran.out);
    // What the last line says can be held against it later.
    let anchor = ran.out.lines().last().unwrap().strip_prefix("whole; ends at ").unwrap();
    assert_eq!(kept.verify(&["--anchor", anchor]).code, 0);
    let other = anchor.replace("6:", "5:");
    let ran = kept.verify(&["--anchor", &other]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("entry 5 is not the one that was named"), "{ran:?}");

    let data = kept.data();
    let unsigned = check(&["audit", "verify", "--data-dir", &data], 0, "give `--keys`");
    assert!(unsigned.out.contains("signatures not checked"), "{unsigned:?}");
    let public = kept.verify(&["--show-public-key"]).out;
    let public = public.trim_end();
    let arguments = ["audit", "verify", "--data-dir", &data, "--public-key", public];
    let by_public = check(&arguments, 0, "");
    assert!(by_public.out.contains("signatures checked"), "{by_public:?}");
    let foreign = format!("k1={}", "0".repeat(64));
    let arguments = ["audit", "verify", "--data-dir", &data, "--public-key", &foreign];
    assert_eq!(run(&arguments).code, 1);
}

#[test]
fn a_running_gate_is_no_obstacle() {
    let kept = kept();
    let (ledger, store) = kept.open();
    assert_eq!(kept.verify(&[]).code, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ledger.require(entry(7))).unwrap();
    assert_eq!(kept.ask(&["query"]).err, "7 entries\n");
    assert_eq!(kept.verify(&[]).code, 0);
    ledger.close();
    store.close();
}

#[track_caller]
fn check_found(sql: &str, said: &str) {
    let kept = kept();
    kept.damage(sql);
    let ran = kept.verify(&[]);
    assert_eq!(ran.code, 1, "{sql}: {ran:?}");
    assert!(ran.out.contains(said), "{sql}: {ran:?}");
    assert!(ran.out.contains("\nnot whole, "), "{sql}: {ran:?}");
}

#[test]
fn whatever_was_done_to_it_is_found() {
    let of_objects = |condition: &str| {
        format!(
            "DELETE FROM audit_entry WHERE {condition}; DELETE FROM audit_object WHERE {condition}"
        )
    };
    check_found(
        "UPDATE audit_entry SET entry = replace(entry, 'support', 'admin') WHERE number = 3",
        "entry 3 was changed, or another was put in its place\n",
    );
    check_found(&of_objects("number = 3"), "entry 3 is missing\n");
    check_found(&of_objects("number >= 5"), "entries 5 to 6 are missing\n");
    check_found(
        "UPDATE audit_entry SET number = -1 WHERE number = 3;
         UPDATE audit_entry SET number = 3 WHERE number = 4;
         UPDATE audit_entry SET number = 4 WHERE number = -1;",
        "entry 3 was changed, or another was put in its place\n",
    );
}

#[test]
fn exports_are_private_and_never_overwrite() {
    let kept = kept();
    let out = kept.folder.path().join("all.jsonl");
    let ran = kept.ask(&["export", "--out", argument(&out)]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "6 entries\n"));
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = std::fs::read_to_string(&out).unwrap();
    assert_eq!(lines, kept.ask(&["export"]).out);
    let data = kept.data();
    let again = ["audit", "export", "--data-dir", &data, "--out", argument(&out)];
    check(&again, 3, "exists already");

    // The chain can be checked from the lines alone.
    let mut before = [0; 32];
    for (index, line) in lines.lines().enumerate() {
        use sha2::{Digest as _, Sha256};
        let (head, rest) = line.split_once(",\"entry\":").unwrap();
        let text = rest.strip_suffix('}').unwrap();
        let number = (index as u64 + 1).to_be_bytes();
        let hashed = [b"fieldgate audit v1\0", &before[..], &number, text.as_bytes()].concat();
        before = Sha256::digest(hashed).into();
        assert!(head.contains(&data_encoding::HEXLOWER.encode(&before)), "{line}");
    }
}

#[test]
fn what_cannot_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let data = argument(folder.path());
    check(&["audit", "query", "--data-dir", data], 3, "there is no store in");
    check(&["audit", "verify", "--data-dir", "no/such"], 3, "there is no store in");
    check(&["audit", "query", "--config", "no/such.yaml"], 3, "cannot read `no/such.yaml`");
    check(&["audit", "query", "--data-dir", data, "--since", "yesterday"], 2, "is no time");
    check(&["audit", "subject", "42", "--data-dir", data], 2, "`42` is no record");
    check(&["audit", "verify", "--data-dir", data, "--anchor", "7"], 2, "64 hex digits");
    check(&["audit", "verify", "--data-dir", data, "--public-key", "k1=00"], 2, "64 hex digits");
    check(&["audit", "verify", "--data-dir", data, "--keys", "no/such.yaml"], 3, "key ring file");
}
