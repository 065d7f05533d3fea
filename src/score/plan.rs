//! Rules compiled: every input has a slot, so that a record is looked at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::component::{ComponentName, ComponentSet};
use super::moment::{self, DateForm, Zone};
use super::number::{Thousandths, common_multiple};
use super::record::Tree;
use super::rules::{ActivityRule, InputPath, Rules, Signal, Weights};
use super::value::Raw;
use super::{FULL_ACTIVITIES, VERSION};
use crate::json::path::FieldPath;

/// Most different values of one record that a score looks at.
pub const MOST_INPUTS: usize = 40;

/// As much of a digest as tells rules apart.
const DIGEST_BYTES: usize = 16;

/// The number of an input, from nought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// The place in [`ScoringPlan::watched_paths`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    pub(super) const fn mask(self) -> Slots {
        Slots(1 << self.0)
    }
}

/// Some of the slots, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slots(pub(super) u64);

impl Slots {
    pub(super) const fn has(self, slot: Slot) -> bool {
        self.0 & slot.mask().0 != 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Never more than [`MOST_INPUTS`].
    pub(super) const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

/// The rules look at more values than [`MOST_INPUTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a score that looks at {0} fields, more than {MOST_INPUTS}")]
pub struct TooManyInputs(pub usize);

/// What a status is worth, under one of its words.
#[derive(Debug)]
struct StatusWord {
    word: Box<[u8]>,
    status: u8,
}

/// A field that counts when it is truthy.
#[derive(Debug)]
pub(super) struct SignalSlot {
    pub(super) slot: Slot,
    pub(super) weight: Thousandths,
}

/// Which of its inputs a set of roles sees unmasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Visible {
    slots: u64,
    activities: bool,
}

impl Visible {
    /// Nothing.
    pub const NONE: Self = Self { slots: 0, activities: false };

    /// Everything.
    pub const ALL: Self = Self { slots: u64::MAX, activities: true };

    /// The inputs that `sees` says yes to. `activities` is for activities that stand outside of
    /// the record: whether what tells their lead and time is seen.
    #[must_use]
    pub fn of(
        plan: &ScoringPlan,
        activities: bool,
        mut sees: impl FnMut(&FieldPath) -> bool,
    ) -> Self {
        let seen = plan.inputs().filter(|(_, path)| sees(path));
        let slots = seen.fold(0, |slots, (slot, _)| slots | slot.mask().0);
        Self { slots, activities }
    }
}

/// The compiled rules of one kind of lead and one company.
#[derive(Debug)]
pub struct ScoringPlan {
    watched: Vec<FieldPath>,
    pub(super) tree: Tree,
    pub(super) status: Option<Slot>,
    pub(super) created_at: Option<Slot>,
    pub(super) count: Option<Slot>,
    pub(super) moments: Option<Slot>,
    pub(super) zone: Zone,
    pub(super) date_forms: Vec<DateForm>,
    pub(super) activities: ActivityRule,
    pub(super) weights: Weights,
    words: Vec<StatusWord>,
    statuses: Vec<(String, Thousandths)>,
    pub(super) unknown_status: Thousandths,
    tracked_in_order: Vec<Slot>,
    pub(super) tracked: Slots,
    pub(super) money: Slots,
    pub(super) engagement: Vec<SignalSlot>,
    pub(super) custom_fields: Vec<SignalSlot>,
    /// What all denominators divide.
    pub(super) common: u64,
    digest: RulesDigest,
}

/// Which rules a score was calculated by: the same for the same rules, whenever they were compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesDigest(Arc<str>);

impl RulesDigest {
    /// Of the rules as they are written down here. Another version of Fieldgate may write them
    /// otherwise; then its scores count as calculated by other rules, and are calculated anew.
    fn of(rules: &Rules) -> Self {
        let digest = Sha256::digest(format!("{VERSION} {rules:?}"));
        let start = digest.iter().take(DIGEST_BYTES).copied().collect::<Vec<u8>>();
        Self(HEXLOWER.encode(&start).into())
    }

