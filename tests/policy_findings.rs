//! What security teams see when a policy is wrong: golden texts of `fieldgate check`'s findings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fieldgate::diagnostic::{Finding, SourceFile, count, render};
use fieldgate::policy::{self, RouteTable};

const WIDTH: usize = 100;

/// A clean folder; each case replaces files of it, or removes them by the text `-`.
const BASE: [(&str, &str); 2] = [
    (
        "resources/lead.yaml",
        r#"resource: lead
routes:
  - { methods: [GET], path: /api/v1/leads/, records: "$[*]" }
fields:
  "$..email": { pii: true, mask: redact }
"#,
    ),
    ("roles/viewer.yaml", "role: viewer\n"),
];

fn findings_of_case(case: &str) -> Vec<Finding> {
    let mut files: BTreeMap<&str, &str> = BASE.into_iter().collect();
    files.extend(case.split("==> ").skip(1).filter_map(|file| file.split_once('\n')));
    files.retain(|_, text| *text != "-\n");
    let files: Vec<Arc<SourceFile>> =
        files.into_iter().map(|(name, text)| SourceFile::new(name, text)).collect();
    let read = policy::read("".as_ref(), &files);
    assert_eq!(read.set.is_none(), count(&read.findings).0 > 0);
    read.findings
}

#[test]
fn every_class_of_fault_has_its_text() {
    insta::glob!("fixtures/policies/faults/*.txt", |path| {
        let case = std::fs::read_to_string(path).unwrap();
        let text = render(&findings_of_case(&case), false, WIDTH);
        insta::with_settings!({ snapshot_path => "snapshots/policy_findings" }, {
            insta::assert_snapshot!(text);
        });
    });
}

#[test]
fn ten_faults_in_one_folder_are_ten_findings() {
    // Tests run in the root of the package, so the golden text has the same names everywhere.
    let loaded = policy::load("tests/fixtures/policies/ten_faults".as_ref());
    assert!(loaded.set.is_none());
    assert!(count(&loaded.findings).0 >= 10);
    for finding in &loaded.findings {
        let (file, line, column) = finding.position().unwrap();
        assert!(!file.is_empty() && line > 0 && column > 0);
        assert!(finding.remedy().is_some(), "{finding}");
    }
    insta::with_settings!({ snapshot_path => "snapshots/policy_findings" }, {
        insta::assert_snapshot!("ten_faults", render(&loaded.findings, false, WIDTH));
    });
}

/// The parser words these, so only what is ours is held fast: code, file, help.
#[test]
fn broken_yaml_is_one_finding_a_file_and_hides_no_other_file() {
    let files = [
        SourceFile::new(
            "resources/lead.yaml",
            "resource: lead\nroutes:\n  - { methods: [GET], path: /leads/{id}/, records: \"$\" }\n",
        ),
        SourceFile::new("roles/a.yaml", "role: a\nlead: { \"$..email\": mask }\n"),
        SourceFile::new("roles/b.yaml", "role: b\nlead:\n  email: mask\n  email: view\n"),
        SourceFile::new("roles/c.yaml", "role: c\nlead: { email: maks }\n"),
    ];
    let read = policy::read("".as_ref(), &files);
    assert!(read.set.is_none());
    let found: Vec<_> = read
        .findings
        .iter()
        .map(|finding| (finding.position().unwrap().0, finding.code().split("::").next().unwrap()))
        .collect();
    let expect =
        [("resources/lead.yaml", "yaml"), ("roles/b.yaml", "yaml"), ("roles/c.yaml", "policy")];
    assert_eq!(found, expect);
    assert!(read.findings[0].remedy().unwrap().contains("needs quotes"));
}

#[test]
fn the_shipped_policies_have_no_finding() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let loaded = policy::load(&folder);
    assert_eq!(render(&loaded.findings, false, WIDTH), "");
    let set = loaded.set.unwrap();
    let resources: Vec<_> = set.resources.keys().map(String::as_str).collect();
    assert_eq!(resources, ["account", "activity", "contact", "deal", "lead"]);
    let roles: Vec<_> = set.roles.keys().map(String::as_str).collect();
    assert_eq!(roles, ["admin", "finance", "marketing", "sales_rep", "support"]);
    RouteTable::new(&set).unwrap();
}

/// The reference lists every code, and every code listed is one that a case shows.
#[test]
fn every_code_is_documented_and_shown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("tests/fixtures/policies/faults")).unwrap() {
        let case = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let findings = findings_of_case(&case);
        shown.extend(findings.iter().map(|finding| finding.code().to_owned()));
    }
    shown.retain(|code| code.starts_with("policy::"));
    // These come from the file system, and have their tests beside the code that reads it.
    let of_files = ["no_folder", "no_policies", "not_utf8", "too_large", "unreadable"];
    shown.extend(of_files.map(|name| format!("policy::{name}")));
    let reference = std::fs::read_to_string(root.join("docs/policies.md")).unwrap();
    let documented: BTreeSet<String> = reference
        .split('`')
        .filter(|word| word.starts_with("policy::"))
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(documented, shown);
}
