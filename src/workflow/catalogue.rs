//! The workflows in force, found by what starts them.
//!
//! Pure but for the swap. An event costs what the workflows cost that wait for its type; all others
//! are not looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::facts::{EventFacts, why_not};
use crate::condition::Decided;
use crate::event::Message;
use crate::policy::PolicySet;
use crate::policy::workflow::{Limits, Status, Workflow};

/// Workflows as one set of policies has them.
#[derive(Debug, Default)]
pub struct Catalogue {
    by_name: BTreeMap<String, Arc<Workflow>>,
    /// By type of event: the active workflows that it may start, and by which of their triggers.
    by_event: HashMap<String, Vec<(Arc<Workflow>, usize)>>,
}

/// A workflow that an event starts.
#[derive(Debug, Clone)]
pub struct Start {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// The priority of the trigger; the highest where several hold.
    pub priority: i64,
}

/// Whether an event starts a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it does.
    pub starts: bool,
    /// The comparisons that decided, or what else did. None where nothing is asked.
    pub decided_by: Vec<String>,
}

/// What bounds the runs of one workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Runs that may start within a minute.
    pub rate: Option<u32>,
    /// Runs at the same time.
    pub concurrency: Option<u32>,
    /// Nothing of it starts for now, unless by hand.
    pub is_held: bool,
}

impl Catalogue {
    /// The workflows of a set.
    #[must_use]
    pub fn new(set: &PolicySet) -> Self {
        Self::of(set.workflows.values().map(Arc::clone))
    }

    /// These workflows.
    #[must_use]
    pub fn of(workflows: impl IntoIterator<Item = Arc<Workflow>>) -> Self {
        Self::starting(workflows, |status| status == Status::Active)
    }

    /// These workflows, those included that are being written or are paused: for their tests.
    #[must_use]
    pub fn for_tests(workflows: impl IntoIterator<Item = Arc<Workflow>>) -> Self {
        Self::starting(workflows, |status| status != Status::Archived)
    }

    fn starting(
        workflows: impl IntoIterator<Item = Arc<Workflow>>,
        starts: impl Fn(Status) -> bool,
    ) -> Self {
        let mut catalogue = Self::default();
        for workflow in workflows {
            if starts(workflow.status) {
                for (index, trigger) in workflow.triggers.iter().enumerate() {
                    let waiting = catalogue.by_event.entry(trigger.event.clone()).or_default();
                    waiting.push((Arc::clone(&workflow), index));
                }
            }
            catalogue.by_name.insert(workflow.name.clone(), workflow);
        }
        catalogue
    }

