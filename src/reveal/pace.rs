//! How often a caller may ask: so many times at once, and then as many a minute.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// Callers remembered. One that is forgotten may begin anew, so the number is large.
const MOST_CALLERS: u64 = 100_000;

const MINUTE: Duration = Duration::from_secs(60);

/// Tenant and subject.
type Caller = (Box<str>, Box<str>);

pub(super) struct Pace {
    /// Time that one question costs.
    cost: Duration,
    /// When the last of the questions so far is paid for.
    paid: Cache<Caller, Arc<Mutex<Instant>>>,
}

impl Pace {
    pub(super) fn new(per_minute: u32) -> Self {
        let paid = Cache::builder().max_capacity(MOST_CALLERS).time_to_idle(2 * MINUTE).build();
        Self { cost: MINUTE / per_minute.max(1), paid }
    }

    /// How long the caller must wait before asking; `None` where it need not, and then it has
    /// asked.
    pub(super) fn wait(&self, tenant: &str, subject: &str, now: Instant) -> Option<Duration> {
        let of_caller =
            self.paid.get_with((tenant.into(), subject.into()), || Arc::new(Mutex::new(now)));
        let mut paid = of_caller.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*paid).max(now) + self.cost;
        // A minute may be spent ahead.
        let ahead = next.saturating_duration_since(now);
        if let Some(wait) = ahead.checked_sub(MINUTE).filter(|wait| !wait.is_zero()) {
            return Some(wait);
        }
        *paid = next;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_may_be_spent_at_once_and_then_each_question_waits() {
        let pace = Pace::new(3);
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(pace.wait("acme", "ann", now), None);
        }
        assert_eq!(pace.wait("acme", "ann", now), Some(Duration::from_secs(20)));
        let later = now + Duration::from_secs(19);
        assert_eq!(pace.wait("acme", "ann", later), Some(Duration::from_secs(1)));
        assert_eq!(pace.wait("acme", "ann", later + Duration::from_secs(1)), None);
        // Others have their own time, and so has a namesake of another company.
        assert_eq!(pace.wait("acme", "bob", now), None);
        assert_eq!(pace.wait("globex", "ann", now), None);
        let tomorrow = now + Duration::from_secs(86_400);
        assert_eq!((0..9).filter(|_| pace.wait("acme", "ann", tomorrow).is_none()).count(), 3);
    }
}
