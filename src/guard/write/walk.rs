//! The walk over a body: each value with what may be written there, what its sender was shown of
//! it, and what the CRM has.

use std::collections::{HashMap, HashSet};

use super::super::Form;
use super::super::equal::canonical_number;
use super::super::splice::{Outcome, rebuild};
use super::super::tree::{Content, Tree, Value};
use super::super::violations::Careful;
use super::super::write_back::{Registry, Spot, Text, Vaulted};
use super::{Denied, MOST_NAMED, Rights, Settled, Tally, Update};
use crate::json::automaton::StateId;
use crate::json::navigate::{Action, Navigator as _, Verdict};
use crate::json::text::quote;
use crate::policy::set::Writes;

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Place {
    /// In the plan of what may be written.
    pub(in super::super) write: StateId,
    /// In the registry; `None` outside of records.
    pub(in super::super) spot: Option<Spot>,
}

/// What becomes of a member that is missing, or must not be sent as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Scope {
    /// What is missing stays as it is: the member is dropped.
    Partial,
    /// What is missing is lost: the member is restored.
    Whole,
}

/// A value of the body, and what is known of its place.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct At<'v> {
    pub(in super::super) place: Place,
    pub(in super::super) value: &'v Value,
    /// What the CRM has here.
    pub(in super::super) real: Option<&'v Value>,
    /// What the caller was shown of it.
    pub(in super::super) shown: Option<&'v Value>,
    /// How the container around it is updated.
    pub(in super::super) scope: Scope,
    /// How the value is updated, if it is a container.
    pub(in super::super) below: Scope,
}

