//! Paths compiled to an automaton that answers, for every place in a document, what to do there.
//!
//! The automaton knows how to match paths; what a match means is told by a [`Judge`]. All places
//! that are alike share one state, so a step in the filter is one table look-up. What cannot be
//! decided while the record streams by (filter expressions, indices from the end) is evaluated
//! over the held record, by the same steps without the tables.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::query::js_path_process;

use super::Refusal;
use super::filter::{Filter, FilterLimits, Observer, Replacer, Tally};
use super::held::{HeldRecord, Step};
use super::navigate::{Action, Navigator, Verdict};
use super::path::{FieldPath, Segment, Selector};

/// Most states an automaton may have; a set of paths that needs more is refused when it loads.
const MAX_STATES: usize = 8192;

/// Most different indices and slices that may be asked of one array.
const MAX_INDEX_SELECTORS: usize = 8;

/// A path from the root of the document, with a number that the judge knows it by.
#[derive(Debug, Clone)]
pub struct Pattern {
    steps: Vec<PatternStep>,
    /// Set where the last part of the path must be evaluated over a held record.
    held: Option<JpQuery>,
}

#[derive(Debug, Clone)]
struct PatternStep {
    segment: Segment,
    through_arrays: bool,
}

impl Pattern {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self { steps: Vec::new(), held: None }
    }

    /// The places that `path` selects, seen from the root.
    #[must_use]
    pub fn new(path: &FieldPath) -> Self {
        Self::root().then(path)
    }

    /// The places that `path` selects, seen from every place of this pattern.
    #[must_use]
    pub fn then(&self, path: &FieldPath) -> Self {
        let mut steps = self.steps.clone();
        if path.needs_whole_record() {
            return Self { steps, held: path.query().cloned() };
        }
        steps.extend(path.segments().iter().map(|segment| PatternStep {
            segment: segment.clone(),
            through_arrays: path.through_arrays(),
        }));
        Self { steps, held: None }
    }

    /// The places that `path` selects, seen from any place at all. What could only be decided
    /// over a held record is widened to every child.
    #[must_use]
    pub fn anywhere(path: &FieldPath) -> Self {
        let steps = path.segments().iter().enumerate().map(|(at, segment)| {
            let selectors = segment.selectors.iter().map(|selector| match selector {
                Selector::Held => Selector::Wildcard,
                other => other.clone(),
            });
            PatternStep {
                segment: Segment {
                    descendant: segment.descendant || at == 0,
                    selectors: selectors.collect(),
                },
                through_arrays: path.through_arrays(),
            }
        });
        Self { steps: steps.collect(), held: None }
    }
}

/// Index of a pattern in the list that the automaton was compiled from.
pub type PatternId = usize;

/// What the automaton found out about a place.
#[derive(Debug)]
pub struct Found<'a> {
    /// The patterns that select this very place.
    pub accepted: &'a [PatternId],
    /// The patterns that select places below it, by a way without `..` so far.
    pub awaited: &'a [PatternId],
    /// The patterns that could select places below it, by any way.
    pub possible: &'a [PatternId],
}

/// What a judge says of a place.
#[derive(Debug)]
pub struct Ruling<C> {
    /// What the places below need to know.
    pub context: C,
    /// What to do with the value.
    pub verdict: Verdict,
    /// Whether the patterns of a group go on below this place.
    pub live_groups: Groups,
}

/// A set of pattern groups; every pattern belongs to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups(u8);

impl Groups {
    /// Every group.
    pub const ALL: Self = Self(u8::MAX);

    /// Every group but this one.
    #[must_use]
    pub fn without(self, group: u8) -> Self {
        Self(self.0 & !(1 << group))
    }

    fn has(self, group: u8) -> bool {
        self.0 >> group & 1 == 1
    }
}

/// Gives a meaning to matches.
pub trait Judge {
    /// What a place inherits from the one above.
    type Context: Clone + Eq + Hash;

    /// What the root inherits.
    fn outset(&self) -> Self::Context;

