//! CSV (RFC 4180) that a spreadsheet may open: no cell of somebody's data is a formula in it.
//!
//! Pure but for the writer that it is given.

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::condition::Value;

/// What a cell begins with that spreadsheets compute, wide forms and what they skip included.
const BEGINS_A_FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// What ends a cell for somebody: many a spreadsheet takes `;` or a tab for the comma, and would find
/// a cell of its own behind it.
const ENDS_A_CELL: [char; 6] = ['"', ',', ';', '\t', '\r', '\n'];

/// The columns in order: the id first, then by name.
pub(super) fn columns(names: &BTreeSet<String>) -> Vec<&str> {
    let id = names.iter().filter(|name| *name == "id");
    id.chain(names.iter().filter(|name| *name != "id")).map(String::as_str).collect()
}

pub(super) fn head(columns: &[&str], out: &mut impl Write) -> io::Result<()> {
    line(columns.iter().map(|name| text(name)), out)
}

pub(super) fn row(columns: &[&str], record: &Value<'_>, out: &mut impl Write) -> io::Result<()> {
    line(columns.iter().map(|name| record.member(name).map_or_else(String::new, cell)), out)
}

fn line(cells: impl Iterator<Item = String>, out: &mut impl Write) -> io::Result<()> {
    for (at, cell) in cells.enumerate() {
        out.write_all(if at == 0 { b"" } else { b"," })?;
        out.write_all(cell.as_bytes())?;
    }
    out.write_all(b"\r\n")
}

fn cell(value: &Value<'_>) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Text(value) => text(value),
        Value::List(_) | Value::Object(_) => text(&value.to_string()),
    }
}

fn text(value: &str) -> String {
    let first = value.trim_start_matches([' ', '\u{a0}']).chars().next();
    let is_formula = first.is_some_and(|first| BEGINS_A_FORMULA.contains(&first));
    let value = if is_formula { format!("'{value}") } else { value.to_owned() };
    if value.contains(ENDS_A_CELL) || value.trim() != value {
        return format!("\"{}\"", value.replace('"', "\"\""));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expect: &str) {
        assert_eq!(cell(&Value::parse(value).unwrap()), expect, "{value}");
    }

    #[test]
    fn cells() {
        check("null", "");
        check("true", "true");
        check("-1.10", "-1.10");
        check("\"plain\"", "plain");
        check("\"a,b\"", "\"a,b\"");
        check("\"say \\\"hi\\\"\"", "\"say \"\"hi\"\"\"");
        check("\"a;=1\"", "\"a;=1\"");
        check("\"a\\t=1\"", "\"a\t=1\"");
        check("\"a\\nb\"", "\"a\nb\"");
        check("\" a\"", "\" a\"");
        check("[1,\"a\"]", "\"[1,\"\"a\"\"]\"");
        check("{\"a\":1}", "\"{\"\"a\"\":1}\"");
    }

    #[test]
    fn no_text_is_a_formula() {
        check("\"=1+1\"", "'=1+1");
        check("\"+1\"", "'+1");
        check("\"-1\"", "'-1");
        check("\"@SUM(A1)\"", "'@SUM(A1)");
        check("\"\\t=1\"", "\"'\t=1\"");
        check("\"  =1\"", "'  =1");
        for wide in ['\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'] {
            check(&format!("\"{wide}1\""), &format!("'{wide}1"));
        }
        check("\"=HYPERLINK(\\\"x\\\",\\\"y\\\")\"", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
        check("\"\\r=1\"", "\"'\r=1\"");
    }

    #[test]
    fn the_id_comes_first() {
        let names = ["b", "a", "id"].map(ToOwned::to_owned).into();
        assert_eq!(columns(&names), ["id", "a", "b"]);
    }
}
