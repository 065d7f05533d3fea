//! Workflows as checked: what starts one, in whose role it acts, and what it does.
//!
//! Pure, and nothing here acts: a workflow is described, its templates are not filled in.

pub mod template;
mod trial;

use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::set::Origin;
use crate::condition::{Condition, Value};
use crate::diagnostic::SourceFile;
pub use trial::{ExpectedAction, ExpectedRun, TestEvent, WorkflowTest};

/// The type of the event that stands for a write nobody knows the outcome of.
pub const OUTCOME_UNKNOWN: &str = "write.outcome_unknown";

/// What conditions and templates may ask of an event itself: `event.type`.
pub const EVENT_FACTS: [&str; 10] = [
    "id",
    "type",
    "subject",
    "resource",
    "record",
    "time",
    "tenant",
    "actor",
    "correlation_id",
    "sequence",
];

/// One file of `workflows/`.
#[derive(Debug)]
pub struct Workflow {
    /// Its name, by which runs are told apart: `qualify_high_value_leads`.
    pub name: String,
    /// The one company that it is for; `None` is all of them.
    pub tenant: Option<String>,
    /// Whether it runs.
    pub status: Status,
    /// The role that it acts as: it sees of an event what this role may see.
    pub role: String,
    /// What starts it; any of them does. Never empty.
    pub triggers: Vec<Trigger>,
    /// What it does, one after another. Never empty.
    pub actions: Vec<Action>,
    /// How long, how often and how many at once.
    pub limits: Limits,
    /// The file; its text is what a run that has begun goes on with.
    pub origin: Origin,
    /// SHA-256 over the text of the file, in hex.
    pub digest: String,
}

/// Whether a workflow runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Status {
    /// Being written: runs only by hand.
    #[default]
    Draft,
    /// Runs.
    Active,
    /// Starts nothing new for now; runs only by hand.
    Paused,
    /// Kept for reading only.
    Archived,
}

/// One thing that starts a workflow.
#[derive(Debug)]
pub struct Trigger {
    /// The type of the event: `deal.won`.
    pub event: String,
    /// What must hold of it. The empty condition where nothing is declared.
    pub conditions: Condition,
    /// Runs of a higher one go first.
    pub priority: i64,
    /// Where the event is named.
    pub origin: Origin,
}

/// One step of a workflow.
#[derive(Debug, Clone)]
pub struct Action {
    /// What it does.
    pub kind: ActionKind,
    /// With what: values as written, with templates in their texts.
    pub payload: BTreeMap<String, Value<'static>>,
    /// Whether the run goes on where it fails.
    pub allow_failure: bool,
    /// How often it is tried.
    pub retry: Retry,
    /// The longest that one attempt may take.
    pub timeout: Duration,
    /// It is left out where this does not hold. The empty condition where nothing is declared.
    pub when: Condition,
    /// Where it is named.
    pub origin: Origin,
}

/// How often an action is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least one.
    pub attempts: u32,
    /// The pause after the first; it doubles with each further one.
    pub backoff: Duration,
}

/// Bounds of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest that a run may take from its start, waiting included.
    pub max_execution_time: Duration,
    /// The most actions that a run may perform.
    pub max_actions: u32,
    /// Runs that may start within a minute; `None` is any number.
    pub rate: Option<u32>,
    /// Runs at the same time; `None` is any number.
    pub concurrency: Option<u32>,
}

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    /// Sends a mail.
    SendEmail,
    /// Writes a note into the CRM.
    AddNote,
    /// Changes one field of a record of the CRM.
    UpdateField,
    /// Creates a task in the CRM.
    CreateTask,
    /// Exports what a list of the CRM shows to the workflow's role.
    EnqueueExport,
    /// Tells somebody in a channel.
    SendNotification,
    /// Calls an address.
    CallWebhook,
}

/// One key of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadKey {
    /// As it is written.
    pub name: &'static str,
    /// Whether it must stand there.
    pub is_required: bool,
    /// What may stand behind it.
    pub shape: Shape,
}

/// What may stand behind a key of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A string, perhaps with templates.
    Text,
    /// One of these words, or a template.
    Word(&'static [&'static str]),
    /// A mapping of the user's own names; its texts may hold templates.
    Mapping,
    /// Anything; texts in it may hold templates.
    Any,
}

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

const fn required(name: &'static str, shape: Shape) -> PayloadKey {
    PayloadKey { name, is_required: true, shape }
}

const fn optional(name: &'static str, shape: Shape) -> PayloadKey {
    PayloadKey { name, is_required: false, shape }
}

