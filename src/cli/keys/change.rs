//! `fieldgate keys rotate`, `activate` and `retire`: changes to a key ring file.
//!
//! The file is read, changed, read again as the gate would read it, and put in the place of the old
//! one at once, with the owner and the permissions that the old one had. Somebody who looks at it
//! meanwhile sees the old file or the new one. Two changes at the same time are kept apart by a
//! lock beside the file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use super::super::exit::{Exit, Failed};
use super::super::{heading, run, terminal};
use crate::mask::{self, EditError, KeyId, KeyRing};

const AFTER_ROTATE: &str = concat!(
    heading!("Examples"),
    "  fieldgate keys rotate --keys keys.yaml\n",
    "  fieldgate keys rotate --keys keys.yaml --id 2026q4 --stage\n",
    "  fieldgate keys activate 2026q4 --keys keys.yaml\n\n",
    heading!("Exit codes"),
    "  0  done\n",
    "  1  the key ring has faults, or such a key\n",
    "  2  the id has other characters than letters and digits\n",
    "  3  the key ring cannot be read or written",
);

/// Add a new random key to a ring, and make it the active one
///
/// New masks use the new key from then on. The old keys stay, so that what they masked is still
/// recognised, revealed and checked, until `fieldgate keys retire`. Where several sidecars share a
/// ring, use `--stage` first and `activate` when all of them have the file: none meets a mask then
/// that it does not know.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_ROTATE)]
pub(super) struct Rotate {
    #[command(flatten)]
    ring: Ring,
    /// The id of the new key, 1 to 16 letters and digits; the next free `k1`, `k2`, ... unless given
    #[arg(long, value_name = "ID", value_parser = KeyId::parse)]
    id: Option<KeyId>,
    /// Only add the key: masks are still made with the active one
    #[arg(long)]
    stage: bool,
}

const AFTER_ACTIVATE: &str = concat!(
    heading!("Examples"),
    "  fieldgate keys activate k2 --keys keys.yaml\n\n",
    heading!("Exit codes"),
    "  0  done\n",
    "  1  the key ring has faults, or no such key\n",
    "  3  the key ring cannot be read or written",
);

/// Make a key of the ring the active one
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_ACTIVATE)]
pub(super) struct Activate {
    /// The key
    #[arg(value_name = "ID", value_parser = KeyId::parse)]
    id: KeyId,
    #[command(flatten)]
    ring: Ring,
}

const AFTER_RETIRE: &str = concat!(
    heading!("Examples"),
    "  fieldgate keys retire k1 --keys keys.yaml\n\n",
    heading!("Exit codes"),
    "  0  done\n",
    "  1  the key ring has faults, no such key, or it is the active one\n",
    "  3  the key ring cannot be read or written",
);

/// Let a key go: what it masked is never turned back again
///
/// Its tokens and encrypted values are refused from then on, and its hashes are not recognised. The
/// key stays in the file, marked `retired`, for marks of the audit ledger that it signed; who wants
/// it destroyed removes the line.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_RETIRE)]
pub(super) struct Retire {
    /// The key
    #[arg(value_name = "ID", value_parser = KeyId::parse)]
    id: KeyId,
    #[command(flatten)]
    ring: Ring,
}

