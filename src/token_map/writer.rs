//! The thread that writes: takes what waits, and puts it on disk in one transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::retention;
use super::rows::{Row, put};
use super::{Key, Settings};
use crate::store::Store;
use crate::telemetry::{Telemetry, TokenMapChanged, TokenMapOutcome};

/// Most entries of one transaction.
const BATCH: usize = 1024;

/// How often it is looked for what is too old or too much.
const LOOK_FOR_OLD: Duration = Duration::from_secs(600);

const DAY: u64 = 24 * 3600;

/// What goes to the thread.
pub(super) enum Work {
    /// A value to keep.
    Keep(Box<Row>),
    /// Tell when everything before it is written.
    Flush(oneshot::Sender<()>),
    /// Write what waits, and end.
    Stop,
}

pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) work: Receiver<Work>,
    pub(super) known: Cache<Key, ()>,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) bytes: Arc<AtomicUsize>,
    pub(super) settings: Settings,
    pub(super) telemetry: Telemetry,
}

impl Writer {
    pub(super) fn run(self) {
        let mut looked = None;
        loop {
            let (rows, flushes, is_over) = self.take();
            let taken = rows.len() + flushes.len();
            if !rows.is_empty() {
                self.write(rows);
            }
            self.waiting.fetch_sub(taken, Ordering::Relaxed);
            for told in flushes {
                // Whoever waited may have gone.
                let _ = told.send(());
            }
            if is_over {
                return;
            }
            let now = Instant::now();
            if looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_FOR_OLD) {
                looked = Some(now);
                self.remove_old();
            }
        }
    }

    /// Waits for work; takes all that is there.
    fn take(&self) -> (Vec<Row>, Vec<oneshot::Sender<()>>, bool) {
        let (mut rows, mut flushes) = (Vec::new(), Vec::new());
        let mut next = match self.work.recv_timeout(LOOK_FOR_OLD) {
            Ok(work) => Some(work),
            Err(RecvTimeoutError::Timeout) => return (rows, flushes, false),
            Err(RecvTimeoutError::Disconnected) => return (rows, flushes, true),
        };
        while let Some(work) = next {
            match work {
                Work::Keep(row) => rows.push(*row),
                Work::Flush(told) => flushes.push(told),
                Work::Stop => return (rows, flushes, true),
            }
            next = if rows.len() < BATCH { self.work.try_recv().ok() } else { None };
        }
        (rows, flushes, false)
    }

    fn write(&self, rows: Vec<Row>) {
        let count = rows.len() as u64;
        let length = rows.iter().map(|row| row.sealed.len()).sum();
        let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
        let day = today();
        let written = self.store.commit_blocking(move |transaction| put(transaction, &rows, day));
        self.bytes.fetch_sub(length, Ordering::Relaxed);
        let outcome = if written.is_ok() {
            TokenMapOutcome::Written
        } else {
            // The next answer that shows them brings them again.
            for key in &keys {
                self.known.invalidate(key);
            }
            TokenMapOutcome::Failed
        };
        TokenMapChanged { count, outcome }.emit(&self.telemetry);
    }

    fn remove_old(&self) {
        let days = i64::try_from(self.settings.keep.as_secs() / DAY).unwrap_or(i64::MAX);
        let (before, most) = (today().saturating_sub(days), self.settings.entries);
        loop {
            let removed = self
                .store
                .commit_blocking(move |transaction| retention::remove(transaction, before, most));
            let Ok(count) = removed else { return };
            if count > 0 {
                TokenMapChanged { count, outcome: TokenMapOutcome::Removed }.emit(&self.telemetry);
            }
            if count < retention::MOST_AT_ONCE {
                return;
            }
        }
    }
}

fn today() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp().div_euclid(86_400)
}
