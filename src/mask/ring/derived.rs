//! Secrets for other rooms than masks, derived from the keys of the ring.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{KeyId, KeyRing};

impl KeyRing {
    /// A secret for `purpose` alone, of the key with this id or of the active one, and the id. No
    /// mask and no other purpose shares it (HKDF-SHA-256, RFC 5869).
    #[must_use]
    pub fn derived(&self, id: Option<&str>, purpose: &str) -> Option<(KeyId, Zeroizing<[u8; 32]>)> {
        let key = match id {
            Some(id) => self.keys.get(id)?,
            None => &self.active,
        };
        let mut secret = Zeroizing::new([0; 32]);
        // Masks begin with another word, behind its length as eight bytes.
        let info = [b"fieldgate derived v1\0", purpose.as_bytes()].concat();
        Hkdf::<Sha256>::new(None, key.secret()).expand(&info, secret.as_mut_slice()).ok()?;
        Some((key.id().clone(), secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::mask::tests::NoSecrets;

    #[test]
    fn each_key_and_purpose_has_its_own_secret() {
        let (one, two) = (
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        );
        let text = format!(
            "active: b\nkeys: {{ a: {{ secret: \"{one}\" }}, b: {{ secret: \"{two}\" }} }}"
        );
        let ring = KeyRing::read(&SourceFile::new("keys.yaml", text), &NoSecrets).unwrap();
        let (active, sealing) = ring.derived(None, "audit").unwrap();
        assert_eq!(active.as_str(), "b");
        assert_eq!(ring.derived(Some("b"), "audit").unwrap().1, sealing);
        assert_ne!(ring.derived(Some("a"), "audit").unwrap().1, sealing);
        assert_ne!(ring.derived(None, "other").unwrap().1, sealing);
        assert!(ring.derived(Some("c"), "audit").is_none());
    }
}
