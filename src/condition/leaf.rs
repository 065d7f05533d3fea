//! One comparison: a field, an operator, and what to compare with.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::Wrong;
use super::facts::{Fact, Facts, Truth};
use super::field::{Field, Side};
use super::operator::Operator;
use super::value::Value;

/// One comparison, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    field: Field,
    test: Test,
}

/// An operator with a value that it can have.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Equal { to: Value<'static>, wanted: bool },
    Ordered { operator: Order, against: Value<'static> },
    In(Vec<Value<'static>>),
    Contains(Value<'static>),
    StartsWith(Cow<'static, str>),
    EndsWith(Cow<'static, str>),
    Exists { wanted: bool },
    Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Gt,
    Gte,
    Lt,
    Lte,
}

/// Why a comparison came out as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The values were compared.
    Compared,
    /// The record has no such field.
    Missing,
    /// The value is of a kind that does not compare with this one.
    NotComparable,
    /// Nobody saw the value.
    Unknown,
}

impl Leaf {
    /// A comparison of `field`. `value` is `None` where none was written.
    ///
    /// # Errors
    /// The value is none that the operator can have.
    pub fn new(
        field: Field,
        operator: Operator,
        value: Option<Value<'static>>,
    ) -> Result<Self, Wrong> {
        let needed = |value: Option<Value<'static>>| value.ok_or(Wrong::NoValue(operator));
        let ordered = |order, value| match needed(value)? {
            against if against.has_order() => Ok(Test::Ordered { operator: order, against }),
            _ => Err(Wrong::NeedsOrder(operator)),
        };
        let string = |value| match needed(value)? {
            Value::Text(text) => Ok(text),
            _ => Err(Wrong::NeedsText(operator)),
        };
        let test = match operator {
            Operator::Eq => Test::Equal { to: needed(value)?, wanted: true },
            Operator::Ne => Test::Equal { to: needed(value)?, wanted: false },
            Operator::Gt => ordered(Order::Gt, value)?,
            Operator::Gte => ordered(Order::Gte, value)?,
            Operator::Lt => ordered(Order::Lt, value)?,
            Operator::Lte => ordered(Order::Lte, value)?,
            Operator::In => match needed(value)? {
                Value::List(items) => Test::In(items),
                _ => return Err(Wrong::NeedsList),
            },
            Operator::Contains => Test::Contains(needed(value)?),
            Operator::StartsWith => Test::StartsWith(string(value)?),
            Operator::EndsWith => Test::EndsWith(string(value)?),
            Operator::Exists => match value {
                None => Test::Exists { wanted: true },
                Some(Value::Bool(wanted)) => Test::Exists { wanted },
                Some(_) => return Err(Wrong::NeedsBoolean),
            },
            Operator::Changed if value.is_some() => return Err(Wrong::TakesNoValue),
            Operator::Changed if field.side == Side::Old => return Err(Wrong::ChangedOnOneSide),
            Operator::Changed => Test::Changed,
        };
        Ok(Self { field, test })
    }

    /// The field as written; `changed` reads it on both sides.
    #[must_use]
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The sides on which it reads its field.
    #[must_use]
    pub fn sides(&self) -> &'static [Side] {
        match (&self.test, self.field.side) {
            (Test::Changed, _) => &[Side::Old, Side::New],
            (_, Side::Old) => &[Side::Old],
            (_, Side::New) => &[Side::New],
        }
    }

    /// The operator.
    #[must_use]
    pub fn operator(&self) -> Operator {
        match self.test {
            Test::Equal { wanted: true, .. } => Operator::Eq,
            Test::Equal { wanted: false, .. } => Operator::Ne,
            Test::Ordered { operator: Order::Gt, .. } => Operator::Gt,
            Test::Ordered { operator: Order::Gte, .. } => Operator::Gte,
            Test::Ordered { operator: Order::Lt, .. } => Operator::Lt,
            Test::Ordered { operator: Order::Lte, .. } => Operator::Lte,
            Test::In(_) => Operator::In,
            Test::Contains(_) => Operator::Contains,
            Test::StartsWith(_) => Operator::StartsWith,
            Test::EndsWith(_) => Operator::EndsWith,
            Test::Exists { .. } => Operator::Exists,
            Test::Changed => Operator::Changed,
        }
    }

    /// Whether it holds, and why.
    pub fn evaluate(&self, facts: &dyn Facts) -> (Truth, Reason) {
        let fact = facts.look_up(self.field.side, &self.field.path);
        match &self.test {
            Test::Changed => changed(&facts.look_up(Side::Old, &self.field.path), &fact),
            Test::Exists { wanted } => exists(&fact, *wanted),
            Test::Equal { .. }
            | Test::Ordered { .. }
            | Test::In(_)
            | Test::Contains(_)
            | Test::StartsWith(_)
            | Test::EndsWith(_) => match fact {
                Fact::Known(value) => match self.test.compare(&value) {
                    Some(holds) => (holds.into(), Reason::Compared),
                    None => (Truth::False, Reason::NotComparable),
                },
                Fact::Missing => (Truth::False, Reason::Missing),
                Fact::Unknown => (Truth::Unknown, Reason::Unknown),
            },
        }
    }
}

impl Test {
    /// Whether a value passes; `None` where it is of a kind that cannot be compared.
    fn compare(&self, value: &Value<'_>) -> Option<bool> {
        match (self, value) {
            (Self::Equal { to, wanted }, value) => {
                value.is_comparable(to).then(|| (value == to) == *wanted)
            }
            (Self::Ordered { operator, against }, value) => {
                let order = value.order(against)?;
                Some(operator.allows(order))
            }
            (Self::In(items), value) => {
                let is_in = items.iter().any(|item| value == item);
                let compared = items.is_empty() || items.iter().any(|i| value.is_comparable(i));
                compared.then_some(is_in)
            }
            (Self::Contains(part), Value::List(items)) => {
                Some(items.iter().any(|item| item == part))
            }
            (Self::Contains(Value::Text(part)), Value::Text(text)) => {
                Some(text.contains(part.as_ref()))
            }
            (Self::StartsWith(start), Value::Text(text)) => Some(text.starts_with(start.as_ref())),
            (Self::EndsWith(end), Value::Text(text)) => Some(text.ends_with(end.as_ref())),
            // The last two look at more than a value.
            (
                Self::Contains(_)
                | Self::StartsWith(_)
                | Self::EndsWith(_)
                | Self::Exists { .. }
                | Self::Changed,
                _,
            ) => None,
        }
    }
}

impl Order {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
        }
    }
}

