//! Intents, outcomes and events, as they are written down.

use rusqlite::{OptionalExtension, Row, Transaction, named_params};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Event, Intent, OUTCOME_UNKNOWN, Outcome, Unknown, Unseen, for_every_role, moment, row, sinks,
};

/// What an event costs beside what it says.
const EVENT_BYTES: usize = 512;

pub(super) fn open(transaction: &Transaction<'_>, intent: &Intent) -> rusqlite::Result<()> {
    insert(transaction, intent, "")
}

/// Opens a write whose intent may have been recorded after all, and may have been taken back.
pub(super) fn open_again(transaction: &Transaction<'_>, intent: &Intent) -> rusqlite::Result<()> {
    let taken_back = "ON CONFLICT (id) DO UPDATE SET outcome = NULL, status = NULL, closed = NULL
         WHERE outcome = 'not_forwarded'";
    insert(transaction, intent, taken_back)
}

fn insert(transaction: &Transaction<'_>, intent: &Intent, otherwise: &str) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO journal_writes (id, method, route, resource, record, tenant, actor,
             correlation_id, traceparent, policy_revision, cause_run, cause_depth, time)
         VALUES (:id, :method, :route, :resource, :record, :tenant, :actor,
             :correlation_id, :traceparent, :policy_revision, :cause_run, :cause_depth, :time)
         {otherwise}"
    );
    transaction.prepare_cached(&sql)?.execute(named_params! {
        ":id": intent.id.to_string(),
        ":method": intent.method,
        ":route": intent.route,
        ":resource": intent.resource,
        ":record": intent.record,
        ":tenant": intent.tenant,
        ":actor": intent.actor,
        ":correlation_id": intent.correlation_id,
        ":traceparent": intent.traceparent,
        ":policy_revision": intent.policy_revision,
        ":cause_run": intent.causation.map(|causation| causation.run.to_string()),
        ":cause_depth": intent.causation.map(|causation| causation.depth),
        ":time": moment::to_file(intent.time),
    })?;
    Ok(())
}

/// Closes a write; `false`, and nothing is done, if it is not open.
pub(super) fn close(
    transaction: &Transaction<'_>,
    write: Uuid,
    now: OffsetDateTime,
    outcome: &Outcome,
) -> rusqlite::Result<bool> {
    let Some(intent) = open_intent(transaction, write)? else { return Ok(false) };
    match outcome {
        Outcome::Answered { status, events } => {
            set_outcome(transaction, write, "answered", Some(*status), now)?;
            add(transaction, &intent, events, false, now)?;
        }
        Outcome::Counted { status, events } => {
            set_outcome(transaction, write, "answered", Some(*status), now)?;
            add(transaction, &intent, events, true, now)?;
        }
        Outcome::NotForwarded => set_outcome(transaction, write, "not_forwarded", None, now)?,
        Outcome::NoAnswer => close_unknown(transaction, &intent, "no_answer", now)?,
    }
    Ok(true)
}

/// Closes every write that is open.
pub(super) fn close_all(
    transaction: &Transaction<'_>,
    now: OffsetDateTime,
) -> rusqlite::Result<Vec<Unknown>> {
    let mut statement =
        transaction.prepare("SELECT * FROM journal_writes WHERE outcome IS NULL ORDER BY id")?;
    let intents: Vec<Intent> =
        statement.query_map([], read_intent)?.collect::<rusqlite::Result<_>>()?;
    for intent in &intents {
        close_unknown(transaction, intent, "restart", now)?;
    }
    let unknown = intents.into_iter().map(|intent| Unknown {
        id: intent.id,
        resource: intent.resource,
        record: intent.record,
        tenant: intent.tenant,
        correlation_id: intent.correlation_id,
    });
    Ok(unknown.collect())
}

/// The event has the id of its write: however often this is tried, it is the same event.
fn close_unknown(
    transaction: &Transaction<'_>,
    intent: &Intent,
    reason: &str,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    set_outcome(transaction, intent.id, "unknown", None, now)?;
    let event = unknown(intent, intent.id, intent.record.clone(), reason, now, |_| ());
    add(transaction, intent, &[event], false, now)
}

/// The event has an id of its own, for a write may have several of them.
pub(super) fn unseen(intent: &Intent, unseen: Unseen, now: OffsetDateTime) -> Event {
    match unseen {
        Unseen::Records(records) => {
            unknown(intent, Uuid::now_v7(), None, "too_many_records", now, |data| {
                data.insert("records".to_owned(), records.into());
            })
        }
        Unseen::Created => unknown(intent, Uuid::now_v7(), None, "created_not_seen", now, |_| ()),
    }
}

fn unknown(
    intent: &Intent,
    id: Uuid,
    record: Option<String>,
    reason: &str,
    now: OffsetDateTime,
    more: impl FnOnce(&mut serde_json::Map<String, Value>),
) -> Event {
    let mut data = serde_json::Map::new();
    if record.is_none() {
        data.insert("id".to_owned(), Value::Null);
    }
    data.insert("write".to_owned(), intent.id.to_string().into());
    data.insert("method".to_owned(), intent.method.as_str().into());
    data.insert("route".to_owned(), intent.route.as_str().into());
    data.insert("reason".to_owned(), reason.into());
    more(&mut data);
    Event {
        id,
        event_type: OUTCOME_UNKNOWN.to_owned(),
        resource: intent.resource.clone(),
        record,
        time: now,
        tenant: intent.tenant.clone(),
        actor: intent.actor.clone(),
        correlation_id: intent.correlation_id.clone(),
        traceparent: intent.traceparent.clone(),
        policy_revision: intent.policy_revision.clone(),
        write: intent.id,
        views: for_every_role(&Value::Object(data)),
    }
}

