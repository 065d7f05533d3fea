//! What becomes of scores behind the street: they are kept, calculated again where an activity came
//! by, and a change of quality becomes an event.
//!
//! The street hands over and goes on. Where more comes than can be kept, the rest is dropped: a score
//! can be calculated again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::activities::KnownActivities;
use super::governance::Governance;
use super::recording::Readers;
use super::scorer::Qualities;
use crate::event::journal::{Intent, Journal, Outcome};
use crate::event::{Causation, Event};
use crate::policy::{InForce, PolicyStore};
use crate::score::{ACTIVITY_DAYS, Score};
use crate::score_history::{Basis, Cause, Change, LeadKey, ScoreHistory, Scored, SeenActivity};
use crate::telemetry::{
    EventsRecorded, LeadsOfCompany, LeadsScored, ScoresDropped, Telemetry, WriteMoment,
    WriteUnrecorded,
};

/// Answers whose scores wait to be kept.
const MOST_WAITING: usize = 1024;

/// How long work may wait. To wake somebody for each answer would cost more than the answer's scores.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Most scores that are kept of one answer.
pub(super) const MOST_OF_ANSWER: usize = 1000;

/// How often what is too old is forgotten.
const RETIRE_EVERY: Duration = Duration::from_secs(600);

/// The leads are counted no more often than this, and so rarely that counting takes no more than a
/// hundredth of the time.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// What came by that had scores, or had to do with them.
#[derive(Debug, Clone)]
pub(super) struct Occasion {
    pub(super) policies: Arc<InForce<Governance>>,
    pub(super) tenant: Option<String>,
    /// The kind of lead.
    pub(super) resource: String,
    pub(super) cause: Cause,
    pub(super) method: String,
    /// The route's template.
    pub(super) route: Arc<str>,
    pub(super) status: u16,
    pub(super) actor: Option<String>,
    pub(super) correlation_id: String,
    pub(super) traceparent: Option<String>,
    /// The run that reads or writes; `None` where it is no run.
    pub(super) causation: Option<Causation>,
}

/// What is to be done about it.
#[derive(Debug)]
enum Task {
    /// To keep scores.
    Keep(Vec<Scored>),
    /// To calculate the scores of leads again, for their activities are others now.
    Recount(Vec<LeadKey>),
}

/// One of them, with who waits for its end.
#[derive(Debug)]
struct Work {
    occasion: Occasion,
    task: Task,
    done: Option<oneshot::Sender<()>>,
}

/// Takes what the street made. One for the whole process; clones share everything.
#[derive(Debug, Clone)]
pub struct ScoreKeeper {
    history: ScoreHistory,
    activities: Arc<KnownActivities>,
    waiting: Arc<Waiting>,
    telemetry: Telemetry,
}

/// Work that waits, in its order.
#[derive(Debug, Default)]
struct Waiting {
    work: Mutex<Vec<Work>>,
    /// Somebody waits for the end of some of it.
    hurry: Notify,
}

impl Waiting {
    /// Puts work to the rest; it comes back where there is too much of it already.
    fn push_or_return(&self, work: Work) -> Option<Work> {
        let mut waiting = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST_WAITING {
            return Some(work);
        }
        waiting.push(work);
        None
    }

