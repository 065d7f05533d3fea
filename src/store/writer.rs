//! The one thread that writes: it takes all that waits, commits it at once, and answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;

use super::error::StoreError;
use super::folder::Place;
use super::health::{Fault, Health};
use super::job::{Job, Ran};
use super::queue::Taken;
use super::{Options, Shared, connection};
use crate::fail_point;

/// Without durability, how long answers precede the commit: long enough for a crash to fall between.
const UNSAFE_PAUSE: Duration = Duration::from_millis(20);

/// A group of so many shows that many write at once, and that more is about to come.
const MANY: usize = 8;

/// The time that they have to come together for the next group. On a disk whose fsync takes longer
/// than that they would have met anyway; on a faster one every group that is saved leaves them more
/// of the processor than the pause takes. Few never wait.
const GATHER: Duration = Duration::from_millis(1);

pub(super) struct Writer {
    /// `None` as long as the store does not take writes.
    connection: Option<Connection>,
    place: Place,
    shared: Arc<Shared>,
    tell: watch::Sender<u64>,
    /// SQLite's count of what other connections have written.
    foreign_version: i64,
    looked: Instant,
    options: Options,
}

/// How a group ended.
enum Ended {
    /// On disk, after so long.
    Committed(Duration),
    /// There was nothing to commit.
    Nothing,
    /// Another process held the file; nothing was done.
    Held,
    Failed(Fault),
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        place: Place,
        shared: Arc<Shared>,
        tell: watch::Sender<u64>,
        options: &Options,
    ) -> Self {
        let foreign_version = version(&connection);
        let (connection, looked) = (Some(connection), Instant::now());
        Self { connection, place, shared, tell, foreign_version, looked, options: options.clone() }
    }

    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            match self.shared.queue.take(&mut batch, self.options.look) {
                Taken::Jobs => self.commit(&mut batch),
                Taken::Nothing => {}
                Taken::Closed => return,
            }
            let were_many = batch.len() >= MANY;
            batch.clear();
            if were_many {
                std::thread::sleep(GATHER);
            }
            if self.looked.elapsed() >= self.options.look {
                self.looked = Instant::now();
                self.look();
            }
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) {
        let Some(connection) = &mut self.connection else {
            return answer(batch, || Some(StoreError::Unhealthy));
        };
        let mut done = 0;
        let ended = commit_group(connection, batch, &mut done, &self.options);
        fail_point::pass("store.committed");
        match ended {
            Ended::Committed(fsync) => {
                self.shared.counters.committed(done, fsync);
                self.shared.counters.undone(batch.len() - done);
                if let Some(observer) = &self.shared.observer {
                    observer.committed(done, fsync);
                }
                answer(batch, || None);
            }
            Ended::Nothing => {
                self.shared.counters.undone(batch.len());
                answer(batch, || None);
            }
            Ended::Held => answer(batch, || Some(StoreError::Held)),
            Ended::Failed(fault) => self.fail(batch, fault),
        }
    }

    /// Gives up the connection: nothing may be built on what it thinks to be true.
    fn fail(&mut self, batch: &mut [Box<dyn Job>], fault: Fault) {
        self.shared.counters.failed();
        if let Some(observer) = &self.shared.observer {
            observer.failed(batch.len(), fault);
        }
        self.set_health(fault.consequence());
        if let Some(connection) = self.connection.take() {
            // Closing would write the log back, and sync it once more.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        answer(batch, || Some(StoreError::NotCommitted));
    }

    fn look(&mut self) {
        if let Health::Ailing(_) = self.shared.condition.get() {
            self.probe();
        }
        let Some(connection) = &self.connection else { return };
        let version = version(connection);
        if version != self.foreign_version {
            self.foreign_version = version;
            self.tell.send_modify(|writes| *writes += 1);
        }
    }

    /// Opens the file again, and takes writes when one of its own has reached the disk.
    fn probe(&mut self) {
        let options = &self.options;
        let Ok(mut connection) = connection::owner(self.place.database(), options.busy_timeout)
        else {
            return;
        };
        match write_probe(&mut connection, options) {
            Ok(()) => {
                self.foreign_version = version(&connection);
                self.connection = Some(connection);
                self.set_health(Health::Healthy);
                // It may have missed a write of another process.
                self.tell.send_modify(|writes| *writes += 1);
            }
            Err(fault) => {
                let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                if fault == Fault::Fsync {
                    self.set_health(fault.consequence());
                }
            }
        }
    }

    fn set_health(&self, health: Health) {
        self.shared.condition.set(health);
        if let Some(observer) = &self.shared.observer {
            observer.health_changed(health);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue.abandon();
    }
}

/// Work seldom fails, so a group runs as one, without the copies of pages that undoing each alone
/// needs. If some of it does fail, all of it is undone and runs again, each for itself.
fn commit_group(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job>],
    done: &mut usize,
    options: &Options,
) -> Ended {
    let transaction = match begin(connection) {
        Ok(transaction) => transaction,
        Err(ended) => return ended,
    };
    match run_together(&transaction, batch) {
        Ran::Done => {
            *done = batch.len();
            return end_group(transaction, batch, options);
        }
        Ran::Undone => {}
        Ran::Ailing(fault) => return Ended::Failed(fault),
    }
    if let Err(error) = transaction.rollback() {
        return Ended::Failed(Fault::of(&error));
    }
    let transaction = match begin(connection) {
        Ok(transaction) => transaction,
        Err(ended) => return ended,
    };
    match run_apart(&transaction, batch) {
        Ok(0) => match transaction.rollback() {
            Ok(()) => Ended::Nothing,
            Err(error) => Ended::Failed(Fault::of(&error)),
        },
        Ok(count) => {
            *done = count;
            end_group(transaction, batch, options)
        }
        Err(fault) => Ended::Failed(fault),
    }
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Ended> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| {
        if is_held(&error) { Ended::Held } else { Ended::Failed(Fault::of(&error)) }
    })
}

