//! Key rings: a ring or findings that can be shown, and no finding shows a word that may be a key.

use fieldgate::diagnostic::{SourceFile, render};
use fieldgate::mask::{KeyRing, SecretError, SecretSource};
use secrecy::SecretString;

use super::policy_files::check_shown;

/// The longest word of the format and its messages is shorter.
const SECRET_LENGTH: usize = 24;

/// The key ring file.
pub fn key_ring(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = SourceFile::new("keys.yaml", text);
    let findings = match KeyRing::read(&source, &Invented) {
        Ok(ring) => {
            check_conceals(text, &format!("{ring:?}"));
            return;
        }
        Err(findings) => findings,
    };
    assert!(!findings.is_empty(), "refused without a finding");
    check_shown(&findings);
    check_conceals(text, &render(&findings, false, 400));
    for finding in &findings {
        check_conceals(text, &format!("{finding:?}"));
    }
}

/// Every run of base64 in `text` that is as long as key material may not be in what is shown.
fn check_conceals(text: &str, shown: &str) {
    let is_base64 = |character: char| character.is_ascii_alphanumeric();
    let words = text.split(|character| !is_base64(character));
    for word in words.filter(|word| word.len() >= SECRET_LENGTH) {
        assert!(!shown.contains(word), "a finding tells a secret");
    }
}

struct Invented;

impl SecretSource for Invented {
    fn environment(&self, name: &str) -> Result<SecretString, SecretError> {
        match name {
            "KEY" => Ok("ERERERESEhISExMTFBQUFRUVFhYWFxcXGBgYGRkZGho=".into()),
            "SHORT" => Ok("c2hvcnQ=".into()),
            _ => Err(SecretError::Missing),
        }
    }

    fn file(&self, path: &str) -> Result<SecretString, SecretError> {
        match path {
            "key" => Ok("q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=\n".into()),
            "open" => Err(SecretError::OpenToOthers),
            _ => Err(SecretError::Missing),
        }
    }
}
