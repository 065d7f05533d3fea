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
use super::ring::Key;

/// 16 bytes make 32 hex digits; two of 2^32 values meet by chance once in 2^65 fields.
const SHOWN_BYTES: usize = 16;

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
