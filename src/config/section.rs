//! The walk over the file: sections of settings, each read in one line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::surroundings::Surroundings;
use crate::diagnostic::{Finding, SourceFile, Span};
use crate::yaml::{Checker, Fields, Key, Node, Value};

/// What all sections share: the findings so far, and the world that values may name.
pub(super) struct Reader<'w> {
    pub(super) checker: Checker,
    pub(super) around: &'w dyn Surroundings,
    base: &'w Path,
    secrets: Vec<Span>,
}

impl<'w> Reader<'w> {
    pub(super) fn new(
        source: &Arc<SourceFile>,
        base: &'w Path,
        around: &'w dyn Surroundings,
    ) -> Self {
        Self { checker: Checker::new(Arc::clone(source)), around, base, secrets: Vec::new() }
    }

    pub(super) fn report(&mut self, finding: Finding, span: Span) {
        self.checker.report(finding, span);
    }

    /// Keeps what stands at `span` out of everything that findings show.
    pub(super) fn conceal(&mut self, span: Span) {
        self.secrets.push(span);
    }

    /// A path of the file, from the folder of the file.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base.join(path)
    }

    /// A value as the file has it, for messages: never what a variable holds.
    pub(super) fn written(&self, node: &Node) -> Written {
        let span = node.span;
        let text = self.checker.source().text().get(span.start..span.start + span.len);
        let text = text.unwrap_or_default().trim_matches(['"', '\'']);
        let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        if text.chars().count() > 60 {
            shown.push('…');
        }
        Written { shown, is_substituted: text.contains("${") }
    }

    /// All findings in the order of the lines they point at, with secrets concealed.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        let concealed = self.checker.source().concealing(&self.secrets);
        let mut findings: Vec<Finding> = self
            .checker
            .into_findings()
            .into_iter()
            .map(|found| found.shown_in(&concealed))
            .collect();
        findings.sort_by_key(|finding| match finding.position() {
            Some((_, line, column)) => (line, column),
            None => (usize::MAX, 0),
        });
        findings
    }
}

/// A value as written in the file.
pub(super) struct Written {
    shown: String,
    is_substituted: bool,
}

impl fmt::Display for Written {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shown.trim().is_empty() {
            return formatter.write_str("the text");
        }
        let hint = if self.is_substituted { " (from the environment)" } else { "" };
        write!(formatter, "`{}`{hint}", self.shown)
    }
}

/// One mapping of the file. Settings are taken by key; [`Section::close`] reports the keys that
/// nobody took.
#[must_use = "call `close`, or unknown keys go unnoticed"]
pub(super) struct Section<'r, 'w, 'n> {
    reader: &'r mut Reader<'w>,
    name: String,
    fields: Fields<'n>,
    places: Vec<(&'static str, Span)>,
}

impl<'r, 'w, 'n> Section<'r, 'w, 'n> {
    /// The mapping at `node`. `name` is how messages call it, empty for the whole file.
    pub(super) fn open(reader: &'r mut Reader<'w>, node: &'n Node, name: &str) -> Option<Self> {
        let what = if name.is_empty() { "the file".to_owned() } else { format!("`{name}`") };
        let fields = reader.checker.map(node, &what)?;
        Some(Self { reader, name: name.to_owned(), fields, places: Vec::new() })
    }

