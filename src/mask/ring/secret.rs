//! A secret as text: where it may stand, and what a good one is.

use secrecy::{ExposeSecretMut, SecretBox, SecretString};
use zeroize::Zeroizing;

/// Looks up the secrets that a key ring file only points to. The caller decides what may be read.
pub trait SecretSource {
    /// The value of an environment variable.
    ///
    /// # Errors
    /// Says why there is none.
    fn environment(&self, name: &str) -> Result<SecretString, SecretError>;

    /// The text of a file. A relative path starts at the folder of the key ring file.
    ///
    /// # Errors
    /// Says why there is none.
    fn file(&self, path: &str) -> Result<SecretString, SecretError>;
}

/// Why a secret is not to be had. Says nothing of what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No such variable or file.
    #[error("does not exist")]
    Missing,
    /// A folder, a pipe or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// The file's mode lets its group or everyone at it.
    #[error("is open to others than its owner")]
    OpenToOthers,
    /// Far larger than any key ring.
    #[error("is larger than 64 KiB")]
    TooLarge,
    /// The system refuses it, or it is not UTF-8.
    #[error("cannot be read as text")]
    Unreadable,
}

/// Why a text is not a secret. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretFault {
    #[error("is not base64")]
    NotBase64,
    #[error("is {0} bytes long, not 32")]
    Length(usize),
    #[error("repeats itself, as no random bytes do")]
    NotRandom,
}

/// 32 random bytes have fewer different ones than this less than once in 10^36 draws.
const FEWEST_DIFFERENT_BYTES: usize = 8;

/// The 32 bytes that `text` spells in base64, standard or URL alphabet, padded or not.
pub(super) fn decode(text: &str) -> Result<SecretBox<[u8; 32]>, SecretFault> {
    let body = text.trim().trim_end_matches('=').as_bytes();
    let bytes = data_encoding::BASE64_NOPAD
        .decode(body)
        .or_else(|_| data_encoding::BASE64URL_NOPAD.decode(body))
        .map(Zeroizing::new)
        .map_err(|_| SecretFault::NotBase64)?;
    if bytes.len() != 32 {
        return Err(SecretFault::Length(bytes.len()));
    }
    let different = (0..=u8::MAX).filter(|byte| bytes.contains(byte)).count();
    if different < FEWEST_DIFFERENT_BYTES {
        return Err(SecretFault::NotRandom);
    }
    let mut secret = SecretBox::new(Box::new([0; 32]));
    secret.expose_secret_mut().copy_from_slice(&bytes);
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[track_caller]
    fn check(text: &str, expect: Result<u8, SecretFault>) {
        assert_eq!(decode(text).map(|secret| secret.expose_secret()[31]), expect);
    }

    #[test]
    fn both_alphabets_with_and_without_padding() {
        check("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", Ok(31));
        check("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", Ok(31));
        check("+/ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", Ok(31));
        check("-_ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", Ok(31));
    }

    #[test]
    fn everything_else_is_refused() {
        check("", Err(SecretFault::Length(0)));
        check("not base64!", Err(SecretFault::NotBase64));
        check("+_ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", Err(SecretFault::NotBase64));
        check("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", Err(SecretFault::Length(31)));
        check("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", Err(SecretFault::Length(33)));
        check("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", Err(SecretFault::NotRandom));
        check("AQIDBAUGBwECAwQFBgcBAgMEBQYHAQIDBAUGBwECAwQ=", Err(SecretFault::NotRandom));
    }
}
