//! The guards at work: what the request asks, and what it writes.

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderValue};
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;

use super::admit::Call;
use super::budget::Share;
use super::call::Failure;
use super::context::Begun;
use super::gate::Gate;
use super::governance::{CallerSight, WriteGuard};
use super::refused::Refused;
use super::write_back::{self, Fresh};
use crate::guard::query::{self, Malformed, Verdict};
use crate::guard::{
    self, Current, Denied, Form, Known, Look, LookedUp, Settled, Unreadable, Update, Vaulted,
};
use crate::policy::GovernedRoute;
use crate::policy::query::Dialect;
use crate::policy::set::Writes;
use crate::telemetry::{Refusal, WriteReported};

/// What is forwarded of a request that was let through.
#[derive(Debug)]
pub(super) struct Guarded {
    /// The query string.
    pub(super) query: Option<String>,
    /// The body.
    pub(super) body: Bytes,
    /// The validator of the record that the body was settled against.
    pub(super) if_match: Option<HeaderValue>,
}

/// Lets a request through as far as its caller may ask and write.
pub(super) async fn guard(
    gate: &Gate,
    session: &ServerSession,
    begun: &mut Begun,
    call: &Call,
    body: Bytes,
    held: &mut Share,
) -> Result<Guarded, Failure> {
    let asking = session.req_header();
    let asked = asking.uri.query();
    let Some(route) = &call.route else {
        let query = asked.map(ToOwned::to_owned);
        return Ok(Guarded { query, body, if_match: None });
    };
    let sight = call.policies.snapshot.sight(&call.roles);
    let query = guard_query(&sight, route, asked, begun, call.causation.is_some())?;
    if let Some(query) = &query {
        guard_merged(gate, &sight, (route, call), &asking.method, query, begun)?;
    }
    if body.is_empty() {
        return Ok(Guarded { query, body, if_match: None });
    }
    let codings = asking.headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.map(HeaderValue::as_bytes).any(|coding| coding != b"identity") {
        return Err(Refusal::RequestEncoded.into());
    }
    let is_search = route.declared().is_some_and(|route| route.is_search);
    if is_search || asking.method.is_safe() {
        guard_search(&sight, route, asking, &body)?;
        return Ok(Guarded { query, body, if_match: None });
    }
    let write = Write { gate, session, call, route };
    let (body, if_match) = write.guard(begun, body, held).await?;
    Ok(Guarded { query, body, if_match })
}

fn guard_query(
    sight: &CallerSight<'_>,
    route: &GovernedRoute,
    asked: Option<&str>,
    begun: &mut Begun,
    is_errand: bool,
) -> Result<Option<String>, Refused> {
    let Some(asked) = asked else { return Ok(None) };
    let verdict = query::decide(sight, &route.resource.name, asked);
    match verdict.map_err(|Malformed| Refusal::BadQuery)? {
        Verdict::Fine => Ok(Some(asked.to_owned())),
        // With a question less an export would hold more than it was asked for.
        Verdict::Reduced { .. } if is_errand => Err(Refusal::OracleParam.into()),
        Verdict::Reduced { query, dropped } => {
            begun.exchange.parameters_dropped = dropped;
            Ok(query)
        }
        Verdict::Refused { parameters } => {
            Err(Refused { fields: parameters, ..Refusal::OracleParam.into() })
        }
    }
}

/// The query string of a write, which the CRM may merge with the body.
fn guard_merged(
    gate: &Gate,
    sight: &CallerSight<'_>,
    (route, call): (&GovernedRoute, &Call),
    method: &Method,
    query: &str,
    begun: &mut Begun,
) -> Result<(), Refused> {
    let writes = route.declared().is_some_and(|route| !route.is_search);
    if !writes || method.is_safe() || *method == Method::DELETE {
        return Ok(());
    }
    let snapshot = &call.policies.snapshot;
    let guard = snapshot.write_guard(route, &call.roles)?;
    let vaulted = LookedUp::new();
    let rights = guard.rights(call.tenant.as_deref().unwrap_or_default(), &vaulted)?;
    let names_record = route.template.contains('{');
    let merged = query::merged(sight, &route.resource.name, &rights, names_record, query);
    let fields = merged.map_err(|Malformed| Refusal::BadQuery)?;
    if fields.is_empty() {
        return Ok(());
    }
    if rights.writes != Writes::Report || call.causation.is_some() {
        return Err(Refused { fields, ..Refusal::FieldNotEditable.into() });
    }
    report(gate, begun, (route, call), fields);
    Ok(())
}

/// Tells of fields that are written although their sender may not.
fn report(
    gate: &Gate,
    begun: &mut Begun,
    (route, call): (&GovernedRoute, &Call),
    fields: Vec<String>,
) {
    begun.exchange.written.reported += fields.len() as u64;
    let happening = WriteReported {
        route: route.template.clone(),
        correlation_id: begun.correlation.as_str().to_owned(),
        roles: call.roles.clone(),
        fields,
    };
    happening.emit(gate.telemetry());
}

