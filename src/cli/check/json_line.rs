//! Findings for programs: one JSON object a line.

use serde::Serialize;

use crate::diagnostic::{Finding, Severity};

/// What a line says. A finding about no place in a file has no file, line and column.
#[derive(Serialize)]
struct Printed<'a> {
    code: &'a str,
    severity: &'static str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    help: Option<&'a str>,
}

/// All findings, each on a line of its own.
pub(super) fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let position = finding.position();
        let line = Printed {
            code: finding.code(),
            severity: match finding.severity() {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            message: finding.message(),
            file: position.map(|(file, _, _)| file),
            line: position.map(|(_, line, _)| line),
            column: position.map(|(_, _, column)| column),
            help: finding.remedy(),
        };
        // Texts and numbers alone: this cannot fail, and a line that did would not be silent.
        text.push_str(&serde_json::to_string(&line).unwrap_or_else(|error| error.to_string()));
        text.push('\n');
    }
    text
}