    /// One that was kept.
    #[must_use]
    pub fn recall(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives slots to paths, the same to the same.
#[derive(Default)]
struct Slotted {
    paths: Vec<InputPath>,
}

impl Slotted {
    fn slot(&mut self, path: &InputPath) -> Option<Slot> {
        let at = self.paths.iter().position(|known| known.is_same(path)).unwrap_or_else(|| {
            self.paths.push(path.clone());
            self.paths.len() - 1
        });
        // What does not fit is refused when all have been seen.
        u8::try_from(at).ok().filter(|at| usize::from(*at) < MOST_INPUTS).map(Slot)
    }

    fn signals(&mut self, signals: &[Signal]) -> Vec<SignalSlot> {
        let slots = signals.iter().filter_map(|signal| {
            Some(SignalSlot { slot: self.slot(&signal.path)?, weight: signal.weight })
        });
        slots.collect()
    }
}

impl ScoringPlan {
    /// Compiles rules.
    ///
    /// # Errors
    /// They look at too many fields.
    pub fn compile(rules: Rules) -> Result<Self, TooManyInputs> {
        let digest = RulesDigest::of(&rules);
        let mut slotted = Slotted::default();
        let status = rules.status.as_ref().and_then(|path| slotted.slot(path));
        let created_at = rules.created_at.as_ref().and_then(|path| slotted.slot(path));
        let mut tracked_in_order = Vec::new();
        let (mut tracked, mut money) = (Slots::default(), Slots::default());
        for field in &rules.tracked {
            let Some(slot) = slotted.slot(&field.path) else { continue };
            if tracked.has(slot) {
                continue;
            }
            tracked_in_order.push(slot);
            tracked = tracked.with(slot.mask());
            if field.is_money {
                money = money.with(slot.mask());
            }
        }
        let engagement = slotted.signals(&rules.engagement);
        let custom_fields = slotted.signals(&rules.custom_fields);
        let (count, moments) = match &rules.activities {
            ActivityRule::Count(path) => (slotted.slot(path), None),
            ActivityRule::Moments(path) => (None, slotted.slot(path)),
            ActivityRule::Nowhere | ActivityRule::Observed { .. } | ActivityRule::Fetch(_) => {
                (None, None)
            }
        };
        if slotted.paths.len() > MOST_INPUTS {
            return Err(TooManyInputs(slotted.paths.len()));
        }
        let mut tree = Tree::default();
        for (number, path) in (0..).zip(&slotted.paths) {
            tree.grow(path, Slot(number));
        }
        // Statuses, signals, activities and custom fields count in parts of 100,000.
        let common = common_multiple(100_000, u64::from(FULL_ACTIVITIES));
        let common = common_multiple(common, u64::from(tracked.count().max(1)));
        Ok(Self {
            watched: slotted.paths.iter().map(|path| path.path().clone()).collect(),
            tree,
            status,
            created_at,
            count,
            moments,
            zone: rules.zone,
            date_forms: rules.date_forms,
            activities: rules.activities,
            weights: rules.weights,
            words: status_words(&rules.statuses, &rules.aliases),
            statuses: rules
                .statuses
                .into_iter()
                .map(|status| (status.name, status.factor))
                .collect(),
            unknown_status: rules.unknown_status,
            tracked_in_order,
            tracked,
            money,
            engagement,
            custom_fields,
            common,
            digest,
        })
    }

    /// Which rules these are.
    #[must_use]
    pub fn digest(&self) -> &RulesDigest {
        &self.digest
    }

    /// The fields of a record that a score looks at, each in its slot. At most [`MOST_INPUTS`].
    #[must_use]
    pub fn watched_paths(&self) -> &[FieldPath] {
        &self.watched
    }

    /// The fields with their slots.
    pub fn inputs(&self) -> impl Iterator<Item = (Slot, &FieldPath)> {
        (0..).map(Slot).zip(&self.watched)
    }

    /// Where activities are counted.
    #[must_use]
    pub fn activity_rule(&self) -> &ActivityRule {
        &self.activities
    }

    /// The moment that the JSON text of a date says, read as the dates of its records are.
    #[must_use]
    pub fn moment(&self, text: &[u8]) -> Option<time::OffsetDateTime> {
        let moment = moment::read(&Raw::read(text), self.zone, &self.date_forms)?;
        time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(moment) * 1_000_000).ok()
    }

    /// What each component can contribute.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The version of its scores.
    #[must_use]
    pub const fn version(&self) -> &'static str {
        VERSION
    }

