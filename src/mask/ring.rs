//! The key ring: the secrets that masks are derived from, by id, one of them active.
//!
//! New masks use the active key. Older keys stay for what they have masked. Secrets are random, 32
//! bytes long, different from each other, wiped when dropped, and never printed.

mod derived;
mod edit;
mod generate;
mod load;
mod read;
mod secret;
mod shown;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretBox};

use super::binding::Binding;
use super::strategy::Strategy;
use super::{MaskError, Masker, encrypt, hash, tokenize};
use crate::diagnostic::{Finding, SourceFile};

pub use edit::EditError;
pub use load::load;
pub use secret::{SecretError, SecretSource};

/// The id of a key: 1 to 16 ASCII letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<str>);

/// The text is not a key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id has 1 to 16 ASCII letters and digits")]
pub struct KeyIdError;

impl KeyId {
    /// Takes `text` as an id.
    ///
    /// # Errors
    /// It is empty, too long, or has other characters in it.
    pub fn parse(text: &str) -> Result<Self, KeyIdError> {
        let is_id =
            (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_id { Ok(Self(text.into())) } else { Err(KeyIdError) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One key of the ring.
#[derive(Debug)]
pub(super) struct Key {
    id: KeyId,
    secret: SecretBox<[u8; 32]>,
    created: Option<Box<str>>,
    /// Set once nothing that it masked counts any more. Other rooms may still check with it what
    /// they once signed.
    retired: Option<Box<str>>,
}

/// What may be told of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFacts<'a> {
    /// Its id.
    pub id: &'a KeyId,
    /// When it was made, as the file says.
    pub created: Option<&'a str>,
    /// When it was retired, as the file says.
    pub retired: Option<&'a str>,
    /// Whether new masks use it.
    pub is_active: bool,
}

impl Key {
    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        self.secret.expose_secret()
    }
}

/// All keys, checked.
pub struct KeyRing {
    active: Arc<Key>,
    keys: BTreeMap<KeyId, Arc<Key>>,
}

impl KeyRing {
    /// Reads a key ring file. Secrets that stand elsewhere are asked of `secrets`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place in a copy of the file in which every
    /// secret is blanked.
    pub fn read(
        source: &Arc<SourceFile>,
        secrets: &dyn SecretSource,
    ) -> Result<Self, Vec<Finding>> {
        read::read(source, secrets)
    }

    /// A masker for the values of one field of one tenant, with the active key.
    ///
    /// `field` names the field in the whole house (`lead.email`), for equal values of two fields
    /// must not look alike. `tenant` is empty where there are no tenants.
    ///
    /// # Errors
    /// The cipher does not take the derived key, which no valid ring brings about.
    pub fn masker(
        &self,
        strategy: &Strategy,
        tenant: &str,
        field: &str,
    ) -> Result<Masker, MaskError> {
        Masker::keyed(strategy, &self.active, &Binding { tenant, field })
    }

    /// The JSON text of the value that `encrypt` or `tokenize` turned into `text`, with whichever
    /// key `text` names. `record` is the id of the record that an encrypted value stood in.
    ///
    /// # Errors
    /// `text` is no such mask, its key is gone or retired, it belongs to another tenant, field or
    /// record, or it was changed. A token of the map is no such mask, see
    /// [`vault_token`](Self::vault_token).
    pub fn reveal(
        &self,
        text: &str,
        tenant: &str,
        field: &str,
        record: Option<&str>,
    ) -> Result<Vec<u8>, MaskError> {
        let binding = Binding { tenant, field };
        let find = |id: &str| self.find(id);
        if let Some(body) = text.strip_prefix(encrypt::PREFIX) {
            return encrypt::reveal(body, &binding, record, find);
        }
        if let Some(body) = text.strip_prefix(tokenize::PREFIX) {
            return tokenize::reveal(body, &binding, find);
        }
        Err(MaskError::NotReversible)
    }

    /// Whether `text` is the hash of the value whose JSON text is `raw`, under any key of the ring.
    #[must_use]
    pub fn is_hash_of(&self, text: &str, raw: &[u8], tenant: &str, field: &str) -> bool {
        let binding = Binding { tenant, field };
        let mut keys = self.keys.values().filter(|key| key.retired.is_none());
        keys.any(|key| hash::is_hash_of(text, raw, key, &binding))
    }

    /// The key with this id, unless it is retired.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.keys.get(id).map(|key| &**key).filter(|key| key.retired.is_none())
    }

    /// What may be told of each key, in the order of their ids.
    pub fn facts(&self) -> impl Iterator<Item = KeyFacts<'_>> {
        self.keys.values().map(|key| KeyFacts {
            id: &key.id,
            created: key.created.as_deref(),
            retired: key.retired.as_deref(),
            is_active: key.id == self.active.id,
        })
    }

    /// The id of the key that new masks use.
    #[must_use]
    pub fn active(&self) -> &KeyId {
        &self.active.id
    }
}

/// Ids only.
impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.keys().map(KeyId::as_str).collect();
        formatter
            .debug_struct("KeyRing")
            .field("active", &self.active.id.as_str())
            .field("keys", &ids)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_id(text: &str, expect: bool) {
        assert_eq!(KeyId::parse(text).is_ok(), expect, "{text:?}");
    }

    #[test]
    fn key_ids() {
        check_id("k1", true);
        check_id("2026Q4", true);
        check_id("abcdefghijklmnop", true);
        check_id("abcdefghijklmnopq", false);
        check_id("", false);
        check_id("k-1", false);
        check_id("k.1", false);
        check_id("ké", false);
    }
}
