//! `fieldgate events replay` and `fieldgate events retry`.

use clap::Args;
use rusqlite::Transaction;
use time::OffsetDateTime;
use uuid::Uuid;

use super::show::unknown;
use super::{SCHEMAS, which};
use crate::cli::data_dir::{DataDir, cannot_use};
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal;
use crate::diagnostic::suggest;
use crate::event::journal::{self, Chosen};

/// Deliver events again, with the ids that they had
///
/// A running Fieldgate begins at once; a stopped one at its next start. Order per record is kept.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// All events from this time on: `15m`, `2h`, `7d`, `2026-11-01` or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = which::moment, required_unless_present = "id")]
    since: Option<OffsetDateTime>,
    /// One event
    #[arg(long, value_name = "ID", conflicts_with = "since")]
    id: Option<Uuid>,
    /// Only to this sink [default: to all]
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
    #[command(flatten)]
    at: DataDir,
}

/// Give dead letters another round of attempts
#[derive(Debug, Args)]
pub(super) struct Retry {
    /// Only those of this time on
    #[arg(long, value_name = "TIME", value_parser = which::moment)]
    since: Option<OffsetDateTime>,
    /// Only this event
    #[arg(long, value_name = "ID", conflicts_with = "since")]
    id: Option<Uuid>,
    /// Only those of this sink
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
    #[command(flatten)]
    at: DataDir,
}

/// What is done to the chosen events of a sink; says to how many.
type Verb = fn(&Transaction<'_>, Chosen, Option<&str>, OffsetDateTime) -> rusqlite::Result<usize>;

impl Replay {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        again(&self.at, journal::replay, self.id, self.since, self.sink.as_deref())
    }
}

impl Retry {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        again(&self.at, journal::retry, self.id, self.since, self.sink.as_deref())
    }
}

fn again(
    at: &DataDir,
    verb: Verb,
    id: Option<Uuid>,
    since: Option<OffsetDateTime>,
    sink: Option<&str>,
) -> Result<Exit, Failed> {
    let chosen = match (id, since) {
        (Some(id), _) => Chosen::Event(id),
        (None, Some(since)) => Chosen::Since(since),
        (None, None) => Chosen::All,
    };
    let mut visitor = at.write(SCHEMAS)?;
    let sinks = visitor.read(journal::sink_names).map_err(|error| cannot_use(&error))?;
    if let Some(sink) = sink
        && !sinks.iter().any(|known| known == sink)
    {
        return Err(Failed::usage(format!("there is no sink `{sink}`"))
            .help(suggest(sink, sinks.iter().map(String::as_str))));
    }
    if let Some(id) = id
        && visitor.read(|all| journal::show(all, id)).map_err(|error| cannot_use(&error))?.is_none()
    {
        return Err(unknown(id));
    }
    let now = OffsetDateTime::now_utc();
    let done = visitor
        .write(|inside| verb(inside, chosen, sink, now))
        .map_err(|error| cannot_use(&error))?;
    let deliveries = if done == 1 { "delivery" } else { "deliveries" };
    terminal::tell(&format!("{done} {deliveries} to be made\n"));
    Ok(Exit::Good)
}
