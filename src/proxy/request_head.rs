//! Request heads: which are refused, and what of them goes on to the CRM.
//!
//! Pure. A head that two readers could understand differently is refused before anyone acts on it.

use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Method};
use pingora_core::Result;
use pingora_http::RequestHeader;

use crate::correlation::{
    B3_HEADERS, CorrelationId, TRACEPARENT, TRACESTATE, TraceContext, X_REQUEST_ID,
};
use crate::event::Causation;
use crate::identity::Identifier;
use crate::policy::CanonicalPath;
use crate::telemetry::Refusal;

/// Headers by which a request asks to be taken for another method.
const METHOD_OVERRIDES: [&str; 3] =
    ["x-http-method-override", "x-http-method", "x-method-override"];

/// W3C Baggage.
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// The most bytes of baggage that go on (W3C Baggage, section 3.3.2).
const MOST_BAGGAGE: usize = 8192;

/// The run of a workflow that asks. A client has none.
const CAUSATION: HeaderName = HeaderName::from_static("x-causation-id");

/// Headers that Fieldgate itself writes; a client's own are dropped.
const OWN_PREFIXES: [&str; 2] = ["x-fieldgate-", "x-lead-score"];

/// Checks the head of an HTTP/1 request as it stood on the wire (RFC 9112, sections 2.2, 3, 5, 6).
///
/// The parser in front forgives more than it should, and has already removed a `Content-Length`
/// that stood beside a `Transfer-Encoding`.
pub(super) fn check_raw(raw: &[u8]) -> Result<(), Refusal> {
    let malformed = Err(Refusal::MalformedRequest);
    let mut lines = raw.split_inclusive(|byte| *byte == b'\n').map(|line| {
        // A line that ends in a bare LF, or has a CR inside, is two lines to somebody.
        line.strip_suffix(b"\r\n").filter(|line| !line.contains(&b'\r'))
    });
    let Some(Some(request_line)) = lines.next() else { return malformed };
    let parts: Vec<&[u8]> = request_line.split(|byte| *byte == b' ').collect();
    let [_, target, version] = parts.as_slice() else { return malformed };
    // A fragment is no part of a target; the parser in front would cut it off in silence.
    if !target.iter().all(u8::is_ascii_graphic) || target.contains(&b'#') {
        return malformed;
    }
    let authority = match form_of(target) {
        Some(Form::Path) => None,
        Some(Form::Absolute { authority }) => Some(authority),
        None => return malformed,
    };
    let (mut lengths, mut encodings) = (0, 0);
    for line in lines {
        let Some(line) = line else { return malformed };
        if line.is_empty() {
            break;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return malformed };
        // No white space before the colon, no continuation lines; and no underscores, which CGI
        // and WSGI servers cannot tell from hyphens.
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte) && *byte != b'_') {
            return malformed;
        }
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return malformed;
        }
        if name.eq_ignore_ascii_case(b"host")
            && authority.is_some_and(|authority| authority != value.trim_ascii())
        {
            return malformed;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            // One number, and not `2, 2` or `+2`, of which some readers make two.
            if !value.trim_ascii().iter().all(u8::is_ascii_digit) {
                return malformed;
            }
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            encodings += 1;
            if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") || *version != b"HTTP/1.1" {
                return malformed;
            }
        }
    }
    if lengths + encodings > 1 { malformed } else { Ok(()) }
}

/// A form of request target that goes on (RFC 9112, section 3.2).
enum Form<'a> {
    /// A path, or `*`.
    Path,
    /// A whole URL. Behind the parser only its path is left, so its host is compared here.
    Absolute { authority: &'a [u8] },
}

