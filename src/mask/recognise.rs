//! Masks that come back: is this text one that Fieldgate made?
//!
//! `encrypt` and `tokenize` carry a tag that only the key of the tenant's field can have made, so
//! the answer is certain. A hash has no such tag: its form is told here, and whose it is by
//! comparing with the value (`KeyRing::is_hash_of`).

use super::json_text::{Kind, decode, kind_of};
use super::strategy::{JsonReplacement, Strategy};
use super::{KeyRing, VaultToken, encrypt, hash, tokenize};

/// What a text turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    /// No mask that could be turned back.
    NoMask,
    /// A mask of this tenant's field, and the JSON text of the value behind it.
    Value(Vec<u8>),
    /// A token of this tenant's field whose value stands in the token map.
    Vaulted(VaultToken),
    /// It has the form of such a mask, but its tag does not hold here: it belongs to another
    /// tenant, field or record, was changed, or its key is gone or retired.
    Foreign,
}

impl KeyRing {
    /// Says whether `text` is a mask that `encrypt` or `tokenize` made for this tenant's field;
    /// `record` is the id of the record that it stands in.
    #[must_use]
    pub fn recognise(
        &self,
        text: &str,
        tenant: &str,
        field: &str,
        record: Option<&str>,
    ) -> Recognised {
        use super::MaskError;
        if !text.starts_with(encrypt::PREFIX) && !text.starts_with(tokenize::PREFIX) {
            return Recognised::NoMask;
        }
        match self.reveal(text, tenant, field, record) {
            Ok(value) => return Recognised::Value(value),
            Err(MaskError::UnknownKey | MaskError::RevealRefused) => return Recognised::Foreign,
            Err(_) => {}
        }
        match self.vault_token(text, tenant, field) {
            Ok(token) => Recognised::Vaulted(token),
            Err(MaskError::UnknownKey | MaskError::RevealRefused) => Recognised::Foreign,
            Err(_) => Recognised::NoMask,
        }
    }
}

impl KeyRing {
    /// Whether `text` has the whole form of an encrypted value or a token and names a key of the
    /// ring, retired ones included. It is what may be said of a mask where nobody knows its field.
    #[must_use]
    pub fn is_mask_by_form(&self, text: &str) -> bool {
        let key = encrypt::key_named(text).or_else(|| tokenize::key_named(text));
        key.is_some_and(|id| self.facts().any(|key| key.id.as_str() == id))
    }
}

