//! Events as JSON lines of a file, which is rotated by size.
//!
//! A line counts as written when `fdatasync` has come back; lines that wait for it share one. A
//! sync that failed is not tried again on the same handle, for the kernel may have dropped what it
//! could not write: the file is cut back to what was synced before, and opened anew.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::lines::{Lines, Place};
use super::{BuildCause, Doubt};
use crate::config::LineFile;
use crate::event::{Delivered, Message, Sink};

/// Enough to keep many lines waiting for one sync.
const PARALLEL: usize = 256;

/// How every line begins.
const LINE_START: &[u8] = b"{\"specversion\"";

/// How far back the end of the last whole line is looked for.
const MOST_TORN: u64 = 64 << 20;

/// Writes to a file.
#[derive(Debug)]
pub struct FileSink {
    name: String,
    role: String,
    lines: Lines,
}

impl FileSink {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn new(name: String, role: String, settings: LineFile) -> Result<Self, BuildCause> {
        let lines = Lines::start(&name, RotatedFile { settings, open: None })?;
        Ok(Self { name, role, lines })
    }
}

#[async_trait]
impl Sink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn role(&self) -> &str {
        &self.role
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }

    async fn inspect(&self) -> Vec<Doubt> {
        // Writing nothing opens the file and syncs it.
        if self.lines.write(Vec::new()).await { Vec::new() } else { vec![Doubt::NotWritable] }
    }

    async fn deliver(&self, message: &Message, _attempt: u32) -> Delivered {
        self.lines.deliver(message).await
    }
}

struct RotatedFile {
    settings: LineFile,
    open: Option<Open>,
}

/// A file that is written, and how much of it is synced.
struct Open {
    file: File,
    length: u64,
}

impl Place for RotatedFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = self.current(lines.len() as u64)?;
        let written = open.file.write_all(lines).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // A part of a line would be taken for a whole one by whoever reads along.
            let _ = open.file.set_len(open.length);
            return Err(error);
        }
        open.length += lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }
}

impl RotatedFile {
    /// The file to write `more` bytes to.
    fn current(&mut self, more: u64) -> io::Result<Open> {
        let path = &self.settings.path;
        let open = match self.open.take().filter(|open| is_at(&open.file, path)) {
            Some(open) => open,
            None => begin(path)?,
        };
        if open.length == 0 || open.length + more <= self.settings.rotate_size {
            return Ok(open);
        }
        drop(open);
        rotate(path, self.settings.rotate_keep)?;
        begin(path)
    }
}

/// Whether the file still stands at `path`: somebody may have moved or removed it.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// Opens the file for lines to be added, alone, and behind its last whole line.
fn begin(path: &Path) -> io::Result<Open> {
    // What is in events is not for every user of the machine.
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    match file.try_lock() {
        // Some file systems know no locks; there the operator must not write it twice.
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => return Err(ErrorKind::ResourceBusy.into()),
    }
    end_torn_line(&mut file)?;
    // A new name is durable when its folder is.
    sync_folder(path)?;
    let length = file.metadata()?.len();
    Ok(Open { file, length })
}

/// A process that was killed may have left a part of a line. It was never accepted and comes
/// again, so it is removed; what is no line of ours is ended instead.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let start = start_of_last_line(file, length)?;
    if start == length {
        return Ok(());
    }
    let mut torn = vec![0; LINE_START.len().min(usize::try_from(length - start).unwrap_or(0))];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut torn)?;
    if LINE_START.starts_with(&torn) { file.set_len(start) } else { file.write_all(b"\n") }
}