fn form_of(target: &[u8]) -> Option<Form<'_>> {
    if target.starts_with(b"/") || target == b"*" {
        return Some(Form::Path);
    }
    let rest = [b"http://".as_slice(), b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let is_clear = !authority.is_empty() && !authority.iter().any(|byte| b"@\\".contains(byte));
    is_clear.then_some(Form::Absolute { authority })
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What must hold for every request, whatever the version.
pub(super) fn check(head: &RequestHeader, limit: usize) -> Result<(), Refusal> {
    let size: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size + head.uri.path().len() + head.uri.query().map_or(0, str::len) > limit {
        return Err(Refusal::HeadTooLarge);
    }
    if head.headers.keys().any(|name| name.as_str().contains('_')) {
        return Err(Refusal::MalformedRequest);
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    match (first, second, head.uri.authority()) {
        (_, Some(_), _) | (None, _, None) => Err(Refusal::MalformedRequest),
        // HTTP/2 may name the host twice; an absolute target of HTTP/1 has been compared by
        // `check_raw`, for its authority does not come this far.
        (Some(host), None, Some(authority)) if host != authority.as_str() => {
            Err(Refusal::MalformedRequest)
        }
        _ => Ok(()),
    }
}

/// What a governed route refuses besides.
pub(super) fn check_governed(head: &RequestHeader) -> Result<(), Refusal> {
    if METHOD_OVERRIDES.iter().any(|name| head.headers.contains_key(*name))
        || head.uri.query().is_some_and(names_method)
    {
        return Err(Refusal::MethodOverride);
    }
    if !head.method.is_safe() && asks_for_validator(head) {
        return Err(Refusal::PreconditionUnknown);
    }
    if head.method == Method::CONNECT || head.headers.contains_key(header::UPGRADE) {
        return Err(Refusal::Upgrade);
    }
    Ok(())
}

/// Whether a write depends on a validator. Those of the CRM speak of the unfiltered record and are
/// given to nobody, so a client can only have guessed one, and would learn whether it guessed right.
fn asks_for_validator(head: &RequestHeader) -> bool {
    let is_any = |value: &HeaderValue| value.as_bytes().trim_ascii() == b"*";
    let conditions = head.headers.get_all(header::IF_MATCH);
    let asks = conditions.iter().count() > 1 || !conditions.iter().all(is_any);
    asks || head.headers.contains_key(header::IF_UNMODIFIED_SINCE)
}

fn names_method(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_encoding::percent_decode_str(name).eq(*b"_method")
    })
}

/// What of the request the CRM needs to be told by whom.
pub(super) struct Forwarding<'a> {
    /// Knows which headers are not the client's to set.
    pub(super) identifier: &'a Identifier,
    /// The header for the correlation id.
    pub(super) correlation_header: &'a HeaderName,
    /// The id to send.
    pub(super) correlation: &'a CorrelationId,
    /// The span of the call to the CRM.
    pub(super) trace: &'a TraceContext,
    /// The run that asks, where none of a client's is answered.
    pub(super) causation: Option<Causation>,
    /// Replaces the client's `Host`.
    pub(super) host: Option<&'a HeaderValue>,
}

impl Forwarding<'_> {
    /// Removes what is not the client's to set and adds what is ours, last, so that no
    /// `Connection` header can take it away again.
    pub(super) fn dress(&self, head: &mut RequestHeader) -> Result<()> {
        let dropped: Vec<HeaderName> = head
            .headers
            .keys()
            .filter(|name| {
                self.identifier.owns(name)
                    || OWN_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
            })
            .cloned()
            .collect();
        for name in dropped {
            head.remove_header(&name);
        }
        head.remove_header(&X_REQUEST_ID);
        head.remove_header(&CAUSATION);
        if let Some(causation) = self.causation {
            head.insert_header(CAUSATION, causation.run.to_string())?;
        }
        head.remove_header(&TRACESTATE);
        drop_long_baggage(head);
        head.insert_header(self.correlation_header.clone(), self.correlation.as_str())?;
        head.insert_header(TRACEPARENT, self.trace.traceparent())?;
        if let Some(state) = self.trace.tracestate() {
            head.insert_header(TRACESTATE, state.clone())?;
        }
        let b3 = self.trace.b3();
        if !b3.is_empty() {
            // The client's own name the client's span as the CRM's parent.
            for name in &B3_HEADERS {
                head.remove_header(name);
            }
        }
        for (name, value) in b3 {
            head.insert_header(name, value)?;
        }
        if let Some(host) = self.host {
            head.insert_header(header::HOST, host.clone())?;
        }
        Ok(())
    }

    /// The head of a governed request: the canonical path, and the body as one piece.
    pub(super) fn governed(
        &self,
        from: &RequestHeader,
        method: &Method,
        (path, query): (&CanonicalPath, Option<&str>),
        body_length: usize,
    ) -> Result<RequestHeader> {
        let target = path.with_query(query);
        let mut head =
            RequestHeader::build(method.clone(), target.as_bytes(), Some(from.headers.len() + 6))?;
        let by_hop = named_by_connection(&from.headers);
        for (name, value) in &from.headers {
            let is_withheld = is_withheld(name, value, method);
            if !is_withheld && !by_hop.contains(name) {
                head.append_header(name.clone(), value.clone())?;
            }
        }
        if !head.headers.contains_key(header::HOST)
            && let Some(authority) = from.uri.authority()
        {
            head.insert_header(header::HOST, authority.as_str())?;
        }
        // An encoded answer could not be filtered.
        head.insert_header(header::ACCEPT_ENCODING, "identity")?;
        if body_length > 0 || matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            head.insert_header(header::CONTENT_LENGTH, body_length)?;
        }
        self.dress(&mut head)?;
        Ok(head)
    }
}

/// W3C baggage goes on as it came, up to what its specification asks everyone to carry; what is
/// longer goes on not at all, for half of it would mean something else.
fn drop_long_baggage(head: &mut RequestHeader) {
    let lines = head.headers.get_all(&BAGGAGE).iter();
    if lines.map(|line| line.len() + 1).sum::<usize>() > MOST_BAGGAGE + 1 {
        head.remove_header(&BAGGAGE);
    }
}

