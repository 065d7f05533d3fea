//! The first look at a JSON body: finds the members that a role may not write.
//!
//! The body is read with the byte filter's tokenizer and the write plan of the caller; every value
//! that the plan would remove is a violation. Nothing is kept but names.

use std::collections::HashSet;
use std::sync::Arc;

use super::write::MOST_NAMED;
use crate::json::Refusal;
use crate::json::automaton::{Automaton, StateId};
use crate::json::navigate::{Action, Navigator, Verdict};
use crate::json::text::unescape;
use crate::json::tokenizer::{Kind, Tokenizer};
use crate::policy::plan::{PolicyJudge, folded};

/// Why a body cannot be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not acceptable JSON.
    #[error(transparent)]
    Json(#[from] Refusal),
    /// Of two members of one name, the CRM could take the one that was not looked at.
    #[error("a member name stands twice in one object")]
    RepeatedName,
    /// Not a form, or one that servers read in different ways.
    #[error("the form has no reading, or more than one")]
    Form,
    /// Not a JSON Patch (RFC 6902).
    #[error("the list of operations is no JSON Patch")]
    Patch,
}

/// What a first look finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Dotted paths, in the order found.
    pub(super) violations: Vec<String>,
    /// Whether the body asks for another method.
    pub(super) overrides_method: bool,
    /// Whether a text begins like a mask.
    pub(super) may_hold_masks: bool,
    /// Whether a member is an object or list in which something may not be written, or a `null` in
    /// the place of one: if the CRM replaces it whole, that is lost.
    pub(super) may_lose: bool,
}

/// How masks that can be recognised begin.
const MASK_PREFIXES: [&[u8]; 3] = [b"enc:", b"token_", b"hash:"];

/// Takes a name for a restricted one also where a careless server would.
#[derive(Clone, Copy)]
pub(super) struct Careful<'a>(pub(super) &'a Arc<Automaton<PolicyJudge>>);

impl Navigator for Careful<'_> {
    type State = StateId;

    fn root(&self) -> StateId {
        self.0.root()
    }

    fn member(&self, parent: &StateId, name: &[u8]) -> StateId {
        let exact = self.0.member(parent, name);
        let is_closed = |place: &StateId| {
            let verdict = self.0.verdict(place);
            verdict.scalar != Action::Keep || verdict.container != Action::Keep
        };
        let has_own = self.0.named_members(*parent, |other| other == name).next().is_some();
        if has_own || is_closed(&exact) {
            return exact;
        }
        let Ok(name) = std::str::from_utf8(name) else { return exact };
        let wanted = folded(name);
        let is_like =
            |other: &[u8]| std::str::from_utf8(other).is_ok_and(|other| folded(other) == wanted);
        self.0.named_members(*parent, is_like).find(is_closed).unwrap_or(exact)
    }

    fn element(&self, parent: &StateId, index: u64) -> StateId {
        self.0.element(parent, index)
    }

    fn verdict(&self, state: &StateId) -> Verdict {
        self.0.verdict(state)
    }

    fn is_inert(&self, state: &StateId) -> bool {
        self.0.is_inert(state)
    }
}

/// An open container of the body.
struct Open<S> {
    /// Where it is; `None` inside of a violation, which is reported once.
    state: Option<S>,
    is_object: bool,
    next_index: u64,
    /// The name of the member that is being read.
    name: Vec<u8>,
    names: HashSet<Vec<u8>>,
}

/// The members of a request body that may not be written, as dotted paths in the order found.
/// None means that all of it may.
///
/// # Errors
/// The body is not JSON with one reading only.
pub fn violations<N: Navigator>(navigator: &N, body: &[u8]) -> Result<Vec<String>, Unreadable> {
    examine(navigator, body).map(|found| found.violations)
}