#[derive(Debug, Args)]
struct Ring {
    /// The key ring
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

impl Rotate {
    pub(super) fn execute(&self) -> Result<Exit, Failed> {
        let today = OffsetDateTime::now_utc().date();
        let mut made = None;
        self.ring.change(|text, ring| {
            let id = self.id.clone().or_else(|| next_id(ring)).ok_or(EditError::Form)?;
            let random = &mut rand::rng();
            let text = KeyRing::file_with_new_key(text, random, &id, today, !self.stage)?;
            made = Some(id);
            Ok(text)
        })?;
        if let Some(id) = made {
            let role = if self.stage { "waits" } else { "is active" };
            terminal::tell(&format!("key `{id}` {role}\n"));
        }
        Ok(Exit::Good)
    }
}

impl Activate {
    pub(super) fn execute(&self) -> Result<Exit, Failed> {
        self.ring.change(|text, _| KeyRing::file_with_active(text, &self.id))?;
        terminal::tell(&format!("key `{}` is active\n", self.id));
        Ok(Exit::Good)
    }
}

impl Retire {
    pub(super) fn execute(&self) -> Result<Exit, Failed> {
        let today = OffsetDateTime::now_utc().date();
        self.ring.change(|text, _| KeyRing::file_with_retired(text, &self.id, today))?;
        terminal::tell(&format!("key `{}` is retired\n", self.id));
        Ok(Exit::Good)
    }
}

/// The first of `k1`, `k2`, ... behind the highest that there is.
fn next_id(ring: &KeyRing) -> Option<KeyId> {
    let numbers = ring.facts().filter_map(|key| key.id.as_str().strip_prefix('k')?.parse().ok());
    let highest: u32 = numbers.max().unwrap_or(0);
    KeyId::parse(&format!("k{}", highest.checked_add(1)?)).ok()
}

impl Ring {
    /// Changes the file, if what comes out is a good key ring.
    fn change(
        &self,
        edit: impl FnOnce(&str, &KeyRing) -> Result<SecretString, EditError>,
    ) -> Result<(), Failed> {
        // A link is followed, so that what it names is changed and not the link.
        let path = fs::canonicalize(&self.keys).map_err(|error| self.cannot("read", &error))?;
        let _lock = self.lock(&path)?;
        let ring = self.load(&path)?;
        let text = fs::read_to_string(&path).map_err(|error| self.cannot("read", &error))?;
        let text = SecretString::from(text);
        let changed = edit(text.expose_secret(), &ring).map_err(|error| {
            let failed = Failed::input(error.to_string());
            match error {
                EditError::Active(_) => {
                    failed.help("make another one active first, with `fieldgate keys rotate`")
                }
                EditError::Form => failed.help("write it as `fieldgate keys new` does"),
                EditError::Exists(_) | EditError::Unknown(_) | EditError::Retired(_) => {
                    failed.help("`fieldgate keys list` shows the keys")
                }
            }
        })?;
        replace(&path, &changed, |new| self.load(new).map(drop))
            .map_err(|error| self.cannot("written", &error))?
    }

    fn load(&self, path: &Path) -> Result<KeyRing, Failed> {
        mask::load(path).map_err(|findings| {
            terminal::tell_findings(&findings);
            Failed::told(run::exit_of_file(&self.keys))
        })
    }

    /// Held until it is dropped.
    fn lock(&self, path: &Path) -> Result<File, Failed> {
        let place = beside(path, "lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&place)
            .map_err(|error| self.cannot("written", &error))?;
        file.lock().map_err(|error| self.cannot("written", &error))?;
        Ok(file)
    }

    fn cannot(&self, what: &str, error: &io::Error) -> Failed {
        let name = self.keys.display();
        let failed = Failed::could_not_run(format!("`{name}` cannot be {what}: {error}"));
        match error.kind() {
            ErrorKind::NotFound => failed.help("make one with `fieldgate keys new`"),
            _ => failed.help("run this as the owner of the file, who can write to its folder"),
        }
    }
}

/// A hidden name in the same folder, for only there a rename is one step.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{ending}"))
}

/// Puts `text` in the place of the file once `check` is content with it.
fn replace(
    path: &Path,
    text: &SecretString,
    check: impl FnOnce(&Path) -> Result<(), Failed>,
) -> io::Result<Result<(), Failed>> {
    let old = fs::metadata(path)?;
    let new = beside(path, "new");
    // What a crash may have left behind.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let written = write_as(&new, text, &old);
    let checked = written.map(|()| check(&new));
    if !matches!(checked, Ok(Ok(()))) {
        let _ = fs::remove_file(&new);
        return checked;
    }
    fs::rename(&new, path)?;
    // The rename is on disk when its folder is.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(Ok(()))
}

/// A file for the owner of `old`, with its permissions.
fn write_as(path: &Path, text: &SecretString, old: &fs::Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    file.write_all(text.expose_secret().as_bytes())?;
    file.sync_all()
}
