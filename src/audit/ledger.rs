//! The ledger as the street and the admin listener have it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::entry::AuditEntry;
use super::query::{Query, Stored, query};
use super::writer::{State, Work, Writer};
use crate::config::{Audit as Settings, AuditMode};
use crate::mask::KeyRing;
use crate::store::{Store, StoreError};
use crate::telemetry::{AuditDropped, Telemetry, Waiting};

/// How long an answer waits for its entry.
const PATIENCE: Duration = Duration::from_secs(5);

/// An entry is not on disk, so the answer must not be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit entry could not be written")]
pub struct AuditError;

/// What a ledger is made of.
pub struct LedgerParts {
    /// Where it is kept; opened with [`SCHEMA`](super::SCHEMA).
    pub store: Store,
    /// Whether answers wait, how long entries are kept, how many may wait.
    pub settings: Settings,
    /// The key ring in force, asked before every write.
    pub keys: Box<dyn Fn() -> Option<Arc<KeyRing>> + Send>,
    /// Where it tells of itself.
    pub telemetry: Telemetry,
}

/// The handle. Clones share everything.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mode: AuditMode,
    store: Store,
    work: SyncSender<Work>,
    waiting: Arc<AtomicUsize>,
    telemetry: Telemetry,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ledger {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(parts: LedgerParts) -> std::io::Result<Self> {
        let LedgerParts { store, settings, keys, telemetry } = parts;
        let (work, receiver) = sync_channel(settings.queue);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            store: store.clone(),
            work: receiver,
            waiting: Arc::clone(&waiting),
            keys,
            keep: settings.keep,
            telemetry: telemetry.clone(),
            state: State::default(),
        };
        let thread = std::thread::Builder::new().name("audit".into()).spawn(|| writer.run())?;
        let shown = Arc::downgrade(&waiting);
        telemetry.watch_depth(Waiting::Audit, move || {
            let waiting = shown.upgrade()?.load(Ordering::Relaxed);
            Some((waiting.min(settings.queue), settings.queue))
        });
        let thread = Mutex::new(Some(thread));
        let inner = Inner { mode: settings.mode, store, work, waiting, telemetry, thread };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether an answer must wait for its entry.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.inner.mode == AuditMode::Required
    }

    /// Writes an entry some time soon; counts it where it cannot.
    pub fn record(&self, entry: AuditEntry) {
        if self.push(Work::Write(Box::new(entry), None)).is_err() {
            AuditDropped.emit(&self.inner.telemetry);
        }
    }

    /// Writes an entry and resolves when it is on disk.
    ///
    /// # Errors
    /// It is not, or nobody knows.
    pub async fn require(&self, entry: AuditEntry) -> Result<(), AuditError> {
        let (tell, told) = oneshot::channel();
        if self.push(Work::Write(Box::new(entry), Some(tell))).is_err() {
            AuditDropped.emit(&self.inner.telemetry);
            return Err(AuditError);
        }
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(AuditError),
        }
    }

    /// Looks entries up.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn query(&self, wanted: Query) -> Result<Vec<Stored>, StoreError> {
        self.inner.store.read(move |connection| query(connection, &wanted)).await
    }

    /// Writes what waits, makes a checkpoint and ends. Blocks. Later entries are dropped.
    pub fn close(&self) {
        // A full queue is emptied by the thread, so this waits only for the disk.
        let _ = self.inner.work.send(Work::Stop);
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has been told of by the panic hook.
            let _ = thread.join();
        }
    }

    fn push(&self, work: Work) -> Result<(), TrySendError<Work>> {
        // Counted first, or the thread might take it before it is counted.
        self.inner.waiting.fetch_add(1, Ordering::Relaxed);
        self.inner.work.try_send(work).inspect_err(|_| {
            self.inner.waiting.fetch_sub(1, Ordering::Relaxed);
        })
    }
}
