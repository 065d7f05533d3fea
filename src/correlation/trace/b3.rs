//! B3, the headers of Zipkin, for a house whose other services still speak it.
//!
//! Read only where the configuration says so, and only where there is no valid `traceparent`. The
//! client's own B3 headers never go on as they are: they name the client's span as the parent of
//! the CRM's. What goes on is in the form in which it came.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Parent, SAMPLED, SpanId, TraceContext, TraceId, lowercase_hex};

const SINGLE: HeaderName = HeaderName::from_static("b3");
const TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const IS_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Every header of B3, in either form.
pub const B3_HEADERS: [HeaderName; 6] = [SINGLE, TRACE, SPAN, PARENT, IS_SAMPLED, FLAGS];

/// How a trace came, and how it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One header, `b3`.
    Single,
    /// One header a part, `x-b3-...`.
    Multiple,
}

/// What the client's B3 headers say, and their form. The single header goes first, as its
/// specification wants.
pub(super) fn read(headers: &HeaderMap) -> Option<(Parent, Form)> {
    if let Some(parent) = only(headers, &SINGLE).and_then(single) {
        return Some((parent, Form::Single));
    }
    let is_debug = only(headers, &FLAGS) == Some(b"1");
    let flags = if is_debug { SAMPLED } else { flag(only(headers, &IS_SAMPLED))? };
    let parent = Parent {
        trace_id: trace_id(only(headers, &TRACE)?)?,
        span_id: span_id(only(headers, &SPAN)?)?,
        flags,
    };
    Some((parent, Form::Multiple))
}

/// The headers for a call made in `span`.
pub(super) fn write(span: &TraceContext, form: Form) -> Vec<(HeaderName, HeaderValue)> {
    let sampled = if span.is_sampled() { "1" } else { "0" };
    let parts = match form {
        Form::Single => {
            vec![(SINGLE, format!("{}-{}-{sampled}", span.trace_id, span.span_id))]
        }
        Form::Multiple => vec![
            (TRACE, span.trace_id.to_string()),
            (SPAN, span.span_id.to_string()),
            (IS_SAMPLED, sampled.to_owned()),
        ],
    };
    let value =
        |(name, text): (HeaderName, String)| Some((name, HeaderValue::from_str(&text).ok()?));
    parts.into_iter().filter_map(value).collect()
}

/// `<trace id>-<span id>`, then perhaps the sampling state and the parent. A state alone, which
/// says only that nothing is to be sampled, begins no trace.
fn single(value: &[u8]) -> Option<Parent> {
    let mut parts = value.split(|byte| *byte == b'-');
    let trace_id = trace_id(parts.next()?)?;
    let span_id = span_id(parts.next()?)?;
    let flags = flag(parts.next())?;
    let is_whole = parts.next().is_none_or(|parent| lowercase_hex::<8>(parent).is_some());
    (is_whole && parts.next().is_none()).then_some(Parent { trace_id, span_id, flags })
}

/// An absent state leaves the decision to us, as if the trace began here: it is taken as sampled.
fn flag(value: Option<&[u8]>) -> Option<u8> {
    match value {
        None | Some(b"1" | b"d" | b"true") => Some(SAMPLED),
        Some(b"0" | b"false") => Some(0),
        Some(_) => None,
    }
}

/// Sixteen or eight bytes; the shorter ones stand for the low half.
fn trace_id(digits: &[u8]) -> Option<TraceId> {
    if digits.len() == 16 {
        let [a, b, c, d, e, f, g, h]: [u8; 8] = lowercase_hex(digits)?;
        return TraceId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h]);
    }
    TraceId::from_bytes(lowercase_hex(digits)?)
}

fn span_id(digits: &[u8]) -> Option<SpanId> {
    SpanId::from_bytes(lowercase_hex(digits)?)
}

/// The value of a header that comes once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}
