//! The edge of this room: a folder on disk becomes texts to read.
//!
//! Only regular files are opened, each at most once and at most 1 MiB; what cannot be
//! read is a finding, never skipped in silence. Everything else is in [`read`](super::read()).

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::read::{self, Place};
use super::set::PolicySet;
use crate::diagnostic::{Finding, SourceFile};

/// Largest policy file, in bytes. A longer one was hardly written by hand.
const MAX_FILE: u64 = 1024 * 1024;

/// How deep folders are searched for policy files that lie in the wrong place.
const MAX_DEPTH: usize = 8;

/// What a policy folder holds.
#[derive(Debug)]
#[must_use = "the findings say why there is no set"]
pub struct Loaded {
    /// The checked policies; `None` where a finding is an error.
    pub set: Option<PolicySet>,
    /// Everything wrong or doubtful: files that cannot be read, then by file and place.
    pub findings: Vec<Finding>,
    /// What exactly was read, to notice a change.
    pub fingerprint: Fingerprint,
}

/// The names and contents of a policy folder at one moment, as a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// Reads and checks all policies of a folder.
pub fn load(folder: &Path) -> Loaded {
    let Gathered { files, mut findings, fingerprint } = gather(folder);
    if findings.is_empty() {
        let read = read::read(folder, &files);
        return Loaded { set: read.set, findings: read.findings, fingerprint };
    }
    if !files.is_empty() {
        findings.extend(read::read(folder, &files).findings);
    }
    Loaded { set: None, findings, fingerprint }
}

/// A change of one file of a policy folder, not made yet.
#[derive(Debug, Clone, Copy)]
pub struct FileChange<'c> {
    /// Its path, in the folder.
    pub path: &'c Path,
    /// What is to stand in it; `None` where it is to be removed.
    pub text: Option<&'c str>,
}

/// Reads and checks the policies of a folder as they would be after a change.
pub fn load_with(folder: &Path, change: FileChange<'_>) -> Loaded {
    let Gathered { mut files, mut findings, fingerprint } = gather(folder);
    let name = change.path.to_string_lossy();
    files.retain(|file| file.name() != name);
    files.extend(change.text.map(|text| SourceFile::new(name, text)));
    let read = read::read(folder, &files);
    let set = read.set.filter(|_| findings.is_empty());
    findings.extend(read.findings);
    Loaded { set, findings, fingerprint }
}

/// The fingerprint that [`load`] would have now, without checking anything.
#[must_use]
pub fn fingerprint(folder: &Path) -> Fingerprint {
    gather(folder).fingerprint
}

pub(super) struct Gathered {
    pub(super) files: Vec<Arc<SourceFile>>,
    /// Errors only.
    pub(super) findings: Vec<Finding>,
    fingerprint: Fingerprint,
}

/// Why a file or folder has no text.
enum Unreadable {
    Io(io::Error),
    NotAFile,
    TooLarge,
    NotUtf8 { valid: usize },
}

pub(super) fn gather(folder: &Path) -> Gathered {
    let mut found = Vec::new();
    let mut findings = Vec::new();
    let mut digest = Sha256::new();
    if let Err((path, error)) = walk(folder, 0, &mut found) {
        digest.update(path.as_os_str().as_encoded_bytes());
        findings.push(finding(folder, &path, &Unreadable::Io(error)));
    }
    found.sort();
    let mut files = Vec::new();
    for path in found {
        let name = path.to_string_lossy();
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name.as_bytes());
        match read_text(&path) {
            Ok(text) => {
                digest.update((text.len() as u64).to_be_bytes());
                digest.update(text.as_bytes());
                files.push(SourceFile::new(name, text));
            }
            Err(unreadable) => {
                let finding = finding(folder, &path, &unreadable);
                digest.update(finding.message().as_bytes());
                findings.push(finding);
            }
        }
    }
    Gathered { files, findings, fingerprint: Fingerprint(digest.finalize().into()) }
}

