//! A new key ring file with one random key.

use data_encoding::BASE64;
use rand::CryptoRng;
use secrecy::SecretString;
use time::Date;
use zeroize::Zeroizing;

use super::{KeyId, KeyRing};

impl KeyRing {
    /// The commented text of a key ring file with one new key, made on `created`.
    pub fn generate_file(random: &mut impl CryptoRng, id: &KeyId, created: Date) -> SecretString {
        let mut secret = Zeroizing::new([0; 32]);
        random.fill_bytes(secret.as_mut_slice());
        let secret = Zeroizing::new(BASE64.encode(secret.as_slice()));
        SecretString::from(format!(
            "\
# Fieldgate key ring. Whoever has it can reverse `encrypt` and `tokenize` and test guesses
# against `hash`. Keep it out of version control and readable by its owner alone (chmod 600).
#
# `fieldgate keys rotate` adds a key and makes it the active one; a running Fieldgate takes it over
# by itself. Keep old keys for as long as anything that they masked may have to be reversed, then
# retire them with `fieldgate keys retire`.
active: \"{id}\"
keys:
  \"{id}\": {{ secret: \"{}\", created: {created} }}
",
            secret.as_str()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::mask::tests::NoSecrets;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use secrecy::ExposeSecret;
    use time::macros::date;

    #[test]
    fn what_is_generated_is_read() {
        let mut random = StdRng::seed_from_u64(1);
        let id = KeyId::parse("k7").unwrap();
        let one = KeyRing::generate_file(&mut random, &id, date!(2026 - 11 - 22));
        let other = KeyRing::generate_file(&mut random, &id, date!(2026 - 11 - 22));
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert!(one.expose_secret().contains("created: 2026-11-22"));
        let source = SourceFile::new("keys.yaml", one.expose_secret());
        assert_eq!(KeyRing::read(&source, &NoSecrets).unwrap().active(), &id);
    }

    #[test]
    fn an_id_of_digits_is_read_too() {
        let id = KeyId::parse("2026").unwrap();
        let mut random = StdRng::seed_from_u64(2);
        let text = KeyRing::generate_file(&mut random, &id, date!(2026 - 11 - 22));
        let source = SourceFile::new("keys.yaml", text.expose_secret());
        assert_eq!(KeyRing::read(&source, &NoSecrets).unwrap().active(), &id);
    }
}
