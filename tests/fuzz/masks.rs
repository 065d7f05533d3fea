//! Masks: one JSON value for every JSON value, nothing for what is none, and back where that goes.

use std::sync::LazyLock;

use fieldgate::diagnostic::SourceFile;
use fieldgate::mask::{KeyRing, Masker, NonceSequence, Partial, Strategy};
use fieldgate::mask::{SecretError, SecretSource};
use secrecy::SecretString;
use serde_json::Value;

use super::document::Document;

const RING: &str =
    "active: k1\nkeys:\n  k1: { secret: q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k= }\n";

static KEYS: LazyLock<KeyRing> = LazyLock::new(|| {
    KeyRing::read(&SourceFile::new("keys.yaml", RING), &NoSecrets).expect("the ring is good")
});

/// First byte: which strategy, and for `partial` what it shows. The rest: a JSON value, or what was
/// once masked.
pub fn masks(bytes: &[u8]) {
    let Some((choice, raw)) = bytes.split_first() else { return };
    if let Ok(text) = std::str::from_utf8(raw) {
        let _ = KEYS.reveal(text, "", "lead.email", None);
    }
    let strategy = strategy(*choice);
    let field = KEYS.masker(&strategy, "", "lead.email").expect("the key fits every strategy");
    let (first, second) = (mask(&field, raw), mask(&field, raw));
    // The filter only ever hands over whole values; anything else must do no harm.
    let Some(document) = Document::read(raw).filter(|document| is_as_handed_over(document, raw))
    else {
        return;
    };
    let masked = first.expect("every JSON value can be masked");
    assert_eq!(Some(&masked), second.as_ref(), "with the same nonce it comes out the same");
    assert!(Document::read(&masked).is_some(), "what comes out is no JSON");
    if matches!(strategy, Strategy::Encrypt | Strategy::Tokenize) && masked != raw {
        let text: String = serde_json::from_slice(&masked).expect("a mask is a string");
        let revealed =
            KEYS.reveal(&text, "", "lead.email", None).expect("what was masked comes back");
        assert_eq!(value(&revealed), value(document.compact().as_bytes()));
        assert!(KEYS.reveal(&text, "", "lead.phone", None).is_err(), "it belongs to one field");
    }
}

/// A scalar as it is written, or a container without white space.
fn is_as_handed_over(document: &Document, raw: &[u8]) -> bool {
    match document {
        Document::Scalar(text) => text.as_bytes() == raw,
        Document::List(_) | Document::Object(_) => document.compact().as_bytes() == raw,
    }
}

fn mask(masker: &Masker, raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let end = masker.mask(raw, &mut NonceSequence::new([7; 8]), &mut out);
    assert!(end.is_ok() || out.is_empty(), "something was written before the fault");
    end.ok().map(|()| out)
}

fn value(json: &[u8]) -> Option<Value> {
    serde_json::from_slice(json).ok()
}

fn strategy(choice: u8) -> Strategy {
    match choice {
        0 => Strategy::Hash,
        1 => Strategy::Encrypt,
        2 => Strategy::Tokenize,
        3 => Strategy::default(),
        _ => Strategy::Partial(Partial {
            show_first: usize::from(choice & 3),
            show_last: usize::from(choice >> 2 & 3),
            mask_char: if choice & 0x80 == 0 { '*' } else { '"' },
            keep_domain: choice & 0x10 != 0,
            keep_separators: choice & 0x20 != 0,
            fixed_length: (choice & 0x40 != 0).then_some(4),
        }),
    }
}

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn environment(&self, _: &str) -> Result<SecretString, SecretError> {
        Err(SecretError::Missing)
    }

    fn file(&self, _: &str) -> Result<SecretString, SecretError> {
        Err(SecretError::Missing)
    }
}
