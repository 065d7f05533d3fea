//! One piece of work: run inside a transaction, answered after it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Transaction;

use super::error::StoreError;
use super::health::Fault;

/// Work on its way through the writer.
pub(super) trait Job: Send {
    /// Does the work; once more if what it did was undone.
    fn run(&mut self, transaction: &Transaction<'_>) -> Ran;

    /// Says how it went. Success is said only if nothing is passed in.
    fn answer(&mut self, instead: Option<StoreError>);
}

/// What became of work before its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    Done,
    /// It failed by itself, and must be undone.
    Undone,
    /// The file failed it, and so will the commit of everybody else.
    Ailing(Fault),
}

/// A closure and whom to tell.
pub(super) struct Work<T, F, A> {
    closure: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    answer: Option<A>,
}

impl<T, F, A> Work<T, F, A>
where
    F: FnMut(&Transaction<'_>) -> rusqlite::Result<T>,
    A: FnOnce(Result<T, StoreError>),
{
    pub(super) fn new(work: F, answer: A) -> Self {
        Self { closure: Some(work), outcome: None, answer: Some(answer) }
    }
}

impl<T, F, A> Job for Work<T, F, A>
where
    T: Send,
    F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send,
    A: FnOnce(Result<T, StoreError>) + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> Ran {
        let Some(work) = &mut self.closure else { return Ran::Undone };
        // What the work left half done in the file is undone by the caller. Its captures are its own,
        // and nothing else is built on them.
        let outcome = match catch_unwind(AssertUnwindSafe(|| work(transaction))) {
            Ok(outcome) => outcome.map_err(StoreError::Work),
            Err(_) => Err(StoreError::Panicked),
        };
        let ran = match &outcome {
            Ok(_) => Ran::Done,
            Err(StoreError::Work(error)) => match Fault::of(error) {
                fault @ (Fault::Full | Fault::Write | Fault::Fsync) => Ran::Ailing(fault),
                Fault::Sqlite => Ran::Undone,
            },
            Err(_) => Ran::Undone,
        };
        self.outcome = Some(outcome);
        ran
    }

    fn answer(&mut self, instead: Option<StoreError>) {
        let Some(answer) = self.answer.take() else { return };
        // Whoever is answered has back what the work held.
        self.closure = None;
        let outcome = match (self.outcome.take(), instead) {
            // Its own failure says more than that of the group.
            (Some(Err(own)), _) => Err(own),
            (_, Some(error)) => Err(error),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(StoreError::Stopped),
        };
        answer(outcome);
    }
}
