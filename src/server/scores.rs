//! Scores behind the street: what keeps them, what refreshes them, and who may ask.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, Method};
use tokio::sync::watch;

use super::policies::Policies;
use super::stopped;
use crate::admin::ScorePages;
use crate::config;
use crate::event::journal::Journal;
use crate::problem::Problem;
use crate::proxy::{
    Configure, Configured, Crm, Readers, RefreshParts, ScoreDesk, ScoreKeeper, ScoreKeeping,
    ScoreRefresher,
};
use crate::score_history::ScoreHistory;
use crate::store::Store;
use crate::telemetry::Telemetry;

/// What scores are made with.
pub(super) struct ScoreParts {
    pub(super) store: Option<Store>,
    /// Where changes become events, and the roles that read them.
    pub(super) events: Option<(Journal, Readers)>,
    pub(super) policies: Policies,
    pub(super) crm: Arc<Crm>,
    pub(super) settings: config::Scores,
    pub(super) correlation_header: HeaderName,
    /// Most bytes of one answer that is read.
    pub(super) largest_answer: usize,
    pub(super) telemetry: Telemetry,
}

/// Everything about scores, ready to run.
pub(super) struct Scores {
    pub(super) keeper: ScoreKeeper,
    pub(super) refresher: ScoreRefresher,
    pub(super) configure: Configure,
    pub(super) desk: ScoreDesk,
    pub(super) running: ScoresRunning,
}

/// What runs beside the street.
pub(super) struct ScoresRunning {
    keeping: ScoreKeeping,
    refresher: ScoreRefresher,
}

impl Scores {
    /// Over what is kept already.
    pub(super) async fn start(parts: ScoreParts) -> Self {
        let ScoreParts { store, events, policies, crm, settings, telemetry, .. } = parts;
        let history = ScoreHistory::new(store);
        let in_force = policies.store();
        let (keeper, keeping) =
            ScoreKeeper::start(history, events, Arc::clone(&in_force), telemetry.clone()).await;
        let refresher = ScoreRefresher::new(RefreshParts {
            crm,
            settings,
            correlation_header: parts.correlation_header,
            largest_answer: parts.largest_answer,
            policies: Arc::clone(&in_force),
            keeper: keeper.clone(),
            telemetry: telemetry.clone(),
        });
        let configure = configure(policies, telemetry.clone());
        let desk = ScoreDesk::new(
            in_force,
            keeper.clone(),
            refresher.clone(),
            Arc::clone(&configure),
            telemetry,
        );
        let running = ScoresRunning { keeping, refresher: refresher.clone() };
        Self { keeper, refresher, configure, desk, running }
    }
}

impl ScoresRunning {
    /// Keeps and refreshes until it is to stop; what waits is kept then.
    pub(super) async fn run(mut self, stopping: watch::Receiver<bool>) {
        let refreshing = self.keeping.take_wanted().filter(|_| self.refresher.can_read());
        let refreshing = refreshing
            .map(|wanted| tokio::spawn(self.refresher.watch(wanted, stopped(stopping.clone()))));
        self.keeping.run(stopped(stopping)).await;
        if let Some(refreshing) = refreshing {
            let _ = refreshing.await;
        }
    }

    /// Only keeps, for whoever refreshes by hand.
    pub(super) async fn keep(self, stopping: watch::Receiver<bool>) {
        self.keeping.run(stopped(stopping)).await;
    }
}

/// Operators ask the desk.
#[derive(Debug)]
pub(super) struct Pages(pub(super) ScoreDesk);

#[async_trait]
impl ScorePages for Pages {
    async fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: Bytes,
    ) -> Result<Vec<u8>, Problem> {
        self.0.answer(method, path, query, body).await
    }
}

/// Writes rules for a company into the policy folder, if the whole folder is good with them, and puts
/// them in force.
fn configure(policies: Policies, telemetry: Telemetry) -> Configure {
    let one_at_a_time = Mutex::new(());
    Arc::new(move |company, rules| {
        let _one = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let text =
            format!("# Written by the scoring API. The next call replaces all of it.\n{rules}\n");
        let overlay = match policies.overlay(company, text) {
            None => return Configured::NoCompany,
            Some(Err(faults)) => return Configured::Faulty(faults),
            Some(Ok(overlay)) => overlay,
        };
        if overlay.file.write().is_err() {
            return Configured::NotWritten;
        }
        policies.load(&telemetry);
        let in_force = policies.store().current();
        match in_force {
            Some(in_force) if in_force.revision == overlay.revision => {
                Configured::InForce { revision: overlay.revision, warnings: overlay.warnings }
            }
            // Somebody else changed the folder in the meantime.
            Some(_) | None => Configured::WrittenNotInForce,
        }
    })
}

/// The name of a file, for whoever does not know where the folder is.
pub(super) fn below(folder: &Path, name: &str) -> String {
    let relative = Path::new(name).strip_prefix(folder);
    relative.map_or_else(|_| name.to_owned(), |relative| relative.display().to_string())
}
