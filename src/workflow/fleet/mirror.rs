//! What one sidecar knows of the group's runs: as new as the last word of the server.
//!
//! Pure. A change that comes twice, or late, changes nothing; whoever acts on what stands here finds
//! out from the server whether it was still so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use time::Duration;
use uuid::Uuid;

use super::super::runs::{Claim, Counts, RunStatus};
use super::record::SharedRun;
use crate::event::journal::moment::to_file;

/// The window in which starts are counted, in milliseconds.
const MINUTE: i64 = 60_000;

/// A run, and which of its values this is.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) revision: u64,
    pub(super) run: Arc<SharedRun>,
}

/// All runs, by id.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// Not ended, or ended and not yet let go of.
    active: BTreeMap<Uuid, Known>,
    ended: BTreeMap<Uuid, Known>,
    /// When the runs of a workflow began, as far back as a minute.
    starts: HashMap<String, BTreeSet<(i64, Uuid)>>,
}

/// What somebody may take, in this order.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) runs: Vec<(Uuid, Known)>,
    /// How many runs of which workflow have begun within a minute, and are under way.
    counted: HashMap<String, (u32, u32)>,
    /// When a workflow that is full may go on.
    pub(super) reopens: Option<i64>,
}

impl Mirror {
    /// Takes what the server says of a run, if it is new.
    pub(super) fn put(&mut self, id: Uuid, known: Known) {
        let before = self.active.get(&id).or_else(|| self.ended.get(&id));
        if before.is_some_and(|before| before.revision >= known.revision) {
            return;
        }
        if let Some(started) = known.run.started {
            self.starts.entry(known.run.workflow.clone()).or_default().insert((started, id));
        }
        let is_over = known.run.status.is_final() && known.run.owner.is_none();
        let (to, from) = if is_over {
            (&mut self.ended, &mut self.active)
        } else {
            (&mut self.active, &mut self.ended)
        };
        from.remove(&id);
        to.insert(id, known);
    }

    /// The run is gone.
    pub(super) fn remove(&mut self, id: Uuid) {
        self.active.remove(&id);
        self.ended.remove(&id);
    }

    /// Begins anew, before everything is told again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Known> {
        self.active.get(&id).or_else(|| self.ended.get(&id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Known> {
        self.active.values().chain(self.ended.values())
    }

    pub(super) fn ended_before(&self, before: i64) -> Vec<(Uuid, u64)> {
        let old = self.ended.iter().filter(|(_, known)| known.run.ended < Some(before));
        old.map(|(id, known)| (*id, known.revision)).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let count = |runs: &BTreeMap<Uuid, Known>, status| {
            runs.values().filter(|known| known.run.status == status).count() as u64
        };
        Counts {
            pending: count(&self.active, RunStatus::Pending),
            running: count(&self.active, RunStatus::Running),
            failed: count(&self.ended, RunStatus::Failed),
        }
    }

    /// What has begun and is free goes first, then new ones by priority and age.
    pub(super) fn candidates(&mut self, claim: &Claim) -> Candidates {
        let now = to_file(claim.now);
        let mut waiting = Vec::new();
        let mut pending = Vec::new();
        let mut counted: HashMap<String, (u32, u32)> = HashMap::new();
        for (id, known) in &self.active {
            let run = &known.run;
            let is_free = match run.status {
                RunStatus::Pending => {
                    pending.push((*id, known.clone()));
                    continue;
                }
                RunStatus::Running => {
                    counted.entry(run.workflow.clone()).or_default().1 += 1;
                    run.owner.is_none() && run.due.is_some_and(|due| due <= now)
                }
                RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => false,
            };
            let is_his = claim.aboard.contains(id) && run.owner.as_deref() == Some(&*claim.owner);
            if is_free || (run.is_abandoned(now) && !is_his) {
                waiting.push((*id, known.clone()));
            }
        }
        let since = now - MINUTE;
        for (workflow, starts) in &mut self.starts {
            *starts = starts.split_off(&(since + 1, Uuid::nil()));
            counted.entry(workflow.clone()).or_default().0 =
                u32::try_from(starts.len()).unwrap_or(u32::MAX);
        }
        self.starts.retain(|_, starts| !starts.is_empty());
        waiting.sort_by_key(|(id, known)| {
            (std::cmp::Reverse(known.run.priority), known.run.due, known.run.created, *id)
        });
        pending.sort_by_key(|(id, known)| {
            (std::cmp::Reverse(known.run.priority), known.run.created, *id)
        });
        waiting.append(&mut pending);
        Candidates { runs: waiting, counted, reopens: None }
    }

    /// When to ask again, if nothing happens before. What is his without being aboard is a claim whose
    /// answer never came; he waits for its end like for anybody's.
    pub(super) fn soonest(&self, owner: &str, aboard: &BTreeSet<Uuid>) -> Option<i64> {
        let times = self.active.iter().filter_map(|(id, known)| {
            let run = &known.run;
            match run.owner.as_deref() {
                None => run.due.filter(|_| run.status == RunStatus::Running),
                Some(of) if of == owner && aboard.contains(id) => None,
                Some(_) => run.lease,
            }
        });
        times.min()
    }

    /// When the how-manieth last start of a workflow within the minute was.
    pub(super) fn start_before(&self, workflow: &str, rate: u32) -> Option<i64> {
        let starts = self.starts.get(workflow)?;
        let back = usize::try_from(rate.saturating_sub(1)).ok()?;
        starts.iter().rev().nth(back).map(|(started, _)| *started)
    }
}

impl Candidates {
    /// Whether one more run of a workflow may start now, as far as this sidecar knows.
    pub(super) fn has_room(&mut self, claim: &Claim, run: &SharedRun, mirror: &Mirror) -> bool {
        let Some(bound) = claim.bounds.get(&run.workflow) else { return true };
        if bound.is_held && !run.is_by_hand() {
            return false;
        }
        let (started, running) = self.counted.get(&run.workflow).copied().unwrap_or_default();
        if let Some(rate) = bound.rate.filter(|rate| started >= *rate) {
            let oldest = mirror.start_before(&run.workflow, rate);
            let reopens = oldest.unwrap_or_else(|| to_file(claim.now)) + MINUTE + 1;
            self.reopens = Some(self.reopens.map_or(reopens, |before| before.min(reopens)));
            return false;
        }
        bound.concurrency.is_none_or(|most| running < most)
    }

    /// Counts a run that has started.
    pub(super) fn started(&mut self, workflow: &str) {
        let counted = self.counted.entry(workflow.to_owned()).or_default();
        counted.0 += 1;
        counted.1 += 1;
    }
}

/// The end of a lease that begins now.
pub(super) fn lease_end(claim: &Claim) -> i64 {
    let lease = Duration::try_from(claim.lease).unwrap_or(Duration::MAX);
    to_file(claim.now.checked_add(lease).unwrap_or(claim.now))
}
