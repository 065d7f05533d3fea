//! Runs that several sidecars share, in a bucket of NATS `JetStream`.
//!
//! A run is one value of the bucket. Whoever changes it names the value that the change starts from,
//! and the server refuses all but one, so that nobody needs a lock: a run is held by a lease that is
//! written into it, and taken over when the lease is out. Clocks of the machines should agree to
//! within a part of the lease; where they do not, an action may be done twice, with the same
//! idempotency key, and the run is still settled once.
//!
//! What the server says of all runs is mirrored here, so that looking for work asks nobody. Bounds of
//! workflows (`rate`, `concurrency`) are counted in the mirror: several sidecars that start runs in
//! the same moment may pass them by a few. While the mirror is being filled, nothing that is bounded
//! starts.

mod feed;
mod link;
mod mirror;
mod record;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store as Bucket, UpdateErrorKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use super::catalogue::InForce;
use super::runs::{
    Cancelled, Claim, Claimed, Counts, Filter, Listed, NewRun, Retried, Runs, Settled, Shown, Step,
};
use crate::config::Fleet as Settings;
use crate::event::dispatch::Clock;
use crate::event::journal::moment::{from_file, to_file};
use crate::store::StoreError;

pub use self::feed::FleetStarter;
use self::link::{Buckets, Link};
use self::mirror::{Known, Mirror, lease_end};
use self::record::SharedRun;

/// Pause before the server is asked again after a fault.
const AFTER_FAULT: Duration = Duration::from_millis(500);

/// How often a change is tried that others keep changing the run under.
const MOST_TRIES: usize = 16;

/// The runs of a group of sidecars. Clones share everything.
#[derive(Debug, Clone)]
pub struct SharedRuns {
    link: Arc<Link>,
    mirror: Arc<Mutex<Mirror>>,
    occasions: Arc<watch::Sender<u64>>,
    /// Whether everything that was there has been told once.
    is_current: Arc<watch::Sender<bool>>,
}

/// A definition as it is kept for runs that began with it.
#[derive(Debug, Serialize, Deserialize)]
struct KeptDefinition {
    name: String,
    file: String,
    text: String,
}

impl SharedRuns {
    /// The runs of the group that the settings name. Connects to nobody yet, see [`serve`](Self::serve).
    ///
    /// # Errors
    /// An address cannot be used.
    pub fn new(settings: Settings) -> Result<Self, &'static str> {
        Ok(Self {
            link: Arc::new(Link::new(settings)?),
            mirror: Arc::default(),
            occasions: Arc::new(watch::channel(0).0),
            is_current: Arc::new(watch::channel(false).0),
        })
    }

    /// Listens to what others do, and starts runs for the events that they or this sidecar bring,
    /// until `stop` resolves.
    pub async fn serve(
        &self,
        in_force: InForce,
        clock: Arc<dyn Clock>,
        stop: impl Future<Output = ()>,
    ) {
        tokio::select! {
            () = stop => {}
            () = self.listen() => {}
            () = feed::take(self, &in_force, clock.as_ref()) => {}
        }
    }

    /// Waits until everything that was there at the start is known.
    pub async fn wait_until_current(&self) {
        // The sender lives in `self`.
        let _ = self.is_current.subscribe().wait_for(|is_current| *is_current).await;
    }

    /// Keeps the mirror, for ever.
    pub async fn listen(&self) {
        loop {
            if let Ok(buckets) = self.link.buckets().await {
                self.follow(&buckets.runs).await;
            }
            self.is_current.send_replace(false);
            tokio::time::sleep(AFTER_FAULT).await;
        }
    }

    /// Takes every change, from the last values on, until the server does not tell any more.
    async fn follow(&self, bucket: &Bucket) {
        let Ok(mut told) = bucket.watch_with_history("run.*").await else { return };
        // What was removed meanwhile is not told of. Nothing can be counted until all is told.
        self.is_current.send_replace(false);
        self.mirror().forget();
        if bucket.status().await.is_ok_and(|status| status.values() == 0) {
            self.is_current.send_replace(true);
        }
        while let Some(Ok(entry)) = told.next().await {
            let id = entry.key.strip_prefix("run.").and_then(|id| id.parse::<Uuid>().ok());
            let Some(id) = id else { continue };
            match entry.operation {
                Operation::Put => {
                    let Ok(run) = serde_json::from_slice::<SharedRun>(&entry.value) else {
                        continue;
                    };
                    let known = Known { revision: entry.revision, run: Arc::new(run) };
                    self.mirror().put(id, known);
                }
                Operation::Delete | Operation::Purge => self.mirror().remove(id),
            }
            if entry.seen_current {
                self.is_current.send_replace(true);
                self.wake();
            }
        }
    }

    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.occasions.send_modify(|count| *count += 1);
    }

    /// Notes what this sidecar has written itself.
    fn note(&self, id: Uuid, revision: u64, run: SharedRun) {
        self.mirror().put(id, Known { revision, run: Arc::new(run) });
    }

    /// Changes a run, whatever others do to it meanwhile. `change` says what it comes to, and
    /// whether there is anything to write. `None` where there is no such run.
    async fn change<T>(
        &self,
        id: Uuid,
        mut change: impl FnMut(&mut SharedRun) -> (T, bool),
    ) -> Result<Option<T>, StoreError> {
        let buckets = self.link.buckets().await?;
        let known = self.mirror().get(id).cloned();
        let (mut revision, mut run) = match known {
            Some(known) => (known.revision, SharedRun::clone(&known.run)),
            None => match read(&buckets, id).await? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let mut is_fresh = false;
        for _ in 0..MOST_TRIES {
            let mut changed = run.clone();
            let (outcome, is_worth_it) = change(&mut changed);
            if !is_worth_it && is_fresh {
                return Ok(Some(outcome));
            }
            if is_worth_it && let Some(revision) = write(&buckets, id, &changed, revision).await? {
                self.note(id, revision, changed);
                return Ok(Some(outcome));
            }
            // The mirror was behind, or somebody was faster.
            match read(&buckets, id).await? {
                Some(found) => (revision, run) = found,
                None => return Ok(None),
            }
            is_fresh = true;
        }
        Err(StoreError::Busy)
    }
}

