//! The activities of leads that have passed by, so that their number outlives the process.

use rusqlite::{Connection, Transaction};
use time::OffsetDateTime;

use super::{BATCH, LeadKey, ScoreHistory, milliseconds, moment};
use crate::store::StoreError;

/// Most activities that are read back.
const MOST: usize = 500_000;

/// An activity of a lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenActivity {
    /// The lead.
    pub key: LeadKey,
    /// The activity's own id.
    pub activity: Box<str>,
    /// When it was.
    pub at: OffsetDateTime,
}

impl ScoreHistory {
    /// Notes activities, soon.
    pub fn saw(&self, seen: Vec<SeenActivity>) {
        if let Some(store) = self.store.as_ref().filter(|_| !seen.is_empty()) {
            store.commit_soon(move |transaction| put(transaction, &seen));
        }
    }

    /// The activities since a moment, the newest last, up to a bound.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn activities_since(
        &self,
        since: OffsetDateTime,
    ) -> Result<Vec<SeenActivity>, StoreError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut found = store.read(move |connection| get(connection, since)).await?;
        found.reverse();
        Ok(found)
    }

    /// Forgets activities that were before a moment.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn retire_activities(&self, before: OffsetDateTime) -> Result<usize, StoreError> {
        let Some(store) = &self.store else { return Ok(0) };
        let mut retired = 0;
        loop {
            let deleted = store.commit(move |inside| retire(inside, before)).await?;
            retired += deleted;
            if deleted < BATCH {
                return Ok(retired);
            }
        }
    }
}

fn put(transaction: &Transaction<'_>, seen: &[SeenActivity]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO lead_activities (tenant, resource, lead, activity, at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for SeenActivity { key, activity, at } in seen {
        let LeadKey { tenant, resource, lead } = key;
        statement.execute((tenant, resource, lead, &**activity, milliseconds(*at)))?;
    }
    Ok(())
}

fn get(connection: &Connection, since: OffsetDateTime) -> rusqlite::Result<Vec<SeenActivity>> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, resource, lead, activity, at FROM lead_activities
         WHERE at >= ?1 ORDER BY at DESC LIMIT ?2",
    )?;
    let rows = statement.query_map((milliseconds(since), MOST), |row| {
        let key = LeadKey { tenant: row.get(0)?, resource: row.get(1)?, lead: row.get(2)? };
        let activity: String = row.get(3)?;
        Ok(moment(row.get(4)?).map(|at| SeenActivity { key, activity: activity.into(), at }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

fn retire(transaction: &Transaction<'_>, before: OffsetDateTime) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached(
            "DELETE FROM lead_activities WHERE (tenant, resource, lead, activity) IN (
                 SELECT tenant, resource, lead, activity FROM lead_activities
                 WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute((milliseconds(before), BATCH))
}
