//! Tells what happened: one record per exchange, one struct per happening off the street.
//!
//! Log lines, metrics and spans are made from these here and nowhere else; the other rooms fill records
//! and never log or count by themselves. What it refuses: to make the street wait (lines that do
//! not fit are dropped and counted), to make a metric series from input, and to write a text that
//! a library made from traffic.

mod access_line;
mod application;
pub mod catalogue;
mod depth;
mod events;
mod exchange;
mod exemplar;
mod happening;
mod label;
mod level;
mod memory;
mod metrics;
mod note;
mod open_metrics;
mod process;
mod queue;
mod refusal;
mod render;
mod repeats;
mod scores;
mod stage;
mod touched;
mod trace;
mod workflows;
mod writer;

use std::io::{self, Write};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub use self::application::InstallError;
pub use self::depth::Waiting;
pub use self::events::{
    DeliveryFailed, EventDelivered, EventsRecorded, EventsRetired, RecordsLeftOut, SinkBacklog,
    SinkDisabled, SinkDoubt, WriteMoment, WriteObserved, WriteOutcome, WriteUnrecorded,
    WritesRecovered,
};
pub use self::exchange::{Exchange, Moment, Written};
pub use self::happening::{
    AuditCheckpoint, AuditDamaged, AuditDropped, AuditStopped, AuditWorksAgain, AuditWritten,
    Draining, IdentityAsked, ListenerStarted, LogLevelChanged, PolicyReloadFailed, PolicyReloaded,
    Purpose, RevealAsked, RevealOutcome, SpansLost, SpansTakenAgain, Stopped, StoreCommitted,
    StoreFailed, StoreHealth, TokenMapChanged, TokenMapOutcome, WriteReported,
};
pub use self::label::{HttpVersion, Method, StatusClass};
pub use self::memory::MemoryLog;
pub use self::refusal::Refusal;
pub use self::scores::{
    LeadsOfCompany, LeadsScored, RefreshStep, ScoreLookedUp, ScoreRefresh, ScoresDropped,
    ScoresRefreshed,
};
pub use self::stage::{Interval, Stage};
pub use self::touched::{Act, FieldRule, Touched, rule_name};
pub use self::trace::{LinkedSpan, TracesError, Work};
pub use self::workflows::{
    ActionAttempted, ActionOutcome, RunEnded, RunTakenBack, RunsRecovered, RunsRefused,
    RunsRetired, RunsStanding,
};

use self::application::RateLimit;
use self::exchange::InFlight;
use self::level::LevelSwitch;
use self::metrics::Metrics;
use self::note::Note;
use self::queue::Queue;
use self::repeats::Repeats;
use self::trace::{Finished, Tracer};
use self::writer::{Base, Entry, Lines};
use crate::config::{LogLevel, Telemetry as Settings, TraceHeaders};
use crate::correlation::{Propagation, Share};

