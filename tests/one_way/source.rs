//! Rust source as text: without comments, strings and tests, and which paths it names.
//!
//! No parser, and not meant to be one: it knows as much of Rust as formatted sources need.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// One source file as far as it is built outside of tests.
pub(super) struct Source {
    /// Below `src/`.
    pub(super) path: PathBuf,
    pub(super) room: String,
    /// Modules between the crate's root and this file's items.
    depth: usize,
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: PathBuf, text: &str) -> Self {
        let module = path.with_extension("");
        let mut parts = module.iter().map(|part| part.to_str().unwrap());
        let room = parts.next().unwrap().to_owned();
        Self { room, depth: 1 + parts.count(), code: without_tests(&code_only(text)), path }
    }

    pub(super) fn rooms_named(&self) -> BTreeSet<String> {
        let root = if self.room == "main" { "fieldgate" } else { "crate" };
        let mut named: BTreeSet<String> = paths_from(&self.code, root).into_iter().collect();
        // As many `super` as there are modules lead to the root; more stand in inner modules.
        let mut code = self.code.as_str();
        while let Some((_, behind)) = code.split_once("super::") {
            let mut length = 1;
            code = behind;
            while let Some(behind) = code.trim_start().strip_prefix("super::") {
                length += 1;
                code = behind;
            }
            if length >= self.depth {
                named.extend(names_behind(&format!("::{code}")));
            }
        }
        named.retain(|name| name != "self" && *name != self.room && name != "super");
        named
    }
}

/// The names that follow `root::`, those of a group `root::{a, b::c}` included.
pub(super) fn paths_from(code: &str, root: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (start, _) in code.match_indices(root) {
        let is_whole = !code[..start].ends_with(is_name_character);
        if is_whole {
            names.extend(names_behind(&code[start + root.len()..]));
        }
    }
    names
}

/// Whether `name::` or `use name` stands there.
pub(super) fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(start, _)| {
        let (before, behind) = (&code[..start], &code[start + name.len()..]);
        let is_whole =
            !before.ends_with(is_name_character) && !behind.starts_with(is_name_character);
        is_whole && (behind.trim_start().starts_with("::") || words(before).last() == Some("use"))
    })
}

/// Reads `:: name` or `:: { name, ... }` at the start of `code`.
fn names_behind(code: &str) -> Vec<String> {
    let Some(rest) = code.trim_start().strip_prefix("::") else { return Vec::new() };
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        return words(rest).next().map(str::to_owned).into_iter().collect();
    };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut item = String::new();
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(words(&item).next().map(str::to_owned));
                item.clear();
                if character == '}' {
                    break;
                }
            }
            other if depth == 0 => item.push(other),
            _ => {}
        }
    }
    names
}

pub(super) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character| !is_name_character(character)).filter(|word| !word.is_empty())
}

fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// `text` with a space for every comment, string and character literal.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_inside_name = code.ends_with(is_name_character);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            // Else it is a lifetime, of which the quote alone is passed over.
            character_literal(rest).unwrap_or(1)
        } else if first == 'r' && !is_inside_name && raw_string(rest).is_some() {
            raw_string(rest).unwrap()
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[length..];
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            let Some(character) = rest.chars().next() else { return at };
            at += character.len_utf8();
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Length of a literal that starts and ends with `quote`.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if character == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    text.len()
}

fn character_literal(text: &str) -> Option<usize> {
    let mut characters = text.chars().skip(1);
    let (first, second) = (characters.next()?, characters.next()?);
    (first == '\\' || second == '\'').then(|| quoted(text, '\''))
}

fn raw_string(text: &str) -> Option<usize> {
    let marks = text[1..].find(|character| character != '#')?;
    let body = text[1 + marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    Some(2 + marks + body.find(&end)? + end.len())
}

/// `code` without the items that are built for tests only.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, item)) = rest.split_once(MARK) {
        kept.push_str(before);
        rest = &item[item_length(item)..];
    }
    kept + rest
}

/// Length of an item: to its closing brace, or to a semicolon outside of all braces.
fn item_length(item: &str) -> usize {
    let mut depth = 0;
    for (at, character) in item.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(character, '}' | ';') {
            return at + 1;
        }
    }
    item.len()
}
