//! The pages: index, liveness, readiness, metrics.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::HeaderValue};

use super::{AdminState, answer};
use crate::problem::Problem;

const INDEX: &str = "\
fieldgate admin

/livez    200 as long as the process answers
/readyz   200 when it may be sent requests, else 503; says why as JSON
/metrics  for Prometheus
";

/// Prometheus' text format.
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) async fn index() -> &'static str {
    INDEX
}

pub(super) async fn livez() -> &'static str {
    "ok"
}

pub(super) async fn readyz(State(state): State<AdminState>) -> Response {
    let (is_ready, report) = state.readiness.report();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    match state.telemetry.scrape() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(_) => answer(&Problem::about_blank(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}