impl ActionKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::SendEmail,
        Self::AddNote,
        Self::UpdateField,
        Self::CreateTask,
        Self::EnqueueExport,
        Self::SendNotification,
        Self::CallWebhook,
    ];

    /// As it is written in a file and kept in runs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::SendEmail => "send_email",
            Self::AddNote => "add_note",
            Self::UpdateField => "update_field",
            Self::CreateTask => "create_task",
            Self::EnqueueExport => "enqueue_export",
            Self::SendNotification => "send_notification",
            Self::CallWebhook => "call_webhook",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether it writes to the CRM, and so may start a workflow again.
    #[must_use]
    pub fn writes_to_the_crm(self) -> bool {
        match self {
            Self::AddNote | Self::UpdateField | Self::CreateTask => true,
            Self::SendEmail | Self::EnqueueExport | Self::SendNotification | Self::CallWebhook => {
                false
            }
        }
    }

    /// The keys that its payload may have.
    #[must_use]
    pub fn payload(self) -> &'static [PayloadKey] {
        const SEND_EMAIL: &[PayloadKey] = &[
            required("to", Shape::Any),
            required("subject", Shape::Text),
            optional("template", Shape::Text),
            optional("body", Shape::Text),
            optional("variables", Shape::Mapping),
        ];
        const ADD_NOTE: &[PayloadKey] = &[
            required("entity_type", Shape::Text),
            required("entity_id", Shape::Text),
            required("note", Shape::Text),
            optional("visibility", Shape::Text),
        ];
        const UPDATE_FIELD: &[PayloadKey] = &[
            required("entity_type", Shape::Text),
            required("entity_id", Shape::Text),
            required("field", Shape::Text),
            required("value", Shape::Any),
        ];
        const CREATE_TASK: &[PayloadKey] = &[
            required("title", Shape::Text),
            optional("description", Shape::Text),
            optional("assignee", Shape::Text),
            optional("due_date", Shape::Text),
            optional("priority", Shape::Text),
        ];
        const ENQUEUE_EXPORT: &[PayloadKey] = &[
            required("export_type", Shape::Word(&["csv", "json"])),
            required("entity_type", Shape::Text),
            optional("filters", Shape::Mapping),
            optional("email_to", Shape::Any),
        ];
        const SEND_NOTIFICATION: &[PayloadKey] = &[
            required("recipient", Shape::Text),
            required("message", Shape::Text),
            optional("notification_type", Shape::Text),
            optional("link", Shape::Text),
        ];
        const CALL_WEBHOOK: &[PayloadKey] = &[
            required("url", Shape::Text),
            optional("method", Shape::Word(METHODS)),
            optional("headers", Shape::Mapping),
            optional("body", Shape::Any),
        ];
        match self {
            Self::SendEmail => SEND_EMAIL,
            Self::AddNote => ADD_NOTE,
            Self::UpdateField => UPDATE_FIELD,
            Self::CreateTask => CREATE_TASK,
            Self::EnqueueExport => ENQUEUE_EXPORT,
            Self::SendNotification => SEND_NOTIFICATION,
            Self::CallWebhook => CALL_WEBHOOK,
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl Status {
    /// Every status with its word.
    pub const ALL: [(&'static str, Self); 4] = [
        ("draft", Self::Draft),
        ("active", Self::Active),
        ("paused", Self::Paused),
        ("archived", Self::Archived),
    ];

    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 1, backoff: Duration::from_secs(5) }
    }
}

impl Retry {
    /// The longest pause between two attempts.
    pub const LONGEST: Duration = Duration::from_secs(60 * 60);

    /// The pause after a failed attempt (from 1); `None` after the last one. It varies by a tenth
    /// up and down, so that what failed together does not come back together; `chance` is from 0
    /// up to 1.
    #[must_use]
    pub fn after(&self, attempt: u32, chance: f64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = self.backoff.checked_mul(doubled).unwrap_or(Self::LONGEST).min(Self::LONGEST);
        Some(pause.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0)))
    }
}

impl Workflow {
    /// Reads the text of one file on its own, for a run that began with it while the files have
    /// moved on. `None` where it has a fault.
    #[must_use]
    pub fn alone(source: &Arc<SourceFile>) -> Option<Self> {
        super::read::workflow_alone(source)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_execution_time: Duration::from_secs(300),
            max_actions: 50,
            rate: None,
            concurrency: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_kinds_are_one_to_one() {
        for kind in ActionKind::ALL {
            assert_eq!(ActionKind::from_word(kind.word()), Some(kind));
            assert!(kind.payload().iter().any(|key| key.is_required), "{kind}");
        }
        assert_eq!(ActionKind::from_word("send_mail"), None);
        for (word, status) in Status::ALL {
            assert_eq!(status.word(), word);
        }
    }

    #[track_caller]
    fn check(attempts: u32, attempt: u32, chance: f64, expect: Option<f64>) {
        let retry = Retry { attempts, backoff: Duration::from_secs(10) };
        assert_eq!(retry.after(attempt, chance), expect.map(Duration::from_secs_f64));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        check(1, 1, 0.5, None);
        check(3, 1, 0.5, Some(10.0));
        check(3, 2, 0.5, Some(20.0));
        check(3, 3, 0.5, None);
        check(3, 1, 0.0, Some(9.0));
        check(3, 1, 1.0, Some(11.0));
        check(90, 20, 0.5, Some(3600.0));
        check(90, 80, 0.5, Some(3600.0));
    }
}
