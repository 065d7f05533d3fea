//! The data folder: its files, who may read them, and which process owns it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// The database's name in the data folder.
pub const DATABASE: &str = "fieldgate.db";

/// Held by the owner. It is never removed: a lock on a removed file excludes nobody.
const LOCK: &str = "fieldgate.lock";

/// A data folder that exists.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
    database: PathBuf,
}

/// The folder is this process's own as long as this lives, and when it dies, by whatever death.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Place {
    /// Makes sure of a folder and a database file that only this user reads. A folder that exists
    /// keeps its mode, since it may be a mounted volume; the files are closed to others all the same.
    pub(super) fn create(folder: &Path) -> Result<Self, OpenError> {
        let place = Self::of(folder);
        create_folder(folder).map_err(|cause| fault(folder, cause))?;
        private_file(&place.database).map_err(|cause| fault(&place.database, cause))?;
        Ok(place)
    }

    /// A folder that has a database already.
    pub(super) fn visit(folder: &Path) -> Result<Self, OpenError> {
        let place = Self::of(folder);
        let is_there = place.database.try_exists().map_err(|cause| fault(folder, cause))?;
        if is_there { Ok(place) } else { Err(OpenError::Absent(place.folder)) }
    }

    fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), database: folder.join(DATABASE) }
    }

    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    pub(super) fn lock(&self) -> Result<Lock, OpenError> {
        let path = self.folder.join(LOCK);
        let file = private_file(&path).map_err(|cause| fault(&path, cause))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Owned(self.folder.clone())),
            Err(TryLockError::Error(cause)) => Err(fault(&path, cause)),
        }
    }

    /// Makes the names of the files in the folder durable.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|cause| fault(&self.folder, cause))
    }
}

fn fault(path: &Path, cause: io::Error) -> OpenError {
    OpenError::Folder { path: path.to_owned(), cause }
}

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file)
}
