//! `admin`: the listener for operators, and who may use it.

use super::places::Places;
use super::secret;
use super::section::{Reader, Section, each};
use super::settings::Admin;
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
    let from_file = at.optional("token_file", secret::from_file(usable_token));
    let from_env = at.optional("token_env", secret::from_env(usable_token));
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
