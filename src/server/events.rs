//! Domain events: the journal, what is recorded in it, and a dispatcher for each sink.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::traced::Traced;
use super::{StartError, stopped};
use crate::config;
use crate::event::dispatch::{DispatchObserver, Dispatcher, Ended, Schedule, Service, SystemClock};
use crate::event::journal::{Backlog, Journal, JournalError, Keep, SinkPlan, Start};
use crate::event::last_seen::LastSeen;
use crate::event::seen::SeenValues;
use crate::event::{DeliveryFailure, Message, Sink, sink};
use crate::proxy::{Readers, Recorder};
use crate::store::Store;
use crate::telemetry::{
    DeliveryFailed, EventDelivered, EventsRetired, SinkBacklog, SinkDisabled, SinkDoubt, Telemetry,
    WritesRecovered,
};

/// How often the journal is looked through for what may go.
const RETIRE_EVERY: Duration = Duration::from_secs(600);

/// Remembered values per record that is remembered in memory.
const STORED_PER_RECORD: u64 = 16;

/// What runs beside the street.
pub(super) struct Events {
    journal: Journal,
    seen: SeenValues,
    most_seen: u64,
    sinks: Vec<Arc<dyn Sink>>,
    joined: mpsc::UnboundedReceiver<Arc<dyn Sink>>,
    schedule: Schedule,
    keep: Keep,
    telemetry: Telemetry,
}

/// Takes in sinks while events are delivered.
pub(super) struct Joining {
    journal: Journal,
    readers: Readers,
    plans: Vec<SinkPlan>,
    tell: mpsc::UnboundedSender<Arc<dyn Sink>>,
}

impl Joining {
    /// From now on what this role sees of events is kept.
    pub(super) fn keep_view_of(&self, role: &str) {
        self.readers.add(role);
    }

    /// From now on events go to this sink too.
    pub(super) async fn join(&mut self, sink: Arc<dyn Sink>) -> Result<(), JournalError> {
        // Before the journal sends it anything: an event without its view would be a dead letter.
        self.readers.add(sink.role());
        self.plans.push(plan(sink.as_ref()));
        self.journal.configure_sinks(self.plans.clone(), OffsetDateTime::now_utc()).await?;
        // Without a receiver everything is at its end.
        let _ = self.tell.send(sink);
        Ok(())
    }
}

fn plan(sink: &dyn Sink) -> SinkPlan {
    SinkPlan { name: sink.name().to_owned(), role: sink.role().to_owned(), start: Start::Now }
}

impl Events {
    /// Opens the journal, and reports what an earlier process left open. `beside` are sinks that no
    /// configuration names.
    pub(super) async fn start(
        settings: config::Events,
        store: Store,
        beside: Vec<Arc<dyn Sink>>,
        telemetry: Telemetry,
    ) -> Result<(Self, Recorder, Joining), StartError> {
        let journal = Journal::new(store.clone(), &settings.source);
        let seen = SeenValues::new(store);
        let most_seen = settings.fields_cache as u64 * STORED_PER_RECORD;
        let keep = Keep {
            age: time::Duration::try_from(settings.retention_age).unwrap_or(time::Duration::MAX),
            bytes: settings.retention_size,
        };
        let schedule = Schedule { pauses: settings.retry.clone(), ..Schedule::default() };
        let readers = Readers::default();
        let recorder = Recorder {
            journal: journal.clone(),
            last_seen: LastSeen::new(seen.clone(), settings.fields_cache as u64),
            readers: readers.clone(),
            patience: settings.store_timeout,
            passes: settings.on_store_failure == config::OnStoreFailure::Pass,
        };
        let sinks = sink::build(settings).map_err(|error| {
            let mut message = error.to_string();
            let cause = std::error::Error::source(&error.cause);
            if let Some(cause) = cause {
                message = format!("{message}: {cause}");
            }
            message
        })?;
        let traced = |sink: Box<dyn Sink>| -> Arc<dyn Sink> {
            Arc::new(Traced { sink: Arc::from(sink), telemetry: telemetry.clone() })
        };
        let sinks: Vec<Arc<dyn Sink>> = sinks.into_iter().map(traced).chain(beside).collect();
        for sink in &sinks {
            readers.add(sink.role());
        }
        let plans: Vec<SinkPlan> = sinks.iter().map(|sink| plan(sink.as_ref())).collect();
        let cannot = |error: JournalError| format!("the journal cannot be used: {error}");
        let now = OffsetDateTime::now_utc();
        journal.configure_sinks(plans.clone(), now).await.map_err(cannot)?;
        let recovered = journal.recover(now).await.map_err(cannot)?;
        recorder.forget_all(&recovered);
        WritesRecovered { count: recovered.len() }.emit(&telemetry);
        let (tell, joined) = mpsc::unbounded_channel();
        let joining = Joining { journal: journal.clone(), readers, plans, tell };
        let events = Self { journal, seen, most_seen, sinks, joined, schedule, keep, telemetry };
        Ok((events, recorder, joining))
    }

