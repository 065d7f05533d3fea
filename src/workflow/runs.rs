//! Where runs are kept, and who carries them out.
//!
//! A run is inserted once for each workflow and cause. Whoever carries it out holds it by a lease;
//! what he settles is refused once somebody else holds it. A run that nobody holds any more goes on
//! at the action that was not finished.

mod command;
mod kept;
mod query;
mod schema;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use super::action::ActionFailure;
use super::catalogue::Bound;
use crate::event::Message;
use crate::policy::workflow::Workflow;
use crate::store::StoreError;

pub(super) use self::kept::KeptMessage;

pub use self::command::{Cancelled, Retried, add, cancel, retry};
pub use self::query::{ActionRun, Counts, Filter, Listed, Shown, counts, list, show, suggest_runs};
pub use self::schema::SCHEMA;
pub use self::table::StoredRuns;

/// Where a run or an action stands. The words are stable: they stand in the store and in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Not begun.
    Pending,
    /// Begun, perhaps waiting for another attempt.
    Running,
    /// Done.
    Completed,
    /// Not done, and nobody goes on with it by himself.
    Failed,
    /// Somebody took it back, or an earlier action failed.
    Cancelled,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// As it is kept and shown.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// Why a run failed, where it was not an action of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunFailure {
    /// An action failed for this reason.
    Action(ActionFailure),
    /// It took longer than `max_execution_time`.
    MaxExecutionTime,
    /// It came to more actions than `max_actions`.
    MaxActions,
    /// Too many runs stand between it and what somebody did.
    CausationDepth,
    /// Whoever carried it out ended in the middle of it, again and again.
    Interrupted,
    /// Its definition can no longer be read.
    Definition,
}

impl RunFailure {
    /// As it stands in runs and labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Action(failure) => failure.word(),
            Self::MaxExecutionTime => "max_execution_time",
            Self::MaxActions => "max_actions",
            Self::CausationDepth => "causation_depth",
            Self::Interrupted => "interrupted",
            Self::Definition => "definition",
        }
    }
}

/// A run that is to be.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// `UUIDv7`.
    pub id: Uuid,
    /// The workflow; the run goes on with this very definition.
    pub workflow: Arc<Workflow>,
    /// What it is for. There is one run of a workflow for each.
    pub cause: Cause,
    /// Higher ones go first.
    pub priority: i64,
    /// The event, as the role of the workflow sees it.
    pub event: Arc<Message>,
    /// How many runs stand between it and what somebody did, itself included.
    pub depth: u32,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its event came.
    Event,
    /// Somebody asked for it. Each asking is one of its own.
    Hand(Uuid),
}

/// Runs that somebody is to carry out.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who carries them out.
    pub owner: Arc<str>,
    /// What time it is.
    pub now: OffsetDateTime,
    /// How long they are his without a word from him.
    pub lease: Duration,
    /// How many at most.
    pub limit: usize,
    /// What bounds the runs of each workflow.
    pub bounds: Arc<BTreeMap<String, Bound>>,
    /// How often a run may be interrupted before it is given up.
    pub most_interruptions: u32,
    /// What is under way with him: his, even where his leases are out and nobody else took it.
    pub aboard: Arc<BTreeSet<Uuid>>,
}

/// What there is to carry out.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The runs, in the order in which they are to go.
    pub runs: Vec<ClaimedRun>,
    /// When to ask again, if nothing happens before.
    pub next: Option<OffsetDateTime>,
}

/// A run that its owner carries out.
#[derive(Debug, Clone)]
pub struct ClaimedRun {
    /// Its id.
    pub id: Uuid,
    /// The name of its workflow.
    pub workflow: String,
    /// The digest of the definition that it goes on with.
    pub definition: String,
    /// The event, as the role of the workflow sees it.
    pub event: Arc<Message>,
    /// How many runs stand between it and what somebody did, itself included.
    pub depth: u32,
    /// When it started.
    pub started: OffsetDateTime,
    /// The first action that is not finished.
    pub next: u32,
    /// Attempts of that action so far.
    pub attempts: u32,
}

