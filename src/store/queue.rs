//! The bounded queue between everybody who has work and the one writer.
//!
//! Pushing never waits: what does not fit is refused. The writer takes all that waits at once: the
//! fsync of one group is the time in which the next one gathers.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::StoreError;
use super::job::Job;

type Jobs = Vec<Box<dyn Job>>;

/// Many producers, one consumer.
pub(super) struct Queue {
    capacity: usize,
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    waiting: Jobs,
    /// Whether somebody waits for some of it.
    is_awaited: bool,
    is_closed: bool,
}

/// What the writer found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Work, moved into its batch.
    Jobs,
    /// Nothing in all the time.
    Nothing,
    /// The queue is closed, and everything has been taken.
    Closed,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { waiting: Vec::new(), is_awaited: false, is_closed: false };
        Self { capacity, state: Mutex::new(state), arrived: Condvar::new() }
    }

    pub(super) fn push(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.push_within(job, self.capacity, 1)
    }

    /// Takes work that nobody waits for, as long as half of the queue is free. It goes with the
    /// next work that somebody waits for, and begins by itself when it is much.
    pub(super) fn push_soon(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.push_within(job, self.capacity / 2, self.capacity / 4)
    }

    /// The writer is woken where `enough` wait.
    fn push_within(
        &self,
        job: Box<dyn Job>,
        capacity: usize,
        enough: usize,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(StoreError::Stopped);
        }
        if state.waiting.len() >= capacity {
            return Err(StoreError::Busy);
        }
        state.waiting.push(job);
        if state.waiting.len() >= enough {
            state.is_awaited = true;
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for work that somebody waits for, and then moves all that there is into `batch`, which
    /// must be empty. What nobody waits for is taken after `limit` by itself.
    pub(super) fn take(&self, batch: &mut Jobs, limit: Duration) -> Taken {
        let state = self.lock();
        let has_nothing = |state: &mut State| !state.is_awaited && !state.is_closed;
        let (mut state, _) = self
            .arrived
            .wait_timeout_while(state, limit, has_nothing)
            .unwrap_or_else(PoisonError::into_inner);
        if !state.waiting.is_empty() {
            std::mem::swap(&mut state.waiting, batch);
            state.is_awaited = false;
            return Taken::Jobs;
        }
        if state.is_closed { Taken::Closed } else { Taken::Nothing }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Refuses further work; what waits is still done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// Drops what waits, when nobody will do it any more. Whoever asked for it learns it by that.
    pub(super) fn abandon(&self) {
        self.close();
        let abandoned = std::mem::take(&mut self.lock().waiting);
        drop(abandoned);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Queue")
            .field("capacity", &self.capacity)
            .field("waiting", &self.len())
            .finish_non_exhaustive()
    }
}
