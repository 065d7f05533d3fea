//! What can go wrong while masking. No variant carries a value, a token or a key.

/// Why a value was not masked, or a mask not reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// `hash`, `encrypt` and `tokenize` do not exist without a key.
    #[error("this strategy needs a key, and there is no key ring")]
    KeysMissing,
    /// The bytes to mask are not one JSON value.
    #[error("the value is not JSON text")]
    NotJson,
    /// One response has encrypted 2^32 values.
    #[error("every nonce of this response is used up")]
    NoncesUsedUp,
    /// The cipher does not take the value; it is larger than the cipher's own limit.
    #[error("the cipher refuses the value")]
    CipherRefused,
    /// The text to reveal is neither `enc:` nor `token_`, or is not well-formed.
    #[error("this text is not an encrypted value or a token")]
    NotReversible,
    /// The text to reveal names a key that the ring does not hold.
    #[error("the key that masked this text is not in the key ring")]
    UnknownKey,
    /// The text to reveal was changed, or belongs to another tenant, field or key.
    #[error("this text was not masked for this tenant and field, or it was changed since")]
    RevealRefused,
}
