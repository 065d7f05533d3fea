//! Warnings and errors that repeat: some are written, the rest are counted.
//!
//! Time is an argument. The memory is bounded: past so many different texts, new ones share one
//! place.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one window is.
const WINDOW: Duration = Duration::from_secs(60);

/// How many lines of one text are written in a window.
const LINES: u32 = 10;

/// How many texts are told apart.
const MOST_TEXTS: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Repeats {
    texts: Mutex<HashMap<u64, Window>>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    written: u32,
    withheld: u64,
}

impl Repeats {
    /// Whether a line with this text is to be written now; with it goes how many were withheld
    /// since the last one.
    pub(super) fn admit(&self, target: &str, message: &str, now: Instant) -> Option<u64> {
        let key = self.hasher.hash_one((target, message));
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() >= MOST_TEXTS && !texts.contains_key(&key) {
            texts.retain(|_, window| now.saturating_duration_since(window.began) < WINDOW);
        }
        let key = if texts.len() < MOST_TEXTS || texts.contains_key(&key) { key } else { 0 };
        let fresh = Window { began: now, written: 0, withheld: 0 };
        let window = texts.entry(key).or_insert(fresh);
        let is_over = now.saturating_duration_since(window.began) >= WINDOW;
        if !is_over && window.written >= LINES {
            window.withheld += 1;
            return None;
        }
        let withheld = window.withheld;
        let (began, written) = if is_over { (now, 0) } else { (window.began, window.written) };
        *window = Window { began, written: written + 1, withheld: 0 };
        Some(withheld)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_written_a_few_times_and_then_counted() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let written: Vec<u64> =
            (0..1000).filter_map(|_| repeats.admit("fieldgate", "again", start)).collect();
        assert_eq!(written, [0; LINES as usize]);
        assert_eq!(repeats.admit("fieldgate", "another", start), Some(0));
        assert_eq!(repeats.admit("fieldgate::cli", "again", start), Some(0));
        assert_eq!(repeats.admit("fieldgate", "again", start + WINDOW), Some(990));
        assert_eq!(repeats.admit("fieldgate", "again", start + WINDOW), Some(0));
    }

    #[test]
    fn texts_that_are_always_new_do_not_fill_the_memory() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let written = (0..100_000).filter(|n| repeats.admit("x", &n.to_string(), start).is_some());
        let written = written.count();
        assert!(written < MOST_TEXTS + LINES as usize + 1, "{written}");
        assert!(repeats.texts.lock().unwrap().len() <= MOST_TEXTS + 1);
        assert_eq!(repeats.admit("x", "later", start + WINDOW), Some(0));
    }
}
