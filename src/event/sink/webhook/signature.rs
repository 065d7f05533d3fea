//! Standard Webhooks signatures: HMAC-SHA-256 over id, time and body. Pure.

use data_encoding::BASE64;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// Signs with every key, so that a receiver that knows one of them accepts.
pub struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    /// `None` where there is no key.
    #[must_use]
    pub fn new(keys: &[SecretSlice<u8>]) -> Option<Self> {
        let states: Option<Vec<_>> =
            keys.iter().map(|key| Hmac::new_from_slice(key.expose_secret()).ok()).collect();
        states.filter(|states| !states.is_empty()).map(Self)
    }

    /// `v1,...`, once for each key.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let before = format!("{id}.{seconds}.");
        let signatures = self.0.iter().map(|state| {
            let digest = state.clone().chain_update(&before).chain_update(body).finalize();
            format!("v1,{}", BASE64.encode(&digest.into_bytes()))
        });
        signatures.collect::<Vec<String>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(keys: &[&str]) -> Signer {
        let keys: Vec<SecretSlice<u8>> =
            keys.iter().map(|key| BASE64.decode(key.as_bytes()).unwrap().into()).collect();
        Signer::new(&keys).unwrap()
    }

    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    /// The example of the specification.
    #[test]
    fn a_known_signature() {
        let signature = signer(&[KEY]).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_keys_give_two_signatures() {
        let both = signer(&[KEY, OTHER]).sign("id", 1, b"body");
        let one = signer(&[KEY]).sign("id", 1, b"body");
        let other = signer(&[OTHER]).sign("id", 1, b"body");
        assert_eq!(both, format!("{one} {other}"));
        assert_ne!(one, other);
    }

    #[test]
    fn everything_signed_matters() {
        let signer = signer(&[KEY]);
        let signature = signer.sign("id", 1, b"body");
        assert_ne!(signature, signer.sign("ie", 1, b"body"));
        assert_ne!(signature, signer.sign("id", 2, b"body"));
        assert_ne!(signature, signer.sign("id", 1, b"bodz"));
    }

    #[test]
    fn nothing_is_sent_without_a_key() {
        assert!(Signer::new(&[]).is_none());
    }
}