/// A body that asks: JSON, a form, or the query string that it stands for.
fn guard_search(
    sight: &CallerSight<'_>,
    route: &GovernedRoute,
    head: &RequestHeader,
    body: &[u8],
) -> Result<(), Refused> {
    let label = label_of(head).ok_or(Refusal::RequestNotJson)?;
    let is_plain = label.split(';').next().unwrap_or_default().trim() == "text/plain";
    let is_json = match Form::of(label) {
        Ok(Form::Json) => true,
        Ok(Form::Pairs) => false,
        // `POST .../$query` has the query string as its body.
        Err(_) if is_plain && route.resource.query.dialect == Dialect::OData => false,
        _ => return Err(Refusal::RequestNotJson.into()),
    };
    let verdict = query::decide_body(sight, &route.resource.name, is_json, body);
    let malformed = if is_json { Refusal::RequestJsonInvalid } else { Refusal::RequestFormInvalid };
    match verdict.map_err(|Malformed| malformed)? {
        Verdict::Fine => Ok(()),
        Verdict::Refused { parameters } => {
            Err(Refused { fields: parameters, ..Refusal::OracleParam.into() })
        }
        Verdict::Reduced { .. } => Err(Refusal::Internal.into()),
    }
}

/// The one label of a body.
fn label_of(head: &RequestHeader) -> Option<&str> {
    let mut labels = head.headers.get_all(header::CONTENT_TYPE).iter();
    match (labels.next(), labels.next()) {
        (Some(label), None) => label.to_str().ok(),
        _ => None,
    }
}

/// A write on a declared route.
struct Write<'a> {
    gate: &'a Gate,
    session: &'a ServerSession,
    call: &'a Call,
    route: &'a GovernedRoute,
}

impl Write<'_> {
    /// Body to forward, and the validator that it depends on.
    async fn guard(
        &self,
        begun: &mut Begun,
        body: Bytes,
        held: &mut Share,
    ) -> Result<(Bytes, Option<HeaderValue>), Failure> {
        let writing = self.session.req_header();
        let label = label_of(writing).ok_or(Refusal::RequestNotJson)?;
        let form = Form::of(label).map_err(|_| Refusal::RequestNotJson)?;
        let update = Update::of(&writing.method);
        let tenant = self.call.tenant.as_deref().unwrap_or_default();
        let snapshot = &self.call.policies.snapshot;
        let guard: WriteGuard = snapshot.write_guard(self.route, &self.call.roles)?;
        let mut vaulted = LookedUp::new();
        let mut rights = guard.rights(tenant, &vaulted)?;
        if self.call.causation.is_some() {
            // A workflow that may not write a field must fail, and not write less than it says.
            rights.writes = Writes::Enforce;
        }
        let fresh =
            match guard::look(&rights, &form, update, &body).map_err(|why| denied(why, &form))? {
                Look::Fine => return Ok((body, None)),
                Look::Settle => Fresh::Unreadable,
                Look::Compare => {
                    write_back::read(self.gate, self.session, begun, self.call, body.len(), held)
                        .await?
                }
            };
        let known = match &fresh {
            Fresh::Record(record) => Known::Record(Current {
                real: &record.real,
                shown: &record.shown,
                records: &record.records,
            }),
            Fresh::Absent => Known::Absent,
            Fresh::Unreadable => Known::Unknown,
        };
        let settled = match guard::settle(&rights, &form, update, &body, known) {
            // Once more, when the values are known.
            Err(Denied::Vaulted(tokens)) => {
                for Vaulted { field, token } in tokens {
                    let value = snapshot.value_of(tenant, &field, &token).await;
                    vaulted.insert(Vaulted { field, token }, value);
                }
                let rights = guard.rights(tenant, &vaulted)?;
                guard::settle(&rights, &form, update, &body, known)
            }
            settled => settled,
        };
        let settled = settled.map_err(|why| denied(why, &form))?;
        let Settled { body: changed, tally, reported } = settled;
        let written = &mut begun.exchange.written;
        written.stripped = tally.stripped;
        written.kept = tally.kept;
        written.detokenized = tally.detokenized;
        if !reported.is_empty() {
            report(self.gate, begun, (self.route, self.call), reported);
        }
        let if_match = match fresh {
            Fresh::Record(record) => record.etag,
            Fresh::Absent | Fresh::Unreadable => None,
        };
        Ok((changed.map_or(body, Bytes::from), if_match))
    }
}

/// What a denied write is answered with.
fn denied(why: Denied, form: &Form) -> Refused {
    let is_form = matches!(form, Form::Pairs | Form::Multipart(_));
    let (reason, fields) = match why {
        Denied::NotWritable(fields) => (Refusal::FieldNotEditable, fields),
        Denied::MaskedValue(fields) => (Refusal::MaskedValueWriteback, fields),
        Denied::Unreadable(Unreadable::RepeatedName) if is_form => {
            (Refusal::RequestFormInvalid, Vec::new())
        }
        Denied::Unreadable(Unreadable::Json(_) | Unreadable::RepeatedName) => {
            (Refusal::RequestJsonInvalid, Vec::new())
        }
        Denied::Unreadable(Unreadable::Form | Unreadable::Patch) => {
            (Refusal::RequestFormInvalid, Vec::new())
        }
        Denied::MethodOverride => (Refusal::MethodOverride, Vec::new()),
        Denied::Vaulted(_) => (Refusal::Internal, Vec::new()),
    };
    Refused { fields, ..reason.into() }
}
