//! Time and chance, as the dispatcher gets them.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

/// The longest sleep before the clock is read again: it may have been set meanwhile.
const NAP: Duration = Duration::from_secs(60);

/// Time and chance.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// What time it is.
    fn now(&self) -> OffsetDateTime;

    /// A number from 0 up to, but not including, 1; another one each time.
    fn chance(&self) -> f64;

    /// Resolves at that time, or at once if it has passed.
    async fn sleep_until(&self, time: OffsetDateTime);
}

/// The real ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn chance(&self) -> f64 {
        rand::random()
    }

    async fn sleep_until(&self, time: OffsetDateTime) {
        loop {
            let left = Duration::try_from(time - self.now()).unwrap_or_default();
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_real_clock_wakes_up_in_time() {
        let clock = SystemClock;
        let (begun, chance) = (clock.now(), clock.chance());
        clock.sleep_until(begun - Duration::from_secs(5)).await;
        clock.sleep_until(begun + Duration::from_millis(20)).await;
        assert!(clock.now() - begun >= Duration::from_millis(20));
        assert!((0.0..1.0).contains(&chance));
    }
}
