//! How texts, times and durations look in a log line.
//!
//! Pure. It refuses to let a text act on the terminal that shows it, or to look like a second line:
//! control characters and characters that turn the writing direction are always escaped.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// RFC 3339 with milliseconds. `moment` must be in UTC.
pub(super) fn timestamp(moment: OffsetDateTime) -> String {
    // Formatting into a string can only fail for components that the moment does not have.
    moment.format(TIMESTAMP).unwrap_or_default()
}

/// Milliseconds with three decimals.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// Appends `value` as one line of JSON.
pub(super) fn json_line(value: &impl Serialize, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut serializer = Serializer::with_formatter(&mut *out, SafeText);
    match value.serialize(&mut serializer) {
        Ok(()) => out.push(b'\n'),
        // A line that cannot be written whole is not written in part.
        Err(_) => out.truncate(begin),
    }
}

/// Appends `text` with every unsafe character escaped.
pub(super) fn safe_text(text: &str, out: &mut String) {
    for character in text.chars() {
        if is_unsafe(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Compact JSON that escapes what JSON itself would let through.
struct SafeText;

impl Formatter for SafeText {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        if !fragment.chars().any(is_unsafe) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut escaped = String::with_capacity(fragment.len() + 16);
        for character in fragment.chars() {
            if is_unsafe(character) {
                // All of them are below U+10000, so four digits are enough.
                write!(escaped, "\\u{:04x}", u32::from(character)).map_err(io::Error::other)?;
            } else {
                escaped.push(character);
            }
        }
        writer.write_all(escaped.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times() {
        assert_eq!(timestamp(datetime!(2026-01-02 03:04:05.006_9 UTC)), "2026-01-02T03:04:05.006Z");
        assert_eq!(timestamp(datetime!(2026-12-31 23:59:59 UTC)), "2026-12-31T23:59:59.000Z");
    }

    #[test]
    fn durations() {
        assert!((milliseconds(Duration::from_nanos(1_234_567)) - 1.235).abs() < 1e-9);
        assert!((milliseconds(Duration::from_secs(2)) - 2_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_terminal_is_not_at_the_mercy_of_a_text() {
        let mut out = Vec::new();
        json_line(&"a\u{1b}[2J\u{9b}1m\r\n\u{7f}\u{202e}é", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\"a\\u001b[2J\\u009b1m\\r\\n\\u007f\\u202eé\"\n");
        let mut out = String::new();
        safe_text("a\u{1b}\u{9b}\r\né", &mut out);
        assert_eq!(out, r"a\u{1b}\u{9b}\r\né");
    }

    proptest! {
        #[test]
        fn any_text_is_one_safe_line_that_reads_back(text: String) {
            let mut out = Vec::new();
            json_line(&text, &mut out);
            let line = String::from_utf8(out).unwrap();
            prop_assert!(!line.trim_end_matches('\n').chars().any(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text.clone());
            let mut plain = String::new();
            safe_text(&text, &mut plain);
            prop_assert!(!plain.chars().any(is_unsafe));
        }
    }
}
