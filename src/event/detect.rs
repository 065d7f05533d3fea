//! From an observed write to the events that stand for it.
//!
//! Pure: no clock, no I/O, no logging. Says which events there are, whose they are, and where
//! their data is to be taken from; it copies no value of a record, for every reader of an event may
//! see another part of it. What nobody saw stays unknown and is marked; nothing is guessed.

use std::collections::BTreeMap;

use http::{Method, StatusCode};

use crate::condition::{Fact, Facts, Side, Truth, Value};
use crate::json::path::FieldPath;
use crate::policy::Write;
use crate::policy::emits::{Emit, IfUnknown, Previous, Source};
use crate::policy::set::Resource;

/// Values of one record: dotted path, then the JSON text as it came.
pub type Values = BTreeMap<Box<str>, Box<str>>;

/// A write and what was seen of it.
#[derive(Debug)]
pub struct ObservedWrite<'w> {
    /// The resource of the route.
    pub resource: &'w Resource,
    /// The route's place in [`Resource::routes`].
    pub route: usize,
    /// The method of the request.
    pub method: &'w Method,
    /// The status of the answer.
    pub status: StatusCode,
    /// What the condition `events.success` says of the answer.
    pub success: Truth,
    /// The records in the answer. Without any, the write is about one record that the answer does
    /// not show; to tell its old values, give one record without values.
    pub records: &'w [Observed],
    /// Records of other resources in the answer, where `events.creates` says.
    pub created: &'w [Beside],
    /// The id that the path tells.
    pub id_in_path: Option<&'w str>,
    /// The id that the `Location` of the answer tells.
    pub id_in_location: Option<&'w str>,
}

/// One record of a write.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its id, where the answer tells it.
    pub id: Option<String>,
    /// The watched values of the answer; `None` where the answer does not show the record.
    pub values: Option<Values>,
    /// What it was before.
    pub old: Old,
}

/// What is known of a record from before the write.
#[derive(Debug, Clone, Default)]
pub enum Old {
    /// These values. A path that is not among them was not seen.
    Known(Values),
    /// Nothing.
    #[default]
    Unknown,
}

/// A record of another resource.
#[derive(Debug, Clone)]
pub struct Beside {
    /// The entry's place in `events.creates`.
    pub create: usize,
    /// Its id, where the answer tells it.
    pub id: Option<String>,
}

/// What a request turned out to be.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an unread outcome is a lost event"]
pub enum Outcome {
    /// No write, or one of a resource whose events are off.
    NotAWrite,
    /// The CRM refused it: nothing has happened.
    Refused,
    /// The answer does not tell whether it has happened.
    Unknown,
    /// It has happened. At least one event.
    Happened(Vec<Detected>),
}

/// One event, before anybody sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// `deal.stage_changed`
    pub event_type: String,
    /// The object type of the record.
    pub resource: String,
    /// The record's id; `None` where nothing told it.
    pub record: Option<String>,
    /// Which of the observed records it is about; `None` for those created beside, and where none
    /// was observed.
    pub observed: Option<usize>,
    /// Where its data comes from.
    pub data: DataPlan,
}

/// Where the data of an event comes from. As JSON it is one member for each entry, `null` for what
/// is not known; then `unknown`, the list of those names, where there are any; and `undecided: true`
/// where the rule's condition could not be decided and the rule said to emit all the same.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataPlan {
    /// The members, in the order of the policy.
    pub entries: Vec<DataEntry>,
    /// Whether the condition of the rule was not known to hold.
    pub undecided: bool,
}

/// One member of an event's data.
#[derive(Debug, Clone, PartialEq)]
pub struct DataEntry {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: DataSource,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum DataSource {
    /// A field of the record, as the reader's role may see it.
    Field {
        /// Of which record.
        side: Side,
        /// The field.
        path: FieldPath,
        /// Whether anybody saw the value. A record that was created has no old value, and that is
        /// known.
        known: bool,
    },
    /// This JSON text.
    Constant(String),
}

impl DataPlan {
    /// The names of the members whose value nobody saw.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry.source {
            DataSource::Field { known: false, .. } => Some(entry.name.as_str()),
            DataSource::Field { known: true, .. } | DataSource::Constant(_) => None,
        })
    }
}

/// The id in a JSON text: a string that is not empty, or a whole number as it was written.
#[must_use]
pub fn id_of(text: &str) -> Option<String> {
    match Value::parse(text)? {
        Value::Text(id) if !id.is_empty() => Some(id.into_owned()),
        Value::Number(number) if number.as_str().bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(number.as_str().to_owned())
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Object(_) => None,
    }
}

