//! A record that had to be held: a small tree for RFC 9535 expressions over it.
//!
//! Built from the tokenizer, so that nothing is accepted here that the stream would refuse, and a
//! repeated name is a refusal: an expression could look at the one while a client reads the other.

use std::collections::HashSet;

use jsonpath_rust::query::queryable::Queryable;

use super::Refusal;
use super::text::unescape;
use super::tokenizer::{Kind, Tokenizer};

/// How a value is reached from its parent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A member, by its unescaped name.
    Member(Vec<u8>),
    /// An element, by its index.
    Element(u64),
}

/// One value; `ordinal` says which of the record's values it is.
#[derive(Debug, Clone)]
pub(super) struct HeldValue {
    pub(super) ordinal: usize,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<HeldValue>),
    Object(Vec<(String, HeldValue)>),
}

/// A record and where each of its values hangs: `parents[ordinal]` is the parent and the step.
#[derive(Debug)]
pub(super) struct HeldRecord {
    pub(super) root: HeldValue,
    pub(super) parents: Vec<Option<(usize, Step)>>,
}

/// A container on the way.
struct Open {
    value: HeldValue,
    name: Option<String>,
    names: HashSet<String>,
}

impl HeldRecord {
    pub(super) fn parse(raw: &[u8]) -> Result<Self, Refusal> {
        let mut tokenizer = Tokenizer::default();
        tokenizer.begin_chunk(raw)?;
        let mut open: Vec<Open> = Vec::new();
        let mut parents = Vec::new();
        let mut root = None;
        let mut at = 0;
        while let Some(token) = tokenizer.next(raw, at)? {
            at = token.end;
            let bytes = raw.get(token.start..token.end).unwrap_or_default();
            let content = match token.kind {
                Kind::Comma | Kind::Colon => continue,
                Kind::Name(_) => {
                    let parent = open.last_mut().ok_or(Refusal::InvalidJson)?;
                    parent.name = Some(decode(bytes)?);
                    continue;
                }
                Kind::ObjectEnd | Kind::ArrayEnd => {
                    let closed = open.pop().ok_or(Refusal::InvalidJson)?.value;
                    place(&mut open, &mut root, closed)?;
                    continue;
                }
                Kind::ObjectStart => Content::Object(Vec::new()),
                Kind::ArrayStart => Content::List(Vec::new()),
                Kind::Text(_) => Content::Text(decode(bytes)?),
                Kind::Number(_) => number(bytes)?,
                Kind::Literal(_) => match bytes {
                    b"true" => Content::Bool(true),
                    b"false" => Content::Bool(false),
                    _ => Content::Null,
                },
            };
            let value = HeldValue { ordinal: parents.len(), content };
            parents.push(open.last().map(|parent| (parent.value.ordinal, parent.next_step())));
            if matches!(value.content, Content::Object(_) | Content::List(_)) {
                open.push(Open { value, name: None, names: HashSet::new() });
            } else {
                place(&mut open, &mut root, value)?;
            }
        }
        tokenizer.finish()?;
        Ok(Self { root: root.ok_or(Refusal::Truncated)?, parents })
    }
}

impl Open {
    fn next_step(&self) -> Step {
        match &self.value.content {
            Content::List(items) => Step::Element(items.len() as u64),
            _ => Step::Member(self.name.clone().unwrap_or_default().into_bytes()),
        }
    }
}

/// Hangs a finished value where it belongs.
fn place(open: &mut [Open], root: &mut Option<HeldValue>, value: HeldValue) -> Result<(), Refusal> {
    let Some(parent) = open.last_mut() else {
        *root = Some(value);
        return Ok(());
    };
    match &mut parent.value.content {
        Content::List(items) => items.push(value),
        Content::Object(members) => {
            let name = parent.name.take().ok_or(Refusal::InvalidJson)?;
            if !parent.names.insert(name.clone()) {
                return Err(Refusal::AmbiguousRecord);
            }
            members.push((name, value));
        }
        _ => return Err(Refusal::InvalidJson),
    }
    Ok(())
}

fn decode(quoted: &[u8]) -> Result<String, Refusal> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    String::from_utf8(unescape(inner).into_owned()).map_err(|_| Refusal::InvalidUtf8)
}

