//! YAML syntax errors in words that somebody who edits a file can act on.

use serde_saphyr::granit_parser::ErrorKind;

use crate::diagnostic::{Finding, Span};

/// The finding for a syntax error. `open` names the bracket that was open there, as in
/// `` `[` on line 3 ``.
pub(super) fn explain(kind: &ErrorKind, open: Option<&str>) -> Finding {
    let (message, help) = words(kind);
    let finding = Finding::error("yaml::syntax", message);
    match (open, help) {
        (Some(open), _) if closes_late(kind) => {
            finding.help(format!("the {open} is still open here; close it, or quote the value"))
        }
        (_, "") => finding,
        (_, help) => finding.help(help),
    }
}

/// The errors that an unclosed bracket further up leads to.
fn closes_late(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidColonPlacement
            | ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::ExpectedFlowSequenceSeparator
            | ErrorKind::BlockEntryInFlowCollection
            | ErrorKind::MismatchedFlowCollectionEnd { .. }
            | ErrorKind::MappingValueNotAllowed
            | ErrorKind::SimpleKeyExpected
            | ErrorKind::InvalidSimpleKey
    )
}

fn words(kind: &ErrorKind) -> (String, &'static str) {
    let (message, help) = match kind {
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            return (
                format!("the control character `{}` cannot stand here", character.escape_default()),
                "remove it",
            );
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return (
                format!("a value cannot start with `{character}`"),
                "put quotes around the value",
            );
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("this `{open}` is never closed"), "");
        }
        ErrorKind::MappingValueNotAllowed => (
            "a `:` cannot stand here",
            "start the line in the column of its neighbours, or quote a text that holds `: `",
        ),
        ErrorKind::InvalidColonPlacement => ("a `:` cannot stand here", ""),
        ErrorKind::ExpectedFlowMappingSeparator => ("`,` or `}` is missing before this", ""),
        ErrorKind::ExpectedFlowSequenceSeparator => ("`,` or `]` is missing before this", ""),
        ErrorKind::ExpectedBlockMappingKey => (
            "a key is expected here",
            "start all keys of a mapping in one column, and quote a value that begins with `[` or `{`",
        ),
        ErrorKind::ExpectedBlockSequenceEntry => {
            ("`- ` is expected here", "start all items of a list in one column")
        }
        ErrorKind::BlockSequenceEntryNotAllowed => (
            "a list cannot start here",
            "start it on a line of its own, or write it as `[a, b]`; a lone `-` needs quotes",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a `:` is missing behind this key", "")
        }
        ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed => ("a tab cannot indent", "indent with spaces"),
        ErrorKind::UnclosedQuotedScalar => ("this quote is never closed", ""),
        ErrorKind::InvalidQuotedScalarIndent => {
            ("a quoted text runs on to here", "close the quote on the lines above")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar => (
            "nothing may follow a closing quote",
            "quote the whole value; inside single quotes write `'` as `''`",
        ),
        ErrorKind::InvalidTrailingDoubleQuotedScalar => (
            "nothing may follow a closing quote",
            "quote the whole value; inside double quotes write `\"` as `\\\"`",
        ),
        ErrorKind::UnknownQuotedScalarEscape => (
            "this text holds an unknown escape",
            "inside double quotes write `\\` as `\\\\`, or use single quotes",
        ),
        ErrorKind::UnknownAnchor => (
            "no anchor of this name stands above",
            "mark the value to repeat with `&name`; a text that starts with `*` needs quotes",
        ),
        ErrorKind::MisplacedFlowCollectionEnd => ("this bracket closes nothing", ""),
        ErrorKind::RecursionLimitExceeded => {
            ("too many lists and mappings stand one in another", "")
        }
        other => return (other.to_string().to_lowercase(), ""),
    };
    (message.to_owned(), help)
}

/// A place for the byte offset of an error that can be underlined: the character there, or the
/// last one before it where a line or the file ends.
pub(super) fn visible(text: &str, offset: usize) -> Span {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    if let Some(character) = after.chars().next().filter(|character| !character.is_whitespace()) {
        return Span::new(before.len(), character.len_utf8());
    }
    let shown = before.trim_end();
    let last = shown.chars().next_back().map_or(0, char::len_utf8);
    Span::new(shown.len() - last, last)
}