    /// Decides a place.
    fn judge(&self, above: &Self::Context, found: &Found) -> Ruling<Self::Context>;
}

/// A pattern and how far along it a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Position {
    pattern: PatternId,
    step: usize,
    /// A `..` was passed on the way here.
    loose: bool,
}

/// A place, as exactly as the patterns can tell places apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place<C> {
    positions: Vec<Position>,
    context: C,
    verdict: Verdict,
}

/// The set of paths was too rich to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooComplex {
    /// See the message.
    #[error("these paths together need more than {MAX_STATES} states")]
    States,
    /// See the message.
    #[error("these paths ask for more than {MAX_INDEX_SELECTORS} indices and slices of one array")]
    Indices,
}

/// Number of a state.
pub type StateId = u32;

/// The compiled automaton.
#[derive(Debug)]
pub struct Automaton<J: Judge> {
    machine: Machine<J>,
    states: Vec<State>,
    /// The places of states that hold, to go on from when their record is complete.
    holding: HashMap<StateId, Place<J::Context>>,
}

#[derive(Debug)]
struct Machine<J> {
    patterns: Vec<(Pattern, u8)>,
    judge: J,
}

#[derive(Debug)]
struct State {
    verdict: Verdict,
    /// Whether a scalar is kept and nobody is told of it.
    passes: bool,
    inert: bool,
    names: NameTable,
    other_name: StateId,
    elements: Elements,
}

#[derive(Debug)]
enum Elements {
    /// All elements are alike.
    Alike(StateId),
    /// Bit `n` of the index into `targets` says whether selector `n` selects the element.
    Selected { selectors: Vec<Selector>, targets: Vec<StateId> },
}

/// Names with a state of their own: a hash table that is filled once.
#[derive(Debug, Default)]
struct NameTable {
    entries: Vec<(Box<[u8]>, StateId)>,
    /// One more than the number of an entry, 0 where there is none. At least half are 0, so that
    /// most names nobody asked for are told by one look. Their number is a power of two.
    slots: Vec<u32>,
}

impl NameTable {
    fn of(names: Vec<(&str, StateId)>) -> Self {
        let mut table = Self { entries: Vec::new(), slots: Vec::new() };
        if names.is_empty() {
            return table;
        }
        table.slots = vec![0; (names.len() * 2).next_power_of_two()];
        for ((name, target), number) in names.into_iter().zip(1..) {
            let mut at = table.first_slot(name.as_bytes());
            while table.slots.get(at).is_some_and(|slot| *slot != 0) {
                at = table.after(at);
            }
            if let Some(slot) = table.slots.get_mut(at) {
                *slot = number;
            }
            table.entries.push((name.as_bytes().into(), target));
        }
        table
    }

    /// Names of one object differ in length, or in their first, middle or last byte. Whoever picks
    /// names that do not makes the table as slow as a list of the policy's names, and no slower.
    #[inline]
    fn first_slot(&self, name: &[u8]) -> usize {
        let byte = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
        let (first, middle) = (byte(name.first()), byte(name.get(name.len() / 2)));
        let marks = first ^ middle << 5 ^ byte(name.last()) << 10 ^ name.len() << 15;
        (marks.wrapping_mul(0x9E37_79B9) >> 16) & (self.slots.len() - 1)
    }

    #[inline]
    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    #[inline]
    fn get(&self, name: &[u8]) -> Option<StateId> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.first_slot(name);
        loop {
            let number = self.slots.get(at).copied()?;
            let (entry, target) = self.entries.get((number as usize).checked_sub(1)?)?;
            if **entry == *name {
                return Some(*target);
            }
            at = self.after(at);
        }
    }
}

fn selects_index(selector: &Selector, index: u64) -> bool {
    match selector {
        Selector::Wildcard => true,
        Selector::Index(wanted) => index == *wanted,
        Selector::Slice { start, end, step } => {
            index >= *start
                && end.is_none_or(|end| index < end)
                && (index - start).is_multiple_of(*step)
        }
        Selector::Name(_) | Selector::Held => false,
    }
}

