//! When a failed attempt is made again. Pure: chance is an argument.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The pauses of the Standard Webhooks recommendation.
const PAUSES: [u64; 9] =
    [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// Pauses vary by so much up and down, so that what failed together does not come back together.
const JITTER: f64 = 0.1;

/// The pauses between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// One pause after each attempt but the last; none means that there is one attempt only.
    pub pauses: Vec<Duration>,
    /// The longest time for which a receiver may ask to be left alone.
    pub longest_asked: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            pauses: PAUSES.map(Duration::from_secs).to_vec(),
            longest_asked: Duration::from_secs(24 * HOUR),
        }
    }
}

impl Schedule {
    /// The pause after a failed attempt (from 1); `None` after the last one. A receiver that asks
    /// to be left alone for longer is, within bounds. `chance` is from 0 up to 1.
    #[must_use]
    pub fn after(&self, attempt: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        let index = usize::try_from(attempt.saturating_sub(1)).ok()?;
        let pause = *self.pauses.get(index)?;
        let pause = pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0));
        Some(pause.max(asked.unwrap_or_default().min(self.longest_asked)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attempt: u32, asked: Option<u64>, chance: f64, expected: Option<f64>) {
        let pause = Schedule::default().after(attempt, asked.map(Duration::from_secs), chance);
        assert_eq!(pause, expected.map(Duration::from_secs_f64), "{attempt} {asked:?} {chance}");
    }

    #[test]
    fn the_pauses() {
        check(1, None, 0.5, Some(5.0));
        check(1, None, 0.0, Some(4.5));
        check(1, None, 1.0, Some(5.5));
        check(2, None, 0.5, Some(300.0));
        check(9, None, 0.5, Some(86400.0));
        check(10, None, 0.5, None);
        check(u32::MAX, None, 0.5, None);
    }

    #[test]
    fn what_the_receiver_asks() {
        check(1, Some(1), 0.5, Some(5.0));
        check(1, Some(120), 0.5, Some(120.0));
        check(1, Some(1_000_000), 0.5, Some(86400.0));
        check(9, Some(1_000_000), 1.0, Some(86400.0 * 1.1));
        check(10, Some(1), 0.5, None);
    }
}
