//! Workflows: a starter for each role, the engine, and what is told of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use super::events::Joining;
use super::policies::Policies;
use super::traced::TracedActions;
use super::{StartError, stopped};
use crate::admin::WorkflowPages;
use crate::config;
use crate::deed::{DeclaredNow, DeedParts, Deeds, Feed, Street};
use crate::event::Sink;
use crate::event::dispatch::{Clock, SystemClock};
use crate::store::{Store, StoreError};
use crate::telemetry::{
    ActionAttempted, ActionOutcome, RunEnded, RunTakenBack, RunsRecovered, RunsRefused,
    RunsRetired, RunsStanding, Telemetry,
};
use crate::workflow::action::{ActionContext, ActionKind, Perform};
use crate::workflow::catalogue::{Catalogue, InForce};
use crate::workflow::engine::{Engine, EngineObserver, Parts, Settings};
use crate::workflow::fleet::{FleetStarter, SharedRuns};
use crate::workflow::render::Renderer;
use crate::workflow::runs::{ClaimedRun, End, Outcome, Runs, StoredRuns};
use crate::workflow::starter::Starter;

/// How often old runs are looked for.
const RETIRE_EVERY: Duration = Duration::from_secs(600);

/// How often runs are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Pause before a starter that the journal did not take is offered again.
const JOIN_AGAIN: Duration = Duration::from_secs(5);

/// What is there before the first event can come.
pub(super) struct Prepared {
    settings: config::Workflows,
    store: Store,
    runs: Arc<dyn Runs>,
    /// Where the runs are shared with other sidecars: the same ones.
    fleet: Option<SharedRuns>,
    in_force: InForce,
    renderer: Arc<Renderer>,
    actions: config::Actions,
    feed: Option<Feed>,
    correlation_header: HeaderName,
    policies: Policies,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
}

/// What runs beside the street.
pub(super) struct Workflows {
    prepared: Prepared,
    perform: Arc<dyn Perform>,
    joining: Joining,
    /// The roles that have a starter.
    roles: BTreeSet<String>,
}

impl Prepared {
    /// Takes the workflows of the policies in force, if there are any yet.
    pub(super) fn new(
        mut settings: config::Workflows,
        store: &Store,
        policies: Policies,
        correlation_header: &HeaderName,
        telemetry: &Telemetry,
    ) -> Result<Self, StartError> {
        let env = std::mem::take(&mut settings.env).into_iter();
        let env = env.map(|(name, value)| (name, value.expose_secret().to_owned()));
        let renderer = Arc::new(Renderer::new(env.collect()));
        let actions = std::mem::take(&mut settings.actions);
        let feed = actions.feed.map(|feed| Feed::new(feed.keep, OffsetDateTime::now_utc()));
        let fleet = settings.nats.take().map(SharedRuns::new).transpose();
        let fleet = fleet.map_err(|error| format!("`workflows.nats`: {error}"))?;
        let runs: Arc<dyn Runs> = match &fleet {
            Some(shared) => Arc::new(shared.clone()),
            None => Arc::new(StoredRuns::new(store.clone())),
        };
        let prepared = Self {
            settings,
            store: store.clone(),
            runs,
            fleet,
            in_force: InForce::default(),
            renderer,
            actions,
            feed,
            correlation_header: correlation_header.clone(),
            policies,
            clock: Arc::new(SystemClock),
            telemetry: telemetry.clone(),
        };
        prepared.take_policies();
        Ok(prepared)
    }

    /// Puts the workflows of the policies in force.
    fn take_policies(&self) {
        if let Some(policies) = self.policies.store().current() {
            self.in_force.swap(Catalogue::new(policies.snapshot.set()));
        }
    }

    /// What brings events to the engine, one for each role that an event may start something of.
    pub(super) fn starters(&self) -> Vec<Arc<dyn Sink>> {
        let in_force = self.in_force.current();
        in_force.starting_roles().into_iter().map(|role| self.starter(role)).collect()
    }

