//! JSON Patch (RFC 6902): a list of operations, whose fields stand in pointers.
//!
//! An operation may write only what its sender may write, and read only what it may see: `copy` and
//! `move` carry values to other places, and `test` tells whether a guess is right. Where an earlier
//! operation of the same patch has been, nobody knows what stands there, and it is decided as if the
//! record were not known.

use super::equal::equal;
use super::splice::{Outcome, rebuild};
use super::tree::{Child, Content, Tree, Value};
use super::write::walk::{At, Place, Scope, Walk};
use super::write_back::Pair;
use super::{Denied, Unreadable};
use crate::json::navigate::{Action, Navigator as _};
use crate::json::path::Selector;
use crate::policy::plan::folded;

/// Most operations of one patch, and most steps of a pointer.
const MOST_OPERATIONS: usize = 1024;
const MOST_STEPS: usize = 32;

/// One operation.
struct Operation<'v> {
    name: &'v str,
    path: Vec<String>,
    from: Option<Vec<String>>,
    value: Option<&'v Value>,
}

/// Decides every operation; `None` where the patch stays as it came.
pub(super) fn settle<'t: 'a, 'a>(
    walk: &mut Walk<'a>,
    tree: &Tree<'t>,
    current: Option<&'a Pair<'a>>,
) -> Result<Option<Vec<u8>>, Denied> {
    let Content::List(children) = &tree.root.content else {
        return Err(Unreadable::Patch.into());
    };
    if children.len() > MOST_OPERATIONS {
        return Err(Unreadable::Patch.into());
    }
    walk.reads(tree.text, current.map(|pair| pair.real.text));
    let mut outcomes = Vec::new();
    let mut changed: Vec<Vec<String>> = Vec::new();
    let is_known = walk.is_known;
    for Child { value, .. } in children {
        let operation = Operation::read(value)?;
        // Where an earlier operation has been, the record is not what it was.
        let is_stale = operation.reaches(&changed);
        let current = current.filter(|_| !is_stale);
        walk.is_known = is_known && !is_stale;
        let outcome = decide(walk, tree.text, value, &operation, current)?;
        if outcome != Outcome::Drop {
            changed.extend(operation.changes());
        }
        outcomes.push(outcome);
    }
    walk.is_known = is_known;
    walk.stands_at(Vec::new());
    Ok(match rebuild(tree.text, &tree.root, &outcomes, &[]) {
        Outcome::Put(bytes) => Some(bytes),
        Outcome::Keep | Outcome::Drop => None,
    })
}

impl<'v> Operation<'v> {
    fn read(value: &'v Value) -> Result<Self, Unreadable> {
        let text = |name: &str| match value.member(name) {
            None => Ok(None),
            Some(member) => member.as_text().map(Some).ok_or(Unreadable::Patch),
        };
        let name = text("op")?.ok_or(Unreadable::Patch)?;
        let path = pointer(text("path")?.ok_or(Unreadable::Patch)?)?;
        let from = text("from")?.map(pointer).transpose()?;
        let value = value.member("value");
        let is_whole = match name {
            "add" | "replace" | "test" => value.is_some() && from.is_none(),
            "move" | "copy" => from.is_some() && value.is_none(),
            "remove" => from.is_none() && value.is_none(),
            _ => false,
        };
        if is_whole { Ok(Self { name, path, from, value }) } else { Err(Unreadable::Patch) }
    }

    /// The places whose values are others behind this operation. An element that comes or goes
    /// moves those behind it, so the whole list is one.
    fn changes(&self) -> impl Iterator<Item = Vec<String>> {
        let from = self.from.as_ref().filter(|_| self.name == "move");
        let places = [Some(&self.path), from].into_iter().flatten();
        places.filter(|_| self.name != "test").map(|path| match path.split_last() {
            Some((last, list)) if index_of(last).is_some() => list.to_vec(),
            _ => path.clone(),
        })
    }

    /// Whether this operation is about a value in one of these places, however they are spelled.
    fn reaches(&self, changed: &[Vec<String>]) -> bool {
        let is_same = |(one, other): (&String, &String)| {
            folded(one) == folded(other)
                || index_of(one).is_some_and(|index| Some(index) == index_of(other))
        };
        [Some(&self.path), self.from.as_ref()].into_iter().flatten().any(|path| {
            changed
                .iter()
                .any(|place| place.len() <= path.len() && place.iter().zip(path).all(is_same))
        })
    }
}

