//! The way in: who calls, which route, and whether the street is open to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header;
use pingora_http::RequestHeader;

use super::context::Begun;
use super::gate::Gate;
use super::governance::Governance;
use super::passthrough::OpenCall;
use super::refused::Refused;
use super::request_head;
use super::score_call::Wanted;
use crate::deed::Acting;
use crate::event::Causation;
use crate::identity::{Arrival, Principal, ShownCertificate, Unidentified};
use crate::policy::scoring::ScoreApi;
use crate::policy::set::Unmatched;
use crate::policy::{CanonicalPath, GovernedRoute, InForce, Match};
use crate::telemetry::{Exchange, Refusal};

/// A request that may go on.
pub(super) enum Admitted {
    /// No API: pingora's own path.
    Open(Box<OpenCall>),
    /// Under policies.
    Governed(Box<Call>),
    /// A question about scores, which Fieldgate answers itself.
    Scores(Box<Call>, Wanted),
}

/// A request of a known caller on a governed route. Only [`admit`] makes one.
pub(super) struct Call {
    /// The policies that it began with.
    pub(super) policies: Arc<InForce<Governance>>,
    /// The route; `None` where only global entries govern.
    pub(super) route: Option<GovernedRoute>,
    /// The canonical path to forward.
    pub(super) path: CanonicalPath,
    /// The caller's company.
    pub(super) tenant: Option<String>,
    /// The caller's roles that the policies know, sorted. Never empty on a declared route.
    pub(super) roles: Vec<String>,
    /// The run that asks; `None` for a client's request.
    pub(super) causation: Option<Causation>,
}

/// What is known of the connection that a request came over.
pub(super) struct Connection<'a> {
    /// The address of the client.
    pub(super) peer: Option<IpAddr>,
    /// The certificate that the client has shown.
    pub(super) certificate: Option<&'a ShownCertificate>,
    /// In whose place a request from inside comes.
    pub(super) acting: Option<&'a Acting>,
}

/// The id of the one record that a path names: what stands where its template ends with a
/// parameter.
fn record_id<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let last = template.trim_end_matches('/').rsplit('/').next()?;
    let is_parameter = last.starts_with('{') && last.ends_with('}') && !last.starts_with("{*");
    let id = path.trim_end_matches('/').rsplit('/').next()?;
    (is_parameter && !id.is_empty()).then_some(id)
}

/// Decides a request by its head alone, and writes into `begun` what it finds out.
pub(super) async fn admit(
    gate: &Gate,
    head: &RequestHeader,
    raw: Option<&[u8]>,
    connection: Connection<'_>,
    begun: &mut Begun,
) -> Result<Admitted, Refused> {
    let Begun { exchange, farewell, .. } = begun;
    if let Some(raw) = raw {
        request_head::check_raw(raw)?;
    }
    request_head::check(head, gate.limits().header_bytes)?;
    let path = CanonicalPath::parse(head.uri.path()).map_err(|_| Refusal::BadPath)?;
    exchange.set_path(path.as_str());
    let policies = gate.policies().current().ok_or(Refusal::PolicyNotReady)?;
    exchange.policy_revision = Some(policies.revision.as_str().into());

    let arrival = arrival(head, &connection);
    if let Some(wanted) = score_question(&policies, &path) {
        exchange.route = Some(wanted.template().into());
        let principal = identify(gate, &arrival, connection.acting, &path, exchange).await?;
        let roles = known_roles(&policies, &principal)?;
        request_head::check_governed(head)?;
        let tenant = principal.tenant.clone();
        let causation = connection.acting.map(|acting| acting.causation);
        let call = Call { policies, route: None, path, tenant, roles, causation };
        return Ok(Admitted::Scores(Box::new(call), wanted));
    }
    let found = policies.snapshot.routes().find(&head.method, &path);
    let route = match found {
        Match::Passthrough { template } => {
            exchange.route = Some(template);
            *farewell = gate.identifier().farewell(&head.method, path.as_str(), &arrival);
            return Ok(Admitted::Open(Box::new(OpenCall::new(path, &head.method, policies))));
        }
        Match::Governed(route) => {
            exchange.route = Some(Arc::clone(&route.template));
            exchange.resource = Some(route.resource.name.as_str().into());
            if let Some(id) = record_id(&route.template, path.as_str()) {
                exchange.add_object(id);
            }
            Some(route)
        }
        Match::MethodNotDeclared { template } | Match::Suspicious { template } => {
            exchange.route = Some(template);
            identify(gate, &arrival, connection.acting, &path, exchange).await?;
            return Err(Refusal::NoRoute.into());
        }
        Match::Unmatched => None,
    };
    let principal = identify(gate, &arrival, connection.acting, &path, exchange).await?;
    *farewell = gate.identifier().farewell(&head.method, path.as_str(), &arrival);
    let roles = known_roles(&policies, &principal)?;
    if route.is_none() && policies.snapshot.set().global.unmatched == Unmatched::Deny {
        return Err(Refusal::NoRoute.into());
    }
    request_head::check_governed(head)?;
    let tenant = principal.tenant.clone();
    let causation = connection.acting.map(|acting| acting.causation);
    Ok(Admitted::Governed(Box::new(Call { policies, route, path, tenant, roles, causation })))
}

