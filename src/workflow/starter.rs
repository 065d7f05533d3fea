//! Brings the events of the journal to the engine: a sink like any other, one for each role.
//!
//! It accepts an event when the runs that it starts are on disk. Brought again, it starts nothing
//! new.

use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::catalogue::{InForce, Start};
use super::runs::{Cause, NewRun, Runs};
use crate::event::dispatch::Clock;
use crate::event::{Delivered, DeliveryFailure, Message, Sink};

/// Events that may be on their way at once.
const PARALLEL: usize = 64;

/// Starts the runs of the workflows of one role.
#[derive(Debug)]
pub struct Starter {
    name: String,
    role: String,
    runs: Arc<dyn Runs>,
    in_force: InForce,
    clock: Arc<dyn Clock>,
}

impl Starter {
    /// The starter for a role.
    #[must_use]
    pub fn new(role: &str, runs: Arc<dyn Runs>, in_force: InForce, clock: Arc<dyn Clock>) -> Self {
        Self { name: sink_name(role), role: role.to_owned(), runs, in_force, clock }
    }
}

/// The name of the sink of a role in the journal; no configured sink can have it.
#[must_use]
pub fn sink_name(role: &str) -> String {
    format!("workflows:{role}")
}

/// How many runs stand between a run that this event starts and what somebody did.
#[must_use]
pub fn depth_after(event: &Message) -> u32 {
    event.causation.map_or(0, |causation| causation.depth).saturating_add(1)
}

/// The runs that an event starts. The same event always starts the same ones.
pub(super) fn new_runs(starts: Vec<Start>, event: &Arc<Message>) -> Vec<NewRun> {
    let runs = starts.into_iter().map(|start| NewRun {
        id: run_id(&start.workflow.name, event.id),
        workflow: start.workflow,
        cause: Cause::Event,
        priority: start.priority,
        event: Arc::clone(event),
        depth: depth_after(event),
    });
    runs.collect()
}

/// The id of the run of a workflow for an event: of the time of the event, and else a digest
/// (`UUIDv8`), so that whoever starts it gives it the same.
fn run_id(workflow: &str, event: Uuid) -> Uuid {
    let digest = Sha256::new().chain_update(event.as_bytes()).chain_update(workflow).finalize();
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let from = if at < 6 { event.as_bytes().get(at) } else { digest.get(at) };
        *byte = from.copied().unwrap_or_default();
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[async_trait]
impl Sink for Starter {
    fn name(&self) -> &str {
        &self.name
    }

    fn role(&self) -> &str {
        &self.role
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }

    async fn deliver(&self, message: &Message, _: u32) -> Delivered {
        let starts = self.in_force.current().started_by(&self.role, message);
        if starts.is_empty() {
            return Delivered::Accepted;
        }
        let runs = new_runs(starts, &Arc::new(message.clone()));
        match self.runs.add(runs, self.clock.now()).await {
            Ok(_) => Delivered::Accepted,
            Err(_) => Delivered::Failed { reason: DeliveryFailure::Write, retry_after: None },
        }
    }
}
