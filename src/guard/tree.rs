//! A JSON document as a tree of places in its text. Values are never converted: a number is its
//! digits, and what is kept is copied from the text as it stands.
//!
//! Made only for writes that may hold a mask or a restricted member; see `docs/architecture.md`.

use std::collections::HashSet;

use super::Unreadable;
use crate::json::Refusal;
use crate::json::path::{FieldPath, Segment, Selector};
use crate::json::text::unescape;
use crate::json::tokenizer::{Kind, Tokenizer};

/// One value: the bytes `start..end` of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) content: Content,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Null,
    Bool(bool),
    /// The digits as written.
    Number(String),
    /// Without quotes and escapes.
    Text(String),
    List(Vec<Child>),
    Object(Vec<Child>),
}

/// A member or an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    /// Behind the bracket or comma before it.
    pub(super) lead: usize,
    /// Empty for elements.
    pub(super) name: String,
    pub(super) value: Value,
}

/// A document and its text.
#[derive(Debug)]
pub(super) struct Tree<'t> {
    pub(super) text: &'t [u8],
    pub(super) root: Value,
}

/// A container on the way.
struct Open {
    start: usize,
    is_object: bool,
    children: Vec<Child>,
    names: HashSet<String>,
    /// Start and name of the child that comes.
    next: (usize, String),
}

impl<'t> Tree<'t> {
    /// Reads a whole document.
    pub(super) fn parse(text: &'t [u8]) -> Result<Self, Unreadable> {
        let mut tokenizer = Tokenizer::default();
        tokenizer.begin_chunk(text)?;
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        let mut at = 0;
        while let Some(token) = tokenizer.next(text, at)? {
            at = token.end;
            let bytes = text.get(token.start..token.end).unwrap_or_default();
            let value = match token.kind {
                Kind::Colon => continue,
                Kind::Comma => {
                    if let Some(parent) = open.last_mut() {
                        parent.next = (token.end, String::new());
                    }
                    continue;
                }
                Kind::Name(_) => {
                    let parent = open.last_mut().ok_or(Refusal::InvalidJson)?;
                    parent.next.1 = decode(bytes)?;
                    if !parent.names.insert(parent.next.1.clone()) {
                        return Err(Unreadable::RepeatedName);
                    }
                    continue;
                }
                Kind::ObjectStart | Kind::ArrayStart => {
                    open.push(Open {
                        start: token.start,
                        is_object: token.kind == Kind::ObjectStart,
                        children: Vec::new(),
                        names: HashSet::new(),
                        next: (token.end, String::new()),
                    });
                    continue;
                }
                Kind::ObjectEnd | Kind::ArrayEnd => {
                    let closed = open.pop().ok_or(Refusal::InvalidJson)?;
                    let content = if closed.is_object {
                        Content::Object(closed.children)
                    } else {
                        Content::List(closed.children)
                    };
                    Value { start: closed.start, end: token.end, content }
                }
                Kind::Text(_) => scalar(token.start, token.end, Content::Text(decode(bytes)?)),
                Kind::Number(_) => {
                    let digits = String::from_utf8_lossy(bytes).into_owned();
                    scalar(token.start, token.end, Content::Number(digits))
                }
                Kind::Literal(_) => {
                    let content = match bytes {
                        b"true" => Content::Bool(true),
                        b"false" => Content::Bool(false),
                        _ => Content::Null,
                    };
                    scalar(token.start, token.end, content)
                }
            };
            match open.last_mut() {
                None => root = Some(value),
                Some(parent) => {
                    let (lead, name) = std::mem::take(&mut parent.next);
                    parent.children.push(Child { lead, name, value });
                }
            }
        }
        tokenizer.finish()?;
        Ok(Self { text, root: root.ok_or(Refusal::Truncated)? })
    }

    /// The text of a value of this tree.
    pub(super) fn raw(&self, value: &Value) -> &'t [u8] {
        self.text.get(value.start..value.end).unwrap_or_default()
    }

    /// The values that a path selects, in document order.
    pub(super) fn select(&self, path: &FieldPath) -> Vec<&Value> {
        let mut found = vec![&self.root];
        for segment in path.segments() {
            let mut next = Vec::new();
            for value in found {
                step(value, segment, &mut next);
            }
            next.sort_by_key(|value| value.start);
            next.dedup_by_key(|value| value.start);
            found = next;
        }
        found
    }

    /// The one value that a path selects.
    pub(super) fn one(&self, path: &FieldPath) -> Option<&Value> {
        match self.select(path).as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }
}

