//! A refresh of scores by hand, in a process of its own: what a server does beside the street, without
//! the street.
//!
//! The store belongs to one process. Where that is a gate that runs, this refuses, and the gate is to
//! be asked.

use std::sync::Arc;

use tokio::sync::watch;

use super::policies::Policies;
use super::scores::{ScoreParts, Scores, ScoresRunning};
use super::{StartError, require_roots, state};
use crate::admin::Readiness;
use crate::config::Settings;
use crate::diagnostic::Finding;
use crate::event::journal::Journal;
use crate::proxy::{Crm, Progress, Readers, ScoreRefresher};
use crate::score_history::RefreshKind;
use crate::store::Store;
use crate::telemetry::Telemetry;

/// Why there is no refresh.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// A gate runs that owns the store.
    #[error("the data folder belongs to a Fieldgate that is running")]
    Owned,
    /// The policies have faults.
    #[error("the policies have faults")]
    Policies(Vec<Finding>),
    /// What the settings ask for cannot be had.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A refresh that is ready to begin.
pub struct Refreshing {
    refresher: ScoreRefresher,
    running: ScoresRunning,
    store: Store,
}

impl Refreshing {
    /// Opens the store and reads the policies.
    ///
    /// # Errors
    /// See [`RefreshError`].
    pub async fn start(settings: Settings, telemetry: Telemetry) -> Result<Self, RefreshError> {
        let readiness = Readiness::new();
        require_roots(&settings.upstream)?;
        let crm = Crm::new(settings.upstream).map_err(|error| StartError::from(error.to_string()));
        let policies = Policies::new(settings.policies, settings.keys, readiness.clone());
        let findings = policies.load(&telemetry);
        if policies.store().current().is_none() {
            return Err(RefreshError::Policies(findings));
        }
        let folder = settings.data_dir.as_deref();
        let folder = folder.ok_or_else(|| StartError::from("there is no `data_dir`".to_owned()))?;
        let store = state::open_own(folder, &telemetry, &readiness)?;
        let store = store.ok_or(RefreshError::Owned)?;
        let events = settings.events.map(|events| {
            let readers = Readers::default();
            for sink in &events.sinks {
                readers.add(&sink.role);
            }
            (Journal::new(store.clone(), &events.source), readers)
        });
        let Scores { refresher, running, .. } = Scores::start(ScoreParts {
            store: Some(store.clone()),
            events,
            policies,
            crm: Arc::new(crm?),
            settings: settings.scores,
            correlation_header: settings.telemetry.correlation_header,
            largest_answer: settings.limits.hold,
            telemetry,
        })
        .await;
        Ok(Self { refresher, running, store })
    }

    /// How far it is, from now on.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.refresher.progress()
    }

    /// Refreshes until it is done, or until it is to stop; what was read is kept.
    pub async fn run(self, kind: RefreshKind, stop: impl Future<Output = ()>) -> Progress {
        let (stopping, stopped) = watch::channel(false);
        let keeping = tokio::spawn(self.running.keep(stopped));
        let progress = tokio::select! {
            progress = self.refresher.run(kind) => progress,
            () = stop => Progress { stopped: Some("asked"), ..self.refresher.progress().borrow().clone() },
        };
        stopping.send_replace(true);
        let _ = keeping.await;
        let store = self.store;
        // Waits for the disk, so not on a thread that serves.
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
        progress
    }
}