fn selects_name(selector: &Selector, name: Option<&str>) -> bool {
    match selector {
        Selector::Wildcard => true,
        Selector::Name(wanted) => name == Some(wanted),
        Selector::Index(_) | Selector::Slice { .. } | Selector::Held => false,
    }
}

impl<J: Judge> Machine<J> {
    fn root(&self) -> Place<J::Context> {
        let positions = (0..self.patterns.len())
            .filter(|pattern| self.patterns.get(*pattern).is_some_and(|(p, _)| p.held.is_none()))
            .map(|pattern| Position { pattern, step: 0, loose: false })
            .collect();
        self.place(positions, &self.judge.outset(), &[], &[])
    }

    fn step_of(&self, position: Position) -> Option<&PatternStep> {
        self.patterns.get(position.pattern)?.0.steps.get(position.step)
    }

    /// The place one step below `from`, where `selects` says which selectors select it. Held
    /// patterns come from outside, as `accepted` and `awaited`.
    fn child(
        &self,
        from: &Place<J::Context>,
        is_element: bool,
        selects: impl Fn(&Selector) -> bool,
        accepted: &[PatternId],
        awaited: &[PatternId],
    ) -> Place<J::Context> {
        let mut positions = Vec::with_capacity(from.positions.len());
        for position in &from.positions {
            let Some(step) = self.step_of(*position) else { continue };
            if step.segment.selectors.iter().any(&selects) {
                let loose = position.loose || step.segment.descendant;
                positions.push(Position { step: position.step + 1, loose, ..*position });
            }
            if step.segment.descendant {
                positions.push(Position { loose: true, ..*position });
            } else if is_element && step.through_arrays {
                positions.push(*position);
            }
        }
        positions.sort_unstable();
        positions.dedup();
        self.place(positions, &from.context, accepted, awaited)
    }

    fn place(
        &self,
        mut positions: Vec<Position>,
        above: &J::Context,
        held_accepted: &[PatternId],
        held_awaited: &[PatternId],
    ) -> Place<J::Context> {
        let mut accepted = held_accepted.to_vec();
        let mut awaited = held_awaited.to_vec();
        let mut possible = Vec::new();
        for position in &positions {
            if self.step_of(*position).is_none() {
                accepted.push(position.pattern);
                continue;
            }
            possible.push(position.pattern);
            if !position.loose {
                awaited.push(position.pattern);
            }
        }
        let found = Found { accepted: &accepted, awaited: &awaited, possible: &possible };
        let ruling = self.judge.judge(above, &found);
        positions.retain(|position| {
            self.step_of(*position).is_some()
                && self
                    .patterns
                    .get(position.pattern)
                    .is_some_and(|(_, group)| ruling.live_groups.has(*group))
        });
        Place { positions, context: ruling.context, verdict: ruling.verdict }
    }

    /// Whether values are held because a pattern can only be matched over all of them. If not, they
    /// are held for what stands in them, and the tables know what to do.
    fn holds_to_match(&self) -> bool {
        self.patterns.iter().any(|(pattern, _)| pattern.held.is_some())
    }

