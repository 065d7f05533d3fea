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
            batch.clear();
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

fn commit_group(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job>],
    done: &mut usize,
    options: &Options,
) -> Ended {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) if is_held(&error) => return Ended::Held,
        Err(error) => return Ended::Failed(Fault::of(&error)),
    };
    for job in batch.iter_mut() {
        match run(&transaction, job.as_mut()) {
            Ok(Ran::Done) => *done += 1,
            Ok(Ran::Undone) => {}
            Ok(Ran::Ailing(fault)) => return Ended::Failed(fault),
            Err(error) => return Ended::Failed(Fault::of(&error)),
        }
    }
    if *done == 0 {
        return match transaction.rollback() {
            Ok(()) => Ended::Nothing,
            Err(error) => Ended::Failed(Fault::of(&error)),
        };
    }
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

/// Runs one piece of work so that it can be undone alone. `Err` if that was not possible, which
/// ends the whole group.
fn run(transaction: &Transaction<'_>, job: &mut dyn Job) -> rusqlite::Result<Ran> {
    let execute = |sql| transaction.prepare_cached(sql)?.execute([]).map(|_| ());
    execute("SAVEPOINT work")?;
    let ran = job.run(transaction);
    match ran {
        Ran::Done => {}
        Ran::Undone => execute("ROLLBACK TO work")?,
        Ran::Ailing(_) => return Ok(ran),
    }
    execute("RELEASE work")?;
    Ok(ran)
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
