//! Plans: what a set of roles may see, or write, on one route, compiled for the byte filter.
//!
//! A plan answers for every place in a document with the modes of the policy files:
//!
//! - the explicit entries of a role that select the value, the most restrictive of them;
//! - else the explicit entry of the nearest value around it;
//! - else the role's default.
//!
//! An object or array on the fixed part of a way to an entry is kept as structure under a
//! restrictive default, so that the entry can be reached. Several roles combine as the resource
//! says; global entries only ever restrict. Outside of records (envelopes, error bodies) every
//! restriction of a role holds at any depth.

use std::sync::Arc;

use super::mode::{Combine, Mode};
use super::set::{Entry, Field, Global, Origin, Resource, Role, Route};
use crate::json::Selection;
use crate::json::automaton::{
    Automaton, Found, Groups, Judge, Pattern, PatternId, Ruling, TooComplex,
};
use crate::json::navigate::{Action, Navigator as _, Note, Slot, Verdict, Watch};
use crate::json::path::{FieldPath, Selector};
use crate::mask::Strategy;

/// What a document is filtered or checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// An answer with records in it.
    Read,
    /// An answer that may hold anything, such as an error body: nothing in it is a record.
    ReadAnything,
    /// Some members of one record, put together by ourselves: the document is the record, but
    /// not all of it, so nothing can hang on an expression over it.
    ReadPart,
    /// A request body: every value that may not be written is named by [`Action::Remove`].
    Write,
    /// What is seen of a record whatever its values are: a right that hangs on an expression is not
    /// counted, a restriction that does always is. For no document, but to ask about paths.
    Certainty,
    /// One record with nothing around it: every field of the registry is [`Action::Replace`]d, so
    /// that its mask can be told whatever a role may do with it.
    Registry,
}

/// How the values at a replaced place are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskSlot {
    /// Object type and path of the registry entry; keys are derived from it. Global entries have
    /// no object type.
    pub field: String,
    /// The strategy; redacts where the registry has none.
    pub strategy: Strategy,
    /// Whether masks in a write are turned back into values.
    pub detokenize: bool,
}

/// What a role sees of the values at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// The values themselves.
    Clear,
    /// Their masks.
    Masked,
    /// Nothing.
    Hidden,
}

/// What was done to the values of one field, and by which rule: what a [`Note`] stands for.
#[derive(Debug, Clone)]
pub struct Account {
    /// The path as the rule has it; `*` for a default.
    pub field: Box<str>,
    /// What the rule does.
    pub treatment: Treatment,
    /// The rule.
    pub cause: Cause,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Treatment {
    /// A field of the registry was shown as it is.
    Shown,
    /// It was masked.
    Masked,
    /// It was removed.
    Hidden,
}

impl Treatment {
    fn of(mode: Mode) -> Self {
        match mode {
            Mode::Edit | Mode::View => Self::Shown,
            Mode::Mask => Self::Masked,
            Mode::Hidden => Self::Hidden,
        }
    }

    /// The word for it, in logs, metrics and the audit ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Masked => "masked",
            Self::Hidden => "hidden",
        }
    }
}

/// Which rule did it.
#[derive(Debug, Clone)]
pub enum Cause {
    /// An entry of this role, or of the global file where there is none.
    Entry(Option<Box<str>>, Origin),
    /// The default of this role.
    Default(Box<str>, Origin),
    /// No rule forbade it.
    NoRule,
}

/// What somebody wants to know of the answers that a plan filters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interest<'a> {
    /// Paths relative to the record, at most 128; the number of a path is its bit in
    /// [`Watch::slots`].
    pub watched: &'a [FieldPath],
    /// Whether fields of the registry that were shown are counted as well.
    pub shown: bool,
}

