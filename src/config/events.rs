//! `events`: what is told of observed writes, and to whom.

mod file;
pub(super) mod nats;
pub(super) mod webhook;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::{Reader, Section, each};
use super::settings::{EventSink, EventSinkKind, Events, OnStoreFailure};
use super::units::Remedy;
use super::value;
use crate::diagnostic::{Finding, Span};
use crate::yaml::{Node, Value};

/// The longest wait between two attempts.
const MOST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most attempts after the first.
const MOST_RETRIES: usize = 32;

/// Names and files of the sinks so far, and where they are written.
#[derive(Debug, Default)]
struct Taken {
    names: Vec<(String, Span)>,
    files: Vec<(PathBuf, Span)>,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    data_dir: Option<&Path>,
) -> Option<Events> {
    let usual = Events::default();
    let mut at = Section::open(reader, node, name)?;
    let source = at.or("source", source, usual.source);
    let on_store_failure =
        at.or("on_store_failure", value::word(&OnStoreFailure::ALL), usual.on_store_failure);
    let store_timeout = at.or("store_timeout", value::timeout, usual.store_timeout);
    let usual_retention = (usual.retention_age, usual.retention_size);
    let (retention_age, retention_size) = at.or("retention", retention, usual_retention);
    let fields_cache = at.or("fields_cache", value::count(0..=100_000_000), usual.fields_cache);
    let retry = at.or("retry", retry, usual.retry);
    let mut taken = Taken::default();
    let sinks = at.optional("sinks", |reader, node, name| {
        each(reader, node, name, |reader, item, name| {
            sink(reader, item, name, data_dir, &mut taken)
        })
    });
    at.close();
    Some(Events {
        source,
        on_store_failure,
        store_timeout,
        retention_age,
        retention_size,
        fields_cache,
        retry,
        sinks: sinks.unwrap_or_default(),
    })
}

/// A URI reference: what may stand in `source` of a `CloudEvent`.
fn source(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "a URI or a path", |text| {
        let is_part = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if !text.is_empty() && text.bytes().all(is_part) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("write what tells this CRM from others: `https://crm.example`"))
    })
}

fn retention(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<(Duration, u64)> {
    let usual = Events::default();
    let mut at = Section::open(reader, node, name)?;
    let years = Duration::from_secs(3650 * 24 * 3600);
    let age = value::duration(Duration::from_secs(1)..=years);
    let age = at.or("age", age, usual.retention_age);
    let size = at.or("size", value::size, usual.retention_size);
    at.close();
    Some((age, size))
}

fn retry(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Vec<Duration>> {
    let wait = value::duration(Duration::from_millis(1)..=MOST_WAIT);
    let waits = each(reader, node, name, wait)?;
    if waits.len() > MOST_RETRIES {
        let message = format!("`{name}` lists {} waits", waits.len());
        let help = format!("at most {MOST_RETRIES}; the last may be up to 168h");
        reader.report(Finding::error("config::range", message).help(help), node.span);
        return None;
    }
    Some(waits)
}

fn sink(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    data_dir: Option<&Path>,
    taken: &mut Taken,
) -> Option<EventSink> {
    let mut at = Section::open(reader, node, name)?;
    let kinds = ["webhook", "nats", "file", "stdout"];
    let sinks = [
        at.optional("webhook", |reader, node, _| webhook::read(reader, node, "webhook", taken)),
        at.optional("nats", |reader, node, _| nats::read(reader, node, "nats", taken)),
        at.optional("file", |reader, node, _| file::read(reader, node, "file", data_dir, taken)),
        at.optional("stdout", |reader, node, _| stdout(reader, node, "stdout", taken)),
    ];
    let written = kinds.iter().filter(|kind| at.is_written(kind)).count();
    if written > 1 {
        let finding = Finding::error("config::sink", "one entry holds more than one sink")
            .help("start each sink with a `- ` of its own");
        at.report(finding, &[]);
    }
    if written == 0 && !at.has_more() {
        let finding = Finding::error("config::sink", "this entry holds no sink")
            .help("write one of `webhook`, `nats`, `file`, `stdout` with its settings");
        at.report(finding, &[]);
    }
    at.close();
    sinks.into_iter().flatten().next()
}

fn stdout(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    taken: &mut Taken,
) -> Option<EventSink> {
    let mut at = Section::open(reader, node, name)?;
    let (name, role) = who(&mut at, taken);
    at.close();
    Some(EventSink { name: name?, role: role?, kind: EventSinkKind::Stdout })
}

/// `name` and `role`, which every sink has.
fn who(at: &mut Section<'_, '_, '_>, taken: &mut Taken) -> (Option<String>, Option<String>) {
    let name = at.required("name", sink_name);
    let role = at.required("role", value::text);
    if let Some(name) = &name {
        let span = at.place(&["name"]);
        if let Some((_, first)) = taken.names.iter().find(|(taken, _)| taken == name) {
            let line = at.reader().checker.source().line_of(first.start);
            let finding = Finding::error("config::same_sink", "two sinks have one name")
                .label("taken already")
                .help(format!("it stands on line {line} already; each keeps its own place"));
            at.report(finding, &["name"]);
        }
        taken.names.push((name.clone(), span));
    }
    (name, role)
}

/// A name that can stand in a metric label and on a command line.
pub(super) fn sink_name(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "the name of a sink", |text| {
        let is_part = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        if (1..=64).contains(&text.len()) && text.bytes().all(is_part) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("use up to 64 lowercase letters, digits, `-` and `_`"))
    })
}

/// Refuses a URL with a user or a password in it, and shows nothing of it.
pub(super) fn has_user(reader: &mut Reader<'_>, node: &Node, name: &str, remedy: &str) -> bool {
    let Value::Text(text) = &node.value else { return false };
    let authority = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if !authority.contains('@') {
        return false;
    }
    reader.conceal(node.span);
    let message = format!("`{name}` must not hold a user or password");
    let finding = Finding::error("config::inline_secret", message)
        .label("secrets stand elsewhere")
        .help(remedy.to_owned());
    reader.report(finding, node.span);
    true
}
