//! The way out: the CRM's answer through the filter to the client.
//!
//! Up to the hold limit nothing is sent before everything is filtered, so a fault is an honest
//! 502. Beyond it the filtered bytes stream, and a fault ends the connection. Either way no byte
//! of the CRM's body is sent that the filter did not hand out.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;
use time::OffsetDateTime;
use tokio::time::timeout_at;

use super::account;
use super::admit::Call;
use super::budget::Share;
use super::call::Failure;
use super::collector::{Collector, Passed, Roll};
use super::context::Begun;
use super::gate::Gate;
use super::masking::{AnswerFilter, filter_limits, reason, touched};
use super::recording::{Answered, Recording};
use super::refused::Refused;
use super::response_head::{self, Body, Dressing};
use super::score_keeping::Occasion;
use super::scorer::Scorer;
use super::sightings::Sightings;
use super::upstream::Answer;
use crate::audit::Outcome;
use crate::fail_point;
use crate::policy::GovernedRoute;
use crate::score_history::{Cause, LeadKey};
use crate::telemetry::{LeadsScored, Refusal, ScoreLookedUp, Stage};

/// Most bytes read of a body that nobody will see, to keep its connection.
const MOST_DISCARDED: usize = 64 * 1024;

/// What a delivery works with.
pub(super) struct Delivery<'a> {
    pub(super) gate: &'a Gate,
    pub(super) session: &'a mut ServerSession,
    pub(super) begun: &'a mut Begun,
    pub(super) call: &'a Call,
    pub(super) held: Share,
    /// Set for a watched write that is not concluded yet.
    pub(super) recording: Option<Recording>,
    /// Whether an earlier attempt may have been carried out as well.
    pub(super) is_repeated: bool,
    /// Records that passed and are not collected.
    pub(super) left_out: u64,
    /// The raw body of a watched write, as far as the hold limit reaches.
    pub(super) raw: Vec<u8>,
    /// The headers that tell scores.
    pub(super) scores: Vec<(HeaderName, HeaderValue)>,
}

/// The filter of the street.
type StreetFilter = AnswerFilter<Option<Collector>>;

/// A body that was filtered as far as the hold limit reaches.
enum Held {
    /// All of it.
    Whole(Vec<u8>),
    /// Its beginning.
    Beginning(Vec<u8>),
}

