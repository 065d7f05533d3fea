//! What the gate remembers of one request. Nothing of it outlives the request.

use http::HeaderMap;

use super::passthrough::OpenCall;
use crate::correlation::{CorrelationId, TraceContext};
use crate::telemetry::{Exchange, Refusal};

/// One request's context.
#[derive(Default)]
pub struct RequestContext {
    /// Set once the head has been read.
    pub(super) begun: Option<Begun>,
    /// Set on a passthrough route.
    pub(super) open: Option<Box<OpenCall>>,
}

impl RequestContext {
    /// Notes why there will be no answer.
    pub(super) fn refuse(&mut self, reason: Refusal) {
        if let Some(begun) = &mut self.begun {
            begun.exchange.refusal = Some(reason);
        }
    }
}

/// What is known as soon as there is a request head.
#[derive(Debug)]
pub(super) struct Begun {
    /// The record of the exchange, accounted for at the end.
    pub(super) exchange: Exchange,
    /// The id that this request carries everywhere.
    pub(super) correlation: CorrelationId,
    /// The trace that the request belongs to, with the span of this hop.
    pub(super) trace: TraceContext,
}

impl Begun {
    /// Reads correlation and trace from the request, or makes them.
    pub(super) fn new(
        mut exchange: Exchange,
        headers: &HeaderMap,
        header: &http::HeaderName,
    ) -> Self {
        let mut random = rand::rng();
        let correlation = CorrelationId::accept(headers, header, &mut random);
        let trace = TraceContext::accept(headers, &mut random);
        correlation.as_str().clone_into(&mut exchange.correlation_id);
        exchange.trace_id = Some(trace.trace_id().to_string());
        exchange.span_id = Some(trace.span_id().to_string());
        Self { exchange, correlation, trace }
    }
}