/// Collects every file that looks like a policy. Names that start with a dot are not policies:
/// editors, git and Kubernetes keep their own files under them. Links to files and, at the top,
/// to folders are followed, for Kubernetes mounts policies as links.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let at_folder = |error| (folder.to_owned(), error);
    for entry in fs::read_dir(folder).map_err(at_folder)? {
        let entry = entry.map_err(at_folder)?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type().map_err(at_folder)?;
        let is_folder = if depth == 0 { path.is_dir() } else { kind.is_dir() };
        if is_folder && depth < MAX_DEPTH {
            walk(&path, depth + 1, found)?;
        } else if Place::looks_like_a_policy(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, Unreadable> {
    // Opening a pipe would wait for a writer for ever.
    if !fs::metadata(path).map_err(Unreadable::Io)?.is_file() {
        return Err(Unreadable::NotAFile);
    }
    let file = fs::File::open(path).map_err(Unreadable::Io)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Unreadable::TooLarge);
    }
    String::from_utf8(bytes)
        .map_err(|error| Unreadable::NotUtf8 { valid: error.utf8_error().valid_up_to() })
}

fn finding(folder: &Path, path: &Path, unreadable: &Unreadable) -> Finding {
    let name = path.display();
    match unreadable {
        Unreadable::Io(error) if path == folder && error.kind() == io::ErrorKind::NotFound => {
            Finding::error("policy::no_folder", format!("there is no policy folder `{name}`"))
                .help("give the folder that holds `resources/`, `roles/` and `global.yaml`")
        }
        Unreadable::Io(error) => {
            let kind = error.kind();
            Finding::error("policy::unreadable", format!("`{name}` cannot be read: {kind}"))
                .help("the account that Fieldgate runs under must be able to read the whole folder")
        }
        Unreadable::NotAFile => {
            Finding::error("policy::unreadable", format!("`{name}` is not a regular file"))
                .help("policies are plain files or links to them")
        }
        Unreadable::TooLarge => {
            Finding::error("policy::too_large", format!("`{name}` is larger than 1 MiB"))
                .help("split it: one file for each resource and each role")
        }
        Unreadable::NotUtf8 { valid } => {
            Finding::error("policy::not_utf8", format!("`{name}` is not UTF-8 at byte {valid}"))
                .help("save the file as UTF-8")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: &str = r#"
resource: lead
routes: [{ methods: [GET], path: "/leads/", records: "$[*]" }]
fields: { "$..ssn": { pii: true, mask: redact } }
"#;
    const ADMIN: &str = "role: admin\ndefault: edit\n";

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    /// A clean folder with more files in it, and the codes and positions that are found.
    #[track_caller]
    fn check(more: &[(&str, &[u8])], expect: &[&str]) {
        let mut files: Vec<(&str, &[u8])> =
            vec![("resources/lead.yaml", LEAD.as_bytes()), ("roles/admin.yaml", ADMIN.as_bytes())];
        files.extend(more);
        let folder = folder(&files);
        let loaded = load(folder.path());
        let codes: Vec<_> = loaded.findings.iter().map(Finding::code).collect();
        assert_eq!(codes, expect);
        assert_eq!(loaded.set.is_some(), expect.is_empty());
        assert_eq!(loaded.fingerprint, fingerprint(folder.path()));
    }

    #[test]
    fn what_counts_as_a_policy() {
        check(&[], &[]);
        check(&[("README.md", b"# hello"), ("roles/.admin.yaml.swp", b"\xff")], &[]);
        check(&[(".git/x.yaml", b"?"), ("roles/.#admin.yaml", b"?")], &[]);
        check(&[("role/sales.yaml", b"role: sales\n")], &["policy::misplaced"]);
        check(&[("roles/eu/sales.yaml", b"role: sales\n")], &["policy::misplaced"]);
        check(&[("roles/sales.yml", b"role: sales\n")], &["policy::misplaced"]);
        check(&[("sales.yaml", b"role: sales\n")], &["policy::misplaced"]);
        check(&[("Global.yaml", b"unmatched: deny\n")], &["policy::misplaced"]);
    }

    #[test]
    fn what_cannot_be_read() {
        check(&[("roles/sales.yaml", b"")], &["policy::empty_file"]);
        check(&[("roles/sales.yaml", b"# later\n")], &["policy::empty_file"]);
        check(&[("roles/sales.yaml", b"role: \xff\n")], &["policy::not_utf8"]);
        check(&[("roles/sales.yaml", &vec![b'#'; 1024 * 1024 + 1])], &["policy::too_large"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_dangling_ones_are_faults() {
        let mount = folder(&[("..data/lead.yaml", LEAD.as_bytes()), ("..data/a.yaml", b"role: a")]);
        let at = |name: &str| mount.path().join(name);
        fs::create_dir(at("resources")).unwrap();
        std::os::unix::fs::symlink(at("..data/lead.yaml"), at("resources/lead.yaml")).unwrap();
        fs::create_dir(at("..data/roles")).unwrap();
        fs::rename(at("..data/a.yaml"), at("..data/roles/a.yaml")).unwrap();
        std::os::unix::fs::symlink(at("..data/roles"), at("roles")).unwrap();
        let set = load(mount.path()).set.unwrap();
        assert!(set.resources.contains_key("lead") && set.roles.contains_key("a"));

        fs::remove_file(at("..data/lead.yaml")).unwrap();
        let broken = load(mount.path());
        assert!(broken.set.is_none());
        assert_eq!(broken.findings[0].code(), "policy::unreadable");
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_ends() {
        let looped = folder(&[("resources/lead.yaml", LEAD.as_bytes())]);
        std::os::unix::fs::symlink(looped.path(), looped.path().join("again")).unwrap();
        let codes: Vec<_> = load(looped.path()).findings.iter().map(Finding::code).collect();
        assert!(codes.contains(&"policy::misplaced"));
    }

    #[test]
    fn no_folder_and_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let codes = |loaded: &Loaded| loaded.findings.iter().map(Finding::code).collect::<Vec<_>>();
        let empty = load(folder.path());
        assert!(empty.set.is_none());
        assert_eq!(codes(&empty), ["policy::no_policies"]);
        let missing = load(&folder.path().join("missing"));
        assert!(missing.set.is_none());
        assert_eq!(codes(&missing), ["policy::no_folder"]);
    }

    #[test]
    fn a_change_is_tried_before_it_is_made() {
        let folder = folder(&[
            ("resources/lead.yaml", LEAD.as_bytes()),
            ("roles/admin.yaml", ADMIN.as_bytes()),
        ]);
        let roles = |path: &str, text: Option<&str>| {
            let path = folder.path().join(path);
            let loaded = load_with(folder.path(), FileChange { path: &path, text });
            loaded.set.map(|set| set.roles.into_keys().collect::<Vec<_>>())
        };
        let both = ["admin".to_owned(), "sales".to_owned()];
        assert_eq!(roles("roles/sales.yaml", Some("role: sales\n")).as_deref(), Some(&both[..]));
        assert_eq!(roles("roles/admin.yaml", Some("role: sales\n")).as_deref(), Some(&both[1..]));
        assert_eq!(roles("roles/sales.yaml", Some("role: [")), None);
        assert_eq!(roles("resources/lead.yaml", None), Some(vec!["admin".to_owned()]));
        assert_eq!(load(folder.path()).set.unwrap().roles.len(), 1);
    }

    #[test]
    fn the_fingerprint_follows_names_and_contents() {
        let folder = folder(&[("roles/a.yaml", b"role: a"), ("README.md", b"1")]);
        let first = fingerprint(folder.path());
        fs::write(folder.path().join("README.md"), "2").unwrap();
        assert_eq!(fingerprint(folder.path()), first);
        fs::write(folder.path().join("roles/a.yaml"), "role: b").unwrap();
        let second = fingerprint(folder.path());
        assert_ne!(second, first);
        fs::rename(folder.path().join("roles/a.yaml"), folder.path().join("roles/b.yaml")).unwrap();
        assert_ne!(fingerprint(folder.path()), second);
        fs::remove_dir_all(folder.path()).unwrap();
        let gone = fingerprint(folder.path());
        assert_ne!(gone, second);
        assert_eq!(gone, fingerprint(folder.path()));
    }
}
