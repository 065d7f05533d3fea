//! A published set of keys (RFC 7517): which of them can verify what.
//!
//! Pure. A key serves one algorithm: the one that it names itself, else the usual one of its kind.
//! Left out are keys for encryption, shared secrets, private keys, and keys of a kind or size that
//! is not trusted; a set with none left is no set.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::key::is_trusted_rsa;
use crate::identity::document::Document;

/// Most keys of a set; an issuer has a handful.
const MOST_KEYS: usize = 64;

/// The algorithms that keys of a set may be for, by their registered names.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The algorithms that an RSA key can be for.
const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The keys that can be used. Has no `Debug`, like every room that holds keys.
pub(super) struct PublicKeys(Vec<PublicKey>);

struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The keys that a token could have been signed with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fitting<T> {
    /// These, by its key id and its algorithm.
    Keys(Vec<T>),
    /// The key has this id, and is for another algorithm.
    OtherAlgorithm,
    /// No key has this id.
    None,
}

impl PublicKeys {
    /// Reads a set; with `only`, keys for other algorithms are left out.
    pub(super) fn parse(text: &[u8], only: Option<Algorithm>) -> Option<Self> {
        let Document(set) = Document::parse(text)?;
        let keys = set.get("keys")?.as_array().filter(|keys| keys.len() <= MOST_KEYS)?;
        let usable = keys.iter().filter_map(Value::as_object).filter_map(PublicKey::read);
        let usable: Vec<PublicKey> =
            usable.filter(|key| only.is_none_or(|only| key.algorithm == only)).collect();
        (!usable.is_empty()).then_some(Self(usable))
    }

    /// The keys for a token that names this algorithm and perhaps a key.
    pub(super) fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> Fitting<&DecodingKey> {
        // A set without ids is tried whole; a token without one could be from any of its keys.
        let named = |key: &&PublicKey| match (id, &key.id) {
            (Some(id), Some(own)) => id == own,
            (Some(_), None) => self.0.iter().all(|key| key.id.is_none()),
            (None, _) => true,
        };
        let named: Vec<&PublicKey> = self.0.iter().filter(named).collect();
        let fitting: Vec<&DecodingKey> =
            named.iter().filter(|key| key.algorithm == algorithm).map(|key| &key.key).collect();
        match (named.is_empty(), fitting.is_empty()) {
            (true, _) => Fitting::None,
            (false, true) => Fitting::OtherAlgorithm,
            (false, false) => Fitting::Keys(fitting),
        }
    }
}

/// The algorithm of this registered name, if keys of a set may be for it.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

impl PublicKey {
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if jwk.contains_key("d") || jwk.contains_key("k") {
            return None;
        }
        if jwk.contains_key("use") && text("use") != Some("sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations.as_array()?.iter().any(|operation| operation == "verify")
        {
            return None;
        }
        let named = match jwk.get("alg") {
            None => None,
            Some(name) => Some(algorithm(name.as_str()?)?),
        };
        let bytes = |name: &str| BASE64URL_NOPAD.decode(text(name)?.as_bytes()).ok();
        let (usual, fits, key): (Algorithm, &[Algorithm], DecodingKey) = match text("kty")? {
            "RSA" => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                if !is_trusted_rsa(&modulus) {
                    return None;
                }
                let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                (Algorithm::RS256, &RSA, key)
            }
            "EC" => {
                let (algorithm, length): (&[Algorithm], usize) = match text("crv")? {
                    "P-256" => (&[Algorithm::ES256], 32),
                    "P-384" => (&[Algorithm::ES384], 48),
                    _ => return None,
                };
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != length || y.len() != length {
                    return None;
                }
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                (*algorithm.first()?, algorithm, DecodingKey::from_ec_der(&point))
            }
            "OKP" if text("crv") == Some("Ed25519") => {
                let key = bytes("x").filter(|key| key.len() == 32)?;
                (Algorithm::EdDSA, &[Algorithm::EdDSA], DecodingKey::from_ed_der(&key))
            }
            _ => return None,
        };
        let algorithm = named.unwrap_or(usual);
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        fits.contains(&algorithm).then_some(Self { id, algorithm, key })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A key of 2048 bits, as far as its length goes.
    fn rsa() -> Value {
        let modulus = BASE64URL_NOPAD.encode(&[0xc5; 256]);
        json!({ "kty": "RSA", "kid": "r", "n": modulus, "e": "AQAB" })
    }

