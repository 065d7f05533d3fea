//! One canonical form of a request path: the form that is matched is the form that is forwarded.
//!
//! A proxy and the server behind it leak when they read one path in two ways. So whatever two
//! servers are known to read differently is refused here, and the rest is brought into one form:
//! percent-encoded unreserved characters are decoded, hex digits are upper case (RFC 3986, 6.2.2).
//! Case and a trailing slash stay as they came; the route table knows how to treat them.
//! Pure: no I/O, no clock, no logging. Refuses queries and fragments; they are not part of a path.

use std::fmt;

/// Longest path, in bytes as it came.
const MAX_PATH: usize = 8 * 1024;

/// A path in its one canonical form.
///
/// Invariant: starts with `/`; ASCII; valid percent triplets in upper case, none of them standing
/// for an unreserved character, a slash, a backslash, a semicolon or a control character; no empty
/// segment but the last; no segment of dots; valid UTF-8 when decoded.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CanonicalPath(String);

/// Why a path has no canonical form. Never carries the path: it may hold personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathRefusal {
    /// `*`, an absolute URI or nothing at all.
    #[error("the path does not start with `/`")]
    NotAbsolute,
    /// Over 8 KiB.
    #[error("the path is longer than 8 KiB")]
    TooLong,
    /// A `%` without two hex digits behind it.
    #[error("the path holds a broken percent-encoding")]
    BrokenEncoding,
    /// `%252e`: one server decodes it once, the next one twice.
    #[error("the path is percent-encoded twice")]
    DoubleEncoding,
    /// `%2F`.
    #[error("the path holds an encoded slash")]
    EncodedSlash,
    /// `\` or `%5C`; some servers take it for a slash.
    #[error("the path holds a backslash")]
    Backslash,
    /// A control character, raw or encoded.
    #[error("the path holds a control character")]
    Control,
    /// `;`, raw or encoded; some servers cut path parameters off before they match.
    #[error("the path holds `;`")]
    PathParameter,
    /// A byte that must be percent-encoded.
    #[error("the path holds bytes outside ASCII that are not percent-encoded")]
    NonAscii,
    /// Percent-encoded bytes that are not UTF-8, such as an overlong `%C0%AF`.
    #[error("the percent-encoded bytes of the path are not UTF-8")]
    NotUtf8,
    /// Any other character that RFC 3986 does not allow in a path.
    #[error("the path holds a character that must be percent-encoded")]
    BadCharacter,
    /// `//`.
    #[error("the path holds an empty segment (`//`)")]
    EmptySegment,
    /// `.`, `..` and what servers trim down to them.
    #[error("the path holds a segment of dots")]
    DotSegment,
}

impl PathRefusal {
    /// A short name for logs and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAbsolute => "not_absolute",
            Self::TooLong => "too_long",
            Self::BrokenEncoding => "broken_encoding",
            Self::DoubleEncoding => "double_encoding",
            Self::EncodedSlash => "encoded_slash",
            Self::Backslash => "backslash",
            Self::Control => "control",
            Self::PathParameter => "path_parameter",
            Self::NonAscii => "non_ascii",
            Self::NotUtf8 => "not_utf8",
            Self::BadCharacter => "bad_character",
            Self::EmptySegment => "empty_segment",
            Self::DotSegment => "dot_segment",
        }
    }
}

impl CanonicalPath {
    /// Reads the path of a request target as it came, without query.
    ///
    /// # Errors
    /// The first reason not to forward such a path.
    pub fn parse(raw: impl AsRef<[u8]>) -> Result<Self, PathRefusal> {
        let raw = raw.as_ref();
        if raw.len() > MAX_PATH {
            return Err(PathRefusal::TooLong);
        }
        if raw.first() != Some(&b'/') {
            return Err(PathRefusal::NotAbsolute);
        }
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = if byte == b'%' {
                push_triplet(&mut text, behind)?
            } else {
                text.push(allowed(byte)?);
                behind
            };
        }
        if percent_encoding::percent_decode_str(&text).decode_utf8().is_err() {
            return Err(PathRefusal::NotUtf8);
        }
        check_segments(&text)?;
        Ok(Self(text))
    }

    /// The path, ready to be matched and forwarded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The request target to forward: this path, and the query as the client wrote it.
    #[must_use]
    pub fn with_query(&self, query: Option<&str>) -> String {
        match query {
            Some(query) => format!("{}?{query}", self.0),
            None => self.0.clone(),
        }
    }
}

