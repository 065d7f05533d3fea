//! Who calls: subject, roles and tenant, verified.
//!
//! An [`Identifier`] is built once from the configured sources and asked once a request. The first
//! source whose kind of credential the request carries decides; a credential that is there and does
//! not hold never falls through to the next kind. Building reads the key files. Identifying waits
//! only where another server must be asked, an issuer or the CRM itself, and asks it once; nobody
//! is ever guessed while it does not answer. The clock is an argument, nothing is logged, and no
//! part of a credential leaves this room in an error, a log line or `Debug` output.

mod answers;
mod arrival;
mod authorization;
mod bounds;
mod certificate;
mod claims;
mod document;
mod fault;
mod identifier;
mod introspection;
mod jwt;
mod kind;
mod refusal;
mod role_names;
mod static_token;
mod tenant;
#[cfg(test)]
mod tests;
mod trusted_headers;
mod who_am_i;

use std::fmt;

pub use arrival::Arrival;
pub use bounds::{MAX_NAME_CHARS, MAX_ROLE_CHARS, MAX_ROLES, MAX_TOKEN_BYTES, is_role_name};
pub use certificate::ShownCertificate;
pub use fault::{IdentityFault, SourceFault};
pub use identifier::{Farewell, Identified, Identifier, Sources};
pub use jwt::KeyFault;
pub use kind::{Asked, AskedOutcome, SourceKind, Told};
pub use refusal::{Refusal, Unidentified};

/// A caller whose identity a source has verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who it is, as the source names it.
    pub subject: String,
    /// The roles that the source gives, known to the policies or not; sorted, each once.
    pub roles: Vec<String>,
    /// The company; `None` where the source is not configured to name one.
    pub tenant: Option<String>,
}

/// The subject is often an email address, so it is left out.
impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Principal")
            .field("subject", &"[subject]")
            .field("roles", &self.roles)
            .field("tenant", &self.tenant)
            .finish()
    }
}
