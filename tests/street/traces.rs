//! Spans as a collector gets them, and the trace that the CRM is told.

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::io::AsyncWriteExt;

use super::collector::{Collector, Protocol, attribute, hex};
use super::harness::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const LEAD: &str = r#"{"id":7,"first_name":"Ada","email":"ada@example.com","ssn":"123-45-6789"}"#;

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// The spans that came, at least so many.
async fn spans(collector: &Collector, count: usize) -> Vec<Span> {
    within(async {
        loop {
            let spans = collector.spans();
            if spans.len() >= count {
                return spans;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// The header of a request that a scripted upstream has read.
fn sent(upstream: &Upstream, request: usize, name: &str) -> Option<String> {
    let seen = upstream.seen.lock().unwrap();
    let mut lines = seen[request].lines().skip(1).take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

async fn check_one_trace(protocol: Protocol) {
    let collector = Collector::start(protocol).await;
    let upstream = Upstream::scripted(json_answer(LEAD), Pace::OnePacket).await;
    let headers = "share: 0, headers: [{ name: Authorization, file: collector.token }]";
    let gate = gate(&upstream)
        .file("collector.token", "Bearer hush\n")
        .config(&collector.config(protocol, headers))
        .start()
        .await;
    let answer = gate
        .get("/api/v1/leads/7/?status=canary@example.com")
        .as_role("sales_rep")
        .header("traceparent", &traceparent("01"))
        .header("tracestate", "vendor=1")
        .header("baggage", "tier=gold")
        .header("User-Agent", "test/1")
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.head);

    let spans = spans(&collector, 5).await;
    let named = |kind: SpanKind, name: &str| {
        spans.iter().find(|span| span.kind() == kind && span.name == name).unwrap_or_else(|| {
            panic!("no {name} in {spans:#?}");
        })
    };
    let name = "GET /api/v1/leads/{id}/";
    let server = named(SpanKind::Server, name);
    let upstream_span = named(SpanKind::Client, name);
    let children =
        [upstream_span, named(SpanKind::Internal, "policy"), named(SpanKind::Internal, "filter")];
    assert_eq!((hex(&server.trace_id), hex(&server.parent_span_id)), (TRACE.into(), PARENT.into()));
    for child in children {
        assert_eq!(child.trace_id, server.trace_id);
        assert_eq!(child.parent_span_id, server.span_id);
        assert!(child.start_time_unix_nano >= server.start_time_unix_nano);
        assert!(child.end_time_unix_nano <= server.end_time_unix_nano);
        assert!(child.end_time_unix_nano >= child.start_time_unix_nano);
    }
    // The CRM was told the span that the collector has.
    let told = sent(&upstream, 0, "traceparent").unwrap();
    assert_eq!(told, format!("00-{TRACE}-{}-01", hex(&upstream_span.span_id)));
    assert_eq!(sent(&upstream, 0, "tracestate").as_deref(), Some("vendor=1"));
    assert_eq!(sent(&upstream, 0, "baggage").as_deref(), Some("tier=gold"));

    for (attribute_name, expect) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/v1/leads/{id}/"),
        ("http.response.status_code", "200"),
        ("url.path", "/api/v1/leads/7/"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "test/1"),
        ("network.protocol.version", "1.1"),
        ("error.type", ""),
        ("fieldgate.correlation_id", answer.header("X-Correlation-ID").unwrap()),
    ] {
        assert_eq!(attribute(server, attribute_name), expect, "{attribute_name}");
    }
    let port = upstream.address.port().to_string();
    assert_eq!(attribute(upstream_span, "server.port"), port);
    assert_eq!(attribute(named(SpanKind::Internal, "filter"), "fieldgate.hidden"), "1");
    assert!(collector.resources().contains(&("service.name".into(), "fieldgate".into())));
    assert_eq!(collector.authorizations().first().map(String::as_str), Some("Bearer hush"));

    let line = gate.access_lines(1).await.remove(0);
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["span_id"], hex(&server.span_id));
    let bytes = collector.bytes();
    for canary in ["ada@example.com", "123-45-6789", "canary@example.com", "gold", "demo-sales_rep"]
    {
        let is_there = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!is_there, "`{canary}` is in a span");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_client_to_the_crm_over_grpc() {
    check_one_trace(Protocol::Grpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_client_to_the_crm_over_http() {
    check_one_trace(Protocol::Http).await;
}

/// An upstream that answers the path `/api/v1/leads/1/` at once and others late or wrongly.
async fn moody_upstream() -> Upstream {
    Upstream::each(
        |request| match request {
            0 => json_answer(LEAD),
            1 => b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
            _ => {
                std::thread::sleep(Duration::from_millis(2_100));
                json_answer(LEAD)
            }
        },
        Pace::OnePacket,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_nothing_still_keeps_what_failed_or_was_slow() {
    let collector = Collector::start(Protocol::Grpc).await;
    let upstream = moody_upstream().await;
    let gate = gate(&upstream).config(&collector.config(Protocol::Grpc, "share: 0")).start().await;
    let get = |id: u32| gate.get(&format!("/api/v1/leads/{id}/")).as_role("admin").send();
    assert_eq!(get(1).await.status, 200);
    assert_eq!(get(2).await.status, 500);
    assert_eq!(get(3).await.status, 200);
    assert_eq!(gate.get("/api/v1/leads/4/").send().await.status, 401);
    let spans = spans(&collector, 10).await;
    let mut paths: Vec<(String, String)> = spans
        .iter()
        .filter(|span| span.kind() == SpanKind::Server)
        .map(|span| (attribute(span, "url.path"), attribute(span, "error.type")))
        .collect();
    paths.sort();
    let expect = [
        ("/api/v1/leads/2/", "500"),
        ("/api/v1/leads/3/", ""),
        ("/api/v1/leads/4/", "credentials_missing"),
    ];
    assert_eq!(paths, expect.map(|(path, error)| (path.to_owned(), error.to_owned())));
    // Nobody was told that these would be kept: that is only known at the end.
    for request in 0..3 {
        assert!(sent(&upstream, request, "traceparent").unwrap().ends_with("-02"));
    }
    let scrape = gate.metrics().await;
    assert!(scrape.contains("fieldgate_spans_total{outcome=\"dropped\"} 0\n"), "{scrape}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_everything_keeps_everything_and_tells_the_crm() {
    let collector = Collector::start(Protocol::Http).await;
    let upstream = Upstream::scripted(json_answer(LEAD), Pace::OnePacket).await;
    let gate = gate(&upstream).config(&collector.config(Protocol::Http, "share: 1")).start().await;
    gate.get("/api/v1/leads/1/").as_role("admin").send().await;
    assert_eq!(spans(&collector, 5).await.len(), 5);
    assert!(sent(&upstream, 0, "traceparent").unwrap().ends_with("-03"));
    // A client that does not want its trace kept is believed.
    let unwanted = gate.get("/api/v1/leads/1/").header("traceparent", &traceparent("00"));
    unwanted.as_role("admin").send().await;
    gate.stop().await;
    assert_eq!(collector.spans().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_before_the_end() {
    let collector = Collector::start(Protocol::Grpc).await;
    let upstream = Upstream::scripted(json_answer(LEAD), Pace::OnePacket).await;
    let gate = gate(&upstream).config(&collector.config(Protocol::Grpc, "share: 1")).start().await;
    for _ in 0..20 {
        gate.get("/api/v1/leads/1/").as_role("admin").send().await;
    }
    let telemetry = gate.telemetry.clone();
    gate.stop().await;
    let flushed = tokio::task::spawn_blocking(move || telemetry.flush(Duration::from_secs(30)));
    assert!(flushed.await.unwrap());
    assert_eq!(collector.spans().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_costs_no_client_anything() {
    // It accepts connections and reads nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let upstream = Upstream::scripted(json_answer(LEAD), Pace::OnePacket).await;
    let traces =
        format!("telemetry:\n  traces: {{ endpoint: \"http://{address}\", share: 1, queue: 16 }}");
    let gate = gate(&upstream).config(&traces).start().await;
    for _ in 0..60 {
        assert_eq!(gate.get("/api/v1/leads/1/").as_role("admin").send().await.status, 200);
    }
    gate.until(|| async {
        let scrape = gate.metrics().await;
        !scrape.contains("fieldgate_spans_total{outcome=\"dropped\"} 0\n")
    })
    .await;
}

/// A write through a gate with a journal and a sink: one trace, and the delivery of its event linked
/// to it.
async fn check_a_later_delivery_is_linked(protocol: Protocol) {
    let collector = Collector::start(protocol).await;
    let upstream = Upstream::scripted(json_answer(LEAD), Pace::OnePacket).await;
    let sink = "data_dir: data\n\
                events: { sinks: [{ file: { name: trail, role: admin, path: trail.jsonl } }] }";
    let traces = collector.config(protocol, "share: 0");
    let gate =
        gate(&upstream).file("data/.keep", "").config(&format!("{sink}\n{traces}")).start().await;
    let write = gate.request("PATCH", "/api/v1/leads/7/").as_role("admin");
    let write = write.header("traceparent", &traceparent("01")).json(r#"{"title":"x"}"#);
    assert_eq!(write.send().await.status, 200);

    let is_there = |name: &str| collector.spans().iter().any(|span| span.name == name);
    gate.until(async || is_there("deliver") && is_there("score")).await;
    let spans = collector.spans();
    let named = |kind: SpanKind, name: &str| {
        spans.iter().find(|span| span.kind() == kind && span.name == name).unwrap()
    };
    let server = named(SpanKind::Server, "PATCH /api/v1/leads/{id}/");
    assert_eq!(hex(&server.parent_span_id), PARENT);
    for (kind, name) in [
        (SpanKind::Internal, "policy"),
        (SpanKind::Internal, "journal"),
        (SpanKind::Client, "PATCH /api/v1/leads/{id}/"),
        (SpanKind::Internal, "filter"),
        (SpanKind::Internal, "score"),
    ] {
        let child = named(kind, name);
        assert_eq!(child.trace_id, server.trace_id, "{name}");
        assert_eq!(child.parent_span_id, server.span_id, "{name}");
    }
    let client = named(SpanKind::Client, "PATCH /api/v1/leads/{id}/");
    let told = sent(&upstream, 0, "traceparent").unwrap();
    assert_eq!(told, format!("00-{TRACE}-{}-01", hex(&client.span_id)));
    let delivery = named(SpanKind::Producer, "deliver");
    assert_ne!(delivery.trace_id, server.trace_id);
    assert_eq!(delivery.links[0].trace_id, server.trace_id);
    assert_eq!(delivery.links[0].span_id, server.span_id);
    assert_eq!(attribute(delivery, "fieldgate.event.type"), "lead.updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_delivery_is_linked_to_its_request_over_grpc() {
    check_a_later_delivery_is_linked(Protocol::Grpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_delivery_is_linked_to_its_request_over_http() {
    check_a_later_delivery_is_linked(Protocol::Http).await;
}

/// Passthrough has its span of the CRM and its time too.
#[tokio::test(flavor = "multi_thread")]
async fn what_passes_unfiltered_is_timed_like_the_rest() {
    let collector = Collector::start(Protocol::Grpc).await;
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let gate = gate(&upstream).config(&collector.config(Protocol::Grpc, "share: 1")).start().await;
    assert_eq!(gate.get("/robots.txt").send().await.status, 200);
    let spans = spans(&collector, 2).await;
    let client = spans.iter().find(|span| span.kind() == SpanKind::Client).unwrap();
    assert!(sent(&upstream, 0, "traceparent").unwrap().contains(&hex(&client.span_id)));
    let line = gate.access_lines(1).await.remove(0);
    assert!(line["upstream_ms"].as_f64().is_some_and(|waited| waited > 0.0), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_goes_on_where_it_is_asked_for() {
    let upstream = Upstream::scripted(json_answer(LEAD), Pace::OnePacket).await;
    let gate = gate(&upstream).config("telemetry: { trace_headers: b3 }").start().await;
    let single = format!("{TRACE}-{PARENT}-1");
    gate.get("/api/v1/leads/1/").as_role("admin").header("b3", &single).send().await;
    let multiple = gate
        .get("/api/v1/leads/1/")
        .as_role("admin")
        .header("X-B3-TraceId", TRACE)
        .header("X-B3-SpanId", PARENT)
        .header("X-B3-ParentSpanId", "05e3ac9a4f6e3b90");
    multiple.send().await;
    let told = sent(&upstream, 0, "b3").unwrap();
    assert!(told.starts_with(TRACE) && !told.contains(PARENT) && told.ends_with("-1"), "{told}");
    assert_eq!(sent(&upstream, 0, "traceparent").unwrap()[3..35], *TRACE);
    assert_eq!(sent(&upstream, 1, "x-b3-traceid").as_deref(), Some(TRACE));
    assert_ne!(sent(&upstream, 1, "x-b3-spanid").as_deref(), Some(PARENT));
    assert_eq!(sent(&upstream, 1, "x-b3-parentspanid"), None, "it would be a lie");
    let line = gate.access_lines(2).await.remove(0);
    assert_eq!(line["trace_id"], TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn baggage_that_is_too_long_does_not_go_on() {
    let upstream = Upstream::scripted(json_answer(LEAD), Pace::OnePacket).await;
    let gate = gate(&upstream).start().await;
    let long = format!("a={}", "x".repeat(9_000));
    let answer = gate.get("/api/v1/leads/1/").as_role("admin").header("baggage", &long).send();
    assert_eq!(answer.await.status, 200);
    assert_eq!(sent(&upstream, 0, "baggage"), None);
}

/// A stream that is broken off by the CRM is kept as an error, with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_broken_off_is_an_error() {
    let collector = Collector::start(Protocol::Grpc).await;
    let upstream = Upstream::scripted(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"id\""
            .to_vec(),
        Pace::OnePacket,
    )
    .await;
    let gate = gate(&upstream).config(&collector.config(Protocol::Grpc, "share: 0")).start().await;
    let answer = gate.get("/api/v1/leads/1/").as_role("admin").send().await;
    assert_eq!(answer.status, 502);
    let spans = spans(&collector, 3).await;
    let server = spans.iter().find(|span| span.kind() == SpanKind::Server).unwrap();
    assert_eq!(attribute(server, "error.type"), "upstream_closed");
    let status = server.status.as_ref().unwrap();
    assert_eq!(status.code, 2, "{status:?}");
    let mut idle = tokio::net::TcpStream::connect(gate.data).await.unwrap();
    idle.shutdown().await.unwrap();
}