/// A compiled plan.
#[derive(Debug)]
pub struct Plan {
    /// Decides each place of a document.
    pub automaton: Arc<Automaton<PolicyJudge>>,
    /// The masks, by the number in [`Slot`].
    pub slots: Arc<[MaskSlot]>,
    /// What is counted, by the number in [`Note`].
    pub accounts: Arc<[Account]>,
    /// Where a record keeps its id, which encrypted values are bound to; `None` where it has none.
    pub record_id: Option<Selection>,
    /// The names on the way to each restricted field that is not looked for at any depth.
    restricted: Vec<Vec<String>>,
    /// Whether no role has a restriction here.
    sees_all: bool,
}

/// The resource and route that a plan is for; neither on a route that only global entries govern.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The object type.
    pub resource: &'a Resource,
    /// One of its routes.
    pub route: &'a Route,
}

impl Plan {
    /// Compiles what `roles` together may do.
    ///
    /// # Errors
    /// When the paths multiply beyond what is sensible.
    pub fn compile(
        scope: Option<Scope>,
        roles: &[&Role],
        global: &Global,
        purpose: Purpose,
    ) -> Result<Self, TooComplex> {
        Self::compile_for(scope, roles, global, purpose, None)
    }

    /// [`compile`](Self::compile) for somebody who watches. What is sent is the same.
    ///
    /// # Errors
    /// When the paths multiply beyond what is sensible.
    pub fn compile_for(
        scope: Option<Scope>,
        roles: &[&Role],
        global: &Global,
        purpose: Purpose,
        interest: Option<Interest>,
    ) -> Result<Self, TooComplex> {
        let object_type = scope.map_or("", |scope| &scope.resource.name);
        let mut builder = Builder::new(object_type);
        if purpose == Purpose::Registry {
            builder.global_masks(global);
        } else {
            builder.global(global);
        }
        let mut defaults = Vec::new();
        let watches = interest.is_some() && purpose == Purpose::Read;
        let interest = interest.unwrap_or_default();
        if let Some(scope) = scope {
            let records = match purpose {
                Purpose::ReadPart | Purpose::Registry => Pattern::root(),
                Purpose::Write => Pattern::new(scope.route.records_in_body()),
                Purpose::Read | Purpose::ReadAnything | Purpose::Certainty => {
                    Pattern::new(&scope.route.records)
                }
            };
            if purpose != Purpose::ReadAnything {
                builder.add(records.clone(), Group::Records, Meaning::Records);
            }
            if matches!(purpose, Purpose::Read | Purpose::Write) {
                for path in &scope.route.envelope {
                    builder.add(Pattern::new(path), Group::Outside, Meaning::Envelope);
                }
            }
            // How a value is masked is of no interest where the question is whether.
            let registry =
                if purpose == Purpose::Certainty { &[] } else { &*scope.resource.fields };
            for field in registry {
                builder.registry(field, &records, purpose, interest.shown);
            }
            if watches {
                for (slot, path) in interest.watched.iter().enumerate().take(128) {
                    builder.watch(slot, path, &records);
                }
            }
            for role in roles {
                let here = role.resources.get(&scope.resource.name);
                for entry in here.map_or(&[][..], |here| &here.entries) {
                    builder.entry(entry, (defaults.len(), &role.name), &records, purpose);
                }
                let mode = here.and_then(|here| here.default).unwrap_or(role.default);
                let origin = here.and_then(|here| here.default_origin.as_ref());
                let origin = origin.unwrap_or(&role.default_origin);
                let cause = Cause::Default(role.name.as_str().into(), origin.clone());
                defaults.push(Ruled { mode, note: builder.account("*", mode, cause) });
            }
        }
        let is_open = |default: &Ruled| default.mode < Mode::Mask;
        let sees_all = !builder.restricts && defaults.iter().all(is_open);
        // An encrypted value is bound to its record, whose id may stand behind it.
        let encrypts = builder.slots.iter().any(|slot| slot.strategy == Strategy::Encrypt)
            && matches!(purpose, Purpose::Read | Purpose::ReadPart)
            && (builder.masks || defaults.iter().any(|default| default.mode == Mode::Mask));
        let record_id = scope.and_then(|scope| scope.resource.id.as_ref());
        let record_id = record_id.and_then(Selection::new);
        let judge = PolicyJudge {
            meanings: builder.meanings,
            defaults,
            combine: scope.map_or(Combine::default(), |scope| scope.resource.combine),
            allowed: if purpose == Purpose::Write { Mode::Edit } else { Mode::View },
            tells_masks: purpose == Purpose::Registry,
            has_held: builder.has_held || (encrypts && record_id.is_some()),
            watches,
        };
        let automaton = Arc::new(Automaton::compile(builder.patterns, judge)?);
        Ok(Self {
            automaton,
            slots: builder.slots.into(),
            accounts: builder.accounts.into(),
            record_id,
            restricted: builder.restricted,
            sees_all,
        })
    }

