//! Happenings around lead scores. Resources come from the policies, so they may be labels.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use super::Telemetry;

/// The metrics of this file.
#[derive(Debug)]
pub(super) struct ScoreMetrics {
    pub(super) scores: IntCounterVec,
    pub(super) calculation: HistogramVec,
    pub(super) lookups: IntCounterVec,
}

/// The leads of one answer have their scores.
#[derive(Debug, Clone)]
pub struct LeadsScored<'a> {
    /// The resource that the leads are of.
    pub resource: &'a str,
    /// How many leads have which quality.
    pub qualities: Vec<(&'static str, u64)>,
    /// How long the calculation of all of them took.
    pub elapsed: Duration,
}

impl LeadsScored<'_> {
    /// Counts them.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics.scores;
        for (quality, count) in self.qualities.iter().filter(|(_, count)| *count > 0) {
            metrics.scores.with_label_values(&[self.resource, *quality]).inc_by(*count);
        }
        let calculation = metrics.calculation.with_label_values(&[self.resource]);
        calculation.observe(self.elapsed.as_secs_f64());
    }
}

/// The last known score of a lead was looked up.
#[derive(Debug, Clone, Copy)]
pub struct ScoreLookedUp {
    /// Where it was found, from a closed list.
    pub found: &'static str,
}

impl ScoreLookedUp {
    /// Counts it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.inner.metrics.scores.lookups.with_label_values(&[self.found]).inc();
    }
}
