//! The scoring API as clients have it, on the data listener, where the policies turn it on.
//!
//! A caller is told the score of a lead that the CRM shows to this very caller, at this very moment:
//! the lead is read with the caller's own credentials, and a lead that the CRM does not show has no
//! score. Of it as much is told as its headers would tell.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora_core::protocols::http::ServerSession;
use pingora_http::{RequestHeader, ResponseHeader};

use super::account;
use super::admit::Call;
use super::call::{Failure, read_body};
use super::context::Begun;
use super::fresh_read::fresh_read;
use super::gate::Gate;
use super::request_head::Forwarding;
use super::score_call::{AskedId, Parameters, Text, Wanted, asked_ids};
use super::score_desk::{Configured, put_in_force, told_of_rules};
use super::score_keeping::Occasion;
use super::score_reading::{is_called, records_of, score_record};
use super::scorer::Qualities;
use crate::audit::Outcome;
use crate::correlation::TraceContext;
use crate::problem::CONTENT_TYPE;
use crate::score::{Rendering, Score};
use crate::score_history::{Cause, LeadKey, Scored};
use crate::telemetry::{LeadsScored, Refusal, Stage};

/// Answers a question about scores.
pub(super) async fn run(
    gate: &Gate,
    session: &mut ServerSession,
    begun: &mut Begun,
    call: &Call,
    wanted: &Wanted,
) -> Result<(), Failure> {
    let mut under_way = gate.requests().share();
    if !under_way.grow_to(1) {
        return Err(Refusal::Overloaded.into());
    }
    let head = session.req_header();
    if !wanted.takes(&head.method) {
        return Err(Refusal::NoRoute.into());
    }
    let parameters = Parameters::read(head.uri.query()).ok_or(Refusal::ScoreRequestInvalid)?;
    if parameters.company.is_some() || !parameters.roles.is_empty() {
        // Both are the caller's own.
        return Err(Refusal::ScoreRequestInvalid.into());
    }
    let mut held = gate.held_bytes().share();
    let body = read_body(gate, session, &mut held).await?;
    begun.exchange.request_bytes = body.len() as u64;
    if let Wanted::Configure(company) = wanted {
        return configure(gate, session, begun, call, (company, &body)).await;
    }
    let governance = &call.policies.snapshot;
    let resource = parameters.resource(governance).ok_or(Refusal::ScoreRequestInvalid)?;
    begun.exchange.resource = Some(resource.into());
    let terms = governance.score_terms(resource, call.tenant.as_deref(), &call.roles);
    if terms.is_none_or(|terms| terms.withholds()) {
        return Err(Refusal::ScoreWithheld.into());
    }
    let head = session.req_header().clone();
    let trace = begun.ask_upstream(gate.crm().peer_name());
    let mut desk = Desk { gate, begun, call, head: &head, trace, resource, made: Vec::new() };
    let mut text = Text::default();
    match wanted {
        Wanted::Score(lead) => {
            let score = desk.score(lead).await?;
            text.score(lead, &desk.rendering(&score)?, "");
        }
        Wanted::Bulk => {
            let ids = asked_ids(&body).ok_or(Refusal::ScoreRequestInvalid)?;
            text.begin_results();
            for asked in ids {
                text.next_result();
                desk.result(&mut text, &asked).await?;
            }
            text.end_results();
        }
        Wanted::History(lead) => {
            // Whoever is not shown the lead is not shown its past.
            desk.score(lead).await?;
            let past = gate.scores().history();
            let past = past.history(desk.key(lead), parameters.most_past()).await;
            let past = past.map_err(|_| Refusal::StoreUnavailable)?;
            let mut seen = Vec::new();
            for past in &past {
                seen.push((desk.rendering(&past.score)?, past.cause));
            }
            text.history(lead, &seen);
        }
        Wanted::Configure(_) | Wanted::Refresh => return Err(Refusal::NoRoute.into()),
    }
    desk.keep();
    send(gate, session, begun, (StatusCode::OK, "application/json"), text.into_bytes()).await
}

/// What a question is answered with.
struct Desk<'a> {
    gate: &'a Gate,
    begun: &'a mut Begun,
    call: &'a Call,
    head: &'a RequestHeader,
    trace: TraceContext,
    resource: &'a str,
    made: Vec<Scored>,
}