    /// What may be seen of the values at a path of names, by the most restrictive of all ways to
    /// read it: every name also in the spellings that servers take for the same, and lists on the
    /// way walked through. For plans of [`Purpose::ReadPart`].
    #[must_use]
    pub fn view_of<S: AsRef<str>>(&self, path: &[S]) -> View {
        let automaton = &self.automaton;
        let mut view = View::Clear;
        let mut places = vec![automaton.root()];
        for (at, name) in path.iter().enumerate() {
            let wanted = folded(name.as_ref());
            let is_like =
                |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| folded(name) == wanted);
            let mut next: Vec<_> = places
                .iter()
                .flat_map(|place| {
                    let exact = automaton.member(place, name.as_ref().as_bytes());
                    automaton.named_members(*place, is_like).chain([exact])
                })
                .collect();
            // A list of lists adds no place that its elements do not lead to.
            for reached in 0.. {
                let Some(place) = next.get(reached).copied() else { break };
                for element in automaton.elements(place) {
                    if !next.contains(element) {
                        next.push(*element);
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            let is_last = at + 1 == path.len();
            for place in &next {
                let verdict = automaton.verdict(place);
                view = view.max(view_by(verdict.container));
                if is_last {
                    view = view.max(view_by(verdict.scalar));
                }
            }
            places = next;
        }
        view
    }

    /// Whether nothing of a record is masked or hidden from the roles, global fields aside.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.sees_all
    }

    /// Whether a restricted field is known to lie somewhere below this path, so that comparing the
    /// value there as a whole would tell of it.
    #[must_use]
    pub fn restricts_below<S: AsRef<str>>(&self, path: &[S]) -> bool {
        self.restricted.iter().any(|names| {
            names.len() > path.len()
                && names
                    .iter()
                    .zip(path)
                    .all(|(name, asked)| folded(name) == folded(asked.as_ref()))
        })
    }
}

fn view_by(action: Action) -> View {
    match action {
        Action::Keep => View::Clear,
        Action::Replace(_) => View::Masked,
        Action::Remove => View::Hidden,
    }
}

/// A name as the most careless server compares it: without case, and without what stands between
/// its words. Letters such as `ſ` and the Kelvin sign are an `s` and a `k` to those who compare
/// without case (Go does), and become so by way of their capitals.
#[must_use]
pub fn folded(name: &str) -> String {
    name.chars()
        .filter(|found| !"_- ".contains(*found))
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Groups of patterns that stop together.
#[derive(Debug, Clone, Copy)]
enum Group {
    /// Where the records are; of no use inside of one.
    Records = 0,
    /// Relative to a record.
    Inside = 1,
    /// Envelope members and restrictions at any depth; of no use inside of a record.
    Outside = 2,
    /// Everywhere.
    Global = 3,
    /// Changes nothing.
    Watch = 4,
}

/// A mode, and the account of the rule that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ruled {
    mode: Mode,
    note: Note,
}

/// What it means that a pattern selects a place.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    Records,
    Envelope,
    Entry { role: usize, rule: Ruled, side: Side },
    GlobalEntry { rule: Ruled },
    Mask { slot: Slot, recursive: bool, side: Side },
    Registered { note: Note, side: Side },
    Watch { slot: usize },
}

/// Which places a pattern speaks about. A record itself counts as inside: an entry for a field
/// that happens to have the name of the envelope's member does not touch the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
    Both,
}

