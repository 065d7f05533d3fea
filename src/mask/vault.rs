//! `tokenize` with `vault`: a short token of one length, whose value stands in the token map.
//!
//! The text is `token_` and, in lower-case base32 without padding: the length of the key id with the
//! top bit set (one byte), the key id, the id of the value (16 bytes of HMAC-SHA-256) and a tag over
//! it (8 bytes). Equal values have equal tokens. The tag tells whose a token is without the map, so
//! that nobody can ask the map for tokens that Fieldgate never made. This room keeps no map: it says
//! what is to be kept, sealed, and opens what was.

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::MaskError;
use super::binding::{Binding, Purpose, of_record};
use super::json_text::canonical;
use super::ring::{Key, KeyId, KeyRing};
use super::tokenize::PREFIX;

/// 2^64 values of a field before two meet by chance.
const ID_BYTES: usize = 16;
/// A forged token gets by once in 2^64, and then finds nothing in the map.
const TAG_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
const SEAL_BYTES: usize = 16;

/// Set in the first byte, where other tokens have the length of their key id alone.
const MARK: u8 = 0x80;

/// A token of the map: the key that made it, and the id of the value. That there is one means that
/// its tag held for a tenant and a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultToken {
    key: KeyId,
    id: [u8; ID_BYTES],
}

impl VaultToken {
    /// The id of the key.
    #[must_use]
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// The id of the value.
    #[must_use]
    pub fn id(&self) -> &[u8; ID_BYTES] {
        &self.id
    }
}

/// A key of one tenant's field.
pub(super) struct Minter {
    head: Box<[u8]>,
    key: KeyId,
    tenant: Box<str>,
    field: Box<str>,
    ids: Hmac<Sha256>,
    tags: Hmac<Sha256>,
    cipher: Aes256GcmSiv,
    associated_data: Box<[u8]>,
}

/// A token that was given out, and what the map must keep for it.
pub struct Minted<'m> {
    minter: &'m Minter,
    id: [u8; ID_BYTES],
    canonical: Vec<u8>,
}

impl Minted<'_> {
    /// The tenant that it belongs to.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.minter.tenant
    }

    /// The field that it belongs to.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.minter.field
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> VaultToken {
        VaultToken { key: self.minter.key.clone(), id: self.id }
    }

    /// The value as the map keeps it: AES-256-GCM-SIV, bound to tenant, field and token.
    ///
    /// # Errors
    /// The value is larger than the cipher's own limit.
    pub fn seal(&self) -> Result<Vec<u8>, MaskError> {
        let mut sealed = self.canonical.clone();
        let tag = self
            .minter
            .cipher
            .encrypt_inout_detached(
                &nonce(&self.id),
                &self.minter.bound_to(&self.id),
                sealed.as_mut_slice().into(),
            )
            .map_err(|_| MaskError::CipherRefused)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }
}

/// An id stands for one value, so a nonce made of it is never used for two.
fn nonce(id: &[u8; ID_BYTES]) -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    nonce.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    Nonce::from(nonce)
}

impl Minter {
    pub(super) fn new(key: &Key, binding: &Binding<'_>) -> Result<Self, MaskError> {
        let id = key.id().as_str().as_bytes();
        let length = u8::try_from(id.len()).map_err(|_| MaskError::CipherRefused)?;
        let mac = |purpose| {
            let derived = binding.derive::<32>(key.secret(), purpose)?;
            Hmac::new_from_slice(derived.as_slice()).map_err(|_| MaskError::CipherRefused)
        };
        let sealing = binding.derive::<32>(key.secret(), Purpose::VaultSeal)?;
        Ok(Self {
            head: [&[length | MARK], id].concat().into_boxed_slice(),
            key: key.id().clone(),
            tenant: binding.tenant.into(),
            field: binding.field.into(),
            ids: mac(Purpose::Vault)?,
            tags: mac(Purpose::VaultTag)?,
            cipher: Aes256GcmSiv::new((&*sealing).into()),
            associated_data: binding.associated_data(),
        })
    }

