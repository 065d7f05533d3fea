//! B3, the headers of Zipkin, for a house whose other services still speak it.
//!
//! Read only where the configuration says so, and only where there is no valid `traceparent`. The
//! client's own B3 headers never go on as they are: they name the client's span as the parent of
//! the CRM's. What goes on is in the form in which it came.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Parent, SAMPLED, Share, SpanId, TraceContext, TraceId, lowercase_hex};

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
/// specification wants. Where the client leaves the decision on sampling to us, `share` makes it.
pub(super) fn read(headers: &HeaderMap, share: Share) -> Option<(Parent, Form)> {
    let single = only(headers, &SINGLE).and_then(single);
    let (said, form) = match single {
        Some(said) => (said, Form::Single),
        None => (multiple(headers)?, Form::Multiple),
    };
    let is_sampled = said.sampled.unwrap_or_else(|| share.keeps(said.trace_id));
    let flags = if is_sampled { SAMPLED } else { 0 };
    Some((Parent { trace_id: said.trace_id, span_id: said.span_id, flags }, form))
}

/// What the headers say, before anything is decided.
struct Said {
    trace_id: TraceId,
    span_id: SpanId,
    /// `None` where the client has not decided.
    sampled: Option<bool>,
}

fn multiple(headers: &HeaderMap) -> Option<Said> {
    let is_debug = only(headers, &FLAGS) == Some(b"1");
    Some(Said {
        trace_id: trace_id(only(headers, &TRACE)?)?,
        span_id: span_id(only(headers, &SPAN)?)?,
        sampled: if is_debug { Some(true) } else { sampled(only(headers, &IS_SAMPLED))? },
    })
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
fn single(value: &[u8]) -> Option<Said> {
    let mut parts = value.split(|byte| *byte == b'-');
    let trace_id = trace_id(parts.next()?)?;
    let span_id = span_id(parts.next()?)?;
    let sampled = sampled(parts.next())?;
    let is_whole = parts.next().is_none_or(|parent| lowercase_hex::<8>(parent).is_some());
    (is_whole && parts.next().is_none()).then_some(Said { trace_id, span_id, sampled })
}

/// The sampling state, if there is one; `None` for what is none.
#[expect(clippy::option_option, reason = "an absent state and a wrong one are two things")]
fn sampled(value: Option<&[u8]>) -> Option<Option<bool>> {
    match value {
        None => Some(None),
        Some(b"1" | b"d" | b"true") => Some(Some(true)),
        Some(b"0" | b"false") => Some(Some(false)),
        Some(_) => None,
    }
}

/// Sixteen or eight bytes; the shorter ones stand for the low half.
fn trace_id(digits: &[u8]) -> Option<TraceId> {
    if digits.len() == 16 {
        let low: [u8; 8] = lowercase_hex(digits)?;
        return TraceId::from_bytes(u128::from(u64::from_be_bytes(low)).to_be_bytes());
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
