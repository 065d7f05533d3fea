//! The audit ledger over HTTP: `GET /api/v1/audit/masking-logs/`.

use axum::Json;
use axum::extract::{Query as Parameters, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{AdminState, answer};
use crate::audit::{self, Query, Stored};
use crate::problem::Problem;

/// Where it stands.
pub(super) const PATH: &str = "/api/v1/audit/masking-logs/";

/// Entries of one page, unless asked for less or more.
const USUAL_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    user_id: Option<String>,
    object: Option<String>,
    field: Option<String>,
    date_from: Option<String>,
    date_to: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    asked: Result<Parameters<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Some(ledger) = &state.ledger else {
        return answer(
            &Problem::new(StatusCode::NOT_FOUND, "no_ledger", "No audit ledger")
                .detail("the configuration has no `data_dir`, or `audit.mode` is `off`"),
        );
    };
    let Ok(Parameters(asked)) = asked else {
        return bad_request(
            "the query takes `user_id`, `object`, `field`, `date_from`, `date_to`, `after` and `limit`",
        );
    };
    let now = OffsetDateTime::now_utc();
    let moment = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => audit::moment(text, now).map(Some).ok_or(()),
    };
    let (Ok(since), Ok(until)) = (moment(&asked.date_from), moment(&asked.date_to)) else {
        return bad_request("a date is written as `2026-01-31`, `2026-01-31T10:00:00Z` or `7d`");
    };
    let limit = asked.limit.unwrap_or(USUAL_PAGE).clamp(1, LARGEST_PAGE);
    let wanted = Query {
        user: asked.user_id,
        object: asked.object,
        field: asked.field,
        since,
        until,
        after: asked.after.unwrap_or(0),
        // One more tells whether there is another page.
        limit: Some(limit + 1),
    };
    let Ok(mut found) = ledger.query(wanted).await else {
        return answer(&Problem::about_blank(StatusCode::SERVICE_UNAVAILABLE));
    };
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_after = found.last().filter(|_| has_more).map(|stored| stored.number);
    let results: Vec<Value> = found.iter().map(shown).collect();
    Json(json!({ "results": results, "next_after": next_after })).into_response()
}

fn shown(stored: &Stored) -> Value {
    let hash = stored.hash.map(|hash| hash.to_string());
    json!({ "number": stored.number, "hash": hash, "entry": stored.entry })
}

fn bad_request(detail: &'static str) -> Response {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "query", "The query cannot be read");
    answer(&problem.detail(detail))
}
