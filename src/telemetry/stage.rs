//! The stages of a request on the street, and when each began and ended.
//!
//! Pure. The list is closed: a stage is a variant here, and what else is told of it follows.

use std::time::Duration;

/// Declares the enum, its names and its meanings in one place.
macro_rules! stages {
    ($($variant:ident $name:literal $meaning:literal)+) => {
        /// A part of the way of a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Stage {
            $(#[doc = $meaning] $variant,)+
        }

        impl Stage {
            /// Every stage, in the order of the enum.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name, which is also that of its span.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What happens in it, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

stages! {
    Policy "policy" "Head checked, caller recognised, route found, roles decided."
    Journal "journal" "A watched write recorded before it is forwarded."
    Upstream "upstream" "The CRM asked, from connecting to the end of its answer."
    Filter "filter" "The answer filtered, from its first chunk to its last."
    Score "score" "The leads in the answer scored, as long as all of them took, told at the end of the filter."
}

const COUNT: usize = Stage::ALL.len();

/// When a stage began and ended, counted from the beginning of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Its beginning.
    pub from: Duration,
    /// Its end so far.
    pub to: Duration,
}

/// The intervals of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Stages([Option<Interval>; COUNT]);

impl Stages {
    /// The stage is under way; the first time counts as its beginning.
    pub(super) fn enter(&mut self, stage: Stage, at: Duration) {
        if let Some(slot) = self.0.get_mut(stage as usize) {
            slot.get_or_insert(Interval { from: at, to: at });
        }
    }

    /// The stage is over, as far as is known now; the last time counts.
    pub(super) fn leave(&mut self, stage: Stage, at: Duration) {
        if let Some(Some(interval)) = self.0.get_mut(stage as usize) {
            interval.to = interval.to.max(at);
        }
    }

    pub(super) fn get(&self, stage: Stage) -> Option<Interval> {
        self.0.get(stage as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_lasts_from_its_first_beginning_to_its_last_end() {
        let at = Duration::from_millis;
        let mut stages = Stages::default();
        stages.leave(Stage::Filter, at(1));
        assert_eq!(stages.get(Stage::Filter), None, "it never began");
        stages.enter(Stage::Filter, at(2));
        stages.enter(Stage::Filter, at(3));
        assert_eq!(stages.get(Stage::Filter), Some(Interval { from: at(2), to: at(2) }));
        stages.leave(Stage::Filter, at(9));
        stages.leave(Stage::Filter, at(5));
        assert_eq!(stages.get(Stage::Filter), Some(Interval { from: at(2), to: at(9) }));
        assert_eq!(stages.get(Stage::Policy), None);
    }

    #[test]
    fn the_list_is_in_the_order_of_the_enum() {
        for (index, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(*stage as usize, index);
        }
    }
}
