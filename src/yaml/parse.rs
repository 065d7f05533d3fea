//! From YAML text to the tree of nodes. Iterative: no input can exhaust the stack.

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, StructureStyle, Tag};

use super::syntax;
use super::{Key, Node, Value};
use crate::diagnostic::{Finding, SourceFile, Span};

/// How many lists and mappings may stand one in another.
const MAX_DEPTH: usize = 64;
/// How many values one file may have, those that aliases repeat counted each time.
const MAX_NODES: usize = 100_000;

/// Reads one document, or says where its syntax is broken.
///
/// # Errors
/// The one finding that ended the reading.
pub fn parse(source: &Arc<SourceFile>) -> Result<Node, Finding> {
    let text = source.text();
    let options = granit_parser::options! { emit_comments: false };
    let mut builder =
        Builder { source, open: Vec::new(), anchors: HashMap::new(), count: 0, root: None };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.take(event, &span)?,
            Err(error) => {
                let at = offset(*error.marker());
                let open = builder.innermost_flow().map(|(bracket, start)| {
                    format!("`{bracket}` on line {}", source.line_of(start))
                });
                return Err(syntax::explain(error.kind(), open.as_deref())
                    .at(source, syntax::visible(text, at)));
            }
        }
    }
    Ok(builder.root.unwrap_or(Node { span: Span::default(), value: Value::Null }))
}

/// The lists and mappings that are open at one point of the document.
struct Builder<'s> {
    source: &'s Arc<SourceFile>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    count: usize,
    root: Option<Node>,
}

/// A list or mapping whose end is still to come.
struct Open {
    start: usize,
    flow: bool,
    anchor: usize,
    children: Children,
}

enum Children {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, names: HashMap<String, Span>, key: Option<Key> },
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &granit_parser::Span) -> Result<(), Finding> {
        let place = between(span);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err(self.refuse(
                place,
                "the file holds more than one YAML document",
                "keep one document: `---` in the middle of a file starts another",
            )),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), span)
            }
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span)?;
                self.enter(Children::List(Vec::new()), style, anchor, place)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span)?;
                let children =
                    Children::Map { entries: Vec::new(), names: HashMap::new(), key: None };
                self.enter(children, style, anchor, place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(place),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: &granit_parser::Span,
    ) -> Result<(), Finding> {
        let place = between(span);
        let plain = style == ScalarStyle::Plain && tag.is_none();
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema_tag("str")) {
            self.refuse_tag(tag, span)?;
        }
        if self.wants_key() {
            let resolved = if plain { plain_value(text) } else { Some(Value::Text(String::new())) };
            return match resolved {
                Some(Value::Null) => Err(self.refuse(
                    place,
                    "a key must be a string, and this one is empty",
                    "write a name before the `:`, or quote a key that is spelled like null",
                )),
                _ if plain && text == "<<" => Err(self.refuse(
                    place,
                    "`<<` merges are not read here",
                    "write the keys out; an alias (`*name`) can stand for a whole value",
                )),
                _ => self.key(Key { span: place, name: text.to_owned() }),
            };
        }
        let value = if plain {
            plain_value(text).ok_or_else(|| {
                let message = format!("`{text}` is not a finite number");
                self.refuse(place, &message, "put quotes around it if it is meant as text")
            })?
        } else {
            Value::Text(text.to_owned())
        };
        // A value that was left out has no text of its own to show.
        let span = match (place.len, self.open.last().map(|open| &open.children)) {
            (0, Some(Children::Map { key: Some(key), .. })) => key.span,
            (0, _) => syntax::visible(self.source.text(), place.start),
            _ => place,
        };
        self.complete(Node { span, value }, anchor)
    }

    fn alias(&mut self, anchor: usize, place: Span) -> Result<(), Finding> {
        self.refuse_as_key("an alias", place)?;
        // The parser knows the name already inside the value it marks; we only behind it.
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(self.refuse(place, "this alias repeats a value inside itself", ""));
        };
        let (nodes, depth) = measure(target);
        if self.count.saturating_add(nodes) > MAX_NODES || self.open.len() + depth > MAX_DEPTH {
            return Err(self.refuse(place, "the aliases of this file unfold to too much", ""));
        }
        self.count += nodes;
        let node = Node { span: place, value: target.value.clone() };
        self.complete(node, 0)
    }

    fn enter(
        &mut self,
        children: Children,
        style: StructureStyle,
        anchor: usize,
        place: Span,
    ) -> Result<(), Finding> {
        let kind = match children {
            Children::List(_) => "a list",
            Children::Map { .. } => "a mapping",
        };
        self.refuse_as_key(kind, place)?;
        if self.open.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} lists and mappings stand one in another");
            return Err(self.refuse(place, &message, ""));
        }
        let flow = style == StructureStyle::Flow;
        self.open.push(Open { start: place.start, flow, anchor, children });
        Ok(())
    }

    fn leave(&mut self, end: Span) -> Result<(), Finding> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (first, value) = match open.children {
            Children::List(items) => (items.first().map(|item| item.span), Value::List(items)),
            Children::Map { entries, .. } => {
                (entries.first().map(|(key, _)| key.span), Value::Map(entries))
            }
        };
        let whole = Span::new(open.start, (end.start + end.len).saturating_sub(open.start));
        let on_one_line = self
            .source
            .text()
            .get(open.start..open.start + whole.len)
            .is_some_and(|text| !text.contains('\n'));
        let span = match first {
            Some(first) if !(open.flow && on_one_line) => first,
            _ => whole,
        };
        self.complete(Node { span, value }, open.anchor)
    }

    /// Puts a finished node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Finding> {
        self.count += 1;
        if self.count > MAX_NODES {
            return Err(self.refuse(node.span, "the file holds too many values", ""));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.children) {
            None => self.root = Some(node),
            Some(Children::List(items)) => items.push(node),
            Some(Children::Map { entries, key, .. }) => {
                entries.extend(key.take().map(|key| (key, node)));
            }
        }
        Ok(())
    }

    fn key(&mut self, new: Key) -> Result<(), Finding> {
        let Some(Children::Map { names, key, .. }) =
            self.open.last_mut().map(|open| &mut open.children)
        else {
            return Ok(());
        };
        if let Some(first) = names.insert(new.name.clone(), new.span) {
            let line = self.source.line_of(first.start);
            let finding =
                Finding::error("yaml::duplicate_key", format!("`{}` is given twice", new.name))
                    .label("given again here")
                    .help(format!("the first one stands on line {line}; keep one of the two"));
            return Err(finding.at(self.source, new.span));
        }
        *key = Some(new);
        Ok(())
    }

    /// Whether the next node is the key of a mapping.
    fn wants_key(&self) -> bool {
        matches!(self.open.last().map(|open| &open.children), Some(Children::Map { key: None, .. }))
    }

    fn refuse_as_key(&self, kind: &str, place: Span) -> Result<(), Finding> {
        if !self.wants_key() {
            return Ok(());
        }
        let help = "write the key out, in quotes if it holds `{`, `[` or `*`";
        Err(self.refuse(place, &format!("a key must be a string, not {kind}"), help))
    }

    fn refuse_tag(&self, tag: Option<&Tag>, span: &granit_parser::Span) -> Result<(), Finding> {
        let Some(tag) = tag else { return Ok(()) };
        let written = format!("{}{}", tag.original_handle(), tag.suffix());
        let place =
            span.tag_start.map_or(between(span), |mark| Span::new(offset(mark), written.len()));
        let message = format!("the tag `{written}` is not read here");
        Err(self.refuse(place, &message, "remove it; a text that starts with `!` needs quotes"))
    }

    fn refuse(&self, place: Span, message: &str, help: &str) -> Finding {
        let place =
            if place.len == 0 { syntax::visible(self.source.text(), place.start) } else { place };
        let finding = Finding::error("yaml::syntax", message).at(self.source, place);
        if help.is_empty() { finding } else { finding.help(help) }
    }

    /// The bracket of the innermost `[` or `{` that is still open.
    fn innermost_flow(&self) -> Option<(char, usize)> {
        let open = self.open.last().filter(|open| open.flow)?;
        Some((self.source.text().get(open.start..)?.chars().next()?, open.start))
    }
}

