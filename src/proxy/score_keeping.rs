//! What becomes of scores behind the street: they are kept, and a change of quality becomes an event.
//!
//! The street hands over and goes on. Where more comes than can be kept, the rest is dropped: a score
//! can be calculated again.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::activities::ObservedActivities;
use super::governance::Governance;
use super::recording::Recorder;
use crate::event::Event;
use crate::event::detect::id_of;
use crate::event::journal::{Intent, Journal, Outcome};
use crate::policy::{InForce, PolicyStore};
use crate::score::{ACTIVITY_DAYS, Score};
use crate::score_history::{Cause, Change, LeadKey, ScoreHistory, SeenActivity};
use crate::telemetry::{EventsRecorded, Telemetry, WriteMoment, WriteUnrecorded};

/// Answers whose scores wait to be kept.
const MOST_WAITING: usize = 256;

/// Most scores that are kept of one answer.
pub(super) const MOST_OF_ANSWER: usize = 1000;

/// How often what is too old is forgotten.
const RETIRE_EVERY: Duration = Duration::from_secs(600);

/// The scores of one answer.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) policies: Arc<InForce<Governance>>,
    pub(super) tenant: Option<String>,
    pub(super) resource: String,
    /// By the JSON text of the lead's id.
    pub(super) scores: Vec<(Box<[u8]>, Score)>,
    pub(super) method: Method,
    /// The route's template.
    pub(super) route: Arc<str>,
    pub(super) status: u16,
    pub(super) actor: Option<String>,
    pub(super) correlation_id: String,
    pub(super) traceparent: String,
}

/// Takes what the street made. One for the whole process; clones share everything.
#[derive(Debug, Clone)]
pub struct ScoreKeeper {
    history: ScoreHistory,
    activities: Arc<ObservedActivities>,
    waiting: mpsc::Sender<Made>,
}

/// Keeps what the street made, and tells of changes.
#[derive(Debug)]
pub struct ScoreKeeping {
    history: ScoreHistory,
    waiting: mpsc::Receiver<Made>,
    /// Where events go, and the roles that read them.
    events: Option<(Journal, Vec<String>)>,
    policies: Arc<PolicyStore<Governance>>,
    telemetry: Telemetry,
}

impl ScoreKeeper {
    /// Over what is kept already: activities that an earlier process saw count.
    pub async fn start(
        history: ScoreHistory,
        recorder: Option<&Recorder>,
        policies: Arc<PolicyStore<Governance>>,
        telemetry: Telemetry,
    ) -> (Self, ScoreKeeping) {
        let activities = Arc::new(ObservedActivities::default());
        let since = OffsetDateTime::now_utc() - time::Duration::days(ACTIVITY_DAYS);
        // What cannot be read is not counted, and the store tells of its own faults.
        for seen in history.activities_since(since).await.unwrap_or_default() {
            activities.saw(&seen);
        }
        let (sender, waiting) = mpsc::channel(MOST_WAITING);
        let events = recorder.map(|it| (it.journal.clone(), it.readers.clone()));
        let keeping =
            ScoreKeeping { history: history.clone(), waiting, events, policies, telemetry };
        (Self { history, activities, waiting: sender }, keeping)
    }

    /// What has been seen of activities.
    pub(super) fn activities(&self) -> &Arc<ObservedActivities> {
        &self.activities
    }

    /// The scores that are kept.
    #[must_use]
    pub fn history(&self) -> &ScoreHistory {
        &self.history
    }

    /// Notes activities, for the scores to come and for a later process.
    pub(super) fn saw(&self, seen: Vec<SeenActivity>) {
        let news = seen.into_iter().filter(|seen| self.activities.saw(seen)).collect();
        self.history.saw(news);
    }

    /// Keeps scores, soon.
    pub(super) fn keep(&self, made: Made) {
        if !made.scores.is_empty() {
            // Full, or the process ends: they can be calculated again.
            let _ = self.waiting.try_send(made);
        }
    }
}

