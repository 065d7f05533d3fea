//! What is due at a sink, and what became of it.

use rusqlite::{Connection, OptionalExtension, Transaction};
use time::OffsetDateTime;

use super::super::{DeliveryFailure, Message};
use super::query::{Backlog, Entry};
use super::{Journal, JournalError, moment, query, row, sinks};

/// A message that one sink is to get now.
#[derive(Debug, Clone)]
pub struct Due {
    /// The event's place in the journal.
    pub position: u64,
    /// Attempts so far, since it was last put on its way.
    pub attempts: u32,
    /// The event as the sink's role may see it.
    pub message: Message,
}

/// What is due at a sink.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    pub(crate) due: Vec<Due>,
    /// When the next one will be due, if none comes or is settled before.
    pub(crate) next: Option<OffsetDateTime>,
}

impl Journal {
    /// The messages that a sink is to get now, at most one of each subject, the longest due first.
    pub async fn next_for(
        &self,
        sink: &str,
        limit: usize,
        now: OffsetDateTime,
    ) -> Result<Vec<Due>, JournalError> {
        self.agenda(sink, limit, now).await.map(|agenda| agenda.due)
    }

    /// [`next_for`](Self::next_for), and when to look again.
    pub(crate) async fn agenda(
        &self,
        sink: &str,
        limit: usize,
        now: OffsetDateTime,
    ) -> Result<Agenda, JournalError> {
        let (sink, source) = (sink.to_owned(), self.source.clone());
        let read = move |connection: &Connection| {
            let due = due(connection, &sink, &source, limit, now)?;
            Ok(Agenda { due, next: next_due(connection, &sink, now)? })
        };
        Ok(self.store.read(read).await?)
    }

    /// What a sink has still to get.
    pub async fn backlog(&self, sink: &str) -> Result<Backlog, JournalError> {
        let sink = sink.to_owned();
        Ok(self.store.read(move |connection| query::backlog(connection, &sink)).await?)
    }

    /// The sink has it.
    pub async fn accepted(
        &self,
        sink: &str,
        position: u64,
        now: OffsetDateTime,
    ) -> Result<(), JournalError> {
        let sink = sink.to_owned();
        let work = move |transaction: &Transaction<'_>| {
            let attempt = Attempted { position, sink: &sink, now };
            attempt.settle(transaction, "delivered", None)
        };
        Ok(self.store.commit(work).await?)
    }

    /// The sink has it not, and is to be tried again.
    pub async fn failed(
        &self,
        sink: &str,
        position: u64,
        now: OffsetDateTime,
        reason: DeliveryFailure,
        retry_at: OffsetDateTime,
    ) -> Result<(), JournalError> {
        let sink = sink.to_owned();
        let work = move |transaction: &Transaction<'_>| {
            let attempt = Attempted { position, sink: &sink, now };
            attempt.postpone(transaction, reason, retry_at)
        };
        Ok(self.store.commit(work).await?)
    }

    /// The sink has it not, and is not tried again unless somebody says so.
    pub async fn dead(
        &self,
        sink: &str,
        position: u64,
        now: OffsetDateTime,
        reason: DeliveryFailure,
    ) -> Result<(), JournalError> {
        let sink = sink.to_owned();
        let work = move |transaction: &Transaction<'_>| {
            let attempt = Attempted { position, sink: &sink, now };
            attempt.settle(transaction, "dead", Some(reason))
        };
        Ok(self.store.commit(work).await?)
    }

    /// The sink wants no more events. All that it has not got keeps waiting.
    pub async fn disabled(
        &self,
        sink: &str,
        position: u64,
        now: OffsetDateTime,
    ) -> Result<(), JournalError> {
        let sink = sink.to_owned();
        let work = move |transaction: &Transaction<'_>| {
            let attempt = Attempted { position, sink: &sink, now };
            attempt.disable(transaction)
        };
        Ok(self.store.commit(work).await?)
    }
}