/// What became of one attempt, or of an action that was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempted {
    /// Which action.
    pub ordinal: u32,
    /// Attempts so far, this one included; 0 where it was left out.
    pub attempts: u32,
    /// When the attempt began.
    pub started: OffsetDateTime,
    /// How it went.
    pub outcome: Outcome,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done.
    Completed {
        /// JSON.
        result: String,
    },
    /// Not done.
    Failed {
        /// Why.
        failure: ActionFailure,
        /// For whoever reads the run.
        error: String,
    },
    /// Not done, since the run was taken back.
    Cancelled,
}

/// How a run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// With this action, at once.
    Next(u32),
    /// With the same action, not before.
    Again(OffsetDateTime),
    /// With this action, by whoever takes the run next.
    HandBack(u32),
    /// Not at all.
    End(End),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All is done.
    Completed,
    /// It is not.
    Failed {
        /// Why.
        failure: RunFailure,
        /// For whoever reads the run.
        error: String,
    },
}

/// One step of a run, recorded as a whole.
#[derive(Debug, Clone)]
pub struct Step {
    /// The run.
    pub run: Uuid,
    /// Who carries it out.
    pub owner: Arc<str>,
    /// What time it is.
    pub now: OffsetDateTime,
    /// What was done, in order.
    pub attempted: Vec<Attempted>,
    /// How it goes on.
    pub then: Then,
}

/// Whether the run is still his who settled a step of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a run that is lost must not go on"]
pub enum Settled {
    /// It goes on as he said.
    Yes,
    /// Somebody took it back. What was done is recorded.
    TakenBack,
    /// Somebody else holds it. Nothing is recorded.
    Lost,
}

/// Where runs are kept. Every yes is durable.
#[async_trait]
pub trait Runs: Send + Sync + std::fmt::Debug {
    /// Inserts runs; those that are there already are left alone. Says how many are new.
    async fn add(&self, runs: Vec<NewRun>, now: OffsetDateTime) -> Result<usize, StoreError>;

    /// Takes runs that are due: those that wait for another attempt, those whose owner is gone, and
    /// new ones by priority.
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// Frees what others hold: to be called by an owner that knows that there is no other.
    async fn recover(&self, now: OffsetDateTime) -> Result<usize, StoreError>;

    /// Prolongs leases.
    async fn renew(
        &self,
        owner: Arc<str>,
        runs: Vec<Uuid>,
        until: OffsetDateTime,
    ) -> Result<(), StoreError>;

    /// Records a step.
    async fn settle(&self, step: Step) -> Result<Settled, StoreError>;

    /// Which of these runs somebody took back.
    async fn taken_back(&self, runs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError>;

    /// The text of a definition that a run began with: the name of its file, and what stands in it.
    async fn definition(&self, digest: String) -> Result<Option<(String, String)>, StoreError>;

    /// Removes runs that ended before a time, and what nobody needs any more.
    async fn retire(&self, ended_before: OffsetDateTime) -> Result<usize, StoreError>;

    /// Runs, the newest first.
    async fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Listed>, StoreError>;

    /// One run with its actions.
    async fn show(&self, run: Uuid) -> Result<Option<Shown>, StoreError>;

    /// Takes a run back.
    async fn cancel(&self, run: Uuid, now: OffsetDateTime) -> Result<Cancelled, StoreError>;

    /// Begins a run again.
    async fn retry(&self, run: Uuid) -> Result<Retried, StoreError>;

    /// How many runs stand where.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Changes whenever there may be something to do.
    fn occasions(&self) -> watch::Receiver<u64>;

    /// Changes whenever another process has written.
    fn foreign_writes(&self) -> watch::Receiver<u64>;
}
