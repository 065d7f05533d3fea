//! All sources together: who calls, and which headers that question owns.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Principal;
use super::authorization::{bearer, token};
use super::fault::{IdentityFault, SourceFault};
use super::jwt::JwtSource;
use super::refusal::{Refusal, Unidentified};
use super::static_token::StaticTokens;
use super::trusted_headers::TrustedHeaders;
use crate::config::IdentitySource;

/// Recognises callers by the configured sources. Immutable; shared by all requests.
pub struct Identifier {
    sources: Vec<Source>,
    owned: Vec<HeaderName>,
    vary: HeaderValue,
}

enum Source {
    Jwt(Box<JwtSource>),
    StaticTokens(StaticTokens),
    TrustedHeaders(TrustedHeaders),
}

impl Identifier {
    /// Checks the sources and reads their key files, each once.
    ///
    /// # Errors
    /// Every fault of every source.
    pub fn build(
        sources: &[IdentitySource],
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Vec<IdentityFault>> {
        if sources.is_empty() {
            return Err(vec![IdentityFault::NoSource]);
        }
        let mut built = Vec::with_capacity(sources.len());
        let mut faults = Vec::new();
        for (position, source) in (1..).zip(sources) {
            match Source::build(source, read_file) {
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
        Ok(Self { sources: built, owned, vary })
    }

    /// Who calls, at `now`, over a connection from `peer` (not from what a header says of it).
    ///
    /// The first source whose kind of credential is there decides the kind. A bearer token is
    /// then tried with every source of bearer tokens, in order; one that none accepts is refused,
    /// whatever else the request carries.
    ///
    /// # Errors
    /// Nobody is identified: no credential, or one that does not hold.
    pub fn identify(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Principal, Unidentified> {
        let credential = bearer(headers)?;
        for source in &self.sources {
            match source {
                Source::Jwt(_) | Source::StaticTokens(_) => {
                    if let Some(credential) = credential {
                        return Ok(self.by_token(token(credential)?, now)?);
                    }
                }
                Source::TrustedHeaders(source) => {
                    if source.answers(headers, peer) {
                        return Ok(source.principal(headers)?);
                    }
                }
            }
        }
        Err(Unidentified::Missing)
    }

    fn by_token(&self, token: &str, now: SystemTime) -> Result<Principal, Refusal> {
        let mut furthest = Refusal::MalformedToken;
        for source in &self.sources {
            let attempt = match source {
                Source::Jwt(source) => source.verify(token, now),
                Source::StaticTokens(source) => source.find(token),
                Source::TrustedHeaders(_) => continue,
            };
            match attempt {
                Ok(principal) => return Ok(principal),
                Err(refusal) => furthest = furthest.max(refusal),
            }
        }
        Err(furthest)
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
        settings: &IdentitySource,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Vec<SourceFault>> {
        match settings {
            IdentitySource::Jwt(settings) => {
                Ok(Self::Jwt(Box::new(JwtSource::build(settings, read_file)?)))
            }
            IdentitySource::StaticTokens(tokens) => {
                Ok(Self::StaticTokens(StaticTokens::build(tokens)?))
            }
            IdentitySource::TrustedHeaders(settings) => {
                Ok(Self::TrustedHeaders(TrustedHeaders::build(settings)?))
            }
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
    let reads_tokens =
        sources.iter().any(|source| matches!(source, Source::Jwt(_) | Source::StaticTokens(_)));
    let names: Vec<&str> = reads_tokens
        .then_some(AUTHORIZATION.as_str())
        .into_iter()
        .chain(owned.iter().map(HeaderName::as_str))
        .collect();
    // Header names are always a valid value; should that ever change, `*` forbids any reuse.
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("*"))
}

#[cfg(test)]
mod tests;
