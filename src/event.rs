//! Domain events: what they are, and the shape in which a sink gets them.
//!
//! An event is never invented: it stands for a write that the CRM answered with success. What it
//! says is kept once for each role that reads it, already masked for that role; the raw record is
//! nowhere in it.

pub mod address;
pub mod detect;
pub mod dispatch;
pub mod envelope;
pub mod journal;
pub mod last_seen;
pub mod seen;
pub mod sink;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use sink::Doubt;

/// One domain event.
#[derive(Debug, Clone)]
pub struct Event {
    /// `UUIDv7`; the same in every delivery of it.
    pub id: Uuid,
    /// `deal.stage_changed`.
    pub event_type: String,
    /// The object type: `deal`.
    pub resource: String,
    /// The record's id; `None` where nothing told it.
    pub record: Option<String>,
    /// When the CRM's answer was observed.
    pub time: OffsetDateTime,
    /// The company.
    pub tenant: Option<String>,
    /// Who wrote.
    pub actor: Option<String>,
    /// The id that the request carried everywhere.
    pub correlation_id: String,
    /// W3C `traceparent` of the span that observed it.
    pub traceparent: Option<String>,
    /// The policies that the request began with.
    pub policy_revision: String,
    /// The observed write that it came from.
    pub write: Uuid,
    /// What it says, as each role may see it.
    pub views: BTreeMap<String, Box<RawValue>>,
}

/// What caused a write, where it was a run of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Causation {
    /// The run.
    pub run: Uuid,
    /// How many runs stand between what somebody did and this write, the run included: from 1.
    pub depth: u32,
}

/// An event as one sink gets it.
#[derive(Debug, Clone)]
pub struct Message {
    /// The event's id, the same in every attempt.
    pub id: Uuid,
    /// `deal.stage_changed`.
    pub event_type: String,
    /// Who says it, a URI reference: the configured `source`.
    pub source: String,
    /// The object type: `deal`.
    pub resource: String,
    /// The record's id; `None` where nothing told it.
    pub record: Option<String>,
    /// When the CRM's answer was observed.
    pub time: OffsetDateTime,
    /// The company.
    pub tenant: Option<String>,
    /// Who wrote.
    pub actor: Option<String>,
    /// The id that the request carried everywhere.
    pub correlation_id: String,
    /// W3C `traceparent` of the span that observed it.
    pub traceparent: Option<String>,
    /// The policies that the request began with.
    pub policy_revision: String,
    /// The how-manieth event of its subject, from 1; `None` where the subject is not known.
    pub sequence: Option<u64>,
    /// The run that wrote; `None` where it was no run.
    pub causation: Option<Causation>,
    /// What it says, as the sink's role may see it.
    pub data: Box<RawValue>,
}

impl Message {
    /// `deal/42`, the `CloudEvents` subject; `None` where the record is not known.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        self.record.as_ref().map(|record| format!("{}/{record}", self.resource))
    }
}

/// What became of one attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The receiver has it, durably as far as it can tell.
    Accepted,
    /// Not now; the schedule says when again, or the receiver did.
    Failed {
        /// Why, from a closed list; never a text of the receiver.
        reason: DeliveryFailure,
        /// The receiver asked to be left alone for so long.
        retry_after: Option<std::time::Duration>,
    },
    /// The receiver wants no more events at all (HTTP 410): the sink stops until it is started
    /// again.
    Disabled,
}

/// Why an attempt failed. Names are stable: they stand in the journal and in metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryFailure {
    /// The address is not one that events may go to.
    AddressRefused,
    /// No connection.
    Connect,
    /// TLS failed.
    Tls,
    /// It took too long.
    Timeout,
    /// The connection ended, or the answer made no sense.
    Broken,
    /// A status that is not 2xx, redirects included.
    Status(u16),
    /// The broker took the message but did not acknowledge it.
    NotAcknowledged,
    /// The sink's own place cannot be written.
    Write,
}

impl DeliveryFailure {
    /// The stable name, which stands in the journal.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::AddressRefused => "address_refused".to_owned(),
            Self::Connect => "connect".to_owned(),
            Self::Tls => "tls".to_owned(),
            Self::Timeout => "timeout".to_owned(),
            Self::Broken => "broken".to_owned(),
            Self::Status(status) => format!("status_{status}"),
            Self::NotAcknowledged => "not_acknowledged".to_owned(),
            Self::Write => "write".to_owned(),
        }
    }
}

/// Where events go. One attempt a call; order, retries and cursors are the dispatcher's.
#[async_trait]
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// The configured name.
    fn name(&self) -> &str;

    /// The role whose view of events it gets.
    fn role(&self) -> &str;

    /// How many attempts may be under way at once.
    fn parallel(&self) -> usize {
        1
    }

    /// Looks at the receiver before the first delivery and tells what is doubtful about it.
    async fn inspect(&self) -> Vec<Doubt> {
        Vec::new()
    }

    /// Tries once. `attempt` counts from 1.
    async fn deliver(&self, message: &Message, attempt: u32) -> Delivered;
}
