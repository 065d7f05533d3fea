//! Where an export stands on disk while it grows, and how it is gone on with.
//!
//! `NAME.part` holds the records so far as JSON lines; `NAME.progress` says how many bytes of it
//! count and which page is next, and is put in place whole. What stands in the part behind these
//! bytes is of an attempt that did not come so far, and is cut off.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};

use super::table;
use crate::condition::Value;
use crate::fail_point;

/// The endings of files of ours.
const ENDINGS: [&str; 5] = ["csv", "jsonl", "part", "progress", "new"];

/// One export on disk.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
    name: String,
    ending: &'static str,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes of the part that count.
    pub(super) bytes: u64,
    /// Records in them.
    pub(super) rows: u64,
    /// Pages asked for.
    pub(super) pages: u64,
    /// The page to ask for; `None` where all are there.
    pub(super) next: Option<String>,
    /// The members that records have.
    pub(super) columns: BTreeSet<String>,
    /// Whether its mail has gone out; another attempt must not send it again.
    pub(super) is_mailed: bool,
}

impl Place {
    pub(super) fn new(folder: PathBuf, name: &str, ending: &'static str) -> Self {
        Self { folder, name: name.to_owned(), ending }
    }

    /// The name of the finished file.
    pub(super) fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.ending)
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// How far it has come; from the beginning where there is nothing yet.
    pub(super) fn open(&self, first: &str) -> io::Result<Progress> {
        let progress = fs::read(self.path("progress")).ok();
        let progress = progress.and_then(|text| Progress::parse(&text));
        if let Some(progress) = progress {
            // The part holds at least so much, for it was on disk before the note was.
            let part = OpenOptions::new().write(true).open(self.path("part"));
            match part {
                Ok(part) if part.metadata()?.len() >= progress.bytes => {
                    part.set_len(progress.bytes)?;
                    part.sync_all()?;
                    return Ok(progress);
                }
                // It was finished before, and only telling of it was left.
                Err(_) if progress.next.is_none() && self.path(self.ending).is_file() => {
                    return Ok(progress);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let part = create(&self.path("part"))?;
        part.sync_all()?;
        let progress = Progress {
            bytes: 0,
            rows: 0,
            pages: 0,
            next: Some(first.to_owned()),
            columns: BTreeSet::new(),
            is_mailed: false,
        };
        self.note(&progress)?;
        Ok(progress)
    }

    /// Adds the records of a page.
    pub(super) fn add(
        &self,
        mut progress: Progress,
        records: &[Box<str>],
        next: Option<String>,
    ) -> io::Result<Progress> {
        let mut part = OpenOptions::new().write(true).open(self.path("part"))?;
        part.set_len(progress.bytes)?;
        part.seek(SeekFrom::Start(progress.bytes))?;
        let mut lines = Vec::new();
        for record in records {
            let Some(value) = Value::parse(record) else {
                return Err(io::Error::other("a record is no JSON"));
            };
            if let Value::Object(members) = &value {
                progress.columns.extend(members.keys().map(ToString::to_string));
            }
            // On one line, whatever spaces it came with.
            writeln!(lines, "{value}")?;
        }
        part.write_all(&lines)?;
        part.sync_all()?;
        progress.bytes += lines.len() as u64;
        progress.rows += records.len() as u64;
        progress.pages += 1;
        progress.next = next;
        self.note(&progress)?;
        fail_point::pass("export.page");
        Ok(progress)
    }

    /// Notes that the mail has gone out.
    pub(super) fn mailed(&self, progress: Progress) -> io::Result<()> {
        self.note(&Progress { is_mailed: true, ..progress })
    }

    /// Makes the finished file of the part. Says how large it is.
    pub(super) fn finish(&self, progress: &Progress, is_csv: bool) -> io::Result<u64> {
        let (part, new, end) = (self.path("part"), self.path("new"), self.path(self.ending));
        if !part.is_file() {
            return Ok(fs::metadata(end)?.len());
        }
        if is_csv {
            let columns = table::columns(&progress.columns);
            let mut out = BufWriter::new(create(&new)?);
            table::head(&columns, &mut out)?;
            for line in BufReader::new(File::open(&part)?).lines() {
                let line = line?;
                let record = Value::parse(&line).unwrap_or(Value::Null);
                table::row(&columns, &record, &mut out)?;
            }
            out.flush()?;
            out.get_ref().sync_all()?;
            fs::rename(&new, &end)?;
            fs::remove_file(&part)?;
        } else {
            fs::rename(&part, &end)?;
        }
        sync(&self.folder)?;
        Ok(fs::metadata(&end)?.len())
    }

    /// What stands in the finished file.
    pub(super) fn content(&self) -> io::Result<Vec<u8>> {
        fs::read(self.path(self.ending))
    }

    /// Removes files of ours that have been kept long enough. What cannot be removed stays.
    pub(super) fn remove_old(&self, keep: Duration) {
        let Some(before) = SystemTime::now().checked_sub(keep) else { return };
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let is_old = entry
                .metadata()
                .and_then(|about| about.modified())
                .is_ok_and(|modified| modified < before);
            if is_old && is_ours(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn note(&self, progress: &Progress) -> io::Result<()> {
        let new = self.path("new");
        let mut file = create(&new)?;
        file.write_all(progress.to_json().to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.path("progress"))?;
        sync(&self.folder)
    }
}

/// Only for whoever runs Fieldgate.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// A name is on disk once its folder is.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// `lead-5b0c....-0.csv`
fn is_ours(name: &str) -> bool {
    let Some((stem, ending)) = name.rsplit_once('.') else { return false };
    let Some((before, ordinal)) = stem.rsplit_once('-') else { return false };
    let Some(at) = before.len().checked_sub(36) else { return false };
    let Some((entity, run)) = before.split_at_checked(at) else { return false };
    ENDINGS.contains(&ending)
        && ordinal.bytes().all(|byte| byte.is_ascii_digit())
        && uuid::Uuid::try_parse(run).is_ok()
        && entity.ends_with('-')
}

impl Progress {
    fn to_json(&self) -> Json {
        json!({
            "bytes": self.bytes,
            "rows": self.rows,
            "pages": self.pages,
            "next": self.next,
            "columns": self.columns,
            "mailed": self.is_mailed,
        })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(text).ok()?;
        let columns = json.get("columns")?.as_array()?.iter();
        let columns = columns.map(|name| name.as_str().map(ToOwned::to_owned));
        let next = match json.get("next")? {
            Json::Null => None,
            next => Some(next.as_str()?.to_owned()),
        };
        Some(Self {
            bytes: json.get("bytes")?.as_u64()?,
            rows: json.get("rows")?.as_u64()?,
            pages: json.get("pages")?.as_u64()?,
            next,
            columns: columns.collect::<Option<_>>()?,
            // A note of an older version does not say.
            is_mailed: json.get("mailed").and_then(Json::as_bool).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(texts: &[&str]) -> Vec<Box<str>> {
        texts.iter().map(|text| Box::from(*text)).collect()
    }

    fn place(folder: &tempfile::TempDir, ending: &'static str) -> Place {
        let name = "lead-00000000-0000-0000-0000-000000000001-0";
        Place::new(folder.path().to_owned(), name, ending)
    }

    #[test]
    fn an_export_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder, "csv");
        let begun = place.open("/a").unwrap();
        assert_eq!((begun.rows, begun.next.as_deref()), (0, Some("/a")));
        let one = records(&["{\"id\": 1,\n \"b\": \"=x\"}"]);
        let after = place.add(begun, &one, Some("/a?page=2".to_owned())).unwrap();
        // A second page was written and its note was not.
        let mut part = OpenOptions::new().append(true).open(place.path("part")).unwrap();
        part.write_all(b"{\"id\":2}\n{\"id\":").unwrap();
        let again = place.open("/a").unwrap();
        assert_eq!(again, after);
        let done = place.add(again, &records(&["{\"id\":2}", "{\"c\":null}"]), None).unwrap();
        assert_eq!((done.rows, done.pages, done.next.clone()), (3, 2, None));
        let bytes = place.finish(&done, true).unwrap();
        let text = String::from_utf8(place.content().unwrap()).unwrap();
        assert_eq!(text, "id,b,c\r\n1,'=x,\r\n2,,\r\n,,\r\n");
        assert_eq!(bytes, text.len() as u64);
        // Only telling of it was left: nothing is asked for again.
        let told = place.open("/a").unwrap();
        assert_eq!((told.rows, told.next.clone()), (3, None));
        assert_eq!(place.finish(&told, true).unwrap(), bytes);
        assert!(!told.is_mailed);
        place.mailed(told).unwrap();
        let mailed = place.open("/a").unwrap();
        assert_eq!((mailed.rows, mailed.is_mailed), (3, true));
    }

    #[test]
    fn json_lines_are_the_part_itself() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder, "jsonl");
        let begun = place.open("/a").unwrap();
        let done = place.add(begun, &records(&["{\"n\": 1.10}"]), None).unwrap();
        place.finish(&done, false).unwrap();
        assert_eq!(place.content().unwrap(), b"{\"n\":1.10}\n");
    }

    #[test]
    fn a_note_without_its_part_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder, "csv");
        let begun = place.open("/a").unwrap();
        place.add(begun, &records(&["{\"id\":1}"]), Some("/b".to_owned())).unwrap();
        fs::remove_file(place.path("part")).unwrap();
        assert_eq!(place.open("/a").unwrap().next.as_deref(), Some("/a"));
        fs::write(place.path("progress"), "{").unwrap();
        assert_eq!(place.open("/a").unwrap().rows, 0);
    }

    #[test]
    fn only_files_of_ours_are_removed() {
        for (name, expect) in [
            ("lead-00000000-0000-0000-0000-000000000001-0.csv", true),
            ("lead_x-00000000-0000-0000-0000-000000000001-12.part", true),
            ("00000000-0000-0000-0000-000000000001-0.csv", false),
            ("lead-00000000-0000-0000-0000-000000000001-0.txt", false),
            ("lead-0.csv", false),
            ("report.csv", false),
            (".csv", false),
        ] {
            assert_eq!(is_ours(name), expect, "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder, "csv");
        place.open("/a").unwrap();
        fs::write(folder.path().join("report.csv"), "").unwrap();
        place.remove_old(Duration::from_secs(3600));
        assert!(place.path("part").is_file());
        place.remove_old(Duration::ZERO);
        assert!(!place.path("part").is_file());
        assert!(folder.path().join("report.csv").is_file());
    }
}