    fn take(&self) -> Vec<Work> {
        std::mem::take(&mut *self.work.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps what the street made, and tells of changes.
#[derive(Debug)]
pub struct ScoreKeeping {
    history: ScoreHistory,
    activities: Arc<KnownActivities>,
    waiting: Arc<Waiting>,
    wanted: Option<mpsc::Receiver<LeadKey>>,
    /// Where events go, and the roles that read them.
    events: Option<(Journal, Readers)>,
    policies: Arc<PolicyStore<Governance>>,
    telemetry: Telemetry,
}

impl ScoreKeeper {
    /// Over what is kept already: activities that an earlier process saw count.
    pub async fn start(
        history: ScoreHistory,
        events: Option<(Journal, Readers)>,
        policies: Arc<PolicyStore<Governance>>,
        telemetry: Telemetry,
    ) -> (Self, ScoreKeeping) {
        let (activities, wanted) = KnownActivities::new();
        let activities = Arc::new(activities);
        let since = OffsetDateTime::now_utc() - time::Duration::days(ACTIVITY_DAYS);
        // What cannot be read is not counted, and the store tells of its own faults.
        for seen in history.activities_since(since).await.unwrap_or_default() {
            activities.saw(&seen);
        }
        let waiting = Arc::new(Waiting::default());
        let keeping = ScoreKeeping {
            history: history.clone(),
            activities: Arc::clone(&activities),
            waiting: Arc::clone(&waiting),
            wanted: Some(wanted),
            events,
            policies,
            telemetry: telemetry.clone(),
        };
        (Self { history, activities, waiting, telemetry }, keeping)
    }

    /// What is known of activities.
    pub(super) fn activities(&self) -> &Arc<KnownActivities> {
        &self.activities
    }

    /// The scores that are kept.
    #[must_use]
    pub fn history(&self) -> &ScoreHistory {
        &self.history
    }

    /// Notes activities, for the scores to come and for a later process, and has the scores of their
    /// leads calculated again.
    pub(super) fn saw(&self, seen: Vec<SeenActivity>, occasion: impl FnOnce() -> Occasion) {
        let news: Vec<SeenActivity> =
            seen.into_iter().filter(|seen| self.activities.saw(seen)).collect();
        if news.is_empty() {
            return;
        }
        let leads: HashSet<&LeadKey> = news.iter().map(|seen| &seen.key).collect();
        let leads = leads.into_iter().take(MOST_OF_ANSWER).cloned().collect();
        self.hand_over(occasion(), Task::Recount(leads));
        self.history.saw(news);
    }

    /// Keeps scores, soon.
    pub(super) fn keep(&self, occasion: Occasion, scores: Vec<Scored>) {
        if !scores.is_empty() {
            self.hand_over(occasion, Task::Keep(scores));
        }
    }

    /// Keeps scores, and returns when that is done.
    pub(super) async fn keep_now(&self, occasion: Occasion, scores: Vec<Scored>) {
        let (done, is_done) = oneshot::channel();
        let mut work = Work { occasion, task: Task::Keep(scores), done: Some(done) };
        while let Some(too_much) = self.waiting.push_or_return(work) {
            tokio::time::sleep(LOOK_EVERY).await;
            work = too_much;
        }
        self.waiting.hurry.notify_one();
        // An error means that the process ends.
        let _ = is_done.await;
    }

    /// Has the score of a lead calculated again, soon.
    pub(super) fn recount(&self, occasion: Occasion, lead: LeadKey) {
        self.hand_over(occasion, Task::Recount(vec![lead]));
    }

    fn hand_over(&self, occasion: Occasion, task: Task) {
        let work = Work { occasion, task, done: None };
        if self.waiting.push_or_return(work).is_some() {
            // They can be calculated again.
            ScoresDropped.emit(&self.telemetry);
        }
    }
}

impl ScoreKeeping {
    /// The leads whose activities the CRM should be asked for; once.
    #[must_use]
    pub fn take_wanted(&mut self) -> Option<mpsc::Receiver<LeadKey>> {
        self.wanted.take()
    }

    /// Keeps until it is to stop, and then what waits still.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retire = tokio::time::interval(RETIRE_EVERY);
        let mut count = Box::pin(tokio::time::sleep(Duration::ZERO));
        loop {
            tokio::select! {
                _ = look.tick() => self.work_off().await,
                () = self.waiting.hurry.notified() => self.work_off().await,
                _ = retire.tick() => self.retire().await,
                () = &mut count => {
                    let began = Instant::now();
                    self.count().await;
                    let pause = COUNT_EVERY.max(began.elapsed() * 100);
                    count.as_mut().reset(tokio::time::Instant::now() + pause);
                }
                () = &mut stop => break,
            }
        }
        self.work_off().await;
    }

    async fn work_off(&self) {
        for work in self.waiting.take() {
            self.work(work).await;
        }
    }

    async fn work(&self, Work { occasion, task, done }: Work) {
        let scores = match task {
            Task::Keep(scores) => scores,
            Task::Recount(leads) => self.recounted(&occasion, leads),
        };
        let changes = self.history.note(scores, occasion.cause).await;
        if let Some((journal, readers)) = self.events.as_ref().filter(|_| !changes.is_empty()) {
            self.tell(journal, readers, &occasion, changes).await;
        }
        if let Some(done) = done {
            // Whoever waited may have gone.
            let _ = done.send(());
        }
    }

    /// The scores of leads of which is known what their records said last. The others are calculated
    /// when they pass by, or when they are refreshed.
    fn recounted(&self, occasion: &Occasion, leads: Vec<LeadKey>) -> Vec<Scored> {
        let now = OffsetDateTime::now_utc();
        let began = Instant::now();
        let scoring = occasion.policies.snapshot.set().scoring.as_ref();
        let mut qualities = Qualities::default();
        let mut scores = Vec::new();
        for key in leads {
            let tenant = occasion.tenant.as_deref();
            let plan = scoring.and_then(|scoring| scoring.plan(&key.resource, tenant));
            let basis = self.history.basis(&key);
            // By other rules nobody knows what the record would have said.
            let (Some(plan), Some(Basis { plan: old, inputs })) = (plan, basis) else { continue };
            if plan.digest() != old.digest() {
                continue;
            }
            let activities = self.activities.of_lead(plan.activity_rule(), &key, now);
            let score = Score::of(plan, &inputs, activities, now);
            qualities.add(score.quality());
            scores.push(Scored { key, score, basis: Basis { plan: old, inputs } });
        }
        if !scores.is_empty() {
            let resource = occasion.resource.as_str();
            let (qualities, elapsed) = (qualities.by_word(), began.elapsed());
            LeadsScored { resource, qualities, elapsed }.emit(&self.telemetry);
        }
        scores
    }

    async fn tell(
        &self,
        journal: &Journal,
        readers: &Readers,
        occasion: &Occasion,
        changes: Vec<Change>,
    ) {
        let now = OffsetDateTime::now_utc();
        let readers = readers.now();
        let intent = Intent {
            id: Uuid::now_v7(),
            method: occasion.method.clone(),
            route: occasion.route.to_string(),
            resource: occasion.resource.clone(),
            record: None,
            tenant: occasion.tenant.clone(),
            actor: occasion.actor.clone(),
            correlation_id: occasion.correlation_id.clone(),
            traceparent: occasion.traceparent.clone(),
            policy_revision: occasion.policies.revision.clone(),
            causation: occasion.causation,
            time: now,
        };
        let event_type = format!("{}.score_changed", occasion.resource);
        let event = |change: Change| Event {
            id: Uuid::now_v7(),
            event_type: event_type.clone(),
            resource: occasion.resource.clone(),
            record: Some(change.key.lead.clone()),
            time: change.score.calculated_at(),
            tenant: occasion.tenant.clone(),
            actor: occasion.actor.clone(),
            correlation_id: occasion.correlation_id.clone(),
            traceparent: occasion.traceparent.clone(),
            policy_revision: intent.policy_revision.clone(),
            write: intent.id,
            views: readers
                .iter()
                .filter_map(|role| Some((role.clone(), view(occasion, role, &change)?)))
                .collect(),
        };
        let events: Vec<Event> = changes.into_iter().map(event).collect();
        let types = vec![event_type.as_str(); events.len()];
        let outcome = Outcome::Counted { status: occasion.status, events };
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

    /// Counts the leads that have scores, by company and quality.
    async fn count(&self) {
        let Ok(shares) = self.history.distribution().await else { return };
        let policies = self.policies.current();
        let scoring =
            policies.as_ref().and_then(|policies| policies.snapshot.set().scoring.as_ref());
        let shares = shares.iter().map(|share| {
            // Companies that the policies do not name may be any number.
            let is_named = scoring.is_some_and(|scoring| scoring.names(&share.tenant));
            let company = is_named.then_some(share.tenant.as_str());
            (company, share.quality.word(), share.leads)
        });
        LeadsOfCompany { shares: shares.collect() }.emit(&self.telemetry);
    }
}

/// What an event of a change says to one role: as much as its headers would. To a role that is told
/// nothing of scores, there is no event.
fn view(occasion: &Occasion, role: &str, change: &Change) -> Option<Box<RawValue>> {
    let (snapshot, tenant) = (&occasion.policies.snapshot, occasion.tenant.as_deref());
    let terms = snapshot.score_terms(&occasion.resource, tenant, &[role.to_owned()])?;
    let told = terms.rendering(&change.score)?;
    let (old, new) = (change.old.word(), told.quality().word());
    let total = told.total().map(|total| format!(",\"total_score\":{total}")).unwrap_or_default();
    let text = format!("{{\"old_quality\":\"{old}\",\"new_quality\":\"{new}\"{total}}}");
    RawValue::from_string(text).ok()
}
