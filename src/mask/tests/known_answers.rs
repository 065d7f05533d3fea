//! Answers computed once by another implementation (Python's `hmac` and `cryptography`).
//!
//! If one of these changes, every hash and token that is out in the world is orphaned and nothing
//! that was encrypted can be decrypted. Then the derivation needs a new version, not a new answer.

use super::{NonceSequence, Strategy, inner, masked, masked_email, ring};
use crate::mask::{KeyRing, MaskError};

#[track_caller]
fn check(raw: &str, hash: &str, encrypted: &str, token: &str) {
    let ring = ring(&["k1"]);
    assert_eq!(inner(&masked_email(&ring, &Strategy::Hash, raw)), hash);
    assert_eq!(inner(&masked_email(&ring, &Strategy::Encrypt, raw)), encrypted);
    assert_eq!(inner(&masked_email(&ring, &Strategy::Tokenize, raw)), token);
    assert_eq!(reveal(&ring, encrypted), Ok(raw.to_owned()));
    assert_eq!(reveal(&ring, token), Ok(raw.to_owned()));
}

fn reveal(ring: &KeyRing, text: &str) -> Result<String, MaskError> {
    ring.reveal(text, "acme", "lead.email", None).map(|raw| String::from_utf8(raw).unwrap())
}

#[test]
fn strings_and_numbers() {
    check(
        r#""john@example.com""#,
        "hash:7e481f36b43db1f43caa2290be717def",
        "enc:k1.cmVzcG9uc2UAAAAAQjXsQ9QgpLuZfsOMMPSFMxddQpUJfVEvFZGNry08konHzg",
        "token_ajvtd3564olrpg6fxknzb5raz2xuzpcw5u3eecpy35myr4wpebto6e66gihq",
    );
    check(
        "9007199254740993",
        "hash:173c399386d09a3a74811fc08aae819e",
        "enc:k1.cmVzcG9uc2UAAAAA72-nw-0p2mJSwGtIPfWlGsVLgMCXCHM5a4z7lzLUdp8",
        "token_ajvtc4actt6bwo2pmgmt5xkw2or4qtdn6j6mnrysnlmb3upkjl7eoc2x",
    );
    check(
        r#""José""#,
        "hash:7481cc68df8a5897ef222888e6783dcc",
        "enc:k1.cmVzcG9uc2UAAAAA8DRB_OuDsABfF_Am-daxeJeAXlO7TDg",
        "token_ajvtcymhivi3lasb6hl6nqw7eucge5v4pa2oyu55xq",
    );
}

#[test]
fn a_dictionary_of_digests_does_not_help() {
    // SHA-256 and MD5 of `john@example.com`, with and without its quotes.
    let dictionary = [
        "855f96e983f1f8e8be944692b6f719fd",
        "d4c74594d841139328695756648b6bd6",
        "99219aa3422ec10634e7203616de64b9",
    ];
    let ring = ring(&["k1"]);
    for strategy in [Strategy::Hash, Strategy::Encrypt, Strategy::Tokenize] {
        let masker = ring.masker(&strategy, "acme", "lead.email").unwrap();
        let printed = masked(&masker, r#""john@example.com""#).unwrap();
        for digest in dictionary {
            assert!(!printed.contains(digest), "{printed} holds an unkeyed digest");
        }
    }
}

#[test]
fn the_next_value_of_a_response_has_the_next_nonce() {
    let ring = ring(&["k1"]);
    let masker = ring.masker(&Strategy::Encrypt, "acme", "lead.email").unwrap();
    let mut nonces = NonceSequence::new(*b"response");
    let mut texts = Vec::new();
    for _ in 0..2 {
        let mut out = Vec::new();
        masker.mask(b"1", &mut nonces, &mut out).unwrap();
        texts.push(String::from_utf8(out).unwrap());
    }
    assert!(texts[0].starts_with("\"enc:k1.cmVzcG9uc2UAAAAA"));
    assert!(texts[1].starts_with("\"enc:k1.cmVzcG9uc2UAAAAB"));
}
