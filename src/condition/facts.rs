//! What a condition is held against, and what comes of it.

use super::field::Side;
use super::value::Value;
use crate::json::path::FieldPath;

/// Where a condition finds the values of fields.
pub trait Facts {
    /// The value at a path of one side. A list on the way is a field that is missing.
    fn look_up(&self, side: Side, path: &FieldPath) -> Fact<'_>;
}

/// What is known of one field.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<'a> {
    /// It has this value, perhaps `null`.
    Known(Value<'a>),
    /// There is no such member, and that is known.
    Missing,
    /// Nobody saw it.
    Unknown,
}

impl<'a> Fact<'a> {
    /// The value of a JSON text. A text that is none, or has a member twice, tells nothing.
    #[must_use]
    pub fn from_json(text: &'a str) -> Self {
        Value::parse(text).map_or(Self::Unknown, Self::Known)
    }
}

/// What a condition says, where not everything is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It depends on what nobody saw.
    Unknown,
}

impl Truth {
    /// Whether it certainly holds.
    #[must_use]
    pub fn is_true(self) -> bool {
        self == Self::True
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }
}