    /// The setting `key`, or `usual` where it is not written.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'w>, &'n Node, &str) -> Option<T>,
        usual: T,
    ) -> T {
        self.optional(key, read).unwrap_or(usual)
    }

    /// The setting `key`, if it is written.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'w>, &'n Node, &str) -> Option<T>,
    ) -> Option<T> {
        let node = self.fields.take(key)?;
        self.read(key, node, read)
    }

    /// The setting `key`, which must be written.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'w>, &'n Node, &str) -> Option<T>,
    ) -> Option<T> {
        let node = self.fields.require(&mut self.reader.checker, key)?;
        self.read(key, node, read)
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        node: &'n Node,
        read: impl FnOnce(&mut Reader<'w>, &'n Node, &str) -> Option<T>,
    ) -> Option<T> {
        self.places.push((key, node.span));
        let name = match self.name.as_str() {
            "" => key.to_owned(),
            section => format!("{section}.{key}"),
        };
        read(self.reader, node, &name)
    }

    /// Refuses a key under which somebody may write a secret, and shows nothing of its value.
    pub(super) fn refuse_secret(&mut self, key: &'static str, remedy: &str) {
        let Some((written, node)) = self.fields.take_refused(key) else { return };
        self.reader.conceal(node.span);
        let finding = Finding::error(
            "config::inline_secret",
            format!("`{key}` would keep a secret in this file"),
        )
        .label("secrets stand elsewhere")
        .help(remedy);
        self.reader.report(finding, written.span);
    }

    /// Whether `key` was taken and has a value.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.places.iter().any(|(place, _)| *place == key)
    }

    /// Where the first of `keys` that is written stands, else the section itself.
    pub(super) fn place(&self, keys: &[&str]) -> Span {
        let written = |key: &&str| self.places.iter().find(|(place, _)| place == key);
        keys.iter().find_map(written).map_or(self.fields.span(), |(_, span)| *span)
    }

    /// Records a finding at the value of the first of `keys` that is written.
    pub(super) fn report(&mut self, finding: Finding, keys: &[&str]) {
        let span = self.place(keys);
        self.reader.report(finding, span);
    }

    /// Whether the mapping has keys that nobody took yet.
    pub(super) fn has_more(&self) -> bool {
        !self.fields.is_empty()
    }

    /// All entries that nobody took yet, for mappings whose keys are the user's own names.
    pub(super) fn rest(&mut self) -> Vec<&'n (Key, Node)> {
        self.fields.take_rest()
    }

    pub(super) fn reader(&mut self) -> &mut Reader<'w> {
        self.reader
    }

    /// Reports every key that nobody took.
    pub(super) fn close(self) {
        self.fields.finish(&mut self.reader.checker);
    }
}

/// The items of a list that must not be empty; `None` for what is not such a list.
pub(super) fn items<'n>(reader: &mut Reader<'_>, node: &'n Node, name: &str) -> Option<&'n [Node]> {
    if let Value::Text(_) | Value::Map(_) = node.value {
        let finding = Finding::error(
            "yaml::wrong_kind",
            format!("`{name}` is {}, not a list", node.value.kind()),
        )
        .label("a list belongs here")
        .help("start each entry with `- `, or write the list as `[a, b]`");
        reader.report(finding, node.span);
        return None;
    }
    let items = reader.checker.list(node, &format!("`{name}`"))?;
    if items.is_empty() {
        let finding = Finding::error("config::empty", format!("`{name}` lists nothing"))
            .help("add an entry, or remove the key");
        reader.report(finding, node.span);
        return None;
    }
    Some(items)
}

/// Reads a value, or every item of a list of such values.
pub(super) fn one_or_each<'n, 'w, T>(
    reader: &mut Reader<'w>,
    node: &'n Node,
    name: &str,
    mut read: impl FnMut(&mut Reader<'w>, &'n Node, &str) -> Option<T>,
) -> Option<Vec<T>> {
    match node.value {
        Value::List(_) => each(reader, node, name, read),
        _ => read(reader, node, name).map(|one| vec![one]),
    }
}

/// Reads every item of a list, so that each faulty one is reported; `None` if any is.
pub(super) fn each<'n, 'w, T>(
    reader: &mut Reader<'w>,
    node: &'n Node,
    name: &str,
    mut read: impl FnMut(&mut Reader<'w>, &'n Node, &str) -> Option<T>,
) -> Option<Vec<T>> {
    let items = items(reader, node, name)?;
    let all: Vec<Option<T>> = items.iter().map(|item| read(reader, item, name)).collect();
    all.into_iter().collect()
}
