//! What is known of the activities of leads: when each one was that has passed by, and how many the
//! CRM has told of when it was asked.
//!
//! Kept in memory, bounded, and filled at start from what is kept of those that have passed; what was
//! not seen is not counted, and a score says where its count comes from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;
use time::{Duration, OffsetDateTime};
use tokio::sync::mpsc;

use crate::score::{ACTIVITY_DAYS, Activities, ActivityRule, ActivitySource};
use crate::score_history::{LeadKey, SeenActivity};

/// Leads whose activities are remembered.
const MOST_LEADS: u64 = 100_000;

/// Activities that are remembered of one lead; more count no more.
const MOST_ACTIVITIES: usize = 64;

/// Leads that wait until the CRM is asked for their activities. More are asked for when they pass
/// the next time.
const MOST_WANTED: usize = 1024;

/// How long a lead that waits, or that the CRM had no answer for, is not put there again.
const WANTED_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// When each activity was, by its id.
type Moments = BTreeMap<Box<str>, OffsetDateTime>;

/// What the CRM has told of one lead.
#[derive(Debug, Clone, Copy)]
struct Told {
    count: u32,
    at: OffsetDateTime,
}

/// Everything that is known. One for the whole process.
#[derive(Debug)]
pub(super) struct KnownActivities {
    observed: Cache<LeadKey, Arc<Mutex<Moments>>>,
    told: Cache<LeadKey, Told>,
    /// Leads that were put there lately.
    asked: Cache<LeadKey, ()>,
    wanted: mpsc::Sender<LeadKey>,
}

impl KnownActivities {
    /// Nothing yet. The leads whose activities the CRM should be asked for come out of the other end.
    pub(super) fn new() -> (Self, mpsc::Receiver<LeadKey>) {
        let (wanted, asked_for) = mpsc::channel(MOST_WANTED);
        let known = Self {
            observed: Cache::new(MOST_LEADS),
            told: Cache::new(MOST_LEADS),
            asked: Cache::builder().max_capacity(MOST_LEADS).time_to_live(WANTED_AGAIN).build(),
            wanted,
        };
        (known, asked_for)
    }

