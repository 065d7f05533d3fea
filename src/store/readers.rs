//! A few connections that read, each one reader's at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Semaphore;

use super::connection;
use super::error::StoreError;

#[derive(Debug)]
pub(super) struct Readers {
    database: PathBuf,
    busy_timeout: Duration,
    limit: usize,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Connections are opened when they are first needed.
    pub(super) fn new(database: &Path, busy_timeout: Duration, limit: usize) -> Self {
        Self {
            database: database.to_owned(),
            busy_timeout,
            limit,
            free: Arc::new(Semaphore::new(limit)),
            idle: Mutex::new(Vec::new()),
        }
    }

    pub(super) async fn read<T, F>(self: Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let place = Arc::clone(&self.free).acquire_owned().await;
        let place = place.map_err(|_| StoreError::Stopped)?;
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = self.read_blocking(work);
            drop(place);
            outcome
        });
        match reading.await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => Err(StoreError::Panicked),
            Err(_) => Err(StoreError::Stopped),
        }
    }

    pub(super) fn read_blocking<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if self.free.is_closed() {
            return Err(StoreError::Stopped);
        }
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::reader(&self.database, self.busy_timeout)?,
        };
        // One transaction, so that several queries see one state. A failed read leaves the
        // connection to be dropped: it costs little, and whatever ailed it goes with it.
        let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Deferred)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        let mut idle = self.lock();
        if idle.len() < self.limit && !self.free.is_closed() {
            idle.push(connection);
        }
        Ok(value)
    }

    /// Lets go of the connections that nobody uses, and gives out no more.
    pub(super) fn close(&self) {
        self.free.close();
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
