//! The watched values of the records in an answer, collected for events and scored while the filter
//! passes them. They are raw, so they go nowhere without a filter.

use std::sync::Arc;

use super::scorer::Scorer;
use super::sightings::Sightings;
use crate::event::detect::{Values, id_of};
use crate::json::filter::Observer;
use crate::json::path::FieldPath;
use crate::policy::set::Resource;

/// Most records that are remembered of one answer; of a bulk write, that have events.
const MOST_RECORDS: usize = 10_000;

/// Most bytes of values that are remembered of one answer, the ids not among them.
const MOST_BYTES: usize = 4 << 20;

/// Longest id, as JSON, that is told where the values are too many: they all together stay bounded.
const LONGEST_ID: usize = 1024;

/// What is watched in the records of a resource; the number of a path is its bit.
#[derive(Debug, Default)]
pub(super) struct WatchList {
    /// Whether the first path is that of the id.
    has_id: bool,
    paths: Vec<FieldPath>,
    /// How many of them, from the first on, the event rules read.
    of_events: usize,
    /// The paths whose old values some rule reads.
    remembered: Vec<Box<str>>,
}

impl WatchList {
    /// `scored` are the inputs of scores, for every company.
    pub(super) fn of<'p>(
        resource: &Resource,
        scored: impl IntoIterator<Item = &'p FieldPath>,
    ) -> Self {
        let id = resource.id.iter().filter(|id| !id.needs_whole_record()).cloned();
        let has_id = id.clone().next().is_some();
        let remembered = resource.remembered_paths();
        let mut paths: Vec<FieldPath> = id.chain(resource.watched_paths()).collect();
        let of_events = paths.len();
        for path in scored {
            if !paths.iter().any(|known| known.as_str() == path.as_str()) {
                paths.push(path.clone());
            }
        }
        Self {
            has_id,
            paths,
            of_events,
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
    /// Whether there were more values than are remembered: those that are not here were not seen.
    pub(super) is_cut: bool,
}

/// A record that has begun and not ended.
#[derive(Debug, Default)]
struct Open {
    values: Vec<(usize, Box<str>)>,
    is_cut: bool,
}

/// Most records of one answer whose ids the audit ledger names.
const MOST_NAMED: usize = 100;

/// Whose records an answer holds, for the audit ledger.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// The ids of the first hundred that tell one.
    pub(super) ids: Vec<String>,
    /// How many records there were.
    pub(super) records: u64,
}

impl Roll {
    fn name(&mut self, raw: &[u8]) {
        if self.ids.len() == MOST_NAMED {
            return;
        }
        if let Some(id) = std::str::from_utf8(raw).ok().and_then(id_of) {
            self.ids.push(id);
        }
    }
}

/// Collects. See the module.
#[derive(Debug)]
pub(super) struct Collector {
    watched: Arc<WatchList>,
    /// Records that have begun and not ended, with the values of each path.
    open: Vec<Open>,
    passed: Vec<Passed>,
    /// Records that have ended and are not among them.
    left_out: u64,
    bytes: usize,
    /// Whether the values are wanted for events.
    keeps: bool,
    scorer: Option<Scorer>,
    sightings: Option<Sightings>,
    roll: Option<Roll>,
}

impl Collector {
    /// Collects what event rules read.
    pub(super) fn new(watched: Arc<WatchList>) -> Self {
        Self {
            watched,
            open: Vec::new(),
            passed: Vec::new(),
            left_out: 0,
            bytes: 0,
            keeps: true,
            scorer: None,
            sightings: None,
            roll: None,
        }
    }

    /// What event rules read if it `keeps` it, and whatever these make of the records.
    pub(super) fn of(
        watched: Arc<WatchList>,
        keeps: bool,
        scorer: Option<Scorer>,
        sightings: Option<Sightings>,
    ) -> Self {
        Self { keeps, scorer, sightings, ..Self::new(watched) }
    }

    /// Keeps a roll of the records, if one is given.
    pub(super) fn with_roll(self, roll: Option<Roll>) -> Self {
        Self { roll, ..self }
    }

    pub(super) fn take_roll(&mut self) -> Option<Roll> {
        self.roll.take()
    }

    pub(super) fn sightings(&mut self) -> Option<&mut Sightings> {
        self.sightings.as_mut()
    }

    pub(super) fn scorer(&mut self) -> Option<&mut Scorer> {
        self.scorer.as_mut()
    }

