//! The last kept trace of every bucket, so that a person can go from a slow bucket to a trace.
//!
//! Bounded by the series there are. Only exchanges whose spans are sent come here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use crate::correlation::TraceId;

/// One observation and the trace it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) value: f64,
    pub(super) at: OffsetDateTime,
}

/// A family and the values of its labels, in the order of the catalogue.
type Series = (&'static str, Vec<String>);

/// Exemplars by series, one for each bucket and one for what is above them.
#[derive(Debug, Default)]
pub(super) struct Exemplars(Mutex<HashMap<Series, Vec<Option<Exemplar>>>>);

impl Exemplars {
    /// Keeps it for the bucket that it falls into.
    pub(super) fn keep(
        &self,
        family: &'static str,
        labels: &[&str],
        bounds: &[f64],
        exemplar: Exemplar,
    ) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let bucket = bounds.partition_point(|bound| *bound < exemplar.value);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = all.entry((family, labels)).or_insert_with(|| vec![None; bounds.len() + 1]);
        if let Some(slot) = buckets.get_mut(bucket) {
            *slot = Some(exemplar);
        }
    }

    /// Those of one series; empty where there are none.
    pub(super) fn of(&self, family: &'static str, labels: Vec<String>) -> Vec<Option<Exemplar>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(family, labels)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_keeps_its_last() {
        let exemplars = Exemplars::default();
        let bounds = [0.1, 1.0];
        let make = |value| Exemplar {
            trace: TraceId::from_bytes([7; 16]).unwrap(),
            value,
            at: OffsetDateTime::UNIX_EPOCH,
        };
        for value in [0.05, 0.1, 0.5, 7.0] {
            exemplars.keep("seconds", &["GET"], &bounds, make(value));
        }
        let kept = exemplars.of("seconds", vec!["GET".into()]);
        let values: Vec<f64> = kept.iter().map(|kept| kept.unwrap().value).collect();
        assert_eq!(values, [0.1, 0.5, 7.0]);
        assert_eq!(exemplars.of("seconds", vec!["PUT".into()]), []);
    }
}
