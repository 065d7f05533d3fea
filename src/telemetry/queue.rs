//! A bounded queue between the street and one slow consumer.
//!
//! Pushing never waits: what does not fit is refused. The consumer takes everything at once and
//! lingers a little before it does, so that a busy street does not wake it for every entry.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Many producers, one consumer.
#[derive(Debug)]
pub(super) struct Queue<T> {
    capacity: usize,
    /// How long the consumer lets entries gather.
    linger: Duration,
    state: Mutex<State<T>>,
    arrived: Condvar,
    finished: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: Vec<T>,
    /// The consumer sleeps and wants to be woken by the next entry.
    is_consumer_asleep: bool,
    /// Somebody waits for what is queued: no lingering.
    is_urgent: bool,
    is_closed: bool,
    pushed: u64,
    consumed: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize, linger: Duration) -> Self {
        Self {
            capacity,
            linger,
            state: Mutex::new(State {
                waiting: Vec::new(),
                is_consumer_asleep: false,
                is_urgent: false,
                is_closed: false,
                pushed: 0,
                consumed: 0,
            }),
            arrived: Condvar::new(),
            finished: Condvar::new(),
        }
    }

    /// Queues an entry, or gives it back when the queue is full.
    pub(super) fn push(&self, entry: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.waiting.len() >= self.capacity {
            return Err(entry);
        }
        state.waiting.push(entry);
        state.pushed += 1;
        let is_half_full = state.waiting.len() == self.capacity / 2;
        let should_wake = state.is_consumer_asleep || is_half_full;
        state.is_consumer_asleep = false;
        drop(state);
        if should_wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for entries and moves them all into `batch`, which must be empty. `false` once the
    /// queue is closed and everything was taken.
    pub(super) fn take(&self, batch: &mut Vec<T>) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.is_closed {
                return false;
            }
            state.is_consumer_asleep = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_consumer_asleep = false;
        let half = self.capacity / 2;
        let can_linger = |state: &mut State<T>| {
            !state.is_urgent && !state.is_closed && state.waiting.len() < half
        };
        (state, _) = self
            .arrived
            .wait_timeout_while(state, self.linger, can_linger)
            .unwrap_or_else(PoisonError::into_inner);
        state.is_urgent = false;
        std::mem::swap(&mut state.waiting, batch);
        true
    }

    /// Says that `count` entries taken are dealt with.
    pub(super) fn finish(&self, count: usize) {
        self.lock().consumed += count as u64;
        self.finished.notify_all();
    }

    /// Waits until everything pushed so far is dealt with; `false` if that took too long.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        let goal = state.pushed;
        state.is_urgent = true;
        self.arrived.notify_one();
        let (state, _) = self
            .finished
            .wait_timeout_while(state, limit, |state| state.consumed < goal)
            .unwrap_or_else(PoisonError::into_inner);
        state.consumed >= goal
    }

    /// How many entries wait now.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// How many may wait.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Lets the consumer end once it has taken what is left.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code that can panic runs under the lock, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const LINGER: Duration = Duration::from_millis(10);

    #[test]
    fn entries_come_out_in_order_and_the_end_is_seen() {
        let queue = Queue::new(10, LINGER);
        for entry in 0..3 {
            queue.push(entry).unwrap();
        }
        queue.close();
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch));
        assert_eq!(batch, [0, 1, 2]);
        batch.clear();
        assert!(!queue.take(&mut batch));
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let queue = Queue::new(2, LINGER);
        queue.push('a').unwrap();
        queue.push('b').unwrap();
        assert_eq!(queue.push('c'), Err('c'));
        let mut batch = Vec::new();
        queue.take(&mut batch);
        queue.push('d').unwrap();
    }

    #[test]
    fn flush_gives_up_when_nobody_consumes() {
        let queue = Queue::new(2, LINGER);
        assert!(queue.flush(Duration::ZERO), "there is nothing to wait for");
        queue.push('a').unwrap();
        assert!(!queue.flush(Duration::from_millis(1)));
    }

    #[test]
    fn many_producers_lose_nothing_that_was_accepted() {
        let queue = Arc::new(Queue::new(64, LINGER));
        let consumer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let (mut batch, mut all) = (Vec::new(), Vec::new());
                while queue.take(&mut batch) {
                    let count = batch.len();
                    all.append(&mut batch);
                    queue.finish(count);
                }
                all
            }
        });
        let producers: Vec<_> = (0..4)
            .map(|producer| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    (0..5_000).filter(|entry| queue.push((producer, *entry)).is_ok()).count()
                })
            })
            .collect();
        let accepted: usize = producers.into_iter().map(|one| one.join().unwrap()).sum();
        assert!(queue.flush(Duration::from_secs(30)));
        queue.close();
        assert_eq!(consumer.join().unwrap().len(), accepted);
    }
}
