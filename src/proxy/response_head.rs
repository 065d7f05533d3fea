//! Response heads on governed routes: an allowlist, for any other header may tell what the body
//! must not.

use http::header::{self, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use crate::telemetry::Refusal;

/// Headers of the CRM that say nothing of a record.
const ALLOWED: [HeaderName; 4] =
    [header::ALLOW, header::CONTENT_LANGUAGE, header::DATE, header::RETRY_AFTER];

/// How the body of an answer is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// None at all: HEAD, 204, 304.
    None,
    /// So many bytes.
    Exact(usize),
    /// Chunked on HTTP/1.1, frames on HTTP/2.
    Stream,
}

/// Why an answer cannot be filtered, as far as its head tells.
pub(super) fn check(head: &ResponseHeader) -> Result<(), Refusal> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refusal::UpstreamSwitchedProtocols);
    }
    if head.status == StatusCode::PARTIAL_CONTENT
        || head.headers.contains_key(header::CONTENT_RANGE)
    {
        return Err(Refusal::UpstreamPartialContent);
    }
    let coded = head.headers.get_all(header::CONTENT_ENCODING).iter();
    if coded.map(HeaderValue::as_bytes).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::UpstreamEncoded);
    }
    if head.headers.get_all(header::CONTENT_TYPE).iter().count() > 1 {
        return Err(Refusal::UpstreamMalformed);
    }
    Ok(())
}

/// What an answer's head is made of, beside the CRM's own.
pub(super) struct Dressing<'a> {
    /// Header and value of the correlation id.
    pub(super) correlation: (&'a HeaderName, &'a str),
    /// What identified the caller.
    pub(super) vary: &'a HeaderValue,
    /// Headers that the policies let through besides.
    pub(super) allowed: &'a [HeaderName],
    /// The query of the request, which a `Location` may repeat.
    pub(super) query: Option<&'a str>,
}

impl Dressing<'_> {
    /// The head to send in place of the CRM's. Its reason phrase is the canonical one.
    pub(super) fn dress(&self, from: &ResponseHeader, body: Body) -> Result<ResponseHeader> {
        let mut head = ResponseHeader::build(from.status, Some(16))?;
        head.set_version(Version::HTTP_11);
        for name in ALLOWED.iter().chain(self.allowed) {
            for value in from.headers.get_all(name) {
                head.append_header(name.clone(), value.clone())?;
            }
        }
        if let Some(location) = from.headers.get(header::LOCATION).and_then(|l| self.location(l)) {
            head.insert_header(header::LOCATION, location)?;
        }
        if let Some(scheme) = from.headers.get(header::WWW_AUTHENTICATE).and_then(challenge) {
            head.insert_header(header::WWW_AUTHENTICATE, scheme)?;
        }
        head.insert_header(header::CACHE_CONTROL, "private, no-store")?;
        head.insert_header(header::VARY, self.vary.clone())?;
        head.insert_header(header::ACCEPT_RANGES, "none")?;
        head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
        head.insert_header(self.correlation.0.clone(), self.correlation.1)?;
        match body {
            Body::None | Body::Exact(0) => {}
            Body::Exact(_) | Body::Stream => {
                head.insert_header(header::CONTENT_TYPE, content_type(from))?;
            }
        }
        match body {
            Body::None => {}
            Body::Exact(length) => head.insert_header(header::CONTENT_LENGTH, length)?,
            Body::Stream => head.insert_header(header::TRANSFER_ENCODING, "chunked")?,
        }
        Ok(head)
    }

    /// A `Location` goes on where it tells the client nothing but a path: the created record, or
    /// the same request in another spelling.
    fn location(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let text = value.to_str().ok()?;
        let uri: http::Uri = text.parse().ok()?;
        let repeats_query = uri.query().is_none_or(|query| Some(query) == self.query);
        let plain = !text.contains(['#', '@']) && !text.to_ascii_lowercase().contains("%40");
        (repeats_query && plain).then(|| value.clone())
    }
}

/// The scheme of a challenge without its parameters, which may quote the request.
fn challenge(value: &HeaderValue) -> Option<HeaderValue> {
    let scheme = value.to_str().ok()?.split([' ', ',']).next()?;
    HeaderValue::from_str(scheme).ok().filter(|value| !value.is_empty())
}

