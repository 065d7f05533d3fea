//! What a derived key belongs to: one purpose, one tenant, one field.
//!
//! Every key that touches a value comes from here, by HKDF-SHA-256 (RFC 5869). Equal values of two
//! tenants or two fields therefore have unrelated masks, and what one of them encrypted the other
//! cannot decrypt. Changing anything here orphans every hash, token and ciphertext in the world.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::MaskError;

/// Which strategy a derived key is for; two strategies never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Hash,
    Encrypt,
    Tokenize,
    /// Tokens whose values stand in the token map.
    Vault,
    /// The tag that such a token carries.
    VaultTag,
    /// The values in the token map.
    VaultSeal,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Encrypt => "encrypt",
            Self::Tokenize => "tokenize",
            Self::Vault => "vault",
            Self::VaultTag => "vault tag",
            Self::VaultSeal => "vault seal",
        }
    }
}

/// The tenant and the field that a masker works for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) tenant: &'a str,
    pub(super) field: &'a str,
}

impl Binding<'_> {
    /// A key of `N` bytes for one purpose.
    pub(super) fn derive<const N: usize>(
        &self,
        secret: &[u8; 32],
        purpose: Purpose,
    ) -> Result<Zeroizing<[u8; N]>, MaskError> {
        let info =
            length_prefixed(&["fieldgate mask v1", purpose.label(), self.tenant, self.field]);
        let mut key = Zeroizing::new([0; N]);
        // Fails for keys of more than 8160 bytes only.
        Hkdf::<Sha256>::new(None, secret)
            .expand(&info, key.as_mut_slice())
            .map_err(|_| MaskError::CipherRefused)?;
        Ok(key)
    }

    /// What `tokenize` authenticates beside the value, and `encrypt` outside of records.
    ///
    /// The derived key already binds tenant and field.
    pub(super) fn associated_data(&self) -> Box<[u8]> {
        length_prefixed(&[self.tenant, self.field]).into_boxed_slice()
    }
}

/// `bound` with a further part, which binds a value to its record. Behind its length like the
/// others, so that it cannot be taken for the end of one.
pub(super) fn of_record(bound: &[u8], record: &str) -> Vec<u8> {
    [bound, &length_prefixed(&[record])].concat()
}

/// The parts, each behind its length as eight bytes, so that no two lists of parts look alike.
fn length_prefixed(parts: &[&str]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part.as_bytes());
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, field: &str, purpose: Purpose) -> [u8; 32] {
        *Binding { tenant, field }.derive(&[9; 32], purpose).unwrap()
    }

    #[test]
    fn keys_differ_by_purpose_tenant_and_field() {
        let keys = [
            key("acme", "lead.email", Purpose::Hash),
            key("acme", "lead.email", Purpose::Encrypt),
            key("acme", "lead.email", Purpose::Tokenize),
            key("acme", "lead.phone", Purpose::Hash),
            key("globex", "lead.email", Purpose::Hash),
            key("", "lead.email", Purpose::Hash),
            key("acme", "lead.email", Purpose::Vault),
            key("acme", "lead.email", Purpose::VaultTag),
            key("acme", "lead.email", Purpose::VaultSeal),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(one), "key {at} has a twin");
        }
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        assert_ne!(key("ab", "c", Purpose::Hash), key("a", "bc", Purpose::Hash));
        assert_ne!(key("a\0b", "c", Purpose::Hash), key("a", "b\0c", Purpose::Hash));
        assert_ne!(length_prefixed(&["ab", "c"]), length_prefixed(&["a", "bc"]));
    }
}