/// How many values a node holds, itself included, and how deep they stand.
fn measure(node: &Node) -> (usize, usize) {
    let inside: Vec<&Node> = match &node.value {
        Value::List(items) => items.iter().collect(),
        Value::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {
            return (1, 0);
        }
    };
    inside
        .into_iter()
        .map(measure)
        .fold((1, 1), |(nodes, depth), (more, below)| (nodes + more, depth.max(1 + below)))
}

/// What a plain scalar means; `None` for a number that is not finite.
fn plain_value(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return None,
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return None;
    }
    let radix = [("0x", 16), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| i64::from_str_radix(text.strip_prefix(prefix)?, radix).ok());
    if let Some(number) = radix {
        return Some(Value::Integer(number));
    }
    if !is_decimal(unsigned) {
        return Some(Value::Text(text.to_owned()));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(Value::Integer(number));
    }
    match text.parse::<f64>() {
        Ok(number) => number.is_finite().then_some(Value::Float(number)),
        Err(_) => Some(Value::Text(text.to_owned())),
    }
}

/// Digits, optionally with a fraction and an exponent, and without a leading zero that a code
/// would have and a number would not.
fn is_decimal(unsigned: &str) -> bool {
    let digits_only = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_code = whole.len() > 1 && whole.starts_with('0');
    let is_empty = exponent.is_empty() || (whole.is_empty() && fraction.is_empty());
    !is_code && !is_empty && [whole, fraction, exponent].into_iter().all(digits_only)
}

fn offset(marker: granit_parser::Marker) -> usize {
    // A parser over a string always knows its byte offsets.
    marker.byte_offset().unwrap_or_default()
}

fn between(span: &granit_parser::Span) -> Span {
    let start = offset(span.start);
    Span::new(start, offset(span.end).saturating_sub(start))
}
