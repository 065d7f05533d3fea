//! A look into a store, and a short write, from another process than its owner: the commands.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::{OpenError, StoreError};
use super::folder::Place;
use super::schema::Schema;
use super::{connection, schema};

/// How long a command waits for the owner's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A guest in a store, at rest or live. It never migrates: it works only on the tables that it
/// knows exactly.
#[derive(Debug)]
pub struct Visitor {
    connection: Connection,
}

impl Visitor {
    /// Opens a store to look into it.
    pub fn reader(folder: &Path, schemas: &[Schema]) -> Result<Self, OpenError> {
        let place = Place::visit(folder)?;
        let connection = connection::reader(place.database(), BUSY_TIMEOUT)?;
        Self::admit(connection, &place, schemas)
    }

    /// Opens a store to write to it.
    pub fn writer(folder: &Path, schemas: &[Schema]) -> Result<Self, OpenError> {
        let place = Place::visit(folder)?;
        let connection = connection::guest(place.database(), BUSY_TIMEOUT)?;
        Self::admit(connection, &place, schemas)
    }

    fn admit(connection: Connection, place: &Place, schemas: &[Schema]) -> Result<Self, OpenError> {
        connection::check_application(&connection, place.database())?;
        schema::check(&connection, schemas)?;
        Ok(Self { connection })
    }

    /// Reads committed state, all of it as of one moment.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Writes in one transaction, on disk when it returns. The owner waits meanwhile, so it must be
    /// short.
    pub fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}
