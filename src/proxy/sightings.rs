//! Activities of leads, as they pass in answers of their own resource.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::event::detect::id_of;
use crate::score::ScoringPlan;
use crate::score_history::{LeadKey, SeenActivity};

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
    id: Option<String>,
    lead: Option<String>,
    at: Option<OffsetDateTime>,
    seen: Vec<Sighting>,
}

/// The lead, the activity and its time.
type Sighting = (String, String, OffsetDateTime);

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
        let id = || std::str::from_utf8(raw).ok().and_then(id_of);
        if is_id {
            self.id = id();
        }
        if path == self.paths.lead {
            self.lead = id();
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

    /// The resource of the leads.
    pub(super) fn leads(&self) -> &str {
        &self.paths.leads
    }

    /// What was seen, of a company.
    pub(super) fn take(&mut self, tenant: Option<&str>) -> Vec<SeenActivity> {
        let (tenant, resource) = (tenant.unwrap_or_default(), &self.paths.leads);
        let seen = self.seen.drain(..).map(|(lead, activity, at)| SeenActivity {
            key: LeadKey { tenant: tenant.to_owned(), resource: resource.clone(), lead },
            activity: activity.into(),
            at,
        });
        seen.collect()
    }
}
