//! Tests beside workflows: given an event, which runs start, and what would each action do.
//!
//! Pure. Workflows run as if they were active; one that is archived does not.

use std::sync::Arc;

use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::catalogue::Catalogue;
use super::rehearsal::{Deed, Rehearsed, rehearse};
use super::render::Renderer;
use crate::condition::Value;
use crate::diagnostic::Finding;
use crate::event::Message;
use crate::policy::PolicySet;
use crate::policy::workflow::{ExpectedAction, ExpectedRun, TestEvent, Workflow, WorkflowTest};

/// What a test came to. Without findings it is passed.
#[derive(Debug)]
#[must_use = "a test that nobody looks at proves nothing"]
pub struct Tried<'s> {
    /// The test.
    pub test: &'s WorkflowTest,
    /// What is not as expected.
    pub findings: Vec<Finding>,
}

/// Tries every test of a set, in the order of their files.
pub fn try_all(set: &PolicySet) -> Vec<Tried<'_>> {
    let catalogue = Catalogue::for_tests(set.workflows.values().map(Arc::clone));
    set.workflow_tests
        .iter()
        .map(|test| Tried { test, findings: findings_of(&catalogue, test) })
        .collect()
}

fn findings_of(catalogue: &Catalogue, test: &WorkflowTest) -> Vec<Finding> {
    let message = message_of(&test.event, test.at);
    // Every role sees the event as it is written.
    let mut starts: Vec<_> =
        catalogue.roles().iter().flat_map(|role| catalogue.started_by(role, &message)).collect();
    starts.sort_by(|one, other| {
        (other.priority, &one.workflow.name).cmp(&(one.priority, &other.workflow.name))
    });
    let started: Vec<&Arc<Workflow>> = starts.iter().map(|start| &start.workflow).collect();
    let mut findings = Vec::new();
    for workflow in &started {
        if !test.expect.iter().any(|run| run.workflow == workflow.name) {
            let message = format!("`{}` runs, and the test does not expect it", workflow.name);
            findings.push(
                Finding::error("workflow::unexpected_run", message)
                    .at(&test.origin.source, test.origin.span)
                    .label("in this test")
                    .help("expect it, or make its conditions narrower"),
            );
        }
    }
    let renderer = Renderer::new(test.env.clone());
    for run in &test.expect {
        match started.iter().find(|workflow| workflow.name == run.workflow) {
            Some(workflow) => {
                let rehearsed = rehearse(workflow, &message, &renderer, test.at);
                compare(run, &rehearsed, &mut findings);
            }
            None => findings.push(not_started(catalogue, run, &message)),
        }
    }
    out_of_order(test, &started, &mut findings);
    findings
}

/// A run that the test expects, and why it does not start.
fn not_started(catalogue: &Catalogue, run: &ExpectedRun, event: &Message) -> Finding {
    let why = catalogue.get(&run.workflow).map_or_else(
        || "there is no such workflow".to_owned(),
        |workflow| catalogue.why_not(workflow, event),
    );
    let message = format!("`{}` does not run: {why}", run.workflow);
    Finding::error("workflow::missing_run", message)
        .at(&run.origin.source, run.origin.span)
        .label("expected here")
        .help("change the event of the test, or the triggers of the workflow")
}

/// Runs that start in another order than expected.
fn out_of_order(test: &WorkflowTest, started: &[&Arc<Workflow>], findings: &mut Vec<Finding>) {
    let place = |name: &str| started.iter().position(|workflow| workflow.name == name);
    let expected: Vec<(usize, &ExpectedRun)> =
        test.expect.iter().filter_map(|run| Some((place(&run.workflow)?, run))).collect();
    for pair in expected.windows(2) {
        let [(first, before), (second, after)] = pair else { continue };
        if first > second {
            let message =
                format!("`{}` goes before `{}`, not after it", after.workflow, before.workflow);
            findings.push(
                Finding::error("workflow::run_order", message)
                    .at(&after.origin.source, after.origin.span)
                    .label("expected here")
                    .help("the higher `priority` of a trigger goes first, then the name"),
            );
        }
    }
}

