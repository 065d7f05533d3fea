//! `fieldgate workflows`: what runs when an event comes, by hand and in tests.

pub(in crate::cli) mod list;
mod run;
mod test;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::check::exit_of_folder;
use super::exit::{Exit, Failed};
use super::{heading, terminal};
use crate::policy::{self, PolicySet};

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate workflows list\n",
    "  fieldgate workflows test policies\n",
    "  fieldgate workflows run qualify_high_value_leads --record lead.json --dry-run\n",
    "  fieldgate workflows run qualify_high_value_leads --event 0190a5c8-7e60-7cc3-98c8-dc0c0c07398f\n\n",
    heading!("Exit codes"),
    "  0  done; with `test`, all tests passed\n",
    "  1  the policies have faults, or a test failed\n",
    "  2  the workflow or the event does not exist\n",
    "  3  the policy folder or the data folder cannot be used",
);

/// List, test and start workflows
///
/// A workflow is a file of `workflows/` in the policy folder: the events that start it, and what it
/// does then, one action after another.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Workflows {
    #[command(subcommand)]
    command: WorkflowsCommand,
}

#[derive(Debug, Subcommand)]
enum WorkflowsCommand {
    List(list::List),
    Run(run::Run),
    Test(test::Test),
}

impl Workflows {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        match self.command {
            WorkflowsCommand::List(list) => list.execute(),
            WorkflowsCommand::Run(run) => run.execute(),
            WorkflowsCommand::Test(test) => test.execute(),
        }
    }
}

/// The policy folder that a command looks into.
#[derive(Debug, Args)]
struct PolicyFolder {
    /// The policy folder
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
}

/// The policies of a folder; what is wrong with them is printed.
fn load(folder: &Path) -> Result<PolicySet, Failed> {
    let loaded = policy::load(folder);
    if let Some(set) = loaded.set {
        return Ok(set);
    }
    terminal::tell_findings(&loaded.findings);
    Err(Failed::told(exit_of_folder(folder)))
}
