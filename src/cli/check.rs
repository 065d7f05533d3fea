//! `fieldgate check`: every fault of the policies, and of the configuration, at once.

mod json_line;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failed};
use super::terminal::{BAD, GOOD, NOTABLE};
use super::{heading, run, terminal};
use crate::config;
use crate::diagnostic::{Finding, count, render};
use crate::mask::{self, KeyRing};
use crate::policy::{self, PolicySet};
use crate::proxy::{Governance, Tokens};

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate check\n",
    "  fieldgate check --strict deploy/policies\n",
    "  fieldgate check --config fieldgate.yaml\n",
    "  fieldgate check --format json | jq -r 'select(.severity == \"error\").file'\n\n",
    heading!("Exit codes"),
    "  0  no errors; with --strict, no warnings either\n",
    "  1  errors\n",
    "  3  the folder or the configuration cannot be read",
);

/// Find every fault of the policies
///
/// Reads a policy folder as `fieldgate run` would and prints everything that is wrong or doubtful,
/// each finding with its place and a remedy. With `--config`, the configuration, its key ring and
/// the policies that it names are checked together.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Check {
    /// The policy folder [default: policies]
    #[arg(value_name = "POLICY_DIR", conflicts_with = "config")]
    folder: Option<PathBuf>,
    /// Check this configuration, its key ring and its policies
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: the place underlined, and what to do
    Text,
    /// One finding as a JSON object a line; the summary goes to standard error
    Json,
}

/// What was found, and what there is if it is good.
#[derive(Default)]
struct Checked {
    findings: Vec<Finding>,
    /// What the policies hold, where they could be read to the end.
    holds: Option<String>,
    /// Set where what was named cannot be read at all.
    is_unreadable: bool,
}

impl Check {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let checked = match &self.config {
            Some(config) => check_config(config),
            None => check_folder(self.folder.as_deref().unwrap_or(Path::new("policies"))),
        };
        let (errors, warnings) = count(&checked.findings);
        let summary = checked.summary(errors, warnings);
        match self.format {
            Format::Text => {
                let findings = render(&checked.findings, true, terminal::width());
                terminal::print(&format!("{findings}{summary}\n"))?;
            }
            Format::Json => {
                terminal::print(&json_line::lines(&checked.findings))?;
                terminal::tell(&format!("{summary}\n"));
            }
        }
        Ok(match errors + if self.strict { warnings } else { 0 } {
            _ if checked.is_unreadable => Exit::CouldNotRun,
            0 => Exit::Good,
            _ => Exit::Findings,
        })
    }
}

impl Checked {
    fn summary(&self, errors: usize, warnings: usize) -> String {
        let style = match (errors, warnings) {
            (0, 0) => GOOD,
            (0, _) => NOTABLE,
            _ => BAD,
        };
        let found = match (errors, warnings) {
            (0, 0) => "no findings".to_owned(),
            (0, _) => counted(warnings, "warning"),
            (_, 0) => counted(errors, "error"),
            _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        };
        let holds = self.holds.as_ref().map_or(String::new(), |holds| format!(": {holds}"));
        format!("{style}{found}{style:#}{holds}")
    }
}

/// What findings about a folder mean: faults in it, or that it cannot be read at all.
pub(super) fn exit_of_folder(folder: &Path) -> Exit {
    if fs::read_dir(folder).is_ok() { Exit::Findings } else { Exit::CouldNotRun }
}

fn check_folder(folder: &Path) -> Checked {
    let mut checked = Checked::default();
    // Which key ring there will be is the configuration's business.
    if let Some(set) = checked.read_policies(folder) {
        let prepared = Governance::prepare(set, None, Tokens::Forgotten).err().unwrap_or_default();
        let not_about_keys = |finding: &Finding| finding.code() != "plan::key_missing";
        checked.findings.extend(prepared.into_iter().filter(not_about_keys));
    }
    checked
}

fn check_config(path: &Path) -> Checked {
    let mut checked = Checked::default();
    match config::load(path, &|name| std::env::var(name).ok()) {
        Err(findings) => {
            checked.is_unreadable = run::exit_of_file(path) == Exit::CouldNotRun;
            checked.findings = findings;
        }
        Ok(loaded) => {
            checked.findings = loaded.warnings;
            let settings = &loaded.settings;
            let keys = settings.keys.as_deref().map(mask::load).transpose();
            let has_map = settings.data_dir.is_some();
            let tokens = if has_map { Tokens::Forgotten } else { Tokens::Impossible };
            checked.check_with_keys(&settings.policies, keys, tokens);
        }
    }
    checked
}

impl Checked {
    fn check_with_keys(
        &mut self,
        folder: &Path,
        keys: Result<Option<KeyRing>, Vec<Finding>>,
        tokens: Tokens,
    ) {
        let set = self.read_policies(folder);
        match (set, keys) {
            (Some(set), Ok(keys)) => {
                let prepared = Governance::prepare(set, keys.map(Arc::new), tokens);
                self.findings.extend(prepared.err().unwrap_or_default());
            }
            (None, Ok(_)) => {}
            (_, Err(findings)) => self.findings.extend(findings),
        }
    }

    fn read_policies(&mut self, folder: &Path) -> Option<PolicySet> {
        let loaded = policy::load(folder);
        self.findings.extend(loaded.findings);
        self.is_unreadable = exit_of_folder(folder) == Exit::CouldNotRun;
        self.holds = loaded.set.as_ref().map(what_it_holds);
        loaded.set
    }
}

fn what_it_holds(set: &PolicySet) -> String {
    let routes = set.resources.values().map(|resource| resource.routes.len()).sum();
    format!(
        "{}, {}, {}, revision {}",
        counted(set.resources.len(), "resource"),
        counted(set.roles.len(), "role"),
        counted(routes, "route"),
        set.revision
    )
}

fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
