//! Happenings around domain events: recorded, delivered, failed, dead. Names of sinks and types of
//! events come from the configuration and the policies, so they may be labels.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};
use tracing::Level;

use super::Telemetry;
use super::happening::note;

/// The metrics of this file.
#[derive(Debug)]
pub(super) struct EventMetrics {
    pub(super) recorded: IntCounterVec,
    pub(super) observed: IntCounterVec,
    pub(super) left_out: IntCounter,
    pub(super) unrecorded: IntCounterVec,
    pub(super) deliveries: IntCounterVec,
    pub(super) lag: HistogramVec,
    pub(super) backlog: IntGaugeVec,
    pub(super) dead: IntGaugeVec,
}

/// When a watched write is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMoment {
    /// Before it is forwarded.
    Intent,
    /// Before its answer is passed on.
    Outcome,
}

impl WriteMoment {
    /// Both, in the order in which they come.
    pub const ALL: [Self; 2] = [Self::Intent, Self::Outcome];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
        }
    }
}

/// A watched write went on without being recorded.
#[derive(Debug, Clone, Copy)]
pub struct WriteUnrecorded {
    /// What could not be recorded.
    pub moment: WriteMoment,
}

impl WriteUnrecorded {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let name = self.moment.name();
        telemetry.inner.metrics.events.unrecorded.with_label_values(&[name]).inc();
        telemetry.note(note(Level::ERROR, "a write could not be recorded").with("moment", name));
    }
}

/// What became of a watched write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It has happened.
    Answered,
    /// The CRM refused it.
    Refused,
    /// Nobody knows.
    Unknown,
    /// The CRM never got it.
    NotForwarded,
}

impl WriteOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Refused, Self::Unknown, Self::NotForwarded];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::NotForwarded => "not_forwarded",
        }
    }
}

/// A watched write is over.
#[derive(Debug, Clone, Copy)]
pub struct WriteObserved<'a> {
    /// What became of it.
    pub outcome: WriteOutcome,
    /// The object type.
    pub resource: &'a str,
    /// The id that the request carries everywhere.
    pub correlation_id: &'a str,
}

impl WriteObserved<'_> {
    /// Counts it; one whose outcome nobody knows is somebody's work, so it is told of as well.
    pub fn emit(&self, telemetry: &Telemetry) {
        let name = self.outcome.name();
        telemetry.inner.metrics.events.observed.with_label_values(&[name]).inc();
        if self.outcome == WriteOutcome::Unknown {
            telemetry.note(
                note(Level::WARN, "the outcome of a write is not known")
                    .with("resource", self.resource)
                    .with("correlation_id", self.correlation_id),
            );
        }
    }
}

/// Records of the answer to a watched write have no event, because there were too many.
#[derive(Debug, Clone, Copy)]
pub struct RecordsLeftOut<'a> {
    /// How many.
    pub records: u64,
    /// The object type.
    pub resource: &'a str,
    /// The id that the request carries everywhere.
    pub correlation_id: &'a str,
}

impl RecordsLeftOut<'_> {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        if self.records == 0 {
            return;
        }
        telemetry.inner.metrics.events.left_out.inc_by(self.records);
        telemetry.note(
            note(Level::WARN, "an answer has more records than are looked at")
                .with("records", self.records)
                .with("resource", self.resource)
                .with("correlation_id", self.correlation_id),
        );
    }
}

/// Events are in the journal.
#[derive(Debug, Clone)]
pub struct EventsRecorded<'a> {
    /// Their types.
    pub types: Vec<&'a str>,
}

impl EventsRecorded<'_> {
    /// Counts them.
    pub fn emit(&self, telemetry: &Telemetry) {
        for event_type in &self.types {
            telemetry.inner.metrics.events.recorded.with_label_values(&[*event_type]).inc();
        }
    }
}

/// Writes of an earlier process whose outcome nobody knows were found and reported as events.
#[derive(Debug, Clone, Copy)]
pub struct WritesRecovered {
    /// How many.
    pub count: usize,
}

