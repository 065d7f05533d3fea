//! What is kept, what a span looks like, and a collector that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use rand::SeedableRng;
use rand::rngs::StdRng;
use time::macros::datetime;

use super::super::catalogue::SPAN_ATTRIBUTES;
use super::super::exchange::Moment;
use super::super::refusal::Refusal;
use super::super::stage::Stage;
use super::super::{MemoryLog, Telemetry};
use super::*;
use crate::config::{Telemetry as TelemetrySettings, TraceProtocol};
use crate::correlation::{Propagation, Share, TRACEPARENT, TraceContext};

const LONG: Duration = Duration::from_secs(30);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Telemetry whose collector refuses every connection.
fn unreachable_collector(protocol: TraceProtocol, queue: usize) -> (Telemetry, MemoryLog) {
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let traces = Settings {
        endpoint: format!("http://127.0.0.1:{port}").parse().unwrap(),
        protocol,
        headers: Vec::new(),
        share: 0.0,
        slow: Duration::from_secs(2),
        queue,
    };
    let settings = TelemetrySettings { traces: Some(traces), ..TelemetrySettings::default() };
    let log = MemoryLog::new();
    (Telemetry::start(&settings, Box::new(log.clone())).unwrap(), log)
}

fn continued(flags: &str) -> TraceContext {
    let mut headers = http::HeaderMap::new();
    headers.insert(TRACEPARENT, format!("00-{TRACE}-{PARENT}-{flags}").parse().unwrap());
    headers.insert("tracestate", "a=1".parse().unwrap());
    let propagation = Propagation { b3: false, share: Share::NONE };
    propagation.accept(&headers, &mut StdRng::seed_from_u64(3))
}

fn exchange(telemetry: &Telemetry, status: Option<u16>) -> Exchange {
    let begun = Moment { monotonic: Instant::now(), wall: datetime!(2026-03-04 05:06:07.5 UTC) };
    let mut exchange = telemetry.begin(&http::Method::GET, begun);
    exchange.status = status;
    exchange.trace = Some(continued("00"));
    exchange
}

#[track_caller]
fn check_kept(flags: &str, status: Option<u16>, refusal: Option<Refusal>, millis: u64, kept: bool) {
    let (telemetry, _log) = unreachable_collector(TraceProtocol::Grpc, 16);
    let mut one = exchange(&telemetry, status);
    one.refusal = refusal;
    one.trace = Some(continued(flags));
    one.end(one.begun().monotonic + Duration::from_millis(millis));
    assert_eq!(telemetry.inner.tracer.as_ref().unwrap().keeps(&one), kept);
}

#[test]
fn what_is_kept() {
    check_kept("00", Some(200), None, 1, false);
    check_kept("00", Some(404), None, 2000, false);
    check_kept("01", Some(200), None, 1, true);
    check_kept("00", Some(200), None, 2001, true);
    check_kept("00", Some(500), None, 1, true);
    check_kept("00", Some(403), Some(Refusal::NoKnownRole), 1, true);
    check_kept("00", Some(200), Some(Refusal::JsonTruncated), 1, true);
    check_kept("00", None, Some(Refusal::ClientGone), 1, true);
}

fn full(telemetry: &Telemetry) -> Exchange {
    let mut one = exchange(telemetry, Some(502));
    one.route = Some("/api/v1/leads/{id}/".into());
    one.resource = Some("lead".into());
    one.correlation_id = "abc-1".into();
    one.set_path("/api/v1/leads/7/?email=secret");
    one.set_host(b"crm.example:8443");
    one.is_tls = true;
    one.set_user_agent(b"curl/8");
    one.remote_addr = Some("192.0.2.7".parse().unwrap());
    one.policy_revision = Some("0123456789ab".into());
    one.request_bytes = 10;
    one.response_bytes = 20;
    one.masked = 3;
    one.hidden = 1;
    one.refusal = Some(Refusal::JsonInvalid);
    one.upstream_status = Some(503);
    one.upstream_peer = Some(("10.0.0.1".into(), 8081));
    one.upstream_span = Some(one.trace.as_ref().unwrap().child(&mut rand::rng()).span_id());
    let at = |millis| one.begun().monotonic + Duration::from_millis(millis);
    let times = [at(0), at(1), at(30), at(20), at(31), at(32)];
    let [policy, asked, answered, filtering, filtered, end] = times;
    one.enter(Stage::Policy, policy);
    one.leave(Stage::Policy, asked);
    one.enter(Stage::Upstream, asked);
    one.leave(Stage::Upstream, answered);
    one.enter(Stage::Filter, filtering);
    one.leave(Stage::Filter, filtered);
    one.end(end);
    one
}

fn made(exchange: &Exchange) -> Vec<SpanData> {
    let mut made = Vec::new();
    spans::append(exchange, &mut StdRng::seed_from_u64(5), &mut made);
    assert_eq!(made.len() as u64, spans::count(exchange));
    made
}

