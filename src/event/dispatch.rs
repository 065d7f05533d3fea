//! Brings the events of the journal to one sink.
//!
//! Each sink has a dispatcher of its own, so that a slow or dead one holds back no other. It keeps a
//! few attempts in flight, never two of one subject; what fails waits for its time in the journal,
//! and with it the later events of its subject, but nobody else's. After the last attempt an event
//! is a dead letter: it stays in the journal, and its subject goes on.
//!
//! At least once: a crash between the sink's yes and its record brings the event again, with the
//! same id. It sleeps until there is something to do.

mod clock;
mod observer;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::task::{Id, JoinError, JoinSet};

use super::journal::{Due, Journal, JournalError};
use super::{Delivered, DeliveryFailure, Message, Sink};
use crate::fail_point;
use crate::store::StoreError;

pub use self::clock::{Clock, SystemClock};
pub use self::observer::DispatchObserver;
pub use self::schedule::Schedule;

/// Pause after the journal refused something.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// The backlog is counted no more often than this.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Messages that are read ahead, for each attempt that may be in flight.
const READ_AHEAD: usize = 4;

/// How one sink is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Attempts in flight at once, at least one.
    pub parallel: usize,
    /// When a failed attempt is made again.
    pub schedule: Schedule,
    /// How long attempts in flight may go on when it is to stop.
    pub grace: Duration,
}

impl Default for Service {
    fn default() -> Self {
        Self { parallel: 8, schedule: Schedule::default(), grace: Duration::from_secs(20) }
    }
}

/// Why a dispatcher has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to, or the store was closed.
    Stopped,
    /// The receiver wants no more events. They wait in the journal for the next start.
    Disabled,
}

/// Brings events to one sink.
#[derive(Debug)]
pub struct Dispatcher {
    post: Arc<Post>,
    grace: Duration,
    parallel: usize,
    /// Due, and not begun.
    ready: VecDeque<Arc<Due>>,
    flying: JoinSet<Landed>,
    aboard: HashMap<Id, Arc<Due>>,
    /// When to look into the journal again, if nothing happens before.
    look_at: Option<OffsetDateTime>,
    counted_at: Option<OffsetDateTime>,
    is_disabled: bool,
}

/// What an attempt needs.
#[derive(Debug)]
struct Post {
    journal: Journal,
    sink: Arc<dyn Sink>,
    schedule: Schedule,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn DispatchObserver>,
}

/// How an attempt ended for the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Landed {
    Recorded,
    /// The receiver wants no more.
    Disabled,
    /// The store is closed: the attempt is not recorded, and will be made again.
    StoreClosed,
}

impl Dispatcher {
    /// A dispatcher for one sink, which the journal must have been told of.
    pub fn new(
        journal: Journal,
        sink: Arc<dyn Sink>,
        service: Service,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn DispatchObserver>,
    ) -> Self {
        let Service { parallel, schedule, grace } = service;
        Self {
            post: Arc::new(Post { journal, sink, schedule, clock, observer }),
            grace,
            parallel: parallel.max(1),
            ready: VecDeque::new(),
            flying: JoinSet::new(),
            aboard: HashMap::new(),
            look_at: None,
            counted_at: None,
            is_disabled: false,
        }
    }

