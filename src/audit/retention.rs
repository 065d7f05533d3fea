//! What is too old is removed up to a checkpoint, and a signed cut is put in its place: the chain
//! begins there from then on, and can be verified as before.

use rusqlite::{OptionalExtension, Transaction, params};

use super::chain::Link;
use super::mark::{Mark, MarkKind, Seal};
use super::writer::put;

/// Most entries removed in one transaction.
const MOST_AT_ONCE: u64 = 20_000;

/// Removes entries older than `before`, as far as the newest checkpoint allows before which all
/// are; `None` where there is nothing to remove.
pub(super) fn remove(
    transaction: &Transaction<'_>,
    before: i64,
    now: i64,
    seal: Option<&Seal>,
) -> rusqlite::Result<Option<Link>> {
    let first = "SELECT number FROM audit_entry ORDER BY number LIMIT 1";
    let Some(first) = transaction.query_row(first, [], |row| row.get::<_, u64>(0)).optional()?
    else {
        return Ok(None);
    };
    let checkpoint = "SELECT kind, number, hash, at, key, signature FROM audit_mark
                      WHERE kind = 'checkpoint' AND at < ?1 AND number >= ?2 AND number < ?3
                      ORDER BY number DESC LIMIT 1";
    let bounds = params![before, first, first.saturating_add(MOST_AT_ONCE)];
    let found = transaction.query_row(checkpoint, bounds, Mark::read).optional()?.flatten();
    let Some(checkpoint) = found else { return Ok(None) };
    let upto = checkpoint.link.number;
    // Only what the checkpoint stands for: otherwise a damage would be covered up.
    let hash = "SELECT hash FROM audit_entry WHERE number = ?1";
    let hash: Option<Vec<u8>> = transaction.query_row(hash, [upto], |row| row.get(0)).optional()?;
    if hash.as_deref() != Some(checkpoint.link.hash.as_bytes()) {
        return Ok(None);
    }
    transaction.execute("DELETE FROM audit_entry WHERE number <= ?1", [upto])?;
    transaction.execute("DELETE FROM audit_object WHERE number <= ?1", [upto])?;
    transaction.execute("DELETE FROM audit_mark WHERE kind = 'cut'", [])?;
    transaction
        .execute("DELETE FROM audit_mark WHERE kind = 'checkpoint' AND number < ?1", [upto])?;
    put(transaction, &Mark::new(MarkKind::Cut, checkpoint.link, now, seal))?;
    Ok(Some(checkpoint.link))
}