    /// Appends the token of `canonical` as a JSON string.
    pub(super) fn write(&self, canonical: Vec<u8>, out: &mut Vec<u8>) -> Minted<'_> {
        let id = self.id_of(&canonical);
        let token = [&self.head, &id[..], &self.tag_of(&id)].concat();
        out.push(b'"');
        out.extend_from_slice(PREFIX.as_bytes());
        let start = out.len();
        super::masker::push_encoded(&BASE32_NOPAD, &token, out);
        out.iter_mut().skip(start).for_each(u8::make_ascii_lowercase);
        out.push(b'"');
        Minted { minter: self, id, canonical }
    }

    fn id_of(&self, canonical: &[u8]) -> [u8; ID_BYTES] {
        first(&self.ids.clone().chain_update(canonical).finalize().into_bytes())
    }

    fn tag_of(&self, id: &[u8; ID_BYTES]) -> [u8; TAG_BYTES] {
        first(&self.tags.clone().chain_update(id).finalize().into_bytes())
    }

    fn bound_to(&self, id: &[u8; ID_BYTES]) -> Vec<u8> {
        let id = data_encoding::HEXLOWER.encode(id);
        of_record(&self.associated_data, &id)
    }

    fn open(&self, id: &[u8; ID_BYTES], sealed: &[u8]) -> Result<Vec<u8>, MaskError> {
        let (text, tag) =
            sealed.split_last_chunk::<SEAL_BYTES>().ok_or(MaskError::NotReversible)?;
        let mut text = text.to_vec();
        self.cipher
            .decrypt_inout_detached(
                &nonce(id),
                &self.bound_to(id),
                text.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| MaskError::RevealRefused)?;
        Ok(text)
    }
}

fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    taken.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    taken
}

/// The parts of a token of the map, whose `token_` has been cut off: key id, id and tag.
fn parts(body: &str) -> Option<(KeyId, [u8; ID_BYTES], [u8; TAG_BYTES])> {
    // A token has one spelling: no capitals.
    if body.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let token = BASE32_NOPAD_NOCASE.decode(body.as_bytes()).ok()?;
    let (length, rest) = token.split_first()?;
    let length = length.checked_sub(MARK)?;
    let (key, rest) = rest.split_at_checked(usize::from(length))?;
    let (id, tag) = rest.split_first_chunk::<ID_BYTES>()?;
    let key = KeyId::parse(std::str::from_utf8(key).ok()?).ok()?;
    Some((key, *id, tag.try_into().ok()?))
}

impl KeyRing {
    /// The token of the map that `text` is, if it was made for this tenant's field.
    ///
    /// # Errors
    /// It is none, its key is gone, or its tag does not hold here.
    pub fn vault_token(
        &self,
        text: &str,
        tenant: &str,
        field: &str,
    ) -> Result<VaultToken, MaskError> {
        let body = text.strip_prefix(PREFIX).ok_or(MaskError::NotReversible)?;
        let (key, id, tag) = parts(body).ok_or(MaskError::NotReversible)?;
        let minter = self.minter(&key, tenant, field)?;
        if bool::from(minter.tag_of(&id).ct_eq(&tag)) {
            Ok(VaultToken { key, id })
        } else {
            Err(MaskError::RevealRefused)
        }
    }

    /// The JSON text that the map keeps `sealed` for a token.
    ///
    /// # Errors
    /// It was sealed for another token, tenant or field, or the key is gone.
    pub fn open_vaulted(
        &self,
        token: &VaultToken,
        sealed: &[u8],
        tenant: &str,
        field: &str,
    ) -> Result<Vec<u8>, MaskError> {
        self.minter(&token.key, tenant, field)?.open(&token.id, sealed)
    }

    /// Whether a token stands for the value whose JSON text is `raw`.
    #[must_use]
    pub fn is_token_of(&self, token: &VaultToken, raw: &[u8], tenant: &str, field: &str) -> bool {
        let (Ok(minter), Ok(canonical)) = (self.minter(&token.key, tenant, field), canonical(raw))
        else {
            return false;
        };
        minter.id_of(&canonical) == token.id
    }

