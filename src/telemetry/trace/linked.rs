//! Spans off the street: what happens later because of a request, linked to the request's span.
//!
//! A delivery is tried long after the request's trace has ended, perhaps on another day, so it is a
//! trace of its own; the link says what caused it. Attributes are those of the catalogue, and their
//! values must be configured names, ids and numbers.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use rand::Rng;

use super::super::Telemetry;
use super::super::catalogue::SPAN_ATTRIBUTES;
use super::super::exchange::Moment;
use super::Finished;
use super::spans::{context, scope, span_id};
use crate::correlation::{Propagation, TraceContext};

/// What is done off the street.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One attempt to deliver an event to a sink.
    Delivery,
    /// One action of a workflow.
    WorkflowAction,
}

impl Work {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 2] = [Self::Delivery, Self::WorkflowAction];

    /// The name of its span.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivery => "deliver",
            Self::WorkflowAction => "workflow_action",
        }
    }

    /// What its span says.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Delivery => {
                "One attempt to deliver an event, linked to the request that it stands for."
            }
            Self::WorkflowAction => {
                "One action of a workflow, linked to the request whose event began it."
            }
        }
    }

    /// Its kind, as the specification names it.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Delivery => "producer",
            Self::WorkflowAction => "internal",
        }
    }
}

/// One span off the street. Begun, filled and ended by whoever does the work; told by
/// [`emit`](Self::emit).
#[derive(Debug)]
pub struct LinkedSpan {
    work: Work,
    trace: TraceContext,
    cause: Option<TraceContext>,
    begun: Moment,
    ended: Moment,
    error: Option<Cow<'static, str>>,
    attributes: Vec<KeyValue>,
}

impl LinkedSpan {
    /// Begins a span. `cause` is the `traceparent` that was kept of the request. What is called in
    /// the span is told to keep its trace where that of the cause was kept; where nothing caused it,
    /// the share decides.
    #[must_use]
    pub fn begin(
        work: Work,
        cause: Option<&str>,
        propagation: Propagation,
        now: Moment,
        random: &mut impl Rng,
    ) -> Self {
        let cause = cause.and_then(TraceContext::of_traceparent);
        Self {
            work,
            trace: propagation.begin(cause.as_ref(), random),
            cause,
            begun: now,
            ended: now,
            error: None,
            attributes: Vec::new(),
        }
    }

    /// The value of `traceparent` for a call made in this span.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.trace.traceparent()
    }

    /// Adds what it was about. A name that the catalogue does not have is left out, so that nothing
    /// is sent that nobody can look up.
    pub fn attribute(&mut self, name: &'static str, value: impl Into<Value>) {
        let is_told = SPAN_ATTRIBUTES.iter().any(|(told, spans, _)| {
            *told == name && spans.split(", ").any(|span| span == self.work.name())
        });
        if is_told {
            self.attributes.push(KeyValue::new(name, value));
        }
    }

    /// It failed, for a reason of a closed list.
    pub fn fail(&mut self, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        self.attribute("error.type", reason.clone().into_owned());
        self.error = Some(reason);
    }

    /// Ends it and tells it, if it is worth keeping: the request's trace was, or it belongs to the
    /// share, it failed, or it was slow.
    pub fn emit(mut self, now: Moment, telemetry: &Telemetry) {
        self.ended = now;
        let Some(tracer) = &telemetry.inner.tracer else { return };
        if tracer.keeps_linked(&self) {
            tracer.push(Finished::Linked(Box::new(self)));
        }
    }

    pub(super) fn duration(&self) -> Duration {
        self.ended.monotonic.saturating_duration_since(self.begun.monotonic)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.error.is_some() || self.trace.is_sampled()
    }

    pub(super) fn finish(self) -> SpanData {
        let start = std::time::SystemTime::from(self.begun.wall);
        let links = self.cause.as_ref().map(|cause| {
            let cause = SpanContext::new(
                TraceId::from_bytes(cause.trace_id().to_bytes()),
                span_id(Some(cause.span_id())),
                TraceFlags::new(u8::from(cause.is_sampled())),
                true,
                TraceState::NONE,
            );
            Link::new(cause, Vec::new(), 0)
        });
        let mut all = SpanLinks::default();
        all.links.extend(links);
        SpanData {
            span_context: context(&self.trace, self.trace.span_id()),
            parent_span_id: span_id(None),
            parent_span_is_remote: false,
            span_kind: match self.work {
                Work::Delivery => SpanKind::Producer,
                Work::WorkflowAction => SpanKind::Internal,
            },
            name: self.work.name().into(),
            start_time: start,
            end_time: start + self.duration(),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: all,
            status: self.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: scope(),
        }
    }
}
