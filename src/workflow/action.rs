//! What the engine and an action agree on: the action with its templates filled in, what it may
//! know of its run, and what became of it.
//!
//! The engine decides when an action is due, how often it is tried, how long it may take and what a
//! failure means for the run. An action is one attempt and says how it went.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value as Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::condition::Value;
use crate::event::Message;

pub use crate::policy::workflow::{Action, ActionKind};

/// An action with its templates filled in: what is done, and what a dry run shows.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedAction {
    /// What it does.
    pub kind: ActionKind,
    /// With what. Numbers have the digits that the CRM gave them.
    pub payload: BTreeMap<String, Value<'static>>,
}

/// What an action may know of its run.
#[derive(Debug, Clone)]
pub struct ActionContext {
    /// The run.
    pub run: Uuid,
    /// The how-manieth action of the run, from 0.
    pub ordinal: u32,
    /// The how-manieth attempt, from 1.
    pub attempt: u32,
    /// The same in every attempt of this action in this run, and in no other.
    pub idempotency_key: String,
    /// The name of the workflow.
    pub workflow: String,
    /// The role that it acts as.
    pub role: String,
    /// The company of the event.
    pub tenant: Option<String>,
    /// The id that the request carried everywhere.
    pub correlation_id: String,
    /// How many runs stand between this one and what somebody did, this one included: 1 for an
    /// event that no run caused. Writes carry it, so that what they cause is counted on.
    pub causation_depth: u32,
    /// W3C `traceparent` of the span that this action belongs to.
    pub traceparent: Option<String>,
    /// The event, as the role may see it.
    pub event: Message,
    /// What time it is.
    pub now: OffsetDateTime,
    /// Whether nothing may be done or written. Actions of a dry run are rendered only.
    pub dry_run: bool,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an attempt that is not recorded is made again"]
pub enum Performed {
    /// It is done.
    Completed {
        /// What there is to tell of it; kept with the run, so no secret stands in it.
        result: Json,
    },
    /// It is not done, or nobody knows.
    Failed {
        /// Why, from a closed list: metric labels come from here.
        reason: ActionFailure,
        /// Whether another attempt may help.
        retryable: bool,
        /// For whoever reads the run: lowercase, and no text of a receiver.
        error: String,
    },
}

/// Why an attempt failed. Words are stable: they stand in runs and in metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionFailure {
    /// A template could not be filled in, or what it was filled with cannot stand there.
    Template,
    /// What the action needs is not configured.
    NotConfigured,
    /// The role of the workflow may not do this.
    NotPermitted,
    /// The address is not one that may be called.
    AddressRefused,
    /// No connection.
    Connect,
    /// TLS failed.
    Tls,
    /// It took too long.
    Timeout,
    /// The connection ended, or the answer made no sense.
    Broken,
    /// The receiver answered with a status that is no success.
    Status,
    /// The receiver refused the credentials.
    Unauthorized,
    /// The action's own place cannot be written.
    Write,
    /// The program failed in the middle of it.
    Internal,
}

impl ActionFailure {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Template,
        Self::NotConfigured,
        Self::NotPermitted,
        Self::AddressRefused,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Broken,
        Self::Status,
        Self::Unauthorized,
        Self::Write,
        Self::Internal,
    ];

    /// As it stands in runs and labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::NotConfigured => "not_configured",
            Self::NotPermitted => "not_permitted",
            Self::AddressRefused => "address_refused",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Status => "status",
            Self::Unauthorized => "unauthorized",
            Self::Write => "write",
            Self::Internal => "internal",
        }
    }
}

/// Carries actions out.
#[async_trait]
pub trait Perform: Send + Sync + std::fmt::Debug {
    /// Tries once. It may be dropped at any moment, when its time is over or the program stops; the
    /// next attempt has the same idempotency key.
    async fn perform(&self, action: &RenderedAction, context: &ActionContext) -> Performed;
}

impl RenderedAction {
    /// The string behind `key`, where a string stands there.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.payload.get(key)? {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => {
                None
            }
        }
    }

    /// The payload as one JSON object.
    #[must_use]
    pub fn payload_json(&self) -> String {
        let members = self
            .payload
            .iter()
            .map(|(name, value)| (std::borrow::Cow::Borrowed(name.as_str()), value.clone()));
        Value::Object(members.collect()).to_string()
    }
}
