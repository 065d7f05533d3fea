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
use super::guards::{self, Guarded};
use super::refused::Refused;
use super::request_head::Forwarding;
use super::upstream::Answer;
use crate::telemetry::Refusal;

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
    let guarded = guards::guard(gate, session, begun, call, body, &mut held).await?;
    let Guarded { query, body, if_match } = guarded;

    let trace = begun.trace.child(&mut rand::rng());
    let forwarding = Forwarding {
        identifier: gate.identifier(),
        correlation_header: gate.correlation_header(),
        correlation: &begun.correlation,
        trace: &trace,
        host: gate.crm().host_header(),
    };
    let from = session.req_header();
    let target = (&call.path, query.as_deref());
    let mut forwarded = forwarding
        .governed(from, &from.method, target, body.len())
        .map_err(|_| Refusal::MalformedRequest)?;
    if let Some(tag) = if_match
        && !forwarded.headers.contains_key(header::IF_MATCH)
    {
        forwarded.insert_header(header::IF_MATCH, tag).map_err(|_| Refusal::MalformedRequest)?;
    }

    let asked = Instant::now();
    let answered = ask(gate, session, &forwarded, &body).await;
    begun.exchange.waited_for_upstream(asked.elapsed());
    let (response, answer) = answered?;
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
