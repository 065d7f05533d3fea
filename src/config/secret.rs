//! Secrets that the file names: in a file of their own, or in an environment variable.

use secrecy::SecretString;

use super::files::{self, Check};
use super::section::{Reader, Section};
use super::substitution::is_name;
use super::units::Remedy;
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

/// The content of a file without white space around it, if it passes `check`.
pub(super) fn from_file(
    check: Check,
) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Option<SecretString> {
    move |reader, node, name| {
        let written = value::text(reader, node, name)?;
        let path = reader.resolve(written);
        let bytes = files::content(reader, node, name, &path, check)?;
        let secret = String::from_utf8(bytes.trim_ascii().to_vec()).ok()?;
        Some(secret.into())
    }
}

/// What an environment variable holds, if it passes `check`.
pub(super) fn from_env(
    check: Check,
) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Option<SecretString> {
    move |reader, node, name| {
        let wanted = "the name of an environment variable";
        let variable = value::parsed(reader, node, name, wanted, |text| {
            if is_name(text) {
                return Ok(text.to_owned());
            }
            Err(Remedy::Borrowed("write the bare name, as in `FIELDGATE_ADMIN_TOKEN`"))
        })?;
        let fault = match reader.around.variable(&variable) {
            None => ("is not set", "set it where Fieldgate is started"),
            Some(secret) => match check(secret.as_bytes()) {
                Ok(()) => return Some(secret.trim_ascii().to_owned().into()),
                Err(fault) => fault,
            },
        };
        let message = format!("`{name}`: the environment variable `{variable}` {}", fault.0);
        reader.report(Finding::error("config::token", message).help(fault.1), node.span);
        None
    }
}

/// `{ file: ... }` or `{ env: ... }`.
pub(super) fn from_either(
    check: Check,
) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Option<SecretString> {
    move |reader, node, name| {
        let mut at = Section::open(reader, node, name)?;
        let file = at.optional("file", from_file(check));
        let env = at.optional("env", from_env(check));
        let written = ["file", "env"].iter().filter(|key| at.is_written(key)).count();
        if written != 1 && !at.has_more() {
            let message = format!("`{name}` names {written} places of one secret");
            let finding = Finding::error("config::secret", message)
                .help("write `{ file: PATH }` or `{ env: NAME }`");
            at.report(finding, &["env"]);
        }
        at.close();
        file.or(env)
    }
}

/// One line that a header or a login can carry.
pub(super) fn one_line(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let secret = bytes.trim_ascii();
    if secret.is_empty() {
        return Err(("is empty", "put the secret into it, on one line"));
    }
    if !secret.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return Err(("holds more than one line of ASCII", "put the secret into it, on one line"));
    }
    Ok(())
}
