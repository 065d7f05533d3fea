//! One run, from where it stands to its end, to its next wait, or until it is taken back.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;

use super::super::action::{Action, ActionContext, ActionFailure, Performed};
use super::super::facts::{EventFacts, why_not};
use super::super::runs::{Attempted, ClaimedRun, End, Outcome, RunFailure, Settled, Step, Then};
use super::{AFTER_REFUSAL, MOST_DEPTH, Post};
use crate::condition::Condition;
use crate::diagnostic::SourceFile;
use crate::fail_point;
use crate::policy::workflow::Workflow;
use crate::store::StoreError;

/// Most bytes that are kept of a result, and characters of an error.
const MOST_RESULT: usize = 16 * 1024;
const MOST_ERROR: usize = 500;

/// What is said of a panic; its message may hold anything.
const BROKE_OFF: &str = "it broke off";

/// What a run under way listens to.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    pub(super) is_taken_back: watch::Receiver<bool>,
    pub(super) is_stopping: watch::Receiver<bool>,
}

/// The action that is next, and what is known of it.
struct Next {
    ordinal: u32,
    /// Attempts so far.
    attempts: u32,
    /// Actions that were left out on the way to it, not yet recorded.
    left_out: Vec<Attempted>,
}

impl Post {
    /// Goes on with a run.
    pub(super) async fn carry(&self, run: ClaimedRun, signals: Signals) {
        if run.depth > MOST_DEPTH {
            let error = format!("{MOST_DEPTH} runs caused each other; this one would be one more");
            let end = failed(RunFailure::CausationDepth, error);
            self.end(&run, Vec::new(), end).await;
            return;
        }
        let Some(workflow) = self.workflow(&run).await else {
            let error = "the definition that it began with cannot be read".to_owned();
            self.end(&run, Vec::new(), failed(RunFailure::Definition, error)).await;
            return;
        };
        let mut next = Next { ordinal: run.next, attempts: run.attempts, left_out: Vec::new() };
        loop {
            let Some(action) = action_at(&workflow, next.ordinal) else {
                self.end(&run, next.left_out, End::Completed).await;
                return;
            };
            if let Some(end) = self.over_limits(&run, &workflow, next.ordinal) {
                self.end(&run, next.left_out, end).await;
                return;
            }
            // An action that was tried once is not asked for again.
            if next.attempts == 0
                && let Some(why) = left_out(&action.when, &run)
            {
                next.left_out.push(self.leave_out(next.ordinal, &why));
                next.ordinal += 1;
                continue;
            }
            match self.attempt(&run, &workflow, action, next, &signals).await {
                Some(after) => next = after,
                None => return,
            }
        }
    }

    /// Makes one attempt, records it, and says what is next; `None` where nothing is, here.
    async fn attempt(
        &self,
        run: &ClaimedRun,
        workflow: &Workflow,
        action: &Action,
        next: Next,
        signals: &Signals,
    ) -> Option<Next> {
        let Next { ordinal, attempts, left_out } = next;
        let clock = &self.parts.clock;
        let started = clock.now();
        let context = context(run, workflow, ordinal, attempts + 1, started);
        let performed = self.perform(run, workflow, action, &context, signals).await;
        fail_point::pass("after_action");
        let now = clock.now();
        let (outcome, retryable) = outcome_of(performed);
        let pause = match &outcome {
            Outcome::Failed { .. } if retryable => action.retry.after(attempts + 1, clock.chance()),
            Outcome::Failed { .. } | Outcome::Completed { .. } | Outcome::Cancelled => None,
        };
        let again = pause.map(|pause| now + pause);
        let then = match (&outcome, again) {
            (Outcome::Failed { .. }, Some(again)) => Then::Again(again),
            (Outcome::Failed { failure, error }, None) if !action.allow_failure => {
                let error = format!("action {} ({}): {error}", ordinal + 1, action.kind);
                Then::End(failed(RunFailure::Action(*failure), error))
            }
            (Outcome::Failed { .. } | Outcome::Completed { .. }, _)
                if action_at(workflow, ordinal + 1).is_none() =>
            {
                Then::End(End::Completed)
            }
            (Outcome::Failed { .. } | Outcome::Completed { .. }, _)
                if *signals.is_stopping.borrow() =>
            {
                Then::HandBack(ordinal + 1)
            }
            (Outcome::Failed { .. } | Outcome::Completed { .. }, _) => Then::Next(ordinal + 1),
            // It is settled as one that was taken back, however it would have gone on.
            (Outcome::Cancelled, _) => Then::HandBack(ordinal),
        };
        let elapsed = Duration::try_from(now - started).unwrap_or_default();
        let attempted = Attempted { ordinal, attempts: attempts + 1, started, outcome };
        let told = attempted.outcome.clone();
        let mut all = left_out;
        all.push(attempted);
        let settled = self.settle(run, all, then.clone()).await?;
        self.parts.observer.attempted(&context, action.kind, &told, elapsed, again);
        match (settled, then) {
            (Settled::Yes, Then::Next(ordinal)) => {
                Some(Next { ordinal, attempts: 0, left_out: Vec::new() })
            }
            (Settled::Yes, Then::End(end)) => {
                self.tell_end(run, &end);
                None
            }
            (Settled::Yes, Then::Again(_) | Then::HandBack(_)) | (Settled::Lost, _) => None,
            (Settled::TakenBack, _) => {
                self.parts.observer.taken_back(run);
                None
            }
        }
    }

