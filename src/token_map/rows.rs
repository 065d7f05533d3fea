//! The table of the map, and its SQL.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::Key;
use crate::store::Schema;

/// What the map needs of a store. `seen` is the day since 1970 on which the value was last masked.
pub const SCHEMA: Schema = Schema {
    name: "token_map",
    steps: &["
        CREATE TABLE token_map (
            tenant TEXT NOT NULL,
            field TEXT NOT NULL,
            key TEXT NOT NULL,
            token BLOB NOT NULL,
            sealed BLOB NOT NULL,
            seen INTEGER NOT NULL,
            PRIMARY KEY (tenant, field, key, token)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX token_map_seen ON token_map (seen);
    "],
};

/// What is kept of a token.
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) sealed: Vec<u8>,
}

pub(super) fn put(transaction: &Transaction<'_>, rows: &[Row], day: i64) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO token_map (tenant, field, key, token, sealed, seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET seen = excluded.seen",
    )?;
    for Row { key, sealed } in rows {
        let token = &key.token;
        let id: &[u8] = token.id();
        put.execute(params![key.tenant, key.field, token.key().as_str(), id, sealed, day])?;
    }
    Ok(())
}

pub(super) fn find(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Vec<u8>>> {
    let id: &[u8] = key.token.id();
    connection
        .prepare_cached(
            "SELECT sealed FROM token_map
             WHERE tenant = ?1 AND field = ?2 AND key = ?3 AND token = ?4",
        )?
        .query_row(params![key.tenant, key.field, key.token.key().as_str(), id], |row| row.get(0))
        .optional()
}
