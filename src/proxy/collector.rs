//! The watched values of the records in an answer, collected while the filter passes it. They are
//! raw, so they go nowhere without a filter.

use std::sync::Arc;

use crate::event::detect::{Values, id_of};
use crate::json::filter::Observer;
use crate::json::path::FieldPath;
use crate::policy::set::Resource;

/// Most records that are remembered of one answer; of a bulk write, that have events.
const MOST_RECORDS: usize = 10_000;

/// Most bytes of values that are remembered of one answer.
const MOST_BYTES: usize = 4 << 20;

/// What is watched in the records of a resource; the number of a path is its bit.
#[derive(Debug, Default)]
pub(super) struct WatchList {
    /// Whether the first path is that of the id.
    has_id: bool,
    paths: Vec<FieldPath>,
    /// The paths whose old values some rule reads.
    remembered: Vec<Box<str>>,
}

impl WatchList {
    pub(super) fn of(resource: &Resource) -> Self {
        let id = resource.id.iter().filter(|id| !id.needs_whole_record()).cloned();
        let has_id = id.clone().next().is_some();
        let remembered = resource.remembered_paths();
        Self {
            has_id,
            paths: id.chain(resource.watched_paths()).collect(),
            remembered: remembered.iter().map(|path| path.as_str().into()).collect(),
        }
    }

    pub(super) fn remembers(&self) -> bool {
        !self.remembered.is_empty()
    }

    pub(super) fn remembered(&self) -> &[Box<str>] {
        &self.remembered
    }

    pub(super) fn paths(&self) -> &[FieldPath] {
        &self.paths
    }
}

/// A record that passed.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Its id, where it tells one.
    pub(super) id: Option<String>,
    /// Its watched values.
    pub(super) values: Values,
}

/// Collects. See the module.
#[derive(Debug)]
pub(super) struct Collector {
    watched: Arc<WatchList>,
    /// Records that have begun and not ended, with the values of each path.
    open: Vec<Vec<(usize, Box<str>)>>,
    passed: Vec<Passed>,
    bytes: usize,
}

impl Collector {
    pub(super) fn new(watched: Arc<WatchList>) -> Self {
        Self { watched, open: Vec::new(), passed: Vec::new(), bytes: 0 }
    }

    /// The records so far.
    pub(super) fn take(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.passed)
    }
}

impl Observer for Collector {
    fn record_begins(&mut self, _at: Option<usize>) {
        self.open.push(Vec::new());
    }

    fn watched(&mut self, slots: u64, raw: &[u8]) {
        let Some(record) = self.open.last_mut() else { return };
        let Ok(text) = std::str::from_utf8(raw) else { return };
        for slot in 0..self.watched.paths.len() {
            if slots >> slot & 1 == 0 {
                continue;
            }
            self.bytes += text.len();
            if self.bytes > MOST_BYTES {
                return;
            }
            record.push((slot, text.into()));
        }
    }

    fn record_ends(&mut self, _is_empty: bool, _out: &mut Vec<u8>) {
        let Some(mut found) = self.open.pop() else { return };
        if self.passed.len() == MOST_RECORDS {
            return;
        }
        let mut passed = Passed::default();
        // Stable, so that several values of one path keep their order.
        found.sort_by_key(|(slot, _)| *slot);
        for same in found.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((slot, first)) = same.first() else { continue };
            if *slot == 0 && self.watched.has_id {
                passed.id = id_of(first);
                continue;
            }
            let Some(path) = self.watched.paths.get(*slot) else { continue };
            let value = match same {
                [_] => first.clone(),
                // A member that is there twice: of its values nobody knows which one counts.
                _ => Box::from(""),
            };
            passed.values.insert(path.as_str().into(), value);
        }
        self.passed.push(passed);
    }
}