    /// Delivers until `stop` resolves or the receiver wants no more. What is in flight then may
    /// still land for a while.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Ended {
        let mut stop = pin!(stop);
        let post = Arc::clone(&self.post);
        let mut occasions = post.journal.occasions();
        let mut foreign = post.journal.store().foreign_writes();
        // Every round follows something that may have made a delivery due.
        loop {
            if self.ready.is_empty() && self.aboard.len() < self.parallel {
                // Before the look, so that what comes during it is not missed.
                occasions.mark_unchanged();
                foreign.mark_unchanged();
                self.look().await;
            }
            self.begin();
            let waiting_until = self.look_at.filter(|_| self.aboard.len() < self.parallel);
            let landed = tokio::select! {
                () = &mut stop => break,
                Some(landed) = self.flying.join_next_with_id() => landed,
                Ok(()) = occasions.changed() => continue,
                written = foreign.changed() => match written {
                    Ok(()) => continue,
                    // The store is closed.
                    Err(_) => break,
                },
                () = sleep_until(post.clock.as_ref(), waiting_until) => {
                    self.look_at = None;
                    continue;
                }
            };
            match self.land(landed) {
                Landed::Recorded => {}
                Landed::Disabled => {
                    self.is_disabled = true;
                    break;
                }
                Landed::StoreClosed => break,
            }
        }
        self.finish().await
    }

    /// Reads what is due, and when to look again.
    async fn look(&mut self) {
        let post = Arc::clone(&self.post);
        let now = post.clock.now();
        let limit = self.parallel * READ_AHEAD + self.aboard.len();
        match post.journal.agenda(post.sink.name(), limit, now).await {
            Ok(agenda) => {
                let is_aboard =
                    |due: &Due| self.aboard.values().any(|aboard| aboard.position == due.position);
                let ready = agenda.due.into_iter().filter(|due| !is_aboard(due)).map(Arc::new);
                self.ready = ready.collect();
                self.look_at = agenda.next;
                self.count(now).await;
            }
            Err(error) => {
                post.observer.journal_refused(post.sink.name(), &error);
                self.look_at = Some(now + AFTER_REFUSAL);
            }
        }
    }

    /// Tells what is still to come, but not for every event of many.
    async fn count(&mut self, now: OffsetDateTime) {
        let next = self.counted_at.map(|counted| counted + COUNT_EVERY);
        if let Some(next) = next.filter(|next| *next > now) {
            self.look_at = Some(self.look_at.map_or(next, |look_at| look_at.min(next)));
            return;
        }
        let name = self.post.sink.name();
        match self.post.journal.backlog(name).await {
            Ok(backlog) => self.post.observer.backlog(name, &backlog),
            Err(error) => self.post.observer.journal_refused(name, &error),
        }
        self.counted_at = Some(now);
    }

    /// Begins what is ready, as far as there is room.
    fn begin(&mut self) {
        while self.aboard.len() < self.parallel
            && let Some(due) = self.ready.pop_front()
        {
            let post = Arc::clone(&self.post);
            let flying = Arc::clone(&due);
            let id = self.flying.spawn(async move { post.deliver(&flying).await }).id();
            self.aboard.insert(id, due);
        }
    }

    fn land(&mut self, landed: Result<(Id, Landed), JoinError>) -> Landed {
        match landed {
            Ok((id, landed)) => {
                self.aboard.remove(&id);
                landed
            }
            Err(error) => {
                // A sink that panicked has failed like any other; that must be recorded, or it
                // would be tried again at once and for ever.
                if let Some(due) = self.aboard.remove(&error.id()) {
                    let (post, flying) = (Arc::clone(&self.post), Arc::clone(&due));
                    let failed =
                        Delivered::Failed { reason: DeliveryFailure::Broken, retry_after: None };
                    let record = async move { post.record(&flying, failed).await };
                    let id = self.flying.spawn(record).id();
                    self.aboard.insert(id, due);
                }
                Landed::Recorded
            }
        }
    }

    /// Lets land what is in flight.
    async fn finish(mut self) -> Ended {
        let post = Arc::clone(&self.post);
        let until = post.clock.now() + self.grace;
        let mut too_late = pin!(sleep_until(post.clock.as_ref(), Some(until)));
        loop {
            let landed = tokio::select! {
                () = &mut too_late => break,
                landed = self.flying.join_next_with_id() => landed,
            };
            let Some(landed) = landed else { break };
            if self.land(landed) == Landed::Disabled {
                self.is_disabled = true;
            }
        }
        self.flying.shutdown().await;
        if self.is_disabled { Ended::Disabled } else { Ended::Stopped }
    }
}

impl Post {
    async fn deliver(&self, due: &Due) -> Landed {
        let delivered = self.sink.deliver(&due.message, due.attempts + 1).await;
        fail_point::pass("after_delivery");
        self.record(due, delivered).await
    }

    /// Records how an attempt ended, however long the journal refuses: made again instead, a
    /// receiver would get the event again.
    async fn record(&self, due: &Due, delivered: Delivered) -> Landed {
        let (sink, position, attempt) = (self.sink.name(), due.position, due.attempts + 1);
        let again = match &delivered {
            Delivered::Accepted | Delivered::Disabled => None,
            Delivered::Failed { retry_after, .. } => self
                .schedule
                .after(attempt, *retry_after, self.clock.chance())
                .map(|delay| self.clock.now() + delay),
        };
        loop {
            let now = self.clock.now();
            let recorded = match (&delivered, again) {
                (Delivered::Accepted, _) => self.journal.accepted(sink, position, now).await,
                (Delivered::Failed { reason, .. }, Some(again)) => {
                    self.journal.failed(sink, position, now, *reason, again).await
                }
                (Delivered::Failed { reason, .. }, None) => {
                    self.journal.dead(sink, position, now, *reason).await
                }
                (Delivered::Disabled, _) => self.journal.disabled(sink, position, now).await,
            };
            match recorded {
                Ok(()) => break,
                Err(JournalError::Store(StoreError::Stopped)) => return Landed::StoreClosed,
                Err(error) => self.observer.journal_refused(sink, &error),
            }
            self.clock.sleep_until(now + AFTER_REFUSAL).await;
        }
        self.tell(&due.message, attempt, &delivered, again);
        if delivered == Delivered::Disabled { Landed::Disabled } else { Landed::Recorded }
    }

    fn tell(
        &self,
        message: &Message,
        attempt: u32,
        delivered: &Delivered,
        again: Option<OffsetDateTime>,
    ) {
        let (sink, observer) = (self.sink.name(), &self.observer);
        match (delivered, again) {
            (Delivered::Accepted, _) => {
                let lag = Duration::try_from(self.clock.now() - message.time).unwrap_or_default();
                observer.delivered(sink, message, attempt, lag);
            }
            (Delivered::Failed { reason, .. }, Some(again)) => {
                observer.failed(sink, message, attempt, *reason, again);
            }
            (Delivered::Failed { reason, .. }, None) => {
                observer.dead(sink, message, attempt, *reason);
            }
            (Delivered::Disabled, _) => observer.disabled(sink, message),
        }
    }
}

async fn sleep_until(clock: &dyn Clock, until: Option<OffsetDateTime>) {
    match until {
        Some(until) => clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}
