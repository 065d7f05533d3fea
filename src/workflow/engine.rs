//! Carries runs out: takes them by priority, some at a time, and goes on where another process
//! ended.
//!
//! Each action is done at least once, and recorded before the next one begins. A crash between an
//! action and its record does it again, with the same idempotency key. It sleeps until there is
//! something to do. Time and chance are arguments.

mod carry;
mod observer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use uuid::Uuid;

use super::action::Perform;
use super::catalogue::InForce;
use super::render::Renderer;
use super::runs::{Claim, ClaimedRun, Runs};
use crate::event::dispatch::Clock;
use crate::store::StoreError;

pub use self::observer::{EngineObserver, Silent};

/// Pause after the store refused something.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// The most runs that may stand between an event and what somebody did. One more is cut.
pub const MOST_DEPTH: u32 = 5;

/// How runs are carried out.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Runs at once, at least one.
    pub parallel: usize,
    /// Runs of one workflow that may start within a minute, where it says nothing itself.
    pub rate: Option<u32>,
    /// How long a run stays with a process that is not heard of.
    pub lease: Duration,
    /// How long actions under way may go on when it is to stop.
    pub grace: Duration,
    /// The longest that any run may take; a workflow may say less.
    pub max_execution_time: Duration,
    /// The most actions of any run; a workflow may say less.
    pub max_actions: u32,
    /// How often a run may be interrupted at one action before it is given up.
    pub most_interruptions: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parallel: 64,
            rate: None,
            lease: Duration::from_secs(60),
            grace: Duration::from_secs(20),
            max_execution_time: Duration::from_secs(3600),
            max_actions: 50,
            most_interruptions: 5,
        }
    }
}

/// What the engine works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where runs are kept.
    pub runs: Arc<dyn Runs>,
    /// The workflows in force.
    pub in_force: InForce,
    /// Fills templates in.
    pub renderer: Arc<Renderer>,
    /// Does what actions say.
    pub perform: Arc<dyn Perform>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub observer: Arc<dyn EngineObserver>,
}

/// Carries runs out.
#[derive(Debug)]
pub struct Engine {
    post: Arc<Post>,
    flying: JoinSet<()>,
    aboard: HashMap<Id, Aboard>,
    /// When to look again, if nothing happens before.
    look_at: Option<OffsetDateTime>,
    /// When leases are prolonged.
    renew_at: OffsetDateTime,
    is_stopping: watch::Sender<bool>,
}

/// A run under way.
#[derive(Debug)]
struct Aboard {
    run: ClaimedRun,
    take_back: watch::Sender<bool>,
}

/// What carrying a run out needs.
#[derive(Debug)]
struct Post {
    parts: Parts,
    settings: Settings,
    /// Another one for each process, so that what an earlier one held is known to be nobody's.
    owner: Arc<str>,
}

