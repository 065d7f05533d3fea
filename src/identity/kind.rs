//! The kinds of source, as closed lists fit for metric labels; and what is told of questions asked.

use std::fmt;
use std::sync::Arc;

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// A JWT, with one key or a set of keys.
    Jwt,
    /// A token that its issuer explains.
    Introspection,
    /// The CRM's own word.
    WhoAmI,
    /// A token listed in the configuration.
    StaticTokens,
    /// Headers of a proxy in front.
    TrustedHeaders,
    /// The certificate of the connection.
    ClientCertificate,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Jwt,
        Self::Introspection,
        Self::WhoAmI,
        Self::StaticTokens,
        Self::TrustedHeaders,
        Self::ClientCertificate,
    ];

    /// The word that the configuration uses for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Introspection => "introspection",
            Self::WhoAmI => "who_am_i",
            Self::StaticTokens => "static_tokens",
            Self::TrustedHeaders => "trusted_headers",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

/// One question that a source has asked of another server, or of a file with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Which source.
    pub source: SourceKind,
    /// What became of it.
    pub outcome: AskedOutcome,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AskedOutcome {
    /// A usable answer.
    Answered,
    /// A clear no: the credential does not hold.
    Refused,
    /// No usable answer.
    Failed,
}

impl AskedOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Answered, Self::Refused, Self::Failed];

    /// The word in metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Whoever wants to know of questions asked.
#[derive(Clone)]
pub struct Told(Arc<dyn Fn(Asked) + Send + Sync>);

impl Told {
    /// Tells `listener` of every question.
    pub fn to(listener: impl Fn(Asked) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    pub(super) fn tell(&self, source: SourceKind, outcome: AskedOutcome) {
        (self.0)(Asked { source, outcome });
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Told")
    }
}
