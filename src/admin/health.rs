//! The pages: index, liveness, readiness, metrics.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::HeaderValue};

use super::{AdminState, answer};
use crate::problem::Problem;

const INDEX: &str = "\
fieldgate admin

/livez    200 as long as the process answers
/readyz   200 when it may be sent requests, else 503; says why as JSON
/metrics  for Prometheus
/log-level
          the level of the application log; PUT {\"level\": \"debug\"} changes it
/api/v1/leads/{id}/score/
/api/v1/leads/{id}/score/history/
/api/v1/leads/score-bulk/
          scores of leads; ?company= &resource= &role= &limit=; POST {\"lead_ids\": [1, 2]}
/api/v1/companies/{id}/scoring-config/
          PUT how a company counts
/api/v1/scores/refresh/
          how far a refresh is; POST {\"kind\": \"all\"} begins one
/api/v1/audit/masking-logs/
          who was shown what; ?user_id= &object= &field= &date_from= &date_to= &after= &limit=
";

/// Prometheus' text format.
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `OpenMetrics`.
const OPEN_METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

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

/// The `OpenMetrics` format where it is asked for, since only it has exemplars.
pub(super) async fn metrics(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text")) {
        let content_type = [(header::CONTENT_TYPE, OPEN_METRICS_TYPE)];
        return (content_type, state.telemetry.scrape_open()).into_response();
    }
    match state.telemetry.scrape() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(_) => answer(&Problem::about_blank(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}