    fn starter(&self, role: &str) -> Arc<dyn Sink> {
        let in_force = self.in_force.clone();
        if let Some(shared) = &self.fleet {
            return Arc::new(FleetStarter::new(role, shared.clone(), in_force));
        }
        let (runs, clock) = (Arc::clone(&self.runs), Arc::clone(&self.clock));
        Arc::new(Starter::new(role, runs, in_force, clock))
    }

    /// Ready to run: `street` is the way to the CRM.
    pub(super) fn start(
        mut self,
        joining: Joining,
        street: Arc<dyn Street>,
    ) -> Result<Workflows, StartError> {
        let policies = self.policies.store();
        let declared =
            DeclaredNow::new(move || Some(Arc::clone(&policies.current()?.snapshot.set().actions)));
        let deeds = Deeds::new(DeedParts {
            settings: std::mem::take(&mut self.actions),
            renderer: Arc::clone(&self.renderer),
            correlation_header: self.correlation_header.clone(),
            street,
            declared,
            feed: self.feed.clone(),
        });
        let perform = Arc::new(deeds.map_err(|fault| fault.to_string())?);
        let in_force = self.in_force.current();
        let roles = in_force.starting_roles().into_iter().map(ToOwned::to_owned).collect();
        keep_views(&joining, &in_force);
        Ok(Workflows { prepared: self, perform, joining, roles })
    }

    /// Shares runs with other sidecars, where that is asked for, until it is to stop.
    fn share(&self, stopping: watch::Receiver<bool>) -> impl Future<Output = ()> + use<> {
        let (fleet, in_force) = (self.fleet.clone(), self.in_force.clone());
        let clock = Arc::clone(&self.clock);
        async move {
            if let Some(shared) = fleet {
                Box::pin(shared.serve(in_force, clock, stopped(stopping))).await;
            }
        }
    }

    fn engine(&self, perform: Arc<dyn Perform>) -> Engine {
        let parts = Parts {
            runs: Arc::clone(&self.runs),
            in_force: self.in_force.clone(),
            renderer: Arc::clone(&self.renderer),
            perform: Arc::new(TracedActions { perform, telemetry: self.telemetry.clone() }),
            clock: Arc::clone(&self.clock),
            observer: Arc::new(Observer(self.telemetry.clone())),
        };
        let config::Workflows { concurrency, rate, max_execution_time, max_actions, lease, .. } =
            &self.settings;
        let settings = Settings {
            parallel: *concurrency,
            rate: *rate,
            lease: *lease,
            max_execution_time: *max_execution_time,
            max_actions: *max_actions,
            ..Settings::default()
        };
        Engine::new(parts, settings, &Uuid::now_v7().to_string())
    }
}

impl Workflows {
    /// What the admin listener shows of them.
    pub(super) fn pages(&self) -> WorkflowPages {
        WorkflowPages {
            runs: Arc::clone(&self.prepared.runs),
            in_force: self.prepared.in_force.clone(),
            renderer: Arc::clone(&self.prepared.renderer),
            journal: self.prepared.store.clone(),
            policies: self.prepared.policies.folder().to_owned(),
            feed: self.prepared.feed.clone(),
        }
    }

    /// Carries runs out until it is to stop, and a little longer what is under way then.
    pub(super) async fn run(mut self, stopping: watch::Receiver<bool>) {
        self.recover().await;
        let engine = self.prepared.engine(Arc::clone(&self.perform));
        let mut engine = tokio::spawn(engine.run(stopped(stopping.clone())));
        let sharing = tokio::spawn(self.prepared.share(stopping));
        let mut policies = self.prepared.policies.changes();
        let mut retire_at = tokio::time::interval(RETIRE_EVERY);
        let mut count_at = tokio::time::interval(COUNT_EVERY);
        let mut join_at = None;
        // What was put in force while this was started.
        policies.mark_changed();
        loop {
            tokio::select! {
                _ = &mut engine => break,
                Ok(()) = policies.changed() => {
                    // The starters first: what an event starts must find its way.
                    join_at = self.join().await;
                    self.prepared.take_policies();
                }
                () = sleep_until(join_at) => join_at = self.join().await,
                _ = retire_at.tick() => self.retire().await,
                _ = count_at.tick() => self.count().await,
            }
        }
        // What the last actions came to has been told to the others by now.
        sharing.abort();
    }