    /// The components that rest on something that is not seen.
    #[must_use]
    pub fn folded(&self, visible: Visible) -> ComponentSet {
        let rests_on_unseen = |name: &ComponentName| {
            self.rests_on(*name).without(Slots(visible.slots)) != Slots::default()
                || *name == ComponentName::RecentActivity
                    && self.counts_elsewhere()
                    && !visible.activities
        };
        ComponentName::ALL.into_iter().filter(rests_on_unseen).collect()
    }

    /// Whether activities stand outside of the record.
    #[must_use]
    pub fn counts_elsewhere(&self) -> bool {
        matches!(self.activities, ActivityRule::Observed { .. } | ActivityRule::Fetch(_))
    }

    /// The fields of the record that a component rests on.
    pub(super) fn paths_of(&self, name: ComponentName) -> impl Iterator<Item = &FieldPath> {
        let slots = self.rests_on(name);
        self.inputs().filter(move |(slot, _)| slots.has(*slot)).map(|(_, path)| path)
    }

    /// The inputs of a component.
    fn rests_on(&self, name: ComponentName) -> Slots {
        let one = |slot: Option<Slot>| slot.map_or(Slots::default(), Slot::mask);
        let all = |signals: &[SignalSlot]| {
            signals.iter().fold(Slots::default(), |all, signal| all.with(signal.slot.mask()))
        };
        match name {
            ComponentName::Status => one(self.status),
            ComponentName::RecentActivity => one(self.count).with(one(self.moments)),
            ComponentName::Age => one(self.created_at),
            ComponentName::Completeness => self.tracked,
            ComponentName::Engagement => all(&self.engagement),
            ComponentName::CustomFields => all(&self.custom_fields),
        }
    }

    /// The number of the status that a word means.
    pub(super) fn status_of(&self, word: &[u8]) -> Option<u8> {
        self.words
            .iter()
            .find(|known| known.word.eq_ignore_ascii_case(word))
            .map(|known| known.status)
    }

    pub(super) fn status_factor(&self, status: u8) -> Thousandths {
        self.statuses.get(usize::from(status)).map_or(self.unknown_status, |(_, factor)| *factor)
    }

    pub(super) fn status_name(&self, status: u8) -> &str {
        self.statuses.get(usize::from(status)).map_or("", |(name, _)| name)
    }

    /// The names of those of the tracked fields that are in `slots`, in their order.
    pub(super) fn tracked_names(&self, slots: Slots) -> impl Iterator<Item = &str> {
        let among = self.tracked_in_order.iter().filter(move |slot| slots.has(**slot));
        among.filter_map(|slot| Some(self.watched.get(slot.index())?.as_str()))
    }

    /// The names of those signals that are in `slots`, in their order.
    pub(super) fn signal_names<'a>(
        &'a self,
        signals: &'a [SignalSlot],
        slots: Slots,
    ) -> impl Iterator<Item = &'a str> {
        let among = signals.iter().filter(move |signal| slots.has(signal.slot));
        among.filter_map(|signal| Some(self.watched.get(signal.slot.index())?.as_str()))
    }
}

/// Every word for a status; a word of the CRM goes before a status of the same name.
fn status_words(
    statuses: &[super::rules::StatusFactor],
    aliases: &[(String, String)],
) -> Vec<StatusWord> {
    let number = |name: &str| {
        let at = statuses.iter().position(|status| status.name.eq_ignore_ascii_case(name))?;
        u8::try_from(at).ok()
    };
    let of_aliases = aliases.iter().map(|(word, status)| (word, number(status)));
    let of_statuses = statuses.iter().map(|status| (&status.name, number(&status.name)));
    let mut seen = BTreeSet::new();
    of_aliases
        .chain(of_statuses)
        .filter(|(word, _)| seen.insert(word.to_ascii_lowercase()))
        .filter_map(|(word, status)| {
            Some(StatusWord { word: word.as_bytes().into(), status: status? })
        })
        .collect()
}
