//! Which sinks there are, and events on their way to them.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Transaction};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::{FOR_EVERY_ROLE, moment};

/// A sink that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPlan {
    /// Its configured name. Its place in the journal goes by it.
    pub name: String,
    /// The role whose view of events it gets.
    pub role: String,
    /// Where it begins if the journal has never heard of it.
    pub start: Start,
}

/// Where a new sink begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the next event.
    #[default]
    Now,
    /// With the oldest event that is still there.
    Beginning,
}

/// A sink that gets events.
#[derive(Debug)]
pub(super) struct ActiveSink {
    name: String,
    role: String,
}

impl ActiveSink {
    /// Whether its role has a view of an event.
    pub(super) fn has_view(&self, views: &BTreeMap<String, Box<RawValue>>) -> bool {
        views.contains_key(&self.role) || views.contains_key(FOR_EVERY_ROLE)
    }
}

/// Why an event never went out: no view of it was kept that the sink's role may see.
const NO_VIEW: &str = "no_view";

/// Whether the event of delivery `d` has a view for sink `s`.
const HAS_VIEW: &str = "EXISTS (SELECT 1 FROM journal_views v
    WHERE v.position = d.position AND v.role IN (s.role, '*'))";

pub(super) fn active(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<ActiveSink>> {
    let mut statement =
        transaction.prepare_cached("SELECT name, role FROM journal_sinks WHERE is_active")?;
    let sinks = statement
        .query_map([], |row| Ok(ActiveSink { name: row.get("name")?, role: row.get("role")? }))?;
    sinks.collect()
}

/// Puts a new event on its way to one sink. Where the sink's role has no view of it, it is a dead
/// letter at once: neither shown with more than the role may see nor lost without a word.
pub(super) fn send(
    transaction: &Transaction<'_>,
    sink: &ActiveSink,
    position: i64,
    subject: Option<i64>,
    views: &BTreeMap<String, Box<RawValue>>,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    let now = moment::to_file(now);
    if !sink.has_view(views) {
        transaction
            .prepare_cached(
                "INSERT INTO journal_deliveries
                     (position, sink, subject, state, attempts, failure, settled)
                 VALUES (?1, ?2, ?3, 'dead', 0, ?4, ?5)",
            )?
            .execute((position, &sink.name, subject, NO_VIEW, now))?;
        return Ok(());
    }
    transaction
        .prepare_cached(
            "INSERT INTO journal_deliveries (position, sink, subject, state, attempts, due)
             VALUES (?1, ?2, ?3, 'waiting', 0, iif(EXISTS (
                 SELECT 1 FROM journal_deliveries d
                 WHERE d.sink = ?2 AND d.subject = ?3 AND d.state = 'waiting'), NULL, ?4))",
        )?
        .execute((position, &sink.name, subject, now))?;
    Ok(())
}

/// Makes the next event of a subject due, after the one before it was settled.
pub(super) fn free_next(
    transaction: &Transaction<'_>,
    sink: &str,
    subject: i64,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE journal_deliveries SET due = ?3
             WHERE sink = ?1 AND due IS NULL AND position = (
                 SELECT min(position) FROM journal_deliveries
                 WHERE sink = ?1 AND subject = ?2 AND state = 'waiting')",
        )?
        .execute((sink, subject, moment::to_file(now)))?;
    Ok(())
}

/// Makes the first waiting event of each subject due, where none of the subject is yet.
pub(super) fn free_heads(
    transaction: &Transaction<'_>,
    sink: &str,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE journal_deliveries AS d SET due = ?2
         WHERE d.sink = ?1 AND d.state = 'waiting' AND d.due IS NULL
             AND (d.subject IS NULL OR NOT EXISTS (
                 SELECT 1 FROM journal_deliveries o
                 WHERE o.sink = d.sink AND o.subject = d.subject AND o.state = 'waiting'
                     AND (o.due IS NOT NULL OR o.position < d.position)))",
        (sink, moment::to_file(now)),
    )?;
    Ok(())
}

pub(super) fn configure(
    transaction: &Transaction<'_>,
    plans: &[SinkPlan],
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    let last = last_position(transaction)?;
    for sink in active(transaction)? {
        if !plans.iter().any(|plan| plan.name == sink.name) {
            transaction.execute(
                "UPDATE journal_sinks SET is_active = 0, left_at = ?2 WHERE name = ?1",
                (&sink.name, last),
            )?;
        }
    }
    for plan in plans {
        name(transaction, plan, last, now)?;
    }
    Ok(())
}

/// Names a sink again, or for the first time.
fn name(
    transaction: &Transaction<'_>,
    plan: &SinkPlan,
    last: i64,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    // What it has not been sent yet lies behind this position.
    let known = transaction
        .query_row("SELECT left_at FROM journal_sinks WHERE name = ?1", [&plan.name], |row| {
            row.get::<_, Option<i64>>(0)
        })
        .optional()?;
    let sent = match (known, plan.start) {
        (Some(left_at), _) => left_at.unwrap_or(last),
        (None, Start::Now) => last,
        (None, Start::Beginning) => 0,
    };
    transaction.execute(
        "INSERT INTO journal_sinks (name, role, is_active) VALUES (?1, ?2, 1)
         ON CONFLICT (name) DO UPDATE
         SET role = excluded.role, is_active = 1, left_at = NULL, disabled = NULL",
        (&plan.name, &plan.role),
    )?;
    transaction.execute(
        "INSERT INTO journal_deliveries (position, sink, subject, state, attempts)
         SELECT position, ?1, subject, 'waiting', 0 FROM journal_events WHERE position > ?2
         ON CONFLICT DO NOTHING",
        (&plan.name, sent),
    )?;
    bury_unseen(transaction, &plan.name, now)?;
    free_heads(transaction, &plan.name, now)
}

/// Makes dead letters of what the role of a sink may not see, but for what is silent then.
pub(super) fn bury_unseen(
    transaction: &Transaction<'_>,
    sink: &str,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    let sql = format!(
        "DELETE FROM journal_deliveries WHERE sink = ?1 AND position IN (
             SELECT d.position FROM journal_deliveries d
             JOIN journal_silent q ON q.position = d.position
             JOIN journal_sinks s ON s.name = d.sink
             WHERE d.sink = ?1 AND d.state = 'waiting' AND NOT {HAS_VIEW})"
    );
    transaction.execute(&sql, [sink])?;
    let sql = format!(
        "UPDATE journal_deliveries AS d
         SET state = 'dead', due = NULL, failure = ?2, settled = ?3
         FROM journal_sinks s
         WHERE s.name = ?1 AND d.sink = s.name AND d.state = 'waiting' AND NOT {HAS_VIEW}"
    );
    transaction.execute(&sql, (sink, NO_VIEW, moment::to_file(now)))?;
    Ok(())
}

/// The position of the newest event that there has ever been.
fn last_position(transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
    let last = transaction
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'journal_events'", [], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(last.unwrap_or(0))
}
