//! Every answer but a good one: the one table that turns causes into statuses.
//!
//! Says what a Django REST application says, echoes of data included. A proxy in front must not
//! rely on errors being harmless.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

use super::page::InvalidPage;
use super::table::Rejected;
use super::validate::Invalid;
use super::value::{Malformed, Value};

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No token.
    Anonymous,
    /// A token that nobody has.
    UnknownToken,
    /// A name and a password that do not belong together.
    WrongPassword,
    /// No such path or record.
    NotFound,
    /// No such page.
    InvalidPage,
    /// The path answers other methods.
    MethodNotAllowed { method: Method, allowed: &'static str },
    /// The body is not JSON.
    Malformed(Malformed),
    /// The body ended before its time.
    Truncated,
    /// The body does not say that it is JSON.
    UnsupportedMediaType(String),
    /// The body is larger than this CRM takes.
    TooLarge,
    /// The record does not allow this write.
    Rejected(Rejected),
    /// The application failed; the page that Django shows under `DEBUG`.
    Crash { debug_page: String },
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Unknown => Self::NotFound,
            Rejected::Invalid(_) | Rejected::Duplicate { .. } => Self::Rejected(rejected),
        }
    }
}

impl From<InvalidPage> for Refusal {
    fn from(InvalidPage: InvalidPage) -> Self {
        Self::InvalidPage
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Anonymous => unauthorized("Authentication credentials were not provided."),
            Self::UnknownToken => unauthorized("Invalid token."),
            Self::WrongPassword => unauthorized("Invalid username/password."),
            Self::NotFound | Self::Rejected(Rejected::Unknown) => {
                detail(StatusCode::NOT_FOUND, "Not found.")
            }
            Self::InvalidPage => detail(StatusCode::NOT_FOUND, "Invalid page."),
            Self::MethodNotAllowed { method, allowed } => {
                let message = format!("Method \"{method}\" not allowed.");
                let mut response = detail(StatusCode::METHOD_NOT_ALLOWED, message);
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
                response
            }
            Self::Malformed(fault) => {
                detail(StatusCode::BAD_REQUEST, format!("JSON parse error - {fault}"))
            }
            Self::Truncated => detail(StatusCode::BAD_REQUEST, "Malformed request."),
            Self::UnsupportedMediaType(media_type) => {
                let message = format!("Unsupported media type \"{media_type}\" in request.");
                detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
            }
            Self::TooLarge => detail(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large."),
            Self::Rejected(Rejected::Invalid(Invalid(faults))) => {
                let members = faults.into_iter().map(|(name, message)| {
                    (name.to_owned(), Value::List(vec![Value::Text(message)]))
                });
                json(StatusCode::BAD_REQUEST, Value::Object(members.collect()).to_string())
            }
            Self::Rejected(Rejected::Duplicate { singular, field, value }) => {
                let message = format!("A {singular} with {field} {value} already exists.");
                detail(StatusCode::CONFLICT, message)
            }
            Self::Crash { debug_page } => {
                let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
                (StatusCode::INTERNAL_SERVER_ERROR, html, debug_page).into_response()
            }
        }
    }
}

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn detail(status: StatusCode, message: impl Into<String>) -> Response {
    json(status, Value::object([("detail", Value::text(message))]).to_string())
}

fn unauthorized(message: &str) -> Response {
    let mut response = detail(StatusCode::UNAUTHORIZED, message);
    let challenge = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}