/// Paths carry ids and sometimes names, so `{:?}` in a log line must not print them.
impl fmt::Debug for CanonicalPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CanonicalPath({} bytes)", self.0.len())
    }
}

/// A raw byte as a character of the path.
fn allowed(byte: u8) -> Result<char, PathRefusal> {
    match byte {
        b'\\' => Err(PathRefusal::Backslash),
        b';' => Err(PathRefusal::PathParameter),
        0..=0x1f | 0x7f => Err(PathRefusal::Control),
        0x80.. => Err(PathRefusal::NonAscii),
        b'/' | b':' | b'@' | b'!' | b'$' | b'&'..=b',' | b'=' => Ok(char::from(byte)),
        _ if is_unreserved(byte) => Ok(char::from(byte)),
        _ => Err(PathRefusal::BadCharacter),
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Pushes what a triplet stands for and gives the bytes behind it. `rest` starts behind the `%`.
fn push_triplet<'a>(text: &mut String, rest: &'a [u8]) -> Result<&'a [u8], PathRefusal> {
    let Some((digits @ [high, low], behind)) = rest.split_first_chunk::<2>() else {
        return Err(PathRefusal::BrokenEncoding);
    };
    let byte = hex(*high)
        .zip(hex(*low))
        .map(|(high, low)| high << 4 | low)
        .ok_or(PathRefusal::BrokenEncoding)?;
    match byte {
        b'/' => return Err(PathRefusal::EncodedSlash),
        b'\\' => return Err(PathRefusal::Backslash),
        b';' => return Err(PathRefusal::PathParameter),
        0..=0x1f | 0x7f => return Err(PathRefusal::Control),
        b'%' if matches!(behind, [a, b, ..] if hex(*a).is_some() && hex(*b).is_some()) => {
            return Err(PathRefusal::DoubleEncoding);
        }
        _ if is_unreserved(byte) => text.push(char::from(byte)),
        _ => {
            text.push('%');
            text.extend(digits.iter().map(|digit| char::from(digit.to_ascii_uppercase())));
        }
    }
    Ok(behind)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn check_segments(text: &str) -> Result<(), PathRefusal> {
    if text.contains("//") {
        return Err(PathRefusal::EmptySegment);
    }
    // Some servers trim dots and spaces from the end of a segment, which makes `..%20` a `..`.
    let is_dots = |segment: &str| {
        segment.starts_with('.') && segment.replace("%20", "").bytes().all(|byte| byte == b'.')
    };
    if text.split('/').any(is_dots) { Err(PathRefusal::DotSegment) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(raw: &str, expect: Result<&str, PathRefusal>) {
        let path = CanonicalPath::parse(raw);
        assert_eq!(path.as_ref().map(CanonicalPath::as_str), expect.as_ref().map(|text| *text));
    }

    #[test]
    fn one_form() {
        check("/", Ok("/"));
        check("/api/v1/leads/1/", Ok("/api/v1/leads/1/"));
        check("/api/v1/%6Ceads", Ok("/api/v1/leads"));
        check("/%7e%7Eme", Ok("/~~me"));
        check("/a%2db%2Dc", Ok("/a-b-c"));
        check("/caf%c3%a9", Ok("/caf%C3%A9"));
        check("/a%20b", Ok("/a%20b"));
        check("/leads(1)", Ok("/leads(1)"));
        check("/leads%281%29", Ok("/leads%281%29"));
        check("/a@b.c:d!$&'()*+,=", Ok("/a@b.c:d!$&'()*+,="));
        check("/file.txt", Ok("/file.txt"));
        check("/.well-known/x", Ok("/.well-known/x"));
        check("/a..b", Ok("/a..b"));
        check("/100%25", Ok("/100%25"));
        check("/API/V1", Ok("/API/V1"));
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        check("", Err(PathRefusal::NotAbsolute));
        check("*", Err(PathRefusal::NotAbsolute));
        check("http://crm/api", Err(PathRefusal::NotAbsolute));
        check("//evil/api", Err(PathRefusal::EmptySegment));
        check("/api//leads", Err(PathRefusal::EmptySegment));
        check("/api/./leads", Err(PathRefusal::DotSegment));
        check("/api/../leads", Err(PathRefusal::DotSegment));
        check("/api/..", Err(PathRefusal::DotSegment));
        check("/api/%2e%2E/leads", Err(PathRefusal::DotSegment));
        check("/api/.%2e/leads", Err(PathRefusal::DotSegment));
        check("/api/..%20/leads", Err(PathRefusal::DotSegment));
        check("/api/.../leads", Err(PathRefusal::DotSegment));
        check("/api/..;/leads", Err(PathRefusal::PathParameter));
        check("/api/..%3b/leads", Err(PathRefusal::PathParameter));
        check("/leads;x=1", Err(PathRefusal::PathParameter));
        check("/api%2fleads", Err(PathRefusal::EncodedSlash));
        check("/api%2Fleads", Err(PathRefusal::EncodedSlash));
        check("/api%5cleads", Err(PathRefusal::Backslash));
        check("/api\\leads", Err(PathRefusal::Backslash));
        check("/leads%00", Err(PathRefusal::Control));
        check("/leads%0d%0a", Err(PathRefusal::Control));
        check("/leads\t", Err(PathRefusal::Control));
        check("/leads\u{7f}", Err(PathRefusal::Control));
        check("/caf\u{e9}", Err(PathRefusal::NonAscii));
        check("/%c0%af", Err(PathRefusal::NotUtf8));
        check("/%ff", Err(PathRefusal::NotUtf8));
        check("/%", Err(PathRefusal::BrokenEncoding));
        check("/%4", Err(PathRefusal::BrokenEncoding));
        check("/%zz", Err(PathRefusal::BrokenEncoding));
        check("/%+1", Err(PathRefusal::BrokenEncoding));
        check("/%252e%252e/x", Err(PathRefusal::DoubleEncoding));
        check("/a?b", Err(PathRefusal::BadCharacter));
        check("/a#b", Err(PathRefusal::BadCharacter));
        check("/a b", Err(PathRefusal::BadCharacter));
        check("/{id}", Err(PathRefusal::BadCharacter));
        check("/a\"b", Err(PathRefusal::BadCharacter));
    }

    #[test]
    fn length() {
        let fits = format!("/{}", "a".repeat(MAX_PATH - 1));
        check(&fits, Ok(&fits));
        check(&format!("{fits}a"), Err(PathRefusal::TooLong));
    }

    #[test]
    fn debug_does_not_print_the_path() {
        let path = CanonicalPath::parse("/leads/jane@example.com").unwrap();
        assert!(!format!("{path:?}").contains("jane"));
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(raw in "/[a-zA-Z0-9%./;~ -]{0,40}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                prop_assert_eq!(CanonicalPath::parse(path.as_str()).unwrap(), path);
            }
        }

        #[test]
        fn never_panics(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = CanonicalPath::parse(raw);
        }

        #[test]
        fn decoding_the_canonical_form_gives_no_new_structure(raw in "/(%[2-7][0-9a-fA-F]|[a-z./]){0,20}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                let decoded = percent_encoding::percent_decode_str(path.as_str()).decode_utf8().unwrap();
                prop_assert_eq!(decoded.matches('/').count(), path.as_str().matches('/').count());
                prop_assert!(!decoded.contains('\\'));
            }
        }
    }
}
