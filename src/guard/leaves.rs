//! Forms against the rights of their sender: each field a value at the place that its name spells.
//!
//! What a form cannot say, such as a `null` or an empty list, cannot be restored in it either; a
//! full update that would need to is refused.

use super::equal::{equal, same_number};
use super::form::{Field, Step, encode, undotted_head};
use super::multipart;
use super::tree::{Content, Tree, Value};
use super::violations::is_method_override;
use super::write::walk::{Place, Walk};
use super::write_back::{Pair, Text};
use super::{Denied, Unreadable, Update};
use crate::json::navigate::{Action, Navigator as _};
use crate::json::path::{FieldPath, Selector};
use crate::policy::plan::folded;
use crate::policy::set::Writes;

/// What becomes of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Keep,
    Drop,
    Put(String),
}

/// A form with some fields changed.
#[derive(Debug)]
pub(super) struct Changed {
    fates: Vec<Fate>,
    appended: Vec<(String, String)>,
}

/// A field's place, and what is known of it.
struct Spelled<'v> {
    place: Place,
    is_open: bool,
    real: Option<&'v Value>,
    shown: Option<&'v Value>,
    names: Vec<String>,
}

/// Decides every field; `None` where the form stays as it came.
pub(super) fn settle(
    walk: &mut Walk<'_>,
    fields: &[Field],
    current: Option<(&Pair<'_>, &FieldPath)>,
) -> Result<Option<Changed>, Denied> {
    if fields.iter().any(|field| is_method_override(field.name.as_bytes())) {
        return Err(Denied::MethodOverride);
    }
    let prefix = plain_names(walk.rights.body);
    let record = current
        .and_then(|(pair, records)| Some((pair.real.one(records)?, pair.shown.one(records)?)));
    walk.is_known &= prefix.is_some();
    let record = record.filter(|_| prefix.is_some());
    if walk.update == Update::Replace && !walk.is_known {
        walk.mask_violation(Some("$"));
    }
    let mut fates = Vec::new();
    for field in fields {
        let spelled = spell(walk, field, prefix.as_deref(), record);
        walk.stands_at(spelled.names.clone());
        fates.push(decide(walk, field, &spelled));
    }
    let mut appended = Vec::new();
    if let (Update::Replace, Some((real, _)), Some(prefix)) = (walk.update, record, &prefix) {
        restore(walk, fields, prefix, real, &mut appended);
    }
    walk.stands_at(Vec::new());
    let is_same = appended.is_empty() && fates.iter().all(|fate| *fate == Fate::Keep);
    Ok((!is_same).then_some(Changed { fates, appended }))
}

/// The names of a path that is nothing else.
fn plain_names(path: &FieldPath) -> Option<Vec<String>> {
    let names = path.segments().iter().map(|segment| match segment.selectors.as_slice() {
        [Selector::Name(name)] if !segment.descendant => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

fn spell<'v>(
    walk: &Walk<'_>,
    field: &Field,
    prefix: Option<&[String]>,
    record: Option<(&'v Value, &'v Value)>,
) -> Spelled<'v> {
    let automaton = &walk.rights.plan.automaton;
    let enter = |place: Place, depth: usize, names: &[String]| {
        let is_record = prefix.is_some_and(|prefix| prefix.len() == depth && prefix == names);
        if is_record { Place { spot: Some(walk.registry.root()), ..place } } else { place }
    };
    let root = Place { write: automaton.root(), spot: None };
    let mut place = enter(root, 0, &[]);
    let mut current = record.filter(|_| place.spot.is_some());
    let mut names: Vec<String> = Vec::new();
    let mut is_open = true;
    for step in &field.path {
        is_open &= walk.verdict(place).container == Action::Keep;
        match step {
            Step::Name(name) => {
                names.push(name.clone());
                let inside = place.spot.is_some();
                place = walk.member(place, name);
                if inside {
                    let both = current.map(|(real, shown)| (real.member(name), shown.member(name)));
                    current = both.and_then(|(real, shown)| real.zip(shown));
                } else {
                    place = enter(place, names.len(), &names);
                    current = record.filter(|_| place.spot.is_some());
                }
            }
            Step::Element(index) => {
                let at = index.and_then(|index| usize::try_from(index).ok());
                let elements = automaton.elements(place.write);
                let is_closed = |element: &u32| automaton.verdict(element).scalar != Action::Keep;
                // Which one `[]` is, is not known: it must be allowed for all.
                is_open &= at.is_some() || !elements.iter().any(is_closed);
                place = walk.element(place, at.unwrap_or(0));
                let both = at.and_then(|at| {
                    current.map(|(real, shown)| (real.element(at), shown.element(at)))
                });
                current = both.and_then(|(real, shown)| real.zip(shown));
            }
        }
    }
    let verdict = walk.verdict(place);
    is_open &= verdict.scalar == Action::Keep
        && (field.text.is_some() || verdict.container == Action::Keep);
    // A server that knows no paths in names takes the whole name for one.
    let is_whole = |other: &[u8]| other == field.name.as_bytes();
    let literal = automaton.named_members(automaton.root(), is_whole).next();
    is_open &= literal.is_none_or(|place| automaton.verdict(&place).scalar == Action::Keep);
    let undotted = undotted_head(&field.name);
    if !field.name.starts_with(&undotted) {
        let undotted = folded(&undotted);
        let is_undotted =
            |other: &[u8]| std::str::from_utf8(other).is_ok_and(|other| folded(other) == undotted);
        is_open &= automaton
            .named_members(automaton.root(), is_undotted)
            .all(|place| automaton.verdict(&place).scalar == Action::Keep);
    }
    let (real, shown) = current.unzip();
    Spelled { place, is_open, real, shown, names }
}

fn decide(walk: &mut Walk<'_>, field: &Field, spelled: &Spelled<'_>) -> Fate {
    let recognised = match (&field.text, spelled.place.spot) {
        (Some(text), Some(spot)) => walk.registry.recognise(spot, text),
        (Some(text), None) => walk.registry.by_form(text),
        (None, _) => Text::Plain,
    };
    if spelled.is_open {
        return match recognised {
            Text::Plain => Fate::Keep,
            Text::Mask { value: Some(value) } => {
                walk.tally.detokenized += 1;
                let tree = Tree::parse(&value).ok();
                tree.and_then(|tree| display(&tree.root)).map_or(Fate::Drop, Fate::Put)
            }
            Text::Mask { value: None } => returned(walk, spelled),
            Text::Vaulted(token) => match walk.looked_up(token) {
                Some(value) => {
                    let tree = Tree::parse(&value).ok();
                    tree.and_then(|tree| display(&tree.root)).map_or(Fate::Drop, Fate::Put)
                }
                None => Fate::Keep,
            },
            Text::Foreign => {
                walk.mask_violation(None);
                Fate::Keep
            }
        };
    }
    if is_as_shown(walk, field, spelled) {
        walk.tally.kept += 1;
        return keep_real(walk, spelled);
    }
    let is_lost = !walk.is_known && walk.update != Update::Create;
    if let (true, Some(spot), Some(text)) = (is_lost, spelled.place.spot, &field.text) {
        let mut quoted = Vec::new();
        crate::json::text::quote(text, &mut quoted);
        if walk.registry.may_be_mask(spot, &quoted) {
            walk.mask_violation(None);
            return Fate::Keep;
        }
    }
    walk.violation(walk.name());
    match walk.rights.writes {
        Writes::Enforce => Fate::Keep,
        Writes::Strip => {
            walk.tally.stripped += 1;
            keep_real(walk, spelled)
        }
        Writes::Report if recognised == Text::Plain => Fate::Keep,
        Writes::Report => returned(walk, spelled),
    }
}

fn returned(walk: &mut Walk<'_>, spelled: &Spelled<'_>) -> Fate {
    if spelled.real.is_none() && walk.update != Update::Patch {
        if walk.rights.writes == Writes::Strip {
            walk.tally.stripped += 1;
            return Fate::Drop;
        }
        walk.mask_violation(None);
        return Fate::Keep;
    }
    walk.tally.kept += 1;
    keep_real(walk, spelled)
}

/// What the CRM has stays there: the field goes, or says what it is.
fn keep_real(walk: &mut Walk<'_>, spelled: &Spelled<'_>) -> Fate {
    match (walk.update, spelled.real) {
        (Update::Replace, Some(real)) => {
            if let Some(text) = display(real) {
                return Fate::Put(text);
            }
            if real.is_container() {
                walk.mask_violation(None);
                return Fate::Keep;
            }
            Fate::Drop
        }
        _ => Fate::Drop,
    }
}

fn is_as_shown(walk: &Walk<'_>, field: &Field, spelled: &Spelled<'_>) -> bool {
    let (Some(text), Some(spot), Some(shown)) = (&field.text, spelled.place.spot, spelled.shown)
    else {
        return false;
    };
    let is_same = match &shown.content {
        Content::Null => text.is_empty() || text == "null",
        Content::Bool(value) => text.eq_ignore_ascii_case(&value.to_string()),
        Content::Number(digits) => same_number(text, digits),
        Content::Text(shown) => text == shown,
        Content::List(_) | Content::Object(_) => {
            Tree::parse(text.as_bytes()).is_ok_and(|tree| equal(&tree.root, shown))
        }
    };
    let given = Value { start: 0, end: 0, content: Content::Text(text.clone()) };
    is_same || walk.registry.is_as_shown(spot, &given, shown, spelled.real)
}

/// A value as a form has it; `None` for what a form has no text for.
fn display(value: &Value) -> Option<String> {
    match &value.content {
        Content::Bool(value) => Some(value.to_string()),
        Content::Number(digits) => Some(digits.clone()),
        Content::Text(text) => Some(text.clone()),
        Content::Null | Content::List(_) | Content::Object(_) => None,
    }
}

/// Adds what a full update lacks and its sender may not take away.
fn restore(
    walk: &mut Walk<'_>,
    fields: &[Field],
    prefix: &[String],
    real: &Value,
    appended: &mut Vec<(String, String)>,
) {
    let automaton = &walk.rights.plan.automaton;
    let mut place = Place { write: automaton.root(), spot: None };
    for name in prefix {
        place = walk.member(place, name);
    }
    let is_named = |name: &str| {
        fields.iter().any(|field| {
            matches!(field.path.get(prefix.len()), Some(Step::Name(found)) if found == name)
        })
    };
    for member in real.members() {
        let here = walk.member(place, &member.name);
        if walk.is_open_throughout(here, &member.value) {
            continue;
        }
        match (is_named(&member.name), display(&member.value)) {
            (true, _) if !member.value.is_container() => {}
            (false, _) if member.value.content == Content::Null => {}
            (false, Some(text)) => {
                walk.tally.kept += 1;
                appended.push((spelled_name(prefix, &member.name), text));
            }
            _ => walk.mask_violation(Some(&member.name)),
        }
    }
}

fn spelled_name(prefix: &[String], name: &str) -> String {
    let mut parts = prefix.iter().map(String::as_str).chain([name]);
    let head = parts.next().unwrap_or_default().to_owned();
    parts.fold(head, |spelled, part| format!("{spelled}[{part}]"))
}

/// The changed form as pairs.
pub(super) fn as_pairs(body: &[u8], fields: &[Field], changed: &Changed) -> Vec<u8> {
    let mut pairs: Vec<Vec<u8>> = Vec::new();
    for (field, fate) in fields.iter().zip(&changed.fates) {
        let (start, end) = field.span;
        match fate {
            Fate::Drop => {}
            Fate::Keep => pairs.push(body.get(start..end).unwrap_or_default().to_vec()),
            Fate::Put(text) => pairs.push(encode(&field.name, text).into_bytes()),
        }
    }
    let added = changed.appended.iter().map(|(name, text)| encode(name, text).into_bytes());
    pairs.extend(added);
    pairs.join(&b'&')
}

/// The changed form as parts.
pub(super) fn as_parts(
    body: &[u8],
    fields: &[Field],
    changed: &Changed,
    boundary: &str,
) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::new();
    for (field, fate) in fields.iter().zip(&changed.fates) {
        let (start, end) = field.span;
        match fate {
            Fate::Drop => {}
            Fate::Keep => out.extend_from_slice(body.get(start..end).unwrap_or_default()),
            Fate::Put(text) => {
                out.extend_from_slice(multipart::part(boundary, &field.name, text)?.as_bytes());
            }
        }
    }
    for (name, text) in &changed.appended {
        out.extend_from_slice(multipart::part(boundary, name, text)?.as_bytes());
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(out)
}
