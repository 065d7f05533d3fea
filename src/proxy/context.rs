//! What the gate remembers of one request. Nothing of it outlives the request.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use super::passthrough::OpenCall;
use crate::audit::Outcome;
use crate::correlation::{CorrelationId, Propagation, TraceContext};
use crate::identity::Farewell;
use crate::telemetry::{Exchange, Refusal};

/// One request's context.
#[derive(Default)]
pub struct RequestContext {
    /// Set once the head has been read.
    pub(super) begun: Option<Begun>,
    /// Set on a passthrough route.
    pub(super) open: Option<Box<OpenCall>>,
    /// When the CRM was asked on a passthrough route, until its head is there.
    pub(super) asked: Option<Instant>,
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
    /// Kept while a request is under way that ends what its credential stands for.
    pub(super) farewell: Option<Farewell>,
    /// What the audit ledger has on disk of it already.
    pub(super) audited: Option<Outcome>,
}

impl Begun {
    /// Reads correlation and trace from the request, or makes them.
    pub(super) fn new(
        mut exchange: Exchange,
        headers: &HeaderMap,
        header: &http::HeaderName,
        propagation: Propagation,
    ) -> Self {
        let mut random = rand::rng();
        let correlation = CorrelationId::accept(headers, header, &mut random);
        let trace = propagation.accept(headers, &mut random);
        correlation.as_str().clone_into(&mut exchange.correlation_id);
        exchange.trace = Some(trace.clone());
        Self { exchange, correlation, trace, farewell: None, audited: None }
    }

    /// The span of the call to the CRM, to tell it.
    pub(super) fn ask_upstream(&mut self, peer: (Arc<str>, u16)) -> TraceContext {
        let trace = self.trace.child(&mut rand::rng());
        self.exchange.upstream_span = Some(trace.span_id());
        self.exchange.upstream_peer = Some(peer);
        trace
    }
}
