//! Conditions written in JSON, as the API takes them.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::Wrong;
use super::field::Field;
use super::leaf::Leaf;
use super::number::Number;
use super::operator::Operator;
use super::tree::{Condition, MAX_DEPTH};
use super::value::Value;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wrong}, at `{at}`")]
pub struct Fault {
    /// A JSON pointer (RFC 6901) into the condition; empty for the whole.
    pub at: String,
    /// What is wrong.
    pub wrong: Wrong,
}

/// Where the reading stands, and what it has found.
#[derive(Default)]
struct Reading {
    at: Vec<String>,
    faults: Vec<Fault>,
}

impl Condition {
    /// Reads a condition. `null` and `{}` are the empty one.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(written: &Json) -> Result<Self, Vec<Fault>> {
        let mut reading = Reading::default();
        let condition = match written {
            Json::Null => Some(Self::default()),
            written => reading.condition(written),
        };
        match condition {
            Some(condition) if reading.faults.is_empty() => Ok(condition),
            _ => Err(reading.faults),
        }
    }
}

impl Reading {
    fn fault<T>(&mut self, wrong: Wrong) -> Option<T> {
        let at = self.at.iter().flat_map(|step| ["/", step]).collect();
        self.faults.push(Fault { at, wrong });
        None
    }

    fn kept<T>(&mut self, read: Result<T, impl Into<Wrong>>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(wrong) => self.fault(wrong.into()),
        }
    }

    fn inside<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.at.push(step.replace('~', "~0").replace('/', "~1"));
        let read = read(self);
        self.at.pop();
        read
    }

    fn condition(&mut self, written: &Json) -> Option<Condition> {
        // Each level is at most two steps of the pointer.
        if self.at.len() >= 2 * MAX_DEPTH {
            return self.fault(Wrong::TooDeep);
        }
        let Json::Object(members) = written else { return self.fault(Wrong::NotAMapping) };
        let forms = ["and", "or", "not"].map(|form| members.get(form).map(|inner| (form, inner)));
        let forms: Vec<_> = forms.into_iter().flatten().collect();
        match forms.as_slice() {
            [] if members.is_empty() => Some(Condition::default()),
            [] => self.leaf(members),
            [(form, inner)] if members.len() == 1 => {
                let joined = self.joined(form, inner)?;
                self.kept(joined)
            }
            _ => self.fault(Wrong::NotOneForm),
        }
    }

    /// `and`, `or` or `not`; `None` where a part has a fault.
    fn joined(&mut self, form: &'static str, inner: &Json) -> Option<Result<Condition, Wrong>> {
        self.inside(form, |reading| {
            if form == "not" {
                return reading.condition(inner).map(Condition::negate);
            }
            let Json::Array(parts) = inner else { return reading.fault(Wrong::NotAList(form)) };
            if form == "or" && parts.is_empty() {
                return reading.fault(Wrong::EmptyOr);
            }
            let read: Vec<_> = parts
                .iter()
                .enumerate()
                .map(|(index, part)| {
                    reading.inside(&index.to_string(), |reading| reading.condition(part))
                })
                .collect();
            let parts = read.into_iter().collect::<Option<Vec<_>>>()?;
            Some(if form == "or" { Condition::any(parts) } else { Condition::all(parts) })
        })
    }

    fn leaf(&mut self, members: &Map<String, Json>) -> Option<Condition> {
        for name in members.keys() {
            if !["field", "operator", "value"].contains(&name.as_str()) {
                self.inside(name, |reading| reading.fault::<()>(Wrong::UnknownKey(name.clone())));
            }
        }
        let field = match members.get("field") {
            Some(Json::String(text)) => {
                self.inside("field", |reading| reading.kept(Field::parse(text)))
            }
            Some(_) | None => self.fault(Wrong::NoField),
        };
        let operator = match members.get("operator") {
            Some(Json::String(word)) => self.inside("operator", |reading| {
                let unknown = || Wrong::UnknownOperator(word.clone());
                reading.kept(Operator::from_word(word).ok_or_else(unknown))
            }),
            Some(_) | None => self.fault(Wrong::NoOperator),
        };
        let value = match members.get("value") {
            Some(value) => Some(self.inside("value", |reading| reading.value(value, MAX_DEPTH))?),
            None => None,
        };
        self.kept(Leaf::new(field?, operator?, value)).map(Condition::from)
    }

    fn value(&mut self, written: &Json, depth: usize) -> Option<Value<'static>> {
        if depth == 0 {
            return self.fault(Wrong::TooDeep);
        }
        Some(match written {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(
                self.kept(Number::parse(number.to_string()).ok_or(Wrong::NotANumber))?,
            ),
            Json::String(text) => Value::Text(Cow::Owned(text.clone())),
            Json::Array(items) => {
                let items = items.iter().map(|item| self.value(item, depth - 1));
                Value::List(items.collect::<Option<_>>()?)
            }
            Json::Object(members) => {
                let members = members.iter().map(|(name, value)| {
                    Some((Cow::Owned(name.clone()), self.value(value, depth - 1)?))
                });
                Value::Object(members.collect::<Option<_>>()?)
            }
        })
    }
}
