//! A total deadline for request heads on HTTP/1 connections.
//!
//! pingora bounds every read, but not the whole head: a client that sends a byte now and then
//! keeps its connection for ever. The clock runs from the moment a connection may send a head
//! until the head is complete. The task that serves the connection carries it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    static CLOCK: HeadClock;
}

/// Until when the head must be there; `None` while a request is being answered.
#[derive(Debug, Clone)]
struct HeadClock {
    deadline: watch::Sender<Option<Instant>>,
    between_requests: Duration,
}

/// Runs `serving`, unless a head takes too long: then drops it, and the connection with it.
/// `first` bounds the first head, `between_requests` the pause before the next one and its head.
pub(crate) async fn guarded<T>(
    serving: impl Future<Output = T>,
    first: Duration,
    between_requests: Duration,
) -> Option<T> {
    let (deadline, seen) = watch::channel(Some(Instant::now() + first));
    let clock = HeadClock { deadline, between_requests };
    tokio::select! {
        served = CLOCK.scope(clock, serving) => Some(served),
        () = expired(seen) => None,
    }
}

async fn expired(mut deadline: watch::Receiver<Option<Instant>>) {
    loop {
        let until = *deadline.borrow_and_update();
        let changed = deadline.changed();
        let Some(until) = until else {
            if changed.await.is_err() {
                return std::future::pending().await;
            }
            continue;
        };
        tokio::select! {
            () = sleep_until(until) => return,
            result = changed => if result.is_err() {
                return std::future::pending().await;
            },
        }
    }
}

/// Stops the clock. Does nothing on a task without one, such as an HTTP/2 stream's.
pub(super) fn head_is_complete() {
    let _ = CLOCK.try_with(|clock| clock.deadline.send_replace(None));
}

/// Starts the clock for the next head.
pub(super) fn request_is_over() {
    let _ = CLOCK.try_with(|clock| {
        clock.deadline.send_replace(Some(Instant::now() + clock.between_requests));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_heads_are_timed() {
        let second = Duration::from_secs(1);
        let slow_head = guarded(std::future::pending::<()>(), second, second);
        assert_eq!(slow_head.await, None);

        let slow_answer = async {
            head_is_complete();
            tokio::time::sleep(second * 100).await;
        };
        assert_eq!(guarded(slow_answer, second, second).await, Some(()));

        let slow_second_head = async {
            head_is_complete();
            request_is_over();
            tokio::time::sleep(second * 3).await;
        };
        assert_eq!(guarded(slow_second_head, second, second * 2).await, None);
    }
}
