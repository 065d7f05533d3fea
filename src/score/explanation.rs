//! Why a component contributes what it does.
//!
//! Holds counts, ages in days, names of fields and the policy's own word for a status; never a
//! value of the record. Each kind rests on the inputs of its one component and on nothing else, so
//! to fold the component is to fold the explanation.

use std::fmt;

use super::ACTIVITY_DAYS;
use super::plan::{ScoringPlan, SignalSlot, Slots};
use super::rules::ActivitySource;

/// Why a component contributes what it does. To be read with the plan that it was made by, which
/// knows the names: see [`Score::explain`](super::Score::explain).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explanation {
    /// Rests on the status. Names it as the policy does, which is the one thing here that stands
    /// for a value of the record.
    Status(StatusReason),
    /// Rests on the activities, or on the fields of the record that tell of them.
    Activities(ActivityReason),
    /// Rests on the date of creation.
    Age(AgeReason),
    /// Rests on every tracked field: that one is not among the missing says that it is filled.
    Completeness(Filled),
    /// Rests on every engagement signal.
    Engagement(Filled),
    /// Rests on every custom field that the rules name.
    CustomFields(Filled),
    /// Kept by a store, in words only.
    Kept,
}

/// What is known of the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusReason {
    /// One that the policy has a factor for.
    Known(KnownStatus),
    /// The policy has no factor for it; what it is is not said.
    Unknown,
    /// There is none.
    Missing,
    /// A list or an object stands there.
    NotAWord,
}

/// One of the statuses of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownStatus(pub(super) u8);

/// What is known of the activities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityReason {
    /// So many, and who says so.
    Counted {
        /// How many in the last 30 days.
        count: u32,
        /// Who says so.
        source: ActivitySource,
    },
    /// The record should tell how many and does not.
    Missing,
    /// What the record tells is no count.
    Unreadable,
}

/// What is known of the age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeReason {
    /// Whole days.
    Days(i64),
    /// There is no date.
    Missing,
    /// What stands there is no date, or a date in a form that is not declared.
    Unreadable,
    /// More than a day ahead.
    Future,
}

/// How many of some fields are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// How many are filled.
    pub filled: u32,
    /// Of how many.
    pub of: u32,
    slots: Slots,
}

impl Filled {
    pub(super) fn tracked(plan: &ScoringPlan, filled: Slots) -> Self {
        let slots = plan.tracked.both(filled);
        Self { filled: slots.count(), of: plan.tracked.count(), slots }
    }

    pub(super) fn signals(signals: &[SignalSlot], filled: Slots) -> Self {
        let mut found = Self { filled: 0, of: 0, slots: filled };
        for signal in signals {
            found.of += 1;
            found.filled += u32::from(filled.has(signal.slot));
        }
        found
    }
}

/// An explanation in words.
pub(super) struct InWords<'a> {
    pub(super) explanation: Explanation,
    pub(super) plan: &'a ScoringPlan,
}

impl fmt::Display for InWords<'_> {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.explanation {
            Explanation::Status(reason) => self.status(reason, text),
            Explanation::Activities(reason) => activities(reason, text),
            Explanation::Age(reason) => age(reason, text),
            Explanation::Completeness(Filled { of: 0, .. }) => {
                text.write_str("no field is tracked")
            }
            Explanation::Completeness(Filled { filled, of, slots }) => {
                write!(text, "{filled} of {of} fields filled")?;
                let missing = self.plan.tracked.without(slots);
                write_names("; missing ", self.plan.tracked_names(missing), text)
            }
            Explanation::Engagement(filled) => {
                self.signals(filled, &self.plan.engagement, "signals", text)
            }
            Explanation::CustomFields(filled) => {
                self.signals(filled, &self.plan.custom_fields, "custom fields", text)
            }
            // The words are with the score.
            Explanation::Kept => Ok(()),
        }
    }
}

impl InWords<'_> {
    fn status(&self, reason: StatusReason, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match reason {
            StatusReason::Known(KnownStatus(status)) => {
                write!(text, "status `{}`", self.plan.status_name(status))
            }
            StatusReason::Unknown => text.write_str("a status without a factor of its own"),
            StatusReason::Missing => text.write_str("no status"),
            StatusReason::NotAWord => text.write_str("the status is no word"),
        }
    }

    /// Names those that count.
    fn signals(
        &self,
        Filled { filled, of, slots }: Filled,
        signals: &[SignalSlot],
        what: &str,
        text: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        if of == 0 {
            return write!(text, "no {what} are configured");
        }
        write!(text, "{filled} of {of} {what}")?;
        write_names(": ", self.plan.signal_names(signals, slots), text)
    }
}

fn activities(reason: ActivityReason, text: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        ActivityReason::Counted { count, source } => {
            let noun = if count == 1 { "activity" } else { "activities" };
            let source = match source {
                ActivitySource::Record => "by the record",
                ActivitySource::Observed => "observed",
                ActivitySource::Fetched => "by the CRM",
                ActivitySource::None => return text.write_str("no activities are known"),
            };
            write!(text, "{count} {noun} in {ACTIVITY_DAYS} days, {source}")
        }
        ActivityReason::Missing => text.write_str("the record does not tell its activities"),
        ActivityReason::Unreadable => text.write_str("the number of activities is no count"),
    }
}

fn age(reason: AgeReason, text: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        AgeReason::Days(1) => text.write_str("1 day old"),
        AgeReason::Days(days) => write!(text, "{days} days old"),
        AgeReason::Missing => text.write_str("no date of creation"),
        AgeReason::Unreadable => text.write_str("the date of creation cannot be read"),
        AgeReason::Future => text.write_str("the date of creation lies in the future"),
    }
}

/// Names with `, ` between; nothing at all where there are none.
fn write_names<'a>(
    before: &str,
    names: impl Iterator<Item = &'a str>,
    text: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut between = before;
    for name in names {
        write!(text, "{between}`{name}`")?;
        between = ", ";
    }
    Ok(())
}
