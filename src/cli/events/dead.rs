//! `fieldgate events dead`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::{SCHEMAS, table};
use crate::cli::data_dir::{DataDir, cannot_use};
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal::{self, BAD, QUIET};
use crate::event::journal;

/// List dead letters: events that a sink did not take after the last attempt
///
/// They are kept until `fieldgate events retry` delivers them.
#[derive(Debug, Args)]
pub(super) struct Dead {
    /// Only those of this sink
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: DataDir,
}

impl Dead {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let visitor = self.at.look(SCHEMAS)?;
        let letters = visitor
            .read(|connection| journal::dead_letters(connection, self.sink.as_deref(), self.limit))
            .map_err(|error| cannot_use(&error))?;
        if letters.is_empty() && !self.json {
            terminal::tell("no dead letters\n");
        }
        let mut text = String::new();
        if !letters.is_empty() && !self.json {
            let _ = writeln!(
                text,
                "{QUIET}{:<20} {:<16} {:<24} {:<18} {:<36} LAST FAILURE{QUIET:#}",
                "TIME", "SINK", "TYPE", "SUBJECT", "ID"
            );
        }
        for letter in &letters {
            let (entry, delivery) = (&letter.entry, &letter.delivery);
            let failure = delivery.failure.as_deref().unwrap_or("-");
            if self.json {
                let object = json!({
                    "id": entry.id.to_string(), "type": entry.event_type, "subject": entry.subject(),
                    "time": table::time(entry.time), "sink": delivery.sink,
                    "attempts": delivery.attempts, "failure": delivery.failure,
                });
                let _ = writeln!(text, "{object}");
            } else {
                let _ = writeln!(
                    text,
                    "{:<20} {:<16} {:<24} {:<18} {:<36} {BAD}{failure}{BAD:#}",
                    table::time(entry.time),
                    delivery.sink,
                    entry.event_type,
                    entry.subject().unwrap_or_else(|| format!("{}/?", entry.resource)),
                    entry.id,
                );
            }
        }
        terminal::print(&text)?;
        Ok(Exit::Good)
    }
}