    /// An activity of a lead was seen. Says whether that is news.
    pub(super) fn saw(&self, seen: &SeenActivity) -> bool {
        let SeenActivity { key, activity, at } = seen;
        let moments = self.observed.get_with_by_ref(key, Arc::default);
        let mut moments = moments.lock().unwrap_or_else(PoisonError::into_inner);
        if moments.insert(activity.clone(), *at) == Some(*at) {
            return false;
        }
        if moments.len() > MOST_ACTIVITIES {
            let oldest = moments.iter().min_by_key(|(_, at)| **at).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                moments.remove(&oldest);
                return oldest != *activity;
            }
        }
        true
    }

    /// The CRM has told how many activities a lead had.
    pub(super) fn told(&self, key: LeadKey, count: u32, at: OffsetDateTime) {
        self.told.insert(key, Told { count, at });
    }

    /// How many activities a lead had in the thirty days before `now`, as its rules count them. Where
    /// they ask the CRM and it has not told lately, it will be asked.
    pub(super) fn of_lead(
        &self,
        rule: &ActivityRule,
        key: &LeadKey,
        now: OffsetDateTime,
    ) -> Activities {
        match rule {
            ActivityRule::Nowhere | ActivityRule::Count(_) | ActivityRule::Moments(_) => {
                Activities::NONE
            }
            ActivityRule::Observed { .. } => self.observed_of(key, now),
            ActivityRule::Fetch(fetch) => {
                let told = self.told.get(key);
                if told.is_none_or(|told| now - told.at >= fetch.good_for) {
                    self.want(key);
                }
                told.map_or(Activities::NONE, |told| Activities {
                    count: told.count,
                    source: ActivitySource::Fetched,
                })
            }
        }
    }

    fn observed_of(&self, key: &LeadKey, now: OffsetDateTime) -> Activities {
        let Some(moments) = self.observed.get(key) else { return Activities::NONE };
        let since = now.checked_sub(Duration::days(ACTIVITY_DAYS)).unwrap_or(now);
        let moments = moments.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = moments.values().filter(|at| (since..=now).contains(*at)).count();
        let count = u32::try_from(recent).unwrap_or(u32::MAX);
        Activities { count, source: ActivitySource::Observed }
    }

    fn want(&self, key: &LeadKey) {
        if self.asked.contains_key(key) {
            return;
        }
        // Full, or nobody asks: it is tried again when the lead passes the next time.
        if self.wanted.try_send(key.clone()).is_ok() {
            self.asked.insert(key.clone(), ());
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::json::path::FieldPath;
    use crate::score::FetchRule;

    const NOW: OffsetDateTime = datetime!(2026-11-22 10:00 UTC);

    fn key(lead: &str) -> LeadKey {
        LeadKey { tenant: "acme".into(), resource: "lead".into(), lead: lead.into() }
    }

    fn observed() -> ActivityRule {
        let lead = FieldPath::parse("lead").unwrap();
        ActivityRule::Observed { resource: "activity".into(), lead, at: None }
    }

    fn fetched() -> ActivityRule {
        ActivityRule::Fetch(FetchRule {
            resource: "activity".into(),
            target: "/activities/?lead={id}".into(),
            records: FieldPath::parse("$[*]").unwrap(),
            at: FieldPath::parse("at").unwrap(),
            most: 10,
            good_for: Duration::HOUR,
        })
    }

    #[test]
    fn what_passed_in_thirty_days_counts_once() {
        let (known, _wanted) = KnownActivities::new();
        let saw = |activity: &str, days: i64| {
            let at = NOW - Duration::days(days);
            known.saw(&SeenActivity { key: key("7"), activity: activity.into(), at })
        };
        let count = || known.of_lead(&observed(), &key("7"), NOW).count;
        assert_eq!(known.of_lead(&observed(), &key("7"), NOW), Activities::NONE);
        for (activity, days, is_news, expect) in [
            ("1", 1, true, 1),
            ("1", 1, false, 1),
            ("1", 2, true, 1),
            ("2", 30, true, 2),
            ("3", 31, true, 2),
            ("4", -1, true, 2),
        ] {
            assert_eq!(saw(activity, days), is_news, "{activity} {days}");
            assert_eq!(count(), expect, "{activity} {days}");
        }
        assert_eq!(known.of_lead(&observed(), &key("8"), NOW), Activities::NONE);
        for number in 0..100 {
            saw(&format!("many-{number}"), 3);
        }
        // One of them is still to come.
        assert_eq!(count() as usize, MOST_ACTIVITIES - 1);
        assert!(!saw("too old to be kept", 40));
    }

    #[test]
    fn the_crm_is_asked_once_and_again_when_its_word_is_old() {
        let (known, mut wanted) = KnownActivities::new();
        let mut asked = || wanted.try_recv().ok().map(|key| key.lead);
        assert_eq!(known.of_lead(&fetched(), &key("7"), NOW), Activities::NONE);
        assert_eq!(known.of_lead(&fetched(), &key("7"), NOW), Activities::NONE);
        assert_eq!(asked().as_deref(), Some("7"));
        assert_eq!(asked(), None, "it waits already");
        known.told(key("7"), 4, NOW);
        known.asked.invalidate_all();
        let told = Activities { count: 4, source: ActivitySource::Fetched };
        assert_eq!(known.of_lead(&fetched(), &key("7"), NOW + Duration::minutes(59)), told);
        assert_eq!(asked(), None);
        assert_eq!(known.of_lead(&fetched(), &key("7"), NOW + Duration::HOUR), told);
        assert_eq!(asked().as_deref(), Some("7"), "told still, and asked for");
        known.of_lead(&observed(), &key("8"), NOW);
        assert_eq!(asked(), None);
    }

    #[test]
    fn those_who_wait_are_bounded() {
        let (known, mut wanted) = KnownActivities::new();
        for lead in 0..MOST_WANTED + 10 {
            known.of_lead(&fetched(), &key(&lead.to_string()), NOW);
        }
        let mut count = 0;
        while wanted.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, MOST_WANTED);
    }
}
