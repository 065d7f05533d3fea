//! Conditions over facts: compiled once, evaluated without errors, explained leaf by leaf.
//!
//! Pure: no clock, no I/O, no logging. As written, a condition is a tree of YAML or JSON; whoever
//! reads one builds a [`Condition`] from its parts, and every fault is found then. Evaluation has
//! no faults: what cannot be compared is false, and what is not known is [`Truth::Unknown`].
//!
//! # What compares with what
//!
//! | | equal (`eq`, `ne`, `in`, `contains` in a list) | ordered (`gt`, `gte`, `lt`, `lte`) |
//! | --- | --- | --- |
//! | numbers | by their exact decimal value: `1.10` is `1.1`, `9007199254740993` is not `9007199254740992` | the same |
//! | strings | scalar by scalar, upper and lower case apart | by Unicode scalar values; dates too |
//! | booleans | yes | `false` before `true` |
//! | `null` | with `null` only; `ne` is true of any other value | never |
//! | lists | element by element, in order | never |
//! | objects | member by member, in any order | never |
//!
//! Values of two different kinds cannot be compared, so every operator is false of them, `ne`
//! too; a string of digits is no number. A field that is missing has no value to compare.

mod facts;
mod field;
mod json;
mod leaf;
mod number;
mod operator;
mod tree;
mod value;

pub use facts::{Fact, Facts, Truth};
pub use field::{Field, FieldFault, Side};
pub use json::Fault;
pub use leaf::{Leaf, Reason};
pub use number::Number;
pub use operator::Operator;
pub use tree::{Condition, Decided, Explanation, MAX_DEPTH};
pub use value::Value;

/// What is wrong with a condition as written. The text of a message names no more of it than what
/// stands between backticks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Not a mapping.
    #[error("a condition is a mapping")]
    NotAMapping,
    /// A mapping that is more than one thing, or nothing that is known.
    #[error("a condition is one of `field`, `and`, `or` and `not`")]
    NotOneForm,
    /// A key that the form does not have.
    #[error("unknown key `{0}`")]
    UnknownKey(String),
    /// `and` or `or` without a list behind it.
    #[error("`{0}` takes a list of conditions")]
    NotAList(&'static str),
    /// `or: []`
    #[error("an `or` without conditions is never true")]
    EmptyOr,
    /// More than [`MAX_DEPTH`] conditions inside each other.
    #[error("conditions stand more than {MAX_DEPTH} deep in each other")]
    TooDeep,
    /// An operator without a field.
    #[error("`field` is missing")]
    NoField,
    /// Not a path of members.
    #[error(transparent)]
    Field(#[from] FieldFault),
    /// A field without an operator.
    #[error("`operator` is missing")]
    NoOperator,
    /// Not an operator.
    #[error("unknown operator `{0}`")]
    UnknownOperator(String),
    /// An operator that compares, and nothing to compare with.
    #[error("`{0}` needs a `value`")]
    NoValue(Operator),
    /// `in` without a list.
    #[error("`in` needs a list as its `value`")]
    NeedsList,
    /// `startswith: 5`
    #[error("`{0}` needs a string as its `value`")]
    NeedsText(Operator),
    /// `gt: null`
    #[error("`{0}` needs a number, a string or a boolean as its `value`")]
    NeedsOrder(Operator),
    /// `exists` with something else than `true` or `false`.
    #[error("`exists` takes `true` or `false` as its `value`")]
    NeedsBoolean,
    /// A number that JSON does not know.
    #[error("the `value` is not a finite number")]
    NotANumber,
    /// `changed` with a value.
    #[error("`changed` takes no `value`")]
    TakesNoValue,
    /// `old.stage` has changed.
    #[error("`changed` looks at the old and the new record")]
    ChangedOnOneSide,
    /// `changed` where there is no old record.
    #[error("there is no old record here to have changed from")]
    NothingToChangeFrom,
}

#[cfg(test)]
mod tests;
