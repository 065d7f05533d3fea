//! Who calls: subject, roles and tenant, verified.
//!
//! An [`Identifier`] is built once from the configured sources and asked once a request. The first
//! source whose kind of credential the request carries decides; a credential that is there and does
//! not hold never falls through to the next kind. Building reads the key files; identifying is
//! pure: the clock is an argument, nothing is logged, and no part of a token leaves this room in
//! an error, a log line or `Debug` output.

mod authorization;
mod bounds;
mod fault;
mod identifier;
mod jwt;
mod refusal;
mod static_token;
mod trusted_headers;

use std::fmt;

pub use bounds::{MAX_NAME_CHARS, MAX_ROLE_CHARS, MAX_ROLES, MAX_TOKEN_BYTES, is_role_name};
pub use fault::{IdentityFault, SourceFault};
pub use identifier::Identifier;
pub use jwt::KeyFault;
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