fn open_intent(transaction: &Transaction<'_>, write: Uuid) -> rusqlite::Result<Option<Intent>> {
    transaction
        .prepare_cached("SELECT * FROM journal_writes WHERE id = ?1 AND outcome IS NULL")?
        .query_row([write.to_string()], read_intent)
        .optional()
}

fn read_intent(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        id: row::uuid(row, "id")?,
        method: row.get("method")?,
        route: row.get("route")?,
        resource: row.get("resource")?,
        record: row.get("record")?,
        tenant: row.get("tenant")?,
        actor: row.get("actor")?,
        correlation_id: row.get("correlation_id")?,
        traceparent: row.get("traceparent")?,
        policy_revision: row.get("policy_revision")?,
        causation: row::causation(row)?,
        time: row::time(row, "time")?,
    })
}

fn set_outcome(
    transaction: &Transaction<'_>,
    write: Uuid,
    outcome: &str,
    status: Option<u16>,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE journal_writes SET outcome = ?2, status = ?3, closed = ?4 WHERE id = ?1",
        )?
        .execute((write.to_string(), outcome, status, moment::to_file(now)))?;
    Ok(())
}

/// Writes the events of a write down and puts them on their way to every sink; those that are
/// `silent` to none whose role has no view of them.
fn add(
    transaction: &Transaction<'_>,
    intent: &Intent,
    events: &[Event],
    silent: bool,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let sinks = sinks::active(transaction)?;
    let mut bytes = 0;
    for event in events {
        let subject = next_of_subject(transaction, event)?;
        let said: usize = event.views.values().map(|data| data.get().len()).sum();
        bytes += said + EVENT_BYTES;
        let position = add_event(transaction, intent, event, subject, said + EVENT_BYTES)?;
        if silent {
            transaction
                .prepare_cached("INSERT INTO journal_silent (position) VALUES (?1)")?
                .execute([position])?;
        }
        for (role, data) in &event.views {
            transaction
                .prepare_cached(
                    "INSERT INTO journal_views (position, role, data) VALUES (?1, ?2, ?3)",
                )?
                .execute((position, role, data.get()))?;
        }
        for sink in &sinks {
            if silent && !sink.has_view(&event.views) {
                continue;
            }
            let subject = subject.map(|(subject, _)| subject);
            sinks::send(transaction, sink, position, subject, &event.views, now)?;
        }
    }
    transaction
        .prepare_cached("UPDATE journal_total SET events = events + ?1, bytes = bytes + ?2")?
        .execute((events.len(), bytes))?;
    Ok(())
}

/// The subject of an event and its number in it; `None` where the record is not known.
fn next_of_subject(
    transaction: &Transaction<'_>,
    event: &Event,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let Some(record) = &event.record else { return Ok(None) };
    let tenant = event.tenant.as_deref().unwrap_or_default();
    let known: Option<(i64, i64)> = transaction
        .prepare_cached(
            "SELECT id, last FROM journal_subjects
             WHERE tenant = ?1 AND resource = ?2 AND record = ?3",
        )?
        .query_row((tenant, &event.resource, record), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((subject, last)) = known {
        let next = last + 1;
        transaction
            .prepare_cached("UPDATE journal_subjects SET last = ?2 WHERE id = ?1")?
            .execute((subject, next))?;
        return Ok(Some((subject, next)));
    }
    let subject = transaction
        .prepare_cached(
            "INSERT INTO journal_subjects (tenant, resource, record, last) VALUES (?1, ?2, ?3, 1)",
        )?
        .insert((tenant, &event.resource, record))?;
    Ok(Some((subject, 1)))
}

fn add_event(
    transaction: &Transaction<'_>,
    intent: &Intent,
    event: &Event,
    subject: Option<(i64, i64)>,
    bytes: usize,
) -> rusqlite::Result<i64> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO journal_events (id, type, resource, record, subject, sequence, time, tenant,
             actor, correlation_id, traceparent, policy_revision, cause_run, cause_depth, write,
             bytes)
         VALUES (:id, :type, :resource, :record, :subject, :sequence, :time, :tenant,
             :actor, :correlation_id, :traceparent, :policy_revision, :cause_run, :cause_depth,
             :write, :bytes)",
    )?;
    insert.insert(named_params! {
        ":id": event.id.to_string(),
        ":type": event.event_type,
        ":resource": event.resource,
        ":record": event.record,
        ":subject": subject.map(|(subject, _)| subject),
        ":sequence": subject.map(|(_, sequence)| sequence),
        ":time": moment::to_file(event.time),
        ":tenant": event.tenant,
        ":actor": event.actor,
        ":correlation_id": event.correlation_id,
        ":traceparent": event.traceparent,
        ":policy_revision": event.policy_revision,
        ":cause_run": intent.causation.map(|causation| causation.run.to_string()),
        ":cause_depth": intent.causation.map(|causation| causation.depth),
        ":write": intent.id.to_string(),
        ":bytes": bytes,
    })
}
