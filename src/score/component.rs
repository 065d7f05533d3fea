//! The six components of a score.

use super::explanation::Explanation;
use super::number::{Hundredths, Thousandths};

/// The name of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentName {
    /// What the status says.
    Status,
    /// How many activities the last 30 days saw.
    RecentActivity,
    /// How old the lead is.
    Age,
    /// How many of the tracked fields are filled.
    Completeness,
    /// Mails opened, links clicked, forms sent.
    Engagement,
    /// Fields of the company's own.
    CustomFields,
}

impl ComponentName {
    /// Every component, in the order in which scores are told.
    pub const ALL: [Self; 6] = [
        Self::Status,
        Self::RecentActivity,
        Self::Age,
        Self::Completeness,
        Self::Engagement,
        Self::CustomFields,
    ];

    /// The name in policies and answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::RecentActivity => "recent_activity",
            Self::Age => "age",
            Self::Completeness => "completeness",
            Self::Engagement => "engagement",
            Self::CustomFields => "custom_fields",
        }
    }

    /// The name in headers.
    #[must_use]
    pub const fn short_word(self) -> &'static str {
        match self {
            Self::RecentActivity => "activity",
            Self::Status
            | Self::Age
            | Self::Completeness
            | Self::Engagement
            | Self::CustomFields => self.word(),
        }
    }

    /// The component of a name in policies and answers.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Some of the six.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ComponentSet(u8);

impl ComponentSet {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(0b11_1111);

    /// These and one more.
    #[must_use]
    pub const fn with(self, name: ComponentName) -> Self {
        Self(self.0 | name.bit())
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub const fn has(self, name: ComponentName) -> bool {
        self.0 & name.bit() != 0
    }
}

impl FromIterator<ComponentName> for ComponentSet {
    fn from_iter<I: IntoIterator<Item = ComponentName>>(names: I) -> Self {
        names.into_iter().fold(Self::NONE, Self::with)
    }
}

/// One component of one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Which one.
    pub name: ComponentName,
    /// The most that it can contribute.
    pub weight: Thousandths,
    /// How much of the weight, from 0 to 1, cut after the third decimal.
    pub factor: Thousandths,
    /// Factor times weight, cut after the second decimal. The total is made of what is uncut.
    pub contribution: Hundredths,
    /// Why.
    pub explanation: Explanation,
}
