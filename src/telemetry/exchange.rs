//! The record of one request and its answer, filled by the street as the request walks down it.
//!
//! Whatever is told of a request is read from this record at its end: log line, metrics, and what
//! is added later. Pure: no clock, no I/O. It refuses to grow: every text in it is cut to a fixed
//! length when it is set, and it never holds a query, a header value other than the user agent, or
//! a body.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use time::OffsetDateTime;

use super::label::{HttpVersion, Method};
use super::refusal::Refusal;
use super::stage::{Interval, Stage, Stages};
use super::touched::Touched;
use crate::correlation::{SpanId, TraceContext};
use crate::identity::{SourceKind, Unidentified};

const LONGEST_ID: usize = 128;
const LONGEST_PATH: usize = 512;
const LONGEST_USER_AGENT: usize = 256;
const LONGEST_ROLE: usize = 64;
const MOST_ROLES: usize = 16;
const LONGEST_HOST: usize = 128;
const MOST_OBJECTS: usize = 100;

/// One instant on both clocks: one to measure with, one to show.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// To measure with.
    pub monotonic: Instant,
    /// To show.
    pub wall: OffsetDateTime,
}

impl Moment {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: OffsetDateTime::now_utc() }
    }
}

/// How many fields of a request body were not written as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Taken out.
    pub stripped: u64,
    /// Kept as the CRM has them.
    pub kept: u64,
    /// Turned back from a mask.
    pub detokenized: u64,
    /// Written although the policy says that they may not be.
    pub reported: u64,
}

/// One request and what became of it.
///
/// Made by [`Telemetry::begin`](super::Telemetry::begin), ended by
/// [`Telemetry::account`](super::Telemetry::account).
#[derive(Debug)]
pub struct Exchange {
    begun: Moment,
    /// The method, by its label.
    pub method: Method,
    /// The template of the route, as the policies have it; `None` where nothing matched.
    pub route: Option<Arc<str>>,
    /// The resource that the route serves.
    pub resource: Option<Arc<str>>,
    /// The status sent; `None` as long as none was.
    pub status: Option<u16>,
    /// The correlation id, already checked or minted.
    pub correlation_id: String,
    /// The trace that the request belongs to, with the span of this hop.
    pub trace: Option<TraceContext>,
    /// The span of the call to the CRM, as the CRM was told.
    pub upstream_span: Option<SpanId>,
    /// The status that the CRM sent.
    pub upstream_status: Option<u16>,
    /// Host and port of the CRM, where it was asked.
    pub upstream_peer: Option<(Arc<str>, u16)>,
    /// The peer's address.
    pub remote_addr: Option<IpAddr>,
    /// Whether the client speaks TLS to us.
    pub is_tls: bool,
    /// The version of HTTP that the client speaks.
    pub version: HttpVersion,
    /// Revision of the policies that the request began with.
    pub policy_revision: Option<Arc<str>>,
    /// How many values were masked.
    pub masked: u64,
    /// How many members were removed.
    pub hidden: u64,
    /// What became of the fields of the answer, as far as it is known.
    pub touched: Touched,
    /// Ids of the domain events that the request caused.
    pub events: Vec<uuid::Uuid>,
    /// What became of the fields of the request body.
    pub written: Written,
    /// How many query parameters were taken out.
    pub parameters_dropped: u64,
    /// Bytes of the request body read.
    pub request_bytes: u64,
    /// Bytes of the response body sent.
    pub response_bytes: u64,
    /// Why the client did not get the answer, or not all of it.
    pub refusal: Option<Refusal>,
    /// Which source knows the caller, or why none does; `None` where nobody had to be known.
    pub identification: Option<Result<SourceKind, Unidentified>>,
    user_id: Option<String>,
    org_id: Option<String>,
    roles: Vec<String>,
    path: String,
    user_agent: Option<String>,
    host: Option<String>,
    objects: Vec<String>,
    object_count: u64,
    stages: Stages,
    upstream: Option<Duration>,
    latency: Duration,
    in_flight: Option<InFlight>,
}

impl Exchange {
    pub(super) fn begin(method: Method, begun: Moment, in_flight: InFlight) -> Self {
        Self {
            begun,
            method,
            route: None,
            resource: None,
            status: None,
            correlation_id: String::new(),
            trace: None,
            upstream_span: None,
            upstream_status: None,
            upstream_peer: None,
            remote_addr: None,
            is_tls: false,
            version: HttpVersion::Http11,
            policy_revision: None,
            masked: 0,
            hidden: 0,
            touched: Touched::default(),
            events: Vec::new(),
            written: Written::default(),
            parameters_dropped: 0,
            request_bytes: 0,
            response_bytes: 0,
            refusal: None,
            identification: None,
            user_id: None,
            org_id: None,
            roles: Vec::new(),
            path: String::new(),
            user_agent: None,
            host: None,
            objects: Vec::new(),
            object_count: 0,
            stages: Stages::default(),
            upstream: None,
            latency: Duration::ZERO,
            in_flight: Some(in_flight),
        }
    }

