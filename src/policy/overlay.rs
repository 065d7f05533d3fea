//! `companies/<id>/scoring.yaml`, written by the program: checked with everything around it first, and
//! then put in its place as a whole or not at all.
//!
//! An edge of this room, as [`load`](super::load()) is. Refuses whatever would make the folder faulty.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::load::{Gathered, gather};
use super::read::{self, is_company};
use super::set::PolicySet;
use crate::diagnostic::{Finding, SourceFile};

/// The scoring of one company, as it would be.
#[derive(Debug)]
pub struct Overlay {
    folder: PathBuf,
    file: PathBuf,
    text: String,
}

/// What the folder would say with an overlay in it.
#[derive(Debug)]
pub struct Checked {
    /// The whole set.
    pub set: PolicySet,
    /// Warnings only.
    pub findings: Vec<Finding>,
}

impl Overlay {
    /// An overlay for a company; `None` where nothing can be called so.
    #[must_use]
    pub fn new(folder: &Path, company: &str, text: String) -> Option<Self> {
        let file = folder.join("companies").join(company).join("scoring.yaml");
        is_company(company).then(|| Self { folder: folder.to_owned(), file, text })
    }

    /// The whole folder as it would be with it.
    ///
    /// # Errors
    /// Everything that would be wrong, one error at least.
    pub fn check(&self) -> Result<Checked, Vec<Finding>> {
        let Gathered { mut files, findings, .. } = gather(&self.folder);
        if !findings.is_empty() {
            return Err(findings);
        }
        let name = self.file.to_string_lossy();
        files.retain(|file| file.name() != name);
        files.push(SourceFile::new(name, self.text.as_str()));
        let read = read::read(&self.folder, &files);
        match read.set {
            Some(set) => Ok(Checked { set, findings: read.findings }),
            None => Err(read.findings),
        }
    }

    /// Puts it in its place: whoever reads the folder sees the file before or the file after.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self) -> io::Result<()> {
        let folder = self.file.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder)?;
        // Names that begin with a dot are no policies.
        let new = folder.join(".scoring.yaml.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.file)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::load;

    const LEAD: &str = "resource: lead\nroutes: [{ methods: [GET], path: /leads/, records: \"$[*]\" }]\nfields: { x: { pii: true, mask: redact } }\n";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("resources")).unwrap();
        fs::create_dir(folder.path().join("roles")).unwrap();
        fs::write(folder.path().join("resources/lead.yaml"), LEAD).unwrap();
        fs::write(folder.path().join("roles/admin.yaml"), "role: admin\ndefault: edit\n").unwrap();
        fs::write(folder.path().join("scoring.yaml"), "leads: [lead]\n").unwrap();
        folder
    }

    #[test]
    fn what_is_checked_is_what_is_read_afterwards() {
        let folder = folder();
        for text in [r#"{"weights": {"status": 30, "age": 10}}"#, r#"{"unknown_status": 0.25}"#] {
            let overlay = Overlay::new(folder.path(), "acme", text.to_owned()).unwrap();
            let checked = overlay.check().unwrap();
            assert!(!load(folder.path()).set.unwrap().revision.eq(&checked.set.revision));
            overlay.write().unwrap();
            let set = load(folder.path()).set.unwrap();
            assert_eq!(set.revision, checked.set.revision);
            assert!(set.scoring.unwrap().names("acme"));
        }
        let names = fs::read_dir(folder.path().join("companies/acme")).unwrap();
        assert_eq!(names.count(), 1, "nothing is left beside it");
    }

    #[test]
    fn faults_change_nothing() {
        let folder = folder();
        let before = load(folder.path()).set.unwrap().revision;
        for text in [
            r#"{"weights": {"status": 101}}"#,
            r#"{"weigths": {}}"#,
            r#"{"weights": {"status": 1}, "weights": {}}"#,
            "{",
            "[]",
        ] {
            let overlay = Overlay::new(folder.path(), "acme", text.to_owned()).unwrap();
            assert!(!overlay.check().unwrap_err().is_empty(), "{text}");
        }
        for company in ["", ".", "..", "a/b", ".hidden", "a b", "é", &"a".repeat(65)] {
            assert!(Overlay::new(folder.path(), company, "{}".to_owned()).is_none(), "{company}");
        }
        assert_eq!(load(folder.path()).set.unwrap().revision, before);
    }
}
