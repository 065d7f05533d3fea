//! `jwt`: how a bearer token is verified and read.

use std::time::Duration;

use super::{claims, endpoint};
use crate::config::files;
use crate::config::section::{Reader, Section};
use crate::config::settings::{Jwt, JwtAlgorithm, JwtKeys, Keep, KeySet, KeySetLocation};
use crate::config::units::show_duration;
use crate::config::value;
use crate::diagnostic::Finding;
use crate::yaml::{Node, Value};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Jwt> {
    let mut at = Section::open(reader, node, name)?;
    let set = at.optional("jwks", key_set);
    let keys = if at.is_written("jwks") { published(&mut at, set) } else { single(&mut at) };
    let issuer = at.optional("issuer", value::text);
    let audience = at.optional("audience", value::text);
    let leeway = at.or("leeway", value::duration(Duration::ZERO..=Jwt::MAX_LEEWAY), Jwt::LEEWAY);
    let claims = claims::read(&mut at, Jwt::ROLES_CLAIM);
    at.refuse_secret("secret", "put the secret into a file and name it in `key`");
    claims::warn_of_any_audience(&mut at);
    at.close();
    Some(Jwt { keys: keys?, issuer, audience, leeway, claims })
}

/// `algorithm` and `key`.
fn single(at: &mut Section<'_, '_, '_>) -> Option<JwtKeys> {
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
    Some(JwtKeys::Single { algorithm: algorithm?, path: key? })
}

/// `jwks`, and the `algorithm` that narrows it.
fn published(at: &mut Section<'_, '_, '_>, set: Option<KeySet>) -> Option<JwtKeys> {
    let algorithm = at.optional("algorithm", value::word(&JwtAlgorithm::ALL));
    let key = at.optional("key", value::text);
    if key.is_some() {
        let finding = Finding::error("config::two_keys", "`key` and `jwks` exclude each other")
            .help("keep one of the two; a second source may have the other");
        at.report(finding, &["key"]);
    }
    if algorithm == Some(JwtAlgorithm::Hs256) {
        let finding =
            Finding::error("config::shared_key_set", "a published key is no HS256 secret")
                .help("leave `algorithm` out: each key of the set is used for its own");
        at.report(finding, &["algorithm"]);
    }
    Some(JwtKeys::Set(KeySet { algorithm, ..set? }))
}

fn key_set(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<KeySet> {
    let usual = |location| KeySet {
        location,
        algorithm: None,
        refresh: KeySet::REFRESH,
        max_age: KeySet::MAX_AGE,
        timeout: Keep::TIMEOUT,
    };
    if let Value::Text(text) = &node.value {
        return if text.contains("://") {
            endpoint::url(reader, node, name, None).map(KeySetLocation::Url).map(usual)
        } else {
            value::file(files::key_set)(reader, node, name).map(KeySetLocation::File).map(usual)
        };
    }
    let mut at = Section::open(reader, node, name)?;
    let file = at.optional("file", value::file(files::key_set));
    let url = endpoint::optional(&mut at);
    let refresh = at.or("refresh", value::timeout, KeySet::REFRESH);
    let max_age = at.or("max_age", value::timeout, KeySet::MAX_AGE.max(refresh));
    let timeout = at.or("timeout", value::timeout, Keep::TIMEOUT);
    if at.is_written("file") == at.is_written("url") {
        let finding = Finding::error("config::key_set", "a key set is either a file or a URL")
            .help("write `url` with the issuer's `jwks_uri`, or `file`");
        at.report(finding, &["file"]);
    }
    if max_age < refresh {
        let message = format!(
            "keys are read again after {}, and no longer serve after {}",
            show_duration(refresh),
            show_duration(max_age)
        );
        let finding = Finding::error("config::key_set", message)
            .help("`max_age` bounds how long keys serve while their server is down: raise it");
        at.report(finding, &["max_age"]);
    }
    at.close();
    let location = file.map(KeySetLocation::File).or(url.map(KeySetLocation::Url))?;
    Some(KeySet { refresh, max_age, timeout, ..usual(location) })
}