/// Whether the JSON value `raw` looks like something that `strategy` made. Errs towards yes: it is
/// asked only where the value itself is not known.
#[must_use]
pub fn may_be_mask(strategy: &Strategy, raw: &[u8]) -> bool {
    let text = match kind_of(raw) {
        Ok(Kind::Text) => decode(raw).ok(),
        _ => None,
    };
    let text = text.as_deref();
    match strategy {
        Strategy::Hash => text.is_some_and(hash::has_form),
        Strategy::Encrypt => text.is_some_and(|text| text.starts_with(encrypt::PREFIX)),
        Strategy::Tokenize | Strategy::Vault => {
            text.is_some_and(|text| text.starts_with(tokenize::PREFIX))
        }
        Strategy::Partial(options) => {
            text.is_some_and(|text| text.contains(options.mask_char) || text == "[REDACTED]")
        }
        Strategy::Redact { text: fixed } => text == Some(fixed),
        Strategy::Typed(replacement) => match replacement {
            JsonReplacement::Null => raw == b"null",
            JsonReplacement::Bool(value) => raw == value.to_string().as_bytes(),
            JsonReplacement::Integer(number) => raw == number.to_string().as_bytes(),
            JsonReplacement::Text(fixed) => text == Some(fixed),
            JsonReplacement::EmptyList => raw == b"[]",
            JsonReplacement::EmptyObject => raw == b"{}",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::strategy::Partial;
    use crate::mask::tests::ring;
    use crate::mask::{NonceSequence, Strategy};

    fn masked(strategy: &Strategy, tenant: &str, field: &str, raw: &str) -> String {
        let mut out = Vec::new();
        let masker = ring(&["k1", "k2"]).masker(strategy, tenant, field).unwrap();
        masker.mask(raw.as_bytes(), &mut NonceSequence::new([7; 8]), &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn tags_say_whose_a_mask_is() {
        for strategy in [Strategy::Encrypt, Strategy::Tokenize] {
            let text = masked(&strategy, "acme", "lead.email", r#""a@b.c""#);
            let expect = Recognised::Value(br#""a@b.c""#.to_vec());
            assert_eq!(ring(&["k1", "k2"]).recognise(&text, "acme", "lead.email", None), expect);
            for (tenant, field) in [("globex", "lead.email"), ("acme", "lead.phone"), ("", "")] {
                assert_eq!(
                    ring(&["k1", "k2"]).recognise(&text, tenant, field, None),
                    Recognised::Foreign
                );
            }
        }
        for text in ["", "enc:", "token_", "token_of_esteem", "enc:k1", "hash:00", "a@b.c"] {
            assert_eq!(
                ring(&["k1", "k2"]).recognise(text, "acme", "lead.email", None),
                Recognised::NoMask,
                "{text}"
            );
        }
    }

    #[test]
    fn a_mask_is_known_by_its_form_where_its_field_is_not() {
        let ring = ring(&["k1", "k2"]);
        for strategy in [Strategy::Encrypt, Strategy::Tokenize, Strategy::Vault] {
            let text = masked(&strategy, "acme", "lead.email", r#""a@b.c""#);
            assert!(ring.is_mask_by_form(&text), "{text}");
            assert!(!ring.is_mask_by_form(text.get(..text.len() - 20).unwrap()), "{text}");
            assert!(!crate::mask::tests::ring(&["k3"]).is_mask_by_form(&text), "{text}");
        }
        let long = "a".repeat(60);
        for text in ["", "enc:", "enc:k2.", "token_", "token_of_esteem", "a@b.c"] {
            assert!(!ring.is_mask_by_form(text), "{text}");
        }
        assert!(!ring.is_mask_by_form(&format!("enc:{long}")));
        assert!(!ring.is_mask_by_form(&format!("token_{long}")));
    }

    #[test]
    fn a_hash_is_told_by_its_value() {
        let text = masked(&Strategy::Hash, "acme", "lead.email", r#""a@b.c""#);
        assert!(may_be_mask(&Strategy::Hash, format!("\"{text}\"").as_bytes()));
        assert!(ring(&["k1", "k2"]).is_hash_of(&text, br#""a@\u0062.c""#, "acme", "lead.email"));
        assert!(!ring(&["k1", "k2"]).is_hash_of(&text, br#""a@b.d""#, "acme", "lead.email"));
        assert!(!ring(&["k1", "k2"]).is_hash_of(&text, br#""a@b.c""#, "globex", "lead.email"));
    }

    #[test]
    fn forms_of_masks() {
        let redact = Strategy::default();
        let partial = Strategy::Partial(Partial::default());
        let check = |strategy: &Strategy, raw: &str, expect: bool| {
            assert_eq!(may_be_mask(strategy, raw.as_bytes()), expect, "{strategy:?} {raw}");
        };
        check(&redact, r#""[REDACTED]""#, true);
        check(&redact, r#""\u005bREDACTED]""#, true);
        check(&redact, r#""x""#, false);
        check(&partial, r#""jo**n""#, true);
        check(&partial, r#""john""#, false);
        check(&partial, "7", false);
        check(&Strategy::Typed(JsonReplacement::Null), "null", true);
        check(&Strategy::Typed(JsonReplacement::Null), "0", false);
        check(&Strategy::Typed(JsonReplacement::EmptyObject), "{}", true);
        check(&Strategy::Hash, r#""hash:0123456789abcdef0123456789abcdeF""#, false);
        check(&Strategy::Tokenize, r#""token_x""#, true);
    }
}
