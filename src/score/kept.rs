//! A score as a store keeps it, and back.
//!
//! Policies change while scores are kept, and what a component rests on changes with them. So a
//! kept score says itself what it rested on; who may see it is decided by that, not by the plan of
//! the day.

use std::sync::Arc;

use time::OffsetDateTime;

use super::calculation::{Score, Words};
use super::component::{Component, ComponentName, ComponentSet};
use super::explanation::Explanation;
use super::number::{Hundredths, Thousandths};
use crate::json::path::FieldPath;

/// A score in plain words and numbers. Holds no value of the record, but names of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// From 0 to 100.
    pub total: u8,
    /// The moment that it is for.
    pub calculated_at: OffsetDateTime,
    /// All six, in their order.
    pub components: [KeptComponent; 6],
}

/// A component in plain words and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptComponent {
    /// Which one.
    pub name: ComponentName,
    /// The most that it could contribute.
    pub weight: Thousandths,
    /// How much of the weight, from 0 to 1.
    pub factor: Thousandths,
    /// What it contributed.
    pub contribution: Hundredths,
    /// Why.
    pub explanation: String,
    /// The fields of the record that it rested on, as paths.
    pub rests_on: Vec<String>,
    /// It rested on activities outside of the record.
    pub rests_elsewhere: bool,
}

impl Kept {
    /// The components that rested on something that is not seen. `activities` says whether
    /// activities outside of the record are. A path that cannot be read is not seen.
    pub fn folded(
        &self,
        activities: bool,
        mut sees: impl FnMut(&FieldPath) -> bool,
    ) -> ComponentSet {
        let mut is_seen = |path: &String| FieldPath::parse(path).is_ok_and(|path| sees(&path));
        let folded = self.components.iter().filter(|component| {
            component.rests_elsewhere && !activities || !component.rests_on.iter().all(&mut is_seen)
        });
        folded.map(|component| component.name).collect()
    }
}

impl Score {
    /// The score to put into a store.
    #[must_use]
    pub fn keep(&self) -> Kept {
        let components = self.components().map(|component| KeptComponent {
            name: component.name,
            weight: component.weight,
            factor: component.factor,
            contribution: component.contribution,
            explanation: self.explain(&component).to_string(),
            rests_on: self.words().rests_on(component.name),
            rests_elsewhere: self.words().rests_elsewhere(component.name),
        });
        Kept { total: self.total(), calculated_at: self.calculated_at(), components }
    }

    /// The score that was kept. `None` where it is none: not all six in their order, or too much.
    #[must_use]
    pub fn recall(kept: &Kept) -> Option<Self> {
        let names = kept.components.each_ref().map(|component| component.name);
        if names != ComponentName::ALL || kept.total > 100 {
            return None;
        }
        let components = kept.components.each_ref().map(|component| Component {
            name: component.name,
            weight: component.weight,
            factor: component.factor,
            contribution: component.contribution,
            explanation: Explanation::Kept,
        });
        let words = Words::Kept(Arc::new(kept.components.clone()));
        Some(Self::from_parts(kept.total, components, kept.calculated_at, words))
    }
}
