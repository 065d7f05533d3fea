//! One record read from the CRM for our own purposes, with the caller's own credentials: what the
//! caller could not read is not read for them.

use bytes::Bytes;
use http::header::{self, HeaderName};
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

/// Reads the record at `path`, whole and unfiltered. It must go nowhere without a filter.
///
/// # Errors
/// There was no answer, or none that is a success and could be filtered. No more is said.
pub(super) async fn fresh_read(
    gate: &Gate,
    from: &RequestHeader,
    path: &CanonicalPath,
    forwarding: &Forwarding<'_>,
) -> Result<(ResponseHeader, Vec<u8>), Refusal> {
    let mut head = forwarding
        .governed(from, &Method::GET, (path, None), 0)
        .map_err(|_| Refusal::MalformedRequest)?;
    for name in OF_THE_WRITE {
        head.remove_header(&name);
    }
    let (response, mut answer) = gate.crm().call(&head, &Bytes::new()).await?;
    response_head::check(&response)?;
    if response.status != StatusCode::OK {
        return Err(Refusal::UpstreamNoRecord);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > gate.limits().hold {
            return Err(Refusal::UpstreamTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    gate.crm().release(answer).await;
    Ok((response, body))
}
