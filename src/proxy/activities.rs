//! The activities of leads that have passed by: when each was, for the last thirty days.
//!
//! Kept in memory, bounded; what was not seen is not counted, and a score says where its count
//! comes from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;
use time::{Duration, OffsetDateTime};

use crate::score::{ACTIVITY_DAYS, Activities, ActivitySource};

/// Leads whose activities are remembered.
const MOST_LEADS: u64 = 100_000;

/// Activities that are remembered of one lead; more count no more.
const MOST_ACTIVITIES: usize = 64;

/// Company, resource and the JSON text of the lead's id.
type LeadKey = (String, String, Box<[u8]>);

/// When each activity was, by its id.
type Moments = BTreeMap<Box<[u8]>, OffsetDateTime>;

/// Everything seen. One for the whole process.
#[derive(Debug)]
pub struct ObservedActivities {
    leads: Cache<LeadKey, Arc<Mutex<Moments>>>,
}

impl Default for ObservedActivities {
    fn default() -> Self {
        Self { leads: Cache::new(MOST_LEADS) }
    }
}

impl ObservedActivities {
    /// An activity of a lead was seen; ids are JSON texts.
    pub(super) fn saw(
        &self,
        tenant: Option<&str>,
        resource: &str,
        lead: &[u8],
        activity: &[u8],
        at: OffsetDateTime,
    ) {
        let moments = self.leads.get_with(key(tenant, resource, lead), Arc::default);
        let mut moments = moments.lock().unwrap_or_else(PoisonError::into_inner);
        moments.insert(activity.into(), at);
        if moments.len() > MOST_ACTIVITIES {
            let oldest = moments.iter().min_by_key(|(_, at)| **at).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                moments.remove(&oldest);
            }
        }
    }

    /// How many of a lead's activities were in the thirty days before `now`.
    pub(super) fn of_lead(
        &self,
        tenant: Option<&str>,
        resource: &str,
        lead: &[u8],
        now: OffsetDateTime,
    ) -> Activities {
        let Some(moments) = self.leads.get(&key(tenant, resource, lead)) else {
            return Activities::NONE;
        };
        let since = now.checked_sub(Duration::days(ACTIVITY_DAYS)).unwrap_or(now);
        let moments = moments.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = moments.values().filter(|at| (since..=now).contains(*at)).count();
        let count = u32::try_from(recent).unwrap_or(u32::MAX);
        Activities { count, source: ActivitySource::Observed }
    }
}

fn key(tenant: Option<&str>, resource: &str, lead: &[u8]) -> LeadKey {
    (tenant.unwrap_or_default().to_owned(), resource.to_owned(), lead.into())
}
