//! The listener for operators: is it alive, is it ready, how does it do, who was shown what.
//!
//! It stands on its own address and is never reachable through the data listener. It refuses
//! requests whose `Host` is not its own (a web page must not reach it through the operator's
//! browser), requests without the token where one is set (`/livez` and `/readyz` need none, since
//! an orchestrator's probes cannot carry one), and every method that a page does not name.

mod connections;
mod guard;
mod health;
mod log_level;
mod masking_logs;
mod notifications;
mod readiness;
mod reveal;
mod scores;
mod workflows;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};

pub use self::readiness::{Condition, Readiness};
pub use self::scores::{Pages, ScorePages};
pub use self::workflows::WorkflowPages;

use self::connections::{Connections, Ends};
use self::guard::Guard;
use crate::audit::Ledger;
use crate::config::Admin as Settings;
use crate::correlation::X_REQUEST_ID;
use crate::problem::{self, Problem};
use crate::reveal::Reveal;
use crate::telemetry::Telemetry;

/// How long answers under way may take once the listener is to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Most bytes of a request body; what is asked here is short.
const LARGEST_BODY: usize = 16 * 1024;

/// What the admin listener shows.
#[derive(Debug, Clone)]
pub struct AdminState {
    guard: Arc<Guard>,
    telemetry: Telemetry,
    readiness: Readiness,
    ledger: Option<Ledger>,
    reveal: Option<Arc<Reveal>>,
    correlation_header: HeaderName,
    scores: Pages,
    workflows: Option<WorkflowPages>,
    /// Places of readers who stay.
    readers: Arc<Semaphore>,
    is_stopping: watch::Receiver<bool>,
}

impl AdminState {
    /// Shows these, guarded as the settings say.
    #[must_use]
    pub fn new(
        settings: &Settings,
        telemetry: Telemetry,
        readiness: Readiness,
        ledger: Option<Ledger>,
        scores: Pages,
    ) -> Self {
        Self {
            guard: Arc::new(Guard::new(settings)),
            telemetry,
            readiness,
            ledger,
            scores,
            reveal: None,
            correlation_header: X_REQUEST_ID,
            workflows: None,
            readers: Arc::new(Semaphore::new(notifications::MOST_READERS)),
            is_stopping: watch::channel(false).1,
        }
    }

    /// Shows workflows too.
    #[must_use]
    pub fn with_workflows(self, workflows: Option<WorkflowPages>) -> Self {
        Self { workflows, ..self }
    }

    /// Lets callers turn masks back into values; `correlation_header` carries the id of a request.
    #[must_use]
    pub fn with_reveal(self, reveal: Reveal, correlation_header: HeaderName) -> Self {
        Self { reveal: Some(Arc::new(reveal)), correlation_header, ..self }
    }
}

/// Serves until `shutdown` is done, then lets answers under way end, for a few seconds at most.
pub async fn serve(
    listener: TcpListener,
    state: AdminState,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (tell_readers, is_stopping) = watch::channel(false);
    let service =
        router(AdminState { is_stopping, ..state }).into_make_service_with_connect_info::<Ends>();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(Connections::new(listener), service).with_graceful_shutdown(async {
        // An error means that the sender is gone, which ends the serving just as well.
        stopped.await.unwrap_or_default();
    });
    let mut serving = std::pin::pin!(serving.into_future());
    tokio::select! {
        served = &mut serving => return served,
        () = shutdown => {}
    }
    drop(stop);
    // A reader who follows has no end of his own.
    tell_readers.send_replace(true);
    // A client that keeps its connection busy beyond the limit is cut off.
    tokio::time::timeout(STOP_LIMIT, serving).await.unwrap_or(Ok(()))
}

fn router(state: AdminState) -> Router {
    let scores = scores::PATHS.iter();
    let scores = scores.fold(Router::new(), |router, path| router.route(path, any(scores::ask)));
    Router::new()
        .merge(scores)
        .route("/", get(health::index))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/log-level", get(log_level::show).put(log_level::change))
        .route(masking_logs::PATH, get(masking_logs::list))
        .route(notifications::PATH, get(notifications::follow))
        .merge(workflow_pages())
        .route(reveal::PATH, post(reveal::reveal))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), guard::check))
        .with_state(state)
}

/// What is sent here may be longer than elsewhere.
fn workflow_pages() -> Router<AdminState> {
    let one = get(workflows::show).put(workflows::replace).delete(workflows::remove);
    Router::new()
        .route(workflows::ALL, get(workflows::list).post(workflows::create))
        .route(workflows::ONE, one)
        .route(workflows::EXECUTE, post(workflows::execute))
        .route(workflows::RUNS, get(workflows::runs))
        .route(workflows::RUN, get(workflows::run))
        .layer(DefaultBodyLimit::max(workflows::LARGEST))
}

async fn not_found() -> Response {
    answer(&Problem::about_blank(StatusCode::NOT_FOUND))
}

async fn method_not_allowed() -> Response {
    // The router adds `Allow`.
    answer(&Problem::about_blank(StatusCode::METHOD_NOT_ALLOWED))
}

/// The one way a problem becomes an answer here.
fn answer(problem: &Problem) -> Response {
    let content_type = HeaderValue::from_static(problem::CONTENT_TYPE);
    (problem.status(), [(header::CONTENT_TYPE, content_type)], problem.to_json()).into_response()
}

#[cfg(test)]
mod tests;
