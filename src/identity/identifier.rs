//! All sources together: who calls, and which headers that question owns.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Principal;
use super::answers::{Ending, Unknown};
use super::arrival::Arrival;
use super::authorization::{bearer, token};
use super::fault::{IdentityFault, SourceFault};
use super::introspection::Introspection;
use super::jwt::JwtSource;
use super::kind::{SourceKind, Told};
use super::refusal::{Refusal, Unidentified};
use super::role_names::RoleNames;
use super::static_token::StaticTokens;
use super::tenant::TenantCheck;
use super::trusted_headers::TrustedHeaders;
use super::who_am_i::WhoAmI;
use crate::config::{self, IdentityEntry, IdentitySource, TenantNames};

/// What the configuration says of identity.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The sources, in the order tried.
    pub entries: &'a [IdentityEntry],
    /// Where a request names a company.
    pub tenant: &'a TenantNames,
    /// The CRM, which may be asked who somebody is.
    pub upstream: &'a config::Upstream,
}

/// Recognises callers by the configured sources. Shared by all requests.
pub struct Identifier {
    sources: Vec<Source>,
    tenant: TenantCheck,
    owned: Vec<HeaderName>,
    vary: HeaderValue,
}

/// A caller and the source that recognised it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// Which source says so.
    pub source: SourceKind,
}

/// A request that ends what its credential stands for is under way: until this is dropped nothing
/// is remembered of its caller, and then what was remembered is forgotten.
#[must_use = "keep it as long as the request"]
pub struct Farewell(#[expect(dead_code, reason = "what counts is when it is dropped")] Vec<Ending>);

impl fmt::Debug for Farewell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Farewell")
    }
}

enum Source {
    Jwt(Box<JwtSource>),
    Introspection(Box<Introspection>),
    WhoAmI(Box<WhoAmI>),
    StaticTokens(StaticTokens),
    TrustedHeaders(TrustedHeaders),
    ClientCertificate(config::ClientCertificate, RoleNames),
}