    /// Keeps who calls.
    pub fn set_caller(&mut self, subject: &str, tenant: Option<&str>, roles: &[String]) {
        self.user_id = Some(bounded(subject, LONGEST_ID));
        self.org_id = tenant.map(|tenant| bounded(tenant, LONGEST_ID));
        self.roles =
            roles.iter().take(MOST_ROLES).map(|role| bounded(role, LONGEST_ROLE)).collect();
    }

    /// Keeps the canonical path. A query is cut off, and a segment that looks like an e-mail
    /// address is not kept: the route template still says what was asked for.
    pub fn set_path(&mut self, path: &str) {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if !path.contains('@') && !path.contains("%40") {
            self.path = bounded(path, LONGEST_PATH);
            return;
        }
        let segments: Vec<&str> = path
            .split('/')
            .map(|segment| if looks_like_email(segment) { "*" } else { segment })
            .collect();
        self.path = bounded(&segments.join("/"), LONGEST_PATH);
    }

    /// Keeps the `User-Agent` header, as received.
    pub fn set_user_agent(&mut self, value: &[u8]) {
        // Cut before decoding, so that a huge header costs nothing; four bytes are one character
        // at most.
        let value = value.get(..LONGEST_USER_AGENT * 4).unwrap_or(value);
        self.user_agent = Some(bounded(&String::from_utf8_lossy(value), LONGEST_USER_AGENT));
    }

    /// Keeps the host that the client asked for, as received.
    pub fn set_host(&mut self, value: &[u8]) {
        let value = value.get(..LONGEST_HOST).unwrap_or(value);
        self.host = Some(String::from_utf8_lossy(value).into_owned());
    }

    /// Adds the id of a record that was asked for.
    pub fn add_object(&mut self, id: &str) {
        self.object_count += 1;
        if self.objects.len() < MOST_OBJECTS {
            self.objects.push(bounded(id, LONGEST_ID));
        }
    }

    /// Keeps whose records the answer holds, instead of what was asked for; `count` is of all of them.
    /// Where it holds none, what was asked for stays.
    pub fn set_objects(&mut self, ids: &[String], count: u64) {
        if count == 0 {
            return;
        }
        let asked = std::mem::take(&mut self.objects);
        self.objects = ids.iter().take(MOST_OBJECTS).map(|id| bounded(id, LONGEST_ID)).collect();
        if self.objects.is_empty() {
            // They do not tell whose they are.
            self.objects = asked;
        }
        self.object_count = count.max(self.objects.len() as u64);
    }

    /// A stage begins at `now`; if it has begun before, it goes on.
    pub fn enter(&mut self, stage: Stage, now: Instant) {
        let offset = now.saturating_duration_since(self.begun.monotonic);
        self.stages.enter(stage, offset);
    }

    /// A stage ends at `now`, as far as is known.
    pub fn leave(&mut self, stage: Stage, now: Instant) {
        let offset = now.saturating_duration_since(self.begun.monotonic);
        self.stages.leave(stage, offset);
    }

    /// A stage has just taken so long, up to `now`.
    pub fn spent(&mut self, stage: Stage, took: Duration, now: Instant) {
        self.enter(stage, now.checked_sub(took).unwrap_or(now));
        self.leave(stage, now);
    }

    /// Adds time spent waiting for the CRM: connecting, sending, and reading its answer.
    pub fn waited_for_upstream(&mut self, waited: Duration) {
        self.upstream = Some(self.upstream.unwrap_or_default() + waited);
    }

    /// When the request began.
    #[must_use]
    pub fn begun(&self) -> Moment {
        self.begun
    }

    /// Who calls, as its source names it.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// The caller's company.
    #[must_use]
    pub fn org_id(&self) -> Option<&str> {
        self.org_id.as_deref()
    }

    /// The caller's roles.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The canonical path without query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The user agent, cut.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// The host that the client asked for, cut.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The ids of the records that the answer holds, as far as they are known.
    #[must_use]
    pub fn objects(&self) -> &[String] {
        &self.objects
    }

    /// How many records the answer holds, as far as it is known.
    #[must_use]
    pub fn object_count(&self) -> u64 {
        self.object_count
    }

