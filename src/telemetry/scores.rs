//! Happenings around lead scores. Resources and companies come from the policies, so they may be
//! labels.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};
use tracing::Level;

use super::Telemetry;
use super::catalogue::OTHER_COMPANIES;
use super::happening::note;

/// The metrics of this file.
#[derive(Debug)]
pub(super) struct ScoreMetrics {
    pub(super) scores: IntCounterVec,
    pub(super) calculation: HistogramVec,
    pub(super) lookups: IntCounterVec,
    pub(super) dropped: IntCounter,
    pub(super) leads: IntGaugeVec,
    pub(super) refreshed: IntCounterVec,
    pub(super) refresh_left: IntGaugeVec,
}

/// Most companies that have series of their own; the others are counted together.
const MOST_COMPANIES: usize = 100;

/// Leads have their scores.
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

/// The scores of an answer were not kept, for too many wait already.
#[derive(Debug, Clone, Copy)]
pub struct ScoresDropped;

impl ScoresDropped {
    /// Counts it.
    pub fn emit(self, telemetry: &Telemetry) {
        telemetry.inner.metrics.scores.dropped.inc();
    }
}

/// The leads have been counted.
#[derive(Debug, Clone)]
pub struct LeadsOfCompany<'a> {
    /// A company that the policies name, a quality, and how many of its leads have it.
    pub shares: Vec<(Option<&'a str>, &'static str, u64)>,
}

impl LeadsOfCompany<'_> {
    /// Shows them, and no longer what was shown before.
    pub fn emit(&self, telemetry: &Telemetry) {
        let named = self.shares.iter().filter_map(|(company, _, _)| *company);
        let mut own: Vec<&str> = named.collect();
        own.sort_unstable();
        own.dedup();
        own.truncate(MOST_COMPANIES);
        let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (company, quality, leads) in &self.shares {
            let company = company.filter(|company| own.contains(company));
            let sum = sums.entry((company.unwrap_or(OTHER_COMPANIES), *quality)).or_default();
            *sum = sum.saturating_add_unsigned(*leads);
        }
        let metric = &telemetry.inner.metrics.scores.leads;
        metric.reset();
        for ((company, quality), leads) in sums {
            metric.with_label_values(&[company, quality]).set(leads);
        }
    }
}

/// A refresh has come further.
#[derive(Debug, Clone, Copy)]
pub struct ScoresRefreshed<'a> {
    /// The resource that the leads are of.
    pub resource: &'a str,
    /// Leads that have new scores.
    pub scored: u64,
    /// Leads that the CRM has no more, or whose record cannot be read.
    pub gone: u64,
    /// Leads that are left, where that is known.
    pub left: Option<u64>,
}

impl ScoresRefreshed<'_> {
    /// Counts it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics.scores;
        for (outcome, count) in [("scored", self.scored), ("gone", self.gone)] {
            metrics.refreshed.with_label_values(&[self.resource, outcome]).inc_by(count);
        }
        if let Some(left) = self.left {
            let left = i64::try_from(left).unwrap_or(i64::MAX);
            metrics.refresh_left.with_label_values(&[self.resource]).set(left);
        }
    }
}

/// A refresh has begun, has gone on, or is over.
#[derive(Debug, Clone)]
pub struct ScoreRefresh<'a> {
    /// The resource that the leads are of.
    pub resource: &'a str,
    /// Leads so far.
    pub done: u64,
    /// Leads in all, where that is known.
    pub total: Option<u64>,
    /// What happened.
    pub what: RefreshStep,
}

/// What happened to a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshStep {
    /// It has begun.
    Begun,
    /// It goes on where another process ended.
    Resumed,
    /// All leads are done.
    Ended,
    /// It had to stop, for a reason from a closed list; it goes on later.
    Stopped(&'static str),
}

impl ScoreRefresh<'_> {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let (level, message) = match self.what {
            RefreshStep::Begun => (Level::INFO, "the refresh of lead scores has begun"),
            RefreshStep::Resumed => {
                (Level::INFO, "the refresh of lead scores goes on where it was ended")
            }
            RefreshStep::Ended => (Level::INFO, "the refresh of lead scores is done"),
            RefreshStep::Stopped(_) => {
                (Level::WARN, "the refresh of lead scores has stopped, and goes on later")
            }
        };
        let mut note = note(level, message).with("resource", self.resource).with("done", self.done);
        if let Some(total) = self.total {
            note = note.with("total", total);
        }
        if let RefreshStep::Stopped(reason) = self.what {
            note = note.with("reason", reason);
        }
        telemetry.note(note);
    }
}
