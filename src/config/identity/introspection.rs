//! `introspection`: tokens that their issuer explains (RFC 7662).

use secrecy::SecretString;

use super::{claims, endpoint, keep};
use crate::config::files;
use crate::config::section::{Reader, Section};
use crate::config::settings::Introspection;
use crate::config::substitution::is_name;
use crate::config::units::Remedy;
use crate::config::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Introspection> {
    let mut at = Section::open(reader, node, name)?;
    let endpoint = endpoint::required(&mut at);
    let client_id = at.required("client_id", value::text);
    let client_secret = client_secret(&mut at);
    let issuer = at.optional("issuer", value::text);
    let audience = at.optional("audience", value::text);
    let claims = claims::read(&mut at, Introspection::ROLES_CLAIM);
    let keep = keep::read(&mut at, Introspection::TTL);
    claims::warn_of_any_audience(&mut at);
    at.close();
    Some(Introspection {
        endpoint: endpoint?,
        client_id: client_id?,
        client_secret: client_secret?,
        issuer,
        audience,
        claims,
        keep,
    })
}

fn client_secret(at: &mut Section<'_, '_, '_>) -> Option<SecretString> {
    let from_file = at.optional("client_secret_file", secret_file);
    let from_env = at.optional("client_secret_env", secret_env);
    at.refuse_secret("client_secret", "put the secret into a file and name it in `client_secret_file`, or name an environment variable in `client_secret_env`");
    if at.is_written("client_secret_file") == at.is_written("client_secret_env") {
        let finding = Finding::error(
            "config::client_secret",
            "the secret comes either from a file or from an environment variable",
        )
        .help("write `client_secret_file` or `client_secret_env`");
        at.report(finding, &["client_secret_env"]);
        return None;
    }
    from_file.or(from_env)
}

fn secret_file(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SecretString> {
    let written = value::text(reader, node, name)?;
    let path = reader.resolve(written);
    let bytes = files::content(reader, node, name, &path, usable)?;
    String::from_utf8(bytes.trim_ascii().to_vec()).ok().map(Into::into)
}

fn secret_env(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SecretString> {
    let variable =
        value::parsed(reader, node, name, "the name of an environment variable", |text| {
            if is_name(text) {
                return Ok(text.to_owned());
            }
            Err(Remedy::Borrowed("write the bare name, as in `INTROSPECTION_SECRET`"))
        })?;
    let fault = match reader.around.variable(&variable) {
        None => ("is not set", "set it where Fieldgate is started"),
        Some(secret) => match usable(secret.as_bytes()) {
            Ok(()) => return Some(secret.trim_ascii().to_owned().into()),
            Err(fault) => fault,
        },
    };
    let message = format!("`{name}`: the environment variable `{variable}` {}", fault.0);
    reader.report(Finding::error("config::client_secret", message).help(fault.1), node.span);
    None
}

/// One line that is not empty.
fn usable(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let secret = bytes.trim_ascii();
    let is_line = std::str::from_utf8(secret).is_ok_and(|text| !text.chars().any(char::is_control));
    if secret.is_empty() || !is_line {
        return Err(("holds no secret", "put the secret of the client there, on one line"));
    }
    Ok(())
}