/// Where the last line starts; the end where the last byte ends a line.
fn start_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let mut end = length;
    while end > 0 && length - end < MOST_TORN {
        let begin = end.saturating_sub(STEP);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        Read::by_ref(file).take(end - begin).read_to_end(&mut bytes)?;
        if let Some(at) = memchr::memrchr(b'\n', &bytes) {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(end)
}

/// Moves the full file away, and the older ones further.
fn rotate(path: &Path, keep: usize) -> io::Result<()> {
    for number in (1..keep).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, numbered(path, 1))?;
    sync_folder(path)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DeliveryFailure;
    use crate::event::envelope;
    use crate::event::envelope::tests::message;

    const FAILED: Delivered =
        Delivered::Failed { reason: DeliveryFailure::Write, retry_after: None };

    fn sink(path: &Path, rotate_size: u64, rotate_keep: usize) -> FileSink {
        let settings = LineFile { path: path.to_owned(), rotate_size, rotate_keep };
        FileSink::new("trail".to_owned(), "sales".to_owned(), settings).unwrap()
    }

    fn line() -> String {
        String::from_utf8(envelope::structured(&message())).unwrap() + "\n"
    }

    async fn deliver(sink: &FileSink) -> Delivered {
        sink.deliver(&message(), 1).await
    }

    #[track_caller]
    fn check_content(path: &Path, lines: usize) {
        assert_eq!(fs::read_to_string(path).unwrap(), line().repeat(lines), "{}", path.display());
    }

    #[tokio::test]
    async fn lines_are_added_to_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, line()).unwrap();
        let sink = sink(&path, 1 << 20, 5);
        assert_eq!(sink.inspect().await, []);
        assert_eq!(deliver(&sink).await, Delivered::Accepted);
        check_content(&path, 2);
    }

    #[tokio::test]
    async fn a_new_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        deliver(&sink(&path, 1 << 20, 5)).await;
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn full_files_are_moved_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let sink = sink(&path, 2 * line().len() as u64, 2);
        for _ in 0..9 {
            assert_eq!(deliver(&sink).await, Delivered::Accepted);
        }
        check_content(&path, 1);
        check_content(&numbered(&path, 1), 2);
        check_content(&numbered(&path, 2), 2);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn a_line_larger_than_a_file_is_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let sink = sink(&path, 1, 3);
        assert_eq!(deliver(&sink).await, Delivered::Accepted);
        assert_eq!(deliver(&sink).await, Delivered::Accepted);
        check_content(&path, 1);
        check_content(&numbered(&path, 1), 1);
    }

    #[tokio::test]
    async fn a_file_that_was_removed_or_moved_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let sink = sink(&path, 1 << 20, 5);
        deliver(&sink).await;
        fs::remove_file(&path).unwrap();
        assert_eq!(deliver(&sink).await, Delivered::Accepted);
        check_content(&path, 1);
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::write(&path, line()).unwrap();
        assert_eq!(deliver(&sink).await, Delivered::Accepted);
        check_content(&path, 2);
        check_content(&folder.path().join("moved"), 1);
    }

    #[track_caller]
    fn check_torn(before: &str, after: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, before).unwrap();
        let open = begin(&path).unwrap();
        assert_eq!(open.length, after.len() as u64, "{before:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), after);
    }

    #[test]
    fn a_torn_line_of_ours_is_removed_and_another_is_ended() {
        let (line, long) = (line(), "x".repeat(200_000));
        check_torn("", "");
        check_torn(&line, &line);
        check_torn(&format!("{line}{{"), &line);
        check_torn(&format!("{line}{{\"specversion\":\"1.0\",\"id\""), &line);
        check_torn(&format!("{line}{{\"specversion\"{long}"), &line);
        check_torn("{\"spec", "");
        check_torn("notes", "notes\n");
        check_torn(&format!("{line}{long}"), &format!("{line}{long}\n"));
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_said_and_mends_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/events.jsonl");
        let sink = sink(&path, 1 << 20, 5);
        assert_eq!(sink.inspect().await, [Doubt::NotWritable]);
        assert_eq!(deliver(&sink).await, FAILED);
        fs::create_dir(folder.path().join("later")).unwrap();
        assert_eq!(deliver(&sink).await, Delivered::Accepted);
        check_content(&path, 1);
    }

    #[tokio::test]
    async fn a_file_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let first = sink(&path, 1 << 20, 5);
        assert_eq!(deliver(&first).await, Delivered::Accepted);
        assert_eq!(deliver(&sink(&path, 1 << 20, 5)).await, FAILED);
        check_content(&path, 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_fails_the_line() {
        assert_eq!(deliver(&sink(Path::new("/dev/full"), 1 << 20, 5)).await, FAILED);
    }
}
