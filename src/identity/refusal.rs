//! Why a request has no identity, as a closed set of reasons.
//!
//! The client learns only whether it sent nothing or something that does not hold; the reason is
//! for logs and metric labels, and holds nothing of the credential.

use http::HeaderValue;

/// A request whose caller is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[must_use = "a caller who is not identified must be answered 401"]
pub enum Unidentified {
    /// The request carries no credential that any source reads.
    #[error("no credentials")]
    Missing,
    /// A credential is there and does not hold.
    #[error("credentials refused: {}", .0.as_str())]
    Invalid(Refusal),
}

impl Unidentified {
    /// The stable word for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid(refusal) => refusal.as_str(),
        }
    }

    /// The value of `WWW-Authenticate` that tells the client what to do (RFC 6750).
    #[must_use]
    pub fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Missing => "Bearer",
            Self::Invalid(_) => "Bearer error=\"invalid_token\"",
        })
    }
}

impl From<Refusal> for Unidentified {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(refusal)
    }
}

/// Why a credential does not hold.
///
/// The order is that of the checks: where several sources refuse one token, the refusal of the one
/// that got furthest is told, since that is most likely the source the token was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Two `Authorization` headers.
    RepeatedAuthorization,
    /// The token is longer than [`super::MAX_TOKEN_BYTES`].
    TokenTooLong,
    /// The token has the form of nothing that a source reads.
    MalformedToken,
    /// No static token has this digest.
    UnknownToken,
    /// The token's `alg` is not the configured one (`none` included).
    WrongAlgorithm,
    /// The token demands an extension by `crit`; none is known here.
    CriticalExtension,
    /// The signature does not hold under the configured key.
    BadSignature,
    /// The claims are no JSON object with each name once.
    MalformedClaims,
    /// `iss` is not the configured issuer.
    WrongIssuer,
    /// `aud` does not name the configured audience.
    WrongAudience,
    /// There is no `exp`.
    MissingExpiry,
    /// `exp` or `nbf` is not a number.
    MalformedTimes,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// A trusted header stands more than once.
    RepeatedTrustedHeader,
    /// The subject is missing, empty, too long or not printable.
    BadSubject,
    /// The roles are neither a string nor a list of strings.
    BadRoles,
    /// More than [`super::MAX_ROLES`] roles.
    TooManyRoles,
    /// A tenant is configured, and missing here, too long or not printable.
    BadTenant,
}

impl Refusal {
    /// The stable word for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RepeatedAuthorization => "repeated_authorization",
            Self::TokenTooLong => "token_too_long",
            Self::MalformedToken => "malformed_token",
            Self::UnknownToken => "unknown_token",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::CriticalExtension => "critical_extension",
            Self::BadSignature => "bad_signature",
            Self::MalformedClaims => "malformed_claims",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingExpiry => "missing_expiry",
            Self::MalformedTimes => "malformed_times",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::RepeatedTrustedHeader => "repeated_trusted_header",
            Self::BadSubject => "bad_subject",
            Self::BadRoles => "bad_roles",
            Self::TooManyRoles => "too_many_roles",
            Self::BadTenant => "bad_tenant",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unidentified: Unidentified, word: &str, challenge: &str, message: &str) {
        assert_eq!(unidentified.as_str(), word);
        assert_eq!(unidentified.challenge(), challenge);
        assert_eq!(unidentified.to_string(), message);
    }

    #[test]
    fn the_client_learns_only_absent_or_refused() {
        check(Unidentified::Missing, "missing", "Bearer", "no credentials");
        check(
            Refusal::Expired.into(),
            "expired",
            "Bearer error=\"invalid_token\"",
            "credentials refused: expired",
        );
        check(
            Refusal::BadSignature.into(),
            "bad_signature",
            "Bearer error=\"invalid_token\"",
            "credentials refused: bad_signature",
        );
    }
}
