//! What all requests together may use: how many are under way, how many bytes of bodies are held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A counter that never passes its limit.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// A share that is given back when it is dropped; empty at first.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), taken: 0 }
    }
}

/// Part of a budget.
#[derive(Debug)]
#[must_use = "a share that is dropped holds nothing"]
pub(super) struct Share {
    budget: Budget,
    taken: usize,
}

impl Share {
    /// Takes more until the share is `size`; says whether there was enough.
    #[must_use]
    pub(super) fn grow_to(&mut self, size: usize) -> bool {
        let more = size.saturating_sub(self.taken);
        let limit = self.budget.limit;
        let fits = self
            .budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|used| *used <= limit)
            })
            .is_ok();
        if fits {
            self.taken += more;
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_pass_the_limit_and_are_given_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.grow_to(6));
        assert!(one.grow_to(4), "a share does not shrink");
        assert!(!other.grow_to(5));
        assert!(other.grow_to(4));
        drop(one);
        assert!(other.grow_to(10));
        assert!(!other.grow_to(usize::MAX));
    }
}
