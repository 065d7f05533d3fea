//! Runs in the store of this process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, named_params};
use time::{Duration, OffsetDateTime};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    Attempted, Cancelled, Claim, Claimed, ClaimedRun, Counts, End, Filter, Listed, NewRun, Outcome,
    Retried, RunFailure, Runs, Settled, Shown, Step, Then, command, kept, query,
};
use crate::event::journal::moment::{from_file, to_file};
use crate::event::journal::row;
use crate::store::{Store, StoreError};

/// New runs that are looked at in one go.
const LOOK: usize = 500;

/// The window in which starts are counted.
const MINUTE: Duration = Duration::MINUTE;

/// Runs in a store that was opened with [`SCHEMA`](super::SCHEMA). Clones share everything.
#[derive(Debug, Clone)]
pub struct StoredRuns {
    store: Store,
    occasions: Arc<watch::Sender<u64>>,
}

impl StoredRuns {
    /// The runs of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, occasions: Arc::new(watch::channel(0).0) }
    }

    /// The store that they are in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says that there may be something to do, after a write that went past this.
    pub fn wake(&self) {
        self.occasions.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Runs for StoredRuns {
    async fn add(&self, runs: Vec<NewRun>, now: OffsetDateTime) -> Result<usize, StoreError> {
        if runs.is_empty() {
            return Ok(0);
        }
        let work = move |transaction: &Transaction<'_>| {
            let mut added = 0;
            for run in &runs {
                added += usize::from(command::add(transaction, run, now)?);
            }
            Ok(added)
        };
        let added = self.store.commit(work).await?;
        if added > 0 {
            self.wake();
        }
        Ok(added)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.store.commit(move |transaction| claim_in(transaction, &claim)).await
    }

    async fn recover(&self, now: OffsetDateTime) -> Result<usize, StoreError> {
        let work = move |transaction: &Transaction<'_>| {
            let now = to_file(now);
            transaction.execute(
                "UPDATE workflow_actions AS a
                 SET status = 'cancelled', ended = ?1, error = 'interrupted'
                 FROM workflow_runs r
                 WHERE r.owner IS NOT NULL AND r.status = 'cancelled'
                     AND a.run = r.position AND a.status = 'running'",
                [now],
            )?;
            transaction.execute(
                "UPDATE workflow_runs SET owner = NULL, lease = NULL,
                     due = iif(status = 'running', ?1, NULL),
                     interruptions = interruptions + (status = 'running')
                 WHERE owner IS NOT NULL",
                [now],
            )
        };
        let freed = self.store.commit(work).await?;
        self.wake();
        Ok(freed)
    }

    async fn renew(
        &self,
        owner: Arc<str>,
        runs: Vec<Uuid>,
        until: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let work = move |transaction: &Transaction<'_>| {
            let mut renew = transaction.prepare_cached(
                "UPDATE workflow_runs SET lease = ?3 WHERE id = ?1 AND owner = ?2",
            )?;
            for run in &runs {
                renew.execute((run.to_string(), &*owner, to_file(until)))?;
            }
            Ok(())
        };
        self.store.commit(work).await
    }

    async fn settle(&self, step: Step) -> Result<Settled, StoreError> {
        let is_end = matches!(step.then, Then::End(_));
        let settled = self.store.commit(move |transaction| settle_in(transaction, &step)).await?;
        if is_end {
            // Another run of the workflow may have waited for this one.
            self.wake();
        }
        Ok(settled)
    }

    async fn taken_back(&self, runs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let work = move |connection: &rusqlite::Connection| {
            let mut status = connection.prepare_cached(
                "SELECT 1 FROM workflow_runs WHERE id = ?1 AND status = 'cancelled'",
            )?;
            let mut taken_back = Vec::new();
            for run in runs {
                if status.exists([run.to_string()])? {
                    taken_back.push(run);
                }
            }
            Ok(taken_back)
        };
        self.store.read(work).await
    }

    async fn definition(&self, digest: String) -> Result<Option<(String, String)>, StoreError> {
        let work = move |connection: &rusqlite::Connection| {
            connection
                .prepare_cached("SELECT file, text FROM workflow_definitions WHERE digest = ?1")?
                .query_row([digest], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        self.store.read(work).await
    }

    async fn retire(&self, ended_before: OffsetDateTime) -> Result<usize, StoreError> {
        let work = move |transaction: &Transaction<'_>| {
            let retired = transaction
                .execute("DELETE FROM workflow_runs WHERE ended < ?1", [to_file(ended_before)])?;
            if retired > 0 {
                transaction.execute(
                    "DELETE FROM workflow_events AS e WHERE NOT EXISTS (
                         SELECT 1 FROM workflow_runs r WHERE r.event = e.id AND r.role = e.role)",
                    [],
                )?;
                transaction.execute(
                    "DELETE FROM workflow_definitions AS d WHERE NOT EXISTS (
                         SELECT 1 FROM workflow_runs r WHERE r.definition = d.digest)",
                    [],
                )?;
            }
            Ok(retired)
        };
        self.store.commit(work).await
    }

    async fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.store.read(move |connection| query::list(connection, &filter, limit)).await
    }

    async fn show(&self, run: Uuid) -> Result<Option<Shown>, StoreError> {
        self.store.read(move |connection| query::show(connection, run)).await
    }

    async fn cancel(&self, run: Uuid, now: OffsetDateTime) -> Result<Cancelled, StoreError> {
        let work = move |transaction: &Transaction<'_>| command::cancel(transaction, run, now);
        let cancelled = self.store.commit(work).await?;
        self.wake();
        Ok(cancelled)
    }

    async fn retry(&self, run: Uuid) -> Result<Retried, StoreError> {
        let work = move |transaction: &Transaction<'_>| command::retry(transaction, run);
        let retried = self.store.commit(work).await?;
        self.wake();
        Ok(retried)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.store.read(query::counts).await
    }

    fn occasions(&self) -> watch::Receiver<u64> {
        self.occasions.subscribe()
    }

    fn foreign_writes(&self) -> watch::Receiver<u64> {
        self.store.foreign_writes()
    }
}

