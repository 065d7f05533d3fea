//! The key file of a JWT source, checked against the algorithm it is for.
//!
//! Refuses what would verify nothing or too much: short secrets, a PEM file as an HMAC secret,
//! private keys, certificates, two keys in one file, and keys of another kind, curve or size.

use data_encoding::BASE64;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc;

use crate::config::JwtAlgorithm;

/// Why a key file cannot be used. Holds nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// RFC 7518 wants as many bytes as the hash has.
    #[error("an HS256 secret needs at least 32 bytes")]
    ShortSecret,
    /// Public keys are no secrets: whoever has one could sign.
    #[error("a PEM key cannot be an HS256 secret")]
    PemSecret,
    /// Not one PEM block.
    #[error("not a PEM file with one public key")]
    NotPem,
    /// The verifier has no use for it, so it should not have it.
    #[error("a private key; give the public key only")]
    PrivateKey,
    /// The key inside is meant, but nothing here would check the rest.
    #[error("a certificate; give the public key inside it (`openssl x509 -pubkey -noout`)")]
    Certificate,
    /// Not an RSA key.
    #[error("not an RSA public key")]
    NotRsa,
    /// An RSA key that is too short to trust, or too long to compute with.
    #[error("an RSA key must have 2048 to 8192 bits")]
    RsaSize,
    /// Not a P-256 key.
    #[error("not an uncompressed P-256 public key")]
    NotP256,
    /// Not an Ed25519 key.
    #[error("not an Ed25519 public key")]
    NotEd25519,
}

/// DER of `SubjectPublicKeyInfo` for P-256, up to the 65 bytes of the uncompressed point.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// DER of `SubjectPublicKeyInfo` for Ed25519, up to the 32 bytes of the key (RFC 8410).
const ED25519_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key in `file`, ready to verify with `algorithm`.
pub(super) fn verification_key(
    algorithm: JwtAlgorithm,
    file: &[u8],
) -> Result<DecodingKey, KeyFault> {
    match algorithm {
        JwtAlgorithm::Hs256 => secret(file),
        JwtAlgorithm::Rs256 => rsa(file),
        JwtAlgorithm::Es256 => {
            let der = public_key_der(file)?;
            let point = der.strip_prefix(&P256_PREFIX).filter(|point| is_uncompressed(point));
            point.map(DecodingKey::from_ec_der).ok_or(KeyFault::NotP256)
        }
        JwtAlgorithm::EdDsa => {
            let der = public_key_der(file)?;
            let key = der.strip_prefix(&ED25519_PREFIX).filter(|key| key.len() == 32);
            key.map(DecodingKey::from_ed_der).ok_or(KeyFault::NotEd25519)
        }
    }
}

fn is_uncompressed(point: &[u8]) -> bool {
    point.len() == 65 && point.first() == Some(&4)
}

/// An HMAC secret: the bytes of the file. The line end that editors add to a line of text is not
/// part of it; a secret of arbitrary bytes is taken as it is.
fn secret(file: &[u8]) -> Result<DecodingKey, KeyFault> {
    let line = file.strip_suffix(b"\n").unwrap_or(file);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let secret = if line.iter().all(u8::is_ascii_graphic) { line } else { file };
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err(KeyFault::PemSecret);
    }
    if secret.len() < 32 {
        return Err(KeyFault::ShortSecret);
    }
    Ok(DecodingKey::from_secret(secret))
}

