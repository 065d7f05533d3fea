//! Events as people read them, and as programs do.

use std::fmt::Write as _;

use rusqlite::Connection;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::cli::terminal::{BAD, GOOD, NOTABLE, QUIET};
use crate::event::envelope;
use crate::event::journal::{self, Entry, Listed};

/// What stands for data that a role has no view of.
const NOTHING: &str = "null";

/// The line above a list.
pub(super) fn heading() -> String {
    format!(
        "{QUIET}{:<20} {:<24} {:<18} {:<12} {:<36} {}{QUIET:#}\n",
        "TIME", "TYPE", "SUBJECT", "ACTOR", "ID", "DELIVERY"
    )
}

/// One event of a list.
pub(super) fn line(listed: &Listed) -> String {
    let Listed { entry, waiting, delivered, dead } = listed;
    let mut delivery = Vec::new();
    for (count, word, style) in
        [(dead, "dead", BAD), (waiting, "waiting", NOTABLE), (delivered, "delivered", GOOD)]
    {
        if *count > 0 {
            delivery.push(format!("{style}{count} {word}{style:#}"));
        }
    }
    format!(
        "{:<20} {:<24} {:<18} {:<12} {:<36} {}\n",
        time(entry.time),
        entry.event_type,
        entry.subject().unwrap_or_else(|| format!("{}/?", entry.resource)),
        entry.actor.as_deref().unwrap_or("-"),
        entry.id,
        delivery.join(", "),
    )
}

/// One event as a structured `CloudEvent` on a line of its own, as `role` sees it.
pub(super) fn cloud_event(
    connection: &Connection,
    entry: Entry,
    source: &str,
    role: Option<&str>,
) -> rusqlite::Result<String> {
    let data = match role {
        Some(role) => journal::view(connection, entry.position, role)?,
        None => only_view(connection, &entry)?,
    };
    let nothing = || RawValue::from_string(NOTHING.to_owned());
    let Some(data) = data.or_else(|| nothing().ok()) else { return Ok(String::new()) };
    let event = envelope::structured(&entry.message(source, data));
    let mut text = String::from_utf8_lossy(&event).into_owned();
    text.push('\n');
    Ok(text)
}

/// What the event says, where it says the same to everybody who was meant to read it.
fn only_view(connection: &Connection, entry: &Entry) -> rusqlite::Result<Option<Box<RawValue>>> {
    let shown = journal::show(connection, entry.id)?;
    let mut views = shown.map(|shown| shown.views).unwrap_or_default().into_iter();
    let first = views.next().map(|(_, data)| data);
    Ok(first.filter(|first| views.all(|(_, data)| data.get() == first.get())))
}

/// To the second, in UTC.
pub(super) fn time(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

/// A name and its value on a line, for what is shown alone.
pub(super) fn row(out: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {QUIET}{name:<16}{QUIET:#} {value}");
}