/// What a look at new runs remembers.
struct Chosen {
    positions: Vec<i64>,
    /// Workflows of which nothing may start but what somebody asked for.
    held: BTreeSet<String>,
    /// Workflows of which nothing more may start.
    full: BTreeSet<String>,
    /// Starts of this look and runs at the same time, by workflow.
    counted: BTreeMap<String, (u32, u32)>,
    /// When a workflow that is full may go on.
    next: Option<i64>,
}

fn claim_in(transaction: &Transaction<'_>, claim: &Claim) -> rusqlite::Result<Claimed> {
    let now = to_file(claim.now);
    take_over(transaction, claim, now)?;
    let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
    // What has begun goes on first.
    let mut waiting = transaction.prepare_cached(
        "SELECT position FROM workflow_runs
         WHERE status = 'running' AND owner IS NULL AND due <= ?1
         ORDER BY priority DESC, due, position LIMIT ?2",
    )?;
    let mut positions: Vec<i64> =
        waiting.query_map((now, limit), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let left = claim.limit.saturating_sub(positions.len());
    let chosen = choose_new(transaction, claim, now, left)?;
    positions.extend(chosen.positions);

    let lease = to_file(claim.now + claim.lease);
    let mut runs = Vec::with_capacity(positions.len());
    for position in positions {
        transaction
            .prepare_cached(
                "UPDATE workflow_runs SET status = 'running', started = coalesce(started, ?2),
                     owner = ?3, lease = ?4, due = NULL
                 WHERE position = ?1",
            )?
            .execute((position, now, &*claim.owner, lease))?;
        transaction
            .prepare_cached(
                "UPDATE workflow_actions SET status = 'running', started = coalesce(started, ?2)
                 WHERE run = ?1 AND ordinal = (
                     SELECT next FROM workflow_runs WHERE position = ?1)",
            )?
            .execute((position, now))?;
        runs.push(read_claimed(transaction, position)?);
    }
    // What is his without being aboard is a claim whose answer never came.
    let mut aboard = claim.aboard.as_ref().clone();
    aboard.extend(runs.iter().map(|run: &ClaimedRun| run.id));
    let soonest = transaction
        .prepare_cached(
            "SELECT min(at) FROM (
                 SELECT min(due) AS at FROM workflow_runs WHERE status = 'running' AND owner IS NULL
                 UNION ALL
                 SELECT min(lease) FROM workflow_runs WHERE owner IS NOT NULL
                     AND NOT (owner = ?1 AND id IN (SELECT value FROM json_each(?2))))",
        )?
        .query_row((&*claim.owner, json_of(&aboard)), |row| row.get::<_, Option<i64>>(0))?;
    let next = [soonest, chosen.next].into_iter().flatten().min();
    Ok(Claimed { runs, next: next.map(from_file) })
}

