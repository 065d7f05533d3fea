//! `encrypt`: AES-256-GCM-SIV (RFC 8452) of the value's JSON text, so that its type survives.
//!
//! The text is `enc:`, the key id, `.` and, in base64url without padding, nonce (12 bytes),
//! ciphertext and tag (16 bytes). Equal values look different each time; the length shows. A value
//! of a record is bound to it: what was encrypted in one record cannot be decrypted for another.

use std::borrow::Cow;

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use data_encoding::BASE64URL_NOPAD;

use super::MaskError;
use super::binding::{Binding, Purpose, of_record};
use super::ring::Key;

/// How an encrypted value begins.
pub(super) const PREFIX: &str = "enc:";
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// A key of one tenant's field, scheduled.
pub(super) struct Sealer {
    /// `enc:`, the key id and the dot.
    head: Box<[u8]>,
    cipher: Aes256GcmSiv,
    associated_data: Box<[u8]>,
}

impl Sealer {
    pub(super) fn new(key: &Key, binding: &Binding<'_>) -> Result<Self, MaskError> {
        let derived = binding.derive::<32>(key.secret(), Purpose::Encrypt)?;
        Ok(Self {
            head: format!("{PREFIX}{}.", key.id()).into_bytes().into_boxed_slice(),
            cipher: Aes256GcmSiv::new((&*derived).into()),
            associated_data: binding.associated_data(),
        })
    }

    /// Appends the encrypted `raw` of this record as a JSON string.
    pub(super) fn write(
        &self,
        raw: &[u8],
        record: Option<&str>,
        nonce: [u8; NONCE_BYTES],
        out: &mut Vec<u8>,
    ) -> Result<(), MaskError> {
        let mut sealed = Vec::with_capacity(NONCE_BYTES + raw.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(raw);
        let (_, text) = sealed.split_at_mut(NONCE_BYTES);
        let tag = self
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &self.bound_to(record), text.into())
            .map_err(|_| MaskError::CipherRefused)?;
        sealed.extend_from_slice(&tag);

        out.push(b'"');
        out.extend_from_slice(&self.head);
        super::masker::push_encoded(&BASE64URL_NOPAD, &sealed, out);
        out.push(b'"');
        Ok(())
    }

    fn bound_to(&self, record: Option<&str>) -> Cow<'_, [u8]> {
        match record {
            None => Cow::Borrowed(&self.associated_data),
            Some(record) => Cow::Owned(of_record(&self.associated_data, record)),
        }
    }

    fn open(&self, sealed: &[u8], record: Option<&str>) -> Result<Vec<u8>, MaskError> {
        let (nonce, rest) =
            sealed.split_first_chunk::<NONCE_BYTES>().ok_or(MaskError::NotReversible)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(MaskError::NotReversible)?;
        let mut text = text.to_vec();
        self.cipher
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                &self.bound_to(record),
                text.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| MaskError::RevealRefused)?;
        Ok(text)
    }
}

/// The JSON text behind an encrypted value, whose `enc:` has been cut off. `find` looks up key ids.
pub(super) fn reveal<'k>(
    body: &str,
    binding: &Binding<'_>,
    record: Option<&str>,
    find: impl Fn(&str) -> Option<&'k Key>,
) -> Result<Vec<u8>, MaskError> {
    let (id, encoded) = body.split_once('.').ok_or(MaskError::NotReversible)?;
    let sealed =
        BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| MaskError::NotReversible)?;
    let key = find(id).ok_or(MaskError::UnknownKey)?;
    Sealer::new(key, binding)?.open(&sealed, record)
}

/// The id of the key that a text with the whole form of an encrypted value names.
pub(super) fn key_named(text: &str) -> Option<String> {
    let (id, encoded) = text.strip_prefix(PREFIX)?.split_once('.')?;
    let sealed = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
    (sealed.len() > NONCE_BYTES + TAG_BYTES).then(|| id.to_owned())
}
