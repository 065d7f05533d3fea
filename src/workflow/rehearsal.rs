//! A run without deeds: what each action would do. Nothing is performed and nothing is written.
//!
//! Pure: the event and the time are arguments.

use time::OffsetDateTime;
use uuid::Uuid;

use super::action::{ActionContext, ActionKind, RenderedAction};
use super::facts::{EventFacts, why_not};
use super::render::Renderer;
use super::starter::depth_after;
use crate::event::Message;
use crate::policy::workflow::Workflow;

/// What one action would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// The how-manieth, from 0.
    pub ordinal: u32,
    /// What it does.
    pub kind: ActionKind,
    /// How it would go.
    pub deed: Deed,
}

/// How an action would go.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// It would do this.
    Performed(RenderedAction),
    /// It would be left out: its `when` does not hold, for this reason.
    LeftOut(String),
    /// It would fail before it is tried.
    Failed(String),
}

/// What the actions of a workflow would do with an event. Where one would fail the run, those
/// behind it are missing.
#[must_use]
pub fn rehearse(
    workflow: &Workflow,
    event: &Message,
    renderer: &Renderer,
    now: OffsetDateTime,
) -> Vec<Rehearsed> {
    let facts = EventFacts::new(event);
    let mut context = ActionContext {
        run: Uuid::nil(),
        ordinal: 0,
        attempt: 1,
        idempotency_key: String::new(),
        workflow: workflow.name.clone(),
        role: workflow.role.clone(),
        tenant: event.tenant.clone(),
        correlation_id: event.correlation_id.clone(),
        causation_depth: depth_after(event),
        traceparent: event.traceparent.clone(),
        event: event.clone(),
        now,
        dry_run: true,
    };
    let mut rehearsed = Vec::with_capacity(workflow.actions.len());
    for (ordinal, action) in (0..).zip(&workflow.actions) {
        context.ordinal = ordinal;
        let deed = match why_not(&action.when, &facts) {
            Some(why) => Deed::LeftOut(why),
            None => match renderer.render(action, &context) {
                Ok(rendered) => Deed::Performed(rendered),
                Err(fault) => Deed::Failed(fault.to_string()),
            },
        };
        let ends = matches!(deed, Deed::Failed(_)) && !action.allow_failure;
        rehearsed.push(Rehearsed { ordinal, kind: action.kind, deed });
        if ends {
            break;
        }
    }
    rehearsed
}
