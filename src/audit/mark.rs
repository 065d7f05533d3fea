//! Marks: how far the chain had come, signed with Ed25519 (RFC 8032).
//!
//! The key is derived from the key ring, so there is no second secret to look after; and since it
//! is a pair of keys, an auditor can be given the public half and check without being able to
//! forge. A mark of one kind cannot be passed off as one of another. Pure.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rusqlite::Row;

use super::chain::{Digest, Link};
use crate::mask::KeyRing;

/// What the derived key is for.
const PURPOSE: &str = "audit ledger signature";

const DOMAIN: &str = "fieldgate audit mark v1";

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// This is the last entry. There is one, and it moves with every write.
    Head,
    /// This was the last entry at that time. Kept, and told in the application log.
    Checkpoint,
    /// Entries up to here were removed because their time was over.
    Cut,
}

impl MarkKind {
    /// Every kind with the word for it.
    pub const ALL: [(&'static str, Self); 3] =
        [("head", Self::Head), ("checkpoint", Self::Checkpoint), ("cut", Self::Cut)];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Checkpoint => "checkpoint",
            Self::Cut => "cut",
        }
    }
}

/// A mark as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it says.
    pub kind: MarkKind,
    /// Of which place.
    pub link: Link,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The id of the key that signed it, and the signature.
    pub signature: Option<(String, Vec<u8>)>,
}

impl Mark {
    /// Makes a mark, signed where there is a key.
    pub(super) fn new(kind: MarkKind, link: Link, at: i64, seal: Option<&Seal>) -> Self {
        let mut mark = Self { kind, link, at, signature: None };
        if let Some(seal) = seal {
            let signature = seal.pair.sign(&mark.message(&seal.key)).as_ref().to_vec();
            mark.signature = Some((seal.key.clone(), signature));
        }
        mark
    }

    /// Whether the signature is that of `key` over this mark.
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signature.as_ref().is_some_and(|(id, signature)| {
            let public = UnparsedPublicKey::new(&ED25519, key.0.as_slice());
            public.verify(&self.message(id), signature).is_ok()
        })
    }

    /// What is signed: every part behind its length, so that none can be shifted into another.
    fn message(&self, key: &str) -> Vec<u8> {
        let number = self.link.number.to_be_bytes();
        let at = self.at.to_be_bytes();
        let parts: [&[u8]; 6] = [
            DOMAIN.as_bytes(),
            self.kind.name().as_bytes(),
            &number,
            self.link.hash.as_bytes(),
            &at,
            key.as_bytes(),
        ];
        let behind_length = |part: &&[u8]| [&(part.len() as u64).to_be_bytes()[..], part].concat();
        parts.iter().flat_map(behind_length).collect()
    }

    /// Reads the columns `kind, number, hash, at, key, signature`; `None` for a row that nobody
    /// here has written.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let kind: String = row.get(0)?;
        let hash: Vec<u8> = row.get(2)?;
        let (key, signature): (Option<String>, Option<Vec<u8>>) = (row.get(4)?, row.get(5)?);
        let kind = MarkKind::ALL.iter().find(|(word, _)| *word == kind).map(|(_, kind)| *kind);
        let link = Digest::from_slice(&hash).map(|hash| (row.get(1), hash));
        let (Some(kind), Some((number, hash))) = (kind, link) else { return Ok(None) };
        let link = Link { number: number?, hash };
        Ok(Some(Self { kind, link, at: row.get(3)?, signature: key.zip(signature) }))
    }
}

/// The private half: signs marks.
pub struct Seal {
    key: String,
    pair: Ed25519KeyPair,
}

impl Seal {
    /// The pair of the active key.
    #[must_use]
    pub fn of(ring: &KeyRing) -> Option<Self> {
        let (id, seed) = ring.derived(None, PURPOSE)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).ok()?;
        Some(Self { key: id.as_str().to_owned(), pair })
    }

    /// The id of the key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Seal").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The public half, 32 bytes, shown as hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// That of the key with this id, or of the active one; with the id.
    #[must_use]
    pub fn of(ring: &KeyRing, id: Option<&str>) -> Option<(String, Self)> {
        let (id, seed) = ring.derived(id, PURPOSE)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some((id.as_str().to_owned(), Self(public)))
    }

    /// The key that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        data_encoding::HEXLOWER.encode_display(&self.0).fmt(formatter)
    }
}