fn due(
    connection: &Connection,
    sink: &str,
    source: &str,
    limit: usize,
    now: OffsetDateTime,
) -> rusqlite::Result<Vec<Due>> {
    let mut statement = connection.prepare_cached(
        "SELECT e.*, d.attempts, v.data
         FROM journal_deliveries d
         JOIN journal_sinks s ON s.name = d.sink
         JOIN journal_events e ON e.position = d.position
         JOIN journal_views v ON v.position = d.position AND v.role = iif(EXISTS (
             SELECT 1 FROM journal_views o WHERE o.position = d.position AND o.role = s.role),
             s.role, '*')
         WHERE d.sink = ?1 AND d.due <= ?2
         ORDER BY d.due, d.position LIMIT ?3",
    )?;
    let rows = statement.query_map((sink, moment::to_file(now), limit), |row| {
        let entry = Entry::read(row)?;
        let (position, attempts) = (entry.position, row.get("attempts")?);
        Ok(Due { position, attempts, message: entry.message(source, row::json(row, "data")?) })
    })?;
    rows.collect()
}

fn next_due(
    connection: &Connection,
    sink: &str,
    now: OffsetDateTime,
) -> rusqlite::Result<Option<OffsetDateTime>> {
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(due) FROM journal_deliveries WHERE sink = ?1 AND due > ?2")?
        .query_row((sink, moment::to_file(now)), |row| row.get(0))?;
    Ok(next.map(moment::from_file))
}

/// One attempt that was made.
struct Attempted<'a> {
    position: u64,
    sink: &'a str,
    now: OffsetDateTime,
}

impl Attempted<'_> {
    /// Ends the delivery and lets the next one of its subject go.
    fn settle(
        &self,
        transaction: &Transaction<'_>,
        state: &str,
        failure: Option<DeliveryFailure>,
    ) -> rusqlite::Result<()> {
        let failure = failure.map(DeliveryFailure::name);
        let subject: Option<Option<i64>> = transaction
            .prepare_cached(
                "UPDATE journal_deliveries
                 SET state = ?3, attempts = attempts + 1, due = NULL, failure = ?4, settled = ?5
                 WHERE position = ?1 AND sink = ?2 AND state = 'waiting' RETURNING subject",
            )?
            .query_row(
                (self.position, self.sink, state, &failure, moment::to_file(self.now)),
                |row| row.get(0),
            )
            .optional()?;
        let Some(subject) = subject else { return Ok(()) };
        self.note(transaction, failure.as_deref().unwrap_or("accepted"))?;
        match subject {
            Some(subject) => sinks::free_next(transaction, self.sink, subject, self.now),
            None => Ok(()),
        }
    }

    fn postpone(
        &self,
        transaction: &Transaction<'_>,
        reason: DeliveryFailure,
        retry_at: OffsetDateTime,
    ) -> rusqlite::Result<()> {
        let failure = reason.name();
        let changed = transaction
            .prepare_cached(
                "UPDATE journal_deliveries
                 SET attempts = attempts + 1, due = ?3, failure = ?4
                 WHERE position = ?1 AND sink = ?2 AND state = 'waiting'",
            )?
            .execute((self.position, self.sink, moment::to_file(retry_at), &failure))?;
        if changed > 0 { self.note(transaction, &failure) } else { Ok(()) }
    }

    fn disable(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction
            .prepare_cached("UPDATE journal_sinks SET disabled = ?2 WHERE name = ?1")?
            .execute((self.sink, moment::to_file(self.now)))?;
        let changed = transaction
            .prepare_cached(
                "UPDATE journal_deliveries SET attempts = attempts + 1
                 WHERE position = ?1 AND sink = ?2 AND state = 'waiting'",
            )?
            .execute((self.position, self.sink))?;
        if changed > 0 { self.note(transaction, "disabled") } else { Ok(()) }
    }

    fn note(&self, transaction: &Transaction<'_>, outcome: &str) -> rusqlite::Result<()> {
        transaction
            .prepare_cached(
                "INSERT INTO journal_attempts (position, sink, attempt, at, outcome)
                 SELECT position, sink, attempts, ?3, ?4 FROM journal_deliveries
                 WHERE position = ?1 AND sink = ?2",
            )?
            .execute((self.position, self.sink, moment::to_file(self.now), outcome))?;
        Ok(())
    }
}
