//! Files that the configuration names: that they can be read, and hold what they should.
//!
//! The rooms that use a file read and parse it themselves. What is looked at here is what people
//! get wrong, so that the fault is reported at the line that names the file.

use std::path::Path;

use super::section::Reader;
use super::settings::{Jwt, Settings};
use super::surroundings;
use crate::diagnostic::Finding;
use crate::yaml::Node;

/// What is wrong with the content of a file, and what to do: `(fault, remedy)`.
pub(super) type Check = fn(&[u8]) -> Result<(), (&'static str, &'static str)>;

/// The content of the file at `path`, if it can be read and passes `check`.
pub(super) fn content(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    path: &Path,
    check: Check,
) -> Option<Vec<u8>> {
    let written = reader.written(node);
    let finding = match reader.around.file(path) {
        Ok(bytes) => match check(&bytes) {
            Ok(()) => return Some(bytes),
            Err((fault, remedy)) => {
                Finding::error("config::file_content", format!("`{name}`: {written} {fault}"))
                    .label("this file")
                    .help(remedy)
            }
        },
        Err(error) => {
            let why = surroundings::reason(&error);
            Finding::error("config::file", format!("`{name}`: cannot read {written}: {why}"))
                .label("this file")
                .help(where_to_look(path))
        }
    };
    reader.report(finding, node.span);
    None
}

/// Where a path of the configuration led to.
pub(super) fn where_to_look(path: &Path) -> String {
    format!("looked for `{}`; paths start from the folder of the configuration", path.display())
}

/// The policy folder must exist also where the file does not name it.
pub(super) fn require_usual_policies(reader: &mut Reader<'_>) {
    let path = reader.resolve(Settings::POLICIES);
    if reader.around.is_folder(&path) {
        return;
    }
    let finding =
        Finding::error("config::file", format!("there is no policy folder `{}`", path.display()))
            .help("create it, or name another with `policies:`");
    reader.checker.report_anywhere(finding);
}

/// Any content at all.
pub(super) fn not_empty(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    if bytes.trim_ascii().is_empty() {
        return Err(("is empty", "see `fieldgate keys new` for a key ring"));
    }
    Ok(())
}

/// A chain of certificates.
pub(super) fn certificates(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    if holds(bytes, "-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    Err(("holds no certificate", "name a PEM file with `-----BEGIN CERTIFICATE-----` in it"))
}

/// A private key that can be used without a passphrase.
pub(super) fn private_key(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    if holds(bytes, "-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || holds(bytes, "Proc-Type: 4,ENCRYPTED")
    {
        return Err(("needs a passphrase", "decrypt it with `openssl pkey`, and guard the file"));
    }
    if holds(bytes, "PRIVATE KEY-----") {
        return Ok(());
    }
    Err(("holds no private key", "name a PEM file with `-----BEGIN PRIVATE KEY-----` in it"))
}

/// A public key to verify tokens with.
pub(super) fn public_key(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    if holds(bytes, "PRIVATE KEY-----") {
        return Err((
            "holds a private key",
            "only the issuer may have it; name its public key (`openssl pkey -pubout`)",
        ));
    }
    if holds(bytes, "PUBLIC KEY-----") || holds(bytes, "-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    Err(("holds no public key", "name a PEM file with `-----BEGIN PUBLIC KEY-----` in it"))
}

/// A set of public keys (RFC 7517).
pub(super) fn key_set(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let set = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    if set.is_some_and(|set| set.get("keys").is_some_and(serde_json::Value::is_array)) {
        return Ok(());
    }
    Err((
        "holds no set of keys",
        "name a JSON file with `{\"keys\": [...]}`, as an issuer publishes it",
    ))
}

/// A secret for HS256.
pub(super) fn shared_secret(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    if holds(bytes, "-----BEGIN ") {
        return Err((
            "is a PEM file, and HS256 needs a shared secret",
            "for a public key choose `RS256`, `ES256` or `EdDSA`",
        ));
    }
    if bytes.trim_ascii_end().len() < Jwt::MIN_SECRET_BYTES {
        return Err((
            "is shorter than the 32 bytes that HS256 needs",
            "make one with `openssl rand -base64 48`",
        ));
    }
    Ok(())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}