/// Looks at a body once.
pub(super) fn examine<N: Navigator>(navigator: &N, body: &[u8]) -> Result<Found, Unreadable> {
    let mut tokenizer = Tokenizer::default();
    tokenizer.begin_chunk(body)?;
    let mut open: Vec<Open<N::State>> = Vec::new();
    let mut found = Found::default();
    let mut at = 0;
    while let Some(token) = tokenizer.next(body, at)? {
        at = token.end;
        let is_container = match token.kind {
            Kind::Comma | Kind::Colon => continue,
            Kind::ObjectEnd | Kind::ArrayEnd => {
                open.pop();
                continue;
            }
            Kind::Name(_) => {
                let is_outermost = open.len() == 1;
                let Some(parent) = open.last_mut() else { continue };
                let quoted = body.get(token.start..token.end).unwrap_or_default();
                let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
                parent.name = unescape(inner).into_owned();
                found.overrides_method |= is_outermost && is_method_override(&parent.name);
                if !parent.names.insert(parent.name.clone()) {
                    return Err(Unreadable::RepeatedName);
                }
                continue;
            }
            Kind::ObjectStart | Kind::ArrayStart => true,
            Kind::Text(_) | Kind::Number(_) | Kind::Literal(_) => false,
        };
        if let Kind::Text(_) = token.kind {
            let inner = body.get(token.start + 1..token.end.saturating_sub(1)).unwrap_or_default();
            let text = unescape(inner);
            found.may_hold_masks |= MASK_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        }
        let mut state = enter(navigator, open.last_mut());
        if let Some(here) = &state {
            let verdict = navigator.verdict(here);
            let action = if is_container { verdict.container } else { verdict.scalar };
            if action != Action::Keep {
                state = None;
                if found.violations.len() < MOST_NAMED {
                    found.violations.push(dotted(&open));
                }
            }
        }
        let is_null = body.get(token.start..token.end) == Some(b"null");
        if is_container || is_null {
            let is_inert = state.as_ref().is_none_or(|here| navigator.is_inert(here));
            found.may_lose |= !open.is_empty() && !is_inert;
        }
        if is_container {
            open.push(Open {
                state,
                is_object: token.kind == Kind::ObjectStart,
                next_index: 0,
                name: Vec::new(),
                names: HashSet::new(),
            });
        }
    }
    tokenizer.finish()?;
    found.violations.dedup();
    Ok(found)
}

/// Whether a member of a body, or a field of a form, names another method for the request.
pub(super) fn is_method_override(name: &[u8]) -> bool {
    name.trim_ascii().eq_ignore_ascii_case(b"_method")
}

/// The place of the value that begins now; `None` where nobody asks.
fn enter<N: Navigator>(navigator: &N, parent: Option<&mut Open<N::State>>) -> Option<N::State> {
    let Some(parent) = parent else { return Some(navigator.root()) };
    let state = parent.state.as_ref()?;
    if parent.is_object {
        return Some(navigator.member(state, &parent.name));
    }
    let element = navigator.element(state, parent.next_index);
    parent.next_index += 1;
    Some(element)
}

