//! What a record says, understood value by value as it passes by.
//!
//! Keeps no value: of a field it keeps whether it was filled, of a date the moment, of a status
//! which of the known ones it was.

use super::ACTIVITY_DAYS;
use super::moment::{self, DAY, Milliseconds};
use super::plan::{ScoringPlan, Slot, Slots};
use super::rules::{Activities, ActivitySource};
use super::value::Raw;

/// The inputs of one record.
#[derive(Debug, Clone, Copy)]
pub struct Inputs {
    pub(super) now: Milliseconds,
    present: Slots,
    pub(super) filled: Slots,
    pub(super) filled_money: Slots,
    pub(super) status: StatusSeen,
    pub(super) created_at: DateSeen,
    pub(super) count: CountSeen,
    recent: u32,
}

/// What stood where the status should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusSeen {
    /// Nothing, `null` or `""`.
    Missing,
    /// A list or an object.
    NotAWord,
    /// One that the rules know.
    Known(u8),
    /// One that they do not know.
    Unknown,
}

/// What stood where a date should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateSeen {
    Missing,
    Unreadable,
    At(Milliseconds),
}

/// What stood where a number of activities should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountSeen {
    Missing,
    Unreadable,
    Count(u32),
}

impl Inputs {
    /// Nothing seen yet of a record that is looked at at `now`.
    #[must_use]
    pub fn at(now: time::OffsetDateTime) -> Self {
        Self {
            now: milliseconds(now),
            present: Slots::default(),
            filled: Slots::default(),
            filled_money: Slots::default(),
            status: StatusSeen::Missing,
            created_at: DateSeen::Missing,
            count: CountSeen::Missing,
            recent: 0,
        }
    }

    /// Forgets the record, for the next one of the same answer.
    pub fn clear(&mut self) {
        *self = Self { now: self.now, ..Self::at(time::OffsetDateTime::UNIX_EPOCH) };
    }

    /// Whether two records said the same, as far as a score looks at them, whenever that was.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        (self.present, self.filled, self.filled_money)
            == (other.present, other.filled, other.filled_money)
            && (self.status, self.created_at, self.count, self.recent)
                == (other.status, other.created_at, other.count, other.recent)
    }

    /// Takes the text of a value that was found at the path of `slot`. Where a path finds several,
    /// the first filled one counts; of activities, each.
    pub fn see(&mut self, plan: &ScoringPlan, slot: Slot, text: &[u8]) {
        let value = Raw::read(text);
        if plan.moments == Some(slot) {
            self.see_moment(plan, &value);
        }
        if self.filled.has(slot) {
            return;
        }
        self.present = self.present.with(slot.mask());
        if value.is_filled() {
            self.filled = self.filled.with(slot.mask());
        }
        if plan.money.has(slot) && value.is_filled_money() {
            self.filled_money = self.filled_money.with(slot.mask());
        }
        if plan.status == Some(slot) {
            self.status = status(plan, &value);
        }
        if plan.created_at == Some(slot) {
            self.created_at = date(plan, &value);
        }
        if plan.count == Some(slot) {
            self.count = match (&value, value.count()) {
                (Raw::Null, _) => CountSeen::Missing,
                (_, Some(count)) => CountSeen::Count(count),
                (_, None) => CountSeen::Unreadable,
            };
        }
    }

    /// Future ones are plans, not activities.
    fn see_moment(&mut self, plan: &ScoringPlan, value: &Raw<'_>) {
        let moment = moment::read(value, plan.zone, &plan.date_forms);
        if moment.is_some_and(|moment| is_recent(moment, self.now)) {
            self.recent = self.recent.saturating_add(1);
        }
    }

    /// What the record itself says of its activities; `None` where the rules count elsewhere.
    pub(super) fn activities(&self, plan: &ScoringPlan) -> Option<Activities> {
        let count = if plan.moments.is_some() {
            self.recent
        } else {
            plan.count?;
            match self.count {
                CountSeen::Count(count) => count,
                CountSeen::Missing | CountSeen::Unreadable => 0,
            }
        };
        Some(Activities { count, source: ActivitySource::Record })
    }
}

/// Whether a moment lies in the last [`ACTIVITY_DAYS`] days.
fn is_recent(moment: Milliseconds, now: Milliseconds) -> bool {
    (0..=ACTIVITY_DAYS * DAY).contains(&(now - moment))
}

pub(super) fn milliseconds(moment: time::OffsetDateTime) -> Milliseconds {
    moment.unix_timestamp() * 1000 + i64::from(moment.millisecond())
}

fn status(plan: &ScoringPlan, value: &Raw<'_>) -> StatusSeen {
    let word = match value {
        Raw::Null => return StatusSeen::Missing,
        Raw::Container { .. } => return StatusSeen::NotAWord,
        Raw::Bool(true) => b"true".as_slice(),
        Raw::Bool(false) => b"false",
        Raw::Number(digits) => digits.as_bytes(),
        Raw::Text(text) => text.trim_ascii(),
    };
    match plan.status_of(word) {
        Some(status) => StatusSeen::Known(status),
        None if word.is_empty() => StatusSeen::Missing,
        None => StatusSeen::Unknown,
    }
}

fn date(plan: &ScoringPlan, value: &Raw<'_>) -> DateSeen {
    match value {
        Raw::Null => DateSeen::Missing,
        Raw::Text(text) if text.trim_ascii().is_empty() => DateSeen::Missing,
        Raw::Bool(_) | Raw::Number(_) | Raw::Text(_) | Raw::Container { .. } => {
            moment::read(value, plan.zone, &plan.date_forms)
                .map_or(DateSeen::Unreadable, DateSeen::At)
        }
    }
}
