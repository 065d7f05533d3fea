//! Activities of leads, as they pass in answers of their own resource.

use std::sync::Arc;

use time::OffsetDateTime;

use super::activities::ObservedActivities;
use crate::score::ScoringPlan;

/// Which watched paths of an activity tell what, by their numbers.
#[derive(Debug, Clone)]
pub(super) struct ActivityPaths {
    /// The resource of the leads.
    pub(super) leads: String,
    /// Where an activity names its lead.
    pub(super) lead: usize,
    /// Where it says when it was; `None` is now.
    pub(super) at: Option<usize>,
    /// Knows how dates are written.
    pub(super) plan: Arc<ScoringPlan>,
}

/// Collects the activities of one answer.
#[derive(Debug)]
pub(super) struct Sightings {
    paths: ActivityPaths,
    now: OffsetDateTime,
    id: Option<Box<[u8]>>,
    lead: Option<Box<[u8]>>,
    at: Option<OffsetDateTime>,
    seen: Vec<Sighting>,
}

/// The lead, the activity and its time.
type Sighting = (Box<[u8]>, Box<[u8]>, OffsetDateTime);

/// Most activities that are noted of one answer.
const MOST: usize = 10_000;

impl Sightings {
    pub(super) fn new(paths: ActivityPaths, now: OffsetDateTime) -> Self {
        Self { paths, now, id: None, lead: None, at: None, seen: Vec::new() }
    }

    pub(super) fn record_begins(&mut self) {
        (self.id, self.lead, self.at) = (None, None, None);
    }

    pub(super) fn see(&mut self, path: usize, is_id: bool, raw: &[u8]) {
        if is_id {
            self.id = Some(raw.into());
        }
        if path == self.paths.lead {
            self.lead = Some(raw.into());
        }
        if self.paths.at == Some(path) {
            self.at = self.paths.plan.moment(raw);
        }
    }

    pub(super) fn record_ends(&mut self) {
        let at = if self.paths.at.is_some() { self.at } else { Some(self.now) };
        if let (Some(lead), Some(id), Some(at)) = (self.lead.take(), self.id.take(), at)
            && self.seen.len() < MOST
        {
            self.seen.push((lead, id, at));
        }
    }

    /// Notes what was seen, for the scores to come.
    pub(super) fn note(&mut self, activities: &ObservedActivities, tenant: Option<&str>) {
        for (lead, id, at) in self.seen.drain(..) {
            activities.saw(tenant, &self.paths.leads, &lead, &id, at);
        }
    }
}
