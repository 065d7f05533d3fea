//! A JSON document as `serde_json` reads it: what Fieldgate's own reading is held against.

use std::fmt;

use fieldgate::json::tokenizer::MAX_DEPTH;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A tree that keeps scalars as they are written, and members that stand twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Scalar(String),
    List(Vec<Document>),
    Object(Vec<(String, Document)>),
}

impl Document {
    /// The document, where RFC 8259 allows it and it is no deeper than Fieldgate goes. Numbers are
    /// never converted, so their range does not matter.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        Self::of(serde_json::from_slice(text).ok()?, MAX_DEPTH)
    }

    fn of(raw: &RawValue, levels: usize) -> Option<Self> {
        let text = raw.get();
        match text.as_bytes().first()? {
            b'{' => {
                let levels = levels.checked_sub(1)?;
                let Members(members) = serde_json::from_str(text).ok()?;
                let members = members.into_iter();
                members
                    .map(|(name, value)| Some((name, Self::of(value, levels)?)))
                    .collect::<Option<_>>()
                    .map(Self::Object)
            }
            b'[' => {
                let levels = levels.checked_sub(1)?;
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let items = items.into_iter().map(|item| Self::of(item, levels));
                items.collect::<Option<_>>().map(Self::List)
            }
            // A raw value may hold half of a surrogate pair; a string may not.
            b'"' => serde_json::from_str::<String>(text).ok().map(|_| Self::Scalar(text.into())),
            _ => Some(Self::Scalar(text.into())),
        }
    }

    /// Its text without white space between the tokens.
    pub(crate) fn compact(&self) -> String {
        match self {
            Self::Scalar(text) => text.clone(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::compact).collect();
                format!("[{}]", items.join(","))
            }
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| {
                    format!("{}:{}", serde_json::Value::from(name.as_str()), value.compact())
                };
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    /// All objects in it, as their names in order.
    pub(crate) fn names(&self) -> Vec<Vec<&str>> {
        match self {
            Self::Scalar(_) => Vec::new(),
            Self::List(items) => items.iter().flat_map(Self::names).collect(),
            Self::Object(members) => {
                let here = members.iter().map(|(name, _)| name.as_str()).collect();
                let below = members.iter().flat_map(|(_, value)| value.names());
                std::iter::once(here).chain(below).collect()
            }
        }
    }
}

/// The members of an object, each as often as it stands there.
struct Members<'de>(Vec<(String, &'de RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
