//! One record read from the CRM for our own purposes, with the caller's own credentials: what the
//! caller could not read is not read for them.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};

use super::gate::Gate;
use super::request_head::Forwarding;
use super::response_head;
use crate::policy::CanonicalPath;
use crate::telemetry::Refusal;

/// Headers that speak of the body, or of the write itself.
const OF_THE_WRITE: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    HeaderName::from_static("idempotency-key"),
];

/// What a read came to.
pub(super) enum FreshRead {
    /// The answer, whole and unfiltered. It must go nowhere without a filter.
    Record(Box<ResponseHeader>, Vec<u8>),
    /// There is no record.
    Absent,
    /// The caller cannot read it, or what came cannot be filtered, or is too large to be held.
    Unreadable,
}

/// Reads the record at `path`, for which there is room anyway.
///
/// # Errors
/// There was no answer, or none that is the record and could be filtered. No more is said.
pub(super) async fn fresh_read(
    gate: &Gate,
    from: &RequestHeader,
    path: &CanonicalPath,
    forwarding: &Forwarding<'_>,
) -> Result<(ResponseHeader, Vec<u8>), Refusal> {
    match read_record(gate, from, path, forwarding, |_| true).await? {
        FreshRead::Record(response, body) => Ok((*response, body)),
        FreshRead::Absent | FreshRead::Unreadable => Err(Refusal::UpstreamNoRecord),
    }
}

/// Reads the record at `path`. `may_hold` is asked whether so many bytes may be held.
///
/// # Errors
/// There was no answer, or no room for it.
pub(super) async fn read_record(
    gate: &Gate,
    from: &RequestHeader,
    path: &CanonicalPath,
    forwarding: &Forwarding<'_>,
    mut may_hold: impl FnMut(usize) -> bool,
) -> Result<FreshRead, Refusal> {
    let mut head = forwarding
        .governed(from, &Method::GET, (path, None), 0)
        .map_err(|_| Refusal::MalformedRequest)?;
    for name in OF_THE_WRITE {
        head.remove_header(&name);
    }
    head.insert_header(header::ACCEPT, HeaderValue::from_static("application/json"))
        .map_err(|_| Refusal::MalformedRequest)?;
    let (response, mut answer) = gate.crm().call(&head, &Bytes::new()).await?;
    match response.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(FreshRead::Absent),
        _ => return Ok(FreshRead::Unreadable),
    }
    if response_head::check(&response).is_err() {
        return Ok(FreshRead::Unreadable);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > gate.limits().hold {
            return Ok(FreshRead::Unreadable);
        }
        body.extend_from_slice(&chunk);
        if !may_hold(body.len()) {
            return Err(Refusal::HeldBytesExhausted);
        }
    }
    gate.crm().release(answer).await;
    Ok(FreshRead::Record(Box::new(response), body))
}
