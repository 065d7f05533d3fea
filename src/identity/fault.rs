//! What keeps an [`Identifier`](super::Identifier) from being built.

use std::io;
use std::path::PathBuf;

use http::HeaderName;
use ipnet::IpNet;

use super::bounds::{MAX_NAME_CHARS, MAX_ROLE_CHARS};
use super::jwt::KeyFault;
use crate::outbound::ClientFault;

/// One fault of the identity sources; building reports all of them.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFault {
    /// Without a source nobody could ever be identified.
    #[error("no identity source is configured")]
    NoSource,
    /// A fault of one source.
    #[error("identity source {position}: {fault}")]
    Source {
        /// Which source, counted from one in the order configured.
        position: usize,
        /// What is wrong with it.
        fault: SourceFault,
    },
}

/// What is wrong with one source.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// The key file cannot be read.
    #[error("cannot read the key file `{}`: {}", .path.display(), .error.kind())]
    UnreadableKey {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The key file has no key that the algorithm can use.
    #[error("key file `{}`: {fault}", .path.display())]
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: KeyFault,
    },
    /// The clock skew allowed is too generous.
    #[error("`leeway` is {seconds} s; at most 60 s are allowed")]
    LongLeeway {
        /// What is configured.
        seconds: u64,
    },
    /// A claim name is empty.
    #[error("`{setting}` is empty; name the claim to read")]
    EmptyClaimName {
        /// The setting.
        setting: &'static str,
    },
    /// The server that is to be asked cannot be.
    #[error(transparent)]
    Client(ClientFault),
    /// The client's id and secret cannot stand in a header.
    #[error("`client_id` and the client's secret cannot be sent")]
    ClientSecret,
    /// `host_header` of the upstream cannot stand in a header.
    #[error("`host_header` is not a header value")]
    HostHeader,
    /// The source lists no token.
    #[error("the list of static tokens is empty")]
    NoTokens,
    /// Two static tokens have one digest, so it is not clear who calls.
    #[error("static token {index} has the digest of an earlier one")]
    RepeatedToken {
        /// Which token, counted from one.
        index: usize,
    },
    /// A static token's subject cannot be one.
    #[error(
        "the subject of static token {index} must be 1 to {MAX_NAME_CHARS} printable characters"
    )]
    BadSubject {
        /// Which token, counted from one.
        index: usize,
    },
    /// A static token's tenant cannot be one.
    #[error(
        "the tenant of static token {index} must be 1 to {MAX_NAME_CHARS} printable characters"
    )]
    BadTenant {
        /// Which token, counted from one.
        index: usize,
    },
    /// A static token's role cannot be one.
    #[error(
        "static token {index}: role `{}` must be 1 to {MAX_ROLE_CHARS} of `A-Z a-z 0-9 _ . : -`",
        .role.escape_default()
    )]
    BadRole {
        /// Which token, counted from one.
        index: usize,
        /// The role as written.
        role: String,
    },
    /// A static token has too many roles.
    #[error("static token {index} has more than {} roles", super::MAX_ROLES)]
    TooManyRoles {
        /// Which token, counted from one.
        index: usize,
    },
    /// Trusted headers that nobody is trusted to set.
    #[error("the list of trusted peers is empty")]
    NoPeers,
    /// A block that holds every address trusts every client.
    #[error("`{peer}` trusts every address; name the proxy in front")]
    EveryPeer {
        /// The block as configured.
        peer: IpNet,
    },
    /// One header cannot say two things.
    #[error("header `{name}` is used twice by this source")]
    RepeatedHeader {
        /// The header.
        name: HeaderName,
    },
    /// The header has a meaning of its own, and would be stripped from every request.
    #[error("header `{name}` has another meaning and cannot carry an identity")]
    ReservedHeader {
        /// The header.
        name: HeaderName,
    },
}