    /// One attempt, bounded by the time of the action and of the run. `None` where the run was taken
    /// back in the middle of it.
    async fn perform(
        &self,
        run: &ClaimedRun,
        workflow: &Workflow,
        action: &Action,
        context: &ActionContext,
        signals: &Signals,
    ) -> Option<Performed> {
        let rendered = match self.parts.renderer.render(action, context) {
            Ok(rendered) => rendered,
            Err(fault) => {
                return Some(Performed::Failed {
                    reason: ActionFailure::Template,
                    retryable: false,
                    error: fault.to_string(),
                });
            }
        };
        let deadline = self.deadline(run, workflow);
        let until = deadline.min(context.now + action.timeout);
        let mut is_taken_back = signals.is_taken_back.clone();
        tokio::select! {
            performed = unharmed(self.parts.perform.perform(&rendered, context)) => {
                // It may have come to something else by chance, like any failure on the way.
                Some(performed.unwrap_or_else(|| Performed::Failed {
                    reason: ActionFailure::Internal,
                    retryable: true,
                    error: BROKE_OFF.to_owned(),
                }))
            }
            () = self.parts.clock.sleep_until(until) => Some(Performed::Failed {
                reason: ActionFailure::Timeout,
                retryable: true,
                error: "it took too long".to_owned(),
            }),
            Ok(_) = is_taken_back.wait_for(|is_taken_back| *is_taken_back) => None,
        }
    }

    /// When the run must have ended.
    fn deadline(&self, run: &ClaimedRun, workflow: &Workflow) -> OffsetDateTime {
        run.started + workflow.limits.max_execution_time.min(self.settings.max_execution_time)
    }

    /// The end of a run that may not go on to this action.
    fn over_limits(&self, run: &ClaimedRun, workflow: &Workflow, ordinal: u32) -> Option<End> {
        if self.parts.clock.now() >= self.deadline(run, workflow) {
            let most = workflow.limits.max_execution_time.min(self.settings.max_execution_time);
            let error = format!("it took longer than {} s", most.as_secs());
            return Some(failed(RunFailure::MaxExecutionTime, error));
        }
        let most = workflow.limits.max_actions.min(self.settings.max_actions);
        (ordinal >= most)
            .then(|| failed(RunFailure::MaxActions, format!("it has more than {most} actions")))
    }

    fn leave_out(&self, ordinal: u32, why: &str) -> Attempted {
        let result = serde_json::json!({ "skipped": why }).to_string();
        let outcome = Outcome::Completed { result };
        Attempted { ordinal, attempts: 0, started: self.parts.clock.now(), outcome }
    }

