//! Entries as lines for people and programs. Pure.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;

use super::query::Stored;

/// How entries are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line for a person.
    Text,
    /// One JSON object a line: number, hash, and the very text that was hashed.
    Jsonl,
    /// RFC 4180, with a header.
    Csv,
}

/// One line each.
const COLUMNS: [&str; 16] = [
    "number",
    "time",
    "subject",
    "roles",
    "tenant",
    "object_type",
    "objects",
    "fields",
    "masked",
    "hidden",
    "policy_revision",
    "correlation_id",
    "method",
    "route",
    "status",
    "outcome",
];

/// An entry with what binds it to the chain.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    number: u64,
    hash: Option<String>,
    entry: &'a RawValue,
}

impl Format {
    /// What stands before the first entry.
    #[must_use]
    pub fn header(self) -> String {
        match self {
            Self::Text | Self::Jsonl => String::new(),
            Self::Csv => format!("{}\r\n", COLUMNS.join(",")),
        }
    }

    /// One entry with its line end.
    #[must_use]
    pub fn line(self, stored: &Stored) -> String {
        match self {
            Self::Text => text(stored),
            Self::Jsonl => jsonl(stored),
            Self::Csv => csv(stored),
        }
    }
}

fn jsonl(stored: &Stored) -> String {
    let hash = stored.hash.map(|hash| hash.to_string());
    let line = match serde_json::from_str::<&RawValue>(&stored.text) {
        Ok(entry) => serde_json::to_string(&Row { number: stored.number, hash, entry }),
        // Somebody has made it unreadable; what is there is shown all the same.
        Err(_) => serde_json::to_string(
            &serde_json::json!({ "number": stored.number, "hash": hash, "unreadable": stored.text }),
        ),
    };
    line.unwrap_or_default() + "\n"
}

fn csv(stored: &Stored) -> String {
    let Some(entry) = &stored.entry else { return format!("{}\r\n", stored.number) };
    let fields = entry
        .fields
        .iter()
        .map(|field| format!("{} {} {} {}", field.act, field.field, field.count, field.origin));
    let fields: Vec<String> = fields.collect();
    let word = |value: &Option<String>| value.clone().unwrap_or_default();
    let cells = [
        stored.number.to_string(),
        entry.time.clone(),
        word(&entry.subject),
        entry.roles.join(" "),
        word(&entry.tenant),
        word(&entry.object_type),
        entry.objects.join(" "),
        fields.join("; "),
        entry.masked.to_string(),
        entry.hidden.to_string(),
        word(&entry.policy_revision),
        entry.correlation_id.clone(),
        entry.method.clone(),
        word(&entry.route),
        entry.status.map(|status| status.to_string()).unwrap_or_default(),
        outcome(stored),
    ];
    cells.map(|cell| quoted(&cell)).join(",") + "\r\n"
}

/// A cell that no reader takes for more than one, and no spreadsheet for a formula.
fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

fn text(stored: &Stored) -> String {
    let Some(entry) = &stored.entry else { return format!("{} unreadable\n", stored.number) };
    let mut line = format!("{} {}", stored.number, entry.time);
    // Writing into a string cannot fail.
    let _ = match &entry.subject {
        Some(subject) => {
            let object = entry.object_type.as_deref().unwrap_or("-");
            let ids = match (entry.objects.first(), entry.object_count) {
                (None, _) => String::new(),
                (Some(id), 0 | 1) => format!("/{id}"),
                (Some(id), count) => format!("/{id} and {} more", count - 1),
            };
            write!(line, " {subject} ({}) {} {object}{ids}", entry.roles.join(","), entry.method)
        }
        None => write!(line, " {}", entry.reason.as_deref().unwrap_or_default()),
    };
    for field in &entry.fields {
        let _ = write!(line, " {}={}", field.field, field.act);
    }
    if entry.subject.is_some() {
        let _ = write!(line, " masked={} hidden={}", entry.masked, entry.hidden);
        let _ = write!(line, " {} id={}", outcome(stored), entry.correlation_id);
    }
    let safe: String = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    safe + "\n"
}

/// The word of the outcome, with the reason where there is one.
fn outcome(stored: &Stored) -> String {
    let entry = stored.entry.as_ref();
    let word = entry.and_then(|entry| serde_json::to_value(entry.outcome).ok());
    let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or_default().to_owned();
    match entry.and_then(|entry| entry.reason.as_deref()) {
        Some(reason) if !word.is_empty() => format!("{word} {reason}"),
        Some(reason) => reason.to_owned(),
        None => word,
    }
}
