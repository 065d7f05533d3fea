//! The inputs of a record that is there as a whole, such as one that was fetched.
//!
//! One pass of the tokenizer; no tree of the record is made.

use super::inputs::Inputs;
use super::plan::{ScoringPlan, Slot};
use super::rules::InputPath;
use crate::json::Refusal;
use crate::json::text::unescape;
use crate::json::tokenizer::{Kind, Tokenizer};

/// What is looked for in a record: by dotted paths, which walk through lists, and by exact ones.
#[derive(Debug, Default)]
pub(super) struct Tree {
    dotted: Branch,
    exact: Branch,
}

/// What is looked for at and below one place.
#[derive(Debug, Default)]
struct Branch {
    slots: Vec<Slot>,
    members: Vec<(Box<[u8]>, Self)>,
}

impl Tree {
    /// Adds a path with its slot.
    pub(super) fn grow(&mut self, path: &InputPath, slot: Slot) {
        let is_dotted = path.path().through_arrays();
        let tree = if is_dotted { &mut self.dotted } else { &mut self.exact };
        tree.grow(path.names(), slot);
    }
}

impl Branch {
    fn grow(&mut self, names: &[Box<[u8]>], slot: Slot) {
        let Some((name, rest)) = names.split_first() else {
            self.slots.push(slot);
            return;
        };
        if let Some((_, below)) = self.members.iter_mut().find(|(known, _)| known == name) {
            below.grow(rest, slot);
            return;
        }
        let mut below = Self::default();
        below.grow(rest, slot);
        self.members.push((name.clone(), below));
    }

    fn member(&self, name: &[u8]) -> Option<&Self> {
        self.members.iter().find(|(known, _)| **known == *name).map(|(_, below)| below)
    }
}

/// A place in the record, as far as something is looked for there.
#[derive(Debug, Clone, Copy, Default)]
struct Place<'p> {
    dotted: Option<&'p Branch>,
    exact: Option<&'p Branch>,
    /// A path that leads to a list means the list, not its elements.
    is_element: bool,
}

impl<'p> Place<'p> {
    fn member(self, name: &[u8]) -> Self {
        Self {
            dotted: self.dotted.and_then(|branch| branch.member(name)),
            exact: self.exact.and_then(|branch| branch.member(name)),
            is_element: false,
        }
    }

    fn element(self) -> Self {
        Self { dotted: self.dotted, exact: None, is_element: true }
    }

    fn slots(self) -> impl Iterator<Item = Slot> + 'p {
        let branches = if self.is_element { [None, None] } else { [self.dotted, self.exact] };
        branches.into_iter().flatten().flat_map(|branch| &branch.slots).copied()
    }
}

/// An open list or object.
#[derive(Debug, Clone, Copy)]
struct Open<'p> {
    start: usize,
    place: Place<'p>,
    is_list: bool,
}

impl Inputs {
    /// Looks at a record that is there as a whole.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn see_record(&mut self, plan: &ScoringPlan, record: &[u8]) -> Result<(), Refusal> {
        let tree = &plan.tree;
        let mut tokenizer = Tokenizer::default();
        tokenizer.begin_chunk(record)?;
        let mut open: Vec<Open<'_>> = Vec::new();
        // Where the next value stands, unless it is an element.
        let mut named =
            Place { dotted: Some(&tree.dotted), exact: Some(&tree.exact), is_element: false };
        let mut at = 0;
        while let Some(token) = tokenizer.next(record, at)? {
            at = token.end;
            let here = match open.last() {
                Some(open) if open.is_list => open.place.element(),
                Some(_) | None => named,
            };
            let mut see = |place: Place<'_>, start: usize| {
                for slot in place.slots() {
                    self.see(plan, slot, record.get(start..token.end).unwrap_or_default());
                }
            };
            match token.kind {
                Kind::Comma | Kind::Colon => {}
                Kind::Name(piece) => {
                    let name = record.get(token.start + 1..token.end - 1).unwrap_or_default();
                    let object = open.last().map_or(Place::default(), |open| open.place);
                    named = if piece.escaped {
                        object.member(&unescape(name))
                    } else {
                        object.member(name)
                    };
                }
                Kind::ObjectStart | Kind::ArrayStart => {
                    let is_list = token.kind == Kind::ArrayStart;
                    open.push(Open { start: token.start, place: here, is_list });
                }
                Kind::ObjectEnd | Kind::ArrayEnd => {
                    if let Some(closed) = open.pop() {
                        see(closed.place, closed.start);
                    }
                }
                Kind::Text(_) | Kind::Number(_) | Kind::Literal(_) => see(here, token.start),
            }
        }
        tokenizer.finish()
    }
}
