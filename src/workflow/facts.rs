//! What conditions and templates find in an event.
//!
//! Pure. `event.type` and its like are the event's own; `record.x` and `lead.x` are the record's,
//! as the role sees it; a bare name is a member of the event's data where it has one, else the
//! record's. What nobody saw is not known, and that is said.

use std::borrow::Cow;

use time::format_description::well_known::Rfc3339;

use crate::condition::{Condition, Decided, Fact, Facts, Number, Side, Value};
use crate::event::Message;
use crate::json::path::{FieldPath, Selector};

/// One event, read once.
#[derive(Debug)]
pub struct EventFacts<'m> {
    message: &'m Message,
    data: Option<Value<'m>>,
}

impl<'m> EventFacts<'m> {
    /// Reads what the event says.
    #[must_use]
    pub fn new(message: &'m Message) -> Self {
        Self { message, data: Value::parse(message.data.get()) }
    }

    /// What is known at a path.
    #[must_use]
    pub fn at(&self, path: &FieldPath) -> Fact<'_> {
        let names = path.segments().iter().flat_map(|segment| &segment.selectors);
        let names: Option<Vec<&str>> = names
            .map(|selector| match selector {
                Selector::Name(name) => Some(name.as_str()),
                Selector::Wildcard
                | Selector::Index(_)
                | Selector::Slice { .. }
                | Selector::Held => None,
            })
            .collect();
        // Only dotted paths come here.
        let Some(names) = names else { return Fact::Unknown };
        match names.split_first() {
            Some((&"event", rest)) => self.of_event(rest),
            Some((first, rest)) => self.of_data(first, rest, &names),
            None => Fact::Missing,
        }
    }

    fn of_event(&self, names: &[&str]) -> Fact<'_> {
        let [name] = names else { return Fact::Missing };
        let message = self.message;
        let text = |text: &str| Some(text.to_owned());
        let known = match *name {
            "id" => Some(message.id.to_string()),
            "type" => text(&message.event_type),
            "subject" => message.subject(),
            "resource" => text(&message.resource),
            "record" => message.record.clone(),
            "time" => message.time.format(&Rfc3339).ok(),
            "tenant" => message.tenant.clone(),
            "actor" => message.actor.clone(),
            "correlation_id" => text(&message.correlation_id),
            "sequence" => {
                let number = message.sequence.and_then(|number| Number::parse(number.to_string()));
                return number.map_or(Fact::Missing, |number| Fact::Known(Value::Number(number)));
            }
            _ => return Fact::Missing,
        };
        known.map_or(Fact::Missing, |text| Fact::Known(Value::Text(Cow::Owned(text))))
    }

    fn of_data(&self, first: &str, rest: &[&str], all: &[&str]) -> Fact<'_> {
        let Some(data) = &self.data else { return Fact::Unknown };
        let is_record = first == "record" || first == self.message.resource;
        if !is_record && let Some(value) = data.member(first) {
            if rest.is_empty() && is_unknown(data, first) {
                return Fact::Unknown;
            }
            return walk(value, rest);
        }
        // Where the event shows no record, nobody knows what it says.
        let Some(record @ Value::Object(_)) = data.member("record") else { return Fact::Unknown };
        walk(record, if is_record { rest } else { all })
    }
}

/// Whether the event says that nobody saw this member.
fn is_unknown(data: &Value<'_>, name: &str) -> bool {
    let Some(Value::List(unknown)) = data.member("unknown") else { return false };
    unknown.iter().any(|one| matches!(one, Value::Text(text) if text == name))
}

fn walk<'v>(value: &'v Value<'v>, names: &[&str]) -> Fact<'v> {
    let found = names.iter().try_fold(value, |value, name| value.member(name));
    found.map_or(Fact::Missing, |value| Fact::Known(value.clone()))
}

/// Why a condition does not certainly hold; `None` where it does. No value of the event is in it.
#[must_use]
pub fn why_not(when: &Condition, facts: &EventFacts<'_>) -> Option<String> {
    if when.is_empty() {
        return None;
    }
    let explained = when.explain(facts);
    if explained.truth.is_true() {
        return None;
    }
    let leaves: Vec<String> = explained.decided_by.iter().map(Decided::to_string).collect();
    Some(leaves.join("; "))
}

impl Facts for EventFacts<'_> {
    fn look_up(&self, side: Side, path: &FieldPath) -> Fact<'_> {
        match side {
            Side::New => self.at(path),
            // Conditions of workflows have one side; nothing else is known.
            Side::Old => Fact::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::event::envelope::tests::message;

    fn lead(data: &str) -> Message {
        Message {
            event_type: "lead.created".to_owned(),
            resource: "lead".to_owned(),
            record: Some("7".to_owned()),
            data: RawValue::from_string(data.to_owned()).unwrap(),
            ..message()
        }
    }

    #[track_caller]
    fn check(data: &str, path: &str, expect: &str) {
        let message = lead(data);
        let facts = EventFacts::new(&message);
        let seen = match facts.look_up(Side::New, &FieldPath::parse_members(path).unwrap()) {
            Fact::Known(value) => value.to_string(),
            Fact::Missing => "missing".to_owned(),
            Fact::Unknown => "unknown".to_owned(),
        };
        assert_eq!(seen, expect, "{path}");
    }

    const DATA: &str = r#"{
        "old_stage": null, "new_stage": "won", "amount": 10.50, "unknown": ["old_stage"],
        "record": {"id": 7, "budget": 90071992547409931, "owner": {"email": "a@b"}, "amount": 3,
            "tags": ["a"], "lead": "inner"}
    }"#;

    #[test]
    fn of_the_record() {
        check(DATA, "lead.budget", "90071992547409931");
        check(DATA, "record.budget", "90071992547409931");
        check(DATA, "budget", "90071992547409931");
        check(DATA, "lead.owner.email", "\"a@b\"");
        check(DATA, "owner.email", "\"a@b\"");
        check(DATA, "owner.phone", "missing");
        check(DATA, "lead.tags.a", "missing");
        check(DATA, "lead.lead", "\"inner\"");
        check(DATA, "lead.phone", "missing");
        check(DATA, "deal.phone", "missing");
    }

    #[test]
    fn of_the_data() {
        check(DATA, "new_stage", "\"won\"");
        check(DATA, "amount", "10.50");
        check(DATA, "lead.amount", "3");
        check(DATA, "old_stage", "unknown");
        check(DATA, "new_stage.x", "missing");
    }

    #[test]
    fn of_the_event() {
        check(DATA, "event.type", "\"lead.created\"");
        check(DATA, "event.subject", "\"lead/7\"");
        check(DATA, "event.record", "\"7\"");
        check(DATA, "event.sequence", "7");
        check(DATA, "event.time", "\"2026-03-01T12:30:00.25Z\"");
        check(DATA, "event.tenant", "\"acme\"");
        check(DATA, "event.color", "missing");
        check(DATA, "event", "missing");
    }

    #[test]
    fn where_no_record_is_shown() {
        for data in ["{}", "null", r#"{"record":null}"#, r#"{"a":1,"a":2}"#] {
            check(data, "lead.budget", "unknown");
            check(data, "budget", "unknown");
            check(data, "event.type", "\"lead.created\"");
        }
    }
}
