//! Method and status as closed lists, fit to be metric labels whatever a client sends.
//!
//! Pure.

/// A request method as it may stand in a label; what is not known is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the methods of RFC 9110 and RFC 5789")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Trace,
    Connect,
    /// Anything else.
    Other,
}

impl Method {
    /// The label as which `method` is accounted.
    #[must_use]
    pub fn of(method: &http::Method) -> Self {
        match method.as_str() {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// The text in log lines and labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Connect => "CONNECT",
            Self::Other => "OTHER",
        }
    }
}

/// The version of HTTP that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl HttpVersion {
    /// The version of a request; what is not known cannot have been read.
    #[must_use]
    pub fn of(version: http::Version) -> Self {
        match version {
            http::Version::HTTP_2 => Self::Http2,
            http::Version::HTTP_09 | http::Version::HTTP_10 => Self::Http10,
            _ => Self::Http11,
        }
    }

    /// The text in spans.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// The first digit of a status, or that no answer was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// 1xx
    Informational,
    /// 2xx
    Success,
    /// 3xx
    Redirection,
    /// 4xx
    ClientError,
    /// 5xx, and whatever is no status at all (RFC 9110, section 15).
    ServerError,
    /// No answer was begun.
    NoAnswer,
}

impl StatusClass {
    /// The class of a status.
    #[must_use]
    pub fn of(status: Option<u16>) -> Self {
        match status {
            None => Self::NoAnswer,
            Some(100..=199) => Self::Informational,
            Some(200..=299) => Self::Success,
            Some(300..=399) => Self::Redirection,
            Some(400..=499) => Self::ClientError,
            Some(_) => Self::ServerError,
        }
    }

    /// The text in labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::NoAnswer => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_a_closed_set() {
        for name in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
        {
            let method = http::Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(Method::of(&method).name(), name);
        }
        for name in ["get", "BREW", "OTHER", "XPURGE"] {
            let method = http::Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(Method::of(&method), Method::Other, "{name}");
        }
    }

    #[test]
    fn statuses_have_a_class() {
        let names = [None, Some(101), Some(204), Some(304), Some(404), Some(502), Some(999)]
            .map(|status| StatusClass::of(status).name());
        assert_eq!(names, ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "5xx"]);
    }
}
