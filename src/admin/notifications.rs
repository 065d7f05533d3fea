//! What workflows tell people, as it comes: `GET /api/v1/notifications/`, server-sent events.
//!
//! Each has an id; whoever comes back with it in `Last-Event-ID`, as browsers do by themselves, gets
//! what came after it. The last ones are kept in memory, see `workflows.feed`. Readers are few, so
//! that metrics and probes always find a connection, and end when the listener does.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{Stream, unfold};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{AdminState, answer};
use crate::deed::{Feed, Numbered};
use crate::problem::Problem;

/// Where it stands.
pub(super) const PATH: &str = "/api/v1/notifications/";

/// Readers at the same time.
pub(super) const MOST_READERS: usize = 16;

/// When one who found no place may come again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");

/// A reader on his way through the feed.
struct Reading {
    feed: Feed,
    changes: watch::Receiver<u64>,
    last: Option<String>,
    ready: VecDeque<Arc<Numbered>>,
    is_stopping: watch::Receiver<bool>,
    /// His, until nobody reads the answer any more.
    _place: OwnedSemaphorePermit,
}

pub(super) async fn follow(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let Some(feed) = state.workflows.as_ref().and_then(|pages| pages.feed.clone()) else {
        return answer(
            &Problem::new(StatusCode::NOT_FOUND, "no_feed", "No feed")
                .detail("the configuration has no `workflows.feed`"),
        );
    };
    let Ok(place) = Arc::clone(&state.readers).try_acquire_owned() else {
        let problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_readers", "Too many readers")
                .detail(format!("{MOST_READERS} read the feed already"));
        return ([(header::RETRY_AFTER, RETRY_AFTER)], answer(&problem)).into_response();
    };
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = last.map(ToOwned::to_owned);
    let (changes, is_stopping) = (feed.changes(), state.is_stopping);
    let ready = VecDeque::new();
    let reading = Reading { feed, changes, last, ready, is_stopping, _place: place };
    Sse::new(events(reading)).keep_alive(KeepAlive::default()).into_response()
}

fn events(reading: Reading) -> impl Stream<Item = Result<Event, Infallible>> {
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
                tokio::select! {
                    changed = reading.changes.changed() => changed.ok()?,
                    Ok(_) = reading.is_stopping.wait_for(|is_stopping| *is_stopping) => return None,
                }
            }
        }
    })
}