/// The names on the way to the current value; elements of arrays have none.
fn dotted<S>(open: &[Open<S>]) -> String {
    let names: Vec<_> = open
        .iter()
        .filter(|container| container.is_object)
        .map(|container| String::from_utf8_lossy(&container.name))
        .collect();
    if names.is_empty() { "$".to_owned() } else { names.join(".") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::{SourceFile, Span};
    use crate::json::path::FieldPath;
    use crate::policy::plan::{Plan, Purpose, Scope};
    use crate::policy::set::{Entry, Global, Origin, Resource, Role, RoleResource, Route};
    use crate::policy::{Combine, Mode};

    fn plan(default: Mode, entries: &[(&str, Mode)]) -> Plan {
        let origin = Origin { source: SourceFile::new("test", ""), span: Span::default() };
        let resource = Resource {
            name: "lead".into(),
            id: None,
            combine: Combine::default(),
            writes: crate::policy::set::Writes::default(),
            query: crate::policy::query::QueryRules::default(),
            routes: vec![Route {
                methods: vec![http::Method::POST],
                path: "/".into(),
                records: FieldPath::parse("$").unwrap(),
                envelope: Vec::new(),
                body: None,
                write: None,
                is_search: false,
            }],
            fields: Vec::new(),
            emits: Vec::new(),
            events: crate::policy::emits::Events::default(),
        };
        let entry = |(path, mode): &(&str, Mode)| Entry {
            path: FieldPath::parse(path).unwrap(),
            mode: *mode,
            origin: origin.clone(),
        };
        let here = RoleResource {
            default: None,
            default_origin: None,
            entries: entries.iter().map(entry).collect(),
        };
        let role = Role {
            name: "r".into(),
            default,
            default_origin: origin.clone(),
            resources: [("lead".to_owned(), here)].into(),
            reveal: std::collections::BTreeMap::new(),
        };
        let scope = Scope { resource: &resource, route: &resource.routes[0] };
        Plan::compile(Some(scope), &[&role], &Global::default(), Purpose::Write).unwrap()
    }

    #[track_caller]
    fn check(
        default: Mode,
        entries: &[(&str, Mode)],
        body: &str,
        expect: Result<&[&str], Unreadable>,
    ) {
        let plan = plan(default, entries);
        let found = violations(&Arc::clone(&plan.automaton), body.as_bytes());
        assert_eq!(found, expect.map(|names| names.iter().map(|&n| n.to_owned()).collect()));
    }

    #[test]
    fn only_what_is_edit_may_be_written() {
        let entries = [("status", Mode::Edit), ("owner.email", Mode::Edit), ("ssn", Mode::Hidden)];
        check(Mode::View, &entries, r#"{"status":"new"}"#, Ok(&[]));
        check(Mode::View, &entries, r#"{"owner":{"email":"x"}}"#, Ok(&[]));
        check(Mode::View, &entries, r#"{"status":"new","email":"x"}"#, Ok(&["email"]));
        check(Mode::View, &entries, r#"{"owner":{"email":"x","id":{"a":1}}}"#, Ok(&["owner.id"]));
        check(Mode::View, &entries, r#"{"owner":7}"#, Ok(&["owner"]));
        check(Mode::View, &entries, r#"{"s\u0073n":1}"#, Ok(&["ssn"]));
        check(Mode::View, &entries, "7", Ok(&["$"]));
        check(Mode::View, &entries, r#"[{"status":1},{"email":1},{"email":2}]"#, Ok(&["email"]));
        check(Mode::Edit, &entries, r#"{"anything":{"at":["all"]}}"#, Ok(&[]));
        check(Mode::Edit, &entries, r#"{"ssn":null}"#, Ok(&["ssn"]));
        check(Mode::Edit, &[("$..email", Mode::Mask)], r#"{"a":[{"email":1}]}"#, Ok(&["a.email"]));
    }

    #[test]
    fn rights_that_hang_on_an_expression_are_not_given_and_restrictions_hold_for_all() {
        let path = "$.notes[?@.mine==true].text";
        let body = r#"{"notes":[{"mine":true,"text":"x"}]}"#;
        check(Mode::View, &[(path, Mode::Edit)], body, Ok(&["notes"]));
        check(Mode::Edit, &[(path, Mode::View)], body, Ok(&["notes.text"]));
    }

    #[test]
    fn bodies_with_two_readings_are_refused() {
        check(Mode::Edit, &[], r#"{"a":1,"\u0061":2}"#, Err(Unreadable::RepeatedName));
        check(Mode::Edit, &[], r#"[{"a":1},{"a":2}]"#, Ok(&[]));
        check(Mode::Edit, &[], r#"{"a":1}x"#, Err(Unreadable::Json(Refusal::InvalidJson)));
        check(Mode::Edit, &[], "", Err(Unreadable::Json(Refusal::Truncated)));
    }
}