    /// A workflow by its name, whatever its status.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Workflow>> {
        self.by_name.get(name)
    }

    /// Every workflow, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Workflow>> {
        self.by_name.values()
    }

    /// The roles whose view of events some workflow reads.
    #[must_use]
    pub fn roles(&self) -> BTreeSet<&str> {
        self.by_name.values().map(|workflow| workflow.role.as_str()).collect()
    }

    /// Whether some workflow of a role waits for events of this type.
    #[must_use]
    pub fn waits_for(&self, role: &str, event_type: &str) -> bool {
        let waiting = self.by_event.get(event_type);
        waiting.is_some_and(|waiting| waiting.iter().any(|(one, _)| one.role == role))
    }

    /// The roles that some event may start a workflow of.
    #[must_use]
    pub fn starting_roles(&self) -> BTreeSet<&str> {
        let waiting = self.by_event.values().flatten();
        waiting.map(|(workflow, _)| workflow.role.as_str()).collect()
    }

    /// The workflows of one role that an event starts, those of higher priority first. `message` is
    /// the event as that role sees it.
    #[must_use]
    pub fn started_by(&self, role: &str, message: &Message) -> Vec<Start> {
        let Some(waiting) = self.by_event.get(&message.event_type) else { return Vec::new() };
        let mut facts = None;
        let mut starts: Vec<Start> = Vec::new();
        for (workflow, trigger) in waiting {
            let is_meant = workflow.role == role
                && workflow
                    .tenant
                    .as_ref()
                    .is_none_or(|tenant| message.tenant.as_ref() == Some(tenant));
            let Some(trigger) = workflow.triggers.get(*trigger).filter(|_| is_meant) else {
                continue;
            };
            let facts = facts.get_or_insert_with(|| EventFacts::new(message));
            if !trigger.conditions.evaluate(facts).is_true() {
                continue;
            }
            let known = starts.iter_mut().find(|start| Arc::ptr_eq(&start.workflow, workflow));
            match known {
                Some(start) => start.priority = start.priority.max(trigger.priority),
                None => starts
                    .push(Start { workflow: Arc::clone(workflow), priority: trigger.priority }),
            }
        }
        starts.sort_by_key(|start| std::cmp::Reverse(start.priority));
        starts
    }

    /// Whether an event starts a workflow, and which comparisons decided. No value of the event is in
    /// it.
    #[must_use]
    pub fn verdict(&self, workflow: &Workflow, message: &Message) -> Verdict {
        let mut started = self.started_by(&workflow.role, message).into_iter();
        if !started.any(|start| start.workflow.name == workflow.name) {
            return Verdict { starts: false, decided_by: self.reasons(workflow, message) };
        }
        let facts = EventFacts::new(message);
        let triggers = workflow.triggers.iter().filter(|one| one.event == message.event_type);
        let mut explained = triggers.map(|trigger| trigger.conditions.explain(&facts));
        let decided = explained.find(|explained| explained.truth.is_true());
        let decided = decided.map(|explained| explained.decided_by).unwrap_or_default();
        Verdict { starts: true, decided_by: decided.iter().map(Decided::to_string).collect() }
    }

    /// Why an event does not start a workflow, for whoever asks.
    #[must_use]
    pub fn why_not(&self, workflow: &Workflow, message: &Message) -> String {
        self.reasons(workflow, message).join("; ")
    }

    fn reasons(&self, workflow: &Workflow, message: &Message) -> Vec<String> {
        let event = &message.event_type;
        let waits = self
            .by_event
            .get(event)
            .is_some_and(|waiting| waiting.iter().any(|(other, _)| other.name == workflow.name));
        if !waits {
            let is_named = workflow.triggers.iter().any(|trigger| &trigger.event == event);
            return vec![if is_named {
                format!("it is {}", workflow.status.word())
            } else {
                format!("no trigger of it names `{event}`")
            }];
        }
        if let Some(tenant) =
            workflow.tenant.as_ref().filter(|own| message.tenant.as_ref() != Some(own))
        {
            return vec![format!("it is for the tenant `{tenant}`")];
        }
        let facts = EventFacts::new(message);
        let triggers = workflow.triggers.iter().filter(|trigger| &trigger.event == event);
        triggers.filter_map(|trigger| why_not(&trigger.conditions, &facts)).collect()
    }

    /// What bounds the runs of each workflow that is bounded at all; `usual_rate` holds for those
    /// that name none.
    #[must_use]
    pub fn bounds(&self, usual_rate: Option<u32>) -> BTreeMap<String, Bound> {
        let bounds = self.by_name.values().map(|workflow| {
            let Limits { rate, concurrency, .. } = workflow.limits;
            let is_held = workflow.status == Status::Paused;
            let rate = rate.or(usual_rate);
            (workflow.name.clone(), Bound { rate, concurrency, is_held })
        });
        bounds
            .filter(|(_, bound)| {
                bound.is_held || bound.rate.is_some() || bound.concurrency.is_some()
            })
            .collect()
    }
}

/// The catalogue in force; swapped as a whole when policies change.
#[derive(Debug, Clone, Default)]
pub struct InForce(Arc<ArcSwap<Catalogue>>);

impl InForce {
    /// Begins with this one.
    #[must_use]
    pub fn new(catalogue: Catalogue) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(catalogue)))
    }

    /// The one in force now.
    #[must_use]
    pub fn current(&self) -> Arc<Catalogue> {
        self.0.load_full()
    }

    /// Puts another one in force.
    pub fn swap(&self, catalogue: Catalogue) {
        self.0.store(Arc::new(catalogue));
    }
}