impl Engine {
    /// An engine that calls itself `owner`, a name that no other process has or had.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings, owner: &str) -> Self {
        let settings = Settings { parallel: settings.parallel.max(1), ..settings };
        let renew_at = parts.clock.now() + settings.lease / 3;
        Self {
            post: Arc::new(Post { parts, settings, owner: owner.into() }),
            flying: JoinSet::new(),
            aboard: HashMap::new(),
            look_at: None,
            renew_at,
            is_stopping: watch::channel(false).0,
        }
    }

    /// Carries runs out until `stop` resolves. What is under way then may still end for a while;
    /// what does not is gone on with by the next process.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let post = Arc::clone(&self.post);
        let mut occasions = post.parts.runs.occasions();
        let mut foreign = post.parts.runs.foreign_writes();
        loop {
            // Before the look, so that what comes during it is not missed.
            occasions.mark_unchanged();
            foreign.mark_unchanged();
            if self.look().await.is_err() {
                return;
            }
            let wake_at = self.look_at.filter(|_| self.has_room());
            let wake_at = wake_at.map_or(self.renew_at, |at| at.min(self.renew_at));
            let is_idle = self.aboard.is_empty() && self.look_at.is_none();
            tokio::select! {
                () = &mut stop => break,
                Some(landed) = self.flying.join_next_with_id() => {
                    self.land(landed).await;
                    while let Some(landed) = self.flying.try_join_next_with_id() {
                        self.land(landed).await;
                    }
                }
                Ok(()) = occasions.changed() => self.take_back().await,
                written = foreign.changed() => match written {
                    Ok(()) => self.take_back().await,
                    // The store is closed.
                    Err(_) => break,
                },
                () = post.parts.clock.sleep_until(wake_at), if !is_idle => {}
            }
            self.renew().await;
        }
        self.finish().await;
    }

    fn has_room(&self) -> bool {
        self.aboard.len() < self.post.settings.parallel
    }

    /// The runs under way.
    fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.aboard.values().map(|aboard| aboard.run.id)
    }

    /// Takes as many runs as there is room for. An error is a store that is closed.
    async fn look(&mut self) -> Result<(), ()> {
        if !self.has_room() {
            return Ok(());
        }
        let Post { parts, settings, owner } = self.post.as_ref();
        let now = parts.clock.now();
        let claim = Claim {
            owner: Arc::clone(owner),
            now,
            lease: settings.lease,
            limit: settings.parallel - self.aboard.len(),
            bounds: Arc::new(parts.in_force.current().bounds(settings.rate)),
            most_interruptions: settings.most_interruptions,
            aboard: Arc::new(self.ids().collect()),
        };
        match parts.runs.claim(claim).await {
            Ok(claimed) => {
                self.look_at = claimed.next;
                for run in claimed.runs {
                    // Two of one run would do everything twice.
                    if self.ids().all(|id| id != run.id) {
                        self.begin(run);
                    }
                }
                Ok(())
            }
            Err(StoreError::Stopped) => Err(()),
            Err(error) => {
                parts.observer.store_refused(&error);
                self.look_at = Some(now + AFTER_REFUSAL);
                Ok(())
            }
        }
    }

    fn begin(&mut self, run: ClaimedRun) {
        let (take_back, is_taken_back) = watch::channel(false);
        let signals = carry::Signals { is_taken_back, is_stopping: self.is_stopping.subscribe() };
        let (post, flying) = (Arc::clone(&self.post), run.clone());
        let id = self.flying.spawn(async move { post.carry(flying, signals).await }).id();
        self.aboard.insert(id, Aboard { run, take_back });
    }

    async fn land(&mut self, landed: Result<(Id, ()), tokio::task::JoinError>) {
        match landed {
            Ok((id, ())) => {
                self.aboard.remove(&id);
            }
            // What broke off has failed; that must be recorded, or it would be tried again at once
            // and for ever.
            Err(error) => {
                if let Some(aboard) = self.aboard.remove(&error.id()) {
                    self.post.panicked(&aboard.run).await;
                }
            }
        }
    }

    /// Tells runs under way that somebody took them back.
    async fn take_back(&self) {
        let ids: Vec<Uuid> = self.ids().collect();
        if ids.is_empty() {
            return;
        }
        // What cannot be read now shows when the run is settled.
        let taken_back = self.post.parts.runs.taken_back(ids).await.unwrap_or_default();
        for aboard in self.aboard.values().filter(|aboard| taken_back.contains(&aboard.run.id)) {
            aboard.take_back.send_replace(true);
        }
    }

    async fn renew(&mut self) {
        let Post { parts, settings, owner } = self.post.as_ref();
        let now = parts.clock.now();
        if now < self.renew_at {
            return;
        }
        let runs: Vec<Uuid> = self.ids().collect();
        if !runs.is_empty()
            && let Err(error) =
                parts.runs.renew(Arc::clone(owner), runs, now + settings.lease).await
        {
            parts.observer.store_refused(&error);
            self.renew_at = now + AFTER_REFUSAL;
            return;
        }
        self.renew_at = now + settings.lease / 3;
    }

    /// Lets end what is under way.
    async fn finish(mut self) {
        self.is_stopping.send_replace(true);
        let clock = Arc::clone(&self.post.parts.clock);
        let until = clock.now() + self.post.settings.grace;
        let mut too_late = pin!(clock.sleep_until(until));
        loop {
            tokio::select! {
                () = &mut too_late => break,
                landed = self.flying.join_next_with_id() => match landed {
                    Some(landed) => self.land(landed).await,
                    None => break,
                },
            }
        }
        self.flying.shutdown().await;
    }
}
