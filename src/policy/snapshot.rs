//! The policies in force, and how new ones take their place.
//!
//! A request takes one [`Arc`] and keeps it, so its answer is wholly by the old policies or wholly
//! by the new. Last good wins: a folder with a fault changes nothing. No clock, no logging; who
//! calls [`PolicyStore::reload`] tells the world what came of it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::load::{Fingerprint, load};
use super::set::PolicySet;
use crate::diagnostic::Finding;

/// The policies in force. `S` is what a request needs of them: routes, compiled plans.
#[derive(Debug)]
pub struct PolicyStore<S> {
    current: ArcSwapOption<InForce<S>>,
    /// One reload at a time, or an older folder could overtake a newer one.
    reloading: Mutex<()>,
}

/// A snapshot and where it came from.
#[derive(Debug)]
pub struct InForce<S> {
    /// What requests use.
    pub snapshot: S,
    /// The revision of its policies, for logs and metrics.
    pub revision: String,
    fingerprint: Fingerprint,
}

/// What a reload did.
#[derive(Debug)]
#[must_use = "a refused reload must be told to someone"]
pub enum ReloadOutcome {
    /// New policies are in force.
    Swapped {
        /// Their revision.
        revision: String,
        /// The revision before; `None` at start.
        previous: Option<String>,
        /// Warnings only.
        findings: Vec<Finding>,
    },
    /// The folder holds what is in force already.
    Unchanged {
        /// The revision in force.
        revision: String,
    },
    /// The folder has faults; what was in force stays so.
    Refused {
        /// What is wrong, one error at least.
        findings: Vec<Finding>,
        /// The revision in force; `None` means there is none and no request can be answered.
        still: Option<String>,
    },
}

impl<S> Default for PolicyStore<S> {
    fn default() -> Self {
        Self { current: ArcSwapOption::empty(), reloading: Mutex::new(()) }
    }
}

impl<S> PolicyStore<S> {
    /// A store without policies: not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The policies in force. Take them once a request.
    #[must_use]
    pub fn current(&self) -> Option<Arc<InForce<S>>> {
        self.current.load_full()
    }

    /// Reads `folder`; puts it in force if it has no fault and `compile` accepts it. A folder that
    /// is in force already is compiled anew only where `anew` says so, because what it is
    /// compiled with has changed.
    pub fn reload(
        &self,
        folder: &Path,
        anew: bool,
        compile: impl FnOnce(PolicySet) -> Result<S, Vec<Finding>>,
    ) -> ReloadOutcome {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current();
        let revision_before = || before.as_ref().map(|in_force| in_force.revision.clone());
        let loaded = load(folder);
        let mut findings = loaded.findings;
        let Some(set) = loaded.set else {
            return ReloadOutcome::Refused { findings, still: revision_before() };
        };
        let revision = set.revision.clone();
        let same = before.as_ref().is_some_and(|before| before.fingerprint == loaded.fingerprint);
        if same && !anew {
            return ReloadOutcome::Unchanged { revision };
        }
        match compile(set) {
            Ok(snapshot) => {
                let in_force = InForce {
                    snapshot,
                    revision: revision.clone(),
                    fingerprint: loaded.fingerprint,
                };
                self.current.store(Some(Arc::new(in_force)));
                ReloadOutcome::Swapped { revision, previous: revision_before(), findings }
            }
            Err(faults) => {
                findings.extend(faults);
                ReloadOutcome::Refused { findings, still: revision_before() }
            }
        }
    }
}

/// Decides when a folder that is looked at now and then should be reloaded.
///
/// A file can be seen half written, and a truncated policy may still be a valid one. So a change
/// counts only once the folder looks the same twice in a row.
#[derive(Debug)]
pub struct Watch {
    settled: Fingerprint,
    last_seen: Fingerprint,
}

impl Watch {
    /// Starts from the folder as it was before the first policies were loaded.
    #[must_use]
    pub fn new(first: Fingerprint) -> Self {
        Self { settled: first, last_seen: first }
    }

