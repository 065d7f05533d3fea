//! Runs inserted, taken back and begun again: by the engine, and by commands from another process.

use rusqlite::{OptionalExtension, Transaction, named_params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Cause, NewRun, RunStatus, kept};
use crate::event::journal::moment::to_file;

/// What became of taking a run back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It does not go on. An action that is under way may still be done.
    Yes,
    /// It had ended already, like this.
    Ended(RunStatus),
    /// There is no such run.
    Unknown,
}

/// What became of beginning a run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It goes on at the action that failed.
    Yes,
    /// It stands like this, and there is nothing to try again.
    Standing(RunStatus),
    /// There is no such run.
    Unknown,
}

/// Inserts a run with its actions; `false` where there is one of this workflow for this cause.
pub fn add(
    transaction: &Transaction<'_>,
    run: &NewRun,
    now: OffsetDateTime,
) -> rusqlite::Result<bool> {
    let NewRun { id, workflow, cause, priority, event, depth } = run;
    let cause = match cause {
        Cause::Event => format!("event:{}", event.id),
        Cause::Hand(id) => format!("hand:{id}"),
    };
    let known = transaction
        .prepare_cached("SELECT 1 FROM workflow_runs WHERE workflow = ?1 AND cause = ?2")?
        .exists((&workflow.name, &cause))?;
    if known {
        return Ok(false);
    }
    let source = &workflow.origin.source;
    transaction
        .prepare_cached(
            "INSERT INTO workflow_definitions (digest, name, file, text) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
        )?
        .execute((&workflow.digest, &workflow.name, source.name(), source.text()))?;
    transaction
        .prepare_cached(
            "INSERT INTO workflow_events (id, role, message) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?
        .execute((event.id.to_string(), &workflow.role, kept::to_text(event)))?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO workflow_runs (id, workflow, definition, cause, event, role, event_type,
             subject, tenant, correlation_id, priority, depth, status, created)
         VALUES (:id, :workflow, :definition, :cause, :event, :role, :event_type,
             :subject, :tenant, :correlation_id, :priority, :depth, 'pending', :created)",
    )?;
    let position = insert.insert(named_params! {
        ":id": id.to_string(),
        ":workflow": workflow.name,
        ":definition": workflow.digest,
        ":cause": cause,
        ":event": event.id.to_string(),
        ":role": workflow.role,
        ":event_type": event.event_type,
        ":subject": event.subject(),
        ":tenant": event.tenant,
        ":correlation_id": event.correlation_id,
        ":priority": priority,
        ":depth": depth,
        ":created": to_file(now),
    })?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO workflow_actions (run, ordinal, kind, status) VALUES (?1, ?2, ?3, 'pending')",
    )?;
    for (ordinal, action) in workflow.actions.iter().enumerate() {
        let ordinal = i64::try_from(ordinal).unwrap_or(i64::MAX);
        insert.execute((position, ordinal, action.kind.word()))?;
    }
    Ok(true)
}

/// Takes a run back. What it has not come to does not happen.
pub fn cancel(
    transaction: &Transaction<'_>,
    run: Uuid,
    now: OffsetDateTime,
) -> rusqlite::Result<Cancelled> {
    let Some((position, status, is_held)) = standing(transaction, run)? else {
        return Ok(Cancelled::Unknown);
    };
    if status.is_final() {
        return Ok(Cancelled::Ended(status));
    }
    let now = to_file(now);
    // Who carries it out finds out, and records what became of the action that is under way.
    transaction.execute(
        "UPDATE workflow_runs SET status = 'cancelled', ended = ?2, due = NULL WHERE position = ?1",
        (position, now),
    )?;
    transaction.execute(
        "UPDATE workflow_actions SET status = 'cancelled', ended = iif(status = 'running', ?2, NULL)
         WHERE run = ?1 AND (status = 'pending' OR status = 'running' AND NOT ?3)",
        (position, now, is_held),
    )?;
    Ok(Cancelled::Yes)
}

/// Begins a run again that failed or was taken back: at the action that was not done, with the same
/// idempotency key, for nobody knows whether it was done after all.
pub fn retry(transaction: &Transaction<'_>, run: Uuid) -> rusqlite::Result<Retried> {
    let Some((position, status, is_held)) = standing(transaction, run)? else {
        return Ok(Retried::Unknown);
    };
    let may_go_on = matches!(status, RunStatus::Failed | RunStatus::Cancelled) && !is_held;
    if !may_go_on {
        return Ok(Retried::Standing(status));
    }
    transaction.execute(
        "UPDATE workflow_actions SET status = 'pending', attempts = 0, started = NULL, ended = NULL,
             result = NULL, failure = NULL, error = NULL
         WHERE run = ?1 AND ordinal >= (
             SELECT coalesce(min(ordinal), 0) FROM workflow_actions
             WHERE run = ?1 AND status <> 'completed'
                 AND ordinal >= (SELECT next FROM workflow_runs WHERE position = ?1))",
        [position],
    )?;
    transaction.execute(
        "UPDATE workflow_runs SET status = 'pending', started = NULL, ended = NULL, due = NULL,
             interruptions = 0, failure = NULL, error = NULL,
             next = coalesce((SELECT min(ordinal) FROM workflow_actions
                 WHERE run = ?1 AND status = 'pending'), next)
         WHERE position = ?1",
        [position],
    )?;
    Ok(Retried::Yes)
}

/// Where a run stands, and whether somebody carries it out.
fn standing(
    transaction: &Transaction<'_>,
    run: Uuid,
) -> rusqlite::Result<Option<(i64, RunStatus, bool)>> {
    let found = transaction
        .query_row(
            "SELECT position, status, owner IS NOT NULL FROM workflow_runs WHERE id = ?1",
            [run.to_string()],
            |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)),
        )
        .optional()?;
    Ok(found.map(|(position, status, is_held)| {
        // The table holds no other words.
        (position, RunStatus::from_word(&status).unwrap_or(RunStatus::Failed), is_held)
    }))
}
