//! `fieldgate runs`: runs of workflows, at rest or live.

mod change;
mod list;
mod place;
mod show;
pub(in crate::cli) mod tree;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failed};
use super::heading;
use crate::store::Schema;
use crate::workflow::runs;

/// What the commands find in a store.
const SCHEMAS: &[Schema] = &[runs::SCHEMA];

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate runs list --data-dir /var/lib/fieldgate --status failed\n",
    "  fieldgate runs show 0190a5c8\n",
    "  fieldgate runs retry 0190a5c8\n",
    "  fieldgate runs cancel 0190a5c8-7e60-7cc3-98c8-dc0c0c07398f\n\n",
    heading!("Exit codes"),
    "  0  done\n",
    "  1  the run stands so that this cannot be done with it\n",
    "  2  there is no such run\n",
    "  3  the data folder cannot be used",
);

/// Read the runs of workflows, take them back, begin them again
///
/// Works on the data folder of a Fieldgate that runs, or of one that is stopped; where the
/// configuration has `workflows.nats`, on the runs that its sidecars share. A run is named by its id,
/// or by the beginning of it.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Runs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    List(list::List),
    Show(show::Show),
    Retry(change::Retry),
    Cancel(change::Cancel),
}

impl Runs {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        match self.command {
            RunsCommand::List(list) => list.execute(),
            RunsCommand::Show(show) => show.execute(),
            RunsCommand::Retry(retry) => retry.execute(),
            RunsCommand::Cancel(cancel) => cancel.execute(),
        }
    }
}
