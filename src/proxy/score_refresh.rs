//! Scores calculated anew although nobody asks for the leads: the old ones now and then, all of them
//! where an operator wants it.
//!
//! In batches, each on disk before the next one is read, so that what was ended half way goes on where
//! it was. One refresh at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use time::OffsetDateTime;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::governance::Governance;
use super::score_keeping::{Occasion, ScoreKeeper};
use super::score_reading::{Page, ScoreReader, Subject, Unread};
use super::upstream::Crm;
use crate::config;
use crate::correlation::CorrelationId;
use crate::policy::{InForce, PolicyStore};
use crate::score_history::{Cause, LeadKey, Refresh, RefreshKind, Scored};
use crate::telemetry::{RefreshStep, ScoreRefresh, ScoresRefreshed, Telemetry};

/// How often it is looked whether a refresh is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long a refresh that had to stop is left alone.
const TRIED_AGAIN: Duration = Duration::from_secs(600);

/// So many leads that cannot be read, before one that can, end a refresh: it is not them.
const MOST_FAILURES: usize = 10;

/// What the refresher works with.
pub struct RefreshParts {
    /// The way to the CRM.
    pub crm: Arc<Crm>,
    /// The credentials, and how fast to ask.
    pub settings: config::Scores,
    /// The header for the correlation id.
    pub correlation_header: http::HeaderName,
    /// Most bytes of one answer.
    pub largest_answer: usize,
    /// The policies in force.
    pub policies: Arc<PolicyStore<Governance>>,
    /// Keeps what is calculated.
    pub keeper: ScoreKeeper,
    /// Where it is told of.
    pub telemetry: Telemetry,
}

/// How far the refresh is that runs, or that ran last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Counts the refreshes of this process.
    pub number: u64,
    /// Whether it runs.
    pub is_running: bool,
    /// Which leads it is about.
    pub kind: Option<RefreshKind>,
    /// The company whose leads are read; `None` where callers have none.
    pub company: Option<String>,
    /// Their resource.
    pub resource: String,
    /// Whether it went on where an earlier one was ended.
    pub is_resumed: bool,
    /// Leads so far.
    pub done: u64,
    /// Leads in all, where that is known.
    pub total: Option<u64>,
    /// Leads of these that the CRM has no more, or that cannot be read.
    pub gone: u64,
    /// Why it had to stop, from a closed list.
    pub stopped: Option<&'static str>,
}

/// Calculates scores anew. Clones share everything.
#[derive(Debug, Clone)]
pub struct ScoreRefresher {
    reader: Arc<ScoreReader>,
    batch: usize,
    policies: Arc<PolicyStore<Governance>>,
    keeper: ScoreKeeper,
    telemetry: Telemetry,
    progress: Arc<watch::Sender<Progress>>,
    /// One at a time.
    running: Arc<Mutex<()>>,
}

