//! `static_tokens`: tokens known by their digest, and whom each stands for.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::config::section::{Reader, Section, each};
use crate::config::settings::StaticToken;
use crate::config::value;
use crate::diagnostic::{Finding, Span};
use crate::yaml::{Node, Value};

/// The digests of all sources and where they are written.
pub(super) type Digests = Vec<([u8; 32], Span)>;

const HOW_TO_DIGEST: &str =
    "write the 64 hex digits that `printf %s \"$TOKEN\" | sha256sum` prints, in quotes";

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    digests: &mut Digests,
) -> Option<Vec<StaticToken>> {
    each(reader, node, name, |reader, item, name| token(reader, item, name, digests))
}

fn token(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    digests: &mut Digests,
) -> Option<StaticToken> {
    let mut at = Section::open(reader, node, name)?;
    at.refuse_secret("token", "write `sha256` with the digest: `printf %s \"$TOKEN\" | sha256sum`");
    let sha256 = at.required("sha256", digest);
    let subject = at.required("subject", value::text);
    let roles = at.required("roles", |reader, node, name| each(reader, node, name, value::text));
    let tenant = at.optional("tenant", value::text);
    let span = at.place(&["sha256"]);
    at.close();
    let sha256 = sha256?;
    if let Some((_, first)) = digests.iter().find(|(digest, _)| *digest == sha256) {
        let line = reader.checker.source().line_of(first.start);
        let finding = Finding::error("config::same_token", "this token is listed twice")
            .label("listed again here")
            .help(format!("it stands on line {line} already; keep one of the two"));
        reader.report(finding, span);
    }
    digests.push((sha256, span));
    Some(StaticToken { sha256, subject: subject?, roles: roles?, tenant })
}

/// A SHA-256 digest. What is none may be the token itself, so it is shown to nobody.
fn digest(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<[u8; 32]> {
    let digest = match &node.value {
        Value::Text(written) => {
            let text = value::completed(reader, node, written)?;
            HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok())
        }
        // A digest of digits alone is a number to YAML.
        _ => None,
    };
    if digest.is_none() {
        reader.conceal(node.span);
        let finding = Finding::error("config::digest", format!("`{name}` is not a SHA-256 digest"))
            .label("a digest belongs here, never the token")
            .help(HOW_TO_DIGEST);
        reader.report(finding, node.span);
    }
    digest
}
