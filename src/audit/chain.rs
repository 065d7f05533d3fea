//! The chain: each entry's hash covers its number, its text and the hash before it.
//!
//! Pure.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// What every hash of the chain begins with, so that it is a hash of nothing else.
const DOMAIN: &[u8] = b"fieldgate audit v1\0";

/// A SHA-256 digest, shown as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Stands before the first entry of all.
    pub const NONE: Self = Self([0; 32]);

    /// The digest of these bytes, if they are 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The digest that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_slice(&data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        data_encoding::HEXLOWER.encode_display(&self.0).fmt(formatter)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A place in the chain: the number of an entry and its hash. Number 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The entry's number, from 1.
    pub number: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Link {
    /// Before the first entry.
    pub const START: Self = Self { number: 0, hash: Digest::NONE };

    /// The link of the entry with this text, put behind this one.
    #[must_use]
    pub fn then(self, text: &str) -> Self {
        let number = self.number.saturating_add(1);
        Self { number, hash: hash(self.hash, number, text) }
    }
}

/// The hash of an entry that stands behind one with the hash `before`. The parts before the text
/// have a fixed length, so no two entries are hashed alike.
#[must_use]
pub(super) fn hash(before: Digest, number: u64, text: &str) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(before.0);
    hasher.update(number.to_be_bytes());
    hasher.update(text.as_bytes());
    Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_everything_before() {
        let one = Link::START.then("a");
        assert_eq!(one.number, 1);
        let others = [
            Link::START.then("b"),
            one.then("a"),
            Link { number: 1, ..Link::START }.then("a"),
            Link { hash: one.hash, ..Link::START }.then("a"),
        ];
        for other in others {
            assert_ne!(other.hash, one.hash);
        }
        assert_eq!(Digest::parse(&one.hash.to_string()), Some(one.hash));
        // Written out, for a changed rule would make every ledger in the world look forged.
        assert_eq!(
            one.hash.to_string(),
            "acd0a259060ad8046ddab8c318c7f1affadb40d18cf911606962712c7b7f38a5"
        );
    }
}
