//! The walk over the nodes of a file, which collects every fault on its way.

use std::sync::Arc;

use super::{Key, Node, Value};
use crate::diagnostic::{Finding, SourceFile, Span, suggest};

/// Walks the nodes of one source file and collects what is wrong.
///
/// Every reader method answers `None` after it has recorded a finding, so a caller goes on with
/// the next key and the user sees all faults at once.
#[derive(Debug)]
pub struct Checker {
    source: Arc<SourceFile>,
    findings: Vec<Finding>,
}

impl Checker {
    /// A checker for the nodes of `source`.
    #[must_use]
    pub fn new(source: Arc<SourceFile>) -> Self {
        Self { source, findings: Vec::new() }
    }

    /// The file whose nodes are walked.
    #[must_use]
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }

    /// Everything found so far, in the order found.
    #[must_use]
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    /// Records a finding at `span`.
    pub fn report(&mut self, finding: Finding, span: Span) {
        self.findings.push(finding.at(&self.source, span));
    }

    /// Records a finding that has no place in the file.
    pub fn report_anywhere(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Records that the node is not what belongs there, as in `a list`.
    pub fn wrong_kind(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} is {}, not {wanted}", node.value.kind());
        self.report(
            Finding::error("yaml::wrong_kind", message).label(format!("{wanted} belongs here")),
            node.span,
        );
    }

    /// The node as a mapping. `what` names it in messages, as in `` `limits` ``.
    pub fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_kind(node, what, "a mapping");
            return None;
        };
        Some(Fields { span: node.span, entries: entries.iter().collect(), asked: Vec::new() })
    }

    /// The node as a list.
    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        let Value::List(items) = &node.value else {
            self.wrong_kind(node, what, "a list");
            return None;
        };
        Some(items)
    }

    /// The node as a string.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                let message = format!("{what} is {}, not a string", node.value.kind());
                let finding = Finding::error("yaml::wrong_kind", message)
                    .label("a string belongs here")
                    .help("put it in quotes");
                self.report(finding, node.span);
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.wrong_kind(node, what, "a string");
                None
            }
        }
    }

    /// The node as a whole number that is not negative.
    pub fn count(&mut self, node: &Node, what: &str) -> Option<u64> {
        let number = match node.value {
            Value::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong_kind(node, what, "a whole number from 0");
        }
        number
    }

    /// The node as `true` or `false`.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        let Value::Bool(value) = node.value else {
            self.wrong_kind(node, what, "`true` or `false`");
            return None;
        };
        Some(value)
    }
}

/// The keys of one mapping, taken one by one; what nobody took is a fault.
#[derive(Debug)]
#[must_use = "call `finish`, or unknown keys go unnoticed"]
pub struct Fields<'n> {
    span: Span,
    entries: Vec<&'n (Key, Node)>,
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Where the mapping stands.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Takes the value of `name`, if the mapping has it. A key without a value counts as absent.
    pub fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.take_entry(name)
            .map(|(_, node)| node)
            .filter(|node| !matches!(node.value, Value::Null))
    }

    /// Whether the mapping has a key of that name that nobody took.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.name == name)
    }

    /// Takes key and value of `name`.
    pub fn take_entry(&mut self, name: &'static str) -> Option<&'n (Key, Node)> {
        self.asked.push(name);
        self.take_refused(name)
    }

    /// Takes key and value of `name`, a key that is refused and so never suggested.
    pub fn take_refused(&mut self, name: &str) -> Option<&'n (Key, Node)> {
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        Some(self.entries.remove(at))
    }

    /// Takes the value of `name` or reports that it is missing.
    pub fn require(&mut self, checker: &mut Checker, name: &'static str) -> Option<&'n Node> {
        match self.take_entry(name) {
            Some((key, Node { value: Value::Null, .. })) => {
                let finding = Finding::error("yaml::missing_key", format!("`{name}` has no value"))
                    .help(format!("write its value behind `{name}:`"));
                checker.report(finding, key.span);
                None
            }
            Some((_, node)) => Some(node),
            None => {
                let finding = Finding::error("yaml::missing_key", format!("`{name}` is missing"))
                    .label(format!("this mapping needs `{name}`"))
                    .help(format!("add `{name}: ...` to this mapping"));
                checker.report(finding, self.span);
                None
            }
        }
    }

    /// Whether no entries are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes all entries that are left, for mappings whose keys are the user's own names.
    pub fn take_rest(&mut self) -> Vec<&'n (Key, Node)> {
        std::mem::take(&mut self.entries)
    }

    /// Reports every key that nobody took.
    pub fn finish(self, checker: &mut Checker) {
        for (key, _) in self.entries {
            let finding =
                Finding::error("yaml::unknown_key", format!("unknown key `{}`", key.name))
                    .label("nothing reads this")
                    .help(suggest(&key.name, self.asked.iter().copied()));
            checker.report(finding, key.span);
        }
    }
}