impl Side {
    fn covers(self, in_record: bool) -> bool {
        match self {
            Self::Inside => in_record,
            Self::Outside => !in_record,
            Self::Both => true,
        }
    }
}

#[derive(Debug)]
struct Builder<'a> {
    object_type: &'a str,
    patterns: Vec<(Pattern, u8)>,
    meanings: Vec<Meaning>,
    slots: Vec<MaskSlot>,
    accounts: Vec<Account>,
    has_held: bool,
    restricted: Vec<Vec<String>>,
    restricts: bool,
    /// Whether an entry masks.
    masks: bool,
}

/// The slot of fields without a strategy of their own.
const REDACT: Slot = Slot(0);

impl<'a> Builder<'a> {
    fn new(object_type: &'a str) -> Self {
        let redact =
            MaskSlot { field: String::new(), strategy: Strategy::default(), detokenize: false };
        Self {
            object_type,
            patterns: Vec::new(),
            meanings: Vec::new(),
            slots: vec![redact],
            accounts: Vec::new(),
            has_held: false,
            restricted: Vec::new(),
            restricts: false,
            masks: false,
        }
    }

    fn add(&mut self, pattern: Pattern, group: Group, meaning: Meaning) {
        self.patterns.push((pattern, group as u8));
        self.meanings.push(meaning);
    }

    fn global(&mut self, global: &Global) {
        for entry in &global.entries {
            let rule = self.rule(entry, None);
            let meaning = Meaning::GlobalEntry { rule };
            self.add(whole_document(&entry.path), Group::Global, meaning);
        }
        self.global_masks(global);
    }

    fn global_masks(&mut self, global: &Global) {
        for field in &global.fields {
            let Some(slot) = self.slot("", field) else { continue };
            let recursive = field.path.is_recursive();
            let meaning = Meaning::Mask { slot, recursive, side: Side::Both };
            self.add(whole_document(&field.path), Group::Global, meaning);
        }
    }

    fn slot(&mut self, object_type: &str, field: &Field) -> Option<Slot> {
        let strategy = field.strategy.clone()?;
        let slot = Slot(u32::try_from(self.slots.len()).ok()?);
        let name = format!("{object_type}.{}", field.path);
        self.slots.push(MaskSlot { field: name, strategy, detokenize: field.detokenize });
        Some(slot)
    }

    /// A new account. What is shown is only counted for fields of the registry.
    fn account(&mut self, field: &str, mode: Mode, cause: Cause) -> Note {
        let treatment = Treatment::of(mode);
        if treatment == Treatment::Shown && !matches!(cause, Cause::NoRule) {
            return Note::NONE;
        }
        let note = Note::of(self.accounts.len());
        self.accounts.push(Account { field: field.into(), treatment, cause });
        note
    }

    fn rule(&mut self, entry: &Entry, role: Option<&str>) -> Ruled {
        let cause = Cause::Entry(role.map(Into::into), entry.origin.clone());
        let note = self.account(entry.path.as_str(), entry.mode, cause);
        self.masks |= entry.mode == Mode::Mask;
        Ruled { mode: entry.mode, note }
    }

    /// What could only be decided over a held record cannot be watched.
    fn watch(&mut self, slot: usize, path: &FieldPath, records: &Pattern) {
        if !path.needs_whole_record() {
            self.add(records.then(path), Group::Watch, Meaning::Watch { slot });
        }
    }