    /// The names and the index selectors that matter below a place.
    fn selectors_below(&self, place: &Place<J::Context>) -> (Vec<String>, Vec<Selector>) {
        let (mut names, mut indices) = (Vec::new(), Vec::new());
        for position in &place.positions {
            for selector in self.step_of(*position).iter().flat_map(|step| &step.segment.selectors)
            {
                match selector {
                    Selector::Name(name) => names.push(name.clone()),
                    Selector::Index(_) | Selector::Slice { .. } if !indices.contains(selector) => {
                        indices.push(selector.clone());
                    }
                    _ => {}
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        (names, indices)
    }
}

impl<J: Judge> Automaton<J> {
    /// Compiles patterns, each with its group (0 to 7).
    ///
    /// # Errors
    /// When the patterns multiply beyond what is sensible.
    pub fn compile(patterns: Vec<(Pattern, u8)>, judge: J) -> Result<Self, TooComplex> {
        let machine = Machine { patterns, judge };
        let mut table = Table { numbers: HashMap::new(), places: Vec::new() };
        table.number(machine.root())?;
        let mut states: Vec<State> = Vec::new();
        while let Some(place) = table.places.get(states.len()).cloned() {
            states.push(Self::state(&machine, &place, &mut table)?);
        }
        let holding = (0..).zip(table.places).filter(|(_, place)| place.verdict.holds).collect();
        mark_inert(&mut states);
        Ok(Self { machine, states, holding })
    }

    fn state(
        machine: &Machine<J>,
        place: &Place<J::Context>,
        table: &mut Table<J::Context>,
    ) -> Result<State, TooComplex> {
        let is_walked = place.verdict.container == Action::Keep || place.verdict.watch.below;
        if !is_walked || (place.verdict.holds && machine.holds_to_match()) {
            // Nobody looks below; the state leads to itself.
            let own = table.number(place.clone())?;
            return Ok(State {
                verdict: place.verdict,
                passes: place.verdict.passes_scalars(),
                inert: false,
                names: NameTable::default(),
                other_name: own,
                elements: Elements::Alike(own),
            });
        }
        let (names, selectors) = machine.selectors_below(place);
        let mut member = |name: Option<&str>| {
            table.number(machine.child(
                place,
                false,
                |selector| selects_name(selector, name),
                &[],
                &[],
            ))
        };
        let other_name = member(None)?;
        let mut own = Vec::new();
        for name in &names {
            let target = member(Some(name))?;
            if target != other_name {
                own.push((name.as_str(), target));
            }
        }
        if selectors.len() > MAX_INDEX_SELECTORS {
            return Err(TooComplex::Indices);
        }
        let mut targets = Vec::with_capacity(1 << selectors.len());
        for class in 0..1_usize << selectors.len() {
            let selects = |selector: &Selector| {
                *selector == Selector::Wildcard
                    || selectors
                        .iter()
                        .position(|other| other == selector)
                        .is_some_and(|bit| class >> bit & 1 == 1)
            };
            targets.push(table.number(machine.child(place, true, selects, &[], &[]))?);
        }
        let elements = match targets.as_slice() {
            [alike] => Elements::Alike(*alike),
            _ => Elements::Selected { selectors, targets },
        };
        Ok(State {
            verdict: place.verdict,
            passes: place.verdict.passes_scalars(),
            inert: false,
            names: NameTable::of(own),
            other_name,
            elements,
        })
    }

    /// All that an element of the array at `parent` can be.
    #[must_use]
    pub fn elements(&self, parent: StateId) -> &[StateId] {
        match self.at(parent).map(|state| &state.elements) {
            Some(Elements::Alike(target)) => std::slice::from_ref(target),
            Some(Elements::Selected { targets, .. }) => targets,
            None => &[],
        }
    }

    /// The places of the members of an object at `state` whose names have a place of their own and
    /// are `wanted`.
    pub(crate) fn named_members(
        &self,
        state: StateId,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> impl Iterator<Item = StateId> {
        let entries = self.at(state).map(|state| &state.names.entries[..]).unwrap_or_default();
        entries.iter().filter(move |(name, _)| wanted(name)).map(|(_, target)| *target)
    }

    /// How many states there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.states.len()
    }

    fn at(&self, state: StateId) -> Option<&State> {
        self.states.get(state as usize)
    }
}

/// Places by number, while compiling.
struct Table<C> {
    numbers: HashMap<Place<C>, StateId>,
    places: Vec<Place<C>>,
}

impl<C: Clone + Eq + Hash> Table<C> {
    fn number(&mut self, place: Place<C>) -> Result<StateId, TooComplex> {
        if let Some(number) = self.numbers.get(&place) {
            return Ok(*number);
        }
        if self.places.len() == MAX_STATES {
            return Err(TooComplex::States);
        }
        let number = StateId::try_from(self.places.len()).map_err(|_| TooComplex::States)?;
        self.places.push(place.clone());
        self.numbers.insert(place, number);
        Ok(number)
    }
}

/// A state is inert when it keeps, and leads only to inert states: the greatest such set.
fn mark_inert(states: &mut [State]) {
    let mut inert: Vec<bool> = states.iter().map(|state| state.verdict == Verdict::KEEP).collect();
    loop {
        let is_inert = |target: StateId| inert.get(target as usize) == Some(&true);
        let next: Vec<bool> = states
            .iter()
            .zip(&inert)
            .map(|(state, still)| {
                *still
                    && is_inert(state.other_name)
                    && state.names.entries.iter().all(|(_, target)| is_inert(*target))
                    && match &state.elements {
                        Elements::Alike(target) => is_inert(*target),
                        Elements::Selected { targets, .. } => {
                            targets.iter().all(|target| is_inert(*target))
                        }
                    }
            })
            .collect();
        if next == inert {
            break;
        }
        inert = next;
    }
    for (state, inert) in states.iter_mut().zip(inert) {
        state.inert = inert;
    }
}

/// Stands for a state that does not exist; nothing leads there.
const NOWHERE: Verdict = Verdict::both(Action::Remove);

impl<J: Judge> Navigator for Arc<Automaton<J>> {
    type State = StateId;

    fn root(&self) -> StateId {
        0
    }

    #[inline]
    fn member(&self, parent: &StateId, name: &[u8]) -> StateId {
        self.at(*parent)
            .map_or(StateId::MAX, |state| state.names.get(name).unwrap_or(state.other_name))
    }

    #[inline]
    fn element(&self, parent: &StateId, index: u64) -> StateId {
        match self.at(*parent).map(|state| &state.elements) {
            Some(Elements::Alike(target)) => *target,
            Some(Elements::Selected { selectors, targets }) => {
                let class = selectors.iter().enumerate().fold(0_usize, |class, (bit, selector)| {
                    class | usize::from(selects_index(selector, index)) << bit
                });
                targets.get(class).copied().unwrap_or(StateId::MAX)
            }
            None => StateId::MAX,
        }
    }

    #[inline]
    fn verdict(&self, state: &StateId) -> Verdict {
        self.at(*state).map_or(NOWHERE, |state| state.verdict)
    }

    #[inline]
    fn passes(&self, state: &StateId) -> bool {
        self.at(*state).is_some_and(|state| state.passes)
    }

    #[inline]
    fn is_inert(&self, state: &StateId) -> bool {
        self.at(*state).is_some_and(|state| state.inert)
    }

    fn filter_held(
        &self,
        state: &StateId,
        raw: &[u8],
        limits: FilterLimits,
        replacer: &mut dyn Replacer,
        observer: &mut dyn Observer,
        out: &mut Vec<u8>,
    ) -> Result<Tally, Refusal> {
        if !self.machine.holds_to_match() {
            // It was held for its id: the tables know the rest.
            let mut filter =
                Filter::observed(Resumed { at: *state, tables: self }, replacer, observer, limits);
            filter.push(raw, out)?;
            filter.finish(out)?;
            return Ok(filter.tally().clone());
        }
        let start = self.holding.get(state).ok_or(Refusal::ReplacementFailed)?;
        let matches = HeldMatches::find(&self.machine.patterns, raw)?;
        let navigator = HeldNavigator { machine: &self.machine, start, matches };
        let mut filter = Filter::observed(navigator, replacer, observer, limits);
        filter.push(raw, out)?;
        filter.finish(out)?;
        Ok(filter.tally().clone())
    }
}

/// The tables again, from a place on whose value is not held any more.
struct Resumed<'a, J: Judge> {
    at: StateId,
    tables: &'a Arc<Automaton<J>>,
}

impl<J: Judge> Navigator for Resumed<'_, J> {
    type State = StateId;

    fn root(&self) -> StateId {
        self.at
    }

    fn member(&self, parent: &StateId, name: &[u8]) -> StateId {
        self.tables.member(parent, name)
    }

    fn element(&self, parent: &StateId, index: u64) -> StateId {
        self.tables.element(parent, index)
    }

    fn verdict(&self, state: &StateId) -> Verdict {
        // No place holds inside of one that was held.
        Verdict { holds: false, ..self.tables.verdict(state) }
    }

    fn passes(&self, state: &StateId) -> bool {
        self.tables.passes(state)
    }

    fn is_inert(&self, state: &StateId) -> bool {
        self.tables.is_inert(state)
    }
}

/// What the held patterns select in one record, as a trie of the ways there.
#[derive(Debug)]
struct HeldMatches {
    nodes: Vec<HeldNode>,
}

#[derive(Debug, Default)]
struct HeldNode {
    children: HashMap<Step, usize>,
    accepted: Vec<PatternId>,
    awaited: Vec<PatternId>,
}

impl HeldMatches {
    fn find(patterns: &[(Pattern, u8)], raw: &[u8]) -> Result<Self, Refusal> {
        let record = HeldRecord::parse(raw)?;
        let mut matches = Self { nodes: vec![HeldNode::default()] };
        for (pattern, (path, _)) in patterns.iter().enumerate() {
            let Some(query) = &path.held else { continue };
            let found =
                js_path_process(query, &record.root).map_err(|_| Refusal::ReplacementFailed)?;
            for value in found {
                matches.insert(&record, value.val.ordinal, pattern);
            }
        }
        Ok(matches)
    }

