//! One comparison between a stored value and the operand of a filter.
//!
//! Pure. A comparison between types that cannot be compared is false.

use std::cmp::Ordering;

use super::number::Number;
use super::value::Value;

/// The comparisons, by the words that Django uses for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    Exact,
    IExact,
    Contains,
    IContains,
    StartsWith,
    IStartsWith,
    EndsWith,
    Gt,
    Gte,
    Lt,
    Lte,
    In,
    IsNull,
}

impl Lookup {
    const ALL: [(&'static str, Self); 13] = [
        ("exact", Self::Exact),
        ("iexact", Self::IExact),
        ("contains", Self::Contains),
        ("icontains", Self::IContains),
        ("startswith", Self::StartsWith),
        ("istartswith", Self::IStartsWith),
        ("endswith", Self::EndsWith),
        ("gt", Self::Gt),
        ("gte", Self::Gte),
        ("lt", Self::Lt),
        ("lte", Self::Lte),
        ("in", Self::In),
        ("isnull", Self::IsNull),
    ];

    /// The lookup of a word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, lookup)| *lookup)
    }

    /// Whether a numeric field needs a number to be compared with.
    pub(super) fn needs_number(self) -> bool {
        match self {
            Self::Exact | Self::Gt | Self::Gte | Self::Lt | Self::Lte | Self::In => true,
            Self::IExact
            | Self::Contains
            | Self::IContains
            | Self::StartsWith
            | Self::IStartsWith
            | Self::EndsWith
            | Self::IsNull => false,
        }
    }

    /// Whether any of the values found at a path meets any of the operands.
    pub(super) fn holds(self, found: &[&Value], operands: &[Operand]) -> bool {
        if self == Self::IsNull {
            let all_null = found.iter().all(|value| **value == Value::Null);
            return operands.iter().any(|operand| operand.is_true() == all_null);
        }
        found.iter().any(|value| operands.iter().any(|operand| self.meets(value, operand)))
    }

    fn meets(self, value: &Value, operand: &Operand) -> bool {
        let texts = |test: fn(&str, &str) -> bool| {
            text_of(value).is_some_and(|text| test(&text, &operand.text))
        };
        let folded = |test: fn(&str, &str) -> bool| {
            text_of(value).is_some_and(|text| test(&text.to_lowercase(), &operand.folded))
        };
        let order = |test: fn(Ordering) -> bool| operand.order_of(value).is_some_and(test);
        match self {
            Self::Exact | Self::In => order(Ordering::is_eq),
            Self::Gt => order(Ordering::is_gt),
            Self::Gte => order(Ordering::is_ge),
            Self::Lt => order(Ordering::is_lt),
            Self::Lte => order(Ordering::is_le),
            Self::IExact => folded(|text, sought| text == sought),
            Self::Contains => texts(|text, sought| text.contains(sought)),
            Self::IContains => folded(|text, sought| text.contains(sought)),
            Self::StartsWith => texts(|text, sought| text.starts_with(sought)),
            Self::IStartsWith => folded(|text, sought| text.starts_with(sought)),
            Self::EndsWith => texts(|text, sought| text.ends_with(sought)),
            Self::IsNull => false,
        }
    }
}

/// What a filter compares with, prepared once for all records.
#[derive(Debug)]
pub(super) struct Operand {
    text: String,
    folded: String,
    number: Option<Number>,
}

impl Operand {
    pub(super) fn new(text: &str) -> Self {
        let number = Number::parse(text.trim());
        Self { text: text.to_owned(), folded: text.to_lowercase(), number }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_number(&self) -> bool {
        self.number.is_some()
    }

    fn is_true(&self) -> bool {
        matches!(self.folded.as_str(), "true" | "1")
    }

    /// Where a stored value stands beside this operand, if the two can be compared at all.
    fn order_of(&self, value: &Value) -> Option<Ordering> {
        match value {
            Value::Number(number) => Some(number.compare(self.number.as_ref()?)),
            Value::Text(text) => Some(text.as_str().cmp(&self.text)),
            Value::Bool(flag) => Some(flag.cmp(&self.is_true())),
            Value::Null | Value::List(_) | Value::Object(_) => None,
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, value: &str, operand: &str, expected: bool) {
        let value = Value::parse(value.as_bytes()).unwrap();
        let lookup = Lookup::from_word(word).unwrap();
        assert_eq!(lookup.holds(&[&value], &[Operand::new(operand)]), expected);
    }

    #[test]
    fn texts() {
        check("exact", r#""Zoë""#, "Zoë", true);
        check("exact", r#""Zoë""#, "zoë", false);
        check("iexact", r#""ZOË""#, "zoë", true);
        check("contains", r#""Zoë""#, "oë", true);
        check("contains", r#""Zoë""#, "OË", false);
        check("icontains", r#""Zoë""#, "OË", true);
        check("startswith", r#""Zoë""#, "Z", true);
        check("istartswith", r#""Zoë""#, "z", true);
        check("startswith", r#""Zoë""#, "z", false);
        check("endswith", r#""Zoë""#, "ë", true);
        check("endswith", r#""Zoë""#, "Z", false);
        check("gte", r#""2025-02-01T00:00:00Z""#, "2025-02-01", true);
        check("lt", r#""2025-02-01T00:00:00Z""#, "2025-02-01", false);
    }

    #[test]
    fn numbers_compare_exactly() {
        check("exact", "1.10", "1.1", true);
        check("gt", "9007199254740993", "9007199254740992", true);
        check("lte", "9007199254740993", "9007199254740992", false);
        check("gt", "10", "9", true);
        check("startswith", "1.10", "1.1", true);
        check("gt", "10", "abc", false);
    }

    #[test]
    fn nothing_compares_with_null_but_isnull() {
        check("exact", "null", "null", false);
        check("contains", "null", "", false);
        check("isnull", "null", "true", true);
        check("isnull", "null", "false", false);
        check("isnull", "0", "False", true);
        check("isnull", "0", "1", false);
        check("exact", "true", "true", true);
        check("exact", "false", "true", false);
    }
}
