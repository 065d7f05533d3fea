//! What was not masked for too long is forgotten, and the longest unseen where there is too much.

use rusqlite::{Transaction, params};

/// Most entries removed in one transaction.
pub(super) const MOST_AT_ONCE: u64 = 10_000;

/// Removes entries last seen before the day `before`, then those that are seen longest ago beyond
/// `most`. Says how many, [`MOST_AT_ONCE`] at most.
pub(super) fn remove(
    transaction: &Transaction<'_>,
    before: i64,
    most: u64,
) -> rusqlite::Result<u64> {
    let oldest = "DELETE FROM token_map WHERE (tenant, field, key, token) IN
                  (SELECT tenant, field, key, token FROM token_map WHERE seen < ?1
                   ORDER BY seen LIMIT ?2)";
    let removed = transaction.execute(oldest, params![before, MOST_AT_ONCE])? as u64;
    let held: u64 =
        transaction.query_row("SELECT count(*) FROM token_map", [], |row| row.get(0))?;
    let surplus = held.saturating_sub(most).min(MOST_AT_ONCE.saturating_sub(removed));
    if surplus == 0 {
        return Ok(removed);
    }
    Ok(removed + transaction.execute(oldest, params![i64::MAX, surplus])? as u64)
}