/// Runs all of it until something fails.
fn run_together(transaction: &Transaction<'_>, batch: &mut [Box<dyn Job>]) -> Ran {
    for job in batch {
        match job.run(transaction) {
            Ran::Done => {}
            failed @ (Ran::Undone | Ran::Ailing(_)) => return failed,
        }
    }
    Ran::Done
}

/// Runs each so that it can be undone alone, and says how many were done. Where that is not
/// possible, the whole group fails.
fn run_apart(transaction: &Transaction<'_>, batch: &mut [Box<dyn Job>]) -> Result<usize, Fault> {
    let execute = |sql| transaction.execute(sql, []).map_err(|error| Fault::of(&error));
    let mut done = 0;
    for job in batch {
        execute("SAVEPOINT work")?;
        match job.run(transaction) {
            Ran::Done => done += 1,
            Ran::Undone => _ = execute("ROLLBACK TO work")?,
            Ran::Ailing(fault) => return Err(fault),
        }
        execute("RELEASE work")?;
    }
    Ok(done)
}

/// Commits what has run.
fn end_group(transaction: Transaction<'_>, batch: &mut [Box<dyn Job>], options: &Options) -> Ended {
    if fail_point::is_off("store.durability") {
        answer(batch, || None);
        std::thread::sleep(UNSAFE_PAUSE);
    }
    let started = Instant::now();
    match commit(transaction, options) {
        Ok(()) => Ended::Committed(started.elapsed()),
        Err(fault) => Ended::Failed(fault),
    }
}

fn commit(transaction: Transaction<'_>, options: &Options) -> Result<(), Fault> {
    fail_point::check("store.full").map_err(|_| Fault::Full)?;
    fail_point::check("store.fsync").map_err(|_| Fault::Fsync)?;
    #[cfg(test)]
    options.faults.check()?;
    #[cfg(not(test))]
    let _ = options;
    transaction.commit().map_err(|error| Fault::of(&error))
}

fn write_probe(connection: &mut Connection, options: &Options) -> Result<(), Fault> {
    let fault = |error: rusqlite::Error| Fault::of(&error);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    transaction.execute("UPDATE store_probe SET probes = probes + 1", []).map_err(fault)?;
    commit(transaction, options)
}

fn answer(batch: &mut [Box<dyn Job>], instead: impl Fn() -> Option<StoreError>) {
    for job in batch {
        job.answer(instead());
    }
}

fn is_held(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

/// Changes when another connection has written.
fn version(connection: &Connection) -> i64 {
    connection.pragma_query_value(None, "data_version", |row| row.get(0)).unwrap_or_default()
}
