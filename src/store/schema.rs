//! The tables that a room brings, and the steps that lead to them.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::error::OpenError;

/// The tables of one room.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The room: `journal`.
    pub name: &'static str,
    /// SQL that leads from one version of the tables to the next. A step that has been released is
    /// never changed; a new one is put at the end.
    pub steps: &'static [&'static str],
}

/// The store's own tables.
const OWN: &str = "
    CREATE TABLE IF NOT EXISTS store_schema (
        name TEXT NOT NULL PRIMARY KEY,
        step INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS store_probe (
        id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
        probes INTEGER NOT NULL
    ) STRICT;
    INSERT INTO store_probe (id, probes) VALUES (1, 0) ON CONFLICT DO NOTHING;
";

/// Takes the steps that are missing, all or none of them.
pub(super) fn migrate(connection: &mut Connection, schemas: &[Schema]) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(OWN)?;
    for schema in schemas {
        step_up(&transaction, schema)?;
    }
    transaction.commit()?;
    Ok(())
}

fn step_up(transaction: &Transaction<'_>, schema: &Schema) -> Result<(), OpenError> {
    let found = step_of(transaction, schema)?;
    let missing = usize::try_from(found).ok().and_then(|found| schema.steps.get(found..));
    let Some(missing) = missing else {
        let known = schema.steps.len() as u64;
        return Err(OpenError::Newer { schema: schema.name, found, known });
    };
    if missing.is_empty() {
        return Ok(());
    }
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.execute(
        "INSERT INTO store_schema (name, step) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET step = excluded.step",
        (schema.name, schema.steps.len()),
    )?;
    Ok(())
}

/// Whether the tables are exactly those that the program knows.
pub(super) fn check(connection: &Connection, schemas: &[Schema]) -> Result<(), OpenError> {
    for schema in schemas {
        let found = step_of(connection, schema)?;
        let (name, known) = (schema.name, schema.steps.len() as u64);
        if found > known {
            return Err(OpenError::Newer { schema: name, found, known });
        }
        if found < known {
            return Err(OpenError::Older { schema: name, found, known });
        }
    }
    Ok(())
}

fn step_of(connection: &Connection, schema: &Schema) -> rusqlite::Result<u64> {
    let step = connection
        .query_row("SELECT step FROM store_schema WHERE name = ?1", [schema.name], |row| row.get(0))
        .optional()?;
    Ok(step.unwrap_or(0))
}