    /// Takes one look; `true` means: reload now. Says so once for each change, so that a broken
    /// folder is reported once and not at every look.
    #[must_use]
    pub fn look(&mut self, now: Fingerprint) -> bool {
        let steady = self.last_seen == now;
        self.last_seen = now;
        if !steady || self.settled == now {
            return false;
        }
        self.settled = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::policy::load::fingerprint;

    fn write(folder: &Path, role: &str) {
        fs::create_dir_all(folder.join("roles")).unwrap();
        fs::create_dir_all(folder.join("resources")).unwrap();
        let lead = r#"{resource: lead, fields: {"$..ssn": {mask: hash}}, routes: [{methods: [GET], path: /leads, records: "$[*]"}]}"#;
        fs::write(folder.join("resources/lead.yaml"), lead).unwrap();
        fs::write(folder.join("roles/one.yaml"), role).unwrap();
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape that `reload` takes")]
    fn compile(set: PolicySet) -> Result<Vec<String>, Vec<Finding>> {
        Ok(set.roles.into_keys().collect())
    }

    fn roles(store: &PolicyStore<Vec<String>>) -> Vec<String> {
        store.current().unwrap().snapshot.clone()
    }

    #[test]
    fn last_good_wins() {
        let folder = tempfile::tempdir().unwrap();
        let store = PolicyStore::new();
        assert!(store.current().is_none());

        write(folder.path(), "role: [");
        let outcome = store.reload(folder.path(), false, compile);
        assert!(matches!(outcome, ReloadOutcome::Refused { still: None, .. }), "{outcome:?}");
        assert!(store.current().is_none());

        write(folder.path(), "role: sales");
        let outcome = store.reload(folder.path(), false, compile);
        let ReloadOutcome::Swapped { revision: first, previous: None, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(roles(&store), ["sales"]);
        assert_eq!(store.current().unwrap().revision, first);

        let kept_by_a_request = store.current().unwrap();
        write(folder.path(), "role: support");
        let outcome = store.reload(folder.path(), false, compile);
        let ReloadOutcome::Swapped { revision: second, previous: Some(previous), .. } = outcome
        else {
            panic!("{outcome:?}")
        };
        assert_eq!(previous, first);
        assert_eq!(roles(&store), ["support"]);
        assert_eq!(kept_by_a_request.snapshot, ["sales"]);

        for broken in ["role: 7", "role: \u{7}", ""] {
            write(folder.path(), broken);
            let outcome = store.reload(folder.path(), false, compile);
            let ReloadOutcome::Refused { findings, still } = outcome else { panic!("{outcome:?}") };
            assert!(!findings.is_empty());
            assert_eq!(still.as_deref(), Some(second.as_str()));
            assert_eq!(roles(&store), ["support"]);
        }
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(matches!(
            store.reload(folder.path(), false, compile),
            ReloadOutcome::Refused { still: Some(_), .. }
        ));
        assert_eq!(roles(&store), ["support"]);
    }

    #[test]
    fn a_set_that_does_not_compile_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "role: sales");
        let store = PolicyStore::<()>::new();
        let outcome =
            store.reload(folder.path(), false, |_| Err(vec![Finding::error("plan::x", "no")]));
        let ReloadOutcome::Refused { findings, still: None } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(findings.last().unwrap().code(), "plan::x");
        assert!(store.current().is_none());
    }

    #[test]
    fn an_unchanged_folder_is_not_compiled_again() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "role: sales");
        let store = PolicyStore::new();
        let _ = store.reload(folder.path(), false, compile);
        let first = store.current().unwrap();
        let outcome = store.reload(folder.path(), false, |_| unreachable!("nothing has changed"));
        assert!(matches!(outcome, ReloadOutcome::Unchanged { .. }), "{outcome:?}");
        assert!(Arc::ptr_eq(&first, &store.current().unwrap()));
    }

    #[test]
    fn readers_see_whole_snapshots_while_the_folder_changes() {
        let folder = tempfile::tempdir().unwrap();
        let store = PolicyStore::new();
        write(folder.path(), "role: r0");
        let pair = |set: PolicySet| {
            let name = set.roles.into_keys().next().unwrap_or_default();
            Ok((name.clone(), name))
        };
        let _ = store.reload(folder.path(), false, pair);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let now = store.current().unwrap();
                    assert_eq!(now.snapshot.0, now.snapshot.1);
                }
            });
            for round in 1..50 {
                write(folder.path(), &format!("role: r{round}"));
                let _ = store.reload(folder.path(), false, pair);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(store.current().unwrap().snapshot.0, "r49");
    }

    #[test]
    fn a_change_counts_when_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let look_at = |text: &str| {
            write(folder.path(), text);
            fingerprint(folder.path())
        };
        let (a, b, c) = (look_at("a"), look_at("b"), look_at("c"));
        let mut watch = Watch::new(a);
        let looks = [a, b, c, c, c, b, a, a, c, c];
        let reloads = looks.map(|now| watch.look(now));
        let expect = [false, false, false, true, false, false, false, true, false, true];
        assert_eq!(reloads, expect);
    }
}
