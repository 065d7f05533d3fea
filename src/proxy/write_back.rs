//! The fresh read before a write: the record as it is, with the caller's own credentials.
//!
//! What the CRM would not show the caller is not read here either. The answer goes through the same
//! filter as any answer to this caller; what the filter was given is compared and sent back to the
//! CRM, and never leaves otherwise.

use std::time::Instant;

use http::Method;
use http::header::{self, HeaderValue};
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;

use super::admit::Call;
use super::budget::Share;
use super::call::Failure;
use super::context::Begun;
use super::fresh_read::{FreshRead, read_record};
use super::gate::Gate;
use super::masking::filter_limits;
use super::request_head::Forwarding;
use crate::json::path::FieldPath;
use crate::policy::{GovernedRoute, Match};

/// A record that was read a moment ago.
pub(super) struct FreshRecord {
    /// The CRM's answer.
    pub(super) real: Vec<u8>,
    /// What the caller is shown of it.
    pub(super) shown: Vec<u8>,
    /// Where the record stands in either.
    pub(super) records: FieldPath,
    /// Its strong validator, if the CRM gave one.
    pub(super) etag: Option<HeaderValue>,
}

/// What a fresh read came to.
pub(super) enum Fresh {
    Record(FreshRecord),
    /// There is no record yet.
    Absent,
    /// The caller cannot read it, or not as one record.
    Unreadable,
}

/// Reads the record at the path of a write. `body` is the size of what is held of the request.
pub(super) async fn read(
    gate: &Gate,
    session: &ServerSession,
    begun: &mut Begun,
    call: &Call,
    body: usize,
    held: &mut Share,
) -> Result<Fresh, Failure> {
    let Some(route) = readable(call) else { return Ok(Fresh::Unreadable) };
    let Some(records) = route.declared().map(|route| route.records.clone()) else {
        return Ok(Fresh::Unreadable);
    };
    let forwarding = Forwarding {
        identifier: gate.identifier(),
        correlation_header: gate.correlation_header(),
        correlation: &begun.correlation,
        trace: &begun.trace,
        causation: call.causation,
        host: gate.crm().host_header(),
    };
    let asked = Instant::now();
    // Twice: as it came, and as it is shown.
    let may_hold = |real: usize| held.grow_to(body + 2 * real);
    let head = session.req_header();
    let read = read_record(gate, head, &call.path, &forwarding, may_hold).await;
    begun.exchange.waited_for_upstream(asked.elapsed());
    let (response, real) = match read? {
        FreshRead::Record(response, real) => (response, real),
        FreshRead::Absent => return Ok(Fresh::Absent),
        FreshRead::Unreadable => return Ok(Fresh::Unreadable),
    };

    let mut filter = call.policies.snapshot.answer_filter(
        Some(&route),
        &call.roles,
        call.tenant.as_deref(),
        true,
        filter_limits(gate.limits()),
    )?;
    let mut shown = Vec::new();
    let filtered = filter.push(&real, &mut shown).and_then(|()| filter.finish(&mut shown));
    if filtered.is_err() {
        return Ok(Fresh::Unreadable);
    }
    let etag = strong_etag(&response);
    Ok(Fresh::Record(FreshRecord { real, shown, records, etag }))
}

/// The route that reads what the call writes, if one is declared for the same resource.
fn readable(call: &Call) -> Option<GovernedRoute> {
    let written = call.route.as_ref()?;
    match call.policies.snapshot.routes().find(&Method::GET, &call.path) {
        Match::Governed(route) if route.resource.name == written.resource.name => Some(route),
        _ => None,
    }
}

/// The validator that the write may depend on. A weak one never matches (RFC 9110, section 13.1.1).
fn strong_etag(response: &ResponseHeader) -> Option<HeaderValue> {
    let mut tags = response.headers.get_all(header::ETAG).iter();
    let (Some(tag), None) = (tags.next(), tags.next()) else { return None };
    let bytes = tag.as_bytes();
    let is_strong = bytes.len() > 2 && bytes.starts_with(b"\"") && bytes.ends_with(b"\"");
    is_strong.then(|| tag.clone())
}
