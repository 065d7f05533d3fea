//! Letting go of what every sink has.

use rusqlite::{Connection, Transaction};
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

use super::since::first_since;
use super::{Journal, JournalError, moment};

/// Events or writes that one transaction deletes: few enough that nobody waits long for it.
const BATCH: usize = 500;

/// Pages that one transaction gives back to the system.
const PAGES: usize = 1000;

/// What may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// No longer than this.
    pub age: time::Duration,
    /// No more than so many bytes of events, about.
    pub bytes: u64,
}

/// What was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retired {
    /// Events.
    pub events: usize,
    /// Watched writes that no event stands for any more.
    pub writes: usize,
}

/// Whether a sink that the configuration names still needs event `e`: it waits for it, or it is a
/// dead letter that somebody may want to send again.
const NEEDED: &str = "EXISTS (
    SELECT 1 FROM journal_deliveries d JOIN journal_sinks s ON s.name = d.sink
    WHERE d.position = e.position AND s.is_active AND d.state <> 'delivered')";

impl Journal {
    /// Deletes what is too old or too much, oldest first, in small transactions. What a sink has
    /// still to get and dead letters stay, however old or large.
    pub async fn retire(&self, keep: Keep, now: OffsetDateTime) -> Result<Retired, JournalError> {
        let before = moment::to_file(now.checked_sub(keep.age).unwrap_or(now));
        let mut retired = Retired::default();
        // Each round goes on behind the last one, so that it ends whatever is written meanwhile.
        let (mut after, mut writes_before) = (0, before);
        loop {
            let bytes = keep.bytes;
            let batch = self.store.read(move |all| ripe(all, after, before, bytes)).await?;
            let Some((position, time)) = batch.last().copied() else { break };
            after = position;
            writes_before = writes_before.max(time);
            let delete = move |transaction: &Transaction<'_>| delete_events(transaction, &batch);
            retired.events += self.store.commit(delete).await?;
        }
        loop {
            let delete =
                move |transaction: &Transaction<'_>| delete_writes(transaction, writes_before);
            let deleted = self.store.commit(delete).await?;
            retired.writes += deleted;
            if deleted < BATCH {
                break;
            }
        }
        if retired != Retired::default() {
            self.store.commit(give_back).await?;
        }
        Ok(retired)
    }
}

/// The next events that may go and should, in order. Read beside the writer: where many events are
/// needed this takes long. Positions, and times.
fn ripe(
    connection: &Connection,
    after: i64,
    before: i64,
    bytes: u64,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let held: i64 =
        connection.query_row("SELECT bytes FROM journal_total", [], |row| row.get(0))?;
    let mut excess = held.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    // Past this one, what is too old was written down in disorder, and goes the next time.
    let too_old = first_since(connection, before)?;
    if excess <= 0 && too_old <= after + 1 {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT e.position, e.time, e.bytes FROM journal_events e
         WHERE e.position > ?1 AND (?2 OR e.position < ?3) AND NOT {NEEDED}
         ORDER BY e.position LIMIT {BATCH}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((after, excess > 0, too_old))?;
    let mut batch = Vec::new();
    while let Some(row) = rows.next()? {
        let (position, time, bytes): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if time < before || excess > 0 {
            excess -= bytes;
            batch.push((position, time));
        }
    }
    Ok(batch)
}

fn delete_events(transaction: &Transaction<'_>, batch: &[(i64, i64)]) -> rusqlite::Result<usize> {
    // Asked again: somebody may have replayed one meanwhile.
    let sql = format!("DELETE FROM journal_events AS e WHERE e.position = ?1 AND NOT {NEEDED}");
    let mut statement = transaction.prepare_cached(&sql)?;
    batch.iter().map(|(position, _)| statement.execute([position])).sum()
}

fn delete_writes(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<usize> {
    // An id is made just before the time of its write is taken, and begins with its own.
    let time = Timestamp::from_unix(NoContext, u64::try_from(before / 1000).unwrap_or(0), 0);
    let end = Uuid::new_v7(time);
    let sql = format!(
        "DELETE FROM journal_writes WHERE id IN (
             SELECT id FROM journal_writes w
             WHERE w.id < ?2 AND w.time < ?1 AND w.outcome IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM journal_events e WHERE e.write = w.id)
             LIMIT {BATCH})"
    );
    transaction.prepare_cached(&sql)?.execute((before, end.to_string()))
}

fn give_back(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    // It gives back one page for each row that is asked of it.
    let mut statement = transaction.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