fn rsa(file: &[u8]) -> Result<DecodingKey, KeyFault> {
    let der = public_key_der(file)?;
    let components = aws_lc::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
    let (modulus, exponent) = components(&der).map_err(|_| KeyFault::NotRsa)?;
    if !is_trusted_rsa(&modulus) {
        return Err(KeyFault::RsaSize);
    }
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

/// Whether an RSA key has 2048 to 8192 bits.
pub(super) fn is_trusted_rsa(modulus: &[u8]) -> bool {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = modulus.get(zeros..).unwrap_or_default();
    let leading = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    (2048..=8192).contains(&(modulus.len() * 8 - leading))
}

/// The DER in a PEM file, if its one block is a public key.
fn public_key_der(file: &[u8]) -> Result<Vec<u8>, KeyFault> {
    let text = std::str::from_utf8(file).map_err(|_| KeyFault::NotPem)?;
    let mut blocks = text.split("-----BEGIN ").skip(1);
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        return Err(KeyFault::NotPem);
    };
    let (label, rest) = block.split_once("-----").ok_or(KeyFault::NotPem)?;
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
        "CERTIFICATE" => return Err(KeyFault::Certificate),
        label if label.ends_with("PRIVATE KEY") => return Err(KeyFault::PrivateKey),
        _ => return Err(KeyFault::NotPem),
    }
    let (body, _) = rest.split_once("-----END ").ok_or(KeyFault::NotPem)?;
    let body: String = body.split_ascii_whitespace().collect();
    BASE64.decode(body.as_bytes()).map_err(|_| KeyFault::NotPem)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    const RSA_PUBLIC: &str = include_str!("../../../tests/fixtures/test-only-rsa-public.pem");
    const RSA_PRIVATE: &str = include_str!("../../../tests/fixtures/test-only-rsa-private.pem");
    const RSA_1024: &str = include_str!("../../../tests/fixtures/test-only-rsa-1024-public.pem");
    const SECP256K1: &str = include_str!("../../../tests/fixtures/test-only-secp256k1-public.pem");
    const ALL: [JwtAlgorithm; 4] =
        [JwtAlgorithm::Hs256, JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa];

    /// What each algorithm, in the order of `ALL`, says of a file.
    #[track_caller]
    fn check(file: impl AsRef<[u8]>, expected: [Option<KeyFault>; 4]) {
        let found = ALL.map(|algorithm| verification_key(algorithm, file.as_ref()).err());
        assert_eq!(found, expected);
    }

    #[test]
    fn a_key_serves_its_own_algorithm_alone() {
        use KeyFault::{NotEd25519, NotP256, NotPem, NotRsa, PemSecret};
        let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().public_key_pem();
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().public_key_pem();
        let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap().public_key_pem();
        let pem = Some(PemSecret);
        check([7; 32], [None, Some(NotPem), Some(NotPem), Some(NotPem)]);
        check(RSA_PUBLIC, [pem, None, Some(NotP256), Some(NotEd25519)]);
        check(p256, [pem, Some(NotRsa), None, Some(NotEd25519)]);
        check(ed25519, [pem, Some(NotRsa), Some(NotP256), None]);
        check(p384, [pem, Some(NotRsa), Some(NotP256), Some(NotEd25519)]);
        check(SECP256K1, [pem, Some(NotRsa), Some(NotP256), Some(NotEd25519)]);
    }

    #[test]
    fn files_that_are_refused_for_every_algorithm() {
        let every = |secret, other| [Some(secret), Some(other), Some(other), Some(other)];
        let private = every(KeyFault::PemSecret, KeyFault::PrivateKey);
        check(RSA_PRIVATE, private);
        check(KeyPair::generate().unwrap().serialize_pem(), private);
        check(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            every(KeyFault::PemSecret, KeyFault::Certificate),
        );
        check([RSA_PUBLIC, RSA_PUBLIC].concat(), every(KeyFault::PemSecret, KeyFault::NotPem));
        check("", every(KeyFault::ShortSecret, KeyFault::NotPem));
        check(
            "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n",
            every(KeyFault::PemSecret, KeyFault::NotPem),
        );
    }

    #[test]
    fn short_rsa_keys_are_refused() {
        let found = verification_key(JwtAlgorithm::Rs256, RSA_1024.as_bytes());
        assert_eq!(found.err(), Some(KeyFault::RsaSize));
    }

    #[track_caller]
    fn check_secret(file: &[u8], expected: Result<&[u8], KeyFault>) {
        let found = verification_key(JwtAlgorithm::Hs256, file);
        let bytes = found.as_ref().map(|key| key.try_get_as_bytes().unwrap());
        assert_eq!(bytes, expected.as_ref().copied());
    }

    #[test]
    fn the_line_end_of_a_text_file_is_no_part_of_the_secret() {
        let text = b"0123456789abcdef0123456789abcdef";
        check_secret(text, Ok(text));
        check_secret(&[text.as_slice(), b"\n"].concat(), Ok(text));
        check_secret(&[text.as_slice(), b"\r\n"].concat(), Ok(text));
        check_secret(b"0123456789abcdef0123456789abcde\n", Err(KeyFault::ShortSecret));
        let binary = [&[0; 31], b"\n".as_slice()].concat();
        check_secret(&binary, Ok(&binary));
    }
}
