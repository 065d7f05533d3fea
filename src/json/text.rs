//! Strings of JSON texts: decoding and encoding.

use std::borrow::Cow;

/// The characters of a JSON string without its quotes. The text must have been validated; what
/// cannot be decoded comes out as U+FFFD rather than not at all.
#[must_use]
pub fn unescape(inner: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut decoded = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        decoded.extend_from_slice(plain);
        let (character, length) = escape_at(escape);
        decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escape.get(length..).unwrap_or_default();
    }
    decoded.extend_from_slice(rest);
    Cow::Owned(decoded)
}

/// The character that an escape at the start of `text` stands for, and the escape's length.
fn escape_at(text: &[u8]) -> (char, usize) {
    let character = match text.get(1) {
        Some(b'u') => {
            let first = unit_at(text, 0);
            let second = unit_at(text, 6);
            let units = first.into_iter().chain(second);
            return match char::decode_utf16(units).next() {
                Some(Ok(character)) => (character, 6 * character.len_utf16()),
                Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, 6),
            };
        }
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2)
}

/// The UTF-16 unit of a `\uXXXX` that begins at `at`.
fn unit_at(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Appends `text` as a JSON string with quotes.
pub fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if control < ' ' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(inner: &str, expect: &str) {
        assert_eq!(unescape(inner.as_bytes()), expect.as_bytes());
    }

    #[test]
    fn escapes() {
        check("plain é", "plain é");
        check(r"em\u0061il", "email");
        check(r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t");
        check(r"\ud83d\ude00!", "😀!");
        check(r"\u00e9\u00E9", "éé");
        check(r"\ud83dx", "\u{fffd}x");
    }

    proptest::proptest! {
        #[test]
        fn what_is_quoted_reads_back(text: String) {
            let mut quoted = Vec::new();
            quote(&text, &mut quoted);
            let read: String = serde_json::from_slice(&quoted).unwrap();
            proptest::prop_assert_eq!(&read, &text);
            let decoded = unescape(&quoted[1..quoted.len() - 1]).into_owned();
            proptest::prop_assert_eq!(decoded, text.into_bytes());
        }
    }
}
