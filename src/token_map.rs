//! The token map: the values behind the tokens of `tokenize: { vault: true }`, sealed, in the store.
//!
//! A token is made of the value alone, so an answer waits for nothing: what is to be kept is handed
//! to a thread and written soon, many at once. Whatever is lost on the way, because too much waits or
//! the store does not take it, is counted and comes again the next time the value is masked. Until
//! then its token cannot be turned back; it never turns into anything else. What is kept is bound to
//! tenant, field and token, and grows to a number of entries and an age, no further.

mod retention;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::oneshot;

pub use self::rows::SCHEMA;

use self::rows::Row;
use self::writer::{Work, Writer};
use crate::config::TokenMap as Settings;
use crate::mask::{Minted, VaultToken};
use crate::store::{Store, StoreError};
use crate::telemetry::{Telemetry, TokenMapChanged, TokenMapOutcome, Waiting};

/// Entries that may wait for the thread.
const QUEUE: usize = 16 * 1024;

/// Bytes of sealed values that may wait for the thread.
const MOST_BYTES: usize = 32 << 20;

/// Tokens of which this process knows that their values are kept.
const MOST_KNOWN: u64 = 200_000;

/// How often it is noted that a value is still seen; ages are counted in days.
const NOTED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How long a look-up waits for what was handed over before it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The handle. Clones share everything.
#[derive(Clone)]
pub struct TokenMap {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    work: SyncSender<Work>,
    known: Cache<Key, ()>,
    waiting: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    telemetry: Telemetry,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A token of a tenant's field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: Box<str>,
    field: Box<str>,
    token: VaultToken,
}

impl fmt::Debug for TokenMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenMap").finish_non_exhaustive()
    }
}

impl TokenMap {
    /// Starts the thread that writes. `store` was opened with [`SCHEMA`].
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(store: Store, settings: Settings, telemetry: Telemetry) -> std::io::Result<Self> {
        let (work, receiver) = sync_channel(QUEUE);
        let known = Cache::builder().max_capacity(MOST_KNOWN).time_to_live(NOTED_EVERY).build();
        let (waiting, bytes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let writer = Writer {
            store: store.clone(),
            work: receiver,
            known: known.clone(),
            waiting: Arc::clone(&waiting),
            bytes: Arc::clone(&bytes),
            settings,
            telemetry: telemetry.clone(),
        };
        let thread = std::thread::Builder::new().name("tokens".into()).spawn(|| writer.run())?;
        let shown = Arc::downgrade(&waiting);
        telemetry.watch_depth(Waiting::TokenMap, move || {
            Some((shown.upgrade()?.load(Ordering::Relaxed).min(QUEUE), QUEUE))
        });
        let thread = Mutex::new(Some(thread));
        let inner = Inner { store, work, known, waiting, bytes, telemetry, thread };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Keeps the value of a token that is about to be shown. Waits for nothing.
    pub fn keep(&self, minted: &Minted<'_>) {
        let key = Key {
            tenant: minted.tenant().into(),
            field: minted.field().into(),
            token: minted.token(),
        };
        if self.inner.known.contains_key(&key) {
            return;
        }
        // What is too large for the cipher could not be masked by it either; it is not kept.
        let Ok(sealed) = minted.seal() else { return };
        // Of two threads that both come here one writes in vain, which does no harm.
        self.inner.known.insert(key.clone(), ());
        let length = sealed.len();
        let held = self.inner.bytes.fetch_add(length, Ordering::Relaxed);
        let row = Row { key: key.clone(), sealed };
        if held + length > MOST_BYTES || !self.push(Work::Keep(Box::new(row))) {
            self.inner.bytes.fetch_sub(length, Ordering::Relaxed);
            self.inner.known.invalidate(&key);
            TokenMapChanged { count: 1, outcome: TokenMapOutcome::Dropped }
                .emit(&self.inner.telemetry);
        }
    }

    /// The sealed value of a token; `None` where none is kept for this tenant and field.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn look_up(
        &self,
        tenant: &str,
        field: &str,
        token: &VaultToken,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let key = Key { tenant: tenant.into(), field: field.into(), token: token.clone() };
        if let Some(found) = self.read(key.clone()).await? {
            return Ok(Some(found));
        }
        // It may be on its way.
        let (tell, told) = oneshot::channel();
        if self.inner.waiting.load(Ordering::Relaxed) > 0 && self.push(Work::Flush(tell)) {
            let _ = tokio::time::timeout(PATIENCE, told).await;
        }
        self.read(key).await
    }

    /// Writes what waits and ends. Blocks. What comes later is not kept.
    pub fn close(&self) {
        let _ = self.inner.work.send(Work::Stop);
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has been told of by the panic hook.
            let _ = thread.join();
        }
    }

    async fn read(&self, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.store.read(move |connection| rows::find(connection, &key)).await
    }

    fn push(&self, work: Work) -> bool {
        // Counted first, or the thread might take it before it is counted.
        self.inner.waiting.fetch_add(1, Ordering::Relaxed);
        let pushed = self.inner.work.try_send(work).is_ok();
        if !pushed {
            self.inner.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        pushed
    }
}
