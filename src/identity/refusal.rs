//! Why a request has no identity, as a closed set of reasons.
//!
//! The client learns only whether it sent nothing or something that does not hold; the reason is
//! for logs and metric labels, and holds nothing of the credential.

use http::HeaderValue;

use super::kind::SourceKind;

/// A request whose caller is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[must_use = "a caller who is not identified must not be answered"]
pub enum Unidentified {
    /// The request carries no credential that any source reads.
    #[error("no credentials")]
    Missing,
    /// A credential is there and does not hold.
    #[error("credentials refused: {}", .1.as_str())]
    Invalid(Option<SourceKind>, Refusal),
    /// Whoever would know was asked, and gave no usable answer.
    #[error("the {} source has no answer", .0.name())]
    Unavailable(SourceKind),
}

impl Unidentified {
    /// The stable word for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid(_, refusal) => refusal.as_str(),
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The source that decided; `None` where none did.
    #[must_use]
    pub fn source_kind(self) -> Option<SourceKind> {
        match self {
            Self::Missing => None,
            Self::Invalid(source, _) => source,
            Self::Unavailable(source) => Some(source),
        }
    }

    /// The value of `WWW-Authenticate` that tells the client what to do (RFC 6750); `None` where
    /// there is nothing that it could do.
    #[must_use]
    pub fn challenge(self) -> Option<HeaderValue> {
        match self {
            Self::Missing => Some(HeaderValue::from_static("Bearer")),
            Self::Invalid(..) => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            Self::Unavailable(_) => None,
        }
    }
}

impl From<Refusal> for Unidentified {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(None, refusal)
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
    /// A cookie or header that is a credential stands more than once.
    RepeatedCredential,
    /// An `Authorization` beside another credential, of a scheme that its source does not read.
    UnsentAuthorization,
    /// Beside a bearer token that holds, a cookie or header by which the CRM may know somebody else.
    SecondCredential,
    /// The token is longer than [`super::MAX_TOKEN_BYTES`].
    TokenTooLong,
    /// The token has the form of nothing that a source reads.
    MalformedToken,
    /// No static token has this digest.
    UnknownToken,
    /// The token names another issuer than the one whose keys are known here.
    OtherIssuer,
    /// The token's `alg` is not that of the key (`none` included).
    WrongAlgorithm,
    /// The token demands an extension by `crit`; none is known here.
    CriticalExtension,
    /// No key of the issuer's set fits the token.
    UnknownKey,
    /// The signature does not hold under the key.
    BadSignature,
    /// The issuer says that the token does not hold.
    InactiveToken,
    /// The CRM does not know the credentials.
    NotRecognised,
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
    /// The roles are neither a string, nor a list of strings, nor an object.
    BadRoles,
    /// More than [`super::MAX_ROLES`] roles.
    TooManyRoles,
    /// A tenant is configured, and missing here, too long or not printable.
    BadTenant,
}

impl Refusal {
    /// Every reason, in the order of the enum.
    pub const ALL: &'static [Self] = &[
        Self::RepeatedAuthorization,
        Self::RepeatedCredential,
        Self::UnsentAuthorization,
        Self::SecondCredential,
        Self::TokenTooLong,
        Self::MalformedToken,
        Self::UnknownToken,
        Self::OtherIssuer,
        Self::WrongAlgorithm,
        Self::CriticalExtension,
        Self::UnknownKey,
        Self::BadSignature,
        Self::InactiveToken,
        Self::NotRecognised,
        Self::MalformedClaims,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::MissingExpiry,
        Self::MalformedTimes,
        Self::Expired,
        Self::NotYetValid,
        Self::RepeatedTrustedHeader,
        Self::BadSubject,
        Self::BadRoles,
        Self::TooManyRoles,
        Self::BadTenant,
    ];

    /// Whether whoever made the token is known to a source, which refuses it for what it says.
    /// Such a token is not shown to others.
    #[must_use]
    pub(super) fn is_of_a_known_issuer(self) -> bool {
        self >= Self::MalformedClaims
    }

    /// The stable word for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RepeatedAuthorization => "repeated_authorization",
            Self::RepeatedCredential => "repeated_credential",
            Self::UnsentAuthorization => "unsent_authorization",
            Self::SecondCredential => "second_credential",
            Self::TokenTooLong => "token_too_long",
            Self::MalformedToken => "malformed_token",
            Self::UnknownToken => "unknown_token",
            Self::OtherIssuer => "other_issuer",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::CriticalExtension => "critical_extension",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::InactiveToken => "inactive_token",
            Self::NotRecognised => "not_recognised",
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
        let found = unidentified.challenge();
        let found = found.as_ref().map_or("", |value| value.to_str().unwrap());
        assert_eq!(found, challenge);
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
        check(
            Unidentified::Unavailable(SourceKind::WhoAmI),
            "unavailable",
            "",
            "the who_am_i source has no answer",
        );
    }

    #[test]
    fn every_word_is_documented() {
        let page = include_str!("../../docs/identity.md");
        for refusal in Refusal::ALL {
            assert!(page.contains(&format!("`{}`", refusal.as_str())), "{refusal:?}");
        }
    }

    #[test]
    fn the_list_is_in_the_order_of_the_enum() {
        for (index, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, index);
        }
        assert_eq!(*Refusal::ALL.last().unwrap(), Refusal::BadTenant);
    }
}