fn json_of(ids: &BTreeSet<Uuid>) -> String {
    ids.iter().map(Uuid::to_string).collect::<serde_json::Value>().to_string()
}

/// Frees runs whose owner has not been heard of, and gives up those that have been interrupted too
/// often.
fn take_over(transaction: &Transaction<'_>, claim: &Claim, now: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE workflow_runs SET owner = NULL, lease = NULL,
                 due = iif(status = 'running', ?1, NULL),
                 interruptions = interruptions + (status = 'running')
             WHERE owner IS NOT NULL AND lease < ?1
                 AND NOT (owner = ?2 AND id IN (SELECT value FROM json_each(?3)))",
        )?
        .execute((now, &*claim.owner, json_of(&claim.aboard)))?;
    let mut given_up = transaction.prepare_cached(
        "SELECT position FROM workflow_runs
         WHERE status = 'running' AND owner IS NULL AND due <= ?1 AND interruptions > ?2",
    )?;
    let given_up: Vec<i64> = given_up
        .query_map((now, claim.most_interruptions), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for position in given_up {
        let end = End::Failed {
            failure: RunFailure::Interrupted,
            error: format!(
                "interrupted more than {} times in the middle of it",
                claim.most_interruptions
            ),
        };
        finish(transaction, position, &end, now)?;
    }
    Ok(())
}

/// New runs by priority, as far as the bounds of their workflows let them start.
fn choose_new(
    transaction: &Transaction<'_>,
    claim: &Claim,
    now: i64,
    limit: usize,
) -> rusqlite::Result<Chosen> {
    let held = claim.bounds.iter().filter(|(_, bound)| bound.is_held);
    let mut chosen = Chosen {
        positions: Vec::new(),
        held: held.map(|(name, _)| name.clone()).collect(),
        full: BTreeSet::new(),
        counted: BTreeMap::new(),
        next: None,
    };
    // Each run that is looked at is chosen, or its workflow is full and passed by from then on.
    while chosen.positions.len() < limit {
        let rows = next_pending(transaction, &chosen)?;
        let were_all = rows.len() < LOOK;
        for (position, workflow) in rows {
            if chosen.positions.len() >= limit {
                break;
            }
            if !chosen.full.contains(&workflow)
                && has_room(transaction, claim, now, &workflow, &mut chosen)?
            {
                chosen.positions.push(position);
            }
        }
        if were_all {
            break;
        }
    }
    Ok(chosen)
}

