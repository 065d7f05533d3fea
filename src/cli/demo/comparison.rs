//! The same record as several roles got it, side by side, with what changed made visible. Pure.

use std::fmt::Write as _;

use anstyle::Style;

use super::super::terminal::{BAD, NOTABLE, QUIET};
use crate::demo::crm::Value;

/// What became of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// As the CRM has it.
    Shown,
    /// Another value stands in its place.
    Masked,
    /// The member is gone.
    Hidden,
}

/// A field of a lead, and how it must look by the shipped policies.
pub(super) struct Field {
    pub(super) path: &'static str,
    /// For `sales_rep` and for `marketing`.
    pub(super) promised: [Look; 2],
}

use Look::{Hidden, Masked, Shown};

/// The fields that the tour shows.
pub(super) const FIELDS: [Field; 7] = [
    Field { path: "email", promised: [Masked, Masked] },
    Field { path: "phone", promised: [Masked, Hidden] },
    Field { path: "ssn", promised: [Hidden, Hidden] },
    Field { path: "internal_notes", promised: [Hidden, Hidden] },
    Field { path: "owner.email", promised: [Masked, Masked] },
    Field { path: "annual_revenue", promised: [Shown, Masked] },
    Field { path: "external_id", promised: [Shown, Masked] },
];

/// The value at a dotted path.
pub(super) fn value_at<'v>(record: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(record, Value::get)
}

/// How the field at `path` looks to somebody who got `seen` of `original`.
pub(super) fn look(original: &Value, seen: &Value, path: &str) -> Look {
    match value_at(seen, path) {
        None => Hidden,
        here if here == value_at(original, path) => Shown,
        Some(_) => Masked,
    }
}

/// The JSON text of the value at `path`, without its quotes: what must not be found elsewhere.
pub(super) fn needle(record: &Value, path: &str) -> Option<String> {
    let text = value_at(record, path)?.to_string();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Some(inner.unwrap_or(&text).to_owned())
}

/// The table: a row for each field, `admin` and then the two others, at most `width` columns wide.
pub(super) fn table(original: &Value, seen: [&Value; 2], width: usize) -> Vec<String> {
    /// Names, four gaps, and a mark in front of the two last cells.
    const FIXED: usize = 14 + 3 + 2 * 2;
    let cell = (width.saturating_sub(FIXED) / 3).clamp(8, 30);
    let heading = format!(
        "{QUIET}{:<14} {:<cell$}   {:<cell$}   marketing{QUIET:#}",
        "field", "admin", "sales_rep"
    );
    let mut lines = vec![heading];
    for Field { path, .. } in &FIELDS {
        let mut line = format!("{path:<14} {}", fitted(value_at(original, path), cell));
        for (column, seen) in seen.into_iter().enumerate() {
            let (mark, style, text) = match look(original, seen, path) {
                Shown => (' ', Style::new(), fitted(value_at(seen, path), cell)),
                Masked => ('~', NOTABLE, fitted(value_at(seen, path), cell)),
                Hidden => ('-', BAD, format!("{:<cell$}", "hidden")),
            };
            let text = if column == 0 { text.as_str() } else { text.trim_end() };
            // Writing to a `String` cannot fail.
            let _ = write!(line, " {style}{mark} {text}{style:#}");
        }
        lines.push(line);
    }
    lines.push(format!("{QUIET}~ masked   - hidden: the member is not in the answer{QUIET:#}"));
    lines
}

/// A value in exactly `cell` columns.
fn fitted(value: Option<&Value>, cell: usize) -> String {
    let text = value.map_or(String::new(), |value| {
        value.as_text().map_or_else(|| value.to_string(), str::to_owned)
    });
    let mut shown: Vec<char> =
        text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    if shown.len() > cell {
        shown.truncate(cell.saturating_sub(1));
        shown.push('…');
    }
    let shown: String = shown.into_iter().collect();
    format!("{shown:<cell$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::parse(text.as_bytes()).unwrap()
    }

    fn original() -> Value {
        value(
            r#"{"email":"zoe.okafor1@example.com","phone":"+1-200","ssn":"901-01-1037",
            "internal_notes":"two\nlines","owner":{"email":"x@example.org"},
            "annual_revenue":101371.10,"external_id":9007199254740993}"#,
        )
    }

    #[track_caller]
    fn check_look(seen: &str, path: &str, expect: Look) {
        assert_eq!(look(&original(), &value(seen), path), expect);
    }

    #[test]
    fn what_became_of_a_field() {
        check_look(r#"{"annual_revenue":101371.10}"#, "annual_revenue", Shown);
        check_look(r#"{"annual_revenue":101371.1}"#, "annual_revenue", Masked);
        check_look(r#"{"annual_revenue":null}"#, "annual_revenue", Masked);
        check_look("{}", "annual_revenue", Hidden);
        check_look(r#"{"owner":{"email":"x*@example.org"}}"#, "owner.email", Masked);
        check_look(r#"{"owner":null}"#, "owner.email", Hidden);
        check_look("[]", "owner.email", Hidden);
    }

    #[test]
    fn needles_are_the_text_as_it_would_leak() {
        assert_eq!(needle(&original(), "internal_notes").as_deref(), Some(r"two\nlines"));
        assert_eq!(needle(&original(), "annual_revenue").as_deref(), Some("101371.10"));
        assert_eq!(needle(&original(), "none"), None);
    }

    #[test]
    fn the_table_fits_into_a_narrow_terminal_and_marks_every_change() {
        let sales_rep = value(
            r#"{"email":"zo*********@example.com","phone":"****-200",
            "owner":{"email":"x*@example.org"},"annual_revenue":101371.10,
            "external_id":9007199254740993}"#,
        );
        let marketing = value(r#"{"email":"zo*********@example.com","annual_revenue":null}"#);
        let lines = table(&original(), [&sales_rep, &marketing], 78);
        let plain: String = lines
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string().trim_end().to_owned() + "\n")
            .collect();
        assert!(plain.lines().all(|line| line.chars().count() <= 78), "{plain}");
        insta::assert_snapshot!(plain);
    }
}
