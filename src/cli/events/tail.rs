//! `fieldgate events tail`.

use std::time::Duration;

use clap::Args;

use super::which::Which;
use super::{SCHEMAS, table};
use crate::cli::data_dir::{DataDir, cannot_use};
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal;
use crate::event::journal::{self, Filter};

/// How often the journal is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Events read at a time.
const BATCH: usize = 500;

/// Print events as they come, until Ctrl-C
#[derive(Debug, Args)]
pub(super) struct Tail {
    #[command(flatten)]
    which: Which,
    /// One `CloudEvent` a line
    #[arg(long)]
    json: bool,
    /// With `--json`: what the events say, as this role may see it
    #[arg(long, value_name = "ROLE", requires = "json")]
    role: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "COUNT")]
    count: Option<usize>,
    #[command(flatten)]
    at: DataDir,
}

impl Tail {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let visitor = self.at.look(SCHEMAS)?;
        let filter = self.which.filter();
        // Without a time to begin at, only what comes from now on.
        let mut after = if filter.since.is_some() {
            0
        } else {
            let newest = visitor.read(|all| journal::list(all, &Filter::default(), 1));
            newest
                .map_err(|error| cannot_use(&error))?
                .last()
                .map_or(0, |newest| newest.entry.position)
        };
        let mut left = self.count.unwrap_or(usize::MAX);
        if !self.json {
            terminal::print(&table::heading())?;
        }
        while left > 0 {
            let batch = visitor.read(|connection| {
                let listed = journal::tail(connection, &filter, after, BATCH.min(left))?;
                let source = journal::source(connection)?;
                let mut lines = Vec::with_capacity(listed.len());
                for one in listed {
                    let position = one.entry.position;
                    let text = if self.json {
                        let role = self.role.as_deref();
                        table::cloud_event(connection, one.entry, &source, role)?
                    } else {
                        table::line(&one)
                    };
                    lines.push((position, text));
                }
                Ok(lines)
            });
            let batch = batch.map_err(|error| cannot_use(&error))?;
            if batch.is_empty() {
                std::thread::sleep(LOOK_EVERY);
            }
            for (position, text) in batch {
                terminal::print(&text)?;
                after = position;
                left -= 1;
            }
        }
        Ok(Exit::Good)
    }
}
