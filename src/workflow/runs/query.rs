//! What the commands and the API ask of runs. Over a plain connection, so that it works on a store
//! at rest and on a live one.

use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RunStatus, table};
use crate::event::Message;
use crate::event::journal::row;

/// Which runs to list. What is not given does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The workflow.
    pub workflow: Option<String>,
    /// Where it stands.
    pub status: Option<RunStatus>,
    /// The event that started it.
    pub event: Option<Uuid>,
    /// The id that the request carried.
    pub correlation_id: Option<String>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its place; later ones are higher.
    pub position: u64,
    /// Its id.
    pub id: Uuid,
    /// The workflow.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// The event that started it.
    pub event: Uuid,
    /// Its type.
    pub event_type: String,
    /// `lead/7`; `None` where the record is not known.
    pub subject: Option<String>,
    /// The company.
    pub tenant: Option<String>,
    /// The role that it acts as.
    pub role: String,
    /// The id that the request carried.
    pub correlation_id: String,
    /// Higher ones go first.
    pub priority: i64,
    /// How many runs stand between it and what somebody did, itself included.
    pub depth: u32,
    /// When it was inserted.
    pub created: OffsetDateTime,
    /// When it began.
    pub started: Option<OffsetDateTime>,
    /// When it ended.
    pub ended: Option<OffsetDateTime>,
    /// How long it took.
    pub duration_ms: Option<i64>,
    /// When it goes on, where it waits for another attempt.
    pub due: Option<OffsetDateTime>,
    /// Why it failed.
    pub failure: Option<String>,
    /// The same for whoever reads it.
    pub error: Option<String>,
}

/// An action of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRun {
    /// The how-manieth, from 0.
    pub ordinal: u32,
    /// What it does: `send_email`.
    pub kind: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Attempts so far.
    pub attempts: u32,
    /// When the first began.
    pub started: Option<OffsetDateTime>,
    /// When the last ended.
    pub ended: Option<OffsetDateTime>,
    /// From the first beginning to the last end.
    pub duration_ms: Option<i64>,
    /// What there is to tell of it, as JSON.
    pub result: Option<String>,
    /// Why the last attempt failed.
    pub failure: Option<String>,
    /// The same for whoever reads it.
    pub error: Option<String>,
}

/// A run with everything that is known about it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The run.
    pub run: Listed,
    /// Its actions, in order.
    pub actions: Vec<ActionRun>,
    /// The event, as its role sees it.
    pub event: Message,
    /// The digest of the definition that it goes on with.
    pub definition: String,
    /// How often whoever carried it out ended in the middle of it.
    pub interruptions: u32,
}

/// How many runs stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not begun.
    pub pending: u64,
    /// Begun.
    pub running: u64,
    /// Failed, and still there.
    pub failed: u64,
}

const COLUMNS: &str = "r.position, r.id, r.workflow, r.status, r.event, r.event_type, r.subject,
    r.tenant, r.role, r.correlation_id, r.priority, r.depth, r.created, r.started, r.ended,
    r.duration_ms, r.due, r.failure, r.error";

impl Listed {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            position: row.get("position")?,
            id: row::uuid(row, "id")?,
            workflow: row.get("workflow")?,
            status: status(row)?,
            event: row::uuid(row, "event")?,
            event_type: row.get("event_type")?,
            subject: row.get("subject")?,
            tenant: row.get("tenant")?,
            role: row.get("role")?,
            correlation_id: row.get("correlation_id")?,
            priority: row.get("priority")?,
            depth: row.get("depth")?,
            created: row::time(row, "created")?,
            started: row::time_if_any(row, "started")?,
            ended: row::time_if_any(row, "ended")?,
            duration_ms: row.get("duration_ms")?,
            due: row::time_if_any(row, "due")?,
            failure: row.get("failure")?,
            error: row.get("error")?,
        })
    }
}

