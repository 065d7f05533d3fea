//! The level of the application log, shown and changed while the process runs.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{AdminState, answer};
use crate::config::LogLevel;
use crate::problem::Problem;

pub(super) async fn show(State(state): State<AdminState>) -> Json<Value> {
    Json(json!({ "level": state.telemetry.log_level().name() }))
}

/// Takes `{"level": "debug"}`. The change lasts until the process ends or it is changed again.
pub(super) async fn change(State(state): State<AdminState>, body: Bytes) -> Response {
    let wanted = serde_json::from_slice::<Value>(&body).ok();
    let word = wanted.as_ref().and_then(|wanted| wanted.get("level")?.as_str());
    let level = word.and_then(|word| LogLevel::ALL.iter().find(|(name, _)| *name == word));
    let Some((_, level)) = level else {
        return answer(
            &Problem::new(StatusCode::BAD_REQUEST, "log_level", "No log level")
                .detail("send `{\"level\": \"error\"}`, or `warn`, `info` or `debug`"),
        );
    };
    state.telemetry.set_log_level(*level);
    show(State(state)).await.into_response()
}
