//! JSON as bytes: a push tokenizer, path automata and the splicing filter.
//!
//! Pure: no clock, no I/O, no logging. Knows nothing of roles or masks: what to do with a value is
//! told by a [`Navigator`](navigate::Navigator), how to replace it by a
//! [`Replacer`](filter::Replacer).

pub mod automaton;
pub mod filter;
mod held;
pub mod navigate;
mod observe;
pub mod path;
mod scan;
mod select;
pub mod text;
pub mod tokenizer;

pub use self::select::{Selection, select};

use thiserror::Error;

/// Why a text is refused. Never carries a byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// Not UTF-8.
    #[error("the text is not valid UTF-8")]
    InvalidUtf8,
    /// Not JSON (RFC 8259), at any place.
    #[error("the text is not valid JSON")]
    InvalidJson,
    /// More than [`tokenizer::MAX_DEPTH`] arrays and objects inside each other.
    #[error("arrays and objects are nested too deep")]
    TooDeep,
    /// The text ended in the middle.
    #[error("the JSON text ended early")]
    Truncated,
    /// A member name, or the white space around one, is longer than any real one.
    #[error("a member name is too long")]
    NameTooLong,
    /// A value that must be replaced is longer than the limit.
    #[error("a value to mask is longer than the limit")]
    ValueTooLong,
    /// A record that must be held whole is longer than the limit.
    #[error("a record to hold is longer than the limit")]
    RecordTooLong,
    /// A record that must be held whole has a member name twice, so no expression over it is sure.
    #[error("a held record has a member name twice")]
    AmbiguousRecord,
    /// The replacement could not be made.
    #[error("a value could not be masked")]
    ReplacementFailed,
}