fn next_pending(
    transaction: &Transaction<'_>,
    chosen: &Chosen,
) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut pending = transaction.prepare_cached(
        "SELECT position, workflow FROM workflow_runs
         WHERE status = 'pending' AND workflow NOT IN (SELECT value FROM json_each(?1))
             AND position NOT IN (SELECT value FROM json_each(?2))
             AND (cause GLOB 'hand:*' OR workflow NOT IN (SELECT value FROM json_each(?3)))
         ORDER BY priority DESC, position LIMIT ?4",
    )?;
    let full = chosen.full.iter().cloned().collect::<serde_json::Value>();
    let held = chosen.held.iter().cloned().collect::<serde_json::Value>();
    let known = chosen.positions.iter().copied().collect::<serde_json::Value>();
    let look = i64::try_from(LOOK).unwrap_or(i64::MAX);
    let given = (full.to_string(), known.to_string(), held.to_string(), look);
    let rows = pending.query_map(given, |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Whether one more run of a workflow may start now; counts it where it may.
fn has_room(
    transaction: &Transaction<'_>,
    claim: &Claim,
    now: i64,
    workflow: &str,
    chosen: &mut Chosen,
) -> rusqlite::Result<bool> {
    let Some(bound) = claim.bounds.get(workflow) else { return Ok(true) };
    let since = to_file(claim.now - MINUTE);
    if !chosen.counted.contains_key(workflow) {
        let running = transaction
            .prepare_cached(
                "SELECT count(*) FROM workflow_runs WHERE workflow = ?1 AND status = 'running'",
            )?
            .query_row([workflow], |row| row.get(0))?;
        let started = transaction
            .prepare_cached(
                "SELECT count(*) FROM workflow_runs WHERE workflow = ?1 AND started > ?2",
            )?
            .query_row((workflow, since), |row| row.get(0))?;
        chosen.counted.insert(workflow.to_owned(), (started, running));
    }
    let Some((started, running)) = chosen.counted.get_mut(workflow) else { return Ok(true) };
    let is_slow = bound.rate.is_some_and(|rate| *started >= rate);
    if is_slow || bound.concurrency.is_some_and(|most| *running >= most) {
        chosen.full.insert(workflow.to_owned());
        if is_slow {
            let rate = bound.rate.unwrap_or_default();
            let oldest = transaction
                .prepare_cached(
                    "SELECT started FROM workflow_runs WHERE workflow = ?1 AND started > ?2
                     ORDER BY started DESC LIMIT 1 OFFSET ?3",
                )?
                .query_row((workflow, since, rate.saturating_sub(1)), |row| row.get::<_, i64>(0))
                .optional()?;
            // A start of this very look leaves the window a minute from now.
            let reopens = oldest.unwrap_or(now).saturating_add(60_000).saturating_add(1);
            chosen.next = Some(chosen.next.map_or(reopens, |next| next.min(reopens)));
        }
        return Ok(false);
    }
    *started += 1;
    *running += 1;
    Ok(true)
}

fn read_claimed(transaction: &Transaction<'_>, position: i64) -> rusqlite::Result<ClaimedRun> {
    transaction
        .prepare_cached(
            "SELECT r.id, r.workflow, r.definition, r.depth, r.started, r.next, e.message,
                 coalesce(a.attempts, 0) AS attempts
             FROM workflow_runs r
             JOIN workflow_events e ON e.id = r.event AND e.role = r.role
             LEFT JOIN workflow_actions a ON a.run = r.position AND a.ordinal = r.next
             WHERE r.position = ?1",
        )?
        .query_row([position], |row| {
            Ok(ClaimedRun {
                id: row::uuid(row, "id")?,
                workflow: row.get("workflow")?,
                definition: row.get("definition")?,
                event: Arc::new(message(row)?),
                depth: row.get("depth")?,
                started: row::time(row, "started")?,
                next: row.get("next")?,
                attempts: row.get("attempts")?,
            })
        })
}

/// The event of a run.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<crate::event::Message> {
    let text: String = row.get("message")?;
    kept::from_text(&text).ok_or_else(|| {
        row::unreadable(row, "message", std::io::Error::from(std::io::ErrorKind::InvalidData))
    })
}

