//! W3C Trace Context: the trace that a request belongs to, and our spans in it.
//!
//! Reads `traceparent` strictly and as the specification wants later versions read; whatever does
//! not hold begins a new trace, and its `tracestate` is dropped with it.

mod b3;
mod share;

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::Rng;

pub use b3::B3_HEADERS;
pub use share::{Share, ShareError};

/// The header with trace id, span id and flags.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header with what other tracing systems want carried along.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What the specification asks everyone to carry; a longer state is dropped whole.
const MAX_STATE_BYTES: usize = 512;
/// Length of `00-<trace id>-<span id>-<flags>`.
const PARENT_BYTES: usize = 55;

const SAMPLED: u8 = 0b01;
/// The trace id is random (Trace Context level 2).
const RANDOM: u8 = 0b10;

/// The id of a trace. Invariant: not all zeros. Shown as 32 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span. Invariant: not all zeros. Shown as 16 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// One span of a trace, and what is carried on from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    parent: Option<SpanId>,
    flags: u8,
    state: Option<HeaderValue>,
    b3: Option<b3::Form>,
}

/// How traces are taken over from clients and begun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Propagation {
    /// Whether B3 headers are read where there is no valid `traceparent`.
    pub b3: bool,
    /// How many of the traces that begin here are marked as sampled.
    pub share: Share,
}

impl Default for Propagation {
    /// W3C headers only; every new trace is marked as sampled, for others may keep it.
    fn default() -> Self {
        Self { b3: false, share: Share::ALL }
    }
}

impl Propagation {
    /// Our span for a request: in the client's trace where it sends a valid one, else in a new one.
    pub fn accept(&self, headers: &HeaderMap, random: &mut impl Rng) -> TraceContext {
        let span_id = SpanId(random_id(random));
        let continued = |parent: Parent, state, b3| TraceContext {
            trace_id: parent.trace_id,
            span_id,
            parent: Some(parent.span_id),
            flags: parent.flags,
            state,
            b3,
        };
        let b3 = self.b3.then(|| b3::read(headers, self.share)).flatten();
        if let Some(parent) = Parent::of(headers) {
            return continued(parent, state(headers), b3.map(|(_, form)| form));
        }
        if let Some((parent, form)) = b3 {
            return continued(parent, None, Some(form));
        }
        let trace_id = TraceId(random_id(random));
        let flags = if self.share.keeps(trace_id) { SAMPLED | RANDOM } else { RANDOM };
        TraceContext { trace_id, span_id, parent: None, flags, state: None, b3: None }
    }

    /// A span of a trace of its own, marked as sampled as the span was that caused it, or by the
    /// share where none did.
    pub fn begin(&self, cause: Option<&TraceContext>, random: &mut impl Rng) -> TraceContext {
        let mut trace = self.accept(&HeaderMap::new(), random);
        if let Some(cause) = cause {
            trace.flags = RANDOM | (cause.flags & SAMPLED);
        }
        trace
    }
}

impl TraceContext {
    /// Our span for a request, with W3C headers only and every new trace marked as sampled.
    pub fn accept(headers: &HeaderMap, random: &mut impl Rng) -> Self {
        Propagation::default().accept(headers, random)
    }

    /// The span that a `traceparent` names, as one that somebody else has made.
    #[must_use]
    pub fn of_traceparent(value: &str) -> Option<Self> {
        let Parent { trace_id, span_id, flags } = Parent::parse(value.as_bytes())?;
        Some(Self { trace_id, span_id, parent: None, flags, state: None, b3: None })
    }

    /// A span of a trace of its own, for what no request has caused.
    pub fn begin(random: &mut impl Rng) -> Self {
        Propagation::default().accept(&HeaderMap::new(), random)
    }

    /// A span below this one, such as the call to the CRM.
    #[must_use]
    pub fn child(&self, random: &mut impl Rng) -> Self {
        let span_id = SpanId(random_id(random));
        Self { span_id, parent: Some(self.span_id), ..self.clone() }
    }

    /// The trace.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// This span.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// The span above; `None` where the trace begins here.
    #[must_use]
    pub fn parent_span_id(&self) -> Option<SpanId> {
        self.parent
    }

    /// The B3 headers for a call made in this span; none unless the client sent such.
    #[must_use]
    pub fn b3(&self) -> Vec<(HeaderName, HeaderValue)> {
        self.b3.map(|form| b3::write(self, form)).unwrap_or_default()
    }

    /// Whether the caller may have recorded this trace; for a trace that begins here, whether it
    /// belongs to the share that is kept.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of `traceparent` for a call made in this span.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }

    /// The value of `tracestate` for a call made in this span, as the client sent it.
    #[must_use]
    pub fn tracestate(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }
}

/// What a valid `traceparent` says.
struct Parent {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
}

impl Parent {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value.as_bytes())
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(PARENT_BYTES)?;
        let mut fields = known.split(|byte| *byte == b'-');
        let [version] = lowercase_hex(fields.next()?)?;
        // A later version may add fields behind another hyphen; 255 is not a version.
        let may_go_on = match version {
            0 => rest.is_empty(),
            1..=254 => rest.is_empty() || rest.starts_with(b"-"),
            255 => false,
        };
        let trace_id = lowercase_hex(fields.next()?).filter(|id| *id != [0; 16])?;
        let span_id = lowercase_hex(fields.next()?).filter(|id| *id != [0; 8])?;
        let [flags] = lowercase_hex(fields.next()?)?;
        // Flags without a meaning yet must not be passed on.
        let flags = flags & (SAMPLED | RANDOM);
        may_go_on.then_some(Self { trace_id: TraceId(trace_id), span_id: SpanId(span_id), flags })
    }
}

/// Exactly `2 * N` lowercase hex digits.
fn lowercase_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let bytes = data_encoding::HEXLOWER.decode(digits).ok()?;
    bytes.try_into().ok()
}

/// All `tracestate` headers as one, which is what repeating a list header means.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines: Option<Vec<&str>> =
        headers.get_all(&TRACESTATE).iter().map(|value| value.to_str().ok()).collect();
    let lines = lines?.into_iter().map(str::trim).filter(|line| !line.is_empty());
    let joined = lines.collect::<Vec<_>>().join(",");
    if joined.is_empty() || joined.len() > MAX_STATE_BYTES {
        return None;
    }
    HeaderValue::from_str(&joined).ok()
}

impl TraceId {
    /// The id of these bytes, unless they are all zeros.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    /// The id of these bytes, unless they are all zeros.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

/// Random bytes that are not all zeros.
fn random_id<const N: usize>(random: &mut impl Rng) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill_bytes(&mut bytes);
    if bytes == [0; N] { [1; N] } else { bytes }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        data_encoding::HEXLOWER.encode_display(&self.0).fmt(formatter)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        data_encoding::HEXLOWER.encode_display(&self.0).fmt(formatter)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
