//! What ties together everything that one request causes: correlation id and trace context.
//!
//! Both are accepted from the client only in their strict form and minted anew otherwise, so no
//! header value of a client reaches a log line unchecked. Pure: headers and randomness are
//! arguments; nothing is logged.

mod id;
mod trace;

pub use id::{CorrelationId, X_REQUEST_ID};
pub use trace::{
    B3_HEADERS, Propagation, Share, ShareError, SpanId, TRACEPARENT, TRACESTATE, TraceContext,
    TraceId,
};
