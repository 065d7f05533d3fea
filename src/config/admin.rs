//! `admin`: the listener for operators, and who may use it.

use secrecy::SecretString;

use super::files;
use super::places::Places;
use super::section::{Reader, Section, each};
use super::settings::Admin;
use super::substitution::is_name;
use super::units::Remedy;
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

/// The listener of a file that names none.
pub(super) fn usual(places: &mut Places) -> Admin {
    let admin = Admin::default();
    places.listen(admin.address, None);
    admin
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    places: &mut Places,
) -> Option<Admin> {
    let usual = Admin::default();
    let mut at = Section::open(reader, node, name)?;
    let address = at.or("listen", value::address, usual.address);
    let from_file = at.optional("token_file", token_file);
    let from_env = at.optional("token_env", token_env);
    let hosts = at.or("hosts", hosts, Vec::new());
    at.refuse_secret("token", "put the token into a file and name it in `token_file`, or name an environment variable in `token_env`");
    let (has_file, has_env) = (at.is_written("token_file"), at.is_written("token_env"));
    if has_file && has_env {
        let finding =
            Finding::error("config::two_tokens", "`token_file` and `token_env` exclude each other")
                .help("keep one of the two");
        at.report(finding, &["token_env"]);
    }
    if !has_file && !has_env && !address.ip().is_loopback() {
        let message =
            format!("`{address}` opens the admin listener to the network without a token");
        let finding = Finding::error("config::open_admin", message)
            .label("anybody can reach this")
            .help("add `token_file: admin.token`, or listen on 127.0.0.1");
        at.report(finding, &["listen"]);
    }
    let span = at.is_written("listen").then(|| at.place(&["listen"]));
    at.close();
    places.listen(address, span);
    Some(Admin { address, token: from_file.or(from_env), hosts })
}

fn token_file(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SecretString> {
    let written = value::text(reader, node, name)?;
    let path = reader.resolve(written);
    let bytes = files::content(reader, node, name, &path, usable_token)?;
    let token = String::from_utf8(bytes.trim_ascii().to_vec()).ok()?;
    Some(token.into())
}

fn token_env(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SecretString> {
    let variable =
        value::parsed(reader, node, name, "the name of an environment variable", |text| {
            if is_name(text) {
                return Ok(text.to_owned());
            }
            Err(Remedy::Borrowed("write the bare name, as in `FIELDGATE_ADMIN_TOKEN`"))
        })?;
    let fault = match reader.around.variable(&variable) {
        None => ("is not set", "set it where Fieldgate is started"),
        Some(token) => match usable_token(token.as_bytes()) {
            Ok(()) => return Some(token.trim_ascii().to_owned().into()),
            Err(fault) => fault,
        },
    };
    let message = format!("`{name}`: the environment variable `{variable}` {}", fault.0);
    reader.report(Finding::error("config::token", message).help(fault.1), node.span);
    None
}

/// A token that can stand in a header and cannot be guessed at once.
fn usable_token(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let token = bytes.trim_ascii();
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err((
            "holds a token that no header can carry",
            "use one line of letters, digits and signs, as from `openssl rand -hex 32`",
        ));
    }
    if token.len() < Admin::MIN_TOKEN_CHARACTERS {
        return Err((
            "holds a token shorter than 16 characters",
            "make one with `openssl rand -hex 32`",
        ));
    }
    Ok(())
}

fn hosts(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Vec<String>> {
    each(reader, node, name, value::host)
}
