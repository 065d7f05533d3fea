//! Happenings around workflows: runs that ended, attempts of actions, what waits. Names of workflows
//! come from the policies, so they may be labels; a name that no policy ever had never comes here.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};
use time::OffsetDateTime;
use tracing::Level;

use super::Telemetry;
use super::happening::note;

/// The metrics of this file.
#[derive(Debug)]
pub(super) struct WorkflowMetrics {
    pub(super) runs: IntCounterVec,
    pub(super) actions: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) standing: IntGaugeVec,
}

/// How an attempt of an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionOutcome {
    /// It is done.
    Completed,
    /// It is not, and is not tried again.
    Failed,
    /// It is not, and is tried again.
    Retried,
    /// Its run was taken back in the middle of it.
    Cancelled,
}

impl ActionOutcome {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An attempt of an action has ended.
#[derive(Debug, Clone, Copy)]
pub struct ActionAttempted<'a> {
    /// The workflow.
    pub workflow: &'a str,
    /// What the action does, a word of a closed list.
    pub action: &'static str,
    /// How it ended.
    pub outcome: ActionOutcome,
    /// Why it failed, from a closed list.
    pub reason: Option<&'static str>,
    /// The run.
    pub run: &'a str,
    /// The id of the request whose event began it.
    pub correlation_id: &'a str,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When the next one is made.
    pub again: Option<OffsetDateTime>,
}

impl ActionAttempted<'_> {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics.workflows;
        let labels = [self.workflow, self.action, self.outcome.name()];
        metrics.actions.with_label_values(&labels).inc();
        let (level, message) = match self.outcome {
            ActionOutcome::Completed | ActionOutcome::Cancelled => return,
            ActionOutcome::Retried => {
                (Level::WARN, "an action of a workflow failed and waits for its next attempt")
            }
            ActionOutcome::Failed => (Level::WARN, "an action of a workflow failed"),
        };
        telemetry.note(
            note(level, message)
                .with("workflow", self.workflow)
                .with("action", self.action)
                .with("run_id", self.run)
                .with("correlation_id", self.correlation_id)
                .with("attempt", i64::from(self.attempt))
                .with("reason", self.reason),
        );
    }
}

/// A run has ended.
#[derive(Debug, Clone, Copy)]
pub struct RunEnded<'a> {
    /// The workflow.
    pub workflow: &'a str,
    /// The run.
    pub run: &'a str,
    /// The id of the request whose event began it.
    pub correlation_id: &'a str,
    /// Why it failed, from a closed list; `None` where it did not.
    pub failure: Option<&'static str>,
    /// From its start to its end, waits included.
    pub elapsed: Duration,
}

impl RunEnded<'_> {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics.workflows;
        let outcome = if self.failure.is_none() { "completed" } else { "failed" };
        metrics.runs.with_label_values(&[self.workflow, outcome]).inc();
        metrics.duration.with_label_values(&[self.workflow]).observe(self.elapsed.as_secs_f64());
        let Some(failure) = self.failure else { return };
        telemetry.note(
            note(Level::ERROR, "a run of a workflow failed; see `fieldgate runs show`")
                .with("workflow", self.workflow)
                .with("run_id", self.run)
                .with("correlation_id", self.correlation_id)
                .with("reason", failure),
        );
    }
}

/// A run was taken back while somebody carried it out.
#[derive(Debug, Clone, Copy)]
pub struct RunTakenBack<'a> {
    /// The workflow.
    pub workflow: &'a str,
}

impl RunTakenBack<'_> {
    /// Counts it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let runs = &telemetry.inner.metrics.workflows.runs;
        runs.with_label_values(&[self.workflow, "cancelled"]).inc();
    }
}

/// How many runs stand where.
#[derive(Debug, Clone, Copy)]
pub struct RunsStanding {
    /// Not begun.
    pub pending: u64,
    /// Begun.
    pub running: u64,
    /// Failed, and still there.
    pub failed: u64,
}

impl RunsStanding {
    /// Shows it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let standing = &telemetry.inner.metrics.workflows.standing;
        let counts =
            [("pending", self.pending), ("running", self.running), ("failed", self.failed)];
        for (status, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            standing.with_label_values(&[status]).set(count);
        }
    }
}

/// The store of runs did not take something; the engine tries again.
#[derive(Debug, Clone)]
pub struct RunsRefused {
    /// What the store says; its texts name no value.
    pub error: String,
}

impl RunsRefused {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let message = "the store of workflow runs refused something; it is tried again";
        telemetry.note(note(Level::WARN, message).with("error", self.error.as_str()));
    }
}

/// Runs that an earlier process had begun go on.
#[derive(Debug, Clone, Copy)]
pub struct RunsRecovered {
    /// How many.
    pub count: usize,
}

impl RunsRecovered {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        if self.count > 0 {
            let message = "runs of workflows were under way when the process ended; they go on";
            telemetry.note(note(Level::WARN, message).with("runs", self.count));
        }
    }
}

/// Old runs were removed.
#[derive(Debug, Clone, Copy)]
pub struct RunsRetired {
    /// How many.
    pub runs: u64,
}

impl RunsRetired {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        if self.runs > 0 {
            let note = note(Level::INFO, "old runs of workflows were removed");
            telemetry.note(note.with("runs", i64::try_from(self.runs).unwrap_or(i64::MAX)));
        }
    }
}
