//! What workflows tell people, as it comes: `GET /api/v1/notifications/`, server-sent events.
//!
//! Each has an id; whoever comes back with it in `Last-Event-ID`, as browsers do by themselves, gets
//! what came after it. The last ones are kept in memory, see `workflows.feed`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{Stream, unfold};
use tokio::sync::watch;

use super::{AdminState, answer};
use crate::deed::{Feed, Numbered};
use crate::problem::Problem;

/// Where it stands.
pub(super) const PATH: &str = "/api/v1/notifications/";

/// A reader on his way through the feed.
struct Reading {
    feed: Feed,
    changes: watch::Receiver<u64>,
    last: Option<String>,
    ready: VecDeque<Arc<Numbered>>,
}

pub(super) async fn follow(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let Some(feed) = state.workflows.as_ref().and_then(|pages| pages.feed.clone()) else {
        return answer(
            &Problem::new(StatusCode::NOT_FOUND, "no_feed", "No feed")
                .detail("the configuration has no `workflows.feed`"),
        );
    };
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = last.map(ToOwned::to_owned);
    Sse::new(events(feed, last)).keep_alive(KeepAlive::default()).into_response()
}

fn events(feed: Feed, last: Option<String>) -> impl Stream<Item = Result<Event, Infallible>> {
    let changes = feed.changes();
    let reading = Reading { feed, changes, last, ready: VecDeque::new() };
    unfold(reading, |mut reading| async move {
        loop {
            if let Some(next) = reading.ready.pop_front() {
                reading.last = Some(next.id.clone());
                let event = Event::default().id(next.id.clone()).event("notification");
                return Some((Ok(event.data(next.note.to_json().to_string())), reading));
            }
            // Before the look, so that what comes during it is not missed.
            reading.changes.mark_unchanged();
            reading.ready = reading.feed.after(reading.last.as_deref()).into();
            if reading.ready.is_empty() {
                reading.changes.changed().await.ok()?;
            }
        }
    })
}
