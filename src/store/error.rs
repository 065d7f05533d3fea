//! Why a store cannot be opened, and why work was not done.

use std::io;
use std::path::PathBuf;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be used.
    #[error("the data folder `{path}` cannot be used: {cause}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process owns it.
    #[error("the data folder `{0}` belongs to a Fieldgate that is running")]
    Owned(PathBuf),
    /// There is no store to visit.
    #[error("there is no store in `{0}`")]
    Absent(PathBuf),
    /// The file is some other program's.
    #[error("`{0}` is not a store of Fieldgate")]
    Foreign(PathBuf),
    /// A newer program has written the file.
    #[error(
        "the store is newer than this program: its tables of `{schema}` are at step {found}, and \
         this program knows {known}"
    )]
    Newer {
        /// Whose tables.
        schema: &'static str,
        /// Where the file is.
        found: u64,
        /// How far the program knows.
        known: u64,
    },
    /// An older program has written the file, and a visitor does not migrate.
    #[error(
        "the store is older than this program: its tables of `{schema}` are at step {found} of \
         {known}"
    )]
    Older {
        /// Whose tables.
        schema: &'static str,
        /// Where the file is.
        found: u64,
        /// How far the program knows.
        known: u64,
    },
    /// SQLite refused.
    #[error("the store cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// There is no thread for the writer.
    #[error("the store's thread cannot be started: {0}")]
    Thread(io::Error),
}

impl OpenError {
    /// What the reader of the message can do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "it must be a folder that this user may write to",
            Self::Owned(_) => "stop the other one, or give each a data folder of its own",
            Self::Absent(_) => "name the folder that `fieldgate run` keeps its data in",
            Self::Foreign(_) => "name another data folder; this one is left as it is",
            Self::Newer { .. } => "run the version that wrote it, or a later one",
            Self::Older { .. } => {
                "start `fieldgate run` of this version once; it migrates the store"
            }
            Self::Sqlite(_) => "look at the disk and at who may read and write there",
            Self::Thread(_) => "raise the limit of threads for this process",
        }
    }
}

/// Why work was not done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits already.
    #[error("too much work waits for the store")]
    Busy,
    /// Another process wrote for longer than the store waits.
    #[error("another process holds the store")]
    Held,
    /// The store does not take writes; nothing was done.
    #[error("the store does not take writes")]
    Unhealthy,
    /// The commit failed: whether the work is on disk is not known.
    #[error("the store could not commit")]
    NotCommitted,
    /// The work itself failed, and was undone.
    #[error("the work failed in the store: {0}")]
    Work(#[from] rusqlite::Error),
    /// The work panicked, and was undone.
    #[error("the work panicked in the store")]
    Panicked,
    /// The store is closed.
    #[error("the store is closed")]
    Stopped,
}
