//! `hash`: HMAC-SHA-256 (RFC 2104) of the value, 32 hex digits of it.
//!
//! Equal values of one tenant's field have equal hashes, so people can count and compare. Without
//! the key nobody can try values until one fits, as anyone can with MD5 or SHA-256 of a phone number.

use data_encoding::HEXLOWER;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::MaskError;
use super::binding::{Binding, Purpose};
use super::json_text::canonical;
use super::ring::Key;

/// 16 bytes make 32 hex digits; two of 2^32 values meet by chance once in 2^65 fields.
const SHOWN_BYTES: usize = 16;

/// How a hash begins.
pub(super) const PREFIX: &str = "hash:";

/// The keyed state after the first block, ready to be cloned for each value.
pub(super) struct Hasher(Hmac<Sha256>);

impl Hasher {
    pub(super) fn new(key: &Key, binding: &Binding<'_>) -> Result<Self, MaskError> {
        let derived = binding.derive::<32>(key.secret(), Purpose::Hash)?;
        let state =
            Hmac::new_from_slice(derived.as_slice()).map_err(|_| MaskError::CipherRefused)?;
        Ok(Self(state))
    }

    /// Appends the hash of `canonical` as a JSON string.
    pub(super) fn write(&self, canonical: &[u8], out: &mut Vec<u8>) {
        let digest = self.0.clone().chain_update(canonical).finalize().into_bytes();
        let shown = digest.get(..SHOWN_BYTES).unwrap_or(&digest);
        out.extend_from_slice(b"\"hash:");
        super::masker::push_encoded(&HEXLOWER, shown, out);
        out.push(b'"');
    }
}

/// Whether `text` is the hash of `raw` under this key.
pub(super) fn is_hash_of(text: &str, raw: &[u8], key: &Key, binding: &Binding<'_>) -> bool {
    let (Ok(hasher), Ok(canonical)) = (Hasher::new(key, binding), canonical(raw)) else {
        return false;
    };
    let mut expect = Vec::new();
    hasher.write(&canonical, &mut expect);
    let quoted = [b"\"", text.as_bytes(), b"\""].concat();
    // No secret is compared: this is the text that the role is shown.
    expect == quoted
}

/// Whether `text` has the form of a hash; whose it is cannot be told without the value.
pub(super) fn has_form(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == 2 * SHOWN_BYTES
            && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}