    /// Delivers until it is to stop, and a little longer what is under way then.
    pub(super) async fn run(mut self, stopping: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for sink in &self.sinks {
            tasks.spawn(self.deliver_to(Arc::clone(sink), stopping.clone()));
        }
        let mut retire_at = tokio::time::interval(RETIRE_EVERY);
        let mut stop = std::pin::pin!(stopped(stopping.clone()));
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = retire_at.tick() => self.retire().await,
                Some(sink) = self.joined.recv() => {
                    tasks.spawn(self.deliver_to(sink, stopping.clone()));
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Brings events to one sink until it is to stop.
    fn deliver_to(
        &self,
        sink: Arc<dyn Sink>,
        stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = Ended> + use<> {
        let service = Service {
            parallel: sink.parallel(),
            schedule: self.schedule.clone(),
            ..Service::default()
        };
        let dispatcher = Dispatcher::new(
            self.journal.clone(),
            Arc::clone(&sink),
            service,
            Arc::new(SystemClock),
            Arc::new(Observer(self.telemetry.clone())),
        );
        let telemetry = self.telemetry.clone();
        async move {
            for doubt in sink.inspect().await {
                SinkDoubt { sink: sink.name(), doubt: doubt.to_string() }.emit(&telemetry);
            }
            dispatcher.run(stopped(stopping)).await
        }
    }

    async fn retire(&self) {
        // What cannot be removed now can be removed later; the store tells of its own faults.
        if let Ok(retired) = self.journal.retire(self.keep, OffsetDateTime::now_utc()).await {
            EventsRetired { events: retired.events as u64 }.emit(&self.telemetry);
        }
        let _ = self.seen.prune(self.most_seen).await;
    }
}

/// Tells what the dispatchers do.
#[derive(Debug)]
struct Observer(Telemetry);

impl DispatchObserver for Observer {
    fn delivered(&self, sink: &str, _message: &Message, _attempt: u32, lag: Duration) {
        EventDelivered { sink, lag }.emit(&self.0);
    }

    fn failed(
        &self,
        sink: &str,
        message: &Message,
        attempt: u32,
        reason: DeliveryFailure,
        _again: OffsetDateTime,
    ) {
        self.not_delivered(sink, message, attempt, reason, false);
    }

    fn dead(&self, sink: &str, message: &Message, attempt: u32, reason: DeliveryFailure) {
        self.not_delivered(sink, message, attempt, reason, true);
    }

    fn disabled(&self, sink: &str, _message: &Message) {
        SinkDisabled { sink }.emit(&self.0);
    }

    fn backlog(&self, sink: &str, backlog: &Backlog) {
        SinkBacklog { sink, waiting: backlog.waiting, dead: backlog.dead }.emit(&self.0);
    }

    fn journal_refused(&self, sink: &str, error: &JournalError) {
        // The text of a store's error names no value.
        SinkDoubt { sink, doubt: error.to_string() }.emit(&self.0);
    }
}

impl Observer {
    fn not_delivered(
        &self,
        sink: &str,
        message: &Message,
        attempt: u32,
        reason: DeliveryFailure,
        is_dead: bool,
    ) {
        DeliveryFailed {
            sink,
            event: &message.id.to_string(),
            correlation_id: &message.correlation_id,
            attempt,
            reason: &reason.name(),
            is_dead,
        }
        .emit(&self.0);
    }
}
