//! A governed call: read the request, guard the write, ask the CRM, deliver the answer.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora_core::protocols::http::ServerSession;
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::timeout;

use super::admit::Call;
use super::answer::Delivery;
use super::budget::Share;
use super::context::Begun;
use super::gate::Gate;
use super::refused::Refused;
use super::request_head::Forwarding;
use super::upstream::Answer;
use crate::guard::{self, Unreadable};
use crate::telemetry::{Refusal, Stage};

/// How a call ended that did not end well.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was sent: the client gets a problem.
    Refused(Refused),
    /// The head was sent, or the client has left: the connection ends here.
    Aborted(Refusal),
}

impl<T: Into<Refused>> From<T> for Failure {
    fn from(refused: T) -> Self {
        Self::Refused(refused.into())
    }
}

/// Walks a call down the street.
pub(super) async fn run(
    gate: &Gate,
    session: &mut ServerSession,
    begun: &mut Begun,
    call: &Call,
) -> Result<(), Failure> {
    let mut under_way = gate.requests().share();
    if !under_way.grow_to(1) {
        return Err(Refusal::Overloaded.into());
    }
    let mut held = gate.held_bytes().share();
    let body = read_body(gate, session, &mut held).await?;
    begun.exchange.request_bytes = body.len() as u64;
    guard_write(session.req_header(), &body, call)?;

    let trace = begun.ask_upstream(gate.crm().peer_name());
    let forwarding = Forwarding {
        identifier: gate.identifier(),
        correlation_header: gate.correlation_header(),
        correlation: &begun.correlation,
        trace: &trace,
        host: gate.crm().host_header(),
    };
    let head = forwarding
        .governed(session.req_header(), &call.path, body.len())
        .map_err(|_| Refusal::MalformedRequest)?;

    let asked = Instant::now();
    let answered = ask(gate, session, &head, &body).await;
    begun.exchange.waited_for_upstream(asked.elapsed());
    begun.exchange.leave(Stage::Upstream, Instant::now());
    let (response, answer) = answered?;
    begun.exchange.upstream_status = Some(response.status.as_u16());
    drop(body);
    Delivery { gate, session, begun, call, held }.deliver(&response, answer).await
}

/// Reads the whole request body, bounded in size and time.
async fn read_body(
    gate: &Gate,
    session: &mut ServerSession,
    held: &mut Share,
) -> Result<Bytes, Refused> {
    let limit = gate.limits().request_body;
    let head = session.req_header();
    let declared = head.headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(Refusal::BodyTooLarge.into());
    }
    let expects = head
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects && session.write_continue_response().await.is_err() {
        return Err(Refusal::ClientGone.into());
    }
    let reading = async {
        let mut body = BytesMut::new();
        loop {
            match session.read_request_body().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                    return Err(Refusal::BodyTooLarge);
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body.freeze()),
                Err(_) => return Err(Refusal::ClientGone),
            }
            if !held.grow_to(body.len()) {
                return Err(Refusal::HeldBytesExhausted);
            }
        }
    };
    let read = timeout(gate.limits().body_timeout, reading).await;
    Ok(read.unwrap_or(Err(Refusal::BodyTimeout))?)
}

/// Lets a body through only if the caller may write every member of it.
fn guard_write(head: &RequestHeader, body: &[u8], call: &Call) -> Result<(), Refused> {
    let Some(route) = call.route.as_ref().filter(|_| !body.is_empty()) else { return Ok(()) };
    let codings = head.headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.map(http::HeaderValue::as_bytes).any(|coding| coding != b"identity") {
        return Err(Refusal::RequestEncoded.into());
    }
    if !is_plain_json(head) {
        return Err(Refusal::RequestNotJson.into());
    }
    let plan = call.policies.snapshot.write_plan(route, &call.roles)?;
    let fields = guard::violations(&plan.automaton, body)
        .map_err(|_: Unreadable| Refusal::RequestJsonInvalid)?;
    if fields.is_empty() {
        return Ok(());
    }
    Err(Refused { fields, ..Refusal::FieldNotWritable.into() })
}

/// Whether the body is labelled as JSON whose members are the record's members. A JSON Patch
/// (RFC 6902) is not: its members are operations, and the fields stand in values.
fn is_plain_json(head: &RequestHeader) -> bool {
    let mut labels = head.headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(label), None) = (labels.next(), labels.next()) else { return false };
    let essence = label.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    ["application/json", "application/merge-patch+json", "application/vnd.api+json"]
        .contains(&essence.as_str())
}

/// Asks the CRM. A client that leaves ends a read; a write is seen through to its answer.
async fn ask(
    gate: &Gate,
    session: &mut ServerSession,
    head: &RequestHeader,
    body: &Bytes,
) -> Result<(ResponseHeader, Answer), Failure> {
    let asking = gate.crm().call(head, body);
    if !head.method.is_safe() {
        return Ok(asking.await?);
    }
    tokio::select! {
        biased;
        answered = asking => Ok(answered?),
        () = client_gone(session) => Err(Failure::Aborted(Refusal::ClientGone)),
    }
}

/// Resolves when the client closes its connection, and never otherwise.
async fn client_gone(session: &mut ServerSession) {
    if session.read_body_or_idle(true).await.is_ok() {
        std::future::pending::<()>().await;
    }
}
