//! A workflow that somebody starts: with an event of the journal, or, to see what it would do, with
//! a record.

use rusqlite::Connection;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::condition::Value;
use crate::event::detect::id_of;
use crate::event::{Message, journal};
use crate::policy::workflow::Workflow;

/// An event of the journal as a role sees it.
#[derive(Debug)]
pub enum Found {
    /// This is it.
    Event(Box<Message>),
    /// It is there, and nobody kept what the role would see of it.
    NoView,
    /// It is not there.
    Nothing,
}

/// Looks an event up in the journal.
pub fn find(connection: &Connection, event: Uuid, role: &str) -> rusqlite::Result<Found> {
    let Some(shown) = journal::show(connection, event)? else { return Ok(Found::Nothing) };
    let Some(data) = journal::view(connection, shown.entry.position, role)? else {
        return Ok(Found::NoView);
    };
    let source = journal::source(connection)?;
    Ok(Found::Event(Box::new(shown.entry.message(&source, data))))
}

/// The event that a record stands for: the first one that starts the workflow. `None` where the text
/// is no JSON object.
#[must_use]
pub fn made_up(record: &str, workflow: &Workflow, now: OffsetDateTime) -> Option<Message> {
    let record @ Value::Object(_) = Value::parse(record)? else { return None };
    let id = record.member("id").and_then(|id| id_of(&id.to_string()));
    let event_type = workflow.triggers.first().map(|trigger| trigger.event.clone())?;
    let resource = event_type.split('.').next().unwrap_or_default().to_owned();
    Some(Message {
        id: Uuid::now_v7(),
        resource,
        event_type,
        source: "dry-run".to_owned(),
        record: id,
        time: now,
        tenant: workflow.tenant.clone(),
        actor: None,
        correlation_id: "dry-run".to_owned(),
        traceparent: None,
        policy_revision: String::new(),
        sequence: None,
        causation: None,
        data: RawValue::from_string(format!("{{\"record\":{record}}}")).ok()?,
    })
}
