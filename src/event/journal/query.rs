//! What the commands and the metrics ask of the journal. Over a plain connection, so that it works
//! on a store at rest and on a live one.

use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Causation, Message};
use super::since::first_since;
use super::{FOR_EVERY_ROLE, moment, row};

/// An event without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the journal; later ones are higher.
    pub position: u64,
    /// `UUIDv7`; the same in every delivery of it.
    pub id: Uuid,
    /// `deal.stage_changed`.
    pub event_type: String,
    /// The object type: `deal`.
    pub resource: String,
    /// The record's id; `None` where nothing told it.
    pub record: Option<String>,
    /// The how-manieth event of its subject, from 1.
    pub sequence: Option<u64>,
    /// When the CRM's answer was observed.
    pub time: OffsetDateTime,
    /// The company.
    pub tenant: Option<String>,
    /// Who wrote.
    pub actor: Option<String>,
    /// The id that the request carried everywhere.
    pub correlation_id: String,
    /// W3C `traceparent` of the span that observed it.
    pub traceparent: Option<String>,
    /// The policies that the request began with.
    pub policy_revision: String,
    /// The observed write that it came from.
    pub write: Uuid,
    /// The run that wrote; `None` where it was no run.
    pub causation: Option<Causation>,
}

impl Entry {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            position: row.get("position")?,
            id: row::uuid(row, "id")?,
            event_type: row.get("type")?,
            resource: row.get("resource")?,
            record: row.get("record")?,
            sequence: row.get("sequence")?,
            time: row::time(row, "time")?,
            tenant: row.get("tenant")?,
            actor: row.get("actor")?,
            correlation_id: row.get("correlation_id")?,
            traceparent: row.get("traceparent")?,
            policy_revision: row.get("policy_revision")?,
            write: row::uuid(row, "write")?,
            causation: row::causation(row)?,
        })
    }

    /// `deal/42`; `None` where the record is not known.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        self.record.as_ref().map(|record| format!("{}/{record}", self.resource))
    }

    /// The event as a sink gets it that may see `data`.
    #[must_use]
    pub fn message(self, source: &str, data: Box<RawValue>) -> Message {
        Message {
            id: self.id,
            event_type: self.event_type,
            source: source.to_owned(),
            resource: self.resource,
            record: self.record,
            time: self.time,
            tenant: self.tenant,
            actor: self.actor,
            correlation_id: self.correlation_id,
            traceparent: self.traceparent,
            policy_revision: self.policy_revision,
            sequence: self.sequence,
            causation: self.causation,
            data,
        }
    }
}

/// Which events to list. What is not given does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `deal.won`, or all that begin alike: `deal.*`.
    pub event_type: Option<String>,
    /// The object type, or one record of it: `deal`, `deal/42`.
    pub subject: Option<String>,
    /// The id that the request carried.
    pub correlation_id: Option<String>,
    /// Not before.
    pub since: Option<OffsetDateTime>,
    /// Before.
    pub until: Option<OffsetDateTime>,
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The event.
    pub entry: Entry,
    /// Sinks that have it still to come.
    pub waiting: u64,
    /// Sinks that have it.
    pub delivered: u64,
    /// Sinks at which it is a dead letter.
    pub dead: u64,
}

/// An event with everything that is known about it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The event.
    pub entry: Entry,
    /// What it says, as each role may see it, by name of the role.
    pub views: Vec<(String, Box<RawValue>)>,
    /// Its deliveries, by name of the sink.
    pub deliveries: Vec<Delivery>,
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
}

/// One event on its way to one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The sink.
    pub sink: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Attempts since it was last put on its way.
    pub attempts: u32,
    /// When it is tried next; `None` if it is settled, or waits for an earlier one of its subject.
    pub due: Option<OffsetDateTime>,
    /// Why the last attempt failed.
    pub failure: Option<String>,
    /// When it was delivered or given up.
    pub settled: Option<OffsetDateTime>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Still to come.
    Waiting,
    /// The sink has it.
    Delivered,
    /// Given up.
    Dead,
}

