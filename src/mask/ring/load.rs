//! The edge of this room: reads a key ring file and what it points to.
//!
//! Refuses files that others than their owner can get at, and whatever is not a small text file.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{KeyRing, SecretError, SecretSource};
use crate::diagnostic::{Finding, SourceFile};

const LARGEST: u64 = 64 * 1024;

/// Reads the key ring in the file at `path`.
///
/// # Errors
/// Everything that is wrong with the file or in it; no finding shows a secret.
pub fn load(path: &Path) -> Result<KeyRing, Vec<Finding>> {
    let name = path.display().to_string();
    let text = read_private(path).map_err(|error| {
        let message = format!("the key ring file `{name}` {error}");
        let help = match error {
            SecretError::Missing => "make one with `fieldgate keys new`",
            SecretError::OpenToOthers => "run `chmod 600` on it",
            SecretError::NotAFile | SecretError::TooLarge | SecretError::Unreadable => {
                "name a file that `fieldgate keys new` has made, readable by Fieldgate's user"
            }
        };
        vec![Finding::error("keys::unreadable", message).help(help)]
    })?;
    let source = SourceFile::new(name, text.expose_secret());
    KeyRing::read(&source, &Surroundings { folder: path.parent().unwrap_or(Path::new("")) })
}

/// The environment of this process, and the file system as seen from the key ring's folder.
struct Surroundings<'a> {
    folder: &'a Path,
}

impl SecretSource for Surroundings<'_> {
    fn environment(&self, name: &str) -> Result<SecretString, SecretError> {
        match std::env::var(name) {
            Ok(value) => Ok(SecretString::from(value)),
            Err(std::env::VarError::NotPresent) => Err(SecretError::Missing),
            Err(std::env::VarError::NotUnicode(_)) => Err(SecretError::Unreadable),
        }
    }

    fn file(&self, path: &str) -> Result<SecretString, SecretError> {
        read_private(&self.folder.join(path))
    }
}

fn read_private(path: &Path) -> Result<SecretString, SecretError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => SecretError::Missing,
        _ => SecretError::Unreadable,
    };
    // Asked before opening, for opening a pipe would wait for someone to write into it.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(SecretError::NotAFile);
    }
    let file = File::open(path).map_err(failed)?;
    // Asked of the open file, so that what is checked is what is read.
    if is_open_to_others(&file.metadata().map_err(failed)?) {
        return Err(SecretError::OpenToOthers);
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(SecretError::TooLarge);
    }
    std::str::from_utf8(&bytes).map(SecretString::from).map_err(|_| SecretError::Unreadable)
}

#[cfg(unix)]
fn is_open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 != 0
}

/// Other systems have no mode to ask.
#[cfg(not(unix))]
fn is_open_to_others(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn write(folder: &Path, name: &str, text: &str, mode: u32) -> std::path::PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[track_caller]
    fn check_refused(path: &Path, code: &str, message: &str, help: &str) {
        let findings = load(path).unwrap_err();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].code(), code);
        assert!(findings[0].message().contains(message), "{}", findings[0]);
        assert!(findings[0].remedy().unwrap_or_default().contains(help), "{findings:?}");
    }

    #[test]
    fn reads_a_private_file_and_what_it_points_to() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "k1.secret", SECRET, 0o400);
        let text = "active: k1\nkeys: { k1: { secret_file: k1.secret } }";
        let path = write(folder.path(), "keys.yaml", text, 0o600);
        assert_eq!(load(&path).unwrap().active().as_str(), "k1");
    }

    #[test]
    fn refuses_files_that_others_can_get_at() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("active: k1\nkeys: {{ k1: {{ secret: {SECRET} }} }}");
        for mode in [0o640, 0o604, 0o620, 0o644] {
            let path = write(folder.path(), "keys.yaml", &text, mode);
            check_refused(&path, "keys::unreadable", "open to others", "chmod 600");
        }
        write(folder.path(), "k1.secret", SECRET, 0o644);
        let text = "active: k1\nkeys: { k1: { secret_file: k1.secret } }";
        let path = write(folder.path(), "keys.yaml", text, 0o600);
        check_refused(&path, "keys::secret_unavailable", "open to others", "chmod 600");
    }

    #[test]
    fn refuses_what_is_no_small_text_file() {
        let folder = tempfile::tempdir().unwrap();
        check_refused(&folder.path().join("none"), "keys::unreadable", "not exist", "keys new");
        check_refused(folder.path(), "keys::unreadable", "regular file", "keys new");
        let large = write(folder.path(), "large", &" ".repeat(65 * 1024), 0o600);
        check_refused(&large, "keys::unreadable", "larger than 64 KiB", "keys new");
        let binary = folder.path().join("binary");
        fs::write(&binary, [0xff; 32]).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o600)).unwrap();
        check_refused(&binary, "keys::unreadable", "read as text", "keys new");
    }

    #[test]
    fn an_unset_variable_is_a_finding() {
        let folder = tempfile::tempdir().unwrap();
        let text = "active: k1\nkeys: { k1: { secret_env: FIELDGATE_NO_SUCH_VARIABLE } }";
        let path = write(folder.path(), "keys.yaml", text, 0o600);
        check_refused(&path, "keys::secret_unavailable", "does not exist", "secret_env");
    }
}
