//! `identity`: the sources that recognise callers, in the order tried.

mod claims;
mod client_certificate;
mod endpoint;
mod introspection;
mod jwt;
mod keep;
mod role_map;
mod static_tokens;
mod trusted_headers;
mod who_am_i;

use super::section::{Reader, Section, each};
use super::settings::{IdentityEntry, IdentitySource};
use crate::diagnostic::Finding;
use crate::yaml::Node;

/// Every kind of source, as it is written.
const KINDS: [&str; 6] =
    ["jwt", "introspection", "who_am_i", "static_tokens", "trusted_headers", "client_certificate"];

/// What entries must know of the rest of the file.
#[derive(Default)]
pub(super) struct Around {
    /// Whether a listener asks for certificates; `None` where the listeners are faulty.
    pub(super) asks_for_certificates: Option<bool>,
    digests: static_tokens::Digests,
}

impl Around {
    pub(super) fn new(asks_for_certificates: Option<bool>) -> Self {
        Self { asks_for_certificates, ..Self::default() }
    }
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    mut around: Around,
) -> Option<Vec<IdentityEntry>> {
    each(reader, node, name, |reader, item, name| entry(reader, item, name, &mut around))
}

fn entry(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    around: &mut Around,
) -> Option<IdentityEntry> {
    let mut at = Section::open(reader, node, name)?;
    // A source is known by its kind; `identity.jwt.key` would only be longer.
    let jwt = at.optional("jwt", |reader, node, _| jwt::read(reader, node, "jwt"));
    let introspection = at.optional("introspection", |reader, node, _| {
        introspection::read(reader, node, "introspection")
    });
    let who_am_i =
        at.optional("who_am_i", |reader, node, _| who_am_i::read(reader, node, "who_am_i"));
    let tokens = at.optional("static_tokens", |reader, node, _| {
        static_tokens::read(reader, node, "static_tokens", &mut around.digests)
    });
    let headers = at.optional("trusted_headers", |reader, node, _| {
        trusted_headers::read(reader, node, "trusted_headers")
    });
    let certificate = at.optional("client_certificate", |reader, node, _| {
        client_certificate::read(reader, node, "client_certificate")
    });
    let roles = at.optional("roles", |reader, node, _| role_map::read(reader, node, "roles"));
    let is_faulty_map = at.is_written("roles") && roles.is_none();
    let written = KINDS.iter().filter(|kind| at.is_written(kind)).count();
    if written > 1 {
        let finding = Finding::error("config::identity", "one entry holds more than one source")
            .help("start each source with a `- ` of its own; they are tried in that order");
        at.report(finding, &[]);
    }
    if written == 0 && !at.has_more() {
        let kinds = KINDS.map(|kind| format!("`{kind}`")).join(", ");
        let finding = Finding::error("config::identity", "this entry holds no source")
            .help(format!("write one of {kinds} with its settings"));
        at.report(finding, &[]);
    }
    if at.is_written("client_certificate") && around.asks_for_certificates == Some(false) {
        let finding =
            Finding::error("config::no_client_ca", "no listener asks clients for a certificate")
                .label("nobody can be recognised by this")
                .help("add `client_ca` to the `tls` of a listener");
        at.report(finding, &["client_certificate"]);
    }
    at.close();
    let source = jwt
        .map(IdentitySource::Jwt)
        .or(introspection.map(IdentitySource::Introspection))
        .or(who_am_i.map(IdentitySource::WhoAmI))
        .or(tokens.map(IdentitySource::StaticTokens))
        .or(headers.map(IdentitySource::TrustedHeaders))
        .or(certificate.map(IdentitySource::ClientCertificate))?;
    (!is_faulty_map).then_some(IdentityEntry { source, roles })
}