    /// When a stage began and ended; `None` if it never began.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Option<Interval> {
        self.stages.get(stage)
    }

    /// The time spent waiting for the CRM; `None` where it was not asked.
    #[must_use]
    pub fn upstream(&self) -> Option<Duration> {
        self.upstream
    }

    /// The whole time, once accounted.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// Whether something went wrong that somebody may want to look into: a 5xx, a refusal, an
    /// answer broken off.
    pub(super) fn is_error(&self) -> bool {
        self.refusal.is_some() || self.status.is_some_and(|status| status >= 500)
    }

    /// Whether the answer failed after its head was sent, or before any head was sent.
    pub(super) fn is_broken_off(&self) -> bool {
        self.refusal.is_some() && self.status.is_none_or(|status| status < 400)
    }

    /// Ends the exchange; it is no longer in flight.
    pub(super) fn end(&mut self, now: Instant) {
        self.latency = now.saturating_duration_since(self.begun.monotonic);
        self.in_flight = None;
    }
}

/// Counts a request as under way for as long as it lives, whatever becomes of it.
#[derive(Debug)]
pub(super) struct InFlight(IntGauge);

impl InFlight {
    pub(super) fn enter(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn looks_like_email(segment: &str) -> bool {
    let at = segment.split_once('@').or_else(|| segment.split_once("%40"));
    at.is_some_and(|(before, after)| !before.is_empty() && !after.is_empty())
}

/// `text`, or its first `most` characters and an ellipsis.
pub(super) fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most).and_then(|(end, _)| text.split_at_checked(end)) {
        None => text.to_owned(),
        Some((head, _)) => format!("{head}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        let gauge = IntGauge::new("in_flight", "test").unwrap();
        Exchange::begin(Method::Get, Moment::now(), InFlight::enter(&gauge))
    }

    #[track_caller]
    fn check_path(path: &str, expect: &str) {
        let mut exchange = exchange();
        exchange.set_path(path);
        assert_eq!(exchange.path(), expect);
    }

    #[test]
    fn paths_lose_their_query_and_addresses() {
        check_path("/api/v1/leads/7/", "/api/v1/leads/7/");
        check_path("/api/v1/leads/?email=john@example.com", "/api/v1/leads/");
        check_path("/leads/#john@example.com", "/leads/");
        check_path("/leads/john@example.com/notes", "/leads/*/notes");
        check_path("/leads/john%40example.com", "/leads/*");
        check_path("/@vite/client", "/@vite/client");
        check_path("", "");
    }

    #[test]
    fn no_text_grows_with_its_input() {
        let long = "é".repeat(1_000_000);
        let mut exchange = exchange();
        exchange.set_path(&long);
        exchange.set_user_agent(long.as_bytes());
        exchange.set_caller(&long, Some(&long), &vec![long.clone(); 100]);
        exchange.set_host(long.as_bytes());
        for _ in 0..1_000 {
            exchange.add_object(&long);
        }
        assert_eq!(exchange.objects().len(), MOST_OBJECTS);
        assert_eq!(exchange.objects()[0].chars().count(), LONGEST_ID + 1);
        assert!(exchange.host().unwrap().len() <= 3 * LONGEST_HOST);
        assert_eq!(exchange.path().chars().count(), LONGEST_PATH + 1);
        assert_eq!(exchange.user_agent().unwrap().chars().count(), LONGEST_USER_AGENT + 1);
        assert_eq!(exchange.user_id().unwrap().chars().count(), LONGEST_ID + 1);
        assert_eq!(exchange.org_id().unwrap().chars().count(), LONGEST_ID + 1);
        assert_eq!(exchange.roles().len(), MOST_ROLES);
        assert!(exchange.roles().iter().all(|role| role.chars().count() == LONGEST_ROLE + 1));
    }

    #[test]
    fn a_user_agent_need_not_be_text() {
        let mut exchange = exchange();
        exchange.set_user_agent(b"a\xff\x80b");
        assert_eq!(exchange.user_agent(), Some("a\u{fffd}\u{fffd}b"));
    }

    #[test]
    fn a_dropped_exchange_is_no_longer_in_flight() {
        let gauge = IntGauge::new("in_flight", "test").unwrap();
        let exchange = Exchange::begin(Method::Get, Moment::now(), InFlight::enter(&gauge));
        assert_eq!(gauge.get(), 1);
        drop(exchange);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn waits_for_the_upstream_add_up() {
        let mut exchange = exchange();
        assert_eq!(exchange.upstream(), None);
        exchange.waited_for_upstream(Duration::from_millis(2));
        exchange.waited_for_upstream(Duration::from_millis(3));
        assert_eq!(exchange.upstream(), Some(Duration::from_millis(5)));
    }
}