impl Desk<'_> {
    fn key(&self, lead: &str) -> LeadKey {
        LeadKey {
            tenant: self.call.tenant.clone().unwrap_or_default(),
            resource: self.resource.to_owned(),
            lead: lead.to_owned(),
        }
    }

    /// Reads a lead as the caller may read it, and scores it.
    async fn score(&mut self, lead: &str) -> Result<Score, Refusal> {
        let governance = &self.call.policies.snapshot;
        let scoring = governance.set().scoring.as_ref().ok_or(Refusal::Internal)?;
        let plan = scoring.plan(self.resource, self.call.tenant.as_deref());
        let plan = plan.ok_or(Refusal::Internal)?;
        let place = governance.routes().record_by_id(self.resource, lead);
        let (path, route) = place.ok_or(Refusal::NoSuchLead)?;
        let forwarding = Forwarding {
            identifier: self.gate.identifier(),
            correlation_header: self.gate.correlation_header(),
            correlation: &self.begun.correlation,
            trace: &self.trace,
            causation: self.call.causation,
            host: self.gate.crm().host_header(),
        };
        self.begun.exchange.add_object(lead);
        self.begun.exchange.enter(Stage::Upstream, Instant::now());
        let asked = Instant::now();
        let read = fresh_read(self.gate, self.head, &path, &forwarding).await;
        self.begun.exchange.waited_for_upstream(asked.elapsed());
        self.begun.exchange.leave(Stage::Upstream, Instant::now());
        let (_, body) = read.map_err(|reason| match reason {
            Refusal::UpstreamNoRecord => Refusal::NoSuchLead,
            other => other,
        })?;
        let records = records_of(&route, &body);
        let [record] = records.as_slice() else { return Err(Refusal::NoSuchLead) };
        if !is_called(&route, record, lead) {
            return Err(Refusal::NoSuchLead);
        }
        let activities = self.gate.scores().activities();
        let began = Instant::now();
        let scored = score_record(plan, activities, self.key(lead), record.as_bytes());
        let scored = scored.ok_or(Refusal::JsonInvalid)?;
        let mut qualities = Qualities::default();
        qualities.add(scored.score.quality());
        let (qualities, elapsed) = (qualities.by_word(), began.elapsed());
        LeadsScored { resource: self.resource, qualities, elapsed }.emit(self.gate.telemetry());
        self.begun.exchange.spent(Stage::Score, elapsed, Instant::now());
        let score = scored.score.clone();
        self.made.push(scored);
        Ok(score)
    }

    fn rendering<'s>(&self, score: &'s Score) -> Result<Rendering<'s>, Refusal> {
        let Call { policies, tenant, roles, .. } = self.call;
        let tenant = tenant.as_deref();
        let rendering = policies.snapshot.kept_rendering(self.resource, tenant, roles, score);
        rendering.ok_or(Refusal::ScoreWithheld)
    }

    async fn result(&mut self, text: &mut Text, asked: &AskedId) -> Result<(), Refusal> {
        match self.score(&asked.id).await {
            Ok(score) => text.result(asked, Ok((&self.rendering(&score)?, ""))),
            Err(reason @ Refusal::NoSuchLead) => text.result(asked, Err(reason.name())),
            Err(reason) => return Err(reason),
        }
        Ok(())
    }

    /// Has kept what was calculated.
    fn keep(&mut self) {
        let occasion = Occasion {
            policies: Arc::clone(&self.call.policies),
            tenant: self.call.tenant.clone(),
            resource: self.resource.to_owned(),
            cause: Cause::Read,
            method: Method::GET.as_str().to_owned(),
            route: self.begun.exchange.route.clone().unwrap_or_else(|| "unmatched".into()),
            status: StatusCode::OK.as_u16(),
            actor: self.begun.exchange.user_id().map(ToOwned::to_owned),
            correlation_id: self.begun.correlation.as_str().to_owned(),
            traceparent: Some(self.begun.trace.traceparent()),
            causation: self.call.causation,
        };
        self.gate.scores().keep(occasion, std::mem::take(&mut self.made));
    }
}

/// Puts rules for the caller's own company in force, where a role of the caller may do that.
async fn configure(
    gate: &Gate,
    session: &mut ServerSession,
    begun: &mut Begun,
    call: &Call,
    (company, body): (&str, &Bytes),
) -> Result<(), Failure> {
    let scoring = call.policies.snapshot.set().scoring.as_ref();
    let may = scoring.is_some_and(|scoring| {
        call.roles.iter().any(|role| scoring.configure.contains(role))
            && call.tenant.as_deref() == Some(company)
    });
    let Some(configure) = gate.configure().filter(|_| may) else {
        return Err(Refusal::NoRoute.into());
    };
    let configured: Configured = put_in_force(configure, company, body).await;
    match told_of_rules(company, configured) {
        Ok(told) => send(gate, session, begun, (StatusCode::OK, "application/json"), told).await,
        Err(problem) => {
            begun.exchange.refusal = Some(Refusal::ScoringRefused);
            let problem = problem.correlation_id(begun.correlation.as_str());
            send(gate, session, begun, (problem.status(), CONTENT_TYPE), problem.to_json()).await
        }
    }
}

async fn send(
    gate: &Gate,
    session: &mut ServerSession,
    begun: &mut Begun,
    (status, content_type): (StatusCode, &'static str),
    body: Vec<u8>,
) -> Result<(), Failure> {
    let build = || -> pingora_core::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(status, Some(8))?;
        head.insert_header(header::CONTENT_TYPE, content_type)?;
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
        head.insert_header(header::CACHE_CONTROL, "private, no-store")?;
        head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
        head.insert_header(header::VARY, gate.identifier().vary().clone())?;
        head.insert_header(gate.correlation_header().clone(), begun.correlation.as_str())?;
        Ok(head)
    };
    let head = build().map_err(|_| Refusal::Internal)?;
    begun.exchange.status = Some(status.as_u16());
    account::before_answer(gate, begun, Outcome::Sending).await?;
    begun.exchange.response_bytes = body.len() as u64;
    let sending = async {
        session.write_response_header(Box::new(head)).await?;
        session.write_response_body(Bytes::from(body), true).await
    };
    sending.await.map_err(|_| Failure::Aborted(Refusal::ClientGone))
}
