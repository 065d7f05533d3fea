//! A YAML document with the place of every key and value, and a checker that walks it.
//!
//! Deriving `Deserialize` stops at the first fault. People fix files faster when they see every
//! fault at once, so config and policy walk this tree instead and collect findings on the way.
//! Only a syntax error ends the reading early, for behind it nothing has a known meaning.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::diagnostic::{Finding, SourceFile, Span, suggest};

/// One value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where the value stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// A YAML value; mappings keep their order.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping. The parser has already refused duplicate keys.
    Map(Vec<(Key, Node)>),
}

impl Value {
    /// The kind in words, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// A key of a mapping and where it stands.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where the key stands.
    pub span: Span,
    /// The key itself.
    pub name: String,
}

/// Reads one document, or says where its syntax is broken.
///
/// # Errors
/// The one finding that ended the reading.
pub fn parse(source: &Arc<SourceFile>) -> Result<Node, Finding> {
    let options = serde_saphyr::options! { with_snippet: false };
    match serde_saphyr::from_str_with_options::<Spanned<Tree>>(source.text(), options) {
        Ok(tree) => Ok(tree.into_node()),
        Err(error) => {
            let span = error
                .location()
                .map_or(Span::default(), |location| span_of(&location, source.text()));
            let text = error.without_snippet().to_string();
            // The finding carries the place itself; cut the parser's own copy of it.
            let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
            Err(Finding::error("yaml::syntax", message).at(source, span))
        }
    }
}

/// A value on its way into a [`Node`]: serde-saphyr hands out places through [`Spanned`] alone.
struct Tree(Value);

trait IntoNode {
    fn into_node(self) -> Node;
}

impl IntoNode for Spanned<Tree> {
    fn into_node(self) -> Node {
        Node { span: span_of(&self.referenced, ""), value: self.value.0 }
    }
}

fn span_of(location: &serde_saphyr::Location, text: &str) -> Span {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or(0)).unwrap_or(0);
    let len = usize::try_from(span.byte_len().unwrap_or(0)).unwrap_or(0);
    // A place past the end (an unclosed bracket, say) is shown at the last byte.
    if text.is_empty() { Span::new(start, len) } else { Span::new(start.min(text.len() - 1), len) }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree(Value::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree(
            i64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer),
        ))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree(Value::Text(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree(Value::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Tree>>()? {
            list.push(item.into_node());
        }
        Ok(Tree(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let value = access.next_value::<Spanned<Tree>>()?.into_node();
            map.push((Key { span: span_of(&key.referenced, ""), name: key.value }, value));
        }
        Ok(Tree(Value::Map(map)))
    }
}

/// Walks the nodes of one source file and collects what is wrong.
///
/// Every reader method answers `None` after it has recorded a finding, so a caller goes on with
/// the next key and the user sees all faults at once.
#[derive(Debug)]
pub struct Checker {
    source: Arc<SourceFile>,
    /// The room that reads: `config` or `policy`; codes start with it.
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

    fn wrong_kind(&mut self, node: &Node, what: &str, wanted: &str) {
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
        let Value::Text(text) = &node.value else {
            self.wrong_kind(node, what, "a string");
            return None;
        };
        Some(text)
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

    /// Takes key and value of `name`.
    pub fn take_entry(&mut self, name: &'static str) -> Option<&'n (Key, Node)> {
        self.asked.push(name);
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        Some(self.entries.remove(at))
    }

    /// Takes the value of `name` or reports that it is missing.
    pub fn require(&mut self, checker: &mut Checker, name: &'static str) -> Option<&'n Node> {
        let node = self.take(name);
        if node.is_none() {
            let finding = Finding::error("yaml::missing_key", format!("`{name}` is missing"))
                .help(format!("add `{name}: ...` to this mapping"));
            checker.report(finding, Span::new(self.span.start, 1));
        }
        node
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