/// The steps of a pointer (RFC 6901).
fn pointer(text: &str) -> Result<Vec<String>, Unreadable> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let steps = text.strip_prefix('/').ok_or(Unreadable::Patch)?.split('/');
    let steps: Vec<String> = steps
        .map(|step| {
            let escapes = step.match_indices('~');
            let is_good =
                |(at, _)| step.get(at + 1..).is_some_and(|rest| rest.starts_with(['0', '1']));
            if escapes.into_iter().all(is_good) {
                Ok(step.replace("~1", "/").replace("~0", "~"))
            } else {
                Err(Unreadable::Patch)
            }
        })
        .collect::<Result<_, _>>()?;
    if steps.len() > MOST_STEPS { Err(Unreadable::Patch) } else { Ok(steps) }
}

fn decide(
    walk: &mut Walk<'_>,
    text: &[u8],
    whole: &Value,
    operation: &Operation<'_>,
    current: Option<&Pair<'_>>,
) -> Result<Outcome, Unreadable> {
    let names: Vec<String> =
        operation.path.iter().filter(|step| index_of(step).is_none()).cloned().collect();
    walk.stands_at(names);
    let places = places(walk, &operation.path)?;
    let real = current.and_then(|pair| find(&pair.real.root, &operation.path));
    let shown = current.and_then(|pair| find(&pair.shown.root, &operation.path));
    if let Some(from) = &operation.from {
        return carry(walk, operation, &places, from, current);
    }
    let Some(value) = operation.value else {
        let is_open = places.iter().all(|place| is_open(walk, *place));
        let is_gone = takes_away(walk, operation, &places, current);
        return Ok(if is_open && !is_gone { Outcome::Keep } else { refuse(walk) });
    };
    if operation.name == "test" {
        return Ok(test(walk, &places, value, real, shown));
    }
    let mut worst = Outcome::Keep;
    for place in places {
        // What an operation writes takes the place of what was there, with all that was in it.
        let (scope, below) = (Scope::Partial, Scope::Whole);
        let outcome = walk.value(At { place, value, real, shown, scope, below });
        if worst == Outcome::Keep {
            worst = outcome;
        }
    }
    Ok(match worst {
        Outcome::Put(bytes) => {
            let is_value = |member: &Child| member.name == "value";
            let outcomes: Vec<_> = whole
                .members()
                .iter()
                .map(
                    |member| {
                        if is_value(member) { Outcome::Put(bytes.clone()) } else { Outcome::Keep }
                    },
                )
                .collect();
            rebuild(text, whole, &outcomes, &[])
        }
        other => other,
    })
}

/// `test`: what its sender sees may be tested, for it tells nothing new.
fn test(
    walk: &mut Walk<'_>,
    places: &[Place],
    value: &Value,
    real: Option<&Value>,
    shown: Option<&Value>,
) -> Outcome {
    let is_open = match real {
        Some(real) => places.iter().all(|place| walk.is_open_throughout(*place, real)),
        None => places.iter().all(|place| {
            is_open(walk, *place) && walk.rights.plan.automaton.is_inert(&place.write)
        }),
    };
    if is_open {
        return Outcome::Keep;
    }
    let is_as_shown = places.iter().all(|place| {
        let known = place.spot.zip(shown);
        known.is_some_and(|(spot, shown)| walk.registry.is_as_shown(spot, value, shown, real))
    });
    match (is_as_shown, real) {
        (true, Some(real)) if equal(value, real) => Outcome::Keep,
        (true, _) => {
            walk.tally.kept += 1;
            Outcome::Drop
        }
        (false, _) => {
            walk.forbidden();
            refuse(walk)
        }
    }
}

/// Whether the value at the path of an operation goes with something in it that its sender may not
/// write. Elements of a list come and go.
fn takes_away(
    walk: &mut Walk<'_>,
    operation: &Operation<'_>,
    places: &[Place],
    current: Option<&Pair<'_>>,
) -> bool {
    let Some(current) = current else {
        if !walk.is_known && walk.may_hold_more() {
            walk.mask_violation(None);
        }
        return false;
    };
    let parent =
        operation.path.split_last().and_then(|(_, parent)| find(&current.real.root, parent));
    if parent.is_some_and(|parent| matches!(parent.content, Content::List(_))) {
        return false;
    }
    let real = find(&current.real.root, &operation.path);
    real.is_some_and(|real| {
        real.is_container() && !places.iter().all(|place| walk.is_open_throughout(*place, real))
    })
}

