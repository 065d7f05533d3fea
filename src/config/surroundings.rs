//! What the reading of a configuration may see of the world: variables, files, folders.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Finding, SourceFile, Span};

/// The most bytes of a configuration, or of a file that it names.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The world as far as a configuration may look into it.
pub trait Surroundings {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file.
    ///
    /// # Errors
    /// Where it cannot be read whole.
    fn file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Whether a folder stands there.
    fn is_folder(&self, path: &Path) -> bool;
}

/// The file system of this machine, and environment variables from a lookup.
pub struct Disk<'e> {
    env: &'e dyn Fn(&str) -> Option<String>,
}

impl<'e> Disk<'e> {
    /// Files as they are; variables as `env` answers.
    #[must_use]
    pub fn new(env: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self { env }
    }
}

impl Surroundings for Disk<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

/// Why a file could not be read, the same words on every system.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::FileTooLarge => "it is larger than 1 MiB".to_owned(),
        other => other.to_string(),
    }
}

/// The bytes of a file as text, or where they stop being UTF-8.
pub(super) fn text_file(name: String, bytes: Vec<u8>) -> Result<Arc<SourceFile>, Finding> {
    String::from_utf8(bytes).map(|text| SourceFile::new(name.clone(), text)).map_err(|error| {
        let place = Span::new(error.utf8_error().valid_up_to(), '\u{fffd}'.len_utf8());
        let shown = SourceFile::new(name, String::from_utf8_lossy(error.as_bytes()).into_owned());
        Finding::error("config::encoding", "the file is not UTF-8 from here on")
            .help("save it as UTF-8")
            .at(&shown, place)
    })
}
