//! Who is told what the engine does.

use std::time::Duration;

use time::OffsetDateTime;

use super::super::action::{ActionContext, ActionKind};
use super::super::runs::{ClaimedRun, End, Outcome};
use crate::store::StoreError;

/// Told what happens to runs. It may not block.
pub trait EngineObserver: Send + Sync + std::fmt::Debug {
    /// An attempt of an action has ended; `again` says when the next one is made.
    fn attempted(
        &self,
        context: &ActionContext,
        kind: ActionKind,
        outcome: &Outcome,
        elapsed: Duration,
        again: Option<OffsetDateTime>,
    );

    /// A run has ended, so long after it started.
    fn ended(&self, run: &ClaimedRun, end: &End, elapsed: Duration);

    /// A run was taken back in the middle of it.
    fn taken_back(&self, run: &ClaimedRun);

    /// The store did not take something; it is tried again.
    fn store_refused(&self, error: &StoreError);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl EngineObserver for Silent {
    fn attempted(
        &self,
        _: &ActionContext,
        _: ActionKind,
        _: &Outcome,
        _: Duration,
        _: Option<OffsetDateTime>,
    ) {
    }

    fn ended(&self, _: &ClaimedRun, _: &End, _: Duration) {}

    fn taken_back(&self, _: &ClaimedRun) {}

    fn store_refused(&self, _: &StoreError) {}
}
