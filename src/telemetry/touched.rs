//! What a policy did to one field of an answer, and which of its rules said so.
//!
//! Pure. Names of fields and rules come from the policies, never from a body.

use std::sync::Arc;

/// Most rules that are told of one answer.
const MOST_TOLD: usize = 256;

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

/// What one rule does to one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRule {
    /// The field, as the policies write its path; `*` where a default speaks of all the others.
    pub field: Arc<str>,
    /// What it does.
    pub act: Act,
    /// The rule by its stable name, see [`rule_name`]; empty where no rule forbade anything.
    pub rule: Arc<str>,
    /// Where the rule stands: `file:line`; empty where there is none.
    pub origin: Arc<str>,
}

/// What became of the fields of an answer.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    rules: Option<Arc<[FieldRule]>>,
    counts: Vec<u64>,
}

impl Touched {
    /// Each rule that could be met, and how many values it was met by, in all records of the answer.
    #[must_use]
    pub fn new(rules: Arc<[FieldRule]>, counts: Vec<u64>) -> Self {
        Self { rules: Some(rules), counts }
    }

    /// The rules that were met, and how often; the first hundreds of them.
    pub fn met(&self) -> impl Iterator<Item = (&FieldRule, u64)> {
        let rules = self.rules.iter().flat_map(|rules| rules.iter());
        rules.zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0).take(MOST_TOLD)
    }
}

/// The name of a rule that stays the same when lines move: `sales_rep:$.email` for a role's entry,
/// `sales_rep:default` for its default, `*:$..ssn` for an entry that holds for everybody.
#[must_use]
pub fn rule_name(role: Option<&str>, path: Option<&str>) -> String {
    format!("{}:{}", role.unwrap_or("*"), path.unwrap_or("default"))
}
