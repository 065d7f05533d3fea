//! The lead score, version 2: components, quality, recommendation, explanation.
//!
//! Pure: the record, its activities, the company's rules and the time are arguments. Keeps no value
//! of the record: what an input says is understood when it is seen, and only that is kept. So no
//! explanation can repeat what a role may not see; what one rests on is known, and a
//! [`Rendering`] folds it away.

mod calculation;
mod component;
mod explanation;
mod headers;
mod inputs;
mod json_form;
mod kept;
mod moment;
mod number;
mod plan;
mod quality;
mod record;
mod rendering;
mod rules;
mod value;

pub use calculation::Score;
pub use component::{Component, ComponentName, ComponentSet};
pub use explanation::{ActivityReason, AgeReason, Explanation, Filled, KnownStatus, StatusReason};
pub use headers::{HeaderNames, ListHeader, ScoreHeader};
pub use inputs::Inputs;
pub use kept::{Kept, KeptComponent};
pub use moment::{DateForm, Zone};
pub use number::{Hundredths, Thousandths};
pub use plan::{MOST_INPUTS, RulesDigest, ScoringPlan, Slot, TooManyInputs, Visible};
pub use quality::Quality;
pub use rendering::{Disclosure, Line, LineName, Rendering};
pub use rules::{
    Activities, ActivityRule, ActivitySource, FetchRule, InputPath, Rules, Signal, StatusFactor,
    Tracked, Weights,
};

/// What [`Score`] calls its way of counting.
pub const VERSION: &str = "v2";

/// Activities older than this do not count.
pub const ACTIVITY_DAYS: i64 = 30;

/// So many activities are as good as any number.
pub const FULL_ACTIVITIES: u32 = 10;

#[cfg(test)]
mod tests;