fn settle_in(transaction: &Transaction<'_>, step: &Step) -> rusqlite::Result<Settled> {
    let now = to_file(step.now);
    let found = transaction
        .prepare_cached("SELECT position, status, owner FROM workflow_runs WHERE id = ?1")?
        .query_row([step.run.to_string()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
        })
        .optional()?;
    let Some((position, status, owner)) = found else { return Ok(Settled::Lost) };
    if owner.as_deref() != Some(&*step.owner) {
        return Ok(Settled::Lost);
    }
    for attempted in &step.attempted {
        record(transaction, position, attempted, &step.then, now)?;
    }
    if status != "running" {
        transaction
            .prepare_cached(
                "UPDATE workflow_runs SET owner = NULL, lease = NULL WHERE position = ?1",
            )?
            .execute([position])?;
        return Ok(Settled::TakenBack);
    }
    match &step.then {
        Then::Next(next) => {
            transaction
                .prepare_cached(
                    "UPDATE workflow_runs SET next = ?2, interruptions = 0 WHERE position = ?1",
                )?
                .execute((position, next))?;
            transaction
                .prepare_cached(
                    "UPDATE workflow_actions SET status = 'running', started = ?3
                     WHERE run = ?1 AND ordinal = ?2",
                )?
                .execute((position, next, now))?;
        }
        Then::Again(due) => {
            transaction
                .prepare_cached(
                    "UPDATE workflow_runs SET owner = NULL, lease = NULL, due = ?2,
                         next = coalesce(?3, next)
                     WHERE position = ?1",
                )?
                .execute((
                    position,
                    to_file(*due),
                    step.attempted.last().map(|attempted| attempted.ordinal),
                ))?;
        }
        Then::HandBack(next) => {
            transaction
                .prepare_cached(
                    "UPDATE workflow_runs SET owner = NULL, lease = NULL, due = ?2, next = ?3
                     WHERE position = ?1",
                )?
                .execute((position, now, next))?;
        }
        Then::End(end) => finish(transaction, position, end, now)?,
    }
    Ok(Settled::Yes)
}

/// Writes down how an attempt went. One that is made again stays `running`.
fn record(
    transaction: &Transaction<'_>,
    run: i64,
    attempted: &Attempted,
    then: &Then,
    now: i64,
) -> rusqlite::Result<()> {
    let is_made_again = matches!(then, Then::Again(_));
    let (status, result, failure, error) = match &attempted.outcome {
        Outcome::Completed { result } => ("completed", Some(result), None, None),
        Outcome::Failed { failure, error } if is_made_again => {
            ("running", None, Some(failure.word()), Some(error))
        }
        Outcome::Failed { failure, error } => ("failed", None, Some(failure.word()), Some(error)),
        Outcome::Cancelled => ("cancelled", None, None, None),
    };
    let ended = (status != "running").then_some(now);
    let mut update = transaction.prepare_cached(
        "UPDATE workflow_actions SET status = :status, attempts = :attempts,
             started = min(coalesce(started, :started), :started), ended = :ended,
             result = :result, failure = :failure, error = :error
         WHERE run = :run AND ordinal = :ordinal",
    )?;
    update.execute(named_params! {
        ":run": run,
        ":ordinal": attempted.ordinal,
        ":status": status,
        ":attempts": attempted.attempts,
        ":started": to_file(attempted.started),
        ":ended": ended,
        ":result": result,
        ":failure": failure,
        ":error": error,
    })?;
    Ok(())
}

/// Ends a run; what it has not come to is cancelled.
pub(super) fn finish(
    transaction: &Transaction<'_>,
    position: i64,
    end: &End,
    now: i64,
) -> rusqlite::Result<()> {
    let (status, failure, error) = match end {
        End::Completed => ("completed", None, None),
        End::Failed { failure, error } => ("failed", Some(failure.word()), Some(error)),
    };
    transaction
        .prepare_cached(
            "UPDATE workflow_runs SET status = ?2, failure = ?3, error = ?4, ended = ?5,
                 started = coalesce(started, ?5), owner = NULL, lease = NULL, due = NULL
             WHERE position = ?1",
        )?
        .execute((position, status, failure, error, now))?;
    transaction
        .prepare_cached(
            "UPDATE workflow_actions SET status = 'cancelled',
                 ended = iif(status = 'running', ?2, NULL)
             WHERE run = ?1 AND status IN ('pending', 'running')",
        )?
        .execute((position, now))?;
    Ok(())
}