/// A refresh had to stop.
struct Stopped(&'static str);

impl From<Unread> for Stopped {
    fn from(unread: Unread) -> Self {
        Self(unread.name())
    }
}

impl ScoreRefresher {
    /// Ready to be asked; reads nothing yet.
    #[must_use]
    pub fn new(parts: RefreshParts) -> Self {
        let reader = ScoreReader::new(
            parts.crm,
            &parts.settings,
            parts.correlation_header,
            parts.largest_answer,
            Arc::clone(parts.keeper.activities()),
        );
        Self {
            reader: Arc::new(reader),
            batch: parts.settings.batch,
            policies: parts.policies,
            keeper: parts.keeper,
            telemetry: parts.telemetry,
            progress: Arc::new(watch::channel(Progress::default()).0),
            running: Arc::default(),
        }
    }

    /// How far it is, now and from now on.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Whether any company's leads can be read.
    #[must_use]
    pub fn can_read(&self) -> bool {
        self.reader.tenants().next().is_some()
    }

    /// Begins a refresh, unless one runs already; says how far that one, or the new one, is.
    #[expect(clippy::must_use_candidate, reason = "it goes on whether or not anybody looks at it")]
    pub fn begin(&self, kind: RefreshKind) -> Progress {
        let Ok(running) = Arc::clone(&self.running).try_lock_owned() else {
            return self.progress.borrow().clone();
        };
        self.progress.send_modify(|progress| {
            let number = progress.number + 1;
            *progress =
                Progress { number, is_running: true, kind: Some(kind), ..Progress::default() };
        });
        let this = self.clone();
        tokio::spawn(async move {
            let _one_at_a_time = running;
            this.of_everybody(kind, Whose::All).await;
        });
        self.progress.borrow().clone()
    }

    /// Refreshes; returns when it is done or had to stop.
    pub async fn run(&self, kind: RefreshKind) -> Progress {
        let _one_at_a_time = self.running.lock().await;
        self.of_everybody(kind, Whose::All).await;
        self.progress.borrow().clone()
    }

    /// [`run`](Self::run) for those companies alone whose turn it is.
    async fn run_due(&self, first: RefreshKind) -> Progress {
        let _one_at_a_time = self.running.lock().await;
        self.of_everybody(first, Whose::Due).await;
        self.progress.borrow().clone()
    }

    /// Refreshes what is due, and asks for activities that are wanted, until it is to stop.
    pub async fn watch(self, mut wanted: mpsc::Receiver<LeadKey>, stop: impl Future<Output = ()>) {
        let asking = async {
            while let Some(key) = wanted.recv().await {
                self.ask_for_activities(key).await;
            }
        };
        let refreshing = async {
            let mut look = interval(LOOK_EVERY);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut not_before = Instant::now();
            loop {
                look.tick().await;
                if Instant::now() >= not_before
                    && let Some(kind) = self.due().await
                    && self.run_due(kind).await.stopped.is_some()
                {
                    not_before = Instant::now() + TRIED_AGAIN;
                }
            }
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(asking, refreshing) } => {}
            () = stop => {}
        }
    }

    /// What should be refreshed now: what was ended half way, else the old ones when it is time.
    async fn due(&self) -> Option<RefreshKind> {
        let policies = self.policies.current()?;
        let scoring = policies.snapshot.set().scoring.as_ref()?;
        let now = OffsetDateTime::now_utc();
        let mut due = None;
        for tenant in self.reader.tenants() {
            for resource in scoring.leads.keys() {
                let last = self.keeper.history().refresh_of(tenant, resource).await.ok()?;
                let is_half = last.as_ref().is_some_and(|last| last.ended.is_none());
                match due_after(last.as_ref(), scoring.refresh_every, now) {
                    Some(kind) if is_half => return Some(kind),
                    Some(kind) => due = Some(kind),
                    None => {}
                }
            }
        }
        due
    }

    async fn of_everybody(&self, kind: RefreshKind, whose: Whose) {
        let number = self.progress.borrow().number.max(1);
        self.progress.send_replace(Progress {
            number,
            is_running: true,
            kind: Some(kind),
            ..Progress::default()
        });
        let refreshed = self.of_each_company(kind, whose).await;
        self.progress.send_modify(|progress| {
            progress.is_running = false;
            progress.stopped = refreshed.err().map(|Stopped(reason)| reason);
        });
    }

    /// One that has to stop keeps no other from its refresh; the first reason is told.
    async fn of_each_company(&self, kind: RefreshKind, whose: Whose) -> Result<(), Stopped> {
        let policies = self.policies.current().ok_or(Stopped("policy_not_ready"))?;
        let Some(scoring) = policies.snapshot.set().scoring.as_ref() else {
            return Err(Stopped("no_scoring"));
        };
        let mut refreshed = Ok(());
        for tenant in self.reader.tenants() {
            for resource in scoring.leads.keys() {
                let kind = match whose {
                    Whose::All => Some(kind),
                    Whose::Due => {
                        let last = self.keeper.history().refresh_of(tenant, resource).await;
                        let last = last.map_err(|_| Stopped("store"))?;
                        due_after(last.as_ref(), scoring.refresh_every, OffsetDateTime::now_utc())
                    }
                };
                let Some(kind) = kind else { continue };
                let subject = Subject { policies: &policies, tenant, resource };
                refreshed = refreshed.and(self.of_one(subject, kind, scoring.stale_after).await);
            }
        }
        refreshed
    }

    async fn of_one(
        &self,
        subject: Subject<'_>,
        kind: RefreshKind,
        stale_after: time::Duration,
    ) -> Result<(), Stopped> {
        let mut run = Run::begin(self, subject, kind).await?;
        let done = match kind {
            RefreshKind::All => run.all().await,
            RefreshKind::Stale => run.stale(stale_after).await,
        };
        run.end(done).await
    }

    async fn ask_for_activities(&self, key: LeadKey) {
        let Some(policies) = self.policies.current() else { return };
        let subject = Subject { policies: &policies, tenant: &key.tenant, resource: &key.resource };
        // Who passes by again is asked for again.
        if self.reader.activities_of(&subject, &key).await.is_ok() {
            let occasion = occasion(&policies, &subject, Cause::Activity);
            self.keeper.recount(occasion, key.clone());
        }
    }

    /// Reads one lead and keeps its score.
    pub(super) async fn one(
        &self,
        policies: &Arc<InForce<Governance>>,
        key: &LeadKey,
    ) -> Result<Scored, Unread> {
        let subject = Subject { policies, tenant: &key.tenant, resource: &key.resource };
        match self.reader.lead(&subject, &key.lead).await {
            Ok(scored) => {
                let occasion = occasion(policies, &subject, Cause::Asked);
                self.keeper.keep(occasion, vec![scored.clone()]);
                Ok(scored)
            }
            Err(Unread::Gone) => {
                self.keeper.history().forget(key);
                Err(Unread::Gone)
            }
            Err(unread) => Err(unread),
        }
    }
}

