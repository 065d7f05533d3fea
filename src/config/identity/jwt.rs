//! `jwt`: how a bearer token is verified and read.

use std::time::Duration;

use crate::config::files;
use crate::config::section::{Reader, Section};
use crate::config::settings::{Jwt, JwtAlgorithm};
use crate::config::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Jwt> {
    let mut at = Section::open(reader, node, name)?;
    let algorithm = at.required("algorithm", value::word(&JwtAlgorithm::ALL));
    let key = at.required("key", |reader, node, name| {
        // Without an algorithm nobody can say what the file must hold.
        let check =
            algorithm.map_or(files::not_empty as files::Check, |algorithm| match algorithm {
                JwtAlgorithm::Hs256 => files::shared_secret,
                JwtAlgorithm::Rs256 | JwtAlgorithm::Es256 | JwtAlgorithm::EdDsa => {
                    files::public_key
                }
            });
        value::file(check)(reader, node, name)
    });
    let issuer = at.optional("issuer", value::text);
    let audience = at.optional("audience", value::text);
    let leeway = at.or("leeway", value::duration(Duration::ZERO..=Jwt::MAX_LEEWAY), Jwt::LEEWAY);
    let subject_claim = at.or("subject_claim", claim, Jwt::SUBJECT_CLAIM.to_owned());
    let roles_claim = at.or("roles_claim", claim, Jwt::ROLES_CLAIM.to_owned());
    let tenant_claim = at.optional("tenant_claim", claim);
    at.refuse_secret("secret", "put the secret into a file and name it in `key`");
    if !at.is_written("audience") {
        let finding = Finding::warning("config::no_audience", "tokens for any audience are accepted")
            .label("this source names no `audience`")
            .help("set `audience` to the name that the issuer gives this CRM, or tokens meant for another service open it too");
        at.report(finding, &[]);
    }
    at.close();
    Some(Jwt {
        algorithm: algorithm?,
        key: key?,
        issuer,
        audience,
        leeway,
        subject_claim,
        roles_claim,
        tenant_claim,
    })
}

/// The name of a claim; dots walk into objects.
fn claim(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    let claim = value::text(reader, node, name)?;
    if claim.split('.').any(str::is_empty) {
        let message = format!("`{name}`: {} has an empty name", reader.written(node));
        let finding = Finding::error("config::claim", message)
            .help("dots stand between the names of objects, as in `realm_access.roles`");
        reader.report(finding, node.span);
        return None;
    }
    Some(claim)
}
