//! How full the queues are, asked when scraped.
//!
//! Whoever owns a queue lets it be watched; nothing is counted on the way in or out. A queue that
//! is gone is no longer shown.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use super::catalogue::{self, MetricEntry};

/// The queues of this process. The list is closed, for it is a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Lines of both logs.
    Log,
    /// Exchanges whose spans are not sent yet.
    Spans,
    /// Entries of the audit ledger that are not on disk yet.
    Audit,
    /// Values on their way into the token map.
    TokenMap,
    /// Work for the one writer of the store: what the journal, the ledger and the others want
    /// written.
    Store,
}

impl Waiting {
    /// Every queue, in the order of the enum.
    pub const ALL: [Self; 5] = [Self::Log, Self::Spans, Self::Audit, Self::TokenMap, Self::Store];

    /// The label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Spans => "spans",
            Self::Audit => "audit",
            Self::TokenMap => "token_map",
            Self::Store => "store",
        }
    }
}

/// Entries waiting and entries that may wait; `None` once the queue is gone.
type Measure = Box<dyn Fn() -> Option<(usize, usize)> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Depths {
    depth: IntGaugeVec,
    capacity: IntGaugeVec,
    watched: Arc<Mutex<Vec<(Waiting, Measure)>>>,
}

impl fmt::Debug for Depths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Depths").finish_non_exhaustive()
    }
}

impl Depths {
    pub(super) fn new() -> prometheus::Result<Self> {
        let gauges =
            |entry: MetricEntry| IntGaugeVec::new(Opts::new(entry.name, entry.help), entry.labels);
        Ok(Self {
            depth: gauges(catalogue::QUEUE_DEPTH)?,
            capacity: gauges(catalogue::QUEUE_CAPACITY)?,
            watched: Arc::default(),
        })
    }

    /// Shows this queue from now on, in place of an earlier one of the same name.
    pub(super) fn watch(&self, queue: Waiting, measure: Measure) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|(other, _)| *other != queue);
        watched.push((queue, measure));
    }
}

impl Collector for Depths {
    fn desc(&self) -> Vec<&Desc> {
        self.depth.desc().into_iter().chain(self.capacity.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        self.depth.reset();
        self.capacity.reset();
        for (queue, measure) in watched.iter() {
            let Some((waiting, most)) = measure() else { continue };
            let set = |gauge: &IntGaugeVec, value: usize| {
                gauge
                    .with_label_values(&[queue.name()])
                    .set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(&self.depth, waiting);
            set(&self.capacity, most);
        }
        let mut families = self.depth.collect();
        families.extend(self.capacity.collect());
        families
    }
}
