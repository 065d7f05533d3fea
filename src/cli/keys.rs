//! `fieldgate keys`: key ring files.

mod change;
mod list;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use super::exit::{Exit, Failed};
use super::{heading, terminal};
use crate::mask::{KeyId, KeyRing};

/// Make key ring files, and change the keys in them
///
/// The strategies `hash`, `encrypt` and `tokenize` need a key. `keys:` in the configuration names
/// the file that holds it. A running Fieldgate takes a changed file over by itself.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    New(New),
    Rotate(change::Rotate),
    Activate(change::Activate),
    Retire(change::Retire),
    List(list::List),
}

const AFTER_NEW: &str = concat!(
    heading!("Examples"),
    "  fieldgate keys new --out keys.yaml\n",
    "  fieldgate keys new --id 2026q4 | vault kv put secret/fieldgate keys=-\n\n",
    heading!("Exit codes"),
    "  0  made\n",
    "  2  the id has other characters than letters and digits\n",
    "  3  the file exists already or cannot be written",
);

/// Make a key ring with one new random key
///
/// Prints it, or writes it to a file that only its owner can read (mode 0600). A file that exists
/// is never overwritten: whoever loses a key cannot reverse what it has masked. For a new key in a
/// ring that you have there is `fieldgate keys rotate`.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_NEW)]
struct New {
    /// The id of the key: 1 to 16 letters and digits
    #[arg(long, value_name = "ID", default_value = "k1", value_parser = KeyId::parse)]
    id: KeyId,
    /// Write to a new file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Keys {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let new = match self.command {
            KeysCommand::New(new) => new,
            KeysCommand::Rotate(rotate) => return rotate.execute(),
            KeysCommand::Activate(activate) => return activate.execute(),
            KeysCommand::Retire(retire) => return retire.execute(),
            KeysCommand::List(list) => return list.execute(),
        };
        let ring = new_ring(&new.id);
        match &new.out {
            None => terminal::print(ring.expose_secret())?,
            Some(path) => write_new(path, &ring)?,
        }
        Ok(Exit::Good)
    }
}

/// A ring with one new key, made today.
pub(super) fn new_ring(id: &KeyId) -> SecretString {
    KeyRing::generate_file(&mut rand::rng(), id, OffsetDateTime::now_utc().date())
}

/// Writes a ring to a file that does not exist yet and that only its owner can read.
pub(super) fn write_new(path: &Path, ring: &SecretString) -> Result<(), Failed> {
    let name = path.display();
    create_private(path, ring).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failed::could_not_run(format!("`{name}` exists already"))
            .help("key rings are never overwritten; choose another name"),
        _ => Failed::could_not_run(format!("`{name}` cannot be written: {error}")),
    })
}

fn create_private(path: &Path, ring: &SecretString) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(ring.expose_secret().as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a ring would only be in the way of the next attempt.
        let _ = fs::remove_file(path);
    }
    written
}
