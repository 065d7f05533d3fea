//! Tells what happened: one record per exchange, one struct per happening off the street.
//!
//! Log lines and metrics are made from these here and nowhere else; the other rooms fill records
//! and never log or count by themselves. What it refuses: to make the street wait (lines that do
//! not fit are dropped and counted), to make a metric series from input, and to write a text that
//! a library made from traffic.

mod access_line;
mod application;
pub mod catalogue;
mod exchange;
mod happening;
mod label;
mod memory;
mod metrics;
mod note;
mod process;
mod queue;
mod refusal;
mod render;
mod writer;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Level;

pub use self::application::InstallError;
pub use self::exchange::{Exchange, Moment, Written};
pub use self::happening::{
    Draining, ListenerStarted, PolicyReloadFailed, PolicyReloaded, Purpose, Stopped, WriteReported,
};
pub use self::label::{Method, StatusClass};
pub use self::memory::MemoryLog;
pub use self::refusal::Refusal;

use self::application::RateLimit;
use self::exchange::InFlight;
use self::metrics::Metrics;
use self::note::Note;
use self::writer::{Base, Entry, Lines};
use crate::config::{LogLevel, Telemetry as Settings};

/// The one handle to all telling. Clones share everything.
#[derive(Debug, Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    metrics: Arc<Metrics>,
    lines: Arc<Lines>,
    level: Level,
    library_lines: RateLimit,
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
}

impl Telemetry {
    /// Starts the thread that writes lines to `output`. It ends after the last clone is dropped.
    pub fn start(settings: &Settings, output: Box<dyn Write + Send>) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new()?);
        let base =
            Base { service: settings.service.clone(), environment: settings.environment.clone() };
        let lines = writer::start(output, settings.log_format, base, Arc::clone(&metrics))?;
        let level = match settings.log_level {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
        };
        let library_lines = RateLimit::default();
        Ok(Self { inner: Arc::new(Inner { metrics, lines, level, library_lines }) })
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
        self.inner.metrics.observe(&exchange);
        self.push(Entry::Access(Box::new(exchange)));
    }

    /// The metrics in Prometheus' text format, version 0.0.4.
    pub fn scrape(&self) -> Result<String, prometheus::Error> {
        self.inner.metrics.render()
    }

    /// Waits until everything told so far is written; `false` if that took longer than `limit`,
    /// about which a process that ends can do nothing.
    #[expect(clippy::must_use_candidate, reason = "at the end of the process nobody can act on it")]
    pub fn flush(&self, limit: Duration) -> bool {
        self.inner.lines.flush(limit)
    }

    /// Queues a line of the application log, if its level is wanted.
    fn note(&self, note: Note) {
        if note.level() <= self.inner.level {
            self.push(Entry::Note(Box::new(note)));
        }
    }

    fn push(&self, entry: Entry) {
        writer::push(&self.inner.lines, entry, &self.inner.metrics);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.lines.close();
    }
}

#[cfg(test)]
mod tests;