    fn registry(&mut self, field: &Field, records: &Pattern, purpose: Purpose, shown: bool) {
        let is_held = field.path.needs_whole_record();
        if shown {
            let note = self.account(field.path.as_str(), Mode::View, Cause::NoRule);
            let meaning = |side| Meaning::Registered { note, side };
            self.add(Pattern::anywhere(&field.path), Group::Outside, meaning(Side::Outside));
            if !is_held {
                self.add(records.then(&field.path), Group::Inside, meaning(Side::Inside));
            }
        }
        match purpose {
            // How a value is masked is of no concern here, and no record may be held for it.
            Purpose::Write if is_held => return,
            Purpose::Registry if is_held => {
                let Some(slot) = self.slot(self.object_type, field) else { return };
                let meaning = Meaning::Mask { slot, recursive: true, side: Side::Inside };
                return self.add(Pattern::anywhere(&field.path), Group::Inside, meaning);
            }
            Purpose::Read
            | Purpose::ReadAnything
            | Purpose::ReadPart
            | Purpose::Certainty
            | Purpose::Write
            | Purpose::Registry => {}
        }
        let Some(slot) = self.slot(self.object_type, field) else { return };
        let recursive = field.path.is_recursive();
        let meaning = |side| Meaning::Mask { slot, recursive, side };
        self.add(Pattern::anywhere(&field.path), Group::Outside, meaning(Side::Outside));
        if purpose == Purpose::ReadPart && field.path.needs_whole_record() {
            self.add(Pattern::anywhere(&field.path), Group::Inside, meaning(Side::Inside));
        } else {
            self.add_inside(&field.path, records, meaning(Side::Inside));
        }
    }

    fn entry(
        &mut self,
        entry: &Entry,
        (role, name): (usize, &str),
        records: &Pattern,
        purpose: Purpose,
    ) {
        let rule = self.rule(entry, Some(name));
        let meaning = |side| Meaning::Entry { role, rule, side };
        let restricts = entry.mode >= Mode::Mask;
        self.restricts |= restricts;
        if restricts && !entry.path.is_recursive() {
            self.restricted.push(names_of(&entry.path));
        }
        if restricts {
            self.add(Pattern::anywhere(&entry.path), Group::Outside, meaning(Side::Outside));
        }
        let meaning = meaning(Side::Inside);
        match purpose {
            Purpose::ReadAnything | Purpose::Registry => {}
            // What a filter expression says of a record that is only just being written, or that is
            // not all there, proves nothing: a right that hangs on one is not given, a restriction
            // holds for all.
            Purpose::Write if entry.path.needs_whole_record() => {
                if entry.mode != Mode::Edit {
                    self.add(Pattern::anywhere(&entry.path), Group::Inside, meaning);
                }
            }
            Purpose::ReadPart | Purpose::Certainty if entry.path.needs_whole_record() => {
                if restricts {
                    self.add(Pattern::anywhere(&entry.path), Group::Inside, meaning);
                }
            }
            Purpose::Read | Purpose::ReadPart | Purpose::Write | Purpose::Certainty => {
                self.add_inside(&entry.path, records, meaning);
            }
        }
    }

    fn add_inside(&mut self, path: &FieldPath, records: &Pattern, meaning: Meaning) {
        self.has_held |= path.needs_whole_record();
        self.add(records.then(path), Group::Inside, meaning);
    }
}

