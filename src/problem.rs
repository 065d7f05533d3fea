//! Problem documents, RFC 9457: how Fieldgate says no.
//!
//! Pure. A problem carries fixed text and configured names only; whoever makes one must not put a
//! value of the CRM or of the caller into it.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Map, Value};

/// The media type of [`Problem::to_json`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// One refusal as the client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a problem that is not sent leaves the client without an answer"]
pub struct Problem {
    status: StatusCode,
    code: Option<&'static str>,
    title: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    correlation_id: Option<String>,
    members: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A problem that its status says all about (`about:blank`).
    pub fn about_blank(status: StatusCode) -> Self {
        Self {
            status,
            code: None,
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Problem")),
            detail: None,
            correlation_id: None,
            members: Vec::new(),
        }
    }

    /// A problem of its own kind. `code` is stable snake case, `title` says the same of every
    /// problem with this code.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { code: Some(code), title: title.into(), ..Self::about_blank(status) }
    }

    /// What to know about this occurrence.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The id under which the logs have it.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// The fields that the refusal is about: names, never values.
    pub fn fields(self, names: Vec<String>) -> Self {
        self.member("fields", names)
    }

    /// An extension member. A name that a problem has anyway keeps its own meaning.
    pub fn member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// The status to send it with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code; `None` for `about:blank`.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// `about:blank`, or a name made from the code.
    #[must_use]
    pub fn type_uri(&self) -> Cow<'static, str> {
        self.code.map_or(Cow::Borrowed("about:blank"), |code| {
            Cow::Owned(format!("urn:fieldgate:problem:{code}"))
        })
    }

    /// The body to send.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut document: Map<String, Value> =
            self.members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut set = |name: &str, value: Value| document.insert(name.to_owned(), value);
        set("type", self.type_uri().into());
        set("title", self.title.clone().into());
        set("status", self.status.as_u16().into());
        if let Some(code) = self.code {
            set("code", code.into());
        }
        if let Some(detail) = &self.detail {
            set("detail", detail.clone().into());
        }
        if let Some(id) = &self.correlation_id {
            set("correlation_id", id.clone().into());
        }
        Value::Object(document).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(problem: &Problem, expect: &Value) {
        let document: Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(&document, expect);
    }

    #[test]
    fn about_blank_has_the_words_of_its_status() {
        check(
            &Problem::about_blank(StatusCode::NOT_FOUND),
            &json!({"type": "about:blank", "title": "Not Found", "status": 404}),
        );
    }

    #[test]
    fn every_member() {
        check(
            &Problem::new(StatusCode::FORBIDDEN, "field_not_editable", "Field not writable")
                .detail("the role may not write these fields")
                .correlation_id("abc-1")
                .fields(vec!["ssn".into(), "owner.email".into()])
                .member("retry", false),
            &json!({
                "type": "urn:fieldgate:problem:field_not_editable",
                "title": "Field not writable",
                "status": 403,
                "code": "field_not_editable",
                "detail": "the role may not write these fields",
                "correlation_id": "abc-1",
                "fields": ["ssn", "owner.email"],
                "retry": false
            }),
        );
    }

    #[test]
    fn an_extension_cannot_take_the_place_of_a_standard_member() {
        check(
            &Problem::about_blank(StatusCode::BAD_GATEWAY).member("status", 200),
            &json!({"type": "about:blank", "title": "Bad Gateway", "status": 502}),
        );
    }

    #[test]
    fn text_is_escaped() {
        check(
            &Problem::new(StatusCode::BAD_REQUEST, "bad_path", "Bad path").detail("\"\r\n\u{1b}"),
            &json!({
                "type": "urn:fieldgate:problem:bad_path", "title": "Bad path", "status": 400,
                "code": "bad_path", "detail": "\"\r\n\u{1b}"
            }),
        );
    }
}
