//! `fieldgate check`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fieldgate::diagnostic::{count, render};
use fieldgate::policy;
use serde_json::Value;

use crate::harness::{DOUBTFUL, argument, check, finish, folder, program, run};

const TEN_FAULTS: &str = "tests/fixtures/policies/ten_faults";

#[test]
fn the_shipped_policies_have_no_findings() {
    for arguments in [&["check"][..], &["check", "policies"], &["check", "--strict"]] {
        let ran = check(arguments, 0, "");
        let summary = "no findings: 5 resources, 5 roles, 16 routes, revision ";
        assert!(ran.out.starts_with(summary), "{ran:?}");
        assert_eq!(ran.out.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn every_fault_of_a_folder_is_printed() {
    let ran = check(&["check", TEN_FAULTS], 1, "");
    let findings = policy::load(TEN_FAULTS.as_ref()).findings;
    let (errors, _) = count(&findings);
    assert!(errors >= 10);
    assert_eq!(ran.out, format!("{}{errors} errors\n", render(&findings, false, 100)));
}

#[test]
fn the_width_is_that_of_the_terminal() {
    for columns in ["60", "80"] {
        let ran = finish(program().args(["check", TEN_FAULTS]).env("COLUMNS", columns), b"");
        let findings = policy::load(TEN_FAULTS.as_ref()).findings;
        let expect = render(&findings, false, columns.parse().unwrap());
        assert!(ran.out.starts_with(&expect), "{columns}: {}", ran.out);
    }
}

#[test]
fn findings_for_programs() {
    let ran = check(&["check", "--format", "json", TEN_FAULTS], 1, "11 errors\n");
    let findings = policy::load(TEN_FAULTS.as_ref()).findings;
    assert_eq!(ran.out.lines().count(), findings.len());
    for (line, finding) in ran.out.lines().zip(&findings) {
        let line: Value = serde_json::from_str(line).unwrap();
        let (file, row, column) = finding.position().unwrap();
        assert_eq!(
            line,
            serde_json::json!({
                "code": finding.code(),
                "severity": "error",
                "message": finding.message(),
                "file": file,
                "line": row,
                "column": column,
                "help": finding.remedy(),
            })
        );
    }
}

#[test]
fn warnings_count_when_asked_to() {
    let folder = folder(&DOUBTFUL);
    let policies = folder.path().join("policies");
    let lenient = check(&["check", argument(&policies)], 0, "");
    assert!(lenient.out.contains("policy::pii_not_recursive"), "{lenient:?}");
    assert!(lenient.out.contains("\n1 warning: 1 resource, 1 role, 1 route, "), "{lenient:?}");
    let strict = check(&["check", "--strict", argument(&policies)], 1, "");
    assert_eq!(strict.out, lenient.out);
    let json = check(&["check", "--format", "json", argument(&policies)], 0, "1 warning: ");
    assert!(json.out.contains("\"severity\":\"warning\""), "{json:?}");
}

#[test]
fn what_cannot_be_read() {
    let ran = check(&["check", "no/such/folder"], 3, "");
    assert!(ran.out.contains("there is no policy folder `no/such/folder`"), "{ran:?}");
    check(&["check", "Cargo.toml"], 3, "");
    let ran = check(&["check", "--format", "json", "no/such/folder"], 3, "1 error\n");
    let line: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&line["code"], &line["file"]), (&"policy::no_folder".into(), &Value::Null));
    check(&["check", "--config", "no/such.yaml"], 3, "");
    check(&["check", "--config", "policies"], 3, "");
    let empty = tempfile::tempdir().unwrap();
    check(&["check", argument(empty.path())], 1, "");
}

const CONFIG: &str = "upstream: http://127.0.0.1:8081
identity:
  - static_tokens:
      - sha256: \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"
        subject: test
        roles: [viewer]
";

/// Checks a configuration in a folder of its own, together with `files`.
#[track_caller]
fn check_config(config: &str, files: &[(&str, &str)], code: i32, found: &[&str]) {
    let folder = folder(&DOUBTFUL);
    for (name, text) in [("fieldgate.yaml", config)].iter().chain(files) {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let ran = run(&["check", "--config", argument(&folder.path().join("fieldgate.yaml"))]);
    assert_eq!(ran.code, code, "{ran:?}");
    for found in found {
        assert!(ran.out.contains(found), "no {found}: {}", ran.out);
    }
}

#[test]
fn a_configuration_is_checked_with_its_policies_and_keys() {
    check_config(CONFIG, &[], 0, &["policy::pii_not_recursive", "1 warning: 1 resource"]);
    check_config(&format!("{CONFIG}lisen: 1\n"), &[], 1, &["did you mean `listen`?", "1 error"]);
    let role = ("policies/roles/viewer.yaml", "role: viewer\ndefault: wiew\n");
    check_config(CONFIG, &[role], 1, &["did you mean `view`?", "1 error"]);

    let keyed = DOUBTFUL[0].1.replace("mask: redact", "mask: hash");
    let keyed = ("policies/resources/lead.yaml", keyed.as_str());
    check_config(CONFIG, &[keyed], 1, &["plan::key_missing", "1 error, 1 warning"]);
    let with_keys = format!("{CONFIG}keys: keys.yaml\n");
    check_config(&with_keys, &[keyed, ("keys.yaml", "active: k1\n")], 1, &["1 error"]);
    let ring = run(&["keys", "new"]).out;
    check_config(&with_keys, &[keyed, ("keys.yaml", &ring)], 0, &["1 warning: 1 resource"]);
}

#[test]
fn without_a_configuration_nothing_is_said_of_keys() {
    let keyed = DOUBTFUL[0]
        .1
        .replace("email: { pii: true, mask: redact }", "\"$..email\": { pii: true, mask: hash }");
    let folder = folder(&[("resources/lead.yaml", &keyed), ("roles/viewer.yaml", "role: viewer")]);
    let ran = check(&["check", "--strict", argument(folder.path())], 0, "");
    assert!(ran.out.starts_with("no findings: 1 resource, 1 role, 1 route, "), "{ran:?}");
}

/// What only shows when the policies are made ready for requests is found without keys as well.
#[test]
fn a_list_of_leads_that_no_route_answers() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["", "resources", "roles"] {
        fs::create_dir_all(folder.path().join(part)).unwrap();
        for entry in fs::read_dir(Path::new("policies").join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let name = path.file_name().unwrap();
                fs::copy(&path, folder.path().join(part).join(name)).unwrap();
            }
        }
    }
    check(&["check", argument(folder.path())], 0, "");
    let scoring = folder.path().join("scoring.yaml");
    let text = fs::read_to_string(&scoring).unwrap();
    fs::write(&scoring, text.replace("/api/v1/leads/?page_size", "/api/v1/people/?page_size"))
        .unwrap();
    let ran = check(&["check", argument(folder.path())], 1, "");
    assert!(ran.out.contains("plan::listing"), "{ran:?}");
}