fn attributes(span: &SpanData) -> BTreeMap<String, String> {
    let pair = |pair: &opentelemetry::KeyValue| (pair.key.to_string(), pair.value.to_string());
    span.attributes.iter().map(pair).collect()
}

#[test]
fn an_exchange_is_a_server_span_and_one_for_each_stage() {
    let (telemetry, _log) = unreachable_collector(TraceProtocol::Grpc, 16);
    let one = full(&telemetry);
    let made = made(&one);
    let names: Vec<&str> = made.iter().map(|span| span.name.as_ref()).collect();
    let name = "GET /api/v1/leads/{id}/";
    assert_eq!(names, [name, "policy", name, "filter"]);
    let kinds: Vec<&SpanKind> = made.iter().map(|span| &span.span_kind).collect();
    let internal = &SpanKind::Internal;
    assert_eq!(kinds, [&SpanKind::Server, internal, &SpanKind::Client, internal]);

    let [server, _, upstream, filter] = made.as_slice() else { panic!("{names:?}") };
    assert_eq!(server.span_context.trace_id().to_string(), TRACE);
    assert_eq!(server.span_context.trace_state().header(), "a=1");
    assert_eq!(server.parent_span_id.to_string(), PARENT);
    assert!(server.parent_span_is_remote);
    assert_eq!(server.end_time.duration_since(server.start_time).unwrap().as_millis(), 32);
    for child in &made[1..] {
        assert_eq!(child.span_context.trace_id(), server.span_context.trace_id());
        assert_eq!(child.parent_span_id, server.span_context.span_id());
        assert!(!child.parent_span_is_remote);
    }
    let told = one.upstream_span.unwrap().to_string();
    assert_eq!(upstream.span_context.span_id().to_string(), told, "what the CRM was told");
    let since = |time: std::time::SystemTime| time.duration_since(server.start_time).unwrap();
    assert_eq!(since(filter.start_time).as_millis(), 20);
    assert_eq!(since(filter.end_time).as_millis(), 31);
    assert!(matches!(server.status, Status::Error { .. }));
    assert!(matches!(upstream.status, Status::Error { .. }));

    let expect = [
        ("client.address", "192.0.2.7"),
        ("error.type", "json_invalid"),
        ("fieldgate.correlation_id", "abc-1"),
        ("http.request.body.size", "10"),
        ("http.request.method", "GET"),
        ("http.response.body.size", "20"),
        ("http.response.status_code", "502"),
        ("http.route", "/api/v1/leads/{id}/"),
        ("network.protocol.version", "1.1"),
        ("server.address", "crm.example"),
        ("server.port", "8443"),
        ("url.path", "/api/v1/leads/7/"),
        ("url.scheme", "https"),
        ("user_agent.original", "curl/8"),
    ];
    let expect: BTreeMap<String, String> =
        expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(attributes(server), expect);
    assert_eq!(attributes(upstream)["server.address"], "10.0.0.1");
    assert_eq!(attributes(upstream)["error.type"], "503");
}

#[test]
fn the_attributes_are_those_of_the_catalogue() {
    let (telemetry, _log) = unreachable_collector(TraceProtocol::Grpc, 16);
    let made = made(&full(&telemetry));
    let names: BTreeSet<String> =
        made.iter().flat_map(|span| attributes(span).into_keys()).collect();
    let of_streets = ["server", "policy", "upstream", "filter"];
    let is_ours = |spans: &str| spans.split(", ").any(|span| of_streets.contains(&span));
    let told = SPAN_ATTRIBUTES.iter().filter(|(_, spans, _)| is_ours(spans));
    let told: BTreeSet<String> = told.map(|(name, _, _)| (*name).to_owned()).collect();
    assert_eq!(names, told);
    for (span, name) in made.iter().zip(of_streets) {
        for attribute in attributes(span).keys() {
            let (_, spans, _) =
                SPAN_ATTRIBUTES.iter().find(|(known, _, _)| known == attribute).unwrap();
            assert!(spans.split(", ").any(|span| span == name), "{attribute} on {name}");
        }
    }
}

#[test]
fn an_empty_exchange_is_one_span_without_guesses() {
    let (telemetry, _log) = unreachable_collector(TraceProtocol::Grpc, 16);
    let mut one = exchange(&telemetry, None);
    one.method = super::super::Method::Other;
    one.set_host(b"user:word@evil host");
    let made = made(&one);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].name, "HTTP");
    let attributes = attributes(&made[0]);
    assert_eq!(attributes["http.request.method"], "_OTHER");
    assert!(!attributes.contains_key("http.response.status_code"));
    assert!(!attributes.contains_key("server.address"), "{attributes:?}");
    assert_eq!(made[0].status, Status::Unset);
}

