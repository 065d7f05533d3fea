//! The words that all policy files share: modes, names, field paths; and where findings gather.

use crate::diagnostic::{Finding, Span, suggest};
use crate::json::path::{FieldPath, PathError};
use crate::policy::Mode;
use crate::policy::set::Origin;
use crate::yaml::{Checker, Fields, Key, Node, Value};

/// Longest field path, in bytes. The parser of `JSONPath` recurses, so its input is bounded.
const MAX_FIELD_PATH: usize = 256;

/// One policy file on its way from nodes to shapes.
pub(super) struct Reader {
    pub(super) checker: Checker,
}

impl Reader {
    pub(super) fn origin(&self, span: Span) -> Origin {
        Origin { source: std::sync::Arc::clone(self.checker.source()), span }
    }

    pub(super) fn report(&mut self, finding: Finding, span: Span) {
        self.checker.report(finding, span);
    }

    /// Takes the value of a key that may be left out, but not left empty: an empty `default:` is
    /// more likely forgotten than meant.
    pub(super) fn optional<'n>(
        &mut self,
        fields: &mut Fields<'n>,
        name: &'static str,
    ) -> Option<&'n Node> {
        let (key, node) = fields.take_entry(name)?;
        if matches!(node.value, Value::Null) {
            self.no_value(key);
            return None;
        }
        Some(node)
    }

    pub(super) fn no_value(&mut self, key: &Key) {
        let message = format!("`{}` has no value", key.name);
        let finding = Finding::error("policy::no_value", message)
            .label("nothing stands behind this key")
            .help("give it a value, or delete the key");
        self.report(finding, key.span);
    }

    /// One of a few fixed words.
    pub(super) fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.checker.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let finding =
                Finding::error("policy::unknown_word", format!("{what} cannot be `{text}`"))
                    .label("not a word that is known here")
                    .help(suggest(text, words.iter().map(|(word, _)| *word)));
            self.report(finding, node.span);
        }
        found
    }

    /// A mode. `key` is what the mode is for; a missing value is shown there.
    pub(super) fn mode(&mut self, key: &Key, node: &Node) -> Option<Mode> {
        let words = Mode::ALL.map(|(word, _)| word);
        let (message, help, span) = match &node.value {
            Value::Null => {
                self.no_value(key);
                return None;
            }
            Value::Text(text) => match Mode::from_word(text) {
                Some(mode) => return Some(mode),
                None => (format!("unknown mode `{text}`"), suggest(text, words), node.span),
            },
            other => (
                format!("the mode of `{}` is {}", key.name, other.kind()),
                format!("a mode is one of `{}`", words.join("`, `")),
                node.span,
            ),
        };
        let finding =
            Finding::error("policy::unknown_mode", message).label("not a mode").help(help);
        self.report(finding, span);
        None
    }

    /// A field path, relative to a record or to the whole answer.
    pub(super) fn field_path(&mut self, text: &str, span: Span) -> Option<FieldPath> {
        let path = if text.is_empty() {
            Err((
                "a field path is empty".to_owned(),
                "name a field of the record: `email`, `owner.email`, `\"$..email\"`".to_owned(),
            ))
        } else if text.len() > MAX_FIELD_PATH {
            Err((
                format!("a field path of more than {MAX_FIELD_PATH} bytes"),
                "name the field by a shorter path, such as `\"$..name\"`".to_owned(),
            ))
        } else {
            FieldPath::parse(text).map_err(|error| path_fault(text, &error))
        };
        match path {
            Ok(path) if path.segments().is_empty() => {
                let finding = Finding::error(
                    "policy::bad_path",
                    "`$` is the whole record, not a field",
                )
                .label("a path goes on from here")
                .help("use `default` for everything without an entry, or name a field: `$.email`");
                self.report(finding, span);
                None
            }
            Ok(path) => Some(path),
            Err((message, help)) => {
                let finding = Finding::error("policy::bad_path", message)
                    .label("not a field path")
                    .help(help);
                self.report(finding, span);
                None
            }
        }
    }
}

/// What is wrong with a path, and what to write instead.
fn path_fault(text: &str, error: &PathError) -> (String, String) {
    let message = format!("`{text}` is no field path: {error}");
    let help = match error {
        PathError::EmptyName => {
            "a dotted path is names with single dots between them (`owner.email`); for a field at any depth write `\"$..email\"`".to_owned()
        }
        PathError::NotDotted(_) => {
            "brackets, wildcards and quotes belong to JSONPath, which starts with `$`: `\"$.emails[*].value\"`, `\"$['e-mail@work']\"`".to_owned()
        }
        PathError::NotJsonPath => jsonpath_help(text),
        PathError::ZeroStep => "a slice is `[start:end:step]` with a step from 1: `\"$.tags[0:3]\"`".to_owned(),
    };
    (message, help)
}

fn jsonpath_help(text: &str) -> String {
    let behind = text.trim_start_matches('$');
    let count = |character| text.matches(character).count();
    let is_member_dashed =
        behind.contains('-') && !behind.contains(['[', '?']) && !behind.ends_with('.');
    if count('[') != count(']') {
        return "a `[` without its `]`; examples: `\"$.tags[0]\"`, `\"$.emails[*].value\"`"
            .to_owned();
    }
    if behind.starts_with(|first: char| first.is_alphanumeric() || first == '_') {
        return format!(
            "write `$.{behind}` for a field of the record, `$..{behind}` for any depth"
        );
    }
    if is_member_dashed {
        return "names with other characters than letters, digits and `_` go into brackets: `\"$['first-name']\"`, at any depth `\"$..['first-name']\"`".to_owned();
    }
    "RFC 9535 examples: `\"$.owner.email\"`, `\"$..email\"` (any depth), `\"$.emails[*].value\"`, `\"$.tags[0]\"`, `\"$['first name']\"`".to_owned()
}
