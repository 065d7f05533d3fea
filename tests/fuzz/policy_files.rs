//! Policy files: a set or findings that can be shown, and a set is one that can be used.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fieldgate::diagnostic::{Finding, SourceFile, count, render};
use fieldgate::policy::plan::{Plan, Purpose, Scope};
use fieldgate::policy::{self, PolicySet, RouteTable};

use super::document::Document;
use super::plans::filter;

/// A clean folder, as in the fixtures of the findings; the input replaces files of it.
const BASE: [(&str, &str); 2] = [
    (
        "resources/lead.yaml",
        "resource: lead\nroutes:\n  - { methods: [GET], path: /api/v1/leads/, records: \"$[*]\" }\n",
    ),
    ("roles/viewer.yaml", "role: viewer\n"),
];

const ANSWER: &[u8] = br#"[{"id":1,"email":"x@example.com","owner":{"email":null}},[],{"a":[{}]}]"#;

/// Files, each behind a line `==> name`.
pub fn policy_files(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut files: BTreeMap<&str, &str> = BASE.into_iter().collect();
    files.extend(text.split("==> ").skip(1).filter_map(|file| file.split_once('\n')));
    let files: Vec<Arc<SourceFile>> =
        files.into_iter().map(|(name, text)| SourceFile::new(name, text)).collect();
    let read = policy::read(Path::new(""), &files);
    assert_eq!(read.set.is_none(), count(&read.findings).0 > 0, "a set and errors, or neither");
    check_shown(&read.findings);
    if let Some(set) = read.set {
        check_used(&set);
    }
}

/// Every finding has a place, and can be drawn there.
pub(crate) fn check_shown(findings: &[Finding]) {
    for finding in findings {
        assert!(!finding.message().is_empty());
        assert!(finding.position().is_none_or(|(_, line, column)| line > 0 && column > 0));
    }
    for width in [40, 100] {
        let text = render(findings, false, width);
        assert_eq!(text.is_empty(), findings.is_empty());
    }
}

fn check_used(set: &PolicySet) {
    RouteTable::new(set).expect("a checked set has routes that can be told apart");
    let roles: Vec<_> = set.roles.values().map(Arc::as_ref).collect();
    let scopes = set
        .resources
        .values()
        .flat_map(|resource| resource.routes.iter().map(|route| Some(Scope { resource, route })));
    for scope in scopes.chain([None]) {
        let plan = Plan::compile(scope, &roles, &set.global, Purpose::Read);
        let Ok(plan) = plan else { continue };
        let (out, end) = filter(&plan, [ANSWER]);
        assert!(end.is_err() || Document::read(&out).is_some());
    }
}