fn number(bytes: &[u8]) -> Result<Content, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::InvalidUtf8)?;
    match text.parse() {
        Ok(integer) => Ok(Content::Integer(integer)),
        // Out of range becomes infinite, which compares as it should.
        Err(_) => text.parse().map(Content::Float).map_err(|_| Refusal::InvalidJson),
    }
}

impl HeldValue {
    /// A value that an expression made; it stands nowhere in the record.
    fn made(content: Content) -> Self {
        Self { ordinal: usize::MAX, content }
    }
}

impl PartialEq for HeldValue {
    fn eq(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            (Content::Null, Content::Null) => true,
            (Content::Bool(left), Content::Bool(right)) => left == right,
            (Content::Text(left), Content::Text(right)) => left == right,
            (Content::Integer(left), Content::Integer(right)) => left == right,
            (Content::List(left), Content::List(right)) => left == right,
            (Content::Object(left), Content::Object(right)) => {
                left.len() == right.len()
                    && left.iter().all(|(name, value)| {
                        right.iter().any(|(other, theirs)| other == name && theirs == value)
                    })
            }
            _ => matches!(
                (self.as_f64(), other.as_f64()),
                (Some(left), Some(right)) if left.total_cmp(&right).is_eq() || left == right
            ),
        }
    }
}

impl Default for HeldValue {
    fn default() -> Self {
        Self::made(Content::Null)
    }
}

impl From<&str> for HeldValue {
    fn from(text: &str) -> Self {
        Self::made(Content::Text(text.to_owned()))
    }
}

impl From<String> for HeldValue {
    fn from(text: String) -> Self {
        Self::made(Content::Text(text))
    }
}

impl From<bool> for HeldValue {
    fn from(value: bool) -> Self {
        Self::made(Content::Bool(value))
    }
}

impl From<i64> for HeldValue {
    fn from(value: i64) -> Self {
        Self::made(Content::Integer(value))
    }
}

impl From<f64> for HeldValue {
    fn from(value: f64) -> Self {
        Self::made(Content::Float(value))
    }
}

impl From<Vec<Self>> for HeldValue {
    fn from(items: Vec<Self>) -> Self {
        Self::made(Content::List(items))
    }
}

impl Queryable for HeldValue {
    fn get(&self, key: &str) -> Option<&Self> {
        let Content::Object(members) = &self.content else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn as_array(&self) -> Option<&Vec<Self>> {
        let Content::List(items) = &self.content else { return None };
        Some(items)
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        let Content::Object(members) = &self.content else { return None };
        Some(members.iter().map(|(name, value)| (name.as_str(), value)).collect())
    }

    fn as_str(&self) -> Option<&str> {
        let Content::Text(text) = &self.content else { return None };
        Some(text)
    }

    fn as_i64(&self) -> Option<i64> {
        let Content::Integer(value) = &self.content else { return None };
        Some(*value)
    }

    #[expect(clippy::cast_precision_loss, reason = "RFC 9535 compares numbers as doubles")]
    fn as_f64(&self) -> Option<f64> {
        match &self.content {
            Content::Integer(value) => Some(*value as f64),
            Content::Float(value) => Some(*value),
            _ => None,
        }
    }

    fn as_bool(&self) -> Option<bool> {
        let Content::Bool(value) = &self.content else { return None };
        Some(*value)
    }

    fn null() -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_hang() {
        let record = HeldRecord::parse(br#" {"a":[1,{"b\u0063":null}],"d":"x"} "#).unwrap();
        let steps: Vec<_> = record.parents.iter().flatten().cloned().collect();
        assert_eq!(
            steps,
            [
                (0, Step::Member(b"a".to_vec())),
                (1, Step::Element(0)),
                (1, Step::Element(1)),
                (3, Step::Member(b"bc".to_vec())),
                (0, Step::Member(b"d".to_vec())),
            ]
        );
    }

    #[test]
    fn a_repeated_name_is_refused() {
        let refusal = HeldRecord::parse(br#"{"a":1,"\u0061":2}"#).unwrap_err();
        assert_eq!(refusal, Refusal::AmbiguousRecord);
    }
}
