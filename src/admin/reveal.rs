//! Masks turned back into values over HTTP: `POST /api/v1/reveal`.
//!
//! Who asks is a caller as on the data listener, with the same credentials. Where the listener has a
//! token it is needed besides, in a header of its own.

use std::time::{Instant, SystemTime};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::connections::Ends;
use super::{AdminState, answer};
use crate::correlation::CorrelationId;
use crate::identity::{Arrival, Unidentified};
use crate::problem::Problem;
use crate::reveal::{Asking, Question, Withheld};

/// Where it stands.
pub(super) const PATH: &str = "/api/v1/reveal";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    resource: String,
    field: String,
    record: Option<String>,
    value: String,
}

pub(super) async fn reveal(
    State(state): State<AdminState>,
    ConnectInfo(ends): ConnectInfo<Ends>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(reveal) = &state.reveal else { return unavailable() };
    let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
        return answer(
            &Problem::new(StatusCode::BAD_REQUEST, "reveal_question", "The question cannot be read")
                .detail("the body is a JSON object with `resource`, `field`, `value` and, for an encrypted value, `record`: all strings"),
        );
    };
    let arrival = Arrival {
        headers: &headers,
        host: headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default(),
        peer: Some(ends.peer.ip().to_canonical()),
        // The admin listener speaks no TLS.
        certificate: None,
        now: SystemTime::now(),
        at: Instant::now(),
    };
    let name = &state.correlation_header;
    let correlation = CorrelationId::accept(&headers, name, &mut rand::rng());
    let asking = Asking { arrival: &arrival, path: PATH, correlation_id: correlation.as_str() };
    let question = Question {
        resource: &asked.resource,
        field: &asked.field,
        record: asked.record.as_deref(),
        mask: &asked.value,
    };
    let mut response = match reveal.reveal(asking, question).await {
        Ok(value) => told(&value),
        Err(withheld) => refused(withheld),
    };
    if let Ok(id) = HeaderValue::from_str(correlation.as_str()) {
        response.headers_mut().insert(name.clone(), id);
    }
    response
}

/// The value is JSON text already, and keeps its digits.
fn told(value: &[u8]) -> Response {
    let body = [b"{\"value\":", value, b"}"].concat();
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

fn refused(withheld: Withheld) -> Response {
    match withheld {
        Withheld::Unidentified(Unidentified::Unavailable(_)) | Withheld::Unavailable => {
            unavailable()
        }
        Withheld::Unidentified(why) => {
            let mut response = answer(
                &Problem::new(StatusCode::UNAUTHORIZED, "credentials", "Credentials are required")
                    .detail("the caller is identified as on the data listener, and was not"),
            );
            if let Some(challenge) = why.challenge() {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
        Withheld::Refused => answer(
            &Problem::new(StatusCode::FORBIDDEN, "reveal_refused", "This is not revealed")
                .detail("the caller has no right to reveal this field, or the text is no mask of it in this company and record"),
        ),
        Withheld::TooOften(wait) => {
            let mut response = answer(
                &Problem::new(StatusCode::TOO_MANY_REQUESTS, "reveal_too_often", "Too many reveals")
                    .detail("the caller has asked as often as it may for now"),
            );
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
    }
}

fn unavailable() -> Response {
    answer(
        &Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "reveal_unavailable",
            "Nothing can be revealed at the moment",
        )
        .detail("it needs policies, a key ring, identity sources that answer, and an audit ledger that can be written"),
    )
}