/// A number that differs between sidecars.
fn place_of(owner: &str) -> usize {
    owner.bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)))
}

/// A run as it stands on the server.
async fn read(buckets: &Buckets, id: Uuid) -> Result<Option<(u64, SharedRun)>, StoreError> {
    let found = buckets.runs.entry(SharedRun::key(id)).await;
    let Some(entry) = found.map_err(|_| StoreError::Unhealthy)? else { return Ok(None) };
    if entry.operation != Operation::Put {
        return Ok(None);
    }
    let run = serde_json::from_slice(&entry.value).map_err(|_| StoreError::Unhealthy)?;
    Ok(Some((entry.revision, run)))
}

/// Writes a run if it is still as it was; the new revision, or `None` where it is not.
async fn write(
    buckets: &Buckets,
    id: Uuid,
    run: &SharedRun,
    revision: u64,
) -> Result<Option<u64>, StoreError> {
    match buckets.runs.update(SharedRun::key(id), bytes_of(run)?, revision).await {
        Ok(revision) => Ok(Some(revision)),
        Err(error) => match error.kind() {
            UpdateErrorKind::WrongLastRevision => Ok(None),
            UpdateErrorKind::InvalidKey | UpdateErrorKind::TimedOut | UpdateErrorKind::Other => {
                Err(StoreError::NotCommitted)
            }
        },
    }
}

fn bytes_of<T: Serialize>(value: &T) -> Result<Bytes, StoreError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|_| StoreError::Unhealthy)
}