impl Identifier {
    /// Checks the sources and reads their key files, each once. `told` hears of every question that
    /// is asked of another server later.
    ///
    /// # Errors
    /// Every fault of every source.
    pub fn build(
        sources: Sources<'_>,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        told: &Told,
    ) -> Result<Self, Vec<IdentityFault>> {
        if sources.entries.is_empty() {
            return Err(vec![IdentityFault::NoSource]);
        }
        let mut built = Vec::with_capacity(sources.entries.len());
        let mut faults = Vec::new();
        for (position, entry) in (1..).zip(sources.entries) {
            match Source::build(entry, sources.upstream, read_file, told) {
                Ok(source) => built.push(source),
                Err(found) => faults.extend(
                    found.into_iter().map(|fault| IdentityFault::Source { position, fault }),
                ),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let owned = owned_headers(&built);
        let vary = vary(&built, &owned);
        Ok(Self { sources: built, tenant: TenantCheck::new(sources.tenant), owned, vary })
    }

    /// Begins to fetch published keys, so that the first request need not wait. Needs a runtime.
    pub fn prefetch(&self, at: Instant) {
        for source in &self.sources {
            if let Source::Jwt(source) = source {
                source.prefetch(at);
            }
        }
    }

    /// Who calls.
    ///
    /// The first source whose kind of credential is there decides the kind. A bearer token is
    /// then tried with every source of bearer tokens, in order; one that none accepts is refused,
    /// whatever else the request carries. So is one beside a credential by which the CRM may take
    /// the request for somebody else's. Waits only where another server must be asked.
    ///
    /// # Errors
    /// Nobody is identified: no credential, one that does not hold, or nobody who could tell.
    pub async fn identify(&self, arrival: &Arrival<'_>) -> Result<Identified, Unidentified> {
        let credential = bearer(arrival.headers)?;
        for source in &self.sources {
            if let Some(credential) = credential
                && source.reads_bearer()
            {
                let identified = self.by_token(token(credential)?, arrival).await?;
                return match self.second_credential(arrival) {
                    None => Ok(identified),
                    Some(source) => {
                        Err(Unidentified::Invalid(Some(source), Refusal::SecondCredential))
                    }
                };
            }
            let kind = source.kind();
            let refused = |refusal| Unidentified::Invalid(Some(kind), refusal);
            match source {
                Source::Jwt(_) | Source::Introspection(_) | Source::StaticTokens(_) => {}
                Source::WhoAmI(crm) => {
                    if let Some(credential) = crm.credential(arrival).map_err(refused)? {
                        let found = crm.find(credential, arrival).await;
                        return found.map_or_else(
                            |unknown| Err(unknown.by(kind)),
                            |principal| Ok(Identified { principal, source: kind }),
                        );
                    }
                }
                Source::TrustedHeaders(headers) => {
                    if headers.answers(arrival.headers, arrival.peer) {
                        let principal = headers.principal(arrival.headers).map_err(refused)?;
                        return Ok(Identified { principal: Arc::new(principal), source: kind });
                    }
                }
                Source::ClientCertificate(settings, roles) => {
                    if let Some(shown) = arrival.certificate {
                        let principal = shown.principal(*settings, roles, arrival.now);
                        let principal = Arc::new(principal.map_err(refused)?);
                        return Ok(Identified { principal, source: kind });
                    }
                }
            }
        }
        Err(Unidentified::Missing)
    }

    /// Who else could say whose the request is: the CRM, by a cookie or header of its own. It may
    /// act for that person, under the rights of the one whom the token names.
    fn second_credential(&self, arrival: &Arrival<'_>) -> Option<SourceKind> {
        let found = self.sources.iter().find(|source| match source {
            Source::WhoAmI(crm) if !crm.reads_bearer() => {
                !matches!(crm.credential(arrival), Ok(None))
            }
            _ => false,
        });
        found.map(Source::kind)
    }

    async fn by_token(
        &self,
        token: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Identified, Unidentified> {
        let mut furthest = (None, Refusal::MalformedToken);
        for source in self.sources.iter().filter(|source| source.reads_bearer()) {
            let kind = source.kind();
            // A token that its own issuer has made, and that is refused for what it says, is
            // nobody else's to judge.
            let is_foreign = !furthest.1.is_of_a_known_issuer();
            let attempt = match source {
                Source::Jwt(source) => source.find(token, arrival).await.map(Arc::new),
                Source::StaticTokens(source) => source.find(token).map_err(Unknown::Refused),
                Source::Introspection(source) if is_foreign => source.find(token, arrival).await,
                Source::WhoAmI(source) if is_foreign => match source.credential(arrival) {
                    Ok(Some(credential)) => source.find(credential, arrival).await,
                    Ok(None) => continue,
                    Err(refusal) => Err(Unknown::Refused(refusal)),
                },
                Source::Introspection(_)
                | Source::WhoAmI(_)
                | Source::TrustedHeaders(_)
                | Source::ClientCertificate(..) => continue,
            };
            match attempt {
                Ok(principal) => return Ok(Identified { principal, source: kind }),
                Err(Unknown::Refused(refusal)) if refusal >= furthest.1 => {
                    furthest = (Some(kind), refusal);
                }
                Err(Unknown::Refused(_)) => {}
                Err(Unknown::Unavailable) => return Err(Unidentified::Unavailable(kind)),
            }
        }
        Err(Unidentified::Invalid(furthest.0, furthest.1))
    }

    /// Whether a request names a company other than its caller's, in its canonical `path` or in a
    /// header.
    #[must_use]
    pub fn names_another_tenant(
        &self,
        headers: &HeaderMap,
        path: &str,
        principal: &Principal,
    ) -> bool {
        self.tenant.names_another(headers, path, principal.tenant.as_deref())
    }

    /// Begins to forget a caller, where the request is one that ends what its credential stands
    /// for, such as a logout.
    pub fn farewell(&self, method: &Method, path: &str, arrival: &Arrival<'_>) -> Option<Farewell> {
        let sources = self.sources.iter().filter_map(|source| match source {
            Source::WhoAmI(source) => Some(source),
            _ => None,
        });
        let endings: Vec<Ending> =
            sources.filter_map(|source| source.ending(method, path, arrival)).collect();
        (!endings.is_empty()).then_some(Farewell(endings))
    }

    /// The headers that may come from a trusted proxy only, and never reach the CRM from a client.
    ///
    /// They are stripped from every request on its way upstream, whoever sent them and whichever
    /// source identified the caller; the gate may then set them itself. Ask [`Self::owns`] of the
    /// headers of a request, since they can be spelt in more than one way.
    #[must_use]
    pub fn headers_to_strip(&self) -> &[HeaderName] {
        &self.owned
    }

    /// Whether a header must be stripped on its way upstream.
    ///
    /// An underscore counts as a hyphen: CGI and WSGI, and so Django and Rails, show `X_User` and
    /// `X-User` to the application as one.
    #[must_use]
    pub fn owns(&self, name: &HeaderName) -> bool {
        let hyphenated = |name: &HeaderName| {
            name.as_str()
                .bytes()
                .map(|byte| if byte == b'_' { b'-' } else { byte })
                .collect::<Vec<u8>>()
        };
        let name = hyphenated(name);
        self.owned.iter().any(|owned| hyphenated(owned) == name)
    }

    /// The value of `Vary`: every header that may decide who the caller is.
    #[must_use]
    pub fn vary(&self) -> &HeaderValue {
        &self.vary
    }
}

/// Keys and digests stay out.
impl fmt::Debug for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identifier")
            .field("sources", &self.sources.len())
            .field("vary", &self.vary)
            .finish_non_exhaustive()
    }
}

impl Source {
    fn build(
        entry: &IdentityEntry,
        upstream: &config::Upstream,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        told: &Told,
    ) -> Result<Self, Vec<SourceFault>> {
        let roles = RoleNames::new(entry.roles.as_ref());
        Ok(match &entry.source {
            IdentitySource::Jwt(settings) => {
                let source = JwtSource::build(settings, roles, read_file, told.clone())?;
                Self::Jwt(Box::new(source))
            }
            IdentitySource::Introspection(settings) => {
                let source = Introspection::build(settings, roles, told.clone())?;
                Self::Introspection(Box::new(source))
            }
            IdentitySource::WhoAmI(settings) => {
                let source = WhoAmI::build(settings, upstream, roles, told.clone())?;
                Self::WhoAmI(Box::new(source))
            }
            IdentitySource::StaticTokens(tokens) => {
                Self::StaticTokens(StaticTokens::build(tokens, &roles)?)
            }
            IdentitySource::TrustedHeaders(settings) => {
                Self::TrustedHeaders(TrustedHeaders::build(settings, roles)?)
            }
            IdentitySource::ClientCertificate(settings) => {
                Self::ClientCertificate(*settings, roles)
            }
        })
    }

