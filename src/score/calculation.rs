//! Inputs to score. The one floor is taken of the exact sum.

use std::fmt;
use std::sync::Arc;

use time::OffsetDateTime;

use super::component::{Component, ComponentName};
use super::explanation::{
    ActivityReason, AgeReason, Explanation, Filled, InWords, KnownStatus, StatusReason,
};
use super::inputs::{CountSeen, DateSeen, Inputs, StatusSeen, milliseconds};
use super::kept::KeptComponent;
use super::moment::DAY;
use super::number::{Fraction, Thousandths};
use super::plan::{ScoringPlan, SignalSlot, Slots};
use super::quality::Quality;
use super::rules::Activities;
use super::{FULL_ACTIVITIES, VERSION};

/// The score of one lead at one moment.
#[derive(Debug, Clone)]
pub struct Score {
    total: u8,
    components: [Component; 6],
    calculated_at: OffsetDateTime,
    words: Words,
}

/// Where the words of the explanations are.
#[derive(Debug, Clone)]
pub(super) enum Words {
    /// In the plan that it was made by.
    Plan(Arc<ScoringPlan>),
    /// In a store.
    Kept(Arc<[KeptComponent; 6]>),
}

impl Words {
    fn kept(&self, name: ComponentName) -> Option<&KeptComponent> {
        match self {
            Self::Plan(_) => None,
            Self::Kept(components) => components.get(name as usize),
        }
    }

    /// The fields of the record that a component rests on.
    pub(super) fn rests_on(&self, name: ComponentName) -> Vec<String> {
        match self {
            Self::Plan(plan) => plan.paths_of(name).map(|path| path.as_str().to_owned()).collect(),
            Self::Kept(_) => self.kept(name).map_or_else(Vec::new, |kept| kept.rests_on.clone()),
        }
    }

    /// Whether a component rests on activities outside of the record.
    pub(super) fn rests_elsewhere(&self, name: ComponentName) -> bool {
        match self {
            Self::Plan(plan) => name == ComponentName::RecentActivity && plan.counts_elsewhere(),
            Self::Kept(_) => self.kept(name).is_some_and(|kept| kept.rests_elsewhere),
        }
    }
}

/// An explanation in words.
struct Explained<'a> {
    words: &'a Words,
    component: Component,
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Component { name, explanation, .. } = self.component;
        match self.words {
            Words::Plan(plan) => InWords { explanation, plan }.fmt(formatter),
            Words::Kept(_) => {
                formatter.write_str(self.words.kept(name).map_or("", |kept| &kept.explanation))
            }
        }
    }
}

impl Score {
    /// Scores a lead. `elsewhere` counts where the rules say that activities stand outside of the
    /// record; a record that tells its own is asked itself.
    #[must_use]
    pub fn of(
        plan: &Arc<ScoringPlan>,
        inputs: &Inputs,
        elsewhere: Activities,
        now: OffsetDateTime,
    ) -> Self {
        let mut sum = 0;
        let components = ComponentName::ALL.map(|name| {
            let (fraction, explanation) = match name {
                ComponentName::Status => status(plan, inputs),
                ComponentName::RecentActivity => recent_activity(plan, inputs, elsewhere),
                ComponentName::Age => age(inputs, now),
                ComponentName::Completeness => completeness(plan, inputs),
                ComponentName::Engagement => {
                    let (fraction, filled) = signals(&plan.engagement, inputs.filled, 1);
                    (fraction, Explanation::Engagement(filled))
                }
                ComponentName::CustomFields => {
                    let (fraction, filled) = signals(&plan.custom_fields, inputs.filled, 100);
                    (fraction, Explanation::CustomFields(filled))
                }
            };
            let weight = plan.weights.of(name);
            sum += fraction.scaled(weight, plan.common);
            let contribution = fraction.of_weight(weight);
            Component { name, weight, factor: fraction.cut(), contribution, explanation }
        });
        let total = (sum / (plan.common * 1000)).min(100);
        Self {
            total: u8::try_from(total).unwrap_or(100),
            components,
            calculated_at: now,
            words: Words::Plan(Arc::clone(plan)),
        }
    }

    pub(super) fn from_parts(
        total: u8,
        components: [Component; 6],
        calculated_at: OffsetDateTime,
        words: Words,
    ) -> Self {
        Self { total, components, calculated_at, words }
    }

    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    /// From 0 to 100.
    #[must_use]
    pub fn total(&self) -> u8 {
        self.total
    }

