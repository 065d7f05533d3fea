//! The field that a condition looks at: a dotted path, and whose.

use std::fmt;

use crate::json::path::{FieldPath, PathError};

/// Longest path of a field, in bytes.
const MAX_PATH: usize = 256;

/// Which record a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// As it was before the write.
    Old,
    /// As it is now.
    New,
}

impl Side {
    /// The prefix in policy files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

/// One field of one side.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Whose field.
    pub side: Side,
    /// Names with dots between them; walks objects only.
    pub path: FieldPath,
}

/// Why a text names no field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// Longer than any real one.
    #[error("the path of a field has more than {MAX_PATH} bytes")]
    TooLong,
    /// Not a dotted path.
    #[error("`{text}` is no dotted path: {error}")]
    NotDotted {
        /// As written.
        text: String,
        /// What is wrong with it.
        error: PathError,
    },
}

impl Field {
    /// Reads `stage`, `new.stage` or `old.stage`; without a side it is the new record's. A member
    /// that is itself called `old` or `new` needs its side: `new.old.stage`.
    ///
    /// # Errors
    /// Says why the text names no field.
    pub fn parse(text: &str) -> Result<Self, FieldFault> {
        let (side, path) = match text.split_once('.') {
            Some(("old", path)) => (Side::Old, path),
            Some(("new", path)) => (Side::New, path),
            Some(_) | None => (Side::New, text),
        };
        Self::of(side, path)
    }

    /// Reads a path where there is one record only: `old.stage` is a member of a member.
    ///
    /// # Errors
    /// Says why the text names no field.
    pub fn parse_plain(text: &str) -> Result<Self, FieldFault> {
        Self::of(Side::New, text)
    }

    fn of(side: Side, text: &str) -> Result<Self, FieldFault> {
        if text.len() > MAX_PATH {
            return Err(FieldFault::TooLong);
        }
        let path = FieldPath::parse_members(text)
            .map_err(|error| FieldFault::NotDotted { text: text.to_owned(), error })?;
        Ok(Self { side, path })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.side.word(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, &str>) {
        let seen = Field::parse(text).map(|field| field.to_string());
        let seen = seen.map_err(|fault| fault.to_string());
        let seen = seen.as_ref().map(String::as_str).map_err(String::as_str);
        assert_eq!(seen, expect);
    }

    #[test]
    fn sides() {
        check("stage", Ok("new.stage"));
        check("new.stage", Ok("new.stage"));
        check("old.stage", Ok("old.stage"));
        check("owner.email", Ok("new.owner.email"));
        check("old", Ok("new.old"));
        check("new.old.stage", Ok("new.old.stage"));
        check("older.stage", Ok("new.older.stage"));
        check("request.stage", Ok("new.request.stage"));
        assert_eq!(Field::parse_plain("old.stage").unwrap().to_string(), "new.old.stage");
    }

    #[test]
    fn faults() {
        check("", Err("`` is no dotted path: a path name is empty"));
        check("old.", Err("`` is no dotted path: a path name is empty"));
        check("a..b", Err("`a..b` is no dotted path: a path name is empty"));
        check("$.stage", Err("`$.stage` is no dotted path: `$` cannot stand in a dotted path"));
        check("a[0]", Err("`a[0]` is no dotted path: `[` cannot stand in a dotted path"));
        check(&"a".repeat(257), Err("the path of a field has more than 256 bytes"));
        assert!(Field::parse(&"a".repeat(256)).is_ok());
    }
}