/// What a request turned out to be, and its events: for each record the built-in one, then those
/// of the rules in the order of the policy; the records created beside come last.
pub fn detect(observed: &ObservedWrite<'_>) -> Outcome {
    let write = observed.resource.write_of(observed.route, observed.method);
    if write == Write::Nothing {
        return Outcome::NotAWrite;
    }
    if !observed.status.is_success() {
        return Outcome::Refused;
    }
    match observed.success {
        Truth::True => {}
        Truth::False => return Outcome::Refused,
        Truth::Unknown => return Outcome::Unknown,
    }
    let mut events = Vec::new();
    if observed.records.is_empty() {
        observed.record(None, &Observed::default(), write, &mut events);
    }
    for (at, record) in observed.records.iter().enumerate() {
        observed.record(Some(at), record, write, &mut events);
    }
    observed.beside(write, &mut events);
    Outcome::Happened(events)
}

impl ObservedWrite<'_> {
    fn record(
        &self,
        at: Option<usize>,
        record: &Observed,
        write: Write,
        events: &mut Vec<Detected>,
    ) {
        let first = events.len();
        let id = self.id(record, write);
        let event = |event_type: String, data: DataPlan| Detected {
            event_type,
            resource: self.resource.name.clone(),
            record: id.clone(),
            observed: at,
            data,
        };
        let builtin = format!("{}.{}", self.resource.name, write.word());
        events.push(event(builtin, DataPlan::default()));
        let rules = self.resource.emits.iter();
        for rule in rules.filter(|rule| rule.covers(self.route, self.method, write)) {
            // Two rules may lead to one event by different ways; it has happened once.
            let has_happened = |event: &Detected| event.event_type == rule.event;
            if events.iter().skip(first).any(has_happened) {
                continue;
            }
            let facts = Sides { record, write, previous: rule.previous };
            let undecided = match (rule.when.evaluate(&facts), rule.if_unknown) {
                (Truth::True, _) => false,
                (Truth::Unknown, IfUnknown::Emit) => true,
                (Truth::Unknown, IfUnknown::Skip) | (Truth::False, _) => continue,
            };
            events.push(event(rule.event.clone(), facts.plan(rule, undecided)));
        }
    }

    /// From the record, else the path, else the `Location`. The latter two speak of one record.
    fn id(&self, record: &Observed, write: Write) -> Option<String> {
        let is_alone = self.records.len() <= 1;
        // What is created is not what the path names: `POST /deals/7/copy/` makes another deal.
        let in_path = self.id_in_path.filter(|_| is_alone && write != Write::Created);
        let in_location = self.id_in_location.filter(|_| is_alone);
        record.id.clone().or_else(|| in_path.or(in_location).map(ToOwned::to_owned))
    }

    fn beside(&self, write: Write, events: &mut Vec<Detected>) {
        for beside in self.created {
            let Some(create) = self.resource.events.creates.get(beside.create) else { continue };
            if create.covers(self.route, self.method, write) {
                events.push(Detected {
                    event_type: create.event.clone(),
                    resource: create.resource.clone(),
                    record: beside.id.clone(),
                    observed: None,
                    data: DataPlan::default(),
                });
            }
        }
    }
}

/// The old and the new record as one rule knows them.
struct Sides<'r> {
    record: &'r Observed,
    write: Write,
    previous: Previous,
}

impl Sides<'_> {
    fn plan(&self, rule: &Emit, undecided: bool) -> DataPlan {
        let entries = rule.members.iter().map(|member| DataEntry {
            name: member.name.clone(),
            source: match &member.source {
                Source::Constant(text) => DataSource::Constant(text.clone()),
                Source::Field(field) => DataSource::Field {
                    side: field.side,
                    path: field.path.clone(),
                    known: self.is_known(field.side, &field.path),
                },
            },
        });
        DataPlan { entries: entries.collect(), undecided }
    }

    fn is_known(&self, side: Side, path: &FieldPath) -> bool {
        match side {
            Side::Old => self.look_up(side, path) != Fact::Unknown,
            // An answer that leaves a member out does not say that the record has none.
            Side::New => matches!(self.look_up(side, path), Fact::Known(_)),
        }
    }
}

impl Facts for Sides<'_> {
    fn look_up(&self, side: Side, path: &FieldPath) -> Fact<'_> {
        match side {
            Side::Old if self.write == Write::Created => Fact::Missing,
            Side::Old => match &self.record.old {
                Old::Known(values) if self.previous != Previous::None => {
                    values.get(path.as_str()).map_or(Fact::Unknown, |text| Fact::from_json(text))
                }
                Old::Known(_) | Old::Unknown => Fact::Unknown,
            },
            Side::New => match &self.record.values {
                Some(values) => {
                    values.get(path.as_str()).map_or(Fact::Missing, |text| Fact::from_json(text))
                }
                None => Fact::Unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests;
