//! The spans of an exchange, by the stable semantic conventions for HTTP.
//!
//! Pure. It reads the record and nothing else; what is not in the record cannot be in a span.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use rand::Rng;

use super::super::catalogue::SCOPE;
use super::super::exchange::Exchange;
use super::super::label::{Method, StatusClass};
use super::super::refusal::Refusal;
use super::super::stage::{Interval, Stage};
use crate::correlation::{self, TraceContext};

/// How many spans an exchange has: its own, and one for each stage that it came to.
pub(super) fn count(exchange: &Exchange) -> u64 {
    let stages = Stage::ALL.iter().filter(|stage| exchange.stage(**stage).is_some());
    1 + stages.count() as u64
}

/// Appends the spans of an exchange; none if it has no trace.
pub(super) fn append(exchange: &Exchange, random: &mut impl Rng, out: &mut Vec<SpanData>) {
    let Some(trace) = &exchange.trace else { return };
    let server = Span {
        trace,
        id: trace.span_id(),
        parent: trace.parent_span_id(),
        parent_is_remote: true,
        kind: SpanKind::Server,
        name: name(exchange),
        interval: Interval { from: Duration::ZERO, to: exchange.latency() },
        status: status(exchange),
        attributes: server_attributes(exchange),
    };
    out.push(server.finish(exchange));
    for stage in Stage::ALL {
        let Some(interval) = exchange.stage(*stage) else { continue };
        let is_upstream = *stage == Stage::Upstream;
        let told = if is_upstream { exchange.upstream_span } else { None };
        let id = told.unwrap_or_else(|| trace.child(random).span_id());
        let span = Span {
            trace,
            id,
            parent: Some(trace.span_id()),
            parent_is_remote: false,
            kind: if is_upstream { SpanKind::Client } else { SpanKind::Internal },
            name: if is_upstream { name(exchange) } else { stage.name().into() },
            interval,
            status: if is_upstream { upstream_status(exchange) } else { Status::Unset },
            attributes: match stage {
                Stage::Policy => policy_attributes(exchange),
                Stage::Upstream => upstream_attributes(exchange),
                Stage::Filter => filter_attributes(exchange),
                Stage::Journal | Stage::Score => Vec::new(),
            },
        };
        out.push(span.finish(exchange));
    }
}

/// A span that is about to be finished.
struct Span<'a> {
    trace: &'a TraceContext,
    id: correlation::SpanId,
    parent: Option<correlation::SpanId>,
    parent_is_remote: bool,
    kind: SpanKind,
    name: Cow<'static, str>,
    interval: Interval,
    status: Status,
    attributes: Vec<KeyValue>,
}

impl Span<'_> {
    fn finish(self, exchange: &Exchange) -> SpanData {
        let begun = SystemTime::from(exchange.begun().wall);
        SpanData {
            span_context: context(self.trace, self.id),
            parent_span_id: span_id(self.parent),
            parent_span_is_remote: self.parent.is_some() && self.parent_is_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: begun + self.interval.from,
            end_time: begun + self.interval.to,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: self.status,
            instrumentation_scope: scope(),
        }
    }
}

/// What all spans name as their maker.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build()
}

/// A span's context. What is sent is sampled, whatever the head said; the state goes along.
pub(super) fn context(trace: &TraceContext, id: correlation::SpanId) -> SpanContext {
    let state = trace.tracestate().and_then(|state| state.to_str().ok()?.parse().ok());
    SpanContext::new(
        TraceId::from_bytes(trace.trace_id().to_bytes()),
        span_id(Some(id)),
        TraceFlags::SAMPLED,
        false,
        state.unwrap_or(TraceState::NONE),
    )
}

pub(super) fn span_id(id: Option<correlation::SpanId>) -> SpanId {
    id.map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.to_bytes()))
}

/// `GET /api/v1/leads/{id}/`; the method alone where no route matched. Never a path.
fn name(exchange: &Exchange) -> Cow<'static, str> {
    let method = if exchange.method == Method::Other { "HTTP" } else { exchange.method.name() };
    match &exchange.route {
        Some(route) => format!("{method} {route}").into(),
        None => method.into(),
    }
}

fn method(exchange: &Exchange) -> &'static str {
    if exchange.method == Method::Other { "_OTHER" } else { exchange.method.name() }
}

