//! A panic on the street ends the request it belongs to, and no other.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// The work panicked. What it was about has been told to the application log, without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panicked;

/// Runs `work` to its end, or to its panic. It is dropped at once then, so nothing of it is used
/// again; what it borrowed must be fit for an end in the middle, as it must be for a client that
/// leaves.
pub(super) async fn caught<T>(work: impl Future<Output = T> + Send) -> Result<T, Panicked> {
    let mut work: Pin<Box<dyn Future<Output = T> + Send + '_>> = Box::pin(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_in_its_result_or_in_its_panic() {
        let good = caught(async {
            tokio::task::yield_now().await;
            7
        });
        assert_eq!(good.await, Ok(7));
        let bad = caught(async {
            tokio::task::yield_now().await;
            panic!("in the middle");
        });
        assert_eq!(bad.await, Err::<(), _>(Panicked));
    }
}
