//! A JWT (RFC 7519) as a credential: signature, issuer, audience, times, then who it names.
//!
//! A key is for one algorithm, and the token's `alg` must equal it, so a token can choose neither.
//! Refuses `none`, critical extensions, claims that stand twice, a token without a numeric `exp`,
//! and everything before the signature holds. The time is an argument. What the header offers as a
//! key (`jwk`, `jku`, `x5u`) is never looked at; `kid` only chooses within the issuer's own set.

mod key;
mod key_set;
mod published;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use zeroize::Zeroizing;

use super::Principal;
use super::answers::Unknown;
use super::arrival::Arrival;
use super::claims::{Members, Times};
use super::fault::SourceFault;
use super::kind::Told;
use super::refusal::Refusal;
use super::role_names::RoleNames;
use crate::config::{self, ClaimNames, JwtAlgorithm, JwtKeys};
pub use key::KeyFault;
use key_set::Fitting;
use published::{Fetched, Published};

/// The most clock skew that a source may allow.
const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// One way to verify and read JWTs. Has no `Debug`, since it holds keys.
pub(super) struct JwtSource {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
    claims: ClaimNames,
    roles: RoleNames,
}

enum Keys {
    Single { algorithm: JwtAlgorithm, key: DecodingKey },
    Published(Published),
}

impl JwtSource {
    /// Reads the key, or tells every fault of the settings.
    pub(super) fn build(
        settings: &config::Jwt,
        roles: RoleNames,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        told: Told,
    ) -> Result<Self, Vec<SourceFault>> {
        let mut faults = Vec::new();
        if settings.leeway > MAX_LEEWAY {
            faults.push(SourceFault::LongLeeway { seconds: settings.leeway.as_secs() });
        }
        let names = &settings.claims;
        let claim_names = [
            ("subject_claim", Some(&names.subject)),
            ("roles_claim", Some(&names.roles)),
            ("tenant_claim", names.tenant.as_ref()),
        ];
        for (setting, name) in claim_names {
            if name.is_some_and(String::is_empty) {
                faults.push(SourceFault::EmptyClaimName { setting });
            }
        }
        let keys = match &settings.keys {
            JwtKeys::Single { algorithm, path } => read_key(*algorithm, path, read_file)
                .map(|key| Keys::Single { algorithm: *algorithm, key }),
            JwtKeys::Set(set) => Published::new(set, told).map(Keys::Published),
        };
        let keys = match keys {
            Ok(keys) if faults.is_empty() => keys,
            Ok(_) => return Err(faults),
            Err(fault) => {
                faults.push(fault);
                return Err(faults);
            }
        };
        Ok(Self {
            keys,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: settings.leeway,
            claims: settings.claims.clone(),
            roles,
        })
    }

    /// Begins to fetch published keys, where there are any.
    pub(super) fn prefetch(&self, at: Instant) {
        if let Keys::Published(published) = &self.keys {
            published.prefetch(at);
        }
    }

