//! A run as a group of sidecars keeps it: one value, changed as a whole.
//!
//! Pure. The changes are those that `runs/table.rs` and `runs/command.rs` make in SQL; the same tests
//! hold for both.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::runs::{
    ActionRun, Attempted, Cancelled, Cause, ClaimedRun, End, KeptMessage, Listed, NewRun, Outcome,
    Retried, RunFailure, RunStatus, Settled, Shown, Step, Then,
};
use crate::event::journal::moment::{from_file, to_file};

/// One run. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SharedRun {
    pub(super) id: String,
    pub(super) workflow: String,
    definition: String,
    cause: String,
    role: String,
    pub(super) priority: i64,
    depth: u32,
    pub(super) status: RunStatus,
    pub(super) created: i64,
    pub(super) started: Option<i64>,
    pub(super) ended: Option<i64>,
    next: u32,
    pub(super) owner: Option<String>,
    pub(super) lease: Option<i64>,
    pub(super) due: Option<i64>,
    interruptions: u32,
    failure: Option<String>,
    error: Option<String>,
    actions: Vec<SharedAction>,
    event: KeptMessage,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SharedAction {
    kind: String,
    status: RunStatus,
    attempts: u32,
    started: Option<i64>,
    ended: Option<i64>,
    result: Option<String>,
    failure: Option<String>,
    error: Option<String>,
}

impl SharedRun {
    pub(super) fn new(run: &NewRun, now: OffsetDateTime) -> Self {
        let NewRun { id, workflow, cause, priority, event, depth } = run;
        let action = |kind: &str| SharedAction {
            kind: kind.to_owned(),
            status: RunStatus::Pending,
            attempts: 0,
            started: None,
            ended: None,
            result: None,
            failure: None,
            error: None,
        };
        Self {
            id: id.to_string(),
            workflow: workflow.name.clone(),
            definition: workflow.digest.clone(),
            cause: match cause {
                Cause::Event => format!("event:{}", event.id),
                Cause::Hand(id) => format!("hand:{id}"),
            },
            role: workflow.role.clone(),
            priority: *priority,
            depth: *depth,
            status: RunStatus::Pending,
            created: to_file(now),
            started: None,
            ended: None,
            next: 0,
            owner: None,
            lease: None,
            due: None,
            interruptions: 0,
            failure: None,
            error: None,
            actions: workflow.actions.iter().map(|one| action(one.kind.word())).collect(),
            event: KeptMessage::of(event),
        }
    }

    /// Its key in the bucket.
    pub(super) fn key(run: Uuid) -> String {
        format!("run.{run}")
    }

    /// Whether somebody asked for it, and not an event.
    pub(super) fn is_by_hand(&self) -> bool {
        self.cause.starts_with("hand:")
    }

    /// Whether whoever holds it has not been heard of.
    pub(super) fn is_abandoned(&self, now: i64) -> bool {
        self.owner.is_some() && self.lease.is_some_and(|lease| lease < now)
    }

    /// Frees it from an owner who is gone; one that was interrupted too often is given up.
    pub(super) fn free(&mut self, now: i64, most_interruptions: u32) {
        (self.owner, self.lease) = (None, None);
        if self.status != RunStatus::Running {
            return;
        }
        self.due = Some(now);
        self.interruptions = self.interruptions.saturating_add(1);
        if self.interruptions > most_interruptions {
            let error =
                format!("interrupted more than {most_interruptions} times in the middle of it");
            self.finish(&End::Failed { failure: RunFailure::Interrupted, error }, now);
        }
    }

    /// Gives it to somebody who carries it out.
    pub(super) fn begin(&mut self, owner: &str, now: i64, lease: i64) {
        self.status = RunStatus::Running;
        self.started.get_or_insert(now);
        self.owner = Some(owner.to_owned());
        self.lease = Some(lease);
        self.due = None;
        if let Some(action) = self.action(self.next) {
            action.status = RunStatus::Running;
            action.started.get_or_insert(now);
        }
    }

    /// Records a step. Where it is lost nothing has changed.
    pub(super) fn settle(&mut self, step: &Step) -> Settled {
        if self.owner.as_deref() != Some(&*step.owner) {
            return Settled::Lost;
        }
        let now = to_file(step.now);
        for attempted in &step.attempted {
            self.record(attempted, &step.then, now);
        }
        if self.status != RunStatus::Running {
            (self.owner, self.lease) = (None, None);
            return Settled::TakenBack;
        }
        match &step.then {
            Then::Next(next) => {
                self.next = *next;
                self.interruptions = 0;
                if let Some(action) = self.action(*next) {
                    action.status = RunStatus::Running;
                    action.started = Some(now);
                }
            }
            Then::Again(due) => {
                let last = step.attempted.last().map(|attempted| attempted.ordinal);
                self.hand_back(last.unwrap_or(self.next), to_file(*due));
            }
            Then::HandBack(next) => self.hand_back(*next, now),
            Then::End(end) => self.finish(end, now),
        }
        Settled::Yes
    }

    fn hand_back(&mut self, next: u32, due: i64) {
        (self.owner, self.lease) = (None, None);
        self.due = Some(due);
        self.next = next;
    }

