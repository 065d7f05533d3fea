//! Identity from headers that a proxy in front has set.
//!
//! Believed only where the connection itself comes from a trusted address; no header can vouch
//! for another. Refuses a repeated header, since the CRM behind might read the other one.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};

use super::Principal;
use super::bounds::is_name;
use super::fault::SourceFault;
use super::refusal::Refusal;
use super::role_names::RoleNames;
use crate::config;

/// Headers with a meaning of their own. To take one as an identity would strip it from requests.
const RESERVED: [&str; 18] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The headers of one source and the peers believed.
pub(super) struct TrustedHeaders {
    peers: Vec<IpNet>,
    subject: HeaderName,
    roles: HeaderName,
    tenant: Option<HeaderName>,
    names: RoleNames,
}

impl TrustedHeaders {
    /// Takes the settings over, or tells every fault in them.
    pub(super) fn build(
        settings: &config::TrustedHeaders,
        names: RoleNames,
    ) -> Result<Self, Vec<SourceFault>> {
        let mut faults = Vec::new();
        if settings.peers.is_empty() {
            faults.push(SourceFault::NoPeers);
        }
        let peers: Vec<IpNet> = settings.peers.iter().map(canonical_block).collect();
        for (peer, written) in peers.iter().zip(&settings.peers) {
            if peer.prefix_len() == 0 {
                faults.push(SourceFault::EveryPeer { peer: *written });
            }
        }
        let source = Self {
            peers,
            subject: settings.subject.clone(),
            roles: settings.roles.clone(),
            tenant: settings.tenant.clone(),
            names,
        };
        let mut seen: Vec<&HeaderName> = Vec::new();
        for name in source.names() {
            if RESERVED.contains(&name.as_str()) {
                faults.push(SourceFault::ReservedHeader { name: name.clone() });
            }
            if seen.contains(&name) {
                faults.push(SourceFault::RepeatedHeader { name: name.clone() });
            }
            seen.push(name);
        }
        if faults.is_empty() { Ok(source) } else { Err(faults) }
    }

    /// The headers that this source reads.
    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.subject, &self.roles].into_iter().chain(&self.tenant)
    }

    /// Whether the request carries this source's credential and its peer may vouch for it.
    ///
    /// A tenant alone says nothing of who calls.
    pub(super) fn answers(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> bool {
        let named = headers.contains_key(&self.subject) || headers.contains_key(&self.roles);
        named && peer.is_some_and(|peer| self.believes(peer))
    }

    fn believes(&self, peer: IpAddr) -> bool {
        // A dual-stack socket shows 10.0.0.1 as ::ffff:10.0.0.1.
        let peer = peer.to_canonical();
        self.peers.iter().any(|block| block.contains(&peer))
    }

    /// Who the headers name.
    pub(super) fn principal(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let subject = single(headers, &self.subject)?.ok_or(Refusal::BadSubject)?;
        let subject = name(subject).ok_or(Refusal::BadSubject)?;
        let roles = single(headers, &self.roles)?.unwrap_or_default();
        let roles = std::str::from_utf8(roles).map_err(|_| Refusal::BadRoles)?;
        let tenant = match &self.tenant {
            None => None,
            Some(header) => {
                let tenant = single(headers, header)?.ok_or(Refusal::BadTenant)?;
                Some(name(tenant).ok_or(Refusal::BadTenant)?)
            }
        };
        // By commas alone: "sales admin" is one group, and must not become the role `admin`.
        let roles = self.names.of(roles.split(',').map(str::trim), tenant.as_deref())?;
        Ok(Principal { subject, roles, tenant })
    }
}

/// The one value of a header.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Refusal::RepeatedTrustedHeader);
    }
    Ok(value.map(http::HeaderValue::as_bytes))
}

fn name(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    is_name(text).then(|| text.to_owned())
}

/// A block of IPv4 addresses written as IPv6 becomes what peers are compared with.
fn canonical_block(block: &IpNet) -> IpNet {
    let IpNet::V6(v6) = block else {
        return *block;
    };
    let Some(prefix) = v6.prefix_len().checked_sub(96) else {
        return *block;
    };
    v6.addr()
        .to_ipv4_mapped()
        .and_then(|address| Ipv4Net::new(address, prefix).ok())
        .map_or(*block, IpNet::V4)
}

#[cfg(test)]
mod tests;
