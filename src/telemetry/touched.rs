//! What a policy did to one field of an answer, and which of its rules said so.
//!
//! Pure. Names of fields and rules come from the policies, never from a body.

use std::sync::Arc;

/// What became of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// It was sent as it is.
    Shown,
    /// Its value was replaced.
    Masked,
    /// Its member was removed.
    Hidden,
}

impl Act {
    /// Every act with the word for it.
    pub const ALL: [(&'static str, Self); 3] =
        [("shown", Self::Shown), ("masked", Self::Masked), ("hidden", Self::Hidden)];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Masked => "masked",
            Self::Hidden => "hidden",
        }
    }
}

/// One field of an answer and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The field, as the policies write its path.
    pub field: Arc<str>,
    /// What became of it.
    pub act: Act,
    /// How many values, in all records of the answer.
    pub count: u64,
    /// The rule by its stable name, see [`rule_name`].
    pub rule: Arc<str>,
    /// Where the rule stands: `file:line`.
    pub origin: Arc<str>,
}

/// The name of a rule that stays the same when lines move: `sales_rep:$.email` for a role's entry,
/// `sales_rep:default` for its default, `*:$..ssn` for an entry that holds for everybody.
#[must_use]
pub fn rule_name(role: Option<&str>, path: Option<&str>) -> String {
    format!("{}:{}", role.unwrap_or("*"), path.unwrap_or("default"))
}
