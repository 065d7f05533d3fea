//! The five masking strategies and the keys they use.
//!
//! Pure but for [`load`], which reads a key ring file: randomness and keys are arguments. Knows
//! JSON text, but no paths, roles or routes. Refuses to mask with a key it does not have: there is
//! no unkeyed fallback, and a value that cannot be masked is an error, never an output.

mod binding;
mod encrypt;
mod error;
mod hash;
mod json_text;
mod masker;
mod nonce;
mod partial;
mod recognise;
mod ring;
mod strategy;
mod tokenize;
mod vault;

#[cfg(test)]
mod tests;

pub use error::MaskError;
pub use masker::Masker;
pub use nonce::NonceSequence;
pub use recognise::{Recognised, may_be_mask};
pub use ring::{EditError, KeyFacts, KeyId, KeyIdError, KeyRing, SecretError, SecretSource, load};
pub use strategy::{JsonReplacement, Partial, Strategy};
pub use vault::{Minted, VaultToken};
