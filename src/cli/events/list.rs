//! `fieldgate events list`.

use clap::Args;

use super::which::Which;
use super::{SCHEMAS, table};
use crate::cli::data_dir::{DataDir, cannot_use};
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal;
use crate::event::journal;

/// List events, the oldest first
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// Only the newest so many; 0 means all
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// One `CloudEvent` a line
    #[arg(long)]
    json: bool,
    /// With `--json`: what the events say, as this role may see it
    ///
    /// Without it, data is printed only where it is the same for every role that reads the event.
    #[arg(long, value_name = "ROLE", requires = "json")]
    role: Option<String>,
    #[command(flatten)]
    at: DataDir,
}

impl List {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let visitor = self.at.look(SCHEMAS)?;
        // SQLite takes numbers up to this.
        let most = usize::try_from(i64::MAX).unwrap_or(usize::MAX);
        let limit = if self.limit == 0 { most } else { self.limit };
        let text = visitor.read(|connection| {
            let listed = journal::list(connection, &self.which.filter(), limit)?;
            let mut text = String::new();
            if self.json {
                for one in listed {
                    let source = journal::source(connection)?;
                    let role = self.role.as_deref();
                    text += &table::cloud_event(connection, one.entry, &source, role)?;
                }
                return Ok(text);
            }
            if !listed.is_empty() {
                text += &table::heading();
            }
            text.extend(listed.iter().map(table::line));
            Ok(text)
        });
        let text = text.map_err(|error| cannot_use(&error))?;
        if text.is_empty() && !self.json {
            terminal::tell("no events\n");
        }
        terminal::print(&text)?;
        Ok(Exit::Good)
    }
}