impl WritesRecovered {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        if self.count == 0 {
            return;
        }
        let recorded = &telemetry.inner.metrics.events.recorded;
        recorded.with_label_values(&["write.outcome_unknown"]).inc_by(self.count as u64);
        let observed = &telemetry.inner.metrics.events.observed;
        observed.with_label_values(&[WriteOutcome::Unknown.name()]).inc_by(self.count as u64);
        let message = "writes were under way when the process ended; their outcome is not known";
        telemetry.note(note(Level::WARN, message).with("writes", self.count));
    }
}

/// A sink has taken an event.
#[derive(Debug, Clone, Copy)]
pub struct EventDelivered<'a> {
    /// The sink.
    pub sink: &'a str,
    /// How long after it happened.
    pub lag: Duration,
}

impl EventDelivered<'_> {
    /// Counts it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics.events;
        metrics.deliveries.with_label_values(&[self.sink, "delivered"]).inc();
        metrics.lag.with_label_values(&[self.sink]).observe(self.lag.as_secs_f64());
    }
}

/// A sink has not taken an event.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryFailed<'a> {
    /// The sink.
    pub sink: &'a str,
    /// The event's id.
    pub event: &'a str,
    /// The id of the request that it came from.
    pub correlation_id: &'a str,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Why, from a closed list.
    pub reason: &'a str,
    /// Whether it was the last: the event is a dead letter now.
    pub is_dead: bool,
}

impl DeliveryFailed<'_> {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics.events;
        let (outcome, level, message) = if self.is_dead {
            ("dead", Level::ERROR, "an event is a dead letter")
        } else {
            ("failed", Level::WARN, "an event was not delivered and waits for its next attempt")
        };
        metrics.deliveries.with_label_values(&[self.sink, outcome]).inc();
        telemetry.note(
            note(level, message)
                .with("sink", self.sink)
                .with("event_id", self.event)
                .with("correlation_id", self.correlation_id)
                .with("attempt", i64::from(self.attempt))
                .with("reason", self.reason),
        );
    }
}

/// A receiver wants no more events: its sink is off until the next start.
#[derive(Debug, Clone, Copy)]
pub struct SinkDisabled<'a> {
    /// The sink.
    pub sink: &'a str,
}

impl SinkDisabled<'_> {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics.events;
        metrics.deliveries.with_label_values(&[self.sink, "disabled"]).inc();
        let message = "the receiver wants no more events; they wait until the next start";
        telemetry.note(note(Level::ERROR, message).with("sink", self.sink));
    }
}

/// Something about a sink that its operator should know.
#[derive(Debug, Clone)]
pub struct SinkDoubt<'a> {
    /// The sink.
    pub sink: &'a str,
    /// What it is, in a sentence.
    pub doubt: String,
}

impl SinkDoubt<'_> {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.note(
            note(Level::WARN, "a sink promises less than it could")
                .with("sink", self.sink)
                .with("doubt", self.doubt.as_str()),
        );
    }
}

/// What a sink has still to take.
#[derive(Debug, Clone, Copy)]
pub struct SinkBacklog<'a> {
    /// The sink.
    pub sink: &'a str,
    /// Events that wait.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
}

impl SinkBacklog<'_> {
    /// Shows it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics.events;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.backlog.with_label_values(&[self.sink]).set(number(self.waiting));
        metrics.dead.with_label_values(&[self.sink]).set(number(self.dead));
    }
}

/// Old events were removed from the journal.
#[derive(Debug, Clone, Copy)]
pub struct EventsRetired {
    /// How many.
    pub events: u64,
}

impl EventsRetired {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        if self.events > 0 {
            let note = note(Level::INFO, "old delivered events were removed from the journal");
            telemetry.note(note.with("events", i64::try_from(self.events).unwrap_or(i64::MAX)));
        }
    }
}
