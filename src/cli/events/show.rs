//! `fieldgate events show`.

use std::fmt::Write as _;

use clap::Args;
use uuid::Uuid;

use super::{SCHEMAS, table};
use crate::cli::data_dir::{DataDir, cannot_use};
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal::{self, BAD, GOOD, NOTABLE, STRONG};
use crate::event::journal::{self, DeliveryState, Shown};

/// Show one event: what it says to each role, and every attempt to deliver it
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The event's id
    id: Uuid,
    #[command(flatten)]
    at: DataDir,
}

impl Show {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let visitor = self.at.look(SCHEMAS)?;
        let shown = visitor.read(|connection| journal::show(connection, self.id));
        let shown = shown.map_err(|error| cannot_use(&error))?.ok_or_else(|| unknown(self.id))?;
        terminal::print(&text(&shown))?;
        Ok(Exit::Good)
    }
}

pub(super) fn unknown(id: Uuid) -> Failed {
    Failed::usage(format!("the journal holds no event `{id}`"))
        .help("`fieldgate events list` shows the ids; delivered events are kept for a time only")
}

fn text(shown: &Shown) -> String {
    let entry = &shown.entry;
    let mut out = format!("{STRONG}{}{STRONG:#}\n", entry.event_type);
    let unknown = || "-".to_owned();
    let rows = [
        ("id", entry.id.to_string()),
        ("subject", entry.subject().unwrap_or_else(|| "not known".to_owned())),
        ("sequence", entry.sequence.map_or_else(unknown, |number| number.to_string())),
        ("time", table::time(entry.time)),
        ("tenant", entry.tenant.clone().unwrap_or_else(unknown)),
        ("actor", entry.actor.clone().unwrap_or_else(unknown)),
        ("correlation id", entry.correlation_id.clone()),
        ("traceparent", entry.traceparent.clone().unwrap_or_else(unknown)),
        ("policies", entry.policy_revision.clone()),
        ("write", entry.write.to_string()),
    ];
    for (name, value) in rows {
        table::row(&mut out, name, &value);
    }
    if !shown.views.is_empty() {
        let _ = writeln!(out, "\n{STRONG}What each role sees{STRONG:#}");
    }
    for (role, data) in &shown.views {
        table::row(&mut out, role, data.get());
    }
    if !shown.deliveries.is_empty() {
        let _ = writeln!(out, "\n{STRONG}Deliveries{STRONG:#}");
    }
    for delivery in &shown.deliveries {
        let style = match delivery.state {
            DeliveryState::Waiting => NOTABLE,
            DeliveryState::Delivered => GOOD,
            DeliveryState::Dead => BAD,
        };
        let due = delivery.due.map(|due| format!(", due {}", table::time(due)));
        let state = format!(
            "{style}{}{style:#} after {} attempts{}",
            delivery.state.name(),
            delivery.attempts,
            due.unwrap_or_default()
        );
        table::row(&mut out, &delivery.sink, &state);
        for attempt in shown.attempts.iter().filter(|attempt| attempt.sink == delivery.sink) {
            let text =
                format!("  {} {} {}", attempt.attempt, table::time(attempt.at), attempt.outcome);
            table::row(&mut out, "", &text);
        }
    }
    out
}