    /// The records so far.
    pub(super) fn take(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.passed)
    }

    /// How many records there were beyond those.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl Observer for Collector {
    fn record_begins(&mut self, _at: Option<usize>) {
        if self.keeps {
            self.open.push(Open::default());
        }
        if let Some(scorer) = &mut self.scorer {
            scorer.record_begins();
        }
        if let Some(sightings) = &mut self.sightings {
            sightings.record_begins();
        }
        if let Some(roll) = &mut self.roll {
            roll.records += 1;
        }
    }

    fn watched(&mut self, mut slots: u128, raw: &[u8]) {
        while slots != 0 {
            let path = slots.trailing_zeros() as usize;
            slots &= slots - 1;
            let is_id = path == 0 && self.watched.has_id;
            if let Some(scorer) = &mut self.scorer {
                scorer.see(path, is_id, raw);
            }
            if let Some(sightings) = &mut self.sightings {
                sightings.see(path, is_id, raw);
            }
            if let Some(roll) = self.roll.as_mut().filter(|_| is_id) {
                roll.name(raw);
            }
            if self.keeps && path < self.watched.of_events {
                self.keep(path, raw);
            }
        }
    }

    fn record_ends(&mut self, is_empty: bool, out: &mut Vec<u8>) {
        if let Some(scorer) = &mut self.scorer {
            scorer.record_ends(is_empty, out);
        }
        if let Some(sightings) = &mut self.sightings {
            sightings.record_ends();
        }
        if self.keeps {
            self.close();
        }
    }
}

impl Collector {
    fn keep(&mut self, path: usize, raw: &[u8]) {
        let Some(record) = self.open.last_mut() else { return };
        let Ok(text) = std::str::from_utf8(raw) else { return };
        let is_id = path == 0 && self.watched.has_id;
        let length = if is_id && text.len() <= LONGEST_ID { 0 } else { text.len() };
        if length > MOST_BYTES - self.bytes {
            record.is_cut = true;
            return;
        }
        self.bytes += length;
        record.values.push((path, text.into()));
    }

    fn close(&mut self) {
        let Some(Open { values: mut found, is_cut }) = self.open.pop() else { return };
        if self.passed.len() == MOST_RECORDS {
            self.left_out += 1;
            return;
        }
        let mut passed = Passed { is_cut, ..Passed::default() };
        // Stable, so that several values of one path keep their order.
        found.sort_by_key(|(path, _)| *path);
        for same in found.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((path, first)) = same.first() else { continue };
            if *path == 0 && self.watched.has_id {
                passed.id = id_of(first);
                continue;
            }
            let Some(path) = self.watched.paths.get(*path) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn collector() -> Collector {
        let path = |text: &str| FieldPath::parse(text).unwrap();
        let paths = vec![path("id"), path("name")];
        let remembered = vec!["name".into()];
        let watched = WatchList { has_id: true, paths, of_events: 2, remembered };
        Collector::new(Arc::new(watched))
    }

    fn see(collector: &mut Collector, id: &str, name: &str) {
        collector.record_begins(None);
        collector.watched(0b01, id.as_bytes());
        if !name.is_empty() {
            collector.watched(0b10, name.as_bytes());
        }
        collector.record_ends(false, &mut Vec::new());
    }

    #[test]
    fn what_does_not_fit_cuts_its_record_and_leaves_it_its_id() {
        let half = format!("\"{}\"", "x".repeat(MOST_BYTES / 2));
        let mut collector = collector();
        for id in 0..3 {
            see(&mut collector, &id.to_string(), &half);
        }
        see(&mut collector, "3", "");
        see(&mut collector, "4", "\"short\"");
        see(&mut collector, &half, "\"short\"");
        let passed = collector.take();
        let told: Vec<_> =
            passed.iter().map(|passed| (passed.id.as_deref(), passed.is_cut)).collect();
        let expected = [
            (Some("0"), false),
            (Some("1"), true),
            (Some("2"), true),
            (Some("3"), false),
            // A later one that is short has room.
            (Some("4"), false),
            (None, true),
        ];
        assert_eq!(told, expected);
        assert_eq!(passed[1].values, Values::new());
        assert_eq!(passed[4].values.len(), 1);
        assert_eq!(collector.left_out(), 0);
    }

    #[test]
    fn the_records_that_are_left_out_are_counted() {
        let mut collector = collector();
        for id in 0..MOST_RECORDS + 3 {
            see(&mut collector, &id.to_string(), "");
        }
        assert_eq!(collector.left_out(), 3);
        assert_eq!(collector.take().len(), MOST_RECORDS);
    }
}