    fn ed25519() -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "e", "x": BASE64URL_NOPAD.encode(&[7; 32]) })
    }

    fn p256() -> Value {
        let part = BASE64URL_NOPAD.encode(&[7; 32]);
        json!({ "kty": "EC", "crv": "P-256", "kid": "p", "x": part, "y": part })
    }

    fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
        key[name] = value.into();
        key
    }

    /// The algorithms that the usable keys of a set are for.
    fn algorithms(keys: &[Value]) -> Vec<Algorithm> {
        let set = PublicKeys::parse(json!({ "keys": keys }).to_string().as_bytes(), None);
        set.map(|set| set.0.iter().map(|key| key.algorithm).collect()).unwrap_or_default()
    }

    #[track_caller]
    fn check(key: &Value, expected: Option<Algorithm>) {
        let found = algorithms(std::slice::from_ref(key));
        assert_eq!(found, Vec::from_iter(expected), "{key}");
    }

    #[test]
    fn a_key_serves_one_algorithm_of_its_kind() {
        check(&rsa(), Some(Algorithm::RS256));
        check(&with(rsa(), "alg", "PS384"), Some(Algorithm::PS384));
        check(&with(rsa(), "use", "sig"), Some(Algorithm::RS256));
        check(&with(rsa(), "key_ops", json!(["sign", "verify"])), Some(Algorithm::RS256));
        check(&p256(), Some(Algorithm::ES256));
        check(&with(p256(), "alg", "ES256"), Some(Algorithm::ES256));
        check(&ed25519(), Some(Algorithm::EdDSA));
    }

    #[test]
    fn what_verifies_nothing_or_too_much_is_left_out() {
        check(&with(rsa(), "alg", "ES256"), None);
        check(&with(rsa(), "alg", "HS256"), None);
        check(&with(rsa(), "alg", "none"), None);
        check(&with(rsa(), "alg", 7), None);
        check(&with(rsa(), "use", "enc"), None);
        check(&with(rsa(), "key_ops", json!(["encrypt"])), None);
        check(&with(rsa(), "d", "AQAB"), None);
        check(&with(rsa(), "n", BASE64URL_NOPAD.encode(&[0xc5; 128])), None);
        check(&with(rsa(), "kid", 7), None);
        check(&with(p256(), "crv", "secp256k1"), None);
        check(&with(p256(), "y", "AA"), None);
        check(&with(p256(), "alg", "ES384"), None);
        check(&with(ed25519(), "crv", "X25519"), None);
        check(
            &json!({ "kty": "oct", "k": BASE64URL_NOPAD.encode(&[1; 64]), "alg": "HS256" }),
            None,
        );
        check(&json!({}), None);
    }

    #[track_caller]
    fn check_fitting(
        keys: &[Value],
        id: Option<&str>,
        algorithm: Algorithm,
        expected: &Fitting<()>,
    ) {
        let set = PublicKeys::parse(json!({ "keys": keys }).to_string().as_bytes(), None).unwrap();
        let found = match set.fitting(id, algorithm) {
            Fitting::Keys(keys) => Fitting::Keys(vec![(); keys.len()]),
            Fitting::OtherAlgorithm => Fitting::OtherAlgorithm,
            Fitting::None => Fitting::None,
        };
        assert_eq!(found, *expected, "{id:?} {algorithm:?}");
    }

    #[test]
    fn which_key_a_token_means() {
        let set = [rsa(), p256(), with(rsa(), "kid", "r2")];
        check_fitting(&set, Some("r"), Algorithm::RS256, &Fitting::Keys(vec![()]));
        check_fitting(&set, Some("r"), Algorithm::ES256, &Fitting::OtherAlgorithm);
        check_fitting(&set, Some("r"), Algorithm::HS256, &Fitting::OtherAlgorithm);
        check_fitting(&set, Some("x"), Algorithm::RS256, &Fitting::None);
        check_fitting(&set, None, Algorithm::RS256, &Fitting::Keys(vec![(), ()]));
        let mut nameless = rsa();
        nameless.as_object_mut().unwrap().remove("kid");
        check_fitting(&[nameless.clone()], Some("x"), Algorithm::RS256, &Fitting::Keys(vec![()]));
        check_fitting(&[nameless, p256()], Some("x"), Algorithm::RS256, &Fitting::None);
    }

    #[test]
    fn a_set_has_some_keys_and_not_too_many() {
        let parse = |text: &str| PublicKeys::parse(text.as_bytes(), None).is_some();
        for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[1]}"#] {
            assert!(!parse(text), "{text}");
        }
        assert!(!parse(&json!({ "keys": vec![rsa(); MOST_KEYS + 1] }).to_string()));
        assert!(parse(&json!({ "keys": [1, rsa()] }).to_string()));
        let set = json!({ "keys": [rsa(), p256()] }).to_string();
        let only = PublicKeys::parse(set.as_bytes(), Some(Algorithm::ES256)).unwrap();
        assert_eq!(only.0.len(), 1);
        assert!(PublicKeys::parse(set.as_bytes(), Some(Algorithm::EdDSA)).is_none());
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,60}") {
            let _ = PublicKeys::parse(text.as_bytes(), None);
            let set = json!({ "keys": [{ "kty": "RSA", "n": text, "e": text, "kid": text }] });
            let _ = PublicKeys::parse(set.to_string().as_bytes(), None);
        }
    }
}
