//! Strategies as checked: what a policy may ask of a mask.

/// How the values of one field are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// `hash:` and a keyed digest, HMAC-SHA-256.
    Hash,
    /// Part of the text stays readable.
    Partial(Partial),
    /// A fixed text.
    Redact {
        /// The text, `[REDACTED]` unless the policy says otherwise.
        text: String,
    },
    /// `enc:` and the ciphertext, AES-256-GCM-SIV; reversible with the key.
    Encrypt,
    /// `token_` and a deterministic token, the same for the same value of a tenant's field.
    Tokenize,
    /// `token_` and a token of one length, whose value stands in the token map.
    Vault,
    /// A fixed JSON value, for clients that want a type kept (`as: null`, `as: 0`).
    Typed(JsonReplacement),
}

impl Default for Strategy {
    /// What a field without a strategy gets.
    fn default() -> Self {
        Self::Redact { text: "[REDACTED]".to_owned() }
    }
}

/// The parameters of `partial`; lengths count Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// How many characters stay at the start. A policy that names one end only has meant the
    /// other to be zero; this is the number after that was settled.
    pub show_first: usize,
    /// How many characters stay at the end.
    pub show_last: usize,
    /// What stands for a masked character.
    pub mask_char: char,
    /// Keep the `@domain` of an e-mail address.
    pub keep_domain: bool,
    /// Keep `-`, space, `.`, `/`, `(`, `)` and `+` where they stand; they do not count as shown.
    pub keep_separators: bool,
    /// This many mask characters whatever the length of the value.
    pub fixed_length: Option<usize>,
}

impl Default for Partial {
    fn default() -> Self {
        Self {
            show_first: 2,
            show_last: 2,
            mask_char: '*',
            keep_domain: false,
            keep_separators: false,
            fixed_length: None,
        }
    }
}

/// A JSON value that replaces whatever stood at a masked path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonReplacement {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A string.
    Text(String),
    /// `[]`
    EmptyList,
    /// `{}`
    EmptyObject,
}

impl Strategy {
    /// Whether a key ring must be there before this strategy can mask anything.
    #[must_use]
    pub fn needs_key(&self) -> bool {
        match self {
            Self::Hash | Self::Encrypt | Self::Tokenize | Self::Vault => true,
            Self::Partial(_) | Self::Redact { .. } | Self::Typed(_) => false,
        }
    }

    /// Whether its masks can be turned back into values with the key, or the key and the token map.
    #[must_use]
    pub fn is_reversible(&self) -> bool {
        match self {
            Self::Encrypt | Self::Tokenize | Self::Vault => true,
            Self::Hash | Self::Partial(_) | Self::Redact { .. } | Self::Typed(_) => false,
        }
    }
}