    fn kind(&self) -> SourceKind {
        match self {
            Self::Jwt(_) => SourceKind::Jwt,
            Self::Introspection(_) => SourceKind::Introspection,
            Self::WhoAmI(_) => SourceKind::WhoAmI,
            Self::StaticTokens(_) => SourceKind::StaticTokens,
            Self::TrustedHeaders(_) => SourceKind::TrustedHeaders,
            Self::ClientCertificate(..) => SourceKind::ClientCertificate,
        }
    }

    fn reads_bearer(&self) -> bool {
        match self {
            Self::Jwt(_) | Self::Introspection(_) | Self::StaticTokens(_) => true,
            Self::WhoAmI(source) => source.reads_bearer(),
            Self::TrustedHeaders(_) | Self::ClientCertificate(..) => false,
        }
    }
}

impl Unknown {
    fn by(self, source: SourceKind) -> Unidentified {
        match self {
            Self::Refused(refusal) => Unidentified::Invalid(Some(source), refusal),
            Self::Unavailable => Unidentified::Unavailable(source),
        }
    }
}

fn owned_headers(sources: &[Source]) -> Vec<HeaderName> {
    let mut owned = Vec::new();
    for source in sources {
        let Source::TrustedHeaders(source) = source else {
            continue;
        };
        for name in source.names() {
            if !owned.contains(name) {
                owned.push(name.clone());
            }
        }
    }
    owned
}

fn vary(sources: &[Source], owned: &[HeaderName]) -> HeaderValue {
    let reads_authorization = |source: &Source| match source {
        Source::WhoAmI(source) => source.reads_authorization(),
        other => other.reads_bearer(),
    };
    let mut names: Vec<&str> = Vec::new();
    if sources.iter().any(reads_authorization) {
        names.push(AUTHORIZATION.as_str());
    }
    for source in sources {
        if let Source::WhoAmI(source) = source {
            names.extend(source.headers().map(HeaderName::as_str));
        }
    }
    names.extend(owned.iter().map(HeaderName::as_str));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    if names.is_empty() {
        // What decides is the connection itself, which no cache can tell apart.
        return HeaderValue::from_static("*");
    }
    // Header names are always a valid value; should that ever change, `*` forbids any reuse.
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("*"))
}

#[cfg(test)]
mod tests;
