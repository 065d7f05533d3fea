//! A JWT (RFC 7519) as a credential: signature, issuer, audience, times, then who it names.
//!
//! One source has one key and one algorithm; the token's `alg` must equal it, so a token can
//! choose neither. Refuses `none`, critical extensions, claims that stand twice, a token without
//! a numeric `exp`, and everything before the signature holds. The time is an argument. What the
//! header offers as a key (`jwk`, `jku`, `x5u`, `kid`) is never looked at.

mod claims;
mod key;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use zeroize::Zeroizing;

use super::Principal;
use super::fault::SourceFault;
use super::refusal::Refusal;
use crate::config::{self, JwtAlgorithm};
use claims::{Members, Times};
pub use key::KeyFault;

/// The most clock skew that a source may allow.
const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// One way to verify and read JWTs. Has no `Debug`, since it holds a key.
pub(super) struct JwtSource {
    algorithm: JwtAlgorithm,
    key: DecodingKey,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
    subject_claim: String,
    roles_claim: String,
    tenant_claim: Option<String>,
}

impl JwtSource {
    /// Reads the key, or tells every fault of the settings.
    pub(super) fn build(
        settings: &config::Jwt,
        read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Vec<SourceFault>> {
        let mut faults = Vec::new();
        if settings.leeway > MAX_LEEWAY {
            faults.push(SourceFault::LongLeeway { seconds: settings.leeway.as_secs() });
        }
        let claim_names = [
            ("subject_claim", Some(&settings.subject_claim)),
            ("roles_claim", Some(&settings.roles_claim)),
            ("tenant_claim", settings.tenant_claim.as_ref()),
        ];
        for (setting, name) in claim_names {
            if name.is_some_and(String::is_empty) {
                faults.push(SourceFault::EmptyClaimName { setting });
            }
        }
        let key = match read_key(settings, read_file) {
            Ok(key) if faults.is_empty() => key,
            Ok(_) => return Err(faults),
            Err(fault) => {
                faults.push(fault);
                return Err(faults);
            }
        };
        Ok(Self {
            algorithm: settings.algorithm,
            key,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: settings.leeway,
            subject_claim: settings.subject_claim.clone(),
            roles_claim: settings.roles_claim.clone(),
            tenant_claim: settings.tenant_claim.clone(),
        })
    }

    /// Who the token names, if it holds at `now`.
    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Principal, Refusal> {
        let parts = Parts::split(token).ok_or(Refusal::MalformedToken)?;
        self.check_header(parts.header)?;
        self.check_signature(&parts)?;
        let claims = Members::decode(parts.claims).ok_or(Refusal::MalformedClaims)?;
        claims.check_issuer(self.issuer.as_deref())?;
        claims.check_audience(self.audience.as_deref())?;
        Times::of(&claims)?.check(now, self.leeway)?;
        Ok(Principal {
            subject: claims.name(&self.subject_claim).ok_or(Refusal::BadSubject)?,
            roles: claims.roles(&self.roles_claim)?,
            tenant: match &self.tenant_claim {
                None => None,
                Some(claim) => Some(claims.name(claim).ok_or(Refusal::BadTenant)?),
            },
        })
    }

    fn check_header(&self, header: &str) -> Result<(), Refusal> {
        let header = Members::decode(header).ok_or(Refusal::MalformedToken)?;
        if header.text("alg") != Some(registered_name(self.algorithm)) {
            return Err(Refusal::WrongAlgorithm);
        }
        if header.has("crit") {
            return Err(Refusal::CriticalExtension);
        }
        Ok(())
    }

    fn check_signature(&self, parts: &Parts<'_>) -> Result<(), Refusal> {
        let message = parts.signed.as_bytes();
        let algorithm = signature_algorithm(self.algorithm);
        // A signature that cannot even be decoded is an error here, and holds no more than a wrong one.
        match jsonwebtoken::crypto::verify(parts.signature, message, &self.key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refusal::BadSignature),
        }
    }
}

fn read_key(
    settings: &config::Jwt,
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<DecodingKey, SourceFault> {
    let path = || settings.key.clone();
    let file = read_file(&settings.key)
        .map(Zeroizing::new)
        .map_err(|error| SourceFault::UnreadableKey { path: path(), error })?;
    key::verification_key(settings.algorithm, &file)
        .map_err(|fault| SourceFault::UnusableKey { path: path(), fault })
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
}

/// Base64url without padding, strictly.
fn decode_part(part: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(part.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