fn status(row: &Row<'_>) -> rusqlite::Result<RunStatus> {
    let word: String = row.get("status")?;
    RunStatus::from_word(&word).ok_or_else(|| {
        row::unreadable(row, "status", std::io::Error::from(std::io::ErrorKind::InvalidData))
    })
}

/// Runs, the newest first.
pub fn list(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let mut terms = vec!["1"];
    let mut values: Vec<(&str, Box<dyn ToSql>)> = Vec::new();
    if let Some(workflow) = &filter.workflow {
        terms.push("r.workflow = :workflow");
        values.push((":workflow", Box::new(workflow.clone())));
    }
    if let Some(status) = filter.status {
        terms.push("r.status = :status");
        values.push((":status", Box::new(status.word())));
    }
    if let Some(event) = filter.event {
        terms.push("r.event = :event");
        values.push((":event", Box::new(event.to_string())));
    }
    if let Some(correlation_id) = &filter.correlation_id {
        terms.push("r.correlation_id = :correlation_id");
        values.push((":correlation_id", Box::new(correlation_id.clone())));
    }
    values.push((":limit", Box::new(i64::try_from(limit).unwrap_or(i64::MAX))));
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_runs r WHERE {} ORDER BY r.position DESC LIMIT :limit",
        terms.join(" AND ")
    );
    let mut statement = connection.prepare(&sql)?;
    let values: Vec<(&str, &dyn ToSql)> =
        values.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    let rows = statement.query_map(values.as_slice(), Listed::read)?;
    rows.collect()
}

/// One run with its actions.
pub fn show(connection: &Connection, run: Uuid) -> rusqlite::Result<Option<Shown>> {
    let sql = format!(
        "SELECT {COLUMNS}, r.definition, r.interruptions, e.message FROM workflow_runs r
         JOIN workflow_events e ON e.id = r.event AND e.role = r.role WHERE r.id = ?1"
    );
    let found = connection
        .query_row(&sql, [run.to_string()], |row| {
            Ok((
                Listed::read(row)?,
                table::message(row)?,
                row.get("definition")?,
                row.get("interruptions")?,
            ))
        })
        .optional()?;
    let Some((run, event, definition, interruptions)) = found else { return Ok(None) };
    let mut statement =
        connection.prepare("SELECT * FROM workflow_actions WHERE run = ?1 ORDER BY ordinal")?;
    let actions = statement.query_map([run.position], |row| {
        Ok(ActionRun {
            ordinal: row.get("ordinal")?,
            kind: row.get("kind")?,
            status: status(row)?,
            attempts: row.get("attempts")?,
            started: row::time_if_any(row, "started")?,
            ended: row::time_if_any(row, "ended")?,
            duration_ms: row.get("duration_ms")?,
            result: row.get("result")?,
            failure: row.get("failure")?,
            error: row.get("error")?,
        })
    })?;
    let actions = actions.collect::<rusqlite::Result<_>>()?;
    Ok(Some(Shown { run, actions, event, definition, interruptions }))
}

/// The ids that begin with a text, so that nobody has to type a whole one. At most two.
pub fn suggest_runs(connection: &Connection, beginning: &str) -> rusqlite::Result<Vec<Uuid>> {
    let mut statement = connection
        .prepare("SELECT id FROM workflow_runs WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2")?;
    let rows = statement.query_map([beginning.to_lowercase()], |row| row::uuid(row, "id"))?;
    rows.collect()
}

/// How many runs stand where.
pub fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    connection.query_row(
        "SELECT
             (SELECT count(*) FROM workflow_runs WHERE status = 'pending') AS pending,
             (SELECT count(*) FROM workflow_runs WHERE status = 'running') AS running,
             (SELECT count(*) FROM workflow_runs WHERE status = 'failed') AS failed",
        [],
        |row| {
            Ok(Counts {
                pending: row.get("pending")?,
                running: row.get("running")?,
                failed: row.get("failed")?,
            })
        },
    )
}