    /// What the total means.
    #[must_use]
    pub fn quality(&self) -> Quality {
        Quality::of(self.total)
    }

    /// What to do about it.
    #[must_use]
    pub fn recommendation(&self) -> &'static str {
        self.quality().recommendation()
    }

    /// All six, in their order.
    #[must_use]
    pub fn components(&self) -> &[Component; 6] {
        &self.components
    }

    /// A component's explanation in words.
    #[must_use]
    pub fn explain(&self, component: &Component) -> impl fmt::Display {
        Explained { words: &self.words, component: *component }
    }

    /// The three largest contributions; fewer where fewer contribute anything. Of equal ones the
    /// first in the order of the components.
    #[must_use]
    pub fn top_factors(&self) -> Vec<ComponentName> {
        let mut factors: Vec<&Component> = self.components.iter().collect();
        factors.sort_by_key(|component| std::cmp::Reverse(component.contribution));
        let contributing = factors.iter().filter(|component| component.contribution.count() > 0);
        contributing.take(3).map(|component| component.name).collect()
    }

    /// The moment that it is for.
    #[must_use]
    pub fn calculated_at(&self) -> OffsetDateTime {
        self.calculated_at
    }

    /// How it was counted.
    #[must_use]
    pub fn version(&self) -> &'static str {
        VERSION
    }
}

fn status(plan: &ScoringPlan, inputs: &Inputs) -> (Fraction, Explanation) {
    let (fraction, reason) = match inputs.status {
        StatusSeen::Known(status) => {
            let factor = Fraction::thousandths(plan.status_factor(status));
            (factor, StatusReason::Known(KnownStatus(status)))
        }
        StatusSeen::Unknown => (Fraction::thousandths(plan.unknown_status), StatusReason::Unknown),
        StatusSeen::Missing => (Fraction::NONE, StatusReason::Missing),
        StatusSeen::NotAWord => (Fraction::NONE, StatusReason::NotAWord),
    };
    (fraction, Explanation::Status(reason))
}

fn recent_activity(
    plan: &ScoringPlan,
    inputs: &Inputs,
    elsewhere: Activities,
) -> (Fraction, Explanation) {
    let activities = inputs.activities(plan).unwrap_or(elsewhere);
    let reason = match inputs.count {
        CountSeen::Unreadable => ActivityReason::Unreadable,
        CountSeen::Missing if plan.count.is_some() => ActivityReason::Missing,
        CountSeen::Missing | CountSeen::Count(_) => {
            ActivityReason::Counted { count: activities.count, source: activities.source }
        }
    };
    (Fraction::capped(activities.count, FULL_ACTIVITIES), Explanation::Activities(reason))
}

/// A lead of up to a day ahead is new: clocks differ, and a date without a time may be tomorrow's
/// elsewhere. Further ahead the date is wrong, and proves nothing.
fn age(inputs: &Inputs, now: OffsetDateTime) -> (Fraction, Explanation) {
    let (fraction, reason) = match inputs.created_at {
        DateSeen::Missing => (Fraction::NONE, AgeReason::Missing),
        DateSeen::Unreadable => (Fraction::NONE, AgeReason::Unreadable),
        DateSeen::At(moment) => match (milliseconds(now) - moment).div_euclid(DAY) {
            ..-1 => (Fraction::NONE, AgeReason::Future),
            days => {
                let days = days.max(0);
                let factor = match days {
                    ..=7 => 1000,
                    8..=30 => 800,
                    31..=90 => 500,
                    _ => 200,
                };
                (Fraction::thousandths(Thousandths::new(factor)), AgeReason::Days(days))
            }
        },
    };
    (fraction, Explanation::Age(reason))
}

fn completeness(plan: &ScoringPlan, inputs: &Inputs) -> (Fraction, Explanation) {
    let money = inputs.filled_money.both(plan.money);
    let filled = Filled::tracked(plan, inputs.filled.without(plan.money).with(money));
    (Fraction::capped(filled.filled, filled.of), Explanation::Completeness(filled))
}

/// The sum of the weights of those signals that are there, of `full`.
fn signals(signals: &[SignalSlot], seen: Slots, full: u32) -> (Fraction, Filled) {
    let there = signals.iter().filter(|signal| seen.has(signal.slot));
    let sum = there.fold(0_u32, |sum, signal| sum.saturating_add(signal.weight.count()));
    (Fraction::capped(sum, full * 1000), Filled::signals(signals, seen))
}