impl DeliveryState {
    /// The name in the file and in lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let name: String = row.get("state")?;
        let states = [Self::Waiting, Self::Delivered, Self::Dead];
        states
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| row::unreadable(row, "state", std::io::Error::other("no such state")))
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The sink.
    pub sink: String,
    /// From 1; begins anew when the event is put on its way again.
    pub attempt: u32,
    /// When.
    pub at: OffsetDateTime,
    /// `accepted`, `disabled`, or why not.
    pub outcome: String,
}

/// An event that a sink was given up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub entry: Entry,
    /// Its delivery.
    pub delivery: Delivery,
}

/// What a sink has still to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Events that wait.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest event that waits happened.
    pub oldest: Option<OffsetDateTime>,
}

/// The configured `source` of events, as of the last start.
pub fn source(connection: &Connection) -> rusqlite::Result<String> {
    let source = connection.query_row("SELECT source FROM journal_source", [], |row| row.get(0));
    Ok(source.optional()?.unwrap_or_default())
}

/// The newest events, at most `limit`, the oldest of them first.
pub fn list(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let mut newest = select(connection, filter, 0, limit, "DESC")?;
    newest.reverse();
    Ok(newest)
}

/// The first events after a position, at most `limit`.
pub fn tail(
    connection: &Connection,
    filter: &Filter,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    select(connection, filter, after, limit, "ASC")
}

fn select(
    connection: &Connection,
    filter: &Filter,
    after: u64,
    limit: usize,
    order: &str,
) -> rusqlite::Result<Vec<Listed>> {
    let (exact, prefix) = match filter.event_type.as_deref() {
        None => (None, None),
        Some(event_type) => match event_type.strip_suffix('*') {
            None => (Some(event_type), None),
            Some(prefix) => (None, Some(prefix)),
        },
    };
    let (resource, record) = match filter.subject.as_deref() {
        None => (None, None),
        Some(subject) => match subject.split_once('/') {
            None => (Some(subject), None),
            Some((resource, record)) => (Some(resource), Some(record)),
        },
    };
    let (since, until) = (filter.since.map(moment::to_file), filter.until.map(moment::to_file));
    let first = since.map(|since| first_since(connection, since)).transpose()?;
    let asked: [(&str, &str, Option<&dyn ToSql>); 8] = [
        ("e.type = :type", ":type", exact.as_ref().map(|one| one as _)),
        (
            "substr(e.type, 1, length(:prefix)) = :prefix",
            ":prefix",
            prefix.as_ref().map(|one| one as _),
        ),
        ("e.resource = :resource", ":resource", resource.as_ref().map(|one| one as _)),
        ("e.record = :record", ":record", record.as_ref().map(|one| one as _)),
        (
            "e.correlation_id = :correlation_id",
            ":correlation_id",
            filter.correlation_id.as_ref().map(|one| one as _),
        ),
        ("e.position >= :first", ":first", first.as_ref().map(|one| one as _)),
        ("e.time >= :since", ":since", since.as_ref().map(|one| one as _)),
        ("e.time < :until", ":until", until.as_ref().map(|one| one as _)),
    ];
    let mut conditions = "e.position > :after".to_owned();
    let mut parameters: Vec<(&str, &dyn ToSql)> = vec![(":after", &after), (":limit", &limit)];
    for (condition, name, value) in asked {
        if let Some(value) = value {
            conditions.push_str(" AND ");
            conditions.push_str(condition);
            parameters.push((name, value));
        }
    }
    let sql = format!(
        "SELECT e.*,
             (SELECT count(*) FROM journal_deliveries d
              WHERE d.position = e.position AND d.state = 'waiting') AS waiting,
             (SELECT count(*) FROM journal_deliveries d
              WHERE d.position = e.position AND d.state = 'delivered') AS delivered,
             (SELECT count(*) FROM journal_deliveries d
              WHERE d.position = e.position AND d.state = 'dead') AS dead
         FROM journal_events e WHERE {conditions} ORDER BY e.position {order} LIMIT :limit"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(parameters.as_slice(), |row| {
        Ok(Listed {
            entry: Entry::read(row)?,
            waiting: row.get("waiting")?,
            delivered: row.get("delivered")?,
            dead: row.get("dead")?,
        })
    })?;
    rows.collect()
}