fn compare(run: &ExpectedRun, rehearsed: &[Rehearsed], findings: &mut Vec<Finding>) {
    let Some(expected) = &run.actions else { return };
    let performed: Vec<&Rehearsed> =
        rehearsed.iter().filter(|one| !matches!(one.deed, Deed::LeftOut(_))).collect();
    for (expected, seen) in expected.iter().zip(&performed) {
        findings.extend(compare_action(expected, seen));
    }
    if expected.len() == performed.len() {
        return;
    }
    let words = |one: &&Rehearsed| format!("`{}`", one.kind);
    let seen: Vec<String> = performed.iter().map(words).collect();
    let seen = if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") };
    let message = format!(
        "`{}` performs {} actions, and the test expects {}: it performs {seen}",
        run.workflow,
        performed.len(),
        expected.len()
    );
    let left_out = rehearsed.iter().filter_map(|one| match &one.deed {
        Deed::LeftOut(why) => Some(format!("`{}` is left out: {why}", one.kind)),
        Deed::Performed(_) | Deed::Failed(_) => None,
    });
    let left_out: Vec<String> = left_out.collect();
    let help = if left_out.is_empty() {
        "list every action that is performed, in order".to_owned()
    } else {
        left_out.join("; ")
    };
    findings.push(
        Finding::error("workflow::action_count", message)
            .at(&run.origin.source, run.origin.span)
            .label("expected here")
            .help(help),
    );
}

fn compare_action(expected: &ExpectedAction, seen: &Rehearsed) -> Vec<Finding> {
    let at = |code, message: String, help: &str| {
        Finding::error(code, message)
            .at(&expected.origin.source, expected.origin.span)
            .label("expected here")
            .help(help)
    };
    let number = seen.ordinal + 1;
    if expected.kind != seen.kind {
        let message = format!("action {number} is `{}`, not `{}`", seen.kind, expected.kind);
        return vec![at(
            "workflow::action_differs",
            message,
            "actions stand in the order in which they go",
        )];
    }
    let rendered = match &seen.deed {
        Deed::Performed(rendered) => rendered,
        Deed::Failed(why) => {
            let message = format!("action {number}, `{}`, would fail: {why}", seen.kind);
            let help = "give the test what the templates name: `record`, `data`, `env`";
            return vec![at("workflow::action_fails", message, help)];
        }
        Deed::LeftOut(_) => return Vec::new(),
    };
    let Some(payload) = &expected.payload else { return Vec::new() };
    let differing = payload.iter().filter_map(|(key, wanted)| {
        let seen = rendered.payload.get(key);
        if seen == Some(wanted) {
            return None;
        }
        let seen = seen.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
        let message = format!("`{key}` of action {number} is {seen}, not `{wanted}`");
        Some(at("workflow::action_differs", message, "keys that are left out do not matter"))
    });
    differing.collect()
}

/// The event of a test, as every role sees it.
fn message_of(event: &TestEvent, at: OffsetDateTime) -> Message {
    let mut members = event.data.clone();
    members.extend(event.record.clone().map(|record| ("record".to_owned(), record)));
    let members = members.into_iter().map(|(name, value)| (name.into(), value));
    let data = Value::Object(members.collect()).to_string();
    Message {
        id: Uuid::nil(),
        event_type: event.event_type.clone(),
        source: "test".to_owned(),
        resource: event.resource.clone(),
        record: event.id.clone(),
        time: at,
        tenant: event.tenant.clone(),
        actor: event.actor.clone(),
        correlation_id: "test".to_owned(),
        traceparent: None,
        policy_revision: "test".to_owned(),
        sequence: None,
        causation: None,
        // What is written by `Value` is JSON.
        data: RawValue::from_string(data).unwrap_or_default(),
    }
}
