//! The correlation id: one short word that every trace of a request carries.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use rand::Rng;

/// Accepted where the configured header has no valid id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_BYTES: usize = 64;

/// A correlation id. Invariant: `[A-Za-z0-9._-]{1,64}`, so it is safe in a header, a log line and
/// a file name. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CorrelationId(Arc<str>);

impl CorrelationId {
    /// The client's id from the header `name`, else from `X-Request-ID`, else a new one.
    ///
    /// A header that is repeated or holds anything but an id counts as not sent.
    pub fn accept(headers: &HeaderMap, name: &HeaderName, random: &mut impl Rng) -> Self {
        only_id(headers, name)
            .or_else(|| only_id(headers, &X_REQUEST_ID))
            .unwrap_or_else(|| Self::mint(random))
    }

    /// A new id: a random UUID (version 4).
    pub fn mint(random: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        random.fill_bytes(&mut bytes);
        let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
        Self(uuid.hyphenated().to_string().into())
    }

    /// An id of that text, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_id = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_id_byte);
        is_id.then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn only_id(headers: &HeaderMap, name: &HeaderName) -> Option<CorrelationId> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    CorrelationId::parse(value.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-correlation-id");

    fn accept(lines: &[(&HeaderName, &[u8])]) -> CorrelationId {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        CorrelationId::accept(&headers, &NAME, &mut StdRng::seed_from_u64(1))
    }

    /// `None` expects a new id.
    #[track_caller]
    fn check(lines: &[(&HeaderName, &[u8])], expected: Option<&str>) {
        let minted = CorrelationId::mint(&mut StdRng::seed_from_u64(1));
        assert_eq!(accept(lines).as_str(), expected.unwrap_or(minted.as_str()), "{lines:?}");
    }

    #[test]
    fn which_id_is_kept() {
        let longest = [b'a'; 64];
        check(&[], None);
        check(&[(&NAME, b"Order-7_a.b")], Some("Order-7_a.b"));
        check(&[(&NAME, &longest)], Some(std::str::from_utf8(&longest).unwrap()));
        check(&[(&X_REQUEST_ID, b"r-1")], Some("r-1"));
        check(&[(&NAME, b"c-1"), (&X_REQUEST_ID, b"r-1")], Some("c-1"));
        check(&[(&NAME, b"not an id"), (&X_REQUEST_ID, b"r-1")], Some("r-1"));
        check(&[(&NAME, b"c-1"), (&NAME, b"c-1"), (&X_REQUEST_ID, b"r-1")], Some("r-1"));
    }

    #[test]
    fn what_is_replaced() {
        for invalid in [
            b"".as_slice(),
            b"a b",
            b"a,b",
            b"a/b",
            b"a:b",
            b"a\"b",
            b"{a}",
            b"a\tb",
            b"\xc3\xa4",
            b"\xff",
            &[b'a'; 65],
            "a".repeat(1_000_000).as_bytes(),
        ] {
            check(&[(&NAME, invalid)], None);
        }
        check(&[(&NAME, b"c-1"), (&NAME, b"c-2")], None);
        check(&[(&X_REQUEST_ID, b"r-1"), (&X_REQUEST_ID, b"r-1")], None);
    }

    #[test]
    fn text_with_control_characters_is_no_id() {
        for text in ["a\r\nX-Role: admin", "a\n", "a\u{1b}[31m", "a\u{0}", "a\u{7f}", "\u{430}"] {
            assert_eq!(CorrelationId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_new_id_is_a_random_uuid() {
        let mut random = StdRng::seed_from_u64(7);
        let first = CorrelationId::mint(&mut random);
        let uuid = uuid::Uuid::parse_str(first.as_str()).unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_ne!(first, CorrelationId::mint(&mut random));
    }

    proptest! {
        #[test]
        fn whatever_comes_the_id_is_safe(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let id = accept(&[(&NAME, value.as_bytes())]);
            prop_assert_eq!(CorrelationId::parse(id.as_str()), Some(id.clone()));
            prop_assert!(HeaderValue::from_str(id.as_str()).is_ok());
        }

        #[test]
        fn every_valid_id_is_kept(text in "[A-Za-z0-9._-]{1,64}") {
            prop_assert_eq!(accept(&[(&NAME, text.as_bytes())]).to_string(), text);
        }
    }
}
