//! Conditions joined by `and`, `or` and `not`, with three truth values.

use std::fmt;

use super::Wrong;
use super::facts::{Facts, Truth};
use super::field::Side;
use super::leaf::{Leaf, Reason};
use crate::json::path::FieldPath;

/// Most conditions inside each other; their evaluation recurses.
pub const MAX_DEPTH: usize = 32;

/// A compiled condition. The default is the empty one, which is true.
///
/// Invariant: at most [`MAX_DEPTH`] deep.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Condition {
    node: Node,
    depth: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Leaf(Leaf),
}

impl Default for Node {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

/// What a condition says, and which of its comparisons made it say so.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'c> {
    /// What it says.
    pub truth: Truth,
    /// The comparisons that decided: had they come out otherwise, so might the whole. The first
    /// false one of an `and`, the first true one of an `or`, else all of them; empty only where
    /// the condition compares nothing.
    pub decided_by: Vec<Decided<'c>>,
}

/// One comparison that decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decided<'c> {
    /// The comparison.
    pub leaf: &'c Leaf,
    /// How it came out.
    pub truth: Truth,
    /// Why.
    pub reason: Reason,
}

impl Condition {
    /// True where all parts are; without parts, true.
    ///
    /// # Errors
    /// Too deep.
    pub fn all(parts: Vec<Self>) -> Result<Self, Wrong> {
        let depth = deepest(&parts);
        Self { node: Node::All(parts), depth }.checked()
    }

    /// True where one part is; without parts, false.
    ///
    /// # Errors
    /// Too deep.
    pub fn any(parts: Vec<Self>) -> Result<Self, Wrong> {
        let depth = deepest(&parts);
        Self { node: Node::Any(parts), depth }.checked()
    }

    /// True where `part` is false.
    ///
    /// # Errors
    /// Too deep.
    pub fn negate(part: Self) -> Result<Self, Wrong> {
        let depth = part.depth + 1;
        Self { node: Node::Not(Box::new(part)), depth }.checked()
    }

    fn checked(self) -> Result<Self, Wrong> {
        if self.depth > MAX_DEPTH { Err(Wrong::TooDeep) } else { Ok(self) }
    }

    /// Whether it is true whatever the facts are, because it asks for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.node, Node::All(parts) if parts.iter().all(Self::is_empty))
    }

    /// What it says of the facts. Never an error: see the module.
    pub fn evaluate(&self, facts: &dyn Facts) -> Truth {
        match &self.node {
            Node::Leaf(leaf) => leaf.evaluate(facts).0,
            Node::Not(part) => !part.evaluate(facts),
            Node::All(parts) => first_or_unknown(parts, Truth::False, facts),
            Node::Any(parts) => first_or_unknown(parts, Truth::True, facts),
        }
    }

    /// What it says of the facts, and which comparisons decided. Carries no value of the facts.
    #[must_use]
    pub fn explain(&self, facts: &dyn Facts) -> Explanation<'_> {
        match &self.node {
            Node::Leaf(leaf) => {
                let (truth, reason) = leaf.evaluate(facts);
                Explanation { truth, decided_by: vec![Decided { leaf, truth, reason }] }
            }
            Node::Not(part) => {
                let inner = part.explain(facts);
                Explanation { truth: !inner.truth, ..inner }
            }
            Node::All(parts) => explain_parts(parts, Truth::False, facts),
            Node::Any(parts) => explain_parts(parts, Truth::True, facts),
        }
    }

    /// Every comparison, in the order written.
    #[must_use]
    pub fn leaves(&self) -> Vec<&Leaf> {
        match &self.node {
            Node::Leaf(leaf) => vec![leaf],
            Node::Not(part) => part.leaves(),
            Node::All(parts) | Node::Any(parts) => parts.iter().flat_map(Self::leaves).collect(),
        }
    }

    /// The paths that it reads, each with its side, in the order written and perhaps repeated.
    pub fn reads(&self) -> impl Iterator<Item = (Side, &FieldPath)> {
        self.leaves()
            .into_iter()
            .flat_map(|leaf| leaf.sides().iter().map(|side| (*side, &leaf.field().path)))
    }

    /// The paths that it reads on either side, each once.
    #[must_use]
    pub fn paths(&self) -> Vec<&FieldPath> {
        let mut paths: Vec<&FieldPath> = Vec::new();
        for (_, path) in self.reads() {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }
}

impl From<Leaf> for Condition {
    fn from(leaf: Leaf) -> Self {
        Self { node: Node::Leaf(leaf), depth: 1 }
    }
}

fn deepest(parts: &[Condition]) -> usize {
    parts.iter().map(|part| part.depth).max().unwrap_or(0) + 1
}

/// `decides` as soon as a part says so; else unknown where a part is, else the opposite.
fn first_or_unknown(parts: &[Condition], decides: Truth, facts: &dyn Facts) -> Truth {
    let mut all = !decides;
    for part in parts {
        let truth = part.evaluate(facts);
        if truth == decides {
            return decides;
        }
        if truth == Truth::Unknown {
            all = Truth::Unknown;
        }
    }
    all
}

fn explain_parts<'c>(parts: &'c [Condition], decides: Truth, facts: &dyn Facts) -> Explanation<'c> {
    let mut all = Explanation { truth: !decides, decided_by: Vec::new() };
    for part in parts {
        let part = part.explain(facts);
        if part.truth == decides {
            return part;
        }
        if part.truth == Truth::Unknown && all.truth != Truth::Unknown {
            // What is known already does not decide any more.
            all = Explanation { truth: Truth::Unknown, decided_by: Vec::new() };
        }
        if part.truth == all.truth {
            all.decided_by.extend(part.decided_by);
        }
    }
    all
}

/// `` `new.stage eq "won"` is false: the record has no such field ``
impl fmt::Display for Decided<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let truth = match self.truth {
            Truth::True => "true",
            Truth::False => "false",
            Truth::Unknown => "not known",
        };
        write!(formatter, "`{}` is {truth}", self.leaf)?;
        formatter.write_str(match self.reason {
            Reason::Compared => "",
            Reason::Missing => ": the record has no such field",
            Reason::NotComparable => ": the field has a value of another kind",
            Reason::Unknown => ": nobody saw the value",
        })
    }
}