/// A server's span is in error where the server is at fault: 5xx, or no whole answer.
fn status(exchange: &Exchange) -> Status {
    let is_server_error = StatusClass::of(exchange.status) == StatusClass::ServerError;
    if is_server_error || exchange.is_broken_off() {
        return Status::error(exchange.refusal.map_or("", Refusal::meaning));
    }
    Status::Unset
}

/// A client's span is in error from 400 on, and where there was no whole answer.
fn upstream_status(exchange: &Exchange) -> Status {
    match upstream_error(exchange) {
        Some(_) => Status::error(exchange.refusal.map_or("", Refusal::meaning)),
        None => Status::Unset,
    }
}

fn upstream_error(exchange: &Exchange) -> Option<Cow<'static, str>> {
    match exchange.upstream_status {
        Some(status) if status >= 400 => Some(status.to_string().into()),
        Some(_) => None,
        None => exchange.refusal.map(|refusal| refusal.name().into()),
    }
}

fn server_attributes(exchange: &Exchange) -> Vec<KeyValue> {
    let mut all = Attributes::default();
    all.add("http.request.method", method(exchange));
    all.add_some("http.route", exchange.route.as_deref().map(str::to_owned));
    all.add_some("http.response.status_code", exchange.status.map(i64::from));
    all.add("url.scheme", if exchange.is_tls { "https" } else { "http" });
    all.add("url.path", exchange.path().to_owned());
    let (host, port) = host_and_port(exchange.host().unwrap_or_default());
    all.add_some("server.address", host);
    all.add_some("server.port", port);
    all.add_some("client.address", exchange.remote_addr.map(|address| address.to_string()));
    all.add_some("user_agent.original", exchange.user_agent().map(str::to_owned));
    all.add("network.protocol.version", exchange.version.name());
    all.add("http.request.body.size", size(exchange.request_bytes));
    all.add("http.response.body.size", size(exchange.response_bytes));
    let is_server_error = StatusClass::of(exchange.status) == StatusClass::ServerError;
    let error = match (exchange.refusal, exchange.status) {
        (Some(refusal), _) => Some(refusal.name().to_owned()),
        (None, Some(status)) if is_server_error => Some(status.to_string()),
        (None, _) => None,
    };
    all.add_some("error.type", error);
    all.add("fieldgate.correlation_id", exchange.correlation_id.clone());
    all.0
}

fn policy_attributes(exchange: &Exchange) -> Vec<KeyValue> {
    let mut all = Attributes::default();
    all.add_some(
        "fieldgate.policy.revision",
        exchange.policy_revision.as_deref().map(str::to_owned),
    );
    all.add_some("fieldgate.resource", exchange.resource.as_deref().map(str::to_owned));
    all.add_some("fieldgate.refusal", exchange.refusal.map(Refusal::name));
    all.0
}

fn upstream_attributes(exchange: &Exchange) -> Vec<KeyValue> {
    let mut all = Attributes::default();
    all.add("http.request.method", method(exchange));
    all.add_some("http.response.status_code", exchange.upstream_status.map(i64::from));
    if let Some((host, port)) = &exchange.upstream_peer {
        all.add("server.address", host.as_ref().to_owned());
        all.add("server.port", i64::from(*port));
    }
    all.add_some("url.template", exchange.route.as_deref().map(str::to_owned));
    all.add_some("error.type", upstream_error(exchange).map(Cow::into_owned));
    all.0
}

fn filter_attributes(exchange: &Exchange) -> Vec<KeyValue> {
    let mut all = Attributes::default();
    all.add("fieldgate.masked", size(exchange.masked));
    all.add("fieldgate.hidden", size(exchange.hidden));
    all.0
}

/// The host without its port, and the port; nothing of what is neither a name nor an address.
fn host_and_port(host: &str) -> (Option<String>, Option<i64>) {
    let authority = host.parse::<http::uri::Authority>().ok();
    let authority = authority.filter(|authority| !authority.as_str().contains('@'));
    let name = authority.as_ref().map(|authority| authority.host().to_owned());
    (name, authority.and_then(|authority| authority.port_u16()).map(i64::from))
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(name, value));
    }

    fn add_some(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}
