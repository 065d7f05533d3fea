//! Events on their way to the group: published by the sidecar that saw the write, taken by whichever
//! has time.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::PublishMessage;
use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::super::catalogue::InForce;
use super::super::runs::{KeptMessage, Runs as _};
use super::super::starter::{new_runs, sink_name};
use super::{AFTER_FAULT, SharedRuns, bytes_of};
use crate::event::dispatch::Clock;
use crate::event::{Delivered, DeliveryFailure, Message, Sink};

/// Events that may wait for their acknowledgement at once.
const PARALLEL: usize = 64;

/// An event as the workflows of a role see it.
#[derive(Debug, Serialize, Deserialize)]
struct Carried {
    role: String,
    event: KeptMessage,
}

/// Brings the events of this sidecar's journal to the group. It accepts one when the server has it.
#[derive(Debug)]
pub struct FleetStarter {
    name: String,
    role: String,
    runs: SharedRuns,
    in_force: InForce,
}

impl FleetStarter {
    /// The starter for a role.
    #[must_use]
    pub fn new(role: &str, runs: SharedRuns, in_force: InForce) -> Self {
        Self { name: sink_name(role), role: role.to_owned(), runs, in_force }
    }
}

#[async_trait]
impl Sink for FleetStarter {
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
        if !self.in_force.current().waits_for(&self.role, &message.event_type) {
            return Delivered::Accepted;
        }
        let failed = |reason| Delivered::Failed { reason, retry_after: None };
        let Ok(buckets) = self.runs.link.buckets().await else {
            return failed(DeliveryFailure::Connect);
        };
        let carried = Carried { role: self.role.clone(), event: KeptMessage::of(message) };
        let Ok(payload) = bytes_of(&carried) else { return failed(DeliveryFailure::Write) };
        let publish = PublishMessage::build()
            .payload(payload)
            .headers(HeaderMap::new())
            .message_id(format!("{}:{}", message.id, self.role));
        let acknowledged =
            async { buckets.context.send_publish(buckets.subject.clone(), publish).await?.await };
        match acknowledged.await {
            Ok(_) => Delivered::Accepted,
            Err(_) => failed(DeliveryFailure::NotAcknowledged),
        }
    }
}

/// Takes events and starts their runs, for ever. An event that is not acknowledged comes again, here
/// or elsewhere, and starts nothing twice.
pub(super) async fn take(runs: &SharedRuns, in_force: &InForce, clock: &dyn Clock) {
    loop {
        if let Ok(buckets) = runs.link.buckets().await
            && let Ok(mut messages) = buckets.events.messages().await
        {
            while let Some(Ok(message)) = messages.next().await {
                let Some((role, event)) = read(&message.payload) else {
                    // Not one of ours; it would come for ever.
                    let _ = message.ack_with(AckKind::Term).await;
                    continue;
                };
                let starts = in_force.current().started_by(&role, &event);
                let new = new_runs(starts, &Arc::new(event));
                let answer = match runs.add(new, clock.now()).await {
                    Ok(_) => AckKind::Ack,
                    Err(_) => AckKind::Nak(Some(AFTER_FAULT)),
                };
                // Without an answer it comes again.
                let _ = message.ack_with(answer).await;
            }
        }
        tokio::time::sleep(AFTER_FAULT).await;
    }
}

fn read(payload: &[u8]) -> Option<(String, Message)> {
    let carried: Carried = serde_json::from_slice(payload).ok()?;
    let event = carried.event.message()?;
    Some((carried.role, event))
}
