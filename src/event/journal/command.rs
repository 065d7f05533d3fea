//! Putting events on their way again, because somebody says so.
//!
//! Inside a transaction of the caller: a command has one as a visitor of the store, whoever owns it.

use rusqlite::{Connection, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::since::first_since;
use super::{moment, sinks};

/// Which events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// All there are.
    All,
    /// One.
    Event(Uuid),
    /// Those that happened at this time or later.
    Since(OffsetDateTime),
}

impl Chosen {
    /// As parameters: an id or nothing, a time or nothing, and a position before all of them.
    fn parameters(
        self,
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<(Option<String>, Option<i64>, i64)> {
        Ok(match self {
            Self::All => (None, None, 0),
            Self::Event(id) => (Some(id.to_string()), None, 0),
            Self::Since(time) => {
                let time = moment::to_file(time);
                (None, Some(time), first_since(transaction, time)?)
            }
        })
    }
}

/// Puts dead letters on their way again, to one sink or to all that the configuration names. They
/// begin with their first attempt. Says how many; what the sink's role may not see stays dead.
pub fn retry(
    transaction: &Transaction<'_>,
    chosen: Chosen,
    sink: Option<&str>,
    now: OffsetDateTime,
) -> rusqlite::Result<usize> {
    let (event, since, first) = chosen.parameters(transaction)?;
    again(transaction, sink, now, |name| {
        transaction.execute(
            "UPDATE journal_deliveries AS d
             SET state = 'waiting', attempts = 0, due = NULL, settled = NULL
             FROM journal_events e, journal_sinks s
             WHERE d.sink = ?1 AND d.state = 'dead' AND e.position = d.position
                 AND s.name = d.sink
                 AND (?2 IS NULL OR e.id = ?2) AND (?3 IS NULL OR e.time >= ?3)
                 AND e.position >= ?4
                 AND EXISTS (SELECT 1 FROM journal_views v
                     WHERE v.position = d.position AND v.role IN (s.role, '*'))",
            (name, &event, since, first),
        )
    })
}

/// Puts events on their way to one sink, or to all that the configuration names, whether it has had
/// them or not. The receiver knows them by their ids. Says how many; what the sink's role may not
/// see, and what is on its way already, does not count.
pub fn replay(
    transaction: &Transaction<'_>,
    chosen: Chosen,
    sink: Option<&str>,
    now: OffsetDateTime,
) -> rusqlite::Result<usize> {
    let (event, since, first) = chosen.parameters(transaction)?;
    again(transaction, sink, now, |name| {
        transaction.execute(
            "INSERT INTO journal_deliveries (position, sink, subject, state, attempts)
             SELECT e.position, s.name, e.subject, 'waiting', 0
             FROM journal_events e, journal_sinks s
             WHERE s.name = ?1 AND (?2 IS NULL OR e.id = ?2) AND (?3 IS NULL OR e.time >= ?3)
                 AND e.position >= ?4
                 AND EXISTS (SELECT 1 FROM journal_views v
                     WHERE v.position = e.position AND v.role IN (s.role, '*'))
             ON CONFLICT (position, sink) DO UPDATE
             SET state = 'waiting', attempts = 0, due = NULL, settled = NULL
             WHERE state <> 'waiting'",
            (name, &event, since, first),
        )
    })
}

/// The sinks that the configuration names, by name.
pub fn sink_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare("SELECT name FROM journal_sinks WHERE is_active ORDER BY name")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn again(
    transaction: &Transaction<'_>,
    sink: Option<&str>,
    now: OffsetDateTime,
    mut put: impl FnMut(&str) -> rusqlite::Result<usize>,
) -> rusqlite::Result<usize> {
    let mut count = 0;
    for name in sink_names(transaction)? {
        if sink.is_none_or(|sink| sink == name) {
            count += put(&name)?;
            sinks::free_heads(transaction, &name, now)?;
        }
    }
    Ok(count)
}
