//! JSON values as bytes: their kind, and strings read and written.
//!
//! The filter has validated what comes here. Strings are checked once more, because they are
//! decoded; numbers and containers are only ever taken whole.

use std::borrow::Cow;

use super::MaskError;

/// What a value is, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Container,
}

/// The kind of the value whose text is `raw`.
pub(super) fn kind_of(raw: &[u8]) -> Result<Kind, MaskError> {
    match raw {
        b"null" => Ok(Kind::Null),
        b"true" | b"false" => Ok(Kind::Bool),
        [b'"', ..] => Ok(Kind::Text),
        [b'-' | b'0'..=b'9', ..] => Ok(Kind::Number),
        [b'{' | b'[', ..] => Ok(Kind::Container),
        _ => Err(MaskError::NotJson),
    }
}

/// One spelling for each value of a string: escapes only where JSON demands them. Everything else
/// is its own text.
pub(super) fn canonical(raw: &[u8]) -> Result<Cow<'_, [u8]>, MaskError> {
    if kind_of(raw)? != Kind::Text {
        return Ok(Cow::Borrowed(raw));
    }
    Ok(match decode(raw)? {
        Cow::Borrowed(_) => Cow::Borrowed(raw),
        Cow::Owned(text) => {
            let mut written = Vec::with_capacity(raw.len());
            push_string(&text, &mut written);
            Cow::Owned(written)
        }
    })
}

/// The characters that a JSON string means.
pub(super) fn decode(raw: &[u8]) -> Result<Cow<'_, str>, MaskError> {
    let [b'"', inner @ .., b'"'] = raw else { return Err(MaskError::NotJson) };
    let mut rest = simdutf8::basic::from_utf8(inner).map_err(|_| MaskError::NotJson)?;
    if !inner.iter().any(|byte| needs_escape(*byte)) {
        return Ok(Cow::Borrowed(rest));
    }
    let mut decoded = String::new();
    while let Some((plain, escape)) = rest.split_once('\\') {
        decoded.push_str(unescaped(plain)?);
        let (character, behind) = read_escape(escape).ok_or(MaskError::NotJson)?;
        decoded.push(character);
        rest = behind;
    }
    let last = unescaped(rest)?;
    if decoded.is_empty() {
        return Ok(Cow::Borrowed(last));
    }
    decoded.push_str(last);
    Ok(Cow::Owned(decoded))
}

/// `text`, unless it holds what only an escape may stand for.
fn unescaped(text: &str) -> Result<&str, MaskError> {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"') {
        return Err(MaskError::NotJson);
    }
    Ok(text)
}

/// The character of the escape that begins behind a backslash, and what follows it.
fn read_escape(escape: &str) -> Option<(char, &str)> {
    let mut characters = escape.chars();
    let character = match characters.next()? {
        plain @ ('"' | '\\' | '/') => plain,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return read_code_units(characters.as_str()),
        _ => return None,
    };
    Some((character, characters.as_str()))
}

/// One UTF-16 code unit, or two that are a surrogate pair. A lone surrogate is no character.
fn read_code_units(text: &str) -> Option<(char, &str)> {
    let (first, rest) = read_hex(text)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, rest));
    }
    let (second, rest) = read_hex(rest.strip_prefix("\\u")?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((character, rest))
}

fn read_hex(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

/// Appends `text` as a JSON string, quotes included.
pub(super) fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    push_escaped(text, out);
    out.push(b'"');
}

/// Appends `text` as it stands between the quotes of a JSON string.
pub(super) fn push_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or_default();
        out.extend_from_slice(plain);
        let Some((byte, behind)) = special.split_first() else { return };
        push_escape(*byte, out);
        rest = behind;
    }
    out.extend_from_slice(rest);
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x8 => out.extend_from_slice(b"\\b"),
        0xc => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([byte >> 4, byte & 0xf].iter().filter_map(|at| HEX.get(usize::from(*at))));
        }
    }
}

/// Appends one character as it stands between the quotes of a JSON string.
pub(super) fn push_character(character: char, out: &mut Vec<u8>) {
    match u8::try_from(character) {
        // What stands in most texts, and is masked character by character.
        Ok(byte) if byte.is_ascii() && !needs_escape(byte) => out.push(byte),
        Ok(_) | Err(_) => push_escaped(character.encode_utf8(&mut [0; 4]), out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_canonical(raw: &str, expect: Result<&str, MaskError>) {
        let written = canonical(raw.as_bytes()).map(|text| String::from_utf8(text.into()).unwrap());
        assert_eq!(written.as_deref().map_err(|error| *error), expect);
    }

    #[test]
    fn strings_have_one_spelling() {
        check_canonical(r#""é""#, Ok(r#""é""#));
        check_canonical(r#""\u00e9\/\u0041""#, Ok(r#""é/A""#));
        check_canonical(r#""\ud83d\ude00""#, Ok(r#""😀""#));
        check_canonical(r#""a\"\\\b\f\n\r\t\u0001""#, Ok(r#""a\"\\\b\f\n\r\t\u0001""#));
        check_canonical(r#""\u000A\u001F""#, Ok(r#""\n\u001f""#));
    }

    #[test]
    fn other_values_keep_their_text() {
        for raw in ["1.10", "-1e400", "true", "null", r#"{"a":["\u0041"]}"#, "[]"] {
            check_canonical(raw, Ok(raw));
        }
    }

    #[test]
    fn what_is_no_json_string_is_refused() {
        for raw in [
            "",
            "\"",
            "\"\\\"",
            "\"a\"b\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\ud83d\\u0041\"",
            "\"\\ud83dx\"",
            "\"\n\"",
            "nul",
            "True",
            " 1",
            "*",
        ] {
            check_canonical(raw, Err(MaskError::NotJson));
        }
        assert_eq!(decode(b"\"\xff\""), Err(MaskError::NotJson));
    }

    proptest! {
        #[test]
        fn strings_are_read_as_serde_json_reads_them(inner in r#"([ -~é😀]|\\["\\/bfnrtu]|\\u[dD][89a-fA-F][0-9a-f]{2}|\\u00[0-9a-f]{2}|[\x00-\x1f]){0,12}"#) {
            let raw = format!("\"{inner}\"");
            let theirs = serde_json::from_str::<String>(&raw).ok();
            prop_assert_eq!(decode(raw.as_bytes()).ok().map(Cow::into_owned), theirs);
        }

        #[test]
        fn what_is_written_is_read_back(text in any::<String>()) {
            let mut written = Vec::new();
            push_string(&text, &mut written);
            prop_assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
        }
    }
}
