//! `fieldgate events`: the journal of domain events, at rest or live.

mod again;
mod dead;
mod list;
mod show;
mod table;
mod tail;
mod which;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failed};
use super::heading;
use crate::event::{journal, seen};
use crate::store::Schema;

/// What the commands find in a store.
const SCHEMAS: &[Schema] = &[journal::SCHEMA, seen::SCHEMA];

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate events list --data-dir /var/lib/fieldgate --type 'deal.*' --since 1h\n",
    "  fieldgate events list --subject deal/42 --json --role integration\n",
    "  fieldgate events show 0190a5c8-7e60-7cc3-98c8-dc0c0c07398f\n",
    "  fieldgate events tail --json | jq .type\n",
    "  fieldgate events replay --since 2026-11-01 --sink billing\n",
    "  fieldgate events dead\n",
    "  fieldgate events retry --sink billing\n\n",
    heading!("Exit codes"),
    "  0  done\n",
    "  2  the event or the sink does not exist, or the command line makes no sense\n",
    "  3  the data folder cannot be used",
);

/// Read the journal of events, and deliver again
///
/// Works on the data folder of a Fieldgate that runs, or of one that is stopped. What an event says
/// is kept as each sink's role may see it, so nothing that is printed here was ever unmasked.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Events {
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    List(list::List),
    Show(show::Show),
    Tail(tail::Tail),
    Replay(again::Replay),
    Dead(dead::Dead),
    Retry(again::Retry),
}

impl Events {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        match self.command {
            EventsCommand::List(list) => list.execute(),
            EventsCommand::Show(show) => show.execute(),
            EventsCommand::Tail(tail) => tail.execute(),
            EventsCommand::Replay(replay) => replay.execute(),
            EventsCommand::Dead(dead) => dead.execute(),
            EventsCommand::Retry(retry) => retry.execute(),
        }
    }
}