    fn insert(&mut self, record: &HeldRecord, ordinal: usize, pattern: PatternId) {
        let mut way = Vec::new();
        let mut at = ordinal;
        while let Some(Some((parent, step))) = record.parents.get(at) {
            way.push(step);
            at = *parent;
        }
        let mut node = 0;
        for step in way.into_iter().rev() {
            if let Some(here) = self.nodes.get_mut(node) {
                here.awaited.push(pattern);
            }
            let new = self.nodes.len();
            let Some(here) = self.nodes.get_mut(node) else { return };
            node = *here.children.entry(step.clone()).or_insert(new);
            if node == new {
                self.nodes.push(HeldNode::default());
            }
        }
        if let Some(here) = self.nodes.get_mut(node) {
            here.accepted.push(pattern);
        }
    }
}

/// Walks a held record: the same steps as the automaton, with the held matches beside them.
struct HeldNavigator<'a, J: Judge> {
    machine: &'a Machine<J>,
    start: &'a Place<J::Context>,
    matches: HeldMatches,
}

impl<J: Judge> HeldNavigator<'_, J> {
    fn child(
        &self,
        parent: &(Place<J::Context>, Option<usize>),
        step: &Step,
    ) -> (Place<J::Context>, Option<usize>) {
        let (place, node) = parent;
        let node_here = |node: Option<usize>| self.matches.nodes.get(node?);
        let below = node_here(*node).and_then(|node| node.children.get(step).copied());
        let (accepted, awaited) = node_here(below)
            .map_or((&[][..], &[][..]), |node| (&node.accepted[..], &node.awaited[..]));
        let child = match step {
            Step::Member(name) => {
                let name = std::str::from_utf8(name).ok();
                let selects = |selector: &Selector| selects_name(selector, name);
                self.machine.child(place, false, selects, accepted, awaited)
            }
            Step::Element(index) => {
                let selects = |selector: &Selector| selects_index(selector, *index);
                self.machine.child(place, true, selects, accepted, awaited)
            }
        };
        (child, below)
    }
}

impl<J: Judge> Navigator for HeldNavigator<'_, J> {
    type State = (Place<J::Context>, Option<usize>);

    fn root(&self) -> Self::State {
        let mut place = self.start.clone();
        place.verdict.holds = false;
        (place, Some(0))
    }

    fn member(&self, parent: &Self::State, name: &[u8]) -> Self::State {
        self.child(parent, &Step::Member(name.to_vec()))
    }

    fn element(&self, parent: &Self::State, index: u64) -> Self::State {
        self.child(parent, &Step::Element(index))
    }

    fn verdict(&self, state: &Self::State) -> Verdict {
        state.0.verdict
    }

    fn is_inert(&self, _state: &Self::State) -> bool {
        false
    }
}
