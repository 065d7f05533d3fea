//! The five masking strategies and the keys they use.
//!
//! Pure: randomness and keys are arguments. Knows JSON text, but no paths, roles or routes.

mod strategy;

pub use strategy::{JsonReplacement, Partial, Strategy};
