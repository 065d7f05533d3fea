//! A YAML document with the place of every key and value, and a checker that walks it.
//!
//! Deriving `Deserialize` stops at the first fault. People fix files faster when they see every
//! fault at once, so config and policy walk this tree instead and collect findings on the way.
//! Only a syntax error ends the reading early, for behind it nothing has a known meaning.
//!
//! What is read is a plain part of YAML 1.2: mappings with string keys, lists and scalars, with
//! anchors and aliases. Refused, because they make a file mean something else than it seems to:
//! duplicate keys, `<<` merges, tags other than `!!str`, several documents in one file, and
//! nesting or aliases without bounds.

mod check;
mod parse;
mod syntax;
#[cfg(test)]
mod tests;

pub use check::{Checker, Fields};
pub use parse::parse;

use crate::diagnostic::Span;

/// One value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where the value stands. A mapping or list that spreads over several lines is shown at its
    /// first key or item, a value left out at its key, and an alias where the alias is written.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// A YAML value; mappings keep their order.
///
/// Plain scalars mean what the YAML 1.2 core schema says (`yes` and `no` are strings), but for
/// one thing: a number with leading zeros is a string, since people write those as codes.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number; never infinite.
    Float(f64),
    /// A string.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping. No key occurs twice.
    Map(Vec<(Key, Node)>),
}

impl Value {
    /// The kind in words, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// A key of a mapping and where it stands.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where the key stands.
    pub span: Span,
    /// The key itself. A number or `true` used as a key is the text as written.
    pub name: String,
}