impl ScoreKeeping {
    /// Keeps until it is to stop, and then what waits still.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut retire = tokio::time::interval(RETIRE_EVERY);
        loop {
            tokio::select! {
                made = self.waiting.recv() => match made {
                    Some(made) => self.keep(made).await,
                    None => return,
                },
                _ = retire.tick() => self.retire().await,
                () = &mut stop => break,
            }
        }
        self.waiting.close();
        while let Some(made) = self.waiting.recv().await {
            self.keep(made).await;
        }
    }

    async fn keep(&self, mut made: Made) {
        let scores = std::mem::take(&mut made.scores).into_iter().filter_map(|(id, score)| {
            let lead = id_of(std::str::from_utf8(&id).ok()?)?;
            let (tenant, resource) = (made.tenant.clone(), made.resource.clone());
            Some((LeadKey { tenant: tenant.unwrap_or_default(), resource, lead }, score))
        });
        let cause = if made.method.is_safe() { Cause::Read } else { Cause::Write };
        let changes = self.history.note(scores.collect(), cause).await;
        if let Some((journal, readers)) = self.events.as_ref().filter(|_| !changes.is_empty()) {
            self.tell(journal, readers, &made, changes).await;
        }
    }

    async fn tell(&self, journal: &Journal, readers: &[String], made: &Made, changes: Vec<Change>) {
        let now = OffsetDateTime::now_utc();
        let intent = Intent {
            id: Uuid::now_v7(),
            method: made.method.as_str().to_owned(),
            route: made.route.to_string(),
            resource: made.resource.clone(),
            record: None,
            tenant: made.tenant.clone(),
            actor: made.actor.clone(),
            correlation_id: made.correlation_id.clone(),
            traceparent: Some(made.traceparent.clone()),
            policy_revision: made.policies.revision.as_str().to_owned(),
            time: now,
        };
        let event_type = format!("{}.score_changed", made.resource);
        let event = |change: Change| Event {
            id: Uuid::now_v7(),
            event_type: event_type.clone(),
            resource: made.resource.clone(),
            record: Some(change.key.lead.clone()),
            time: change.score.calculated_at(),
            tenant: made.tenant.clone(),
            actor: made.actor.clone(),
            correlation_id: made.correlation_id.clone(),
            traceparent: Some(made.traceparent.clone()),
            policy_revision: intent.policy_revision.clone(),
            write: intent.id,
            views: readers
                .iter()
                .filter_map(|role| Some((role.clone(), view(made, role, &change)?)))
                .collect(),
        };
        let events: Vec<Event> = changes.into_iter().map(event).collect();
        let types = vec![event_type.as_str(); events.len()];
        let outcome = Outcome::Answered { status: made.status, events };
        match journal.record(intent, now, outcome).await {
            Ok(()) => EventsRecorded { types }.emit(&self.telemetry),
            Err(_) => WriteUnrecorded { moment: WriteMoment::Outcome }.emit(&self.telemetry),
        }
    }

    async fn retire(&self) {
        let now = OffsetDateTime::now_utc();
        let policies = self.policies.current();
        let scoring =
            policies.as_ref().and_then(|policies| policies.snapshot.set().scoring.as_ref());
        // What cannot be removed now can be removed later; the store tells of its own faults.
        if let Some(before) = scoring.and_then(|scoring| now.checked_sub(scoring.retention)) {
            let _ = self.history.retire(before).await;
        }
        let _ = self.history.retire_activities(now - time::Duration::days(ACTIVITY_DAYS)).await;
    }
}

/// What an event of a change says to one role: as much as its headers would.
fn view(made: &Made, role: &str, change: &Change) -> Option<Box<RawValue>> {
    let (snapshot, tenant) = (&made.policies.snapshot, made.tenant.as_deref());
    let terms = snapshot.score_terms(&made.resource, tenant, &[role.to_owned()]);
    let told = terms.as_ref().and_then(|terms| terms.rendering(&change.score));
    let text = match told {
        None => "{}".to_owned(),
        Some(told) => {
            let (old, new) = (change.old.word(), told.quality().word());
            let total = told.total().map(|total| format!(",\"total\":{total}")).unwrap_or_default();
            format!("{{\"old_quality\":\"{old}\",\"new_quality\":\"{new}\"{total}}}")
        }
    };
    RawValue::from_string(text).ok()
}
