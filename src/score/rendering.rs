//! A score as one set of roles may see it.
//!
//! A component that rests on a field which is masked or hidden for the roles is never named; all
//! such components are one number, `other`. What that cannot hide is the number itself: the total
//! is there, and so is every other contribution. Where even that is too much, a policy buckets the
//! score or withholds it.

use std::fmt;

use time::OffsetDateTime;

use super::calculation::Score;
use super::component::{Component, ComponentName, ComponentSet};
use super::headers::rfc_3339;
use super::number::{Hundredths, Thousandths};
use super::quality::Quality;

/// How much of a score a role gets, from the most to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum Disclosure {
    /// Total, quality and components.
    #[default]
    Full,
    /// Quality and recommendation, no number.
    Bucket,
    /// Nothing.
    Withhold,
}

impl Disclosure {
    /// Every disclosure with the word that policies use for it.
    pub const ALL: [(&'static str, Self); 3] =
        [("full", Self::Full), ("bucket", Self::Bucket), ("withhold", Self::Withhold)];
}

/// The name of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineName {
    /// A component that may be named.
    Component(ComponentName),
    /// All components that may not.
    Other,
}

impl LineName {
    /// The name in answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Component(name) => name.word(),
            Self::Other => "other",
        }
    }

    /// The name in headers.
    #[must_use]
    pub const fn short_word(self) -> &'static str {
        match self {
            Self::Component(name) => name.short_word(),
            Self::Other => "other",
        }
    }
}

/// One line of a score that is told.
#[derive(Debug, Clone, Copy)]
pub struct Line<'s> {
    /// Its name.
    pub name: LineName,
    /// The most that it can contribute.
    pub weight: Thousandths,
    /// What it contributes.
    pub contribution: Hundredths,
    why: Option<(&'s Score, &'s Component)>,
}

impl fmt::Display for Line<'_> {
    /// The explanation.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Some((score, component)) => score.explain(component).fmt(formatter),
            None => formatter.write_str("rests on fields that are masked or hidden here"),
        }
    }
}

/// A score as one set of roles may see it.
#[derive(Debug, Clone, Copy)]
#[must_use = "a score that nobody is told"]
pub struct Rendering<'s> {
    score: &'s Score,
    is_bucket: bool,
    folded: ComponentSet,
}

impl<'s> Rendering<'s> {
    /// `folded` are the components that rest on what the roles do not see, as
    /// [`ScoringPlan::folded`](super::ScoringPlan::folded) tells. `None` where the score is
    /// withheld.
    #[must_use]
    pub fn of(score: &'s Score, disclosure: Disclosure, folded: ComponentSet) -> Option<Self> {
        let is_bucket = match disclosure {
            Disclosure::Full => false,
            Disclosure::Bucket => true,
            Disclosure::Withhold => return None,
        };
        Some(Self { score, is_bucket, folded })
    }

    /// From 0 to 100; `None` where only the quality is told.
    #[must_use]
    pub fn total(&self) -> Option<u8> {
        (!self.is_bucket).then_some(self.score.total())
    }

    /// Whether all of the score is told.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.is_bucket && self.folded == ComponentSet::NONE
    }

    /// Whether two scores look the same here, whenever they were calculated and whatever stands in
    /// their explanations.
    #[must_use]
    pub fn looks_like(&self, other: &Self) -> bool {
        let numbers = |line: Line<'_>| (line.name, line.weight, line.contribution);
        self.total() == other.total()
            && self.quality() == other.quality()
            && self.lines().map(numbers).eq(other.lines().map(numbers))
    }

    /// What the total means.
    #[must_use]
    pub fn quality(&self) -> Quality {
        self.score.quality()
    }

    /// What to do about it.
    #[must_use]
    pub fn recommendation(&self) -> &'static str {
        self.score.recommendation()
    }

    /// The moment that it is for.
    #[must_use]
    pub fn calculated_at(&self) -> OffsetDateTime {
        self.score.calculated_at()
    }

    /// That moment as answers write it: RFC 3339, in UTC, cut to the second.
    #[must_use]
    pub fn moment(&self) -> String {
        rfc_3339(self.calculated_at())
    }

    /// How it was counted.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.score.version()
    }

    /// The components that may be named, in their order, and `other` at the end where some may
    /// not. None where only the quality is told.
    pub fn lines(&self) -> impl Iterator<Item = Line<'s>> + use<'s> {
        let Self { score, is_bucket, folded } = *self;
        let told = if is_bucket { &[][..] } else { score.components() };
        let other = told.iter().filter(|component| folded.has(component.name)).fold(
            None,
            |other: Option<Line<'s>>, component| {
                let (weight, contribution) =
                    other.map_or_else(Default::default, |line| (line.weight, line.contribution));
                Some(Line {
                    name: LineName::Other,
                    weight: Thousandths::new(weight.count() + component.weight.count()),
                    contribution: contribution.plus(component.contribution),
                    why: None,
                })
            },
        );
        let named = told.iter().filter(move |component| !folded.has(component.name));
        let named = named.map(move |component| Line {
            name: LineName::Component(component.name),
            weight: component.weight,
            contribution: component.contribution,
            why: Some((score, component)),
        });
        named.chain(other)
    }

    /// The names of the three largest lines; fewer where fewer contribute anything. Of equal ones
    /// the first, `other` last.
    #[must_use]
    pub fn top_factors(&self) -> Vec<LineName> {
        let mut lines: Vec<Line<'_>> =
            self.lines().filter(|line| line.contribution.count() > 0).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.contribution));
        lines.iter().take(3).map(|line| line.name).collect()
    }
}
