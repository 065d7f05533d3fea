//! Workflows, runs and rehearsals as JSON, for the API and for commands that print it.

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::catalogue::Verdict;
use super::rehearsal::{Deed, Rehearsed};
use super::runs::{ActionRun, Listed, Shown};
use crate::policy::workflow::Workflow;

/// A workflow in a list.
#[derive(Debug, Serialize)]
pub struct WorkflowForm {
    id: String,
    name: String,
    status: &'static str,
    tenant: Option<String>,
    role: String,
    triggers: Vec<TriggerForm>,
    actions: Vec<&'static str>,
    revision: String,
    file: String,
}

#[derive(Debug, Serialize)]
struct TriggerForm {
    event: String,
    priority: i64,
}

/// A run, with its actions where one run is shown.
#[derive(Debug, Serialize)]
pub struct RunForm {
    id: String,
    workflow: String,
    status: &'static str,
    event: EventForm,
    tenant: Option<String>,
    role: String,
    correlation_id: String,
    priority: i64,
    causation_depth: u32,
    created_at: Option<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interruptions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actions: Option<Vec<ActionForm>>,
}

#[derive(Debug, Serialize)]
struct EventForm {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: Option<String>,
}

#[derive(Debug, Serialize)]
struct ActionForm {
    ordinal: u32,
    action: String,
    status: &'static str,
    attempts: u32,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Whether an event starts a workflow, and which comparisons decided.
#[derive(Debug, Serialize)]
pub struct VerdictForm {
    starts: bool,
    decided_by: Vec<String>,
}

/// What an action would do.
#[derive(Debug, Serialize)]
pub struct RehearsedForm {
    ordinal: u32,
    action: &'static str,
    /// `would_perform`, `left_out` or `would_fail`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A workflow without its texts.
#[must_use]
pub fn workflow(workflow: &Workflow) -> WorkflowForm {
    let triggers = workflow
        .triggers
        .iter()
        .map(|trigger| TriggerForm { event: trigger.event.clone(), priority: trigger.priority });
    WorkflowForm {
        id: workflow.name.clone(),
        name: workflow.name.clone(),
        status: workflow.status.word(),
        tenant: workflow.tenant.clone(),
        role: workflow.role.clone(),
        triggers: triggers.collect(),
        actions: workflow.actions.iter().map(|action| action.kind.word()).collect(),
        revision: workflow.digest.clone(),
        file: workflow.origin.source.name().to_owned(),
    }
}

/// A run in a list.
#[must_use]
pub fn listed(run: &Listed) -> RunForm {
    RunForm {
        id: run.id.to_string(),
        workflow: run.workflow.clone(),
        status: run.status.word(),
        event: EventForm {
            id: run.event.to_string(),
            event_type: run.event_type.clone(),
            subject: run.subject.clone(),
        },
        tenant: run.tenant.clone(),
        role: run.role.clone(),
        correlation_id: run.correlation_id.clone(),
        priority: run.priority,
        causation_depth: run.depth,
        created_at: moment(run.created),
        started_at: run.started.and_then(moment),
        ended_at: run.ended.and_then(moment),
        duration_ms: run.duration_ms,
        next_attempt_at: run.due.and_then(moment),
        failure: run.failure.clone(),
        error: run.error.clone(),
        interruptions: None,
        actions: None,
    }
}

/// A run with its actions.
#[must_use]
pub fn shown(shown: &Shown) -> RunForm {
    RunForm {
        interruptions: Some(shown.interruptions),
        actions: Some(shown.actions.iter().map(action).collect()),
        ..listed(&shown.run)
    }
}

fn action(action: &ActionRun) -> ActionForm {
    ActionForm {
        ordinal: action.ordinal,
        action: action.kind.clone(),
        status: action.status.word(),
        attempts: action.attempts,
        started_at: action.started.and_then(moment),
        ended_at: action.ended.and_then(moment),
        duration_ms: action.duration_ms,
        result: action.result.as_ref().and_then(|text| RawValue::from_string(text.clone()).ok()),
        failure: action.failure.clone(),
        error: action.error.clone(),
    }
}

/// Whether an event starts a workflow.
#[must_use]
pub fn verdict(verdict: &Verdict) -> VerdictForm {
    VerdictForm { starts: verdict.starts, decided_by: verdict.decided_by.clone() }
}

/// What the actions of a workflow would do.
#[must_use]
pub fn rehearsed(all: &[Rehearsed]) -> Vec<RehearsedForm> {
    let forms = all.iter().map(|one| {
        let (outcome, payload, reason) = match &one.deed {
            Deed::Performed(action) => {
                ("would_perform", RawValue::from_string(action.payload_json()).ok(), None)
            }
            Deed::LeftOut(why) => ("left_out", None, Some(why.clone())),
            Deed::Failed(why) => ("would_fail", None, Some(why.clone())),
        };
        RehearsedForm { ordinal: one.ordinal, action: one.kind.word(), outcome, payload, reason }
    });
    forms.collect()
}

fn moment(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}
