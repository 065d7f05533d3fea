//! A masker: one strategy made ready for one tenant and one field.
//!
//! Made once and used for thousands of values, so keys are derived and fixed texts are written when
//! it is made. A strategy with a key cannot be made without one.

use std::fmt;
use std::sync::Arc;

use data_encoding::Encoding;

use super::MaskError;
use super::binding::Binding;
use super::encrypt::Sealer;
use super::hash::Hasher;
use super::json_text::{Kind, canonical, decode, kind_of, push_string};
use super::nonce::NonceSequence;
use super::partial;
use super::ring::Key;
use super::strategy::{JsonReplacement, Partial, Strategy};
use super::tokenize::Tokenizer;
use super::vault::{Minted, Minter};

/// Masks the values of one field of one tenant. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Masker(Arc<Form>);

/// What each strategy needs at hand.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the heap, once per tenant and field; a box inside would cost every value"
)]
enum Form {
    Hash(Hasher),
    Partial(Partial),
    /// `redact` and `as`: the whole answer as JSON text.
    Fixed(Box<[u8]>),
    Encrypt(Sealer),
    Tokenize(Tokenizer),
    Vault(Minter),
}

impl Masker {
    /// A masker for a strategy that needs no key.
    ///
    /// # Errors
    /// The strategy needs a key.
    pub fn keyless(strategy: &Strategy) -> Result<Self, MaskError> {
        let form = match strategy {
            Strategy::Partial(options) => Form::Partial(options.clone()),
            Strategy::Redact { text } => Form::Fixed(json_string(text)),
            Strategy::Typed(replacement) => Form::Fixed(json_replacement(replacement)),
            Strategy::Hash | Strategy::Encrypt | Strategy::Tokenize | Strategy::Vault => {
                return Err(MaskError::KeysMissing);
            }
        };
        Ok(Self(Arc::new(form)))
    }

    pub(super) fn keyed(
        strategy: &Strategy,
        key: &Key,
        binding: &Binding<'_>,
    ) -> Result<Self, MaskError> {
        let form = match strategy {
            Strategy::Hash => Form::Hash(Hasher::new(key, binding)?),
            Strategy::Encrypt => Form::Encrypt(Sealer::new(key, binding)?),
            Strategy::Tokenize => Form::Tokenize(Tokenizer::new(key, binding)?),
            Strategy::Vault => Form::Vault(Minter::new(key, binding)?),
            Strategy::Partial(_) | Strategy::Redact { .. } | Strategy::Typed(_) => {
                return Self::keyless(strategy);
            }
        };
        Ok(Self(Arc::new(form)))
    }

    /// Appends the masked form of `raw` to `out`: one JSON value, complete.
    ///
    /// `raw` is the JSON text of the value as the filter validated it. `null` and `""` stay as
    /// they are. `nonces` belongs to the response that is being filtered.
    ///
    /// # Errors
    /// `raw` cannot be read, or it cannot be encrypted. Nothing was appended then, and the value
    /// must not be sent in any form.
    pub fn mask(
        &self,
        raw: &[u8],
        nonces: &mut NonceSequence,
        out: &mut Vec<u8>,
    ) -> Result<(), MaskError> {
        self.mask_in(raw, None, nonces, out).map(|_| ())
    }

    /// [`mask`](Self::mask) for a value of the record with this id, which `encrypt` binds it to. A
    /// token whose value must be kept in the token map comes back.
    ///
    /// # Errors
    /// As [`mask`](Self::mask).
    pub fn mask_in(
        &self,
        raw: &[u8],
        record: Option<&str>,
        nonces: &mut NonceSequence,
        out: &mut Vec<u8>,
    ) -> Result<Option<Minted<'_>>, MaskError> {
        let kind = kind_of(raw)?;
        if kind == Kind::Null || raw == b"\"\"" {
            out.extend_from_slice(raw);
            return Ok(None);
        }
        match &*self.0 {
            Form::Hash(hasher) => hasher.write(&canonical(raw)?, out),
            Form::Partial(options) => mask_partially(options, kind, raw, out)?,
            Form::Fixed(text) => out.extend_from_slice(text),
            Form::Encrypt(sealer) => sealer.write(raw, record, nonces.draw()?, out)?,
            Form::Tokenize(tokenizer) => tokenizer.write(&canonical(raw)?, out)?,
            Form::Vault(minter) => {
                return Ok(Some(minter.write(canonical(raw)?.into_owned(), out)));
            }
        }
        Ok(None)
    }
}

/// Says which strategy it is, and nothing of its key.
impl fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strategy = match &*self.0 {
            Form::Hash(_) => "hash",
            Form::Partial(_) => "partial",
            Form::Fixed(_) => "fixed",
            Form::Encrypt(_) => "encrypt",
            Form::Tokenize(_) => "tokenize",
            Form::Vault(_) => "vault",
        };
        write!(formatter, "Masker({strategy})")
    }
}

fn mask_partially(
    options: &Partial,
    kind: Kind,
    raw: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), MaskError> {
    match kind {
        Kind::Text => {
            let [b'"', inner @ .., b'"'] = raw else { return Err(MaskError::NotJson) };
            if !partial::write_plain(options, inner, out) {
                partial::write(options, &decode(raw)?, out);
            }
        }
        // A phone number may well be a number; its digits are masked as text would be.
        Kind::Number => {
            let digits = simdutf8::basic::from_utf8(raw).map_err(|_| MaskError::NotJson)?;
            partial::write(options, digits, out);
        }
        // No part of these is a part that anyone has asked to see.
        Kind::Bool | Kind::Container | Kind::Null => out.extend_from_slice(b"\"[REDACTED]\""),
    }
    Ok(())
}

fn json_string(text: &str) -> Box<[u8]> {
    let mut written = Vec::new();
    push_string(text, &mut written);
    written.into_boxed_slice()
}

fn json_replacement(replacement: &JsonReplacement) -> Box<[u8]> {
    match replacement {
        JsonReplacement::Null => Box::from(*b"null"),
        JsonReplacement::Bool(value) => value.to_string().into_bytes().into_boxed_slice(),
        JsonReplacement::Integer(number) => number.to_string().into_bytes().into_boxed_slice(),
        JsonReplacement::Text(text) => json_string(text),
        JsonReplacement::EmptyList => Box::from(*b"[]"),
        JsonReplacement::EmptyObject => Box::from(*b"{}"),
    }
}

/// Appends `bytes` in `encoding`, without an allocation of its own.
pub(super) fn push_encoded(encoding: &Encoding, bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + encoding.encode_len(bytes.len()), 0);
    if let Some(place) = out.get_mut(start..) {
        encoding.encode_mut(bytes, place);
    }
}