    /// The definition that a run began with: the one in force, where it has not changed since.
    async fn workflow(&self, run: &ClaimedRun) -> Option<Arc<Workflow>> {
        let in_force = self.parts.in_force.current();
        if let Some(workflow) = in_force.get(&run.workflow)
            && workflow.digest == run.definition
        {
            return Some(Arc::clone(workflow));
        }
        loop {
            match self.parts.runs.definition(run.definition.clone()).await {
                Ok(found) => {
                    let (file, text) = found?;
                    return Workflow::alone(&SourceFile::new(file, text)).map(Arc::new);
                }
                Err(StoreError::Stopped) => std::future::pending().await,
                Err(error) => self.parts.observer.store_refused(&error),
            }
            self.pause().await;
        }
    }

    async fn end(&self, run: &ClaimedRun, attempted: Vec<Attempted>, end: End) {
        match self.settle(run, attempted, Then::End(end.clone())).await {
            Some(Settled::Yes) => self.tell_end(run, &end),
            Some(Settled::TakenBack) => self.parts.observer.taken_back(run),
            Some(Settled::Lost) | None => {}
        }
    }

    fn tell_end(&self, run: &ClaimedRun, end: &End) {
        let elapsed = self.parts.clock.now() - run.started;
        self.parts.observer.ended(run, end, Duration::try_from(elapsed).unwrap_or_default());
    }

    /// Records a step, however long the store refuses: made again instead, a receiver would get it
    /// again. `None` where the store is closed.
    async fn settle(
        &self,
        run: &ClaimedRun,
        attempted: Vec<Attempted>,
        then: Then,
    ) -> Option<Settled> {
        loop {
            let step = Step {
                run: run.id,
                owner: Arc::clone(&self.owner),
                now: self.parts.clock.now(),
                attempted: attempted.clone(),
                then: then.clone(),
            };
            match self.parts.runs.settle(step).await {
                Ok(settled) => {
                    fail_point::pass("after_action_recorded");
                    return Some(settled);
                }
                Err(StoreError::Stopped) => return None,
                Err(error) => self.parts.observer.store_refused(&error),
            }
            self.pause().await;
        }
    }

    /// Records that carrying a run out has panicked; an action that does has failed, and no more.
    pub(super) async fn panicked(&self, run: &ClaimedRun) {
        let error = BROKE_OFF.to_owned();
        let failure = RunFailure::Action(ActionFailure::Internal);
        self.end(run, Vec::new(), failed(failure, error)).await;
    }

    async fn pause(&self) {
        let clock = &self.parts.clock;
        clock.sleep_until(clock.now() + AFTER_REFUSAL).await;
    }
}

/// What work comes to; `None` where it panics.
async fn unharmed<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    // What it leaves half done is its own: nothing of it is looked at again.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// What the attempt that begins now may know.
fn context(
    run: &ClaimedRun,
    workflow: &Workflow,
    ordinal: u32,
    attempt: u32,
    now: OffsetDateTime,
) -> ActionContext {
    ActionContext {
        run: run.id,
        ordinal,
        attempt,
        idempotency_key: format!("{}-{ordinal}", run.id),
        workflow: run.workflow.clone(),
        role: workflow.role.clone(),
        tenant: run.event.tenant.clone(),
        correlation_id: run.event.correlation_id.clone(),
        causation_depth: run.depth,
        traceparent: run.event.traceparent.clone(),
        event: run.event.as_ref().clone(),
        now,
        dry_run: false,
    }
}

fn action_at(workflow: &Workflow, ordinal: u32) -> Option<&Action> {
    workflow.actions.get(usize::try_from(ordinal).ok()?)
}

fn failed(failure: RunFailure, error: String) -> End {
    End::Failed { failure, error }
}

/// Why an action is left out; `None` where it is not.
fn left_out(when: &Condition, run: &ClaimedRun) -> Option<String> {
    why_not(when, &EventFacts::new(&run.event))
}

/// What is recorded of an attempt, and whether another one may help.
fn outcome_of(performed: Option<Performed>) -> (Outcome, bool) {
    match performed {
        None => (Outcome::Cancelled, false),
        Some(Performed::Completed { result }) => {
            let mut result = result.to_string();
            if result.len() > MOST_RESULT {
                "{\"truncated\":true}".clone_into(&mut result);
            }
            (Outcome::Completed { result }, false)
        }
        Some(Performed::Failed { reason, retryable, error }) => {
            let error = error.chars().take(MOST_ERROR).collect();
            (Outcome::Failed { failure: reason, error }, retryable)
        }
    }
}