/// The companies of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    All,
    /// Those whose turn it is, each with what is due there.
    Due,
}

/// What is due after the last refresh of a company's leads: what was ended half way goes on.
fn due_after(
    last: Option<&Refresh>,
    every: time::Duration,
    now: OffsetDateTime,
) -> Option<RefreshKind> {
    match last {
        Some(last) if last.ended.is_none() => Some(last.kind),
        Some(last) if now - last.began < every => None,
        Some(_) | None => Some(RefreshKind::Stale),
    }
}

/// The refresh of one company's leads of one kind.
struct Run<'a> {
    refresher: &'a ScoreRefresher,
    subject: Subject<'a>,
    state: Refresh,
    gone: u64,
    /// Leads that could not be read; `None` once one could.
    failures: Option<usize>,
}

impl<'a> Run<'a> {
    /// A new one, or the one that was ended half way.
    async fn begin(
        refresher: &'a ScoreRefresher,
        subject: Subject<'a>,
        kind: RefreshKind,
    ) -> Result<Self, Stopped> {
        let history = refresher.keeper.history();
        let last = history.refresh_of(subject.tenant, subject.resource).await;
        let last = last.map_err(|_| Stopped("store"))?;
        let half = last.filter(|last| last.ended.is_none() && last.kind == kind);
        let is_resumed = half.is_some();
        let state = half.unwrap_or_else(|| Refresh {
            tenant: subject.tenant.to_owned(),
            resource: subject.resource.to_owned(),
            kind,
            began: OffsetDateTime::now_utc(),
            ended: None,
            next: None,
            done: 0,
            total: None,
        });
        let run = Self { refresher, subject, state, gone: 0, failures: Some(0) };
        run.refresher.progress.send_modify(|progress| {
            progress.kind = Some(kind);
            progress.company = run.subject.company().map(ToOwned::to_owned);
            run.subject.resource.clone_into(&mut progress.resource);
            progress.is_resumed = is_resumed;
            progress.gone = 0;
        });
        run.show();
        run.tell(if is_resumed { RefreshStep::Resumed } else { RefreshStep::Begun });
        Ok(run)
    }

    fn tell(&self, what: RefreshStep) {
        let Refresh { done, total, .. } = self.state;
        let resource = self.subject.resource;
        ScoreRefresh { resource, done, total, what }.emit(&self.refresher.telemetry);
    }

    fn show(&self) {
        self.refresher.progress.send_modify(|progress| {
            progress.done = self.state.done;
            progress.total = self.state.total;
            progress.gone = self.gone;
        });
    }

    /// All leads that the CRM lists, page by page.
    async fn all(&mut self) -> Result<(), Stopped> {
        let first = self.subject.listing().ok_or(Stopped("no_listing"))?.target.clone();
        let mut target = self.state.next.clone().unwrap_or(first);
        loop {
            let Page { scores, records, next, total } =
                self.refresher.reader.page(&self.subject, &target).await?;
            self.state.total = total.or(self.state.total);
            self.keep(scores, records).await;
            let Some(next) = next.filter(|_| records > 0) else { return Ok(()) };
            target.clone_from(&next);
            self.state.next = Some(next);
            self.put().await?;
        }
    }

    /// The leads whose score is old, one by one.
    async fn stale(&mut self, stale_after: time::Duration) -> Result<(), Stopped> {
        let (tenant, resource) = (self.subject.tenant, self.subject.resource);
        let history = self.refresher.keeper.history();
        let before = self.state.began - stale_after;
        let rules = self.subject.plan().ok_or(Stopped("no_route"))?.digest().clone();
        let left = history.count_stale((tenant, resource), &rules, before).await;
        self.state.total = Some(self.state.done + left.map_err(|_| Stopped("store"))?);
        self.put().await?;
        // Those that stay old whatever is done.
        let mut unreadable: HashSet<String> = HashSet::new();
        let mut written: HashSet<String> = HashSet::new();
        loop {
            let most = self.refresher.batch + unreadable.len();
            let found = history.stale((tenant, resource), &rules, before, most).await;
            let mut batch = found.map_err(|_| Stopped("store"))?;
            batch.retain(|key| !unreadable.contains(&key.lead));
            batch.truncate(self.refresher.batch);
            if batch.is_empty() {
                return Ok(());
            }
            if batch.iter().any(|key| written.contains(&key.lead)) {
                // The store did not take the last batch, and would not take it the next time.
                return Err(Stopped("store"));
            }
            let scores = self.read(&batch).await?;
            written = scores.iter().map(|scored| scored.key.lead.clone()).collect();
            let leads = batch.iter().map(|key| &key.lead);
            unreadable.extend(leads.filter(|lead| !written.contains(*lead)).cloned());
            self.keep(scores, batch.len()).await;
            self.put().await?;
        }
    }

