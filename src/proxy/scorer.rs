//! Scores leads while their answer is filtered: inputs are understood as the values pass, and the
//! score is there when the record ends, so that it can stand in the record and in the head.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use time::OffsetDateTime;

use super::activities::KnownActivities;
use super::score_keeping::MOST_OF_ANSWER;
use crate::event::detect::id_of;
use crate::json::path::FieldPath;
use crate::json::text::quote;
use crate::policy::scoring::{Scoring, Told};
use crate::score::{
    Activities, ComponentSet, Disclosure, HeaderNames, Inputs, ListHeader, Quality, Rendering,
    Score, ScoreHeader, ScoringPlan, Slot,
};
use crate::score_history::{Basis, LeadKey, ScoreHistory, Scored};

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
            headers: scoring.headers.clone().filter(|_| told.headers),
            list_limit: scoring.list_limit,
            member,
        }
    }
}

impl Terms {
    /// Whether the roles are told nothing at all.
    pub(super) fn withholds(&self) -> bool {
        self.disclosure == Disclosure::Withhold
    }

    /// The score as the roles may see it.
    pub(super) fn rendering<'s>(&self, score: &'s Score) -> Option<Rendering<'s>> {
        Rendering::of(score, self.disclosure, self.folded)
    }

    /// The headers of one lead's score. With `now` it is the last known one, and says how old it is.
    pub(super) fn headers(
        &self,
        rendering: &Rendering<'_>,
        now: Option<OffsetDateTime>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        let Some(names) = &self.headers else { return headers };
        rendering.headers(names, |name, value| headers.push((name.clone(), value)));
        if let Some(now) = now {
            headers.push((names.of(ScoreHeader::Age).clone(), rendering.age(now)));
        }
        headers
    }
}

/// Scores the records of one answer.
#[derive(Debug)]
pub(super) struct Scorer {
    terms: Arc<Terms>,
    activities: Arc<KnownActivities>,
    history: ScoreHistory,
    /// The company and the kind of lead; the id is that of the record that passed last.
    key: LeadKey,
    now: OffsetDateTime,
    inputs: Inputs,
    /// The JSON text of the id of the record that is passing.
    id: Option<Box<[u8]>>,
    list: Option<ListHeader>,
    /// The score of the one record, until a second one comes.
    only: Option<Score>,
    scored: u64,
    /// The scores, to keep them.
    made: Vec<Scored>,
    qualities: Qualities,
    elapsed: Duration,
}

/// How many leads have which quality, in the order of [`Quality::ALL`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Qualities([u64; 4]);

impl Qualities {
    pub(super) fn add(&mut self, quality: Quality) {
        let place = Quality::ALL.iter().position(|known| *known == quality);
        if let Some(count) = place.and_then(|place| self.0.get_mut(place)) {
            *count += 1;
        }
    }

    pub(super) fn by_word(self) -> Vec<(&'static str, u64)> {
        Quality::ALL.iter().map(|quality| quality.word()).zip(self.0).collect()
    }
}

impl Scorer {
    pub(super) fn new(
        terms: Arc<Terms>,
        (activities, history): (Arc<KnownActivities>, ScoreHistory),
        tenant: Option<&str>,
        resource: &str,
        is_list: bool,
        now: OffsetDateTime,
    ) -> Self {
        let list = is_list.then(|| ListHeader::new(terms.list_limit));
        Self {
            terms,
            activities,
            history,
            key: LeadKey {
                tenant: tenant.unwrap_or_default().to_owned(),
                resource: resource.to_owned(),
                lead: String::new(),
            },
            now,
            inputs: Inputs::at(now),
            id: None,
            list,
            only: None,
            scored: 0,
            made: Vec::new(),
            qualities: Qualities::default(),
            elapsed: Duration::ZERO,
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
        let began = Instant::now();
        let id = self.id.as_deref().and_then(|id| id_of(std::str::from_utf8(id).ok()?));
        let is_known = id.is_some();
        self.key.lead = id.unwrap_or_default();
        let elsewhere = if is_known && self.terms.plan.counts_elsewhere() {
            self.activities.of_lead(self.terms.plan.activity_rule(), &self.key, self.now)
        } else {
            Activities::NONE
        };
        let score = Score::of(&self.terms.plan, &self.inputs, elsewhere, self.now);
        self.elapsed += began.elapsed();
        self.scored += 1;
        self.qualities.add(score.quality());
        let rendering = self.terms.rendering(&score);
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
        self.only = (self.scored == 1).then(|| score.clone());
        let plan = &self.terms.plan;
        if is_known
            && self.made.len() < MOST_OF_ANSWER
            && !self.history.knows(&self.key, &score, plan, &self.inputs)
        {
            let basis = Basis { plan: Arc::clone(&self.terms.plan), inputs: self.inputs };
            self.made.push(Scored { key: self.key.clone(), score, basis });
        }
    }

    /// The headers of the answer, once all its records have passed.
    pub(super) fn headers(&mut self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        let Some(names) = &self.terms.headers else { return headers };
        if let Some(list) = self.list.take() {
            list.headers(names, |name, value| headers.push((name.clone(), value)));
        } else if let Some(score) = &self.only
            && let Some(rendering) = self.terms.rendering(score)
        {
            headers = self.terms.headers(&rendering, None);
        }
        headers
    }

    /// The scores of leads whose ids are known, up to a bound.
    pub(super) fn take_made(&mut self) -> Vec<Scored> {
        std::mem::take(&mut self.made)
    }

    /// How many leads have which quality.
    pub(super) fn qualities(&self) -> Qualities {
        self.qualities
    }

    /// How long the calculation took.
    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    pub(super) fn is_list(&self) -> bool {
        self.list.is_some()
    }
}
