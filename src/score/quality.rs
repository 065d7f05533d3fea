//! What a total means, and what to do about it.

use std::fmt;

/// How hot a lead is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// 0 to 39.
    Cold,
    /// 40 to 59.
    Cool,
    /// 60 to 79.
    Warm,
    /// 80 to 100.
    Hot,
}

impl Quality {
    /// Every quality, the hottest first.
    pub const ALL: [Self; 4] = [Self::Hot, Self::Warm, Self::Cool, Self::Cold];

    /// The quality of a total.
    #[must_use]
    pub const fn of(total: u8) -> Self {
        match total {
            80.. => Self::Hot,
            60..=79 => Self::Warm,
            40..=59 => Self::Cool,
            0..=39 => Self::Cold,
        }
    }

    /// The word in headers, answers and metric labels.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hot => "HOT",
            Self::Warm => "WARM",
            Self::Cool => "COOL",
            Self::Cold => "COLD",
        }
    }

    /// What to do about such a lead.
    #[must_use]
    pub const fn recommendation(self) -> &'static str {
        match self {
            Self::Hot => "contact immediately, high priority",
            Self::Warm => "schedule a follow-up within 24 hours",
            Self::Cool => "add to a nurture campaign",
            Self::Cold => "consider disqualifying, or long-term nurture",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_quality_ends() {
        let expect = [
            (0, "COLD"),
            (39, "COLD"),
            (40, "COOL"),
            (59, "COOL"),
            (60, "WARM"),
            (79, "WARM"),
            (80, "HOT"),
            (100, "HOT"),
        ];
        for (total, word) in expect {
            assert_eq!(Quality::of(total).word(), word, "{total}");
        }
    }
}
