//! An event as it is kept with the runs that it started.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use crate::event::{Causation, Message};

/// A [`Message`] in the store. Times are nanoseconds, so that nothing is lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::workflow) struct KeptMessage {
    id: String,
    event_type: String,
    source: String,
    resource: String,
    record: Option<String>,
    time: String,
    tenant: Option<String>,
    actor: Option<String>,
    correlation_id: String,
    traceparent: Option<String>,
    policy_revision: String,
    sequence: Option<u64>,
    cause: Option<(String, u32)>,
    data: Box<RawValue>,
}

impl PartialEq for KeptMessage {
    /// An event never changes.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.data.get() == other.data.get()
    }
}

impl KeptMessage {
    pub(in crate::workflow) fn of(message: &Message) -> Self {
        Self {
            id: message.id.to_string(),
            event_type: message.event_type.clone(),
            source: message.source.clone(),
            resource: message.resource.clone(),
            record: message.record.clone(),
            time: message.time.unix_timestamp_nanos().to_string(),
            tenant: message.tenant.clone(),
            actor: message.actor.clone(),
            correlation_id: message.correlation_id.clone(),
            traceparent: message.traceparent.clone(),
            policy_revision: message.policy_revision.clone(),
            sequence: message.sequence,
            cause: message.causation.map(|causation| (causation.run.to_string(), causation.depth)),
            data: message.data.clone(),
        }
    }

    /// `None` where it is not one of ours.
    pub(in crate::workflow) fn message(&self) -> Option<Message> {
        let causation = match &self.cause {
            Some((run, depth)) => Some(Causation { run: run.parse().ok()?, depth: *depth }),
            None => None,
        };
        let time = OffsetDateTime::from_unix_timestamp_nanos(self.time.parse().ok()?).ok()?;
        Some(Message {
            id: self.id.parse().ok()?,
            event_type: self.event_type.clone(),
            source: self.source.clone(),
            resource: self.resource.clone(),
            record: self.record.clone(),
            time,
            tenant: self.tenant.clone(),
            actor: self.actor.clone(),
            correlation_id: self.correlation_id.clone(),
            traceparent: self.traceparent.clone(),
            policy_revision: self.policy_revision.clone(),
            sequence: self.sequence,
            causation,
            data: self.data.clone(),
        })
    }
}

pub(super) fn to_text(message: &Message) -> String {
    // Of texts, numbers and JSON that is JSON already.
    serde_json::to_string(&KeptMessage::of(message)).unwrap_or_default()
}

/// `None` where the text is not one of ours.
pub(super) fn from_text(text: &str) -> Option<Message> {
    serde_json::from_str::<KeptMessage>(text).ok()?.message()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::envelope::tests::message;

    #[test]
    fn there_and_back() {
        let causation = Some(Causation { run: Uuid::from_u128(7), depth: 2 });
        let data = RawValue::from_string("{\"amount\":90071992547409931.10}".to_owned()).unwrap();
        for message in [message(), Message { causation, data, tenant: None, ..message() }] {
            let back = from_text(&to_text(&message)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{message:?}"));
        }
        assert!(from_text("{}").is_none());
    }
}
