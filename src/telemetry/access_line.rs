//! The access log line of an exchange.
//!
//! Pure. It reads the record and nothing else; there is no way for a query, a body or a header
//! value other than the user agent to reach it.

use std::fmt::Write as _;

use serde::Serialize;
use tracing::Level;

use super::catalogue::UNMATCHED;
use super::exchange::Exchange;
use super::label::StatusClass;
use super::refusal::Refusal;
use super::render::{json_line, milliseconds, safe_text, timestamp};
use super::writer::Base;

/// The fields in the order of the catalogue.
#[derive(Serialize)]
struct AccessLine<'a> {
    timestamp: String,
    level: &'static str,
    service: &'a str,
    environment: &'a str,
    correlation_id: &'a str,
    trace_id: Option<String>,
    span_id: Option<String>,
    user_id: Option<&'a str>,
    org_id: Option<&'a str>,
    roles: &'a [String],
    method: &'static str,
    route: &'a str,
    path: &'a str,
    status_code: Option<u16>,
    latency_ms: f64,
    upstream_ms: Option<f64>,
    remote_addr: Option<std::net::IpAddr>,
    user_agent: Option<&'a str>,
    policy_revision: Option<&'a str>,
    masked: u64,
    hidden: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'static str>,
}

/// The level of an exchange's line.
pub(super) fn level(exchange: &Exchange) -> Level {
    let is_clients_doing = exchange.refusal == Some(Refusal::ClientGone);
    match StatusClass::of(exchange.status) {
        StatusClass::ServerError => Level::ERROR,
        StatusClass::ClientError => Level::WARN,
        _ if exchange.is_broken_off() && is_clients_doing => Level::WARN,
        _ if exchange.is_broken_off() => Level::ERROR,
        StatusClass::Informational
        | StatusClass::Success
        | StatusClass::Redirection
        | StatusClass::NoAnswer => Level::INFO,
    }
}

/// Appends the line as JSON.
pub(super) fn json(exchange: &Exchange, base: &Base, out: &mut Vec<u8>) {
    let trace = exchange.trace.as_ref();
    let line = AccessLine {
        timestamp: ended(exchange),
        level: level(exchange).as_str(),
        service: &base.service,
        environment: &base.environment,
        correlation_id: &exchange.correlation_id,
        trace_id: trace.map(|trace| trace.trace_id().to_string()),
        span_id: trace.map(|trace| trace.span_id().to_string()),
        user_id: exchange.user_id(),
        org_id: exchange.org_id(),
        roles: exchange.roles(),
        method: exchange.method.name(),
        route: exchange.route.as_deref().unwrap_or(UNMATCHED),
        path: exchange.path(),
        status_code: exchange.status,
        latency_ms: milliseconds(exchange.latency()),
        upstream_ms: exchange.upstream().map(milliseconds),
        remote_addr: exchange.remote_addr,
        user_agent: exchange.user_agent(),
        policy_revision: exchange.policy_revision.as_deref(),
        masked: exchange.masked,
        hidden: exchange.hidden,
        refusal: exchange.refusal.map(Refusal::name),
    };
    json_line(&line, out);
}

/// Appends the line for a person at a terminal: what they look for first, stands first.
pub(super) fn text(exchange: &Exchange, out: &mut String) -> std::fmt::Result {
    let status = exchange.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
    let method = exchange.method.name();
    write!(out, "{} {:<5} {status} {method} ", ended(exchange), level(exchange).as_str())?;
    safe_text(exchange.path(), out);
    write!(out, " {}ms", milliseconds(exchange.latency()))?;
    if let Some(upstream) = exchange.upstream() {
        write!(out, " upstream={}ms", milliseconds(upstream))?;
    }
    if let Some(user) = exchange.user_id() {
        out.push_str(" user=");
        safe_text(user, out);
        out.push_str(" roles=");
        safe_text(&exchange.roles().join(","), out);
    }
    if exchange.masked > 0 || exchange.hidden > 0 {
        write!(out, " masked={} hidden={}", exchange.masked, exchange.hidden)?;
    }
    if let Some(refusal) = exchange.refusal {
        write!(out, " refusal={refusal}")?;
    }
    out.push_str(" id=");
    safe_text(&exchange.correlation_id, out);
    out.push('\n');
    Ok(())
}

