//! Whether Fieldgate may be sent requests: a closed list of conditions, all of which must hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

/// What must hold before requests are welcome. Each begins as not holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Policies are in force.
    PoliciesLoaded,
    /// Every key that the policies need is there; holds as well where none is needed.
    KeysLoaded,
    /// The store takes writes; holds as well where there is none.
    StoreHealthy,
    /// Listeners are open and the process does not drain.
    Accepting,
}

impl Condition {
    /// Every condition, in the order of the enum.
    pub const ALL: [Self; 4] =
        [Self::PoliciesLoaded, Self::KeysLoaded, Self::StoreHealthy, Self::Accepting];

    /// The name in the answer of `/readyz`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PoliciesLoaded => "policies_loaded",
            Self::KeysLoaded => "keys_loaded",
            Self::StoreHealthy => "store_healthy",
            Self::Accepting => "accepting",
        }
    }
}

/// The handle that the composition root sets and the listener reads. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    shared: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    policies_loaded: AtomicBool,
    keys_loaded: AtomicBool,
    store_healthy: AtomicBool,
    accepting: AtomicBool,
}

impl Readiness {
    /// Nothing holds yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether a condition holds from now on.
    pub fn set(&self, condition: Condition, holds: bool) {
        self.flag(condition).store(holds, Ordering::Release);
    }

    /// Whether a condition holds.
    #[must_use]
    pub fn holds(&self, condition: Condition) -> bool {
        self.flag(condition).load(Ordering::Acquire)
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        Condition::ALL.into_iter().all(|condition| self.holds(condition))
    }

    /// Whether it is ready, and the document that says so.
    pub(super) fn report(&self) -> (bool, Value) {
        let checks = Condition::ALL.map(|condition| (condition, self.holds(condition)));
        let is_ready = checks.iter().all(|(_, holds)| *holds);
        let checks: serde_json::Map<String, Value> = checks
            .iter()
            .map(|(condition, holds)| (condition.name().to_owned(), Value::Bool(*holds)))
            .collect();
        (is_ready, json!({ "ready": is_ready, "checks": checks }))
    }

    fn flag(&self, condition: Condition) -> &AtomicBool {
        match condition {
            Condition::PoliciesLoaded => &self.shared.policies_loaded,
            Condition::KeysLoaded => &self.shared.keys_loaded,
            Condition::StoreHealthy => &self.shared.store_healthy,
            Condition::Accepting => &self.shared.accepting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_needed() {
        let readiness = Readiness::new();
        assert!(!readiness.is_ready());
        for condition in Condition::ALL {
            readiness.set(condition, true);
        }
        assert!(readiness.is_ready());
        for condition in Condition::ALL {
            readiness.set(condition, false);
            assert!(!readiness.is_ready(), "{condition:?}");
            let (is_ready, report) = readiness.report();
            assert!(!is_ready);
            assert_eq!(report["checks"][condition.name()], false);
            readiness.set(condition, true);
        }
    }
}
