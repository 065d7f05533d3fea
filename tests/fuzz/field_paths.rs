//! Field paths and held expressions: parsed, compiled, and held against an evaluation on a tree.

use std::collections::HashSet;

use fieldgate::json::path::FieldPath;
use fieldgate::policy::Mode;
use fieldgate::policy::plan::Purpose;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

use super::plans::{filter, plan};

/// Long paths make the evaluation on the tree slow, not the finds better.
const LONGEST_PATH: usize = 80;
const LONGEST_DOCUMENT: usize = 1024;

const DOCUMENT: &str = r#"{"a":[{"b":1,"c":[1,2,3]},{"b":2},"x",[[{"b":[0]}]]],"b":{"a":{"c":null,
    "a":[]},"c":[true,{"a":1,"c":{"b":"\u0062"}}]},"c":{},"":7,"a b":"é","\u0061.b":[[]]}"#;

/// A path over a fixed document.
pub fn field_paths(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(path) = parse(text) else { return };
    check(path, DOCUMENT);
}

/// First line: a path that needs a whole record. The rest: the record.
pub fn held_expressions(bytes: &[u8]) {
    let Some((text, document)) = std::str::from_utf8(bytes).ok().and_then(|t| t.split_once('\n'))
    else {
        return;
    };
    let Some(path) = parse(text).filter(FieldPath::needs_whole_record) else { return };
    if document.len() <= LONGEST_DOCUMENT {
        check(path, document);
    }
}

fn parse(text: &str) -> Option<FieldPath> {
    if text.len() > LONGEST_PATH {
        return None;
    }
    let path = FieldPath::parse(text).ok()?;
    assert_eq!(path.to_string(), text);
    assert_eq!(FieldPath::parse(path.as_str()), Ok(path.clone()));
    Some(path)
}

fn check(path: FieldPath, document: &str) {
    let text = path.as_str().to_owned();
    let is_held = path.needs_whole_record();
    let Some(plan) = plan("$", Mode::View, vec![(path, Mode::Hidden)], Purpose::Read) else {
        return;
    };
    let document = document.as_bytes();
    let (whole, end) = filter(&plan, [document]);
    let (pieces, other) = filter(&plan, document.chunks(1));
    if end.is_ok() || other.is_ok() {
        assert_eq!((&whole, &end), (&pieces, &other), "the chunking makes a difference");
    }
    if is_held && (has_fraction(&text) || has_fraction(&String::from_utf8_lossy(document))) {
        // `serde_json` compares 1 and 1.0 by how they are written, Fieldgate by what they are.
        return;
    }
    let Ok(tree) = serde_json::from_slice::<Value>(document) else { return };
    if end.is_err() {
        return;
    }
    let gone = selected(&tree, &text);
    let expected = without(&tree, &gone).unwrap_or(Value::Null);
    assert_eq!(serde_json::from_slice::<Value>(&whole).ok(), Some(expected), "{text}");
}

/// Whether a number with a point or an exponent, or one beyond the safe integers, may stand there.
fn has_fraction(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(2).any(|pair| matches!(pair, [b'0'..=b'9', b'.' | b'e' | b'E']))
        || bytes.windows(16).any(|digits| digits.iter().all(u8::is_ascii_digit))
        || text.contains("-0")
}

/// The places that `path` selects, by their address in the tree.
fn selected(tree: &Value, path: &str) -> HashSet<*const Value> {
    let mut found = HashSet::new();
    if path.starts_with('$') {
        let query = parse_json_path(path).expect("it was parsed before");
        for place in js_path_process(&query, tree).unwrap_or_default() {
            found.insert(std::ptr::from_ref(place.val()));
        }
    } else {
        dotted(tree, &path.split('.').collect::<Vec<_>>(), &mut found);
    }
    found
}

fn dotted(value: &Value, names: &[&str], found: &mut HashSet<*const Value>) {
    let Some((name, rest)) = names.split_first() else {
        found.insert(std::ptr::from_ref(value));
        return;
    };
    match value {
        Value::Array(items) => items.iter().for_each(|item| dotted(item, names, found)),
        Value::Object(members) => {
            if let Some(value) = members.get(*name) {
                dotted(value, rest, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without(value: &Value, gone: &HashSet<*const Value>) -> Option<Value> {
    if gone.contains(&std::ptr::from_ref(value)) {
        return None;
    }
    Some(match value {
        Value::Array(items) => items.iter().filter_map(|item| without(item, gone)).collect(),
        Value::Object(members) => members
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), without(value, gone)?)))
            .collect(),
        scalar => scalar.clone(),
    })
}