fn exists(fact: &Fact<'_>, wanted: bool) -> (Truth, Reason) {
    match fact {
        Fact::Known(value) => ((wanted == (*value != Value::Null)).into(), Reason::Compared),
        Fact::Missing => ((!wanted).into(), Reason::Missing),
        Fact::Unknown => (Truth::Unknown, Reason::Unknown),
    }
}

/// Where there was no old value, a new one that is not `null` is a change. The other way round
/// nothing is certain: an answer that leaves a member out does not say that it was emptied.
fn changed(old: &Fact<'_>, new: &Fact<'_>) -> (Truth, Reason) {
    match (old, new) {
        (Fact::Unknown, _) | (_, Fact::Unknown) => (Truth::Unknown, Reason::Unknown),
        (Fact::Known(old), Fact::Known(new)) => ((old != new).into(), Reason::Compared),
        (Fact::Missing, Fact::Known(new)) => ((*new != Value::Null).into(), Reason::Compared),
        (Fact::Missing, Fact::Missing) => (Truth::False, Reason::Missing),
        (Fact::Known(_), Fact::Missing) => (Truth::Unknown, Reason::Missing),
    }
}

/// `new.stage eq "won"`
impl fmt::Display for Leaf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Changed => write!(formatter, "{}", self.field.path)?,
            _ => write!(formatter, "{}", self.field)?,
        }
        write!(formatter, " {}", self.operator())?;
        match &self.test {
            Test::Equal { to: value, .. }
            | Test::Ordered { against: value, .. }
            | Test::Contains(value) => write!(formatter, " {value}"),
            Test::In(items) => write!(formatter, " {}", Value::List(items.clone())),
            Test::StartsWith(text) | Test::EndsWith(text) => {
                write!(formatter, " {}", Value::Text(text.clone()))
            }
            Test::Exists { wanted: false } => formatter.write_str(" false"),
            Test::Exists { wanted: true } | Test::Changed => Ok(()),
        }
    }
}