fn ended(exchange: &Exchange) -> String {
    timestamp(exchange.begun().wall + exchange.latency())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use prometheus::IntGauge;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::{Map, Value};
    use time::macros::datetime;

    use crate::correlation::TraceContext;

    use super::super::catalogue::ACCESS_FIELDS;
    use super::super::exchange::{InFlight, Moment};
    use super::super::label::Method;
    use super::*;

    fn exchange(latency: Duration) -> Exchange {
        let wall = datetime!(2026-03-04 05:06:07.5 UTC);
        let gauge = IntGauge::new("in_flight", "test").unwrap();
        let begun = Moment { monotonic: Instant::now(), wall };
        let mut exchange = Exchange::begin(Method::Get, begun, InFlight::enter(&gauge));
        exchange.correlation_id = "abc-1".into();
        exchange.set_path("/api/v1/leads/7/?email=secret");
        exchange.end(begun.monotonic + latency);
        exchange
    }

    fn full() -> Exchange {
        let mut exchange = exchange(Duration::from_micros(12_345));
        exchange.trace = Some(TraceContext::begin(&mut StdRng::seed_from_u64(1)));
        exchange.set_caller("u-7", Some("acme"), &["sales_rep".into(), "support".into()]);
        exchange.route = Some("/api/v1/leads/{id}/".into());
        exchange.status = Some(502);
        exchange.waited_for_upstream(Duration::from_millis(11));
        exchange.remote_addr = Some("192.0.2.7".parse().unwrap());
        exchange.set_user_agent(b"curl/8\x1b[2J\"");
        exchange.policy_revision = Some("0123456789ab".into());
        exchange.masked = 3;
        exchange.hidden = 1;
        exchange.refusal = Some(Refusal::UpstreamEncoded);
        exchange
    }

    fn line(exchange: &Exchange) -> String {
        let base = Base { service: "gate".into(), environment: "test".into() };
        let mut out = Vec::new();
        json(exchange, &base, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_full_line() {
        let full = full();
        let trace = full.trace.as_ref().unwrap();
        let (trace_id, span_id) = (trace.trace_id().to_string(), trace.span_id().to_string());
        assert_eq!(
            line(&full).replace(&trace_id, "TRACE").replace(&span_id, "SPAN"),
            concat!(
                r#"{"timestamp":"2026-03-04T05:06:07.512Z","level":"ERROR","service":"gate","#,
                r#""environment":"test","correlation_id":"abc-1","#,
                r#""trace_id":"TRACE","span_id":"SPAN","#,
                r#""user_id":"u-7","org_id":"acme","roles":["sales_rep","support"],"method":"GET","#,
                r#""route":"/api/v1/leads/{id}/","path":"/api/v1/leads/7/","status_code":502,"#,
                r#""latency_ms":12.345,"upstream_ms":11.0,"remote_addr":"192.0.2.7","#,
                r#""user_agent":"curl/8\u001b[2J\"","policy_revision":"0123456789ab","#,
                r#""masked":3,"hidden":1,"refusal":"upstream_encoded"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn an_empty_line_has_every_field_but_the_refusal() {
        let line: Map<String, Value> =
            serde_json::from_str(&line(&exchange(Duration::ZERO))).unwrap();
        for (name, _) in ACCESS_FIELDS {
            assert_eq!(line.contains_key(*name), *name != "refusal", "{name}");
        }
        assert_eq!(line["route"], "unmatched");
        assert_eq!(line["status_code"], Value::Null);
        assert_eq!(line["roles"], Value::Array(vec![]));
    }

    #[test]
    fn the_fields_stand_in_the_order_of_the_catalogue() {
        let line = line(&full());
        let places: Vec<usize> = ACCESS_FIELDS
            .iter()
            .map(|(name, _)| line.find(&format!("\"{name}\":")).expect(name))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(serde_json::from_str::<Map<String, Value>>(&line).unwrap().len(), places.len());
    }

    #[test]
    fn the_text_form() {
        let mut out = String::new();
        text(&full(), &mut out).unwrap();
        assert_eq!(
            out,
            "2026-03-04T05:06:07.512Z ERROR 502 GET /api/v1/leads/7/ 12.345ms upstream=11ms \
             user=u-7 roles=sales_rep,support masked=3 hidden=1 refusal=upstream_encoded id=abc-1\n"
        );
    }

    #[track_caller]
    fn check_level(status: Option<u16>, refusal: Option<Refusal>, expect: Level) {
        let mut exchange = exchange(Duration::ZERO);
        exchange.status = status;
        exchange.refusal = refusal;
        assert_eq!(level(&exchange), expect);
    }

    #[test]
    fn levels() {
        check_level(Some(200), None, Level::INFO);
        check_level(Some(304), None, Level::INFO);
        check_level(Some(403), Some(Refusal::NoKnownRole), Level::WARN);
        check_level(Some(404), None, Level::WARN);
        check_level(Some(500), None, Level::ERROR);
        check_level(Some(502), Some(Refusal::JsonInvalid), Level::ERROR);
        // The head was sent, then the answer was broken off.
        check_level(Some(200), Some(Refusal::JsonInvalid), Level::ERROR);
        check_level(Some(200), Some(Refusal::ClientGone), Level::WARN);
        check_level(None, Some(Refusal::ClientGone), Level::WARN);
        check_level(None, Some(Refusal::Internal), Level::ERROR);
    }
}