/// What a filtered body is: JSON, under the CRM's own JSON type where it gave one.
fn content_type(from: &ResponseHeader) -> HeaderValue {
    let json = HeaderValue::from_static("application/json");
    let Some(given) = from.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    else {
        return json;
    };
    let essence = given.split(';').next().unwrap_or_default().trim();
    let is_json = essence.strip_prefix("application/").is_some_and(|subtype| {
        subtype == "json"
            || (subtype.ends_with("+json")
                && subtype
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte)))
    });
    if is_json { HeaderValue::from_str(essence).unwrap_or(json) } else { json }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(status: u16, headers: &[(&str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            head.append_header((*name).to_owned(), *value).unwrap();
        }
        head
    }

    #[track_caller]
    fn check_dressed(from: &[(&str, &str)], query: Option<&str>, expect: &[(&str, &str)]) {
        let name = HeaderName::from_static("x-correlation-id");
        let dressing = Dressing {
            correlation: (&name, "abc"),
            vary: &HeaderValue::from_static("Authorization"),
            allowed: &[HeaderName::from_static("x-total-count")],
            query,
        };
        let head = dressing.dress(&upstream(200, from), Body::Exact(2)).unwrap();
        let always = ["cache-control", "vary", "accept-ranges", "x-content-type-options"];
        for name in always {
            assert!(head.headers.contains_key(name), "{name}");
        }
        let mut rest: Vec<_> = head
            .headers
            .iter()
            .filter(|(name, _)| !always.contains(&name.as_str()))
            .filter(|(name, _)| !["x-correlation-id", "content-length"].contains(&name.as_str()))
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        rest.sort_unstable();
        assert_eq!(rest, expect);
    }

    #[test]
    fn only_known_headers_go_on() {
        check_dressed(
            &[
                ("Content-Type", "application/json; charset=utf-16"),
                ("ETag", "\"1\""),
                ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("Set-Cookie", "session=1"),
                ("X-User-Email", "a@example.com"),
                ("Server", "crm"),
                ("Accept-Ranges", "bytes"),
                ("X-Total-Count", "7"),
                ("Allow", "GET"),
            ],
            None,
            &[("allow", "GET"), ("content-type", "application/json"), ("x-total-count", "7")],
        );
    }

    #[test]
    fn labels_stay_json() {
        for (given, expect) in [
            ("application/vnd.api+json", "application/vnd.api+json"),
            ("application/problem+json; charset=utf-8", "application/problem+json"),
            ("text/html", "application/json"),
            ("application/x;+json", "application/json"),
        ] {
            check_dressed(&[("Content-Type", given)], None, &[("content-type", expect)]);
        }
    }

    #[test]
    fn locations_tell_a_path_and_nothing_else() {
        let json = ("content-type", "application/json");
        for (location, query, passes) in [
            ("/api/v1/leads/7/", None, true),
            ("http://crm/api/v1/leads/7/", None, true),
            ("/api/v1/leads/?page=2", Some("page=2"), true),
            ("/api/v1/leads/?email=a", Some("page=2"), false),
            ("/people/a@example.com", None, false),
            ("/people/a%40example.com", None, false),
            ("/a#frag", None, false),
        ] {
            let expect = if passes { vec![json, ("location", location)] } else { vec![json] };
            check_dressed(&[("Location", location)], query, &expect);
        }
    }

    #[test]
    fn heads_that_cannot_be_filtered() {
        let refusal = |status, headers: &[_]| check(&upstream(status, headers)).err();
        assert_eq!(refusal(200, &[("Content-Encoding", "identity")]), None);
        assert_eq!(refusal(200, &[("Content-Encoding", "gzip")]), Some(Refusal::UpstreamEncoded));
        assert_eq!(
            refusal(200, &[("Content-Encoding", "identity, br")]),
            Some(Refusal::UpstreamEncoded)
        );
        assert_eq!(refusal(206, &[]), Some(Refusal::UpstreamPartialContent));
        assert_eq!(refusal(101, &[]), Some(Refusal::UpstreamSwitchedProtocols));
        let twice = [("Content-Type", "application/json"), ("Content-Type", "text/html")];
        assert_eq!(refusal(200, &twice), Some(Refusal::UpstreamMalformed));
    }
}
