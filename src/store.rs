//! One SQLite file that says yes only after an fsync, and the few verbs that the rooms need of it.
//!
//! A room brings its own [`Schema`] and its own SQL; the store knows neither what is in the tables
//! nor what it is for. It promises:
//!
//! - [`Store::commit`] answers with success when the work is on disk (WAL, `synchronous=FULL`), and
//!   not before. Work that came while the last fsync ran shares the next one.
//! - Work that fails undoes itself and nobody else's.
//! - An fsync that failed is never tried again: what the kernel has forgotten, a second fsync would
//!   declare safe. The store then refuses writes until the process is restarted; opening it writes
//!   anew and syncs all that the log holds. After a full disk, which loses nothing that was
//!   acknowledged, it opens the file again by itself as soon as a probe succeeds. [`Store::health`]
//!   tells.
//! - One process owns a folder. Others may look, and write briefly, as a [`Visitor`].
//!
//! It refuses a file of a newer program, and work when too much of it waits.

mod connection;
mod error;
mod figures;
mod folder;
mod health;
mod job;
mod queue;
mod readers;
mod schema;
#[cfg(test)]
mod tests;
mod visitor;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use tokio::sync::{oneshot, watch};

use self::figures::Counters;
use self::folder::{Lock, Place};
use self::health::Condition;
use self::job::Work;
use self::queue::Queue;
use self::readers::Readers;
use self::writer::Writer;

pub use self::error::{OpenError, StoreError};
pub use self::figures::{Figures, StoreObserver};
pub use self::folder::DATABASE;
pub use self::health::{Fault, Health};
pub use self::schema::Schema;
pub use self::visitor::Visitor;

/// Bounds of a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Work that may wait for the writer. More is refused at once.
    pub queue: usize,
    /// Connections that read at the same time.
    pub readers: usize,
    /// How long to wait for another process that writes.
    pub busy_timeout: Duration,
    /// How often an idle writer looks for what other processes wrote, and an ailing one whether it
    /// can write again.
    pub look: Duration,
    /// Who is told about every commit.
    pub observer: Option<Arc<dyn StoreObserver>>,
    /// Makes commits fail, as the fail point of that name would.
    #[cfg(test)]
    pub(crate) faults: Arc<tests::Faults>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: 4096,
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            look: Duration::from_secs(1),
            observer: None,
            #[cfg(test)]
            faults: Arc::default(),
        }
    }
}

/// The store, as its owner has it. Clones share everything; the last one to go closes the file.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    writer: Mutex<Option<JoinHandle<()>>>,
    writer_thread: ThreadId,
    foreign: watch::Receiver<u64>,
    /// Let go last, when the writer has closed the file.
    lock: Mutex<Option<Lock>>,
}

/// What the store and its writer both hold.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    condition: Condition,
    counters: Counters,
    observer: Option<Arc<dyn StoreObserver>>,
}

impl Store {
    /// Opens the store in `folder` and makes it this process's own; both are created where missing.
    /// Blocks.
    pub fn open(folder: &Path, schemas: &[Schema], options: &Options) -> Result<Self, OpenError> {
        let place = Place::create(folder)?;
        let lock = place.lock()?;
        let mut connection = connection::owner(place.database(), options.busy_timeout)?;
        schema::migrate(&mut connection, schemas)?;
        connection::rewrite_log(&connection)?;
        place.sync()?;

        let readers = Readers::new(place.database(), options.busy_timeout, options.readers);
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue),
            condition: Condition::default(),
            counters: Counters::default(),
            observer: options.observer.clone(),
        });
        let (tell, foreign) = watch::channel(0);
        let writer = Writer::new(connection, place, Arc::clone(&shared), tell, options);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        let inner = Inner {
            shared,
            readers: Arc::new(readers),
            writer_thread: thread.thread().id(),
            writer: Mutex::new(Some(thread)),
            foreign,
            lock: Mutex::new(Some(lock)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Queues work at once and resolves when it is on disk, or is known not to be acknowledged.
    /// Dropping the future does not take the work back. Where the work of another fails in the same
    /// group, it is undone with it and runs again.
    ///
    /// [`StoreError::NotCommitted`] means that nobody knows: after a failed fsync the work may still
    /// turn up when the file is opened again.
    pub fn commit<T, F>(&self, work: F) -> impl Future<Output = Result<T, StoreError>> + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let answer = move |outcome| {
            // Whoever asked may have gone; the work is done all the same.
            let _ = answer.send(outcome);
        };
        let queued = self.inner.shared.push(Box::new(Work::new(work, answer)));
        async move {
            queued?;
            answered.await.unwrap_or(Err(StoreError::Stopped))
        }
    }

    /// [`commit`](Self::commit) for a thread that may block.
    pub fn commit_blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let answer = move |outcome| {
            let _ = answer.send(outcome);
        };
        self.inner.shared.push(Box::new(Work::new(work, answer)))?;
        answered.recv().unwrap_or(Err(StoreError::Stopped))
    }

    /// Queues work that may be lost: nobody is told how it went. It shares the commit of the next
    /// work that somebody waits for, and waits no longer than [`Options::look`]. Where half of the
    /// queue is taken it is dropped and counted.
    pub fn commit_soon<F>(&self, work: F)
    where
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    {
        self.inner.shared.push_soon(Box::new(Work::new(work, drop)));
    }

    /// Reads committed state, all of it as of one moment.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let readers = Arc::clone(&self.inner.readers);
        readers.read(work).await
    }

    /// [`read`](Self::read) for a thread that may block.
    pub fn read_blocking<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.inner.readers.read_blocking(work)
    }

    /// Whether the store takes writes.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.shared.condition.get()
    }

    /// What has been counted so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.inner.shared.counters.snapshot(self.inner.shared.queue.len())
    }

    /// How much waits for the writer, and how much may; `None` once the store is gone, which this
    /// does not keep.
    pub fn depth(&self) -> impl Fn() -> Option<(usize, usize)> + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.inner.shared);
        move || shared.upgrade().map(|shared| (shared.queue.len(), shared.queue.capacity()))
    }

    /// Changes whenever another process has written to the file. It is noticed at the next
    /// look.
    #[must_use]
    pub fn foreign_writes(&self) -> watch::Receiver<u64> {
        self.inner.foreign.clone()
    }

    /// Does what is queued, closes the file and lets the folder go. Later work is refused. Blocks.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Shared {
    fn push(&self, job: Box<dyn job::Job>) -> Result<(), StoreError> {
        if self.condition.get() != Health::Healthy {
            return Err(StoreError::Unhealthy);
        }
        let pushed = self.queue.push(job);
        if matches!(pushed, Err(StoreError::Busy)) {
            self.counters.refused();
        }
        pushed
    }

    fn push_soon(&self, job: Box<dyn job::Job>) {
        let is_healthy = self.condition.get() == Health::Healthy;
        if !is_healthy || self.queue.push_soon(job).is_err() {
            self.counters.dropped();
        }
    }
}

impl Inner {
    fn close(&self) {
        self.shared.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Work that holds the last clone of the store ends it on the writer's own thread.
        if let Some(writer) = writer
            && std::thread::current().id() != self.writer_thread
        {
            // A writer that panicked has told everybody by dropping their answers.
            let _ = writer.join();
        }
        self.readers.close();
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