impl Value {
    /// The member of a name.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        let Content::Object(members) = &self.content else { return None };
        members.iter().find(|member| member.name == name).map(|member| &member.value)
    }

    /// The element at an index.
    pub(super) fn element(&self, index: usize) -> Option<&Value> {
        self.elements().get(index).map(|child| &child.value)
    }

    /// The elements of a list; none of anything else.
    pub(super) fn elements(&self) -> &[Child] {
        if let Content::List(elements) = &self.content { elements } else { &[] }
    }

    /// The members of an object; none of anything else.
    pub(super) fn members(&self) -> &[Child] {
        if let Content::Object(members) = &self.content { members } else { &[] }
    }

    /// The characters of a string.
    pub(super) fn as_text(&self) -> Option<&str> {
        if let Content::Text(text) = &self.content { Some(text) } else { None }
    }

    pub(super) fn is_container(&self) -> bool {
        matches!(self.content, Content::List(_) | Content::Object(_))
    }
}

fn scalar(start: usize, end: usize, content: Content) -> Value {
    Value { start, end, content }
}

fn decode(quoted: &[u8]) -> Result<String, Refusal> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    String::from_utf8(unescape(inner).into_owned()).map_err(|_| Refusal::InvalidUtf8)
}

/// One step of a path, as the automaton takes it. What needs the whole record selects nothing;
/// no policy has such a path where records are.
fn step<'v>(value: &'v Value, segment: &Segment, found: &mut Vec<&'v Value>) {
    for child in value.members() {
        let selects = |selector: &Selector| match selector {
            Selector::Name(name) => *name == child.name,
            Selector::Wildcard => true,
            Selector::Index(_) | Selector::Slice { .. } | Selector::Held => false,
        };
        visit(child, segment, &selects, found);
    }
    for (index, child) in value.elements().iter().enumerate() {
        let selects = |selector: &Selector| match selector {
            Selector::Wildcard => true,
            Selector::Index(wanted) => *wanted == index as u64,
            Selector::Slice { start, end, step } => {
                let index = index as u64;
                index >= *start
                    && end.is_none_or(|end| index < end)
                    && (index - start).is_multiple_of(*step)
            }
            Selector::Name(_) | Selector::Held => false,
        };
        visit(child, segment, &selects, found);
    }
}

fn visit<'v>(
    child: &'v Child,
    segment: &Segment,
    selects: &dyn Fn(&Selector) -> bool,
    found: &mut Vec<&'v Value>,
) {
    if segment.selectors.iter().any(selects) {
        found.push(&child.value);
    }
    if segment.descendant {
        step(&child.value, segment, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, expect: &[&str]) {
        let tree = Tree::parse(text.as_bytes()).unwrap();
        let found = tree.select(&FieldPath::parse(path).unwrap());
        let found: Vec<_> =
            found.iter().map(|value| std::str::from_utf8(tree.raw(value)).unwrap()).collect();
        assert_eq!(found, expect, "{text} {path}");
    }

    #[test]
    fn paths_select_values() {
        check(r#" {"a":1} "#, "$", &[r#"{"a":1}"#]);
        check(r#"{"lead":{"a":1}}"#, "$.lead", &[r#"{"a":1}"#]);
        check(r#"{"a":[{"x":1},{"x":2}]}"#, "$.a[*]", &[r#"{"x":1}"#, r#"{"x":2}"#]);
        check("[1,2,3,4]", "$[1:4:2]", &["2", "4"]);
        check("[1,2]", "$[1]", &["2"]);
        check(r#"{"a":{"x":1,"b":[{"x":2}]}}"#, "$..x", &["1", "2"]);
        check(r#"{"\u0061":7}"#, "$.a", &["7"]);
        check("7", "$.a", &[]);
    }

    #[test]
    fn a_document_has_one_reading_or_none() {
        let refusal = |text: &str| Tree::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refusal(r#"{"a":1,"\u0061":2}"#), Unreadable::RepeatedName);
        assert_eq!(refusal("{"), Unreadable::Json(Refusal::Truncated));
        assert_eq!(refusal("{}x"), Unreadable::Json(Refusal::InvalidJson));
    }
}