    /// Whom the token names, if it holds. Waits only for keys that are not here yet.
    pub(super) async fn find(
        &self,
        token: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Principal, Unknown> {
        let parts = Parts::split(token).ok_or(Refusal::MalformedToken)?;
        let header = Members::parse(&decode_part(parts.header).ok_or(Refusal::MalformedToken)?)
            .ok_or(Refusal::MalformedToken)?;
        match &self.keys {
            Keys::Single { algorithm, key } => {
                check_header(&header, registered_name(*algorithm))?;
                parts.check_signature(key, signature_algorithm(*algorithm))?;
            }
            Keys::Published(published) => {
                self.check_published(published, &header, &parts, arrival.at).await?;
            }
        }
        Ok(self.read(&parts, arrival.now)?)
    }

    async fn check_published(
        &self,
        published: &Published,
        header: &Members,
        parts: &Parts<'_>,
        at: Instant,
    ) -> Result<(), Unknown> {
        let name = header.text("alg").unwrap_or_default();
        let algorithm = key_set::algorithm(name).ok_or(Refusal::WrongAlgorithm)?;
        check_header(header, name)?;
        // Nobody need ask this issuer about the tokens of another.
        let claims = decode_part(parts.claims).as_deref().and_then(Members::parse);
        let issuer = self.issuer.as_deref();
        if claims.is_none_or(|claims| claims.check_issuer(issuer).is_err()) {
            return Err(Refusal::OtherIssuer.into());
        }
        let fetched = published.current(at).await.ok_or(Unknown::Unavailable)?;
        let id = header.text("kid");
        match try_keys(&fetched, id, algorithm, parts) {
            Err(Refusal::UnknownKey) => {
                let newer = published.newer(&fetched, at).await.ok_or(Refusal::UnknownKey)?;
                Ok(try_keys(&newer, id, algorithm, parts)?)
            }
            decided => Ok(decided?),
        }
    }

    fn read(&self, parts: &Parts<'_>, now: SystemTime) -> Result<Principal, Refusal> {
        let claims = decode_part(parts.claims).ok_or(Refusal::MalformedClaims)?;
        let claims = Members::parse(&claims).ok_or(Refusal::MalformedClaims)?;
        claims.check_issuer(self.issuer.as_deref())?;
        claims.check_audience(self.audience.as_deref())?;
        Times::of(&claims)?.check(now, self.leeway)?;
        claims.principal(&self.claims, &self.roles)
    }
}

fn check_header(header: &Members, algorithm: &str) -> Result<(), Refusal> {
    if header.text("alg") != Some(algorithm) {
        return Err(Refusal::WrongAlgorithm);
    }
    if header.has("crit") {
        return Err(Refusal::CriticalExtension);
    }
    Ok(())
}

/// Checks the signature with every key that fits; there are several only where nothing has an id.
fn try_keys(
    fetched: &Fetched,
    id: Option<&str>,
    algorithm: Algorithm,
    parts: &Parts<'_>,
) -> Result<(), Refusal> {
    let keys = match fetched.keys.fitting(id, algorithm) {
        Fitting::Keys(keys) => keys,
        Fitting::OtherAlgorithm => return Err(Refusal::WrongAlgorithm),
        Fitting::None => return Err(Refusal::UnknownKey),
    };
    let holds = |key: &&DecodingKey| parts.check_signature(key, algorithm).is_ok();
    if keys.iter().any(holds) { Ok(()) } else { Err(Refusal::BadSignature) }
}

fn read_key(
    algorithm: JwtAlgorithm,
    path: &Path,
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<DecodingKey, SourceFault> {
    let file = read_file(path)
        .map(Zeroizing::new)
        .map_err(|error| SourceFault::UnreadableKey { path: path.to_owned(), error })?;
    key::verification_key(algorithm, &file)
        .map_err(|fault| SourceFault::UnusableKey { path: path.to_owned(), fault })
}

/// The `alg` of RFC 7518 and RFC 8037.
fn registered_name(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::Hs256 => "HS256",
        JwtAlgorithm::Rs256 => "RS256",
        JwtAlgorithm::Es256 => "ES256",
        JwtAlgorithm::EdDsa => "EdDSA",
    }
}

fn signature_algorithm(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Hs256 => Algorithm::HS256,
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

/// The three parts of a compact JWS, not decoded yet.
struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// Header and claims with the dot between them: what the signature is over.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let looks_like_a_part = |part: &str| part.bytes().all(is_base64url);
        [header, claims, signature].into_iter().all(looks_like_a_part).then_some(Self {
            header,
            claims,
            signature,
            signed,
        })
    }

    fn check_signature(&self, key: &DecodingKey, algorithm: Algorithm) -> Result<(), Refusal> {
        let message = self.signed.as_bytes();
        // A signature that cannot even be decoded is an error here, and holds no more than a wrong one.
        match jsonwebtoken::crypto::verify(self.signature, message, key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refusal::BadSignature),
        }
    }
}

/// Base64url without padding, strictly.
fn decode_part(part: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(part.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
