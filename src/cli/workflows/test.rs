//! `fieldgate workflows test`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::load;
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal::{self, BAD, GOOD};
use crate::diagnostic::Finding;
use crate::workflow::trial;

/// Try the tests that stand beside workflows
///
/// `workflows/tests/*.yaml` give events, as a role sees them, and what they are to start: which
/// runs, and what each action does with its templates filled in. Nothing is performed.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The policy folder
    #[arg(value_name = "POLICY_DIR", default_value = "policies")]
    folder: PathBuf,
}

impl Test {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let set = load(&self.folder)?;
        let tried = trial::try_all(&set);
        let mut text = String::new();
        for one in &tried {
            let (style, word) =
                if one.findings.is_empty() { (GOOD, "passed") } else { (BAD, "failed") };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{style}{word}{style:#}  {}", one.test.name);
        }
        let findings: Vec<Finding> =
            tried.iter().flat_map(|one| one.findings.iter().cloned()).collect();
        let failed = tried.iter().filter(|one| !one.findings.is_empty()).count();
        terminal::print(&text)?;
        terminal::tell_findings(&findings);
        terminal::tell(&match (tried.len(), failed) {
            (0, _) => "no tests: write one under `workflows/tests/`\n".to_owned(),
            (all, 0) => format!("{all} passed\n"),
            (all, failed) => format!("{failed} of {all} failed\n"),
        });
        Ok(if failed == 0 { Exit::Good } else { Exit::Findings })
    }
}