/// Everything about one event.
pub fn show(connection: &Connection, event: Uuid) -> rusqlite::Result<Option<Shown>> {
    let entry = connection
        .query_row("SELECT * FROM journal_events WHERE id = ?1", [event.to_string()], Entry::read)
        .optional()?;
    let Some(entry) = entry else { return Ok(None) };
    let mut statement = connection
        .prepare("SELECT role, data FROM journal_views WHERE position = ?1 ORDER BY role")?;
    let views = statement
        .query_map([entry.position], |row| Ok((row.get("role")?, row::json(row, "data")?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement =
        connection.prepare("SELECT * FROM journal_deliveries WHERE position = ?1 ORDER BY sink")?;
    let deliveries =
        statement.query_map([entry.position], read_delivery)?.collect::<rusqlite::Result<_>>()?;
    let mut statement =
        connection.prepare("SELECT * FROM journal_attempts WHERE position = ?1 ORDER BY id")?;
    let attempts = statement
        .query_map([entry.position], |row| {
            Ok(Attempt {
                sink: row.get("sink")?,
                attempt: row.get("attempt")?,
                at: row::time(row, "at")?,
                outcome: row.get("outcome")?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Shown { entry, views, deliveries, attempts }))
}

/// What an event says to a role; `None` where no view was kept that it may see.
pub fn view(
    connection: &Connection,
    position: u64,
    role: &str,
) -> rusqlite::Result<Option<Box<RawValue>>> {
    connection
        .prepare_cached(
            "SELECT data FROM journal_views WHERE position = ?1 AND role IN (?2, ?3)
             ORDER BY role = ?2 DESC LIMIT 1",
        )?
        .query_row((position, role, FOR_EVERY_ROLE), |row| row::json(row, "data"))
        .optional()
}

/// The dead letters of one sink, or of all, the oldest first.
pub fn dead_letters(
    connection: &Connection,
    sink: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut statement = connection.prepare(
        "SELECT e.*, d.sink, d.state, d.attempts, d.due, d.failure, d.settled
         FROM journal_deliveries d JOIN journal_events e ON e.position = d.position
         WHERE d.state = 'dead' AND (?1 IS NULL OR d.sink = ?1)
         ORDER BY d.position, d.sink LIMIT ?2",
    )?;
    let rows = statement.query_map((sink, limit), |row| {
        Ok(DeadLetter { entry: Entry::read(row)?, delivery: read_delivery(row)? })
    })?;
    rows.collect()
}

/// What a sink has still to get.
pub fn backlog(connection: &Connection, sink: &str) -> rusqlite::Result<Backlog> {
    connection
        .prepare_cached(
            "SELECT
                 (SELECT count(*) FROM journal_deliveries
                  WHERE sink = ?1 AND state = 'waiting') AS waiting,
                 (SELECT count(*) FROM journal_deliveries
                  WHERE sink = ?1 AND state = 'dead') AS dead,
                 (SELECT time FROM journal_events WHERE position = (
                     SELECT min(position) FROM journal_deliveries
                     WHERE sink = ?1 AND state = 'waiting')) AS oldest",
        )?
        .query_row([sink], |row| {
            Ok(Backlog {
                waiting: row.get("waiting")?,
                dead: row.get("dead")?,
                oldest: row::time_if_any(row, "oldest")?,
            })
        })
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        sink: row.get("sink")?,
        state: DeliveryState::read(row)?,
        attempts: row.get("attempts")?,
        due: row::time_if_any(row, "due")?,
        failure: row.get("failure")?,
        settled: row::time_if_any(row, "settled")?,
    })
}
