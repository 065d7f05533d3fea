//! `tokenize`: AES-SIV (RFC 5297) without a nonce, so that equal values have equal tokens.
//!
//! The text is `token_` and, in lower-case base32 without padding: the length of the key id (one
//! byte), the key id, the synthetic IV (16 bytes) and the ciphertext. The key id inside is what
//! lets tokens of an older key be reversed after a rotation. The value's length shows.

use aes_siv::KeyInit;
use aes_siv::siv::{Aes256Siv, IV_SIZE};
use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use zeroize::Zeroizing;

use super::MaskError;
use super::binding::{Binding, Purpose};
use super::ring::Key;

/// How a token begins.
pub(super) const PREFIX: &str = "token_";

/// A key of one tenant's field.
///
/// AES-SIV needs the cipher mutable, so each value makes its own: two key schedules, 30 ns of the
/// 550 ns that a short value costs, against a lock that all threads would queue for.
pub(super) struct Tokenizer {
    /// Length of the key id, and the key id.
    head: Box<[u8]>,
    key: Zeroizing<[u8; 64]>,
    associated_data: Box<[u8]>,
}

impl Tokenizer {
    pub(super) fn new(key: &Key, binding: &Binding<'_>) -> Result<Self, MaskError> {
        let id = key.id().as_str().as_bytes();
        let length = u8::try_from(id.len()).map_err(|_| MaskError::CipherRefused)?;
        Ok(Self {
            head: [&[length], id].concat().into_boxed_slice(),
            key: binding.derive(key.secret(), Purpose::Tokenize)?,
            associated_data: binding.associated_data(),
        })
    }

    /// Appends the token of `canonical` as a JSON string.
    pub(super) fn write(&self, canonical: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let mut token = Vec::with_capacity(self.head.len() + IV_SIZE + canonical.len());
        token.extend_from_slice(&self.head);
        token.extend_from_slice(&[0; IV_SIZE]);
        token.extend_from_slice(canonical);
        let (_, sealed) = token.split_at_mut(self.head.len());
        let (iv, text) = sealed.split_at_mut(IV_SIZE);
        let tag = Aes256Siv::new((&*self.key).into())
            .encrypt_inout_detached([&self.associated_data], text.into())
            .map_err(|_| MaskError::CipherRefused)?;
        iv.copy_from_slice(&tag);

        out.push(b'"');
        out.extend_from_slice(PREFIX.as_bytes());
        let start = out.len();
        super::masker::push_encoded(&BASE32_NOPAD, &token, out);
        out.iter_mut().skip(start).for_each(u8::make_ascii_lowercase);
        out.push(b'"');
        Ok(())
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, MaskError> {
        Aes256Siv::new((&*self.key).into())
            .decrypt([&self.associated_data], sealed)
            .map_err(|_| MaskError::RevealRefused)
    }
}

/// The JSON text behind a token, whose `token_` has been cut off. `find` looks up key ids.
pub(super) fn reveal<'k>(
    body: &str,
    binding: &Binding<'_>,
    find: impl Fn(&str) -> Option<&'k Key>,
) -> Result<Vec<u8>, MaskError> {
    // A token has one spelling: no capitals.
    if body.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(MaskError::NotReversible);
    }
    let token =
        BASE32_NOPAD_NOCASE.decode(body.as_bytes()).map_err(|_| MaskError::NotReversible)?;
    let (length, rest) = token.split_first().ok_or(MaskError::NotReversible)?;
    let (id, sealed) =
        rest.split_at_checked(usize::from(*length)).ok_or(MaskError::NotReversible)?;
    let id = std::str::from_utf8(id).map_err(|_| MaskError::NotReversible)?;
    let key = find(id).ok_or(MaskError::UnknownKey)?;
    Tokenizer::new(key, binding)?.open(sealed)
}

/// The id of the key that a text with the whole form of a token names, whatever kind of token.
pub(super) fn key_named(text: &str) -> Option<String> {
    let body = text.strip_prefix(PREFIX)?;
    let token = BASE32_NOPAD_NOCASE.decode(body.as_bytes()).ok()?;
    let (length, rest) = token.split_first()?;
    // The top bit tells the kinds apart.
    let (id, sealed) = rest.split_at_checked(usize::from(length & 0x7f))?;
    let id = std::str::from_utf8(id).ok().filter(|id| !id.is_empty())?;
    (sealed.len() > IV_SIZE).then(|| id.to_owned())
}
