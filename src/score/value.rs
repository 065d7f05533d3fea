//! What one JSON value says, read from its text as the record has it.
//!
//! The texts come out of the tokenizer, so they are valid; what is not is taken for nothing.

use std::borrow::Cow;

use crate::json::text::unescape;

/// A value by its kind, without a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    /// `null`, or no JSON at all.
    Null,
    Bool(bool),
    /// The digits as written.
    Number(&'a str),
    /// The characters, unescaped.
    Text(Cow<'a, [u8]>),
    /// A list or an object, and whether there is anything in it.
    Container {
        is_empty: bool,
    },
}

impl<'a> Raw<'a> {
    pub(super) fn read(text: &'a [u8]) -> Self {
        let text = text.trim_ascii();
        match text.first() {
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => {
                let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
                Self::Text(unescape(inner))
            }
            Some(b'-' | b'0'..=b'9') => std::str::from_utf8(text).map_or(Self::Null, Self::Number),
            Some(b'[' | b'{') => {
                let behind = text.get(1..).unwrap_or_default().trim_ascii_start();
                Self::Container { is_empty: matches!(behind, [] | [b']' | b'}', ..]) }
            }
            Some(_) | None => Self::Null,
        }
    }

    /// Present and not `null`, `""`, `0`, `false`, `[]` or `{}`.
    pub(super) fn is_filled(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) | Self::Container { is_empty: true } => false,
            Self::Bool(true) | Self::Container { is_empty: false } => true,
            Self::Number(digits) => !is_zero(digits),
            Self::Text(text) => !text.is_empty(),
        }
    }

    /// As [`is_filled`](Self::is_filled), for money: many CRMs write decimals as strings, so
    /// `"0.00"` is no more filled than `0.00`.
    pub(super) fn is_filled_money(&self) -> bool {
        let is_zero_text = matches!(self, Self::Text(text)
            if std::str::from_utf8(text).is_ok_and(|text| is_number(text.trim()) && is_zero(text.trim())));
        self.is_filled() && !is_zero_text
    }

    /// A count, as a number or as the digits of a string. A fraction of an activity is none.
    pub(super) fn count(&self) -> Option<u32> {
        let digits = match self {
            Self::Number(digits) => digits,
            Self::Text(text) => std::str::from_utf8(text).ok()?.trim(),
            Self::Null | Self::Bool(_) | Self::Container { .. } => return None,
        };
        let whole = digits.split_once('.').map_or(digits, |(whole, rest)| {
            if is_zero(rest) && !rest.is_empty() { whole } else { digits }
        });
        match whole.parse::<u64>() {
            Ok(count) => Some(u32::try_from(count).unwrap_or(u32::MAX)),
            Err(_) => None,
        }
    }
}

/// Whether a number is nought however it is written: `-0`, `0.00`, `0e9`.
fn is_zero(digits: &str) -> bool {
    digits
        .bytes()
        .take_while(|byte| !matches!(byte, b'e' | b'E'))
        .all(|byte| !matches!(byte, b'1'..=b'9'))
}

/// Whether all of a text is a plain decimal.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.matches('.').count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, filled: bool, filled_money: bool) {
        let raw = Raw::read(text.as_bytes());
        assert_eq!((raw.is_filled(), raw.is_filled_money()), (filled, filled_money), "{text}");
    }

    #[test]
    fn what_is_filled() {
        for text in [
            "null", "\"\"", "0", "-0", "0.00", "0e9", "0E-2", "false", "[]", "{}", "[ ]", "{\n}",
            " 0 ", "",
        ] {
            check(text, false, false);
        }
        for text in [
            "true",
            "\"x\"",
            "\" \"",
            "1",
            "-1",
            "0.01",
            "1e-9",
            "[0]",
            "{\"a\":null}",
            "\"false\"",
            "\"1e3\"",
            "\"0 EUR\"",
            "\".\"",
            "\"-\"",
            "\"1.2.0\"",
        ] {
            check(text, true, true);
        }
        for text in ["\"0\"", "\"0.00\"", "\" 0.0 \"", "\"-0\"", "\"+0\"", "\"\\u0030\""] {
            check(text, true, false);
        }
    }

    #[test]
    fn counts() {
        let expect = [
            ("7", Some(7)),
            ("0", Some(0)),
            ("7.0", Some(7)),
            ("\"7\"", Some(7)),
            ("\" 12 \"", Some(12)),
            ("99999999999", Some(u32::MAX)),
            ("-1", None),
            ("7.5", None),
            ("1e2", None),
            ("7.", None),
            ("\"\"", None),
            ("\"many\"", None),
            ("true", None),
            ("null", None),
            ("[1]", None),
            ("\"\u{ff17}\"", None),
        ];
        for (text, count) in expect {
            assert_eq!(Raw::read(text.as_bytes()).count(), count, "{text}");
        }
    }
}