/// The headers that `Connection` declares to be for this hop only (RFC 9110, section 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

/// Headers that do not go on: for this hop only, about codings and ranges that we cannot filter,
/// or conditions on validators that no client of ours can know.
fn is_withheld(name: &HeaderName, value: &HeaderValue, method: &Method) -> bool {
    let for_this_hop = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("http2-settings"),
    ];
    let unfilterable = [header::ACCEPT_ENCODING, header::RANGE, header::IF_RANGE];
    // A write that depends on one has been refused. What is left are `*`, which asks whether there
    // is a record at all, and conditions that hold for whatever cannot be known.
    let validators = [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];
    let is_moment = *name == header::IF_MODIFIED_SINCE;
    let is_guess = *name == header::IF_NONE_MATCH && value.as_bytes().trim_ascii() != b"*";
    for_this_hop.contains(name)
        || unfilterable.contains(name)
        || (method.is_safe() && validators.contains(name))
        || is_moment
        || is_guess
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_head(raw: &str, good: bool) {
        assert_eq!(check_raw(raw.as_bytes()).is_ok(), good, "{raw:?}");
    }

    #[test]
    fn raw_heads() {
        let ok = "GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
        check_head(ok, true);
        check_head("GET http://x:1/a?b HTTP/1.1\r\nHost: x:1\r\n\r\n", true);
        check_head("GET HTTPS://x?b HTTP/1.1\r\nhost:x\r\n\r\n", true);
        check_head("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", true);
        check_head("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", true);
        check_head("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", true);
        for bad in [
            "GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x:80/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x\\@y/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http:/x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
            "GET ?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n more\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX_Role: admin\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\u{1}c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            check_head(bad, false);
        }
    }

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            head.append_header((*name).to_owned(), *value).unwrap();
        }
        head
    }

    #[test]
    fn heads_of_any_version() {
        assert_eq!(check(&head("GET", "/", &[("Host", "x")]), 1000), Ok(()));
        // HTTP/2 carries the host in `:authority`, where pingora leaves it.
        let http2 = |headers: &[_]| {
            let mut head = head("GET", "/", headers);
            head.set_uri("http://y/".parse().unwrap());
            head
        };
        assert_eq!(check(&http2(&[]), 1000), Ok(()));
        assert_eq!(check(&http2(&[("Host", "y")]), 1000), Ok(()));
        for bad in [
            head("GET", "/", &[]),
            head("GET", "/", &[("Host", "x"), ("Host", "x")]),
            head("GET", "/", &[("Host", "x"), ("x_role", "admin")]),
            http2(&[("Host", "x")]),
        ] {
            assert_eq!(check(&bad, 1000), Err(Refusal::MalformedRequest), "{bad:?}");
        }
        let long = head("GET", "/", &[("Host", "x"), ("A", &"a".repeat(1000))]);
        assert_eq!(check(&long, 1000), Err(Refusal::HeadTooLarge));
    }

    #[test]
    fn baggage_goes_on_whole_or_not_at_all() {
        let baggage = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("baggage", *line)).collect();
            let mut head = head("GET", "/", &lines);
            drop_long_baggage(&mut head);
            head.headers.get_all("baggage").iter().count()
        };
        assert_eq!(baggage(&["a=1", "b=2"]), 2);
        assert_eq!(baggage(&[&"a".repeat(8192)]), 1);
        assert_eq!(baggage(&[&"a".repeat(8193)]), 0);
        assert_eq!(baggage(&[&"a".repeat(4096), &"b".repeat(4096)]), 0);
    }

    #[test]
    fn governed_routes_know_no_overrides() {
        let refusal = |head: &RequestHeader| check_governed(head).err();
        assert_eq!(refusal(&head("GET", "/?a=_method", &[])), None);
        for target in ["/?_method=PUT", "/?a=1&%5Fmethod=PUT", "/?_method"] {
            assert_eq!(refusal(&head("POST", target, &[])), Some(Refusal::MethodOverride));
        }
        for (name, value, is_refused) in [
            ("If-Match", "\"guess\"", true),
            ("If-Match", "*", false),
            ("If-Unmodified-Since", "Wed, 25 Nov 2026 00:00:00 GMT", true),
            ("If-None-Match", "\"guess\"", false),
        ] {
            let found = refusal(&head("PUT", "/", &[(name, value)]));
            assert_eq!(found, is_refused.then_some(Refusal::PreconditionUnknown), "{name}");
        }
        let overriding = head("POST", "/", &[("X-HTTP-Method-Override", "PUT")]);
        assert_eq!(refusal(&overriding), Some(Refusal::MethodOverride));
        assert_eq!(refusal(&head("GET", "/", &[("Upgrade", "h2c")])), Some(Refusal::Upgrade));
    }
}
