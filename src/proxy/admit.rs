//! The way in: who calls, which route, and whether the street is open to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use pingora_http::RequestHeader;

use super::gate::Gate;
use super::governance::Governance;
use super::passthrough::OpenCall;
use super::refused::Refused;
use super::request_head;
use crate::identity::Principal;
use crate::policy::set::Unmatched;
use crate::policy::{CanonicalPath, GovernedRoute, InForce, Match};
use crate::telemetry::{Exchange, Refusal};

/// A request that may go on.
pub(super) enum Admitted {
    /// No API: pingora's own path.
    Open(Box<OpenCall>),
    /// Under policies.
    Governed(Box<Call>),
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
}

/// Decides a request by its head alone, and writes into `exchange` what it finds out.
pub(super) fn admit(
    gate: &Gate,
    head: &RequestHeader,
    raw: Option<&[u8]>,
    peer: Option<IpAddr>,
    exchange: &mut Exchange,
) -> Result<Admitted, Refused> {
    if let Some(raw) = raw {
        request_head::check_raw(raw)?;
    }
    request_head::check(head, gate.limits().header_bytes)?;
    let path = CanonicalPath::parse(head.uri.path()).map_err(|_| Refusal::BadPath)?;
    exchange.set_path(path.as_str());
    let policies = gate.policies().current().ok_or(Refusal::PolicyNotReady)?;
    exchange.policy_revision = Some(policies.revision.as_str().into());

    let found = policies.snapshot.routes().find(&head.method, &path);
    let route = match found {
        Match::Passthrough { template } => {
            exchange.route = Some(template);
            return Ok(Admitted::Open(Box::new(OpenCall::new(path, &head.method, policies))));
        }
        Match::Governed(route) => {
            exchange.route = Some(Arc::clone(&route.template));
            exchange.resource = Some(route.resource.name.as_str().into());
            Some(route)
        }
        Match::MethodNotDeclared { template } | Match::Suspicious { template } => {
            exchange.route = Some(template);
            identify(gate, &head.headers, peer, exchange)?;
            return Err(Refusal::NoRoute.into());
        }
        Match::Unmatched => None,
    };
    let principal = identify(gate, &head.headers, peer, exchange)?;
    let roles: Vec<String> = principal
        .roles
        .into_iter()
        .filter(|role| policies.snapshot.set().roles.contains_key(role))
        .collect();
    if roles.is_empty() {
        return Err(Refusal::NoKnownRole.into());
    }
    if route.is_none() && policies.snapshot.set().global.unmatched == Unmatched::Deny {
        return Err(Refusal::NoRoute.into());
    }
    request_head::check_governed(head)?;
    let tenant = principal.tenant;
    Ok(Admitted::Governed(Box::new(Call { policies, route, path, tenant, roles })))
}

fn identify(
    gate: &Gate,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    exchange: &mut Exchange,
) -> Result<Principal, Refused> {
    use crate::identity::Unidentified;
    let principal = gate.identifier().identify(headers, peer, SystemTime::now());
    let principal = principal.map_err(|unidentified| {
        let reason = match unidentified {
            Unidentified::Missing => Refusal::CredentialsMissing,
            Unidentified::Invalid(_) => Refusal::CredentialsInvalid,
        };
        Refused { challenge: Some(unidentified.challenge()), ..reason.into() }
    })?;
    exchange.set_caller(&principal.subject, principal.tenant.as_deref(), &principal.roles);
    Ok(principal)
}
