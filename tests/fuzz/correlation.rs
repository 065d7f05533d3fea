//! Correlation id and trace context: whatever the client sends, what is carried on is well-formed.

use fieldgate::correlation::{CorrelationId, TRACEPARENT, TraceContext};
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::identity::headers;

/// Header lines.
pub fn correlation(lines: &[u8]) {
    let headers = headers(lines);
    let random = || StdRng::seed_from_u64(7);
    let name = HeaderName::from_static("x-correlation-id");
    let id = CorrelationId::accept(&headers, &name, &mut random());
    assert_eq!(CorrelationId::parse(id.as_str()).as_ref(), Some(&id));
    assert!(HeaderValue::from_str(id.as_str()).is_ok());

    let trace = TraceContext::accept(&headers, &mut random());
    let parent = trace.traceparent();
    let form: String = parent.bytes().map(|byte| if byte == b'-' { '-' } else { 'x' }).collect();
    assert_eq!(form, "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx");
    assert!(parent.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f')));
    assert!(trace.tracestate().is_none_or(|state| state.len() <= 512 && state.to_str().is_ok()));
    assert!(trace.tracestate().is_none() || trace.parent_span_id().is_some());

    // The next hop reads what we send as we meant it.
    let mut sent = HeaderMap::new();
    sent.insert(TRACEPARENT, HeaderValue::from_str(&parent).expect("hex digits and hyphens"));
    let next = TraceContext::accept(&sent, &mut random());
    assert_eq!(next.trace_id(), trace.trace_id());
    assert_eq!(next.parent_span_id(), Some(trace.span_id()));
    assert_eq!(next.is_sampled(), trace.is_sampled());
}