/// The walk over one body. Gathers what was found on the way.
pub(in super::super) struct Walk<'a> {
    pub(in super::super) rights: &'a Rights<'a>,
    pub(in super::super) registry: Registry<'a>,
    pub(in super::super) update: Update,
    form: &'a Form,
    /// Whether the current record is known, or known not to exist.
    pub(in super::super) is_known: bool,
    pub(in super::super) tally: Tally,
    violations: Vec<String>,
    /// What would be read, not only written: refused whatever becomes of violations.
    forbidden: Vec<String>,
    masked: Vec<String>,
    /// Tokens whose values must be known first.
    vaulted: Vec<Vaulted>,
    names: Vec<String>,
    /// Where the records of the body begin.
    records: HashSet<usize>,
    text: &'a [u8],
    real_text: &'a [u8],
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        rights: &'a Rights<'a>,
        registry: Registry<'a>,
        update: Update,
        form: &'a Form,
        is_known: bool,
    ) -> Self {
        Self {
            rights,
            registry,
            update,
            form,
            is_known,
            tally: Tally::default(),
            violations: Vec::new(),
            forbidden: Vec::new(),
            masked: Vec::new(),
            vaulted: Vec::new(),
            names: Vec::new(),
            records: HashSet::new(),
            text: &[],
            real_text: &[],
        }
    }

    /// What the walk comes to, with the body that it made.
    pub(super) fn finish(mut self, body: Option<Vec<u8>>) -> Result<Settled, Denied> {
        for names in [&mut self.violations, &mut self.forbidden, &mut self.masked] {
            let mut seen = HashSet::new();
            names.retain(|name| seen.insert(name.clone()));
            names.truncate(MOST_NAMED);
        }
        if self.rights.writes == Writes::Enforce && !self.violations.is_empty() {
            return Err(Denied::NotWritable(self.violations));
        }
        if !self.forbidden.is_empty() {
            return Err(Denied::NotWritable(self.forbidden));
        }
        if !self.masked.is_empty() {
            return Err(Denied::MaskedValue(self.masked));
        }
        if !self.vaulted.is_empty() {
            return Err(Denied::Vaulted(self.vaulted));
        }
        let reported =
            if self.rights.writes == Writes::Report { self.violations } else { Vec::new() };
        Ok(Settled { body, tally: self.tally, reported })
    }

    /// Remembers whose bytes the values are: of the body, and of the current record.
    pub(in super::super) fn reads(&mut self, text: &'a [u8], real: Option<&'a [u8]>) {
        self.text = text;
        self.real_text = real.unwrap_or_default();
    }

    /// A whole JSON document. `current` is the record as the CRM has it and as it was shown.
    pub(super) fn document<'t: 'a>(
        &mut self,
        tree: &Tree<'t>,
        current: Option<(&Tree<'t>, &Value, &Value)>,
    ) -> Outcome {
        self.reads(tree.text, current.map(|(real, _, _)| real.text));
        let records = tree.select(self.rights.body);
        self.records = records.iter().map(|record| record.start).collect();
        let is_one = records.len() == 1 && !matches!(tree.root.content, Content::List(_));
        let (real, shown) = match current.filter(|_| is_one) {
            Some((_, real, shown)) => (Some(real), Some(shown)),
            None => (None, None),
        };
        // Of several records no one knows which is which; and what is no record needs none.
        self.is_known &= is_one || self.update == Update::Create;
        let write = self.rights.plan.automaton.root();
        if self.update == Update::Replace && !self.is_known {
            self.mask_violation(Some("$"));
        }
        self.outside(Place { write, spot: None }, &tree.root, (real, shown))
    }

    /// A value that may hold records. The current record belongs to the one that is found.
    fn outside(
        &mut self,
        place: Place,
        value: &Value,
        current: (Option<&Value>, Option<&Value>),
    ) -> Outcome {
        if self.records.contains(&value.start) {
            let place = Place { spot: Some(self.registry.root()), ..place };
            let below = if self.update == Update::Replace { Scope::Whole } else { Scope::Partial };
            let (real, shown) = current;
            let at = At { place, value, real, shown, scope: Scope::Partial, below };
            return self.value(at);
        }
        if *self.form == Form::JsonApi
            && let Some(outcome) = self.frame(place, value, current)
        {
            return outcome;
        }
        if !value.is_container() || !self.is_open(place, value) {
            let (real, shown) = (None, None);
            let (scope, below) = (Scope::Partial, Scope::Partial);
            return self.value(At { place, value, real, shown, scope, below });
        }
        let outcomes: Vec<_> = self
            .children(place, value, |walk, place, child, _| walk.outside(place, child, current));
        rebuild(self.text, value, &outcomes, &[])
    }

    /// The parts of a JSON:API document that are no fields; `None` for all others.
    fn frame(
        &mut self,
        place: Place,
        value: &Value,
        current: (Option<&Value>, Option<&Value>),
    ) -> Option<Outcome> {
        let is_frame = match self.names.as_slice() {
            [] => true,
            [data] => data == "data",
            [data, attributes] => data == "data" && attributes == "attributes",
            _ => false,
        };
        if !is_frame || !value.is_container() {
            return self.no_attribute(place, value);
        }
        let outcomes = self
            .children(place, value, |walk, place, child, _| walk.outside(place, child, current));
        Some(rebuild(self.text, value, &outcomes, &[]))
    }

    /// What stands beside the attributes of a JSON:API document; `None` for all others.
    fn no_attribute(&mut self, place: Place, value: &Value) -> Option<Outcome> {
        if *self.form != Form::JsonApi {
            return None;
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["jsonapi", ..] | ["data", "type" | "id" | "lid"] => Some(Outcome::Keep),
            ["data", "relationships"] if !value.members().is_empty() => {
                // The fields of a record whose attributes are the record stand in two places.
                let of_attributes = self.rights.body.last_name() == Some("attributes");
                let data = self.careful().member(&self.rights.plan.automaton.root(), b"data");
                let attributes = self.careful().member(&data, b"attributes");
                let write = if of_attributes { attributes } else { place.write };
                let outcomes =
                    self.children(Place { write, spot: None }, value, Self::relationship);
                Some(rebuild(self.text, value, &outcomes, &[]))
            }
            _ => None,
        }
    }

    /// A relationship is one field, whatever it is linked to.
    fn relationship(&mut self, place: Place, value: &Value, _index: usize) -> Outcome {
        let verdict = self.verdict(place);
        if verdict.scalar == Action::Keep && verdict.container == Action::Keep {
            return Outcome::Keep;
        }
        let (real, shown, scope) = (None, None, Scope::Partial);
        self.closed(At { place, value, real, shown, scope, below: scope })
    }

    /// The outcome of each child of a container.
    fn children(
        &mut self,
        place: Place,
        value: &Value,
        mut each: impl FnMut(&mut Self, Place, &Value, usize) -> Outcome,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for member in value.members() {
            self.names.push(member.name.clone());
            outcomes.push(each(self, self.member(place, &member.name), &member.value, 0));
            self.names.pop();
        }
        for (index, element) in value.elements().iter().enumerate() {
            outcomes.push(each(self, self.element(place, index), &element.value, index));
        }
        outcomes
    }

    /// One value of a record, or outside of all.
    pub(in super::super) fn value(&mut self, at: At<'_>) -> Outcome {
        if !self.is_open(at.place, at.value) || self.takes_away(at) {
            return self.closed(at);
        }
        match &at.value.content {
            Content::Object(_) => self.object(at),
            Content::List(_) => self.list(at),
            Content::Text(text) => self.text(at, text),
            Content::Null => {
                let is_lost = !self.is_known && self.update == Update::Patch;
                if is_lost && at.real.is_none() && self.may_hold_more() {
                    self.mask_violation(None);
                }
                Outcome::Keep
            }
            Content::Bool(_) | Content::Number(_) => Outcome::Keep,
        }
    }

    /// Whether a scalar takes the place of an object or list in which something may not be written.
    fn takes_away(&self, at: At<'_>) -> bool {
        !at.value.is_container()
            && at
                .real
                .is_some_and(|real| real.is_container() && !self.is_open_throughout(at.place, real))
    }

    /// Whether a policy restricts a field below the current place, so that the value there may be
    /// more than its sender knows.
    pub(in super::super) fn may_hold_more(&self) -> bool {
        let around = self.rights.body.segments().len();
        let names = self.names.get(around..).unwrap_or_default();
        !names.is_empty() && self.rights.plan.restricts_below(names)
    }

    /// A value that may not be written: unchanged, or a violation.
    pub(in super::super) fn closed(&mut self, at: At<'_>) -> Outcome {
        if let (Some(spot), Some(real), Some(shown)) = (at.place.spot, at.real, at.shown)
            && self.registry.is_as_shown(spot, at.value, shown, Some(real))
        {
            self.tally.kept += 1;
            return self.keep_real(at.scope, at.value, Some(real));
        }
        let raw = self.raw(at.value);
        let is_lost = !self.is_known && self.update != Update::Create;
        if is_lost && at.place.spot.is_some_and(|spot| self.registry.may_be_mask(spot, raw)) {
            self.mask_violation(None);
            return Outcome::Keep;
        }
        self.violations.push(self.name());
        match self.rights.writes {
            Writes::Enforce => Outcome::Keep,
            Writes::Strip => {
                self.tally.stripped += 1;
                self.keep_real(at.scope, at.value, at.real)
            }
            // Reported or not, a mask is no value.
            Writes::Report => match (at.place.spot, at.value.as_text()) {
                (Some(spot), Some(text)) if self.registry.recognise(spot, text) != Text::Plain => {
                    self.returned(at)
                }
                _ => Outcome::Keep,
            },
        }
    }

    /// A text where the caller may write. A mask is not what anybody wants to be stored.
    fn text(&mut self, at: At<'_>, text: &str) -> Outcome {
        let found = match at.place.spot {
            Some(spot) => self.registry.recognise(spot, text),
            None => self.registry.by_form(text),
        };
        match found {
            Text::Plain => Outcome::Keep,
            Text::Mask { value: Some(value) } => {
                self.tally.detokenized += 1;
                Outcome::Put(value)
            }
            Text::Mask { value: None } => self.returned(at),
            Text::Vaulted(token) => self.looked_up(token).map_or(Outcome::Keep, Outcome::Put),
            Text::Foreign => {
                self.mask_violation(None);
                Outcome::Keep
            }
        }
    }

    /// The value behind a token of the token map. Without one the walk comes to nothing: it must be
    /// looked up first, or the token stands for nothing any more and must not be stored.
    pub(in super::super) fn looked_up(&mut self, token: Vaulted) -> Option<Vec<u8>> {
        match self.rights.vaulted.get(&token) {
            Some(Some(value)) => {
                self.tally.detokenized += 1;
                Some(value.clone())
            }
            Some(None) => {
                self.mask_violation(None);
                None
            }
            None => {
                self.vaulted.push(token);
                None
            }
        }
    }

    /// A mask that came back. What it stands for must be known, or it may be anybody's.
    fn returned(&mut self, at: At<'_>) -> Outcome {
        let is_partial = at.scope == Scope::Partial && self.update == Update::Patch;
        if at.real.is_none() && !is_partial {
            if self.rights.writes == Writes::Strip {
                self.tally.stripped += 1;
                return Outcome::Drop;
            }
            self.mask_violation(None);
            return Outcome::Keep;
        }
        self.tally.kept += 1;
        self.keep_real(at.scope, at.value, at.real)
    }

    /// What the CRM has stays there.
    fn keep_real(&mut self, scope: Scope, given: &Value, real: Option<&Value>) -> Outcome {
        match (scope, real) {
            (Scope::Whole, Some(real)) => {
                let raw = self.raw_real(real);
                if raw == self.raw(given) { Outcome::Keep } else { Outcome::Put(raw.to_vec()) }
            }
            (Scope::Partial, _) | (Scope::Whole, None) => Outcome::Drop,
        }
    }

    fn object(&mut self, at: At<'_>) -> Outcome {
        let mut outcomes = Vec::new();
        for member in at.value.members() {
            let name = member.name.as_str();
            self.names.push(name.to_owned());
            let child = At {
                place: self.member(at.place, name),
                value: &member.value,
                real: at.real.and_then(|real| real.member(name)),
                shown: at.shown.and_then(|shown| shown.member(name)),
                scope: at.below,
                below: self.scope_below(at.below),
            };
            let beside = self.no_attribute(child.place, child.value);
            outcomes.push(beside.unwrap_or_else(|| self.value(child)));
            self.names.pop();
        }
        let is_lost = at.below == Scope::Whole
            && at.real.is_none()
            && !self.is_known
            && self.update == Update::Patch;
        if is_lost && !self.rights.plan.automaton.is_inert(&at.place.write) {
            self.mask_violation(None);
        }
        let missing = match (at.below, at.real) {
            (Scope::Whole, Some(real)) => self.missing(at.place, at.value, real),
            (Scope::Whole | Scope::Partial, _) => Vec::new(),
        };
        rebuild(self.text, at.value, &outcomes, &missing)
    }

    /// Partial updates reach as deep as the form says; inside of a member that is replaced, what is
    /// missing is lost.
    fn scope_below(&self, scope: Scope) -> Scope {
        let in_attributes = *self.form == Form::JsonApi
            && matches!(self.names.as_slice(), [data, attributes] if data == "data" && attributes == "attributes");
        match (scope, self.form, self.update) {
            (Scope::Partial, Form::MergePatch, _) | (_, _, Update::Create) => scope,
            (Scope::Partial, _, _) if in_attributes => Scope::Partial,
            _ => Scope::Whole,
        }
    }

    /// Members of the real object that the given one lacks, and that its sender could not have
    /// meant to take away.
    fn missing(&mut self, place: Place, given: &Value, real: &Value) -> Vec<Vec<u8>> {
        let mut missing = Vec::new();
        for member in real.members() {
            let place = self.member(place, &member.name);
            if given.member(&member.name).is_some() || self.is_open_throughout(place, &member.value)
            {
                continue;
            }
            self.tally.kept += 1;
            let mut text = Vec::new();
            quote(&member.name, &mut text);
            text.push(b':');
            text.extend_from_slice(self.raw_real(&member.value));
            missing.push(text);
        }
        missing
    }

    fn list(&mut self, at: At<'_>) -> Outcome {
        let Some(spot) = at.place.spot else { return self.elements(at, &|_| None) };
        let (Some(real), Some(shown)) = (at.real, at.shown) else {
            return self.elements(at, &|_| None);
        };
        if self.is_open_throughout(at.place, real) {
            return self.elements(at, &|_| None);
        }
        if self.registry.is_as_shown(spot, at.value, shown, Some(real)) {
            self.tally.kept += 1;
            return self.keep_real(Scope::Whole, at.value, Some(real));
        }
        let partners = self.partners(spot, at.value, real, shown);
        let has_stranger = at
            .value
            .elements()
            .iter()
            .zip(&partners)
            .any(|(element, partner)| partner.is_none() && id_of(&element.value).is_none());
        let taken: HashSet<usize> = partners.iter().flatten().copied().collect();
        let leaves_some = (0..real.elements().len()).any(|index| {
            let place = self.element(at.place, index);
            let element = real.element(index);
            !taken.contains(&index)
                && element.is_some_and(|element| !self.is_open_throughout(place, element))
        });
        if real.elements().len() != shown.elements().len() || (has_stranger && leaves_some) {
            // What belongs to which element cannot be told.
            self.mask_violation(None);
            return Outcome::Keep;
        }
        self.elements(at, &|index| partners.get(index).copied().flatten())
    }

    /// Each element of a list with the one of the current list that it came from.
    fn elements(&mut self, at: At<'_>, partner: &dyn Fn(usize) -> Option<usize>) -> Outcome {
        let outcomes = self.children(at.place, at.value, |walk, place, value, index| {
            let partner = partner(index);
            let real = at.real.and_then(|list| list.element(partner?));
            let shown = at.shown.and_then(|list| list.element(partner?));
            // Lists are replaced as a whole, whatever the form.
            let scope = Scope::Whole;
            walk.value(At { place, value, real, shown, scope, below: scope })
        });
        rebuild(self.text, at.value, &outcomes, &[])
    }

    /// Which current element each given one is: the one with its id, else the one in its place if
    /// that is what was shown there.
    fn partners(
        &self,
        spot: Spot,
        given: &Value,
        real: &Value,
        shown: &Value,
    ) -> Vec<Option<usize>> {
        // An id that stands twice tells nothing.
        let mut by_id: HashMap<String, Option<usize>> = HashMap::new();
        for (index, element) in shown.elements().iter().enumerate() {
            if let Some(id) = id_of(&element.value) {
                by_id.entry(id).and_modify(|first| *first = None).or_insert(Some(index));
            }
        }
        let mut taken = HashSet::new();
        let elements = given.elements().iter().enumerate();
        let partners = elements.map(|(index, element)| {
            let in_place = || {
                let shown = shown.element(index)?;
                let spot = self.registry.element(spot, index as u64);
                let real = real.element(index);
                let same = self.registry.is_as_shown(spot, &element.value, shown, real);
                same.then_some(index)
            };
            let found = match id_of(&element.value) {
                Some(id) => by_id.get(&id).copied().flatten(),
                None => in_place(),
            };
            found.filter(|found| taken.insert(*found))
        });
        partners.collect()
    }

    // --- places ---------------------------------------------------------------------------------

    pub(in super::super) fn careful(&self) -> Careful<'a> {
        Careful(&self.rights.plan.automaton)
    }

    pub(in super::super) fn member(&self, place: Place, name: &str) -> Place {
        Place {
            write: self.careful().member(&place.write, name.as_bytes()),
            spot: place.spot.map(|spot| self.registry.member(spot, name)),
        }
    }

    pub(in super::super) fn element(&self, place: Place, index: usize) -> Place {
        Place {
            write: self.careful().element(&place.write, index as u64),
            spot: place.spot.map(|spot| self.registry.element(spot, index as u64)),
        }
    }

    pub(in super::super) fn verdict(&self, place: Place) -> Verdict {
        self.rights.plan.automaton.verdict(&place.write)
    }

    pub(in super::super) fn is_open(&self, place: Place, value: &Value) -> bool {
        let verdict = self.verdict(place);
        let action = if value.is_container() { verdict.container } else { verdict.scalar };
        action == Action::Keep
    }

    /// Whether all of a value may be written.
    pub(in super::super) fn is_open_throughout(&self, place: Place, value: &Value) -> bool {
        self.is_open(place, value)
            && value.members().iter().all(|member| {
                self.is_open_throughout(self.member(place, &member.name), &member.value)
            })
            && value.elements().iter().enumerate().all(|(index, element)| {
                self.is_open_throughout(self.element(place, index), &element.value)
            })
    }

    // --- findings -------------------------------------------------------------------------------

    pub(in super::super) fn violation(&mut self, name: String) {
        self.violations.push(name);
    }

    /// The current place holds what its sender may not read, and would learn of.
    pub(in super::super) fn forbidden(&mut self) {
        self.forbidden.push(self.name());
    }

    /// Names the current place, or another, as one that holds a mask of which too little is known.
    pub(in super::super) fn mask_violation(&mut self, name: Option<&str>) {
        let name = name.map_or_else(|| self.name(), ToOwned::to_owned);
        self.masked.push(name);
    }

    /// Sets the names on the way to the value that comes next.
    pub(in super::super) fn stands_at(&mut self, names: Vec<String>) {
        self.names = names;
    }

    pub(in super::super) fn name(&self) -> String {
        if self.names.is_empty() { "$".to_owned() } else { self.names.join(".") }
    }

    fn raw(&self, value: &Value) -> &'a [u8] {
        self.text.get(value.start..value.end).unwrap_or_default()
    }

    fn raw_real(&self, value: &Value) -> &'a [u8] {
        self.real_text.get(value.start..value.end).unwrap_or_default()
    }
}

/// The id of an element, as a text that equal ids share.
fn id_of(value: &Value) -> Option<String> {
    match &value.member("id")?.content {
        Content::Number(digits) => Some(canonical_number(digits)),
        Content::Text(text) => Some(format!("\"{text}")),
        Content::Null | Content::Bool(_) | Content::List(_) | Content::Object(_) => None,
    }
}
