//! JSON values as conditions compare them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::number::Number;
use crate::json::text::{quote, unescape};
use crate::json::tokenizer::{Kind, Tokenizer};

/// A JSON value. Two are equal where JSON means the same: numbers by their decimal value, objects
/// whatever the order of their members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number with all its digits.
    Number(Number<'a>),
    /// A string, decoded.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Object(BTreeMap<Cow<'a, str>, Self>),
}

/// A container on the way, and the name of the member that comes next.
struct Open<'a> {
    value: Value<'a>,
    name: Option<Cow<'a, str>>,
}

impl<'a> Value<'a> {
    /// Reads a JSON text. `None` where it is none, where it is too deep, and where an object has a
    /// name twice: who reads it might look at the one or the other.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut tokenizer = Tokenizer::default();
        tokenizer.begin_chunk(text.as_bytes()).ok()?;
        let mut open: Vec<Open<'a>> = Vec::new();
        let mut root = None;
        let mut at = 0;
        while let Some(token) = tokenizer.next(text.as_bytes(), at).ok()? {
            at = token.end;
            let written = text.get(token.start..token.end)?;
            let value = match token.kind {
                Kind::Comma | Kind::Colon => continue,
                Kind::Name(_) => {
                    open.last_mut()?.name = Some(decode(written)?);
                    continue;
                }
                Kind::ObjectStart => {
                    open.push(Open { value: Self::Object(BTreeMap::new()), name: None });
                    continue;
                }
                Kind::ArrayStart => {
                    open.push(Open { value: Self::List(Vec::new()), name: None });
                    continue;
                }
                Kind::ObjectEnd | Kind::ArrayEnd => open.pop()?.value,
                Kind::Text(_) => Self::Text(decode(written)?),
                Kind::Number(_) => Self::Number(Number::parse(written)?),
                Kind::Literal(_) => match written {
                    "true" => Self::Bool(true),
                    "false" => Self::Bool(false),
                    _ => Self::Null,
                },
            };
            match open.last_mut() {
                Some(parent) => parent.take(value)?,
                None => root = Some(value),
            }
        }
        tokenizer.finish().ok()?;
        root
    }

    /// The value on its own.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number.into_owned()),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// The value of the member `name`, where this is an object that has one.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Whether `eq` and `ne` have an answer: values of one kind, or one of them `null`.
    pub(super) fn is_comparable(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Null, _)
            | (_, Value::Null)
            | (Self::Bool(_), Value::Bool(_))
            | (Self::Number(_), Value::Number(_))
            | (Self::Text(_), Value::Text(_))
            | (Self::List(_), Value::List(_))
            | (Self::Object(_), Value::Object(_)) => true,
            (
                Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) | Self::Object(_),
                _,
            ) => false,
        }
    }

    /// The order of two values, where they have one.
    pub(super) fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
            (Self::Number(one), Value::Number(other)) => Some(one.cmp(other)),
            // UTF-8 keeps the order of the scalar values.
            (Self::Text(one), Value::Text(other)) => Some(one.as_ref().cmp(other.as_ref())),
            (
                Self::Null
                | Self::Bool(_)
                | Self::Number(_)
                | Self::Text(_)
                | Self::List(_)
                | Self::Object(_),
                _,
            ) => None,
        }
    }

    /// Whether it is of a kind that has an order.
    pub(super) fn has_order(&self) -> bool {
        self.order(self).is_some()
    }
}

impl<'a> Open<'a> {
    /// Hangs a finished value in; `None` where its name is there already.
    fn take(&mut self, value: Value<'a>) -> Option<()> {
        match &mut self.value {
            Value::List(items) => items.push(value),
            Value::Object(members) => {
                if members.insert(self.name.take()?, value).is_some() {
                    return None;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => return None,
        }
        Some(())
    }
}

/// The characters of a string between its quotes.
fn decode(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    match unescape(inner.as_bytes()) {
        Cow::Borrowed(_) => Some(Cow::Borrowed(inner)),
        Cow::Owned(decoded) => String::from_utf8(decoded).ok().map(Cow::Owned),
    }
}

/// Compact JSON.
impl fmt::Display for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => quoted(formatter, text),
            Self::List(items) => {
                formatter.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    formatter.write_str(if index == 0 { "" } else { "," })?;
                    write!(formatter, "{item}")?;
                }
                formatter.write_str("]")
            }
            Self::Object(members) => {
                formatter.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    formatter.write_str(if index == 0 { "" } else { "," })?;
                    quoted(formatter, name)?;
                    write!(formatter, ":{value}")?;
                }
                formatter.write_str("}")
            }
        }
    }
}

fn quoted(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut quoted = Vec::new();
    quote(text, &mut quoted);
    formatter.write_str(&String::from_utf8_lossy(&quoted))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let seen = Value::parse(text).map(|value| value.to_string());
        assert_eq!(seen.as_deref(), expect, "{text}");
        let owned = Value::parse(text).map(|value| value.into_owned().to_string());
        assert_eq!(owned.as_deref(), expect, "{text}");
    }

    #[test]
    fn texts() {
        check("null", Some("null"));
        check(" true ", Some("true"));
        check("1.10", Some("1.10"));
        check(" -1e400\n", Some("-1e400"));
        check(r#""a\u0062\n\"""#, Some(r#""ab\n\"""#));
        check("[]", Some("[]"));
        check(r#"{"b": [1, {"x": null}], "a": "é"}"#, Some(r#"{"a":"é","b":[1,{"x":null}]}"#));
        check("", None);
        check("nul", None);
        check("[1", None);
        check("01", None);
        check("1 2", None);
        check(r#"{"a":1,"a":1}"#, None);
        check(r#"{"a":1,"\u0061":2}"#, None);
        check(&"[".repeat(200), None);
    }

    #[track_caller]
    fn check_equal(one: &str, other: &str, expect: bool) {
        assert_eq!(Value::parse(one).unwrap() == Value::parse(other).unwrap(), expect);
    }

    #[test]
    fn equality() {
        check_equal(r#"{"a":1.0,"b":[2]}"#, r#"{"b":[2.00],"a":1}"#, true);
        check_equal("[1,2]", "[2,1]", false);
        check_equal(r#""\u0061""#, r#""a""#, true);
        check_equal("1", r#""1""#, false);
        check_equal("null", "false", false);
        check_equal("{}", "[]", false);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = Value::parse(&text);
        }

        #[test]
        fn what_serde_reads_is_read_and_means_the_same(text in "[\\[\\]{}\",:0-9a-c\\\\ .e-]{0,24}") {
            // Two duplicates of a name are fine for serde_json, and for nobody else.
            if let Some(value) = Value::parse(&text) {
                let theirs: serde_json::Value = match serde_json::from_str(&text) {
                    Ok(theirs) => theirs,
                    Err(error) => {
                        prop_assert!(error.to_string().contains("out of range"));
                        return Ok(());
                    }
                };
                let ours: serde_json::Value = serde_json::from_str(&value.to_string()).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