/// The names of a path; steps that go to any element have none.
fn names_of(path: &FieldPath) -> Vec<String> {
    let selectors = path.segments().iter().filter_map(|segment| segment.selectors.first());
    let names = selectors.filter_map(|selector| match selector {
        Selector::Name(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// Global paths are relative to the whole document. What could only be decided over a held record
/// is widened, for there may be no record.
fn whole_document(path: &FieldPath) -> Pattern {
    if path.needs_whole_record() { Pattern::anywhere(path) } else { Pattern::new(path) }
}

/// Gives matches the meaning of the policy files. See the module.
#[derive(Debug)]
pub struct PolicyJudge {
    meanings: Vec<Meaning>,
    /// The default of each role, in the order of the entries' role numbers.
    defaults: Vec<Ruled>,
    combine: Combine,
    /// The most restrictive mode that lets a value through.
    allowed: Mode,
    /// Whether records must be held.
    has_held: bool,
    /// Whether somebody watches.
    watches: bool,
    /// The masks are asked for, not what a role may do.
    tells_masks: bool,
}

/// What a place inherits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inherited {
    /// Above the root: a document stays one, however little of it may be seen.
    is_above_root: bool,
    in_record: bool,
    in_envelope: bool,
    /// The mode of the nearest enclosing value with an explicit entry, for each role.
    explicit: Box<[Option<Ruled>]>,
}

/// The modes of a place by what stands there.
#[derive(Debug, Clone, Copy)]
struct Modes {
    scalar: Ruled,
    container: Ruled,
}

/// Without roles only global entries govern; a request without a known role never gets here.
const UNRULED: Ruled = Ruled { mode: Mode::Edit, note: Note::NONE };

impl PolicyJudge {
    fn meanings<'a>(&'a self, patterns: &'a [PatternId]) -> impl Iterator<Item = Meaning> + 'a {
        patterns.iter().filter_map(|pattern| self.meanings.get(*pattern).copied())
    }

    /// The most restrictive explicit entry of a role here.
    fn explicit_here(&self, role: usize, in_record: bool, found: &Found) -> Option<Ruled> {
        self.meanings(found.accepted)
            .filter_map(|meaning| match meaning {
                Meaning::Entry { role: of, rule, side } if of == role && side.covers(in_record) => {
                    Some(rule)
                }
                _ => None,
            })
            .max_by_key(|rule| rule.mode)
    }

    /// Whether a container here must stay, whatever the default, for something below it that is
    /// less restricted. An entry that only restricts further keeps nothing.
    fn is_structure(&self, role: usize, default: Mode, found: &Found) -> bool {
        self.meanings(found.awaited).any(|meaning| match meaning {
            Meaning::Records | Meaning::Envelope => true,
            Meaning::Entry { role: of, rule, .. } => of == role && rule.mode < default,
            Meaning::Mask { .. } => default == Mode::Mask,
            Meaning::GlobalEntry { .. } | Meaning::Registered { .. } | Meaning::Watch { .. } => {
                false
            }
        })
    }

    fn combine(&self, modes: impl Iterator<Item = Modes>) -> Modes {
        let combined = modes.reduce(|one, other| {
            let pick = |one: Ruled, other: Ruled| match self.combine {
                Combine::MostRestrictive if other.mode > one.mode => other,
                Combine::Union if other.mode < one.mode => other,
                Combine::MostRestrictive | Combine::Union => one,
            };
            Modes {
                scalar: pick(one.scalar, other.scalar),
                container: pick(one.container, other.container),
            }
        });
        combined.unwrap_or(Modes { scalar: UNRULED, container: UNRULED })
    }

    /// The mask of this place: a field named exactly before one found at any depth, then the
    /// first declared.
    fn slot(&self, in_record: bool, found: &Found) -> Slot {
        self.meanings(found.accepted)
            .filter_map(|meaning| match meaning {
                Meaning::Mask { slot, recursive, side } if side.covers(in_record) => {
                    Some((recursive, slot))
                }
                _ => None,
            })
            .min()
            .map_or(REDACT, |(_, slot)| slot)
    }

    /// The account that a value here is counted on.
    fn note(&self, rule: Ruled, in_record: bool, found: &Found) -> Note {
        if self.allowed == Mode::Edit || rule.mode > self.allowed {
            return rule.note;
        }
        let registered = self.meanings(found.accepted).find_map(|meaning| match meaning {
            Meaning::Registered { note, side } if side.covers(in_record) => Some(note),
            _ => None,
        });
        registered.unwrap_or(Note::NONE)
    }

    fn watch(&self, begins_record: bool, container: Action, found: &Found) -> Watch {
        if !self.watches {
            return Watch::default();
        }
        let watched = |pattern: &PatternId| match self.meanings.get(*pattern) {
            Some(Meaning::Watch { slot }) => 1_u128 << slot,
            _ => 0,
        };
        let slots = found.accepted.iter().map(watched).fold(0, |slots, more| slots | more);
        let leads_on = |pattern: &PatternId| watched(pattern) != 0;
        let below =
            container != Action::Keep && (begins_record || found.possible.iter().any(leads_on));
        Watch { slots, below, record: begins_record }
    }

    /// The mask of this place, if the registry knows it.
    fn registered(&self, in_record: bool, found: &Found) -> Verdict {
        let is_known = self
            .meanings(found.accepted)
            .any(|meaning| matches!(meaning, Meaning::Mask { side, .. } if side.covers(in_record)));
        let scalar =
            if is_known { Action::Replace(self.slot(in_record, found)) } else { Action::Keep };
        Verdict { scalar, ..Verdict::KEEP }
    }

    fn action(&self, mode: Mode, in_record: bool, found: &Found) -> Action {
        if mode <= self.allowed {
            return Action::Keep;
        }
        match mode {
            // A value that may be seen but not written is named like one that may not be seen.
            Mode::Edit | Mode::View | Mode::Hidden => Action::Remove,
            Mode::Mask if self.allowed == Mode::Edit => Action::Remove,
            Mode::Mask => Action::Replace(self.slot(in_record, found)),
        }
    }
}

/// What one role may do at a place; `stays` is set where a container is needed as structure.
fn modes_of_role(default: Ruled, explicit: Option<Ruled>, stays: bool) -> Modes {
    match explicit {
        Some(rule) => Modes { scalar: rule, container: rule },
        None if stays => Modes { scalar: default, container: UNRULED },
        None => Modes { scalar: default, container: default },
    }
}

impl Judge for PolicyJudge {
    type Context = Inherited;

    fn outset(&self) -> Inherited {
        Inherited {
            is_above_root: true,
            in_record: false,
            in_envelope: false,
            explicit: vec![None; self.defaults.len()].into(),
        }
    }

    fn judge(&self, above: &Inherited, found: &Found) -> Ruling<Inherited> {
        let accepts = |wanted: fn(&Meaning) -> bool| {
            self.meanings(found.accepted).any(|meaning| wanted(&meaning))
        };
        let begins_record =
            !above.in_record && accepts(|meaning| matches!(meaning, Meaning::Records));
        let in_record = above.in_record || begins_record;
        let in_envelope =
            !in_record && (above.in_envelope || accepts(|m| matches!(m, Meaning::Envelope)));

        let explicit: Box<[Option<Ruled>]> = above
            .explicit
            .iter()
            .enumerate()
            .map(|(role, inherited)| self.explicit_here(role, in_record, found).or(*inherited))
            .collect();
        let roles = self.defaults.iter().zip(&explicit).enumerate();
        let mut modes = self.combine(roles.map(|(role, (default, explicit))| {
            let shown = Ruled { mode: Mode::View, note: Note::NONE };
            let default = if in_envelope && default.mode > Mode::View { shown } else { *default };
            let stays = begins_record
                || above.is_above_root
                || self.is_structure(role, default.mode, found);
            modes_of_role(default, *explicit, stays)
        }));
        let global = self.meanings(found.accepted).filter_map(|meaning| match meaning {
            Meaning::GlobalEntry { rule } => Some(rule),
            _ => None,
        });
        if let Some(global) = global.max_by_key(|rule| rule.mode) {
            for rule in [&mut modes.scalar, &mut modes.container] {
                if global.mode > rule.mode {
                    *rule = global;
                }
            }
        }

        let container = self.action(modes.container.mode, in_record, found);
        let masked = self.tells_masks.then(|| self.registered(in_record, found));
        let verdict = masked.unwrap_or_else(|| Verdict {
            scalar: self.action(modes.scalar.mode, in_record, found),
            container,
            holds: begins_record && self.has_held,
            watch: self.watch(begins_record, container, found),
            scalar_note: self.note(modes.scalar, in_record, found),
            container_note: self.note(modes.container, in_record, found),
        });
        let live_groups = if in_record {
            Groups::ALL.without(Group::Records as u8).without(Group::Outside as u8)
        } else {
            Groups::ALL
        };
        let context = Inherited { is_above_root: false, in_record, in_envelope, explicit };
        Ruling { context, verdict, live_groups }
    }
}

#[cfg(test)]
mod tests;
