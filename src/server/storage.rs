//! What outlives the process: the store in the data folder, and the audit ledger in it.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::policies::Policies;
use crate::audit::{self, Ledger, LedgerParts};
use crate::config::Audit;
use crate::store::{Fault, Health, Options, Store, StoreObserver};
use crate::telemetry::{StoreCommitted, StoreFailed, StoreHealth, Telemetry};

/// Opened at start, closed when the last request is over.
pub(super) struct Storage {
    store: Store,
    ledger: Option<Ledger>,
}

impl Storage {
    /// Opens the store in `folder`, and starts the ledger where there is one.
    pub(super) fn open(
        folder: &std::path::Path,
        audit: Option<Audit>,
        policies: &Policies,
        telemetry: &Telemetry,
    ) -> Result<Self, StartError> {
        let options =
            Options { observer: Some(Arc::new(Observed(telemetry.clone()))), ..Options::default() };
        let store = Store::open(folder, &[audit::SCHEMA], &options)
            .map_err(|error| format!("{error}; {}", error.help()))?;
        StoreHealth { fault: None }.emit(telemetry);
        let in_force = policies.store();
        let start = |settings| {
            Ledger::start(LedgerParts {
                store: store.clone(),
                settings,
                keys: Box::new(move || in_force.current()?.snapshot.keys()),
                telemetry: telemetry.clone(),
            })
        };
        let ledger = audit.map(start).transpose();
        let ledger =
            ledger.map_err(|_| "the thread of the audit ledger cannot be started".to_owned())?;
        Ok(Self { store, ledger })
    }

    pub(super) fn ledger(&self) -> Option<Ledger> {
        self.ledger.clone()
    }

    /// Writes what waits and closes the file. Blocks.
    pub(super) fn close(self) {
        if let Some(ledger) = self.ledger {
            ledger.close();
        }
        self.store.close();
    }
}

/// Tells what the store's writer says.
#[derive(Debug)]
struct Observed(Telemetry);

impl StoreObserver for Observed {
    fn committed(&self, _group: usize, fsync: Duration) {
        StoreCommitted { fsync }.emit(&self.0);
    }

    fn failed(&self, _group: usize, fault: Fault) {
        StoreFailed { fault: fault.name() }.emit(&self.0);
    }

    fn health_changed(&self, health: Health) {
        let fault = match health {
            Health::Healthy => None,
            Health::Ailing(fault) | Health::Failed(fault) => Some(fault.name()),
        };
        StoreHealth { fault }.emit(&self.0);
    }
}
