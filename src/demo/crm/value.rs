//! JSON as the CRM keeps it: members in their order, numbers with their digits.
//!
//! Pure. Refuses what is not JSON, and nesting deeper than [`MAX_DEPTH`]. Of a repeated member
//! name the last value counts, as it does in Python.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::number::Number;

/// The deepest nesting that a body may have.
pub const MAX_DEPTH: usize = 128;

/// A JSON value. Its `Display` is compact JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number with its digits.
    Number(Number),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object, its members in order, no name twice.
    Object(Vec<(String, Value)>),
}

/// Why a text is not a value.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or not UTF-8. The message of `serde_json` names places, never values.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl Value {
    /// Reads one JSON text.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        read(serde_json::from_slice(bytes)?, MAX_DEPTH)
    }

    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number with exactly these digits; `null` where the text is no JSON number.
    pub fn number(text: impl fmt::Display) -> Self {
        Number::parse(&text.to_string()).map_or(Self::Null, Self::Number)
    }

    /// An object with these members in this order.
    #[must_use]
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// The member `name`, where this is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The characters, where this is a string.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    /// Writes a member of an object: in place where it exists, else at the end.
    pub(super) fn set(&mut self, name: &str, value: Self) {
        let Self::Object(members) = self else { return };
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => members.push((name.to_owned(), value)),
        }
    }

    /// Appends compact JSON to `out`.
    pub(super) fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number.as_text()),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write_json(&mut out);
        formatter.write_str(&out)
    }
}

/// Escapes what Django REST escapes: the short forms, the other controls, and the two line
/// separators that JavaScript would trip over. All else stays raw UTF-8.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                out.push_str("\\u");
                let code = u32::from(character);
                out.extend([12, 8, 4, 0].map(|shift| hex_digit(code >> shift & 15)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn hex_digit(nibble: u32) -> char {
    char::from_digit(nibble, 16).unwrap_or('0')
}

/// `RawValue` has checked the syntax; its slice starts and ends with the value itself.
fn read(raw: &RawValue, levels_left: usize) -> Result<Value, Malformed> {
    let text = raw.get();
    let levels_inside = || levels_left.checked_sub(1).ok_or(Malformed::TooDeep);
    Ok(match text.bytes().next() {
        Some(b'{') => {
            let levels = levels_inside()?;
            let mut object = Value::Object(Vec::new());
            for (name, member) in serde_json::from_str::<Members<'_>>(text)?.0 {
                object.set(&name, read(member, levels)?);
            }
            object
        }
        Some(b'[') => {
            let levels = levels_inside()?;
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Value::List(items.into_iter().map(|item| read(item, levels)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::Text(serde_json::from_str(text)?),
        Some(b't' | b'f') => Value::Bool(serde_json::from_str(text)?),
        Some(b'n') | None => Value::Null,
        Some(_) => Value::number(text),
    })
}

/// The members of an object in their order, repeated names included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(Value::parse(text.as_bytes()).unwrap().to_string(), expected);
    }

    #[test]
    fn digits_order_and_characters_survive() {
        check(
            r#" { "z" : 1.10, "a" : [ 9007199254740993, 1e400, -0.0 ], "e" : {}, "f" : [] } "#,
            r#"{"z":1.10,"a":[9007199254740993,1e400,-0.0],"e":{},"f":[]}"#,
        );
        check(r#"[true,false,null,"\u00e9 \ud83e\udd8a ליא"]"#, r#"[true,false,null,"é 🦊 ליא"]"#);
        check("\"\\u0001\\n\\\"\\\\\u{2028}\\/\"", "\"\\u0001\\n\\\"\\\\\\u2028/\"");
    }

    #[test]
    fn the_last_of_a_repeated_name_counts() {
        check(r#"{"a":1,"b":2,"\u0061":3}"#, r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let bad: [&[u8]; 8] =
            [b"", b"{", b"{'a':1}", b"[1,]", b"NaN", b"1 2", b"\"\xff\"", b"\"\\ud800\""];
        for text in bad {
            assert!(Value::parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Value::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 1, 100_000] {
            let refusal = Value::parse(nested(depth).as_bytes()).unwrap_err();
            assert_eq!(refusal.to_string(), "nested deeper than 128 levels");
        }
    }
}