    /// What an earlier process held is nobody's now.
    async fn recover(&self) {
        match self.prepared.runs.recover(self.prepared.clock.now()).await {
            Ok(count) => RunsRecovered { count }.emit(&self.prepared.telemetry),
            // Their leases run out.
            Err(error) => refused(&error, &self.prepared.telemetry),
        }
    }

    /// Gives every role of the policies in force its starter. Says when to try again, where one was
    /// not taken.
    async fn join(&mut self) -> Option<tokio::time::Instant> {
        let policies = self.prepared.policies.store().current()?;
        let catalogue = Catalogue::new(policies.snapshot.set());
        keep_views(&self.joining, &catalogue);
        for role in catalogue.starting_roles() {
            if self.roles.contains(role) {
                continue;
            }
            if let Err(error) = self.joining.join(self.prepared.starter(role)).await {
                RunsRefused { error: error.to_string() }.emit(&self.prepared.telemetry);
                return Some(tokio::time::Instant::now() + JOIN_AGAIN);
            }
            self.roles.insert(role.to_owned());
        }
        None
    }

    async fn retire(&self) {
        let kept = time::Duration::try_from(self.prepared.settings.retention);
        let before = kept.ok().and_then(|kept| self.prepared.clock.now().checked_sub(kept));
        let Some(before) = before else { return };
        // What cannot be removed now can be removed later; the store tells of its own faults.
        if let Ok(runs) = self.prepared.runs.retire(before).await {
            RunsRetired { runs: runs as u64 }.emit(&self.prepared.telemetry);
        }
    }

    async fn count(&self) {
        if let Ok(counts) = self.prepared.runs.counts().await {
            let (pending, running, failed) = (counts.pending, counts.running, counts.failed);
            RunsStanding { pending, running, failed }.emit(&self.prepared.telemetry);
        }
    }
}

/// Has what every role of a workflow sees kept, so that one can also be started by hand.
fn keep_views(joining: &Joining, catalogue: &Catalogue) {
    for role in catalogue.roles() {
        joining.keep_view_of(role);
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn refused(error: &StoreError, telemetry: &Telemetry) {
    // The text of a store's error names no value.
    RunsRefused { error: error.to_string() }.emit(telemetry);
}

/// Tells what the engine does.
#[derive(Debug)]
struct Observer(Telemetry);

impl EngineObserver for Observer {
    fn attempted(
        &self,
        context: &ActionContext,
        kind: ActionKind,
        outcome: &Outcome,
        _elapsed: Duration,
        again: Option<OffsetDateTime>,
    ) {
        let (told, reason) = match outcome {
            Outcome::Completed { .. } => (ActionOutcome::Completed, None),
            Outcome::Failed { failure, .. } if again.is_some() => {
                (ActionOutcome::Retried, Some(failure.word()))
            }
            Outcome::Failed { failure, .. } => (ActionOutcome::Failed, Some(failure.word())),
            Outcome::Cancelled => (ActionOutcome::Cancelled, None),
        };
        ActionAttempted {
            workflow: &context.workflow,
            action: kind.word(),
            outcome: told,
            reason,
            run: &context.run.to_string(),
            correlation_id: &context.correlation_id,
            attempt: context.attempt,
            again,
        }
        .emit(&self.0);
    }

    fn ended(&self, run: &ClaimedRun, end: &End, elapsed: Duration) {
        let failure = match end {
            End::Completed => None,
            End::Failed { failure, .. } => Some(failure.word()),
        };
        RunEnded {
            workflow: &run.workflow,
            run: &run.id.to_string(),
            correlation_id: &run.event.correlation_id,
            failure,
            elapsed,
        }
        .emit(&self.0);
    }

    fn taken_back(&self, run: &ClaimedRun) {
        RunTakenBack { workflow: &run.workflow }.emit(&self.0);
    }

    fn store_refused(&self, error: &StoreError) {
        refused(error, &self.0);
    }
}
