//! Tests that stand beside workflows: an event, and the runs and actions that it is to start.
//!
//! Pure. Only what is expected is here; it is held against what would happen elsewhere.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::ActionKind;
use crate::condition::Value;
use crate::policy::set::Origin;

/// One entry of `tests:`.
#[derive(Debug)]
pub struct WorkflowTest {
    /// What it is about.
    pub name: String,
    /// What happens.
    pub event: TestEvent,
    /// What time it is then.
    pub at: OffsetDateTime,
    /// The environment that templates may name.
    pub env: BTreeMap<String, String>,
    /// Every run that is to start, in the order in which they go.
    pub expect: Vec<ExpectedRun>,
    /// Where its name stands.
    pub origin: Origin,
}

/// An event, as the role of a workflow sees it.
#[derive(Debug)]
pub struct TestEvent {
    /// `lead.created`
    pub event_type: String,
    /// The object type; what stands before the first dot of the type, unless it is given.
    pub resource: String,
    /// The record's id; `id` of the record, unless it is given.
    pub id: Option<String>,
    /// The company.
    pub tenant: Option<String>,
    /// Who wrote.
    pub actor: Option<String>,
    /// The record.
    pub record: Option<Value<'static>>,
    /// What the event says beside the record.
    pub data: BTreeMap<String, Value<'static>>,
}

/// A run that is to start.
#[derive(Debug)]
pub struct ExpectedRun {
    /// The workflow.
    pub workflow: String,
    /// The actions that it performs, in order; `None` where they do not matter.
    pub actions: Option<Vec<ExpectedAction>>,
    /// Where the workflow is named.
    pub origin: Origin,
}

/// An action that is to be performed.
#[derive(Debug)]
pub struct ExpectedAction {
    /// What it does.
    pub kind: ActionKind,
    /// With what, rendered; `None` where it does not matter. Keys that are left out do not matter.
    pub payload: Option<BTreeMap<String, Value<'static>>>,
    /// Where it is named.
    pub origin: Origin,
}
