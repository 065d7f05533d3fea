//! What the store counts, for metrics.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::health::{Fault, Health};

/// Somebody who is told about every commit, on the writer's thread: it must not wait.
pub trait StoreObserver: Send + Sync + fmt::Debug {
    /// A group of pieces of work is on disk. `fsync` is what the commit took.
    fn committed(&self, group: usize, fsync: Duration);

    /// A group could not be committed.
    fn failed(&self, group: usize, fault: Fault);

    /// The store takes writes again, or does not any more.
    fn health_changed(&self, health: Health);
}

/// Counts since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Transactions on disk; each cost one fsync.
    pub commits: u64,
    /// Pieces of work on disk.
    pub works: u64,
    /// Pieces of work that failed, and undid themselves.
    pub undone: u64,
    /// Transactions that could not be committed.
    pub failures: u64,
    /// Pieces of work refused because too many waited.
    pub refused: u64,
    /// Pieces of work dropped that might be lost.
    pub dropped: u64,
    /// Pieces of work in the last transaction.
    pub last_group: u64,
    /// What the last commit took.
    pub last_fsync: Duration,
    /// What all commits took.
    pub total_fsync: Duration,
    /// Pieces of work that wait.
    pub waiting: usize,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    works: AtomicU64,
    undone: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    last_group: AtomicU64,
    last_fsync: AtomicU64,
    total_fsync: AtomicU64,
}

impl Counters {
    pub(super) fn committed(&self, works: usize, fsync: Duration) {
        let nanoseconds = u64::try_from(fsync.as_nanos()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.works.fetch_add(works as u64, Ordering::Relaxed);
        self.last_group.store(works as u64, Ordering::Relaxed);
        self.last_fsync.store(nanoseconds, Ordering::Relaxed);
        self.total_fsync.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn undone(&self, works: usize) {
        self.undone.fetch_add(works as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self, waiting: usize) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            commits: read(&self.commits),
            works: read(&self.works),
            undone: read(&self.undone),
            failures: read(&self.failures),
            refused: read(&self.refused),
            dropped: read(&self.dropped),
            last_group: read(&self.last_group),
            last_fsync: Duration::from_nanos(read(&self.last_fsync)),
            total_fsync: Duration::from_nanos(read(&self.total_fsync)),
            waiting,
        }
    }
}
