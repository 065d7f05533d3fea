//! Spans: made from the records of exchanges that are worth keeping, and sent to a collector.
//!
//! What is kept is decided at the end of a request, from its record: until then a request pays for
//! a few time stamps and nothing else. It refuses to make the street wait: what does not fit into
//! the queue is dropped and counted, whatever the collector does.

mod client;
mod exporter;
mod linked;
mod spans;

use std::sync::Arc;
use std::time::Duration;

pub use self::exporter::TracesError;
pub use self::linked::{LinkedSpan, Work};

use self::exporter::Tell;
use super::exchange::Exchange;
use super::metrics::Metrics;
use super::queue::Queue;
use super::writer::Base;
use crate::config::Traces as Settings;

/// How long the exporter lets spans gather before it sends them.
const LINGER: Duration = Duration::from_millis(500);

/// Something to make spans of.
#[derive(Debug)]
pub(super) enum Finished {
    Exchange(Arc<Exchange>),
    Linked(Box<LinkedSpan>),
}

impl Finished {
    /// How many spans it will be.
    fn spans(&self) -> u64 {
        match self {
            Self::Exchange(exchange) => spans::count(exchange),
            Self::Linked(_) => 1,
        }
    }
}

/// Keeps or drops, and hands on what is kept.
#[derive(Debug)]
pub(super) struct Tracer {
    slow: Duration,
    queue: Arc<Queue<Finished>>,
    metrics: Arc<Metrics>,
}

impl Tracer {
    /// Starts the thread that sends; it ends when the tracer is closed and everything was tried.
    pub(super) fn start(
        settings: &Settings,
        base: Base,
        metrics: &Arc<Metrics>,
        tell: Tell,
    ) -> Result<Self, TracesError> {
        let queue = Arc::new(Queue::new(settings.queue, LINGER));
        exporter::start(settings, base, Arc::clone(&queue), Arc::clone(metrics), tell)?;
        Ok(Self { slow: settings.slow, queue, metrics: Arc::clone(metrics) })
    }

    /// Whether the spans of an exchange are worth sending: the client or the share wants its
    /// trace, or somebody will want to know what went wrong or took so long.
    pub(super) fn keeps(&self, exchange: &Exchange) -> bool {
        exchange.trace.as_ref().is_some_and(|trace| {
            trace.is_sampled() || exchange.is_error() || exchange.latency() > self.slow
        })
    }

    /// [`keeps`](Self::keeps) for a span off the street.
    pub(super) fn keeps_linked(&self, span: &LinkedSpan) -> bool {
        span.is_wanted() || span.duration() > self.slow
    }

    /// Queues it, or counts it as dropped.
    pub(super) fn push(&self, finished: Finished) {
        if let Err(finished) = self.queue.push(finished) {
            self.metrics.spans_dropped.inc_by(finished.spans());
        }
    }

    pub(super) fn queue(&self) -> &Arc<Queue<Finished>> {
        &self.queue
    }
}

#[cfg(test)]
mod tests;