/// `copy` and `move`.
fn carry(
    walk: &mut Walk<'_>,
    operation: &Operation<'_>,
    targets: &[Place],
    from: &[String],
    current: Option<&Pair<'_>>,
) -> Result<Outcome, Unreadable> {
    let sources = places(walk, from)?;
    let real = current.and_then(|pair| find(&pair.real.root, from));
    let shown = current.and_then(|pair| find(&pair.shown.root, from));
    let is_open_throughout = |walk: &Walk<'_>, place: &Place| match real {
        Some(real) => walk.is_open_throughout(*place, real),
        None => is_open(walk, *place) && walk.rights.plan.automaton.is_inert(&place.write),
    };
    let may_leave = sources.iter().all(|place| is_open_throughout(walk, place));
    let is_seen = real.zip(shown).is_some_and(|(real, shown)| equal(real, shown));
    let may_read = may_leave || (operation.name == "copy" && is_seen);
    if !may_read {
        let names = from.iter().filter(|step| index_of(step).is_none()).cloned().collect();
        walk.stands_at(names);
        walk.forbidden();
        return Ok(refuse(walk));
    }
    let may_write = targets.iter().all(|place| {
        is_open(walk, *place) && walk.rights.plan.automaton.is_inert(&place.write)
            || real.is_some_and(|real| walk.is_open_throughout(*place, real))
    });
    let is_gone = takes_away(walk, operation, targets, current);
    Ok(if may_write && !is_gone { Outcome::Keep } else { refuse(walk) })
}

fn refuse(walk: &mut Walk<'_>) -> Outcome {
    walk.violation(walk.name());
    match walk.rights.writes {
        crate::policy::set::Writes::Strip => {
            walk.tally.stripped += 1;
            Outcome::Drop
        }
        _ => Outcome::Keep,
    }
}

fn is_open(walk: &Walk<'_>, place: Place) -> bool {
    let verdict = walk.verdict(place);
    verdict.scalar == Action::Keep && verdict.container == Action::Keep
}

/// The element that a step may mean.
fn index_of(step: &str) -> Option<usize> {
    if step == "-" { Some(usize::MAX) } else { step.parse().ok() }
}

/// Every place that a pointer may lead to: a number is an element, or a member of that name.
fn places(walk: &Walk<'_>, steps: &[String]) -> Result<Vec<Place>, Unreadable> {
    let segments = walk.rights.body.segments();
    let is_record = |depth: usize| {
        depth == segments.len()
            && segments.iter().zip(steps).all(|(segment, step)| {
                let names = segment.selectors.as_slice();
                !segment.descendant && matches!(names, [Selector::Name(name)] if name == step)
            })
    };
    let enter = |place: Place, depth: usize| {
        let spot = place.spot.or_else(|| is_record(depth).then(|| walk.registry.root()));
        Place { spot, ..place }
    };
    let root = Place { write: walk.rights.plan.automaton.root(), spot: None };
    let mut places = vec![enter(root, 0)];
    for (at, step) in steps.iter().enumerate() {
        let mut next: Vec<Place> = Vec::new();
        for place in places {
            let mut add = |found: Place| {
                let found = enter(found, at + 1);
                let key = |place: &Place| (place.write, place.spot);
                if next.iter().all(|known| key(known) != key(&found)) {
                    next.push(found);
                }
            };
            add(walk.member(place, step));
            if let Some(index) = index_of(step) {
                add(walk.element(place, index));
            }
        }
        if next.len() > 64 {
            return Err(Unreadable::Patch);
        }
        places = next;
    }
    Ok(places)
}

fn find<'v>(root: &'v Value, steps: &[String]) -> Option<&'v Value> {
    steps.iter().try_fold(root, |value, step| match &value.content {
        Content::List(_) => value.element(index_of(step)?),
        _ => value.member(step),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers() {
        let steps = |text: &str| pointer(text).ok();
        assert_eq!(steps(""), Some(vec![]));
        assert_eq!(steps("/a~1b/~0c/0"), Some(vec!["a/b".into(), "~c".into(), "0".into()]));
        assert_eq!(steps("/"), Some(vec![String::new()]));
        for broken in ["a", "/~2", "/a~"] {
            assert_eq!(steps(broken), None, "{broken}");
        }
        assert_eq!(steps(&"/a".repeat(33)), None);
    }

    #[test]
    fn operations_that_are_none() {
        for text in [
            r#"{"op":"add","path":"/a"}"#,
            r#"{"op":"remove","path":"/a","value":1}"#,
            r#"{"op":"move","path":"/a"}"#,
            r#"{"op":"spin","path":"/a"}"#,
            r#"{"path":"/a","value":1}"#,
            r#"{"op":"add","path":7,"value":1}"#,
            "7",
        ] {
            let tree = Tree::parse(text.as_bytes()).unwrap();
            assert!(Operation::read(&tree.root).is_err(), "{text}");
        }
    }
}
