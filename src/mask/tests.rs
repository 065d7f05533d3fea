//! What every strategy promises, and the derivation fixed by known answers.

mod dictionary;
mod known_answers;
mod promises;

use secrecy::SecretString;

use super::{KeyRing, MaskError, Masker, NonceSequence, SecretError, SecretSource, Strategy};
use crate::diagnostic::SourceFile;

/// Three secrets in base64: the bytes from 0, from 32 and from 64 on.
pub(super) const SECRETS: [&str; 3] = [
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=",
];

/// For key rings that hold their secrets themselves.
pub(super) struct NoSecrets;

impl SecretSource for NoSecrets {
    fn environment(&self, _: &str) -> Result<SecretString, SecretError> {
        Err(SecretError::Missing)
    }

    fn file(&self, _: &str) -> Result<SecretString, SecretError> {
        Err(SecretError::Missing)
    }
}

/// A ring of the keys named, of `k1`, `k2` and `k3`, the last of them active.
pub(super) fn ring(ids: &[&str]) -> KeyRing {
    let secrets = ["k1", "k2", "k3"].into_iter().zip(SECRETS);
    let mut text = format!("active: {}\nkeys:\n", ids.last().unwrap());
    for (id, secret) in secrets.filter(|(id, _)| ids.contains(id)) {
        text.extend(["  ", id, ": { secret: ", secret, " }\n"]);
    }
    KeyRing::read(&SourceFile::new("keys.yaml", text), &NoSecrets).unwrap()
}

/// What `masker` prints for `raw`, with nonces that start at `response`.
fn masked(masker: &Masker, raw: &str) -> Result<String, MaskError> {
    let mut out = b"before ".to_vec();
    let result = masker.mask(raw.as_bytes(), &mut NonceSequence::new(*b"response"), &mut out);
    let text = String::from_utf8(out).unwrap();
    let appended = text.strip_prefix("before ").expect("what was there before stays");
    assert!(result.is_ok() || appended.is_empty(), "an error appends nothing");
    result.map(|()| appended.to_owned())
}

/// What a ring prints for the e-mail addresses of `acme`'s leads.
fn masked_email(ring: &KeyRing, strategy: &Strategy, raw: &str) -> String {
    masked(&ring.masker(strategy, "acme", "lead.email").unwrap(), raw).unwrap()
}

/// A JSON string without its quotes; masks need no escapes.
fn inner(json: &str) -> &str {
    json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap()
}
