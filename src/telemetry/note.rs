//! One line of the application log.
//!
//! Pure. Lines have a bounded length whatever was said.

use std::fmt::Write as _;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use time::OffsetDateTime;
use tracing::Level;

use super::catalogue::APPLICATION_FIELDS;
use super::exchange::bounded;
use super::render::{json_line, safe_text, timestamp};
use super::writer::Base;

const LONGEST_TEXT: usize = 1024;
const MOST_FIELDS: usize = 32;

/// Something that happened, with its fields.
#[derive(Debug)]
pub(super) struct Note {
    at: OffsetDateTime,
    level: Level,
    target: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Note {
    pub(super) fn new(at: OffsetDateTime, level: Level, target: &str, message: &str) -> Self {
        Self {
            at,
            level,
            target: bounded(target, LONGEST_TEXT),
            message: bounded(message, LONGEST_TEXT),
            fields: Vec::new(),
        }
    }

    /// Adds a field. One named like a field that every line has, or too many, is left out.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let is_taken = APPLICATION_FIELDS.iter().any(|(taken, _)| *taken == name);
        if is_taken || self.fields.len() >= MOST_FIELDS {
            return self;
        }
        let value = match value.into() {
            Value::String(text) => Value::String(bounded(&text, LONGEST_TEXT)),
            other => other,
        };
        self.fields.push((name, value));
        self
    }

    /// How serious it is.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Who says it.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// What happened.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Appends the line as JSON.
    pub(super) fn json(&self, base: &Base, out: &mut Vec<u8>) {
        json_line(&InPlace { note: self, base }, out);
    }

    /// Appends the line for a person at a terminal.
    pub(super) fn text(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "{} {:<5} ", timestamp(self.at), self.level.as_str())?;
        safe_text(&self.message, out);
        for (name, value) in &self.fields {
            write!(out, " {name}=")?;
            match value {
                Value::String(text) => safe_text(text, out),
                other => safe_text(&other.to_string(), out),
            }
        }
        out.push('\n');
        Ok(())
    }
}

/// A note of this service in this environment.
struct InPlace<'a> {
    note: &'a Note,
    base: &'a Base,
}

impl Serialize for InPlace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { note, base } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &timestamp(note.at))?;
        map.serialize_entry("level", note.level.as_str())?;
        map.serialize_entry("service", &base.service)?;
        map.serialize_entry("environment", &base.environment)?;
        map.serialize_entry("target", &note.target)?;
        map.serialize_entry("message", &note.message)?;
        for (name, value) in &note.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use time::macros::datetime;

    use super::*;

    fn note() -> Note {
        let at = datetime!(2026-03-04 05:06:07.89 UTC);
        Note::new(at, Level::WARN, "fieldgate::policy", "policies refused\n")
            .with("faults", 3)
            .with("first", "lead.yaml:3: \u{1b}[2J")
            .with("level", "forged")
    }

    fn json(note: &Note) -> String {
        let base = Base { service: "gate".into(), environment: "test".into() };
        let mut out = Vec::new();
        note.json(&base, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_json_form() {
        assert_eq!(
            json(&note()),
            concat!(
                r#"{"timestamp":"2026-03-04T05:06:07.890Z","level":"WARN","service":"gate","#,
                r#""environment":"test","target":"fieldgate::policy","#,
                r#""message":"policies refused\n","faults":3,"first":"lead.yaml:3: \u001b[2J"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_text_form() {
        let mut out = String::new();
        note().text(&mut out).unwrap();
        let expect = concat!(
            r"2026-03-04T05:06:07.890Z WARN  policies refused\n faults=3 ",
            r"first=lead.yaml:3: \u{1b}[2J",
            "\n"
        );
        assert_eq!(out, expect);
    }

    #[test]
    fn the_fields_that_every_line_has() {
        let plain = Note::new(datetime!(2026-01-01 0:00 UTC), Level::INFO, "fieldgate", "hello");
        let line: Map<String, Value> = serde_json::from_str(&json(&plain)).unwrap();
        assert_eq!(line.len(), APPLICATION_FIELDS.len());
        assert!(APPLICATION_FIELDS.iter().all(|(name, _)| line.contains_key(*name)));
    }

    #[test]
    fn a_line_is_bounded() {
        let long = "x".repeat(1_000_000);
        let mut note = Note::new(datetime!(2026-01-01 0:00 UTC), Level::INFO, &long, &long);
        for _ in 0..1000 {
            note = note.with("value", long.clone());
        }
        assert!(json(&note).len() < (MOST_FIELDS + 3) * (LONGEST_TEXT + 20));
    }
}
