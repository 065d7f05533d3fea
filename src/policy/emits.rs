//! Which events the writes of a resource have beside `<resource>.created`, `.updated` and
//! `.deleted`, and what they say.
//!
//! Pure. An event is described here and never filled in: its data names fields, whose values come
//! from what the reader of the event may see.

use http::Method;

use super::set::{Origin, Resource};
use super::writes::Write;
use crate::condition::{Condition, Field, Side};
use crate::json::path::FieldPath;

/// Most paths that the rules of one resource may read.
pub const MAX_WATCHED: usize = 63;

/// One rule of `emits:`.
#[derive(Debug, Clone)]
pub struct Emit {
    /// The methods; `None` is every write that does not delete.
    pub on: Option<Vec<Method>>,
    /// The routes, by their place in [`Resource::routes`]; `None` is all of them.
    pub routes: Option<Vec<usize>>,
    /// Over the old and the new record.
    pub when: Condition,
    /// `deal.stage_changed`
    pub event: String,
    /// What the event says, in the order written.
    pub members: Vec<Member>,
    /// Where the old record comes from.
    pub previous: Previous,
    /// What happens where `when` depends on what nobody saw.
    pub if_unknown: IfUnknown,
    /// Where the event is named.
    pub origin: Origin,
}

/// One member of an event's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: Source,
}

/// Where the value of a member comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A field of the old or the new record.
    Field(Field),
    /// The same JSON text in every event.
    Constant(String),
}

/// Where the old record of a rule comes from. The later one asks for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Previous {
    /// From nowhere: it is not known.
    None,
    /// From the last answer that showed the record.
    #[default]
    LastSeen,
    /// From the CRM, asked before the write is forwarded.
    Fetch,
}

/// What happens where a rule's condition depends on what nobody saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfUnknown {
    /// No event.
    #[default]
    Skip,
    /// The event, marked.
    Emit,
}

/// The `events:` of a resource.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// Its writes have no events at all.
    pub off: bool,
    /// What an answer must say, beside its status, for the write to have happened. Its fields are
    /// members of the whole answer. The empty condition where nothing is declared.
    pub success: Condition,
    /// Records of other resources that come into being by its writes.
    pub creates: Vec<Create>,
}

/// Records of another resource that a write creates.
#[derive(Debug, Clone)]
pub struct Create {
    /// The other resource.
    pub resource: String,
    /// Where its records stand in the answer.
    pub at: FieldPath,
    /// Where such a record keeps its id, as the other resource declares.
    pub id: Option<FieldPath>,
    /// `contact.created`
    pub event: String,
    /// The methods; `POST` where none is declared.
    pub on: Vec<Method>,
    /// The routes, by their place in [`Resource::routes`]; `None` is all of them.
    pub routes: Option<Vec<usize>>,
}

impl Emit {
    /// Whether the rule speaks of a write by this method on this route.
    #[must_use]
    pub fn covers(&self, route: usize, method: &Method, write: Write) -> bool {
        let on = self.on.as_ref();
        is_among(self.routes.as_deref(), route)
            && match write {
                Write::Nothing => false,
                Write::Created | Write::Updated => on.is_none_or(|on| on.contains(method)),
                // The old stage of a record that is gone has not changed.
                Write::Deleted => on.is_some_and(|on| on.contains(method)),
            }
    }

    /// The fields that its condition and its data read.
    pub fn reads(&self) -> impl Iterator<Item = (Side, &FieldPath)> {
        let data = self.members.iter().filter_map(|member| match &member.source {
            Source::Field(field) => Some((field.side, &field.path)),
            Source::Constant(_) => None,
        });
        self.when.reads().chain(data)
    }

    /// Whether it reads the old record.
    #[must_use]
    pub fn reads_old(&self) -> bool {
        self.reads().any(|(side, _)| side == Side::Old)
    }
}

impl Create {
    /// Whether a write by this method on this route may create such records.
    #[must_use]
    pub fn covers(&self, route: usize, method: &Method, write: Write) -> bool {
        write != Write::Nothing
            && self.on.contains(method)
            && is_among(self.routes.as_deref(), route)
    }
}

fn is_among(routes: Option<&[usize]>, route: usize) -> bool {
    routes.is_none_or(|routes| routes.contains(&route))
}

impl Resource {
    /// The dotted paths that its rules read, on either side and each once: what is to be watched
    /// in a record while it passes. At most [`MAX_WATCHED`]; none where its events are off.
    #[must_use]
    pub fn watched_paths(&self) -> Vec<FieldPath> {
        if self.events.off { Vec::new() } else { watched_paths(&self.emits) }
    }

    /// Those of the watched paths that a rule reads in the old record: what is to be remembered of
    /// a record until its next write.
    #[must_use]
    pub fn remembered_paths(&self) -> Vec<FieldPath> {
        if self.events.off {
            return Vec::new();
        }
        let rules = self.emits.iter().filter(|rule| rule.previous != Previous::None);
        let reads = rules.flat_map(Emit::reads).filter(|(side, _)| *side == Side::Old);
        each_once(reads.map(|(_, path)| path))
    }

    /// Where the old record of a write comes from: the most that any rule of it asks for.
    #[must_use]
    pub fn previous_of(&self, route: usize, method: &Method) -> Previous {
        let write = self.write_of(route, method);
        let rules = self.emits.iter().filter(|rule| rule.covers(route, method, write));
        let asks = rules.filter(|rule| rule.reads_old() && write != Write::Created);
        asks.map(|rule| rule.previous).max().unwrap_or(Previous::None)
    }
}

/// The paths that some rules read, each once.
pub(super) fn watched_paths(rules: &[Emit]) -> Vec<FieldPath> {
    each_once(rules.iter().flat_map(Emit::reads).map(|(_, path)| path))
}

fn each_once<'p>(paths: impl Iterator<Item = &'p FieldPath>) -> Vec<FieldPath> {
    let mut once: Vec<FieldPath> = Vec::new();
    for path in paths {
        if !once.contains(path) {
            once.push(path.clone());
        }
    }
    once
}

#[cfg(test)]
mod tests;
