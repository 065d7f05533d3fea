//! The sidecar's configuration: settings or findings that can be shown, and neither tells what a
//! variable or a file of a secret holds.

use std::io;
use std::path::Path;

use fieldgate::config::{self, Surroundings};
use fieldgate::diagnostic::{SourceFile, count, render};

use super::policy_files::check_shown;

const CANARY: &str = "canary-6d1f0c3b9a-canary";

/// The configuration file.
pub fn sidecar_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.contains("canary") {
        return;
    }
    let source = SourceFile::new("fieldgate.yaml", text);
    let findings = match config::read(&source, Path::new("/etc/fieldgate"), &Invented) {
        Ok(loaded) => {
            assert_eq!(count(&loaded.warnings).0, 0);
            assert!(!loaded.settings.listeners.is_empty() && !loaded.settings.identity.is_empty());
            loaded.warnings
        }
        Err(findings) => {
            assert!(count(&findings).0 > 0, "refused without an error");
            findings
        }
    };
    check_shown(&findings);
    assert!(!render(&findings, false, 400).contains("canary"), "a finding tells a secret");
}

/// A world in which some variables and files hold what nobody may see.
struct Invented;

impl Surroundings for Invented {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "HOST" => Some("crm.example".to_owned()),
            "PORT" => Some("8081".to_owned()),
            "SECRET" => Some(CANARY.to_owned()),
            _ => None,
        }
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.file_name().and_then(|name| name.to_str()) {
            Some("secret") => Ok(CANARY.as_bytes().to_vec()),
            Some("open") => Ok(b"0123456789abcdef0123456789abcdef".to_vec()),
            Some("binary") => Ok(b"\xff\xfe\0".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.ends_with("policies")
    }
}
