//! `identity`: the sources that recognise callers, in the order tried.

mod jwt;
mod static_tokens;
mod trusted_headers;

use super::section::{Reader, Section, each};
use super::settings::IdentitySource;
use crate::diagnostic::Finding;
use crate::yaml::Node;

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
) -> Option<Vec<IdentitySource>> {
    let mut digests = static_tokens::Digests::default();
    each(reader, node, name, |reader, item, name| source(reader, item, name, &mut digests))
}

fn source(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    digests: &mut static_tokens::Digests,
) -> Option<IdentitySource> {
    let mut at = Section::open(reader, node, name)?;
    // A source is known by its kind; `identity.jwt.key` would only be longer.
    let jwt = at.optional("jwt", |reader, node, _| jwt::read(reader, node, "jwt"));
    let tokens = at.optional("static_tokens", |reader, node, _| {
        static_tokens::read(reader, node, "static_tokens", digests)
    });
    let headers = at.optional("trusted_headers", |reader, node, _| {
        trusted_headers::read(reader, node, "trusted_headers")
    });
    let kinds = ["jwt", "static_tokens", "trusted_headers"];
    let written = kinds.iter().filter(|kind| at.is_written(kind)).count();
    if written > 1 {
        let finding = Finding::error("config::identity", "one entry holds more than one source")
            .help("start each source with a `- ` of its own; they are tried in that order");
        at.report(finding, &[]);
    }
    if written == 0 && !at.has_more() {
        let finding = Finding::error("config::identity", "this entry holds no source")
            .help("write one of `jwt`, `static_tokens`, `trusted_headers` with its settings");
        at.report(finding, &[]);
    }
    at.close();
    jwt.map(IdentitySource::Jwt)
        .or(tokens.map(IdentitySource::StaticTokens))
        .or(headers.map(IdentitySource::TrustedHeaders))
}