#[async_trait]
impl Runs for SharedRuns {
    async fn add(&self, runs: Vec<NewRun>, now: OffsetDateTime) -> Result<usize, StoreError> {
        let buckets = self.link.buckets().await?;
        let mut added = 0;
        for run in runs {
            let source = &run.workflow.origin.source;
            let kept = KeptDefinition {
                name: run.workflow.name.clone(),
                file: source.name().to_owned(),
                text: source.text().to_owned(),
            };
            self.link.keep_definition(&buckets, &run.workflow.digest, bytes_of(&kept)?).await?;
            let shared = SharedRun::new(&run, now);
            match buckets.runs.create(SharedRun::key(run.id), bytes_of(&shared)?).await {
                Ok(revision) => {
                    self.note(run.id, revision, shared);
                    added += 1;
                }
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
                Err(_) => return Err(StoreError::NotCommitted),
            }
        }
        if added > 0 {
            self.wake();
        }
        Ok(added)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let buckets = self.link.buckets().await?;
        let now = to_file(claim.now);
        let lease = lease_end(&claim);
        let mut candidates = self.mirror().candidates(&claim);
        let mut left = VecDeque::from(std::mem::take(&mut candidates.runs));
        let mut claimed = Claimed::default();
        let is_current = *self.is_current.borrow();
        while claimed.runs.len() < claim.limit
            && let Some((id, known)) = left.pop_front()
        {
            let is_new = known.run.started.is_none();
            let is_bounded = claim.bounds.contains_key(&known.run.workflow);
            if is_new && is_bounded && !is_current {
                continue;
            }
            if is_new && !candidates.has_room(&claim, &known.run, &self.mirror()) {
                continue;
            }
            let mut run = SharedRun::clone(&known.run);
            if run.owner.is_some() {
                run.free(now, claim.most_interruptions);
            }
            let is_given_up = run.status.is_final();
            if !is_given_up {
                run.begin(&claim.owner, now, lease);
            }
            match write(&buckets, id, &run, known.revision).await {
                Ok(Some(revision)) => {
                    if is_new {
                        candidates.started(&run.workflow);
                    }
                    claimed.runs.extend(run.claimed().filter(|_| !is_given_up));
                    self.note(id, revision, run);
                }
                // Others take from the front too: go on somewhere else, each at a place of his own.
                Ok(None) => {
                    let length = left.len().min(claim.limit);
                    if length > 0 {
                        left.rotate_left(place_of(&claim.owner) % length);
                    }
                }
                // What has been taken is carried out all the same.
                Err(_) if !claimed.runs.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        let mut aboard = claim.aboard.as_ref().clone();
        aboard.extend(claimed.runs.iter().map(|run| run.id));
        let soonest = self.mirror().soonest(&claim.owner, &aboard);
        let next = [soonest, candidates.reopens].into_iter().flatten().min();
        claimed.next = next.map(from_file);
        Ok(claimed)
    }

    /// Nobody knows here whether others live: what they hold is free when their leases are out.
    async fn recover(&self, _: OffsetDateTime) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn renew(
        &self,
        owner: Arc<str>,
        runs: Vec<Uuid>,
        until: OffsetDateTime,
    ) -> Result<(), StoreError> {
        for run in runs {
            let prolong = |run: &mut SharedRun| {
                let is_his = run.owner.as_deref() == Some(&*owner);
                if is_his {
                    run.lease = Some(to_file(until));
                }
                ((), is_his)
            };
            // One that is gone is somebody else's matter.
            let _: Option<()> = self.change(run, prolong).await?;
        }
        Ok(())
    }

    async fn settle(&self, step: Step) -> Result<Settled, StoreError> {
        let settle = |run: &mut SharedRun| {
            let settled = run.settle(&step);
            (settled, settled != Settled::Lost)
        };
        let settled = self.change(step.run, settle).await?.unwrap_or(Settled::Lost);
        self.wake();
        Ok(settled)
    }

    async fn taken_back(&self, runs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let mirror = self.mirror();
        let is_taken_back = |run: &Uuid| {
            let known = mirror.get(*run);
            known.is_some_and(|known| known.run.status == super::runs::RunStatus::Cancelled)
        };
        Ok(runs.into_iter().filter(is_taken_back).collect())
    }

    async fn definition(&self, digest: String) -> Result<Option<(String, String)>, StoreError> {
        let buckets = self.link.buckets().await?;
        let found = buckets.definitions.get(digest).await.map_err(|_| StoreError::Unhealthy)?;
        let kept = found.and_then(|bytes| serde_json::from_slice::<KeptDefinition>(&bytes).ok());
        Ok(kept.map(|kept| (kept.file, kept.text)))
    }

    async fn retire(&self, ended_before: OffsetDateTime) -> Result<usize, StoreError> {
        let buckets = self.link.buckets().await?;
        let old = self.mirror().ended_before(to_file(ended_before));
        let mut retired = 0;
        for (id, revision) in old {
            let removed =
                buckets.runs.purge_expect_revision(SharedRun::key(id), Some(revision)).await;
            // Another sidecar may have removed it, or begun it again.
            if removed.is_ok() {
                self.mirror().remove(id);
                retired += 1;
            }
        }
        Ok(retired)
    }

    async fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Listed>, StoreError> {
        // An empty mirror that has heard of nothing yet would lie.
        self.link.buckets().await?;
        let mut listed: Vec<Listed> =
            self.mirror().all().filter_map(|known| known.run.listed()).collect();
        listed.retain(|run| {
            filter.workflow.as_ref().is_none_or(|workflow| *workflow == run.workflow)
                && filter.status.is_none_or(|status| status == run.status)
                && filter.event.is_none_or(|event| event == run.event)
                && filter.correlation_id.as_ref().is_none_or(|id| *id == run.correlation_id)
        });
        listed.sort_by_key(|run| std::cmp::Reverse((run.created, run.id)));
        listed.truncate(limit);
        Ok(listed)
    }

    async fn show(&self, run: Uuid) -> Result<Option<Shown>, StoreError> {
        let buckets = self.link.buckets().await?;
        Ok(read(&buckets, run).await?.and_then(|(_, run)| run.shown()))
    }

    async fn cancel(&self, run: Uuid, now: OffsetDateTime) -> Result<Cancelled, StoreError> {
        let cancel = |run: &mut SharedRun| {
            let cancelled = run.cancel(now);
            (cancelled, cancelled == Cancelled::Yes)
        };
        let cancelled = self.change(run, cancel).await?.unwrap_or(Cancelled::Unknown);
        self.wake();
        Ok(cancelled)
    }

    async fn retry(&self, run: Uuid) -> Result<Retried, StoreError> {
        let retry = |run: &mut SharedRun| {
            let retried = run.retry();
            (retried, retried == Retried::Yes)
        };
        let retried = self.change(run, retry).await?.unwrap_or(Retried::Unknown);
        self.wake();
        Ok(retried)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(self.mirror().counts())
    }

    fn occasions(&self) -> watch::Receiver<u64> {
        self.occasions.subscribe()
    }

    fn foreign_writes(&self) -> watch::Receiver<u64> {
        self.occasions.subscribe()
    }
}