    async fn read(&mut self, batch: &[LeadKey]) -> Result<Vec<Scored>, Stopped> {
        let mut scores = Vec::new();
        for key in batch {
            match self.refresher.reader.lead(&self.subject, &key.lead).await {
                Ok(scored) => {
                    scores.push(scored);
                    self.failures = None;
                }
                Err(Unread::Gone) => {
                    self.refresher.keeper.history().forget(key);
                    self.gone += 1;
                    self.failures = None;
                }
                Err(unread @ (Unread::NoCredential | Unread::NoRoute | Unread::NotAllowed)) => {
                    return Err(unread.into());
                }
                Err(unread @ (Unread::Upstream | Unread::NoRecord | Unread::NotThis)) => {
                    self.gone += 1;
                    self.failures = self.failures.map(|failures| failures + 1);
                    if self.failures == Some(MOST_FAILURES) {
                        return Err(unread.into());
                    }
                }
            }
        }
        Ok(scores)
    }

    /// Keeps a batch; it is on disk when this returns.
    async fn keep(&mut self, scores: Vec<Scored>, of: usize) {
        let scored = scores.len() as u64;
        let occasion = occasion(self.subject.policies, &self.subject, Cause::Refresh);
        self.refresher.keeper.keep_now(occasion, scores).await;
        self.state.done += of as u64;
        let left = self.state.total.map(|total| total.saturating_sub(self.state.done));
        let gone = (of as u64).saturating_sub(scored);
        let resource = self.subject.resource;
        ScoresRefreshed { resource, scored, gone, left }.emit(&self.refresher.telemetry);
        self.show();
    }

    async fn put(&self) -> Result<(), Stopped> {
        let kept = self.refresher.keeper.history().keep_refresh(self.state.clone()).await;
        kept.map_err(|_| Stopped("store"))
    }

    async fn end(mut self, done: Result<(), Stopped>) -> Result<(), Stopped> {
        match done {
            Ok(()) => {
                self.state.ended = Some(OffsetDateTime::now_utc());
                self.state.next = None;
                self.put().await?;
                self.tell(RefreshStep::Ended);
                Ok(())
            }
            Err(Stopped(reason)) => {
                self.tell(RefreshStep::Stopped(reason));
                Err(Stopped(reason))
            }
        }
    }
}

/// What is told of scores that nobody asked for.
fn occasion(policies: &Arc<InForce<Governance>>, subject: &Subject<'_>, cause: Cause) -> Occasion {
    let routes = policies.snapshot.routes();
    let route = routes.record_by_id(subject.resource, "1").map(|(_, route)| route.template);
    Occasion {
        policies: Arc::clone(policies),
        tenant: subject.company().map(ToOwned::to_owned),
        resource: subject.resource.to_owned(),
        cause,
        method: Method::GET.as_str().to_owned(),
        route: route.unwrap_or_else(|| "unmatched".into()),
        status: 200,
        actor: None,
        correlation_id: CorrelationId::mint(&mut rand::rng()).as_str().to_owned(),
        traceparent: None,
        causation: None,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_refresh_is_due_when_its_time_has_come_or_it_was_ended_half_way() {
        let began = datetime!(2026-11-22 10:00 UTC);
        let day = time::Duration::DAY;
        let last = |ended| Refresh {
            tenant: "acme".to_owned(),
            resource: "lead".to_owned(),
            kind: RefreshKind::All,
            began,
            ended,
            next: None,
            done: 0,
            total: None,
        };
        let (half, whole) = (last(None), last(Some(began)));
        assert_eq!(due_after(None, day, began), Some(RefreshKind::Stale));
        assert_eq!(due_after(Some(&half), day, began), Some(RefreshKind::All));
        let at = |after| due_after(Some(&whole), day, began + after);
        assert_eq!(at(day - time::Duration::NANOSECOND), None);
        assert_eq!(at(day), Some(RefreshKind::Stale));
    }
}