/// The one handle to all telling. Clones share everything.
#[derive(Debug, Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    metrics: Arc<Metrics>,
    lines: Arc<Lines>,
    level: LevelSwitch,
    repeats: Repeats,
    library_lines: RateLimit,
    tracer: Option<Tracer>,
    propagation: Propagation,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalogue contradicts itself.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// No thread for writing lines.
    #[error("the thread that writes the log cannot be started")]
    Thread(#[from] io::Error),
    /// Spans cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

impl Telemetry {
    /// Starts the thread that writes lines to `output`, and the one that sends spans where the
    /// settings name a collector. They end after the last clone is dropped.
    pub fn start(settings: &Settings, output: Box<dyn Write + Send>) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new()?);
        let base =
            Base { service: settings.service.clone(), environment: settings.environment.clone() };
        let lines = writer::start(output, settings.log_format, base.clone(), Arc::clone(&metrics))?;
        let share = settings.traces.as_ref().map_or(Share::ALL, |traces| {
            // The configuration has refused whatever is no share.
            Share::new(traces.share).unwrap_or(Share::ALL)
        });
        let propagation = Propagation { b3: settings.trace_headers == TraceHeaders::B3, share };
        let tracer = |telemetry: &Weak<Inner>| -> Result<Option<Tracer>, TracesError> {
            let Some(traces) = &settings.traces else { return Ok(None) };
            let telemetry = Weak::clone(telemetry);
            let endpoint = traces.endpoint.to_string();
            let tell = Box::new(move |failure| {
                let Some(inner) = telemetry.upgrade() else { return };
                tell_of_spans(&Self { inner }, &endpoint, failure);
            });
            Tracer::start(traces, base, &metrics, tell).map(Some)
        };
        // The exporter's thread tells through the handle, which is not there before the thread.
        let mut failed = None;
        let inner = Arc::new_cyclic(|telemetry| Inner {
            tracer: tracer(telemetry).unwrap_or_else(|error| {
                failed = Some(error);
                None
            }),
            metrics: Arc::clone(&metrics),
            lines: Arc::clone(&lines),
            level: LevelSwitch::new(settings.log_level),
            repeats: Repeats::default(),
            library_lines: RateLimit::default(),
            propagation,
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        let telemetry = Self { inner };
        telemetry.watch(Waiting::Log, &lines);
        if let Some(tracer) = &telemetry.inner.tracer {
            telemetry.watch(Waiting::Spans, tracer.queue());
        }
        Ok(telemetry)
    }

    /// How traces are taken over from clients and begun.
    #[must_use]
    pub fn propagation(&self) -> Propagation {
        self.inner.propagation
    }

    /// Begins the record of a request. It counts as under way until it is accounted or dropped.
    #[must_use]
    pub fn begin(&self, method: &http::Method, now: Moment) -> Exchange {
        let in_flight = InFlight::enter(&self.inner.metrics.active_requests);
        Exchange::begin(Method::of(method), now, in_flight)
    }

    /// Ends an exchange now: metrics are counted, the log line is queued. Never waits.
    pub fn account(&self, exchange: Exchange) {
        self.account_at(exchange, Instant::now());
    }

    /// [`account`](Self::account) at a given time.
    pub fn account_at(&self, mut exchange: Exchange, now: Instant) {
        exchange.end(now);
        let tracer = self.inner.tracer.as_ref().filter(|tracer| tracer.keeps(&exchange));
        self.inner.metrics.observe(&exchange, tracer.is_some());
        let exchange = Arc::new(exchange);
        if let Some(tracer) = tracer {
            tracer.push(Finished::Exchange(Arc::clone(&exchange)));
        }
        self.push(Entry::Access(exchange));
    }

    /// The metrics in Prometheus' text format, version 0.0.4.
    pub fn scrape(&self) -> Result<String, prometheus::Error> {
        self.inner.metrics.render()
    }

    /// The metrics in the `OpenMetrics` text format, version 1.0.0, with exemplars.
    #[must_use]
    pub fn scrape_open(&self) -> String {
        self.inner.metrics.render_open()
    }

    /// Shows how full a queue is, asked at every scrape: entries that wait and entries that may
    /// wait, `None` once the queue is gone.
    pub fn watch_depth(
        &self,
        queue: Waiting,
        measure: impl Fn() -> Option<(usize, usize)> + Send + Sync + 'static,
    ) {
        self.inner.metrics.depths.watch(queue, Box::new(measure));
    }

    fn watch<T: Send + 'static>(&self, name: Waiting, queue: &Arc<Queue<T>>) {
        let queue = Arc::downgrade(queue);
        self.watch_depth(name, move || {
            let queue = queue.upgrade()?;
            Some((queue.len(), queue.capacity()))
        });
    }

    /// The level of the application log.
    #[must_use]
    pub fn log_level(&self) -> LogLevel {
        self.inner.level.get()
    }

    /// Changes the level of the application log from now on.
    pub fn set_log_level(&self, level: LogLevel) {
        let before = self.inner.level.set(level);
        // What `tracing` has decided of every place that speaks hangs on the level.
        tracing::callsite::rebuild_interest_cache();
        LogLevelChanged { before, now: level }.emit(self);
    }

    /// Waits until everything told so far is written and spans are sent; `false` if that took
    /// longer than `limit`, about which a process that ends can do nothing.
    #[expect(clippy::must_use_candidate, reason = "at the end of the process nobody can act on it")]
    pub fn flush(&self, limit: Duration) -> bool {
        let began = Instant::now();
        let left = || limit.saturating_sub(began.elapsed());
        let tracer = self.inner.tracer.as_ref();
        let is_sent = tracer.is_none_or(|tracer| tracer.queue().flush(left()));
        // Last, for it may have to tell of spans that were lost. It gets its time in any case.
        self.inner.lines.flush(left().max(limit / 2)) && is_sent
    }

    /// Queues a line of the application log, if its level is wanted. Of warnings and errors that
    /// repeat, most are withheld.
    fn note(&self, mut note: Note) {
        if !self.inner.level.wants(note.level()) {
            return;
        }
        if note.level() <= tracing::Level::WARN {
            match self.inner.repeats.admit(note.target(), note.message(), Instant::now()) {
                None => {
                    self.inner.metrics.application_log_withheld.inc();
                    return;
                }
                Some(0) => {}
                Some(withheld) => note = note.with("withheld", withheld),
            }
        }
        self.push(Entry::Note(Box::new(note)));
    }

    fn push(&self, entry: Entry) {
        writer::push(&self.inner.lines, entry, &self.inner.metrics);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.lines.close();
        if let Some(tracer) = &self.tracer {
            tracer.queue().close();
        }
    }
}

fn tell_of_spans(telemetry: &Telemetry, endpoint: &str, failure: Option<&'static str>) {
    match failure {
        Some(reason) => SpansLost { endpoint: endpoint.to_owned(), reason }.emit(telemetry),
        None => SpansTakenAgain { endpoint: endpoint.to_owned() }.emit(telemetry),
    }
}

#[cfg(test)]
mod tests;
