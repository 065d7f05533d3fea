//! Scores leads while their answer is filtered: inputs are understood as the values pass, and the
//! score is there when the record ends, so that it can stand in the record and in the head.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use time::OffsetDateTime;

use super::activities::ObservedActivities;
use crate::json::path::FieldPath;
use crate::json::text::quote;
use crate::policy::scoring::{Scoring, Told};
use crate::score::{
    Activities, ComponentSet, Disclosure, HeaderNames, Inputs, ListHeader, Rendering, Score,
    ScoringPlan, Slot,
};

/// What is needed to score the leads of one resource and company for one set of roles. Depends on
/// the policies alone, so it is made once and kept.
#[derive(Debug)]
pub(super) struct Terms {
    plan: Arc<ScoringPlan>,
    /// The input of each watched path, by the number of the path.
    slots: Vec<Option<Slot>>,
    disclosure: Disclosure,
    folded: ComponentSet,
    /// Whether the roles see the ids of records.
    ids: bool,
    headers: Option<HeaderNames>,
    list_limit: usize,
    /// The name of the member that is spliced in, quoted, with its colon.
    member: Option<Box<[u8]>>,
}

impl Terms {
    /// `watched` are the paths that the filter tells of, in the order of their numbers.
    pub(super) fn new(
        scoring: &Scoring,
        plan: &Arc<ScoringPlan>,
        told: Told,
        watched: &[FieldPath],
    ) -> Self {
        let slots = watched.iter().map(|path| {
            plan.inputs().find(|(_, input)| input.as_str() == path.as_str()).map(|(slot, _)| slot)
        });
        let member = scoring.member.as_ref().map(|name| {
            let mut quoted = Vec::new();
            quote(name, &mut quoted);
            quoted.push(b':');
            quoted.into_boxed_slice()
        });
        Self {
            plan: Arc::clone(plan),
            slots: slots.collect(),
            disclosure: told.disclosure,
            folded: plan.folded(told.visible),
            ids: told.ids,
            headers: scoring.headers.clone(),
            list_limit: scoring.list_limit,
            member,
        }
    }
}

/// Scores the records of one answer.
#[derive(Debug)]
pub(super) struct Scorer {
    terms: Arc<Terms>,
    activities: Arc<ObservedActivities>,
    tenant: Option<String>,
    resource: String,
    now: OffsetDateTime,
    inputs: Inputs,
    /// The JSON text of the id of the record that is passing.
    id: Option<Box<[u8]>>,
    list: Option<ListHeader>,
    /// The score of the one record, until a second one comes.
    only: Option<Score>,
    scored: u64,
}

impl Scorer {
    pub(super) fn new(
        terms: Arc<Terms>,
        activities: Arc<ObservedActivities>,
        tenant: Option<&str>,
        resource: &str,
        is_list: bool,
        now: OffsetDateTime,
    ) -> Self {
        let list = is_list.then(|| ListHeader::new(terms.list_limit));
        Self {
            terms,
            activities,
            tenant: tenant.map(ToOwned::to_owned),
            resource: resource.to_owned(),
            now,
            inputs: Inputs::at(now),
            id: None,
            list,
            only: None,
            scored: 0,
        }
    }

    pub(super) fn record_begins(&mut self) {
        self.inputs.clear();
        self.id = None;
    }

    /// A watched path has this value; the first path is that of the id where `is_id`.
    pub(super) fn see(&mut self, path: usize, is_id: bool, raw: &[u8]) {
        if is_id {
            self.id.get_or_insert_with(|| raw.into());
        }
        if let Some(Some(slot)) = self.terms.slots.get(path) {
            self.inputs.see(&self.terms.plan, *slot, raw);
        }
    }

    pub(super) fn record_ends(&mut self, is_empty: bool, out: &mut Vec<u8>) {
        let elsewhere = match &self.id {
            Some(id) if self.terms.plan.counts_elsewhere() => {
                let tenant = self.tenant.as_deref();
                self.activities.of_lead(tenant, &self.resource, id, self.now)
            }
            Some(_) | None => Activities::NONE,
        };
        let score = Score::of(&self.terms.plan, &self.inputs, elsewhere, self.now);
        self.scored += 1;
        let rendering = Rendering::of(&score, self.terms.disclosure, self.terms.folded);
        if let (Some(rendering), Some(member)) = (&rendering, &self.terms.member) {
            if !is_empty {
                out.push(b',');
            }
            out.extend_from_slice(member);
            rendering.write_member(out);
        }
        if let (Some(rendering), Some(list)) = (&rendering, &mut self.list) {
            list.push(self.id.as_deref().filter(|_| self.terms.ids), rendering);
        }
        self.only = (self.scored == 1).then_some(score);
    }

    /// The headers of the answer, once all its records have passed.
    pub(super) fn headers(&mut self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        let Some(names) = &self.terms.headers else { return headers };
        let mut set = |name: &HeaderName, value: HeaderValue| headers.push((name.clone(), value));
        if let Some(list) = self.list.take() {
            list.headers(names, set);
        } else if let Some(score) = &self.only {
            let rendering = Rendering::of(score, self.terms.disclosure, self.terms.folded);
            if let Some(rendering) = rendering {
                rendering.headers(names, &mut set);
            }
        }
        headers
    }
}
