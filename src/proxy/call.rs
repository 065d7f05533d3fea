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
use super::fresh_read::fresh_read;
use super::gate::Gate;
use super::guards::{self, Guarded};
use super::masking::filter_limits;
use super::recording::{Before, Recorded, Recording};
use super::refused::Refused;
use super::request_head::Forwarding;
use super::upstream::Answer;
use crate::correlation::{CorrelationId, TraceContext};
use crate::event::detect::{Old, Values};
use crate::fail_point;
use crate::policy::emits::Previous;
use crate::policy::{GovernedRoute, Write};
use crate::telemetry::{Refusal, Stage, WriteMoment as Moment, WriteUnrecorded};

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

    let trace = begun.ask_upstream(gate.crm().peer_name());
    let forwarding = Forwarding {
        identifier: gate.identifier(),
        correlation_header: gate.correlation_header(),
        correlation: &begun.correlation,
        trace: &trace,
        causation: call.causation,
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

    let recording = record(gate, session.req_header(), begun, call, &trace).await?;
    begun.exchange.enter(Stage::Upstream, Instant::now());
    let asked = Instant::now();
    let answered = ask(gate, session, &forwarded, &body).await;
    begun.exchange.waited_for_upstream(asked.elapsed());
    begun.exchange.leave(Stage::Upstream, Instant::now());
    let (response, answer) = match answered {
        Ok(answered) => answered,
        Err(failure) => {
            abandon(gate, begun, recording, &failure).await;
            return Err(failure);
        }
    };
    fail_point::pass("call.after_forward");
    begun.exchange.upstream_status = Some(response.status.as_u16());
    drop(body);
    let delivery = Delivery {
        gate,
        session,
        begun,
        call,
        held,
        recording,
        is_repeated: answer.is_repeated(),
        left_out: 0,
        raw: Vec::new(),
        scores: Vec::new(),
    };
    delivery.deliver(&response, answer).await
}

/// Records a watched write before it is forwarded; nothing for any other request.
async fn record(
    gate: &Gate,
    head: &RequestHeader,
    begun: &mut Begun,
    call: &Call,
    trace: &TraceContext,
) -> Result<Option<Recording>, Refused> {
    let (Some(recorder), Some(route)) = (gate.recorder(), &call.route) else { return Ok(None) };
    let write = route.resource.write_of(route.route, &head.method);
    if write == Write::Nothing {
        return Ok(None);
    }
    begun.exchange.enter(Stage::Journal, Instant::now());
    let before = Before {
        call,
        route,
        method: &head.method,
        actor: begun.exchange.user_id(),
        correlation_id: begun.correlation.as_str(),
        traceparent: begun.trace.traceparent(),
    };
    let old = match route.resource.previous_of(route.route, &head.method) {
        Previous::None => Old::Unknown,
        Previous::LastSeen => recorder.last_seen(&before).await,
        Previous::Fetch => match fetch(gate, head, call, route, &begun.correlation, trace).await {
            Some(values) => Old::Known(values),
            None => recorder.last_seen(&before).await,
        },
    };
    let recorded = recorder.begin(before, write, old).await;
    begun.exchange.leave(Stage::Journal, Instant::now());
    let (recording, recorded) = recorded?;
    if recorded == Recorded::Not {
        WriteUnrecorded { moment: Moment::Intent }.emit(gate.telemetry());
    }
    Ok(Some(recording))
}

/// What the record of a write is at the moment, read with the caller's own credentials.
async fn fetch(
    gate: &Gate,
    head: &RequestHeader,
    call: &Call,
    route: &GovernedRoute,
    correlation: &CorrelationId,
    trace: &TraceContext,
) -> Option<Values> {
    let snapshot = &call.policies.snapshot;
    let (path, read) = snapshot.routes().record_of(route, &call.path)?;
    let forwarding = Forwarding {
        identifier: gate.identifier(),
        correlation_header: gate.correlation_header(),
        correlation,
        trace,
        causation: call.causation,
        host: gate.crm().host_header(),
    };
    let (_, body) = fresh_read(gate, head, &path, &forwarding).await.ok()?;
    let limits = filter_limits(gate.limits());
    snapshot.watched_values(&read, &call.roles, &body, limits)
}

/// Concludes a write that nobody answered.
async fn abandon(gate: &Gate, begun: &mut Begun, recording: Option<Recording>, failure: &Failure) {
    let (Some(recorder), Some(recording)) = (gate.recorder(), recording) else { return };
    let reason = match failure {
        Failure::Refused(refused) => refused.reason,
        Failure::Aborted(reason) => *reason,
    };
    let concluded = recorder.abandon(recording, reason).await;
    begun.exchange.events = concluded.tell(gate.telemetry());
}

/// Reads the whole request body, bounded in size and time.
pub(super) async fn read_body(
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