/// What a path asks for of scores, where the policies have that answered here.
fn score_question(policies: &InForce<Governance>, path: &CanonicalPath) -> Option<Wanted> {
    let scoring = policies.snapshot.set().scoring.as_ref()?;
    let wanted = (scoring.api == ScoreApi::Data).then(|| Wanted::of(path))??;
    // Refreshes are the operator's.
    (wanted != Wanted::Refresh).then_some(wanted)
}

/// The caller's roles that the policies know, sorted; one at least.
fn known_roles(
    policies: &InForce<Governance>,
    principal: &Principal,
) -> Result<Vec<String>, Refused> {
    let known = &policies.snapshot.set().roles;
    let roles: Vec<String> =
        principal.roles.iter().filter(|role| known.contains_key(*role)).cloned().collect();
    if roles.is_empty() {
        return Err(Refusal::NoKnownRole.into());
    }
    Ok(roles)
}

fn arrival<'a>(head: &'a RequestHeader, connection: &Connection<'a>) -> Arrival<'a> {
    let named = head.headers.get(header::HOST).map(http::HeaderValue::as_bytes);
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    Arrival {
        headers: &head.headers,
        host: named.or(authority).unwrap_or_default(),
        peer: connection.peer,
        certificate: connection.certificate,
        now: SystemTime::now(),
        at: Instant::now(),
    }
}

/// Who calls, once a request; a company that the request names must be the caller's own.
async fn identify(
    gate: &Gate,
    arrival: &Arrival<'_>,
    acting: Option<&Acting>,
    path: &CanonicalPath,
    exchange: &mut Exchange,
) -> Result<Arc<Principal>, Refused> {
    if let Some(acting) = acting {
        // Nobody is asked: what the request carries is the CRM's credential, and no client's.
        let Acting { subject, role, tenant, .. } = acting.clone();
        exchange.set_caller(&subject, tenant.as_deref(), std::slice::from_ref(&role));
        return Ok(Arc::new(Principal { subject, roles: vec![role], tenant }));
    }
    let identified = gate.identifier().identify(arrival).await;
    exchange.identification =
        Some(identified.as_ref().map(|identified| identified.source).map_err(|reason| *reason));
    let principal = identified
        .map_err(|unidentified| {
            let reason = match unidentified {
                Unidentified::Missing => Refusal::CredentialsMissing,
                Unidentified::Invalid(..) => Refusal::CredentialsInvalid,
                Unidentified::Unavailable(_) => Refusal::IdentityUnavailable,
            };
            Refused { challenge: unidentified.challenge(), ..reason.into() }
        })?
        .principal;
    exchange.set_caller(&principal.subject, principal.tenant.as_deref(), &principal.roles);
    if gate.identifier().names_another_tenant(arrival.headers, path.as_str(), &principal) {
        return Err(Refusal::TenantMismatch.into());
    }
    Ok(principal)
}

#[cfg(test)]
mod tests {
    use super::record_id;

    #[test]
    fn a_path_names_a_record_where_its_template_ends_with_one() {
        for (template, path, id) in [
            ("/api/v1/leads/{id}/", "/api/v1/leads/42/", Some("42")),
            ("/api/v1/leads/{id}", "/api/v1/leads/42", Some("42")),
            ("/api/v1/leads/{id}/", "/api/v1/leads/42", Some("42")),
            ("/api/v1/leads/", "/api/v1/leads/", None),
            ("/api/v1/leads/{id}/notes/", "/api/v1/leads/42/notes/", None),
            ("/files/{*rest}", "/files/a/b", None),
        ] {
            assert_eq!(record_id(template, path), id, "{template} {path}");
        }
    }
}
