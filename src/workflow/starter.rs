//! Brings the events of the journal to the engine: a sink like any other, one for each role.
//!
//! It accepts an event when the runs that it starts are on disk. Brought again, it starts nothing
//! new.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::catalogue::InForce;
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
        let event = Arc::new(message.clone());
        let runs = starts.into_iter().map(|start| NewRun {
            id: Uuid::now_v7(),
            workflow: start.workflow,
            cause: Cause::Event,
            priority: start.priority,
            event: Arc::clone(&event),
            depth: depth_after(message),
        });
        match self.runs.add(runs.collect(), self.clock.now()).await {
            Ok(_) => Delivered::Accepted,
            Err(_) => Delivered::Failed { reason: DeliveryFailure::Write, retry_after: None },
        }
    }
}
