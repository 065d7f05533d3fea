//! The rows of scores.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction};
use time::OffsetDateTime;

use std::sync::Arc;

use super::{Cause, Last, LeadKey, Past, Share, form, milliseconds, moment};
use crate::score::{Quality, RulesDigest, Score};

/// A score on its way into the store.
#[derive(Debug)]
pub(super) struct Row {
    key: LeadKey,
    at: i64,
    total: u8,
    quality: &'static str,
    cause: Cause,
    kept: String,
    rules: RulesDigest,
    /// It says something else than the one before it.
    is_new: bool,
}

impl Row {
    pub(super) fn new(
        key: LeadKey,
        score: &Score,
        rules: RulesDigest,
        cause: Cause,
        is_new: bool,
    ) -> Self {
        Self {
            key,
            at: milliseconds(score.calculated_at()),
            total: score.total(),
            quality: score.quality().word(),
            cause,
            kept: form::text(score),
            rules,
            is_new,
        }
    }
}

/// The last one, and one more of the history where it says something new.
pub(super) fn write(transaction: &Transaction<'_>, rows: &[Row]) -> rusqlite::Result<()> {
    let mut last = transaction.prepare_cached(
        "INSERT INTO lead_scores (tenant, resource, lead, at, total, quality, cause, kept, rules)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (tenant, resource, lead) DO UPDATE
         SET at = excluded.at, total = excluded.total, quality = excluded.quality,
             cause = excluded.cause, kept = excluded.kept, rules = excluded.rules
         WHERE excluded.at >= at",
    )?;
    let mut history = transaction.prepare_cached(
        "INSERT OR REPLACE INTO lead_score_history
             (tenant, resource, lead, at, total, quality, cause, kept)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for Row { key, at, total, quality, cause, kept, rules, is_new } in rows {
        let LeadKey { tenant, resource, lead } = key;
        let cause = cause.word();
        let rules = rules.as_str();
        last.execute((tenant, resource, lead, at, total, quality, cause, kept, rules))?;
        if *is_new {
            history.execute((tenant, resource, lead, at, total, quality, cause, kept))?;
        }
    }
    Ok(())
}

/// The last score of each of these leads that has one.
pub(super) fn last(
    connection: &Connection,
    keys: Vec<LeadKey>,
) -> rusqlite::Result<Vec<(LeadKey, Last)>> {
    let mut statement = connection.prepare_cached(
        "SELECT at, total, kept, rules FROM lead_scores
         WHERE tenant = ?1 AND resource = ?2 AND lead = ?3",
    )?;
    let mut found = Vec::new();
    for key in keys {
        let values = (&key.tenant, &key.resource, &key.lead);
        let last = statement.query_row(values, |row| {
            let rules = RulesDigest::recall(&row.get::<_, String>(3)?);
            Ok(read(row)?.map(|score| Last { score: Arc::new(score), rules }))
        });
        found.extend(last.optional()?.flatten().map(|last| (key, last)));
    }
    Ok(found)
}

/// The history of a lead, the newest first.
pub(super) fn history(
    connection: &Connection,
    key: &LeadKey,
    most: usize,
) -> rusqlite::Result<Vec<Past>> {
    let mut statement = connection.prepare_cached(
        "SELECT at, total, kept, cause FROM lead_score_history
         WHERE tenant = ?1 AND resource = ?2 AND lead = ?3
         ORDER BY at DESC LIMIT ?4",
    )?;
    let rows = statement.query_map((&key.tenant, &key.resource, &key.lead, most), |row| {
        let cause: String = row.get(3)?;
        let cause = Cause::ALL.into_iter().find(|known| known.word() == cause);
        Ok(read(row)?.zip(cause).map(|(score, cause)| Past { score, cause }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// Deletes some of what is older; says how many.
pub(super) fn retire(
    transaction: &Transaction<'_>,
    before: OffsetDateTime,
    batch: usize,
) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached(
            "DELETE FROM lead_score_history WHERE (tenant, resource, lead, at) IN (
                 SELECT tenant, resource, lead, at FROM lead_score_history
                 WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute((milliseconds(before), batch))
}

/// Takes a lead out of both tables.
pub(super) fn forget(transaction: &Transaction<'_>, key: &LeadKey) -> rusqlite::Result<()> {
    let values = (&key.tenant, &key.resource, &key.lead);
    transaction
        .prepare_cached(
            "DELETE FROM lead_scores WHERE tenant = ?1 AND resource = ?2 AND lead = ?3",
        )?
        .execute(values)?;
    transaction
        .prepare_cached(
            "DELETE FROM lead_score_history WHERE tenant = ?1 AND resource = ?2 AND lead = ?3",
        )?
        .execute(values)?;
    Ok(())
}

/// The leads of one company and kind whose score is older or by other rules, the oldest first.
pub(super) fn stale(
    connection: &Connection,
    (tenant, resource): (&str, &str),
    rules: &RulesDigest,
    before: OffsetDateTime,
    most: usize,
) -> rusqlite::Result<Vec<LeadKey>> {
    let mut statement = connection.prepare_cached(
        "SELECT lead FROM lead_scores
         WHERE tenant = ?1 AND resource = ?2 AND (at <= ?3 OR rules <> ?4)
         ORDER BY at LIMIT ?5",
    )?;
    let values = (tenant, resource, milliseconds(before), rules.as_str(), most);
    let rows = statement.query_map(values, |row| {
        let (tenant, resource) = (tenant.to_owned(), resource.to_owned());
        Ok(LeadKey { tenant, resource, lead: row.get(0)? })
    })?;
    rows.collect()
}

/// How many there are of these.
pub(super) fn count_stale(
    connection: &Connection,
    (tenant, resource): (&str, &str),
    rules: &RulesDigest,
    before: OffsetDateTime,
) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM lead_scores
             WHERE tenant = ?1 AND resource = ?2 AND (at <= ?3 OR rules <> ?4)",
        )?
        .query_row((tenant, resource, milliseconds(before), rules.as_str()), |row| row.get(0))
}

/// How many leads of each company have which quality.
pub(super) fn distribution(connection: &Connection) -> rusqlite::Result<Vec<Share>> {
    let mut statement = connection
        .prepare_cached("SELECT tenant, quality, count(*) FROM lead_scores GROUP BY 1, 2")?;
    let rows = statement.query_map([], |row| {
        let word: String = row.get(1)?;
        let quality = Quality::ALL.into_iter().find(|quality| quality.word() == word);
        let (tenant, leads) = (row.get(0)?, row.get(2)?);
        Ok(quality.map(|quality| Share { tenant, quality, leads }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// `None` where the row holds what no version of this program has written.
fn read(row: &SqlRow<'_>) -> rusqlite::Result<Option<Score>> {
    let (at, total, kept): (i64, u8, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(moment(at).and_then(|at| form::score(&kept, total, at)))
}