    fn minter(&self, key: &KeyId, tenant: &str, field: &str) -> Result<Minter, MaskError> {
        let key = self.find(key.as_str()).ok_or(MaskError::UnknownKey)?;
        Minter::new(key, &Binding { tenant, field })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::tests::ring;
    use crate::mask::{Masker, NonceSequence, Strategy};

    fn minted(masker: &Masker, raw: &str) -> (String, VaultToken, Vec<u8>) {
        let mut out = Vec::new();
        let minted =
            masker.mask_in(raw.as_bytes(), None, &mut NonceSequence::new([0; 8]), &mut out);
        let minted = minted.unwrap().unwrap();
        let (token, sealed) = (minted.token(), minted.seal().unwrap());
        (serde_json::from_slice(&out).unwrap(), token, sealed)
    }

    #[test]
    fn tokens_are_of_one_length_and_their_values_come_back() {
        let ring = ring(&["k1", "k2"]);
        let masker = ring.masker(&Strategy::Vault, "acme", "lead.phone").unwrap();
        let long = format!("\"{}\"", "x".repeat(500));
        let mut lengths = Vec::new();
        for raw in ["\"5\"", "1.10", r#"{"a":[1]}"#, long.as_str()] {
            let (text, token, sealed) = minted(&masker, raw);
            assert_eq!(minted(&masker, raw).0, text, "equal values have equal tokens");
            assert_eq!(ring.vault_token(&text, "acme", "lead.phone"), Ok(token.clone()));
            let opened = ring.open_vaulted(&token, &sealed, "acme", "lead.phone").unwrap();
            assert_eq!(opened, raw.as_bytes());
            assert!(ring.is_token_of(&token, raw.as_bytes(), "acme", "lead.phone"));
            assert!(!ring.is_token_of(&token, b"7", "acme", "lead.phone"));
            assert!(!sealed.windows(raw.len().min(3)).any(|part| raw.as_bytes().starts_with(part)));
            lengths.push(text.len());
        }
        lengths.dedup();
        assert_eq!(lengths.len(), 1);
    }

    #[test]
    fn nothing_of_one_tenant_field_or_token_is_good_for_another() {
        let ring = ring(&["k1"]);
        let masker = ring.masker(&Strategy::Vault, "acme", "lead.phone").unwrap();
        let (text, token, sealed) = minted(&masker, "\"555\"");
        let (_, other, others) = minted(&masker, "\"556\"");
        for (tenant, field) in [("globex", "lead.phone"), ("acme", "lead.email"), ("", "")] {
            assert_eq!(ring.vault_token(&text, tenant, field), Err(MaskError::RevealRefused));
            let opened = ring.open_vaulted(&token, &sealed, tenant, field);
            assert_eq!(opened, Err(MaskError::RevealRefused));
        }
        for (token, sealed) in [(&token, &others), (&other, &sealed)] {
            let opened = ring.open_vaulted(token, sealed, "acme", "lead.phone");
            assert_eq!(opened, Err(MaskError::RevealRefused));
        }
    }

    #[test]
    fn a_token_that_was_made_up_or_changed_is_none() {
        let ring = ring(&["k1"]);
        let masker = ring.masker(&Strategy::Vault, "acme", "lead.phone").unwrap();
        let (text, ..) = minted(&masker, "\"555\"");
        for at in PREFIX.len()..text.len() {
            for letter in ["a", "q", "7"] {
                let mut changed = text.clone();
                changed.replace_range(at..=at, letter);
                if changed != text {
                    assert!(ring.vault_token(&changed, "acme", "lead.phone").is_err(), "{changed}");
                }
            }
        }
        for made_up in
            ["", "token_", "token_a", &text.to_uppercase(), text.get(..text.len() - 1).unwrap()]
        {
            let found = ring.vault_token(made_up, "acme", "lead.phone");
            assert_eq!(found, Err(MaskError::NotReversible), "{made_up}");
        }
        let stranger = crate::mask::tests::ring(&["k2"]);
        let found = stranger.vault_token(&text, "acme", "lead.phone");
        assert_eq!(found, Err(MaskError::UnknownKey));
        // Neither kind is taken for the other.
        assert_eq!(ring.reveal(&text, "acme", "lead.phone", None), Err(MaskError::NotReversible));
    }
}
