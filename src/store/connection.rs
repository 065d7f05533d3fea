//! Connections to the file, and how each is set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::OpenError;
use crate::fail_point;

/// `FGst`, in the file's header: it is ours.
const APPLICATION: i64 = 0x4647_7374;

/// Prepared statements kept by one connection.
const STATEMENTS: usize = 64;

/// Pages in the log before they are written back: 32 MiB. A page that many groups change is written
/// back once for all of them, and the two fsyncs of that are seldom waited for.
const LOG_PAGES: i64 = 8192;

/// What the log shrinks to when it has been written back.
const LOG_BYTES: i64 = 64 << 20;

/// The owner's connection, which writes.
pub(super) fn owner(database: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let connection = open(database, OpenFlags::SQLITE_OPEN_READ_WRITE, busy_timeout)?;
    let application: i64 = connection.pragma_query_value(None, "application_id", first)?;
    let pages: i64 = connection.pragma_query_value(None, "page_count", first)?;
    if application != APPLICATION && (application != 0 || pages != 0) {
        return Err(OpenError::Foreign(database.to_owned()));
    }
    if pages == 0 {
        // Can only be chosen before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::Foreign(database.to_owned()));
    }
    if application != APPLICATION {
        connection.pragma_update(None, "application_id", APPLICATION)?;
    }
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    durable(&connection)?;
    Ok(connection)
}

/// A connection that reads.
pub(super) fn reader(database: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    open(database, OpenFlags::SQLITE_OPEN_READ_ONLY, busy_timeout)
}

/// A connection of another process than the owner, which writes briefly.
pub(super) fn guest(database: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let connection = open(database, OpenFlags::SQLITE_OPEN_READ_WRITE, busy_timeout)?;
    durable(&connection)?;
    Ok(connection)
}

/// Whether the file is ours.
pub(super) fn check_application(connection: &Connection, database: &Path) -> Result<(), OpenError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", first)?;
    if application == APPLICATION { Ok(()) } else { Err(OpenError::Foreign(database.to_owned())) }
}

/// Writes all that the log holds into the file, and syncs it. What an fsync that failed before a
/// restart may have left in the kernel's memory only is on disk after this, or this fails.
pub(super) fn rewrite_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn open(
    database: &Path,
    access: OpenFlags,
    busy_timeout: Duration,
) -> rusqlite::Result<Connection> {
    // A connection is only ever in one thread at a time, so SQLite need not lock it.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn durable(connection: &Connection) -> rusqlite::Result<()> {
    let level = if fail_point::is_off("store.durability") { "OFF" } else { "FULL" };
    connection.pragma_update(None, "synchronous", level)?;
    // macOS: an fsync that means it. Elsewhere without effect.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)
}

fn first(row: &rusqlite::Row<'_>) -> rusqlite::Result<i64> {
    row.get(0)
}