impl Delivery<'_> {
    pub(super) async fn deliver(
        mut self,
        response: &ResponseHeader,
        mut answer: Answer,
    ) -> Result<(), Failure> {
        // The CRM's own errors keep their status, even if nothing else of them can be shown.
        let status = response.status;
        let kept_status = (status.is_client_error() || status.is_server_error()).then_some(status);
        let refuse = |reason: Refusal| Failure::Refused(Refused { kept_status, ..reason.into() });
        if let Err(reason) = response_head::check(response) {
            self.conclude(response, None, Vec::new()).await;
            return Err(refuse(reason));
        }

        self.forget_score(status);
        let is_head = self.session.req_header().method == Method::HEAD;
        let has_no_body = is_head
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::RESET_CONTENT
            || status.is_redirection();
        if has_no_body {
            let body = if is_head
                || status == StatusCode::NO_CONTENT
                || status == StatusCode::NOT_MODIFIED
            {
                Body::None
            } else {
                Body::Exact(0)
            };
            self.conclude(response, Some(&[]), Vec::new()).await;
            self.send_head(response, body, true, &answer).await?;
            if discard(&mut answer).await {
                self.gate.crm().release(answer).await;
            }
            return Ok(());
        }

        let filter = self.call.policies.snapshot.street_filter(
            self.call,
            status.is_success(),
            self.collector(status),
            self.gate.ledger().is_some(),
            filter_limits(self.gate.limits()),
        );
        let mut filter = match filter {
            Ok(filter) => filter,
            Err(reason) => {
                self.conclude(response, None, Vec::new()).await;
                return Err(refuse(reason));
            }
        };
        self.begun.exchange.enter(Stage::Filter, Instant::now());
        let held = self.hold(&mut filter, &mut answer).await;
        self.count(&mut filter);
        match held {
            Err(reason) => {
                self.conclude(response, None, Vec::new()).await;
                Err(refuse(reason))
            }
            Ok(Held::Whole(body)) => {
                let raw = std::mem::take(&mut self.raw);
                let passed = passed(&mut filter);
                self.left_out = left_out(&mut filter);
                self.look_back(&mut filter, status);
                self.name_records(&mut filter);
                let seen = self.conclude(response, Some(&raw), passed).await;
                self.send_whole(response, body, &answer).await?;
                self.saw(seen);
                self.gate.crm().release(answer).await;
                Ok(())
            }
            Ok(Held::Beginning(beginning)) => {
                if self.session.req_header().version <= Version::HTTP_10 {
                    // Without chunks its end could not be told from a fault.
                    self.conclude(response, None, Vec::new()).await;
                    return Err(refuse(Refusal::UpstreamTooLarge));
                }
                self.last_known(&mut filter).await;
                let streamed = self.stream(response, beginning, &mut filter, &mut answer).await;
                self.count(&mut filter);
                self.look_back(&mut filter, status);
                self.name_records(&mut filter);
                // One that broke off does not tell which records it was about.
                let passed = if streamed.is_ok() { passed(&mut filter) } else { Vec::new() };
                if streamed.is_ok() {
                    self.left_out = left_out(&mut filter);
                }
                // Until here a watched write counts as one whose outcome is not known, and no
                // client has a whole answer.
                let seen = self.conclude(response, None, passed).await;
                let last = streamed.map_err(Failure::Aborted)??;
                self.send_body(last, true, &answer).await?;
                self.saw(seen);
                self.gate.crm().release(answer).await;
                Ok(())
            }
        }
    }

    /// Looks at the records as they pass: for event rules, for scores, for the activities of leads.
    fn collector(&self, status: StatusCode) -> Option<Collector> {
        let call = self.call;
        let route = call.route.as_ref().filter(|_| status.is_success())?;
        let (snapshot, tenant) = (&call.policies.snapshot, call.tenant.as_deref());
        let resource = &route.resource.name;
        let keeps = self.gate.recorder().is_some()
            && (self.recording.is_some() || snapshot.remembers(resource));
        let now = OffsetDateTime::now_utc();
        let keeper = self.gate.scores();
        let known = || (Arc::clone(keeper.activities()), keeper.history().clone());
        let is_list =
            route.resource.routes.get(route.route).is_some_and(|it| !it.records.means_one_value());
        let scorer = snapshot
            .score_terms(resource, tenant, &call.roles)
            .map(|terms| Scorer::new(terms, known(), tenant, resource, is_list, now));
        let sightings = snapshot.activity_paths(resource, tenant);
        let sightings = sightings.map(|paths| Sightings::new(paths, now));
        let roll = self.gate.ledger().is_some().then(Roll::default);
        let is_wanted = keeps || scorer.is_some() || sightings.is_some() || roll.is_some();
        let watched = snapshot.watched(resource).filter(|_| is_wanted)?;
        Some(Collector::of(watched, keeps, scorer, sightings).with_roll(roll))
    }

    /// Says whose records the client gets.
    fn name_records(&mut self, filter: &mut StreetFilter) {
        let Some(roll) = filter.observer().as_mut().and_then(Collector::take_roll) else { return };
        self.begun.exchange.set_objects(&roll.ids, roll.records);
    }

    /// What was made of the records that passed, for the head and for later.
    fn look_back(&mut self, filter: &mut StreetFilter, status: StatusCode) {
        let Some(collector) = filter.observer().as_mut() else { return };
        let Some(route) = &self.call.route else { return };
        let keeper = self.gate.scores();
        if let Some(sightings) = collector.sightings() {
            let leads = sightings.leads().to_owned();
            let seen = sightings.take(self.call.tenant.as_deref());
            keeper.saw(seen, || self.occasion(route, leads, Cause::Activity, status));
        }
        let Some(scorer) = collector.scorer() else { return };
        self.scores = scorer.headers();
        let resource = route.resource.name.as_str();
        let (qualities, elapsed) = (scorer.qualities().by_word(), scorer.elapsed());
        LeadsScored { resource, qualities, elapsed }.emit(self.gate.telemetry());
        self.begun.exchange.spent(Stage::Score, elapsed, Instant::now());
        let is_read = self.session.req_header().method.is_safe();
        let cause = if is_read { Cause::Read } else { Cause::Write };
        let occasion = self.occasion(route, resource.to_owned(), cause, status);
        keeper.keep(occasion, scorer.take_made());
    }

    fn occasion(
        &self,
        route: &GovernedRoute,
        resource: String,
        cause: Cause,
        status: StatusCode,
    ) -> Occasion {
        Occasion {
            policies: Arc::clone(&self.call.policies),
            tenant: self.call.tenant.clone(),
            resource,
            cause,
            method: self.session.req_header().method.as_str().to_owned(),
            route: Arc::clone(&route.template),
            status: status.as_u16(),
            actor: self.begun.exchange.user_id().map(ToOwned::to_owned),
            correlation_id: self.begun.correlation.as_str().to_owned(),
            traceparent: Some(self.begun.trace.traceparent()),
            causation: self.call.causation,
        }
    }

    /// A lead that was deleted has no score.
    fn forget_score(&self, status: StatusCode) {
        let Some(route) = self.call.route.as_ref().filter(|_| status.is_success()) else { return };
        if self.session.req_header().method != Method::DELETE
            || !self.call.policies.snapshot.scores(&route.resource.name)
        {
            return;
        }
        if let Some(lead) = route.record_id(&self.call.path) {
            let resource = route.resource.name.clone();
            let tenant = self.call.tenant.clone().unwrap_or_default();
            self.gate.scores().history().forget(&LeadKey { tenant, resource, lead });
        }
    }

    /// The last known score of the one lead that is about to be streamed: its head is sent before
    /// the record has ended.
    async fn last_known(&mut self, filter: &mut StreetFilter) {
        let Some(route) = &self.call.route else { return };
        let scorer = filter.observer().as_mut().and_then(Collector::scorer);
        if scorer.is_none_or(|scorer| scorer.is_list()) {
            return;
        }
        let Some(lead) = route.record_id(&self.call.path) else { return };
        let resource = route.resource.name.clone();
        let tenant = self.call.tenant.clone().unwrap_or_default();
        let key = LeadKey { tenant, resource, lead };
        let last = self.gate.scores().history().last(&key).await;
        let Ok((score, found)) = last else { return };
        ScoreLookedUp { found: found.word() }.emit(self.gate.telemetry());
        let Some(score) = score else { return };
        let call = self.call;
        self.scores = call.policies.snapshot.last_known_headers(
            &route.resource.name,
            call.tenant.as_deref(),
            &call.roles,
            &score.score,
            OffsetDateTime::now_utc(),
        );
    }

    /// Concludes a watched write. The records of any other answer come back.
    async fn conclude(
        &mut self,
        response: &ResponseHeader,
        body: Option<&[u8]>,
        passed: Vec<Passed>,
    ) -> Vec<Passed> {
        let (Some(recorder), Some(route)) = (self.gate.recorder(), &self.call.route) else {
            return passed;
        };
        let Some(recording) = self.recording.take() else { return passed };
        let location = response.headers.get(header::LOCATION);
        let answered = Answered {
            status: response.status,
            location: location.and_then(|location| location.to_str().ok()),
            body,
            passed,
            left_out: self.left_out,
            is_repeated: self.is_repeated,
            limits: filter_limits(self.gate.limits()),
        };
        let method = &self.session.req_header().method;
        let concluded = recorder.conclude(recording, self.call, route, method, answered).await;
        self.begun.exchange.events = concluded.tell(self.gate.telemetry());
        Vec::new()
    }

    /// Remembers what was read, after the client has it.
    fn saw(&self, passed: Vec<Passed>) {
        if let (Some(recorder), Some(route)) = (self.gate.recorder(), &self.call.route)
            && !passed.is_empty()
        {
            recorder.saw_all(self.call, route, passed);
        }
    }

    fn count(&mut self, filter: &mut StreetFilter) {
        self.begun.exchange.masked = filter.tally().replaced;
        self.begun.exchange.hidden = filter.tally().removed;
        self.begun.exchange.touched = touched(filter);
        self.begun.exchange.leave(Stage::Filter, Instant::now());
    }

    /// Filters until the body ends or the hold limit is passed.
    async fn hold(
        &mut self,
        filter: &mut StreetFilter,
        answer: &mut Answer,
    ) -> Result<Held, Refusal> {
        let mut out = Vec::new();
        while let Some(chunk) = self.next_chunk(answer).await? {
            fail_point::check("answer.filter").map_err(|_| Refusal::Internal)?;
            filter.push(&chunk, &mut out).map_err(reason)?;
            if self.recording.is_some() {
                self.raw.extend_from_slice(&chunk);
            }
            if out.len().max(self.raw.len()) > self.gate.limits().hold {
                self.raw = Vec::new();
                return Ok(Held::Beginning(out));
            }
            if !self.held.grow_to(out.len() + self.raw.len()) {
                return Err(Refusal::HeldBytesExhausted);
            }
        }
        if answer.received() > 0 {
            filter.finish(&mut out).map_err(reason)?;
        }
        Ok(Held::Whole(out))
    }

    async fn next_chunk(&mut self, answer: &mut Answer) -> Result<Option<Bytes>, Refusal> {
        let asked = Instant::now();
        let chunk = answer.chunk().await;
        self.begun.exchange.waited_for_upstream(asked.elapsed());
        self.begun.exchange.leave(Stage::Upstream, Instant::now());
        let chunk = chunk?;
        if answer.received() > self.gate.limits().response_body {
            return Err(Refusal::UpstreamTooLarge);
        }
        Ok(chunk)
    }

    async fn send_whole(
        &mut self,
        response: &ResponseHeader,
        body: Vec<u8>,
        answer: &Answer,
    ) -> Result<(), Failure> {
        self.send_head(response, Body::Exact(body.len()), body.is_empty(), answer).await?;
        if body.is_empty() {
            return Ok(());
        }
        self.send_body(body, true, answer).await
    }

    /// Sends what was held, then filters and sends the rest as it comes, but for the last of it,
    /// which comes back. The outer result is that of the answer, the inner one that of the client:
    /// without one, the answer to a watched write is read on, for it tells what has happened.
    async fn stream(
        &mut self,
        response: &ResponseHeader,
        beginning: Vec<u8>,
        filter: &mut StreetFilter,
        answer: &mut Answer,
    ) -> Result<Result<Vec<u8>, Failure>, Refusal> {
        let mut client = self.send_head(response, Body::Stream, false, answer).await;
        if client.is_ok() {
            client = self.send_body(beginning, false, answer).await;
        }
        let (mut waiting, mut out) = (Vec::new(), Vec::new());
        loop {
            if self.recording.is_none() {
                // Who only reads waits for nothing.
                if client.is_ok() && !waiting.is_empty() {
                    client = self.send_body(std::mem::take(&mut waiting), false, answer).await;
                }
                if let Err(failure) = client {
                    return Ok(Err(failure));
                }
            }
            let Some(chunk) = self.next_chunk(answer).await? else { break };
            fail_point::check("answer.filter").map_err(|_| Refusal::Internal)?;
            filter.push(&chunk, &mut out).map_err(reason)?;
            if client.is_err() {
                out.clear();
            } else if !out.is_empty() {
                let before = std::mem::replace(&mut waiting, std::mem::take(&mut out));
                if !before.is_empty() {
                    client = self.send_body(before, false, answer).await;
                }
            }
        }
        filter.finish(&mut waiting).map_err(reason)?;
        Ok(client.map(|()| waiting))
    }

    async fn send_head(
        &mut self,
        response: &ResponseHeader,
        body: Body,
        ends: bool,
        answer: &Answer,
    ) -> Result<(), Failure> {
        let dressing = Dressing {
            correlation: (self.gate.correlation_header(), self.begun.correlation.as_str()),
            vary: self.gate.identifier().vary(),
            allowed: &self.call.policies.snapshot.set().global.response_headers,
            query: self.session.req_header().uri.query(),
        };
        let mut head = dressing.dress(response, body).map_err(|_| Refusal::UpstreamMalformed)?;
        if self.session.is_http2() {
            // Frames delimit the body; HTTP/2 knows no transfer codings.
            head.remove_header(&header::TRANSFER_ENCODING);
        }
        for (name, value) in std::mem::take(&mut self.scores) {
            head.insert_header(name, value).map_err(|_| Refusal::Internal)?;
        }
        self.begun.exchange.status = Some(response.status.as_u16());
        let outcome =
            if matches!(body, Body::Stream) { Outcome::Streaming } else { Outcome::Sending };
        account::before_answer(self.gate, self.begun, outcome).await?;
        let sending = async {
            self.session.write_response_header(Box::new(head)).await?;
            if ends { self.session.write_response_body(Bytes::new(), true).await } else { Ok(()) }
        };
        sent(timeout_at(answer.deadline(), sending).await)?;
        fail_point::pass("answer.after_head");
        Ok(())
    }

    async fn send_body(
        &mut self,
        bytes: Vec<u8>,
        ends: bool,
        answer: &Answer,
    ) -> Result<(), Failure> {
        let length = bytes.len() as u64;
        let sending = self.session.write_response_body(Bytes::from(bytes), ends);
        sent(timeout_at(answer.deadline(), sending).await)?;
        self.begun.exchange.response_bytes += length;
        Ok(())
    }
}

/// A client that does not take its answer is as good as gone.
#[expect(clippy::needless_pass_by_value, reason = "called with what a future has just given")]
fn sent<E>(result: Result<pingora_core::Result<()>, E>) -> Result<(), Failure> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Failure::Aborted(Refusal::ClientGone)),
    }
}

/// The records that passed.
fn passed(filter: &mut StreetFilter) -> Vec<Passed> {
    filter.observer().as_mut().map(Collector::take).unwrap_or_default()
}

/// How many records there were beyond them.
fn left_out(filter: &mut StreetFilter) -> u64 {
    filter.observer().as_ref().map_or(0, Collector::left_out)
}

/// Reads the rest of a body that nobody will see; says whether its end was reached.
async fn discard(answer: &mut Answer) -> bool {
    let mut discarded = 0;
    while let Ok(chunk) = answer.chunk().await {
        let Some(chunk) = chunk else { return true };
        discarded += chunk.len();
        if discarded > MOST_DISCARDED {
            break;
        }
    }
    false
}