#[test]
fn a_linked_span_points_to_its_cause() {
    let now = Moment::now();
    let cause = format!("00-{TRACE}-{PARENT}-01");
    let mut random = StdRng::seed_from_u64(1);
    let mut span =
        LinkedSpan::begin(Work::Delivery, Some(&cause), Propagation::default(), now, &mut random);
    span.attribute("fieldgate.sink", "billing");
    span.attribute("fieldgate.masked", 3);
    span.attribute("invented", "x");
    span.fail("timeout");
    let goes_on = span.traceparent();
    let made = span.finish();
    assert_eq!(made.name, "deliver");
    assert_eq!(made.links.len(), 1);
    assert_eq!(made.links[0].span_context.trace_id().to_string(), TRACE);
    assert_eq!(made.links[0].span_context.span_id().to_string(), PARENT);
    assert_ne!(made.span_context.trace_id().to_string(), TRACE);
    assert!(goes_on.contains(&made.span_context.span_id().to_string()));
    let told = attributes(&made);
    let names: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["error.type", "fieldgate.sink"], "what is not in the catalogue is left out");
    assert_eq!(told["error.type"], "timeout");
    assert_eq!(made.status, Status::error("timeout"));
}

#[test]
fn a_linked_span_is_kept_as_its_cause_was() {
    let begun = |cause: Option<&str>, share: Share| {
        let propagation = Propagation { share, ..Propagation::default() };
        let mut random = StdRng::seed_from_u64(1);
        LinkedSpan::begin(Work::WorkflowAction, cause, propagation, Moment::now(), &mut random)
    };
    let wanted = |cause: Option<&str>, failed: bool| {
        let mut span = begun(cause, Share::NONE);
        if failed {
            span.fail("refused");
        }
        span.is_wanted()
    };
    let (sampled, unsampled) =
        (format!("00-{TRACE}-{PARENT}-01"), format!("00-{TRACE}-{PARENT}-00"));
    assert!(wanted(Some(&sampled), false));
    assert!(!wanted(Some(&unsampled), false));
    assert!(wanted(Some(&unsampled), true));
    // Where nothing caused it, the share decides.
    assert!(!wanted(None, false) && !wanted(Some("nonsense"), false));
    assert!(begun(None, Share::ALL).is_wanted());
    // What is called in it is told the same.
    assert!(begun(Some(&sampled), Share::NONE).traceparent().ends_with("-03"));
    assert!(begun(Some(&unsampled), Share::ALL).traceparent().ends_with("-02"));
    assert!(begun(None, Share::NONE).traceparent().ends_with("-02"));
}

fn spans_total(telemetry: &Telemetry, outcome: &str) -> u64 {
    let scrape = telemetry.scrape().unwrap();
    let series = format!("fieldgate_spans_total{{outcome=\"{outcome}\"}} ");
    scrape.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

#[track_caller]
fn check_collector_down(protocol: TraceProtocol) {
    let (telemetry, log) = unreachable_collector(protocol, 16);
    for _ in 0..2_000 {
        // If accounting waited for the collector, this would take hours.
        telemetry.account(exchange(&telemetry, Some(500)));
    }
    assert!(telemetry.flush(LONG), "what was queued has been tried");
    let (dropped, failed) = (spans_total(&telemetry, "dropped"), spans_total(&telemetry, "failed"));
    assert!(dropped > 0 && failed > 0, "{dropped} {failed}");
    assert_eq!(dropped + failed, 2_000, "every span is counted");
    assert_eq!(spans_total(&telemetry, "exported"), 0);
    let lost: Vec<_> =
        log.json_lines().into_iter().filter(|line| line["reason"].is_string()).collect();
    assert_eq!(lost.len(), 1, "it is told once: {lost:?}");
    assert_eq!(lost[0]["level"], "WARN");
}

#[test]
fn a_grpc_collector_that_is_down_costs_spans_and_nothing_else() {
    check_collector_down(TraceProtocol::Grpc);
}

#[test]
fn an_http_collector_that_is_down_costs_spans_and_nothing_else() {
    check_collector_down(TraceProtocol::Http);
}

#[test]
fn an_exporter_over_tls_can_be_built() {
    for protocol in [TraceProtocol::Grpc, TraceProtocol::Http] {
        let traces = Settings {
            endpoint: "https://127.0.0.1:1/v1/traces".parse().unwrap(),
            protocol,
            headers: vec![(http::header::AUTHORIZATION, "Bearer x".into())],
            share: 1.0,
            slow: Duration::ZERO,
            queue: 16,
        };
        let settings = TelemetrySettings { traces: Some(traces), ..TelemetrySettings::default() };
        Telemetry::start(&settings, Box::new(MemoryLog::new())).unwrap();
    }
}
