//! The scoring API for operators. What it says is decided elsewhere; here it is carried.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::{AdminState, answer};
use crate::problem::Problem;

/// Where it stands.
pub(super) const PATHS: [&str; 5] = [
    "/api/v1/leads/{id}/score/",
    "/api/v1/leads/{id}/score/history/",
    "/api/v1/leads/score-bulk/",
    "/api/v1/companies/{id}/scoring-config/",
    "/api/v1/scores/refresh/",
];

/// Whoever knows about scores.
#[async_trait]
pub trait ScorePages: Send + Sync + fmt::Debug {
    /// Answers with JSON, or says why not.
    async fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: Bytes,
    ) -> Result<Vec<u8>, Problem>;
}

/// The pages, where there are any.
pub type Pages = Option<Arc<dyn ScorePages>>;

pub(super) async fn ask(
    State(state): State<AdminState>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let Some(pages) = &state.scores else {
        return answer(&Problem::about_blank(StatusCode::NOT_FOUND));
    };
    match pages.answer(&method, uri.path(), uri.query(), body).await {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(problem) => answer(&problem),
    }
}
