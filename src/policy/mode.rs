//! What a role may do with a field.

/// A permission mode, from the least to the most restrictive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Passes unchanged and may be written.
    Edit,
    /// Passes unchanged, may not be written.
    View,
    /// Replaced by the field's mask, may not be written.
    Mask,
    /// The member is removed; it may not be written, filtered on, sorted by or searched.
    Hidden,
}

impl Mode {
    /// Every mode with the word that policies use for it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("view", Self::View),
        ("mask", Self::Mask),
        ("hidden", Self::Hidden),
        ("edit", Self::Edit),
    ];

    /// The mode of a word in a policy file.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, mode)| *mode)
    }

    /// The word that policies use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::View => "view",
            Self::Mask => "mask",
            Self::Hidden => "hidden",
        }
    }
}

/// How the modes of several roles on one caller are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// The most restrictive wins; adding a role never reveals more.
    #[default]
    MostRestrictive,
    /// The least restrictive wins (`combine: union`).
    Union,
}