    /// Writes down how an attempt went. One that is made again stays `running`.
    fn record(&mut self, attempted: &Attempted, then: &Then, now: i64) {
        let is_made_again = matches!(then, Then::Again(_));
        let started = to_file(attempted.started);
        let Some(action) = self.action(attempted.ordinal) else { return };
        let (status, result, failure) = match &attempted.outcome {
            Outcome::Completed { result } => (RunStatus::Completed, Some(result.clone()), None),
            Outcome::Failed { failure, error } => {
                let status = if is_made_again { RunStatus::Running } else { RunStatus::Failed };
                (status, None, Some((failure.word().to_owned(), error.clone())))
            }
            Outcome::Cancelled => (RunStatus::Cancelled, None, None),
        };
        action.status = status;
        action.attempts = attempted.attempts;
        action.started = Some(action.started.map_or(started, |before| before.min(started)));
        action.ended = (status != RunStatus::Running).then_some(now);
        action.result = result;
        (action.failure, action.error) = failure.unzip();
    }

    /// Ends it; what it has not come to is cancelled.
    fn finish(&mut self, end: &End, now: i64) {
        (self.status, self.failure, self.error) = match end {
            End::Completed => (RunStatus::Completed, None, None),
            End::Failed { failure, error } => {
                (RunStatus::Failed, Some(failure.word().to_owned()), Some(error.clone()))
            }
        };
        self.ended = Some(now);
        self.started.get_or_insert(now);
        (self.owner, self.lease, self.due) = (None, None, None);
        self.cancel_actions(now, true);
    }

    /// Cancels the actions that have not ended; one under way only where that is `meant`.
    fn cancel_actions(&mut self, now: i64, meant: bool) {
        for action in &mut self.actions {
            match action.status {
                RunStatus::Pending => action.status = RunStatus::Cancelled,
                RunStatus::Running if meant => {
                    action.status = RunStatus::Cancelled;
                    action.ended = Some(now);
                }
                RunStatus::Running
                | RunStatus::Completed
                | RunStatus::Failed
                | RunStatus::Cancelled => {}
            }
        }
    }

    /// Takes it back.
    pub(super) fn cancel(&mut self, now: OffsetDateTime) -> Cancelled {
        if self.status.is_final() {
            return Cancelled::Ended(self.status);
        }
        let now = to_file(now);
        self.status = RunStatus::Cancelled;
        self.ended = Some(now);
        self.due = None;
        // Who carries it out records what became of the action that is under way.
        self.cancel_actions(now, self.owner.is_none());
        Cancelled::Yes
    }

    /// Begins it again at the action that was not done.
    pub(super) fn retry(&mut self) -> Retried {
        let may_go_on = matches!(self.status, RunStatus::Failed | RunStatus::Cancelled);
        if !may_go_on || self.owner.is_some() {
            return Retried::Standing(self.status);
        }
        let undone = (0..).zip(&self.actions).find(|(ordinal, action)| {
            *ordinal >= self.next && action.status != RunStatus::Completed
        });
        let first = undone.map_or(0, |(ordinal, _)| ordinal);
        for (ordinal, action) in (0..).zip(&mut self.actions) {
            if ordinal >= first {
                *action = SharedAction {
                    kind: std::mem::take(&mut action.kind),
                    status: RunStatus::Pending,
                    attempts: 0,
                    started: None,
                    ended: None,
                    result: None,
                    failure: None,
                    error: None,
                };
            }
        }
        self.status = RunStatus::Pending;
        (self.started, self.ended, self.due) = (None, None, None);
        (self.failure, self.error) = (None, None);
        self.interruptions = 0;
        self.next = first;
        Retried::Yes
    }

    /// As its owner gets it; `None` where it cannot be read, which none of ours can be.
    pub(super) fn claimed(&self) -> Option<ClaimedRun> {
        Some(ClaimedRun {
            id: self.id.parse().ok()?,
            workflow: self.workflow.clone(),
            definition: self.definition.clone(),
            event: Arc::new(self.event.message()?),
            depth: self.depth,
            started: from_file(self.started?),
            next: self.next,
            attempts: self.at(self.next).map_or(0, |action| action.attempts),
        })
    }

    pub(super) fn listed(&self) -> Option<Listed> {
        let event = self.event.message()?;
        Some(Listed {
            position: u64::try_from(self.created).ok()?,
            id: self.id.parse().ok()?,
            workflow: self.workflow.clone(),
            status: self.status,
            event: event.id,
            subject: event.subject(),
            event_type: event.event_type,
            tenant: event.tenant,
            role: self.role.clone(),
            correlation_id: event.correlation_id,
            priority: self.priority,
            depth: self.depth,
            created: from_file(self.created),
            started: self.started.map(from_file),
            ended: self.ended.map(from_file),
            duration_ms: duration(self.started, self.ended),
            due: self.due.map(from_file),
            failure: self.failure.clone(),
            error: self.error.clone(),
        })
    }

    pub(super) fn shown(&self) -> Option<Shown> {
        let actions = (0..).zip(&self.actions).map(|(ordinal, action)| ActionRun {
            ordinal,
            kind: action.kind.clone(),
            status: action.status,
            attempts: action.attempts,
            started: action.started.map(from_file),
            ended: action.ended.map(from_file),
            duration_ms: duration(action.started, action.ended),
            result: action.result.clone(),
            failure: action.failure.clone(),
            error: action.error.clone(),
        });
        Some(Shown {
            run: self.listed()?,
            actions: actions.collect(),
            event: self.event.message()?,
            definition: self.definition.clone(),
            interruptions: self.interruptions,
        })
    }

    fn at(&self, ordinal: u32) -> Option<&SharedAction> {
        self.actions.get(usize::try_from(ordinal).ok()?)
    }

    fn action(&mut self, ordinal: u32) -> Option<&mut SharedAction> {
        self.actions.get_mut(usize::try_from(ordinal).ok()?)
    }
}

fn duration(started: Option<i64>, ended: Option<i64>) -> Option<i64> {
    Some(ended? - started?)
}
