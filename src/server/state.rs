//! What outlives the process: the store in the data folder, and the audit ledger in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::policies::Policies;
use crate::admin::{Condition, Readiness};
use crate::audit::{self, Ledger, LedgerParts};
use crate::config::{self, Audit};
use crate::event::{journal, seen};
use crate::score_history;
use crate::store::{Fault, Health, OpenError, Options, Schema, Store, StoreObserver};
use crate::telemetry::{StoreCommitted, StoreFailed, StoreHealth, Telemetry, Waiting};
use crate::token_map::{self, TokenMap};
use crate::workflow::runs;

/// The tables of every room that keeps something.
const SCHEMAS: &[Schema] = &[
    journal::SCHEMA,
    seen::SCHEMA,
    score_history::SCHEMA,
    audit::SCHEMA,
    token_map::SCHEMA,
    runs::SCHEMA,
];

/// Opens the store. Blocks.
pub(super) fn open(
    folder: &Path,
    telemetry: &Telemetry,
    readiness: &Readiness,
) -> Result<Store, StartError> {
    try_open(folder, telemetry, readiness).map_err(|error| refused(&error))
}

/// Opens the store, unless another process has it.
pub(super) fn open_own(
    folder: &Path,
    telemetry: &Telemetry,
    readiness: &Readiness,
) -> Result<Option<Store>, StartError> {
    match try_open(folder, telemetry, readiness) {
        Ok(store) => Ok(Some(store)),
        Err(OpenError::Owned(_)) => Ok(None),
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &OpenError) -> StartError {
    StartError::Settings(vec![format!("`data_dir`: {error}")])
}

fn try_open(
    folder: &Path,
    telemetry: &Telemetry,
    readiness: &Readiness,
) -> Result<Store, OpenError> {
    let observer = Observer { telemetry: telemetry.clone(), readiness: readiness.clone() };
    observer.health_changed(Health::Healthy);
    let options = Options { observer: Some(Arc::new(observer)), ..Options::default() };
    let store = Store::open(folder, SCHEMAS, &options)?;
    telemetry.watch_depth(Waiting::Store, store.depth());
    Ok(store)
}

/// Starts the token map in an open store.
pub(super) fn token_map(
    settings: config::TokenMap,
    store: &Store,
    telemetry: &Telemetry,
) -> Result<TokenMap, StartError> {
    TokenMap::start(store.clone(), settings, telemetry.clone())
        .map_err(|_| "the thread of the token map cannot be started".to_owned().into())
}

/// Starts the audit ledger in an open store.
pub(super) fn ledger(
    settings: Audit,
    store: &Store,
    policies: &Policies,
    telemetry: &Telemetry,
) -> Result<Ledger, StartError> {
    let in_force = policies.store();
    let parts = LedgerParts {
        store: store.clone(),
        settings,
        keys: Box::new(move || in_force.current()?.snapshot.keys()),
        telemetry: telemetry.clone(),
    };
    Ledger::start(parts)
        .map_err(|_| "the thread of the audit ledger cannot be started".to_owned().into())
}

/// Tells of the store what others need to know.
#[derive(Debug)]
struct Observer {
    telemetry: Telemetry,
    readiness: Readiness,
}

impl StoreObserver for Observer {
    fn committed(&self, _group: usize, fsync: Duration) {
        StoreCommitted { fsync }.emit(&self.telemetry);
    }

    fn failed(&self, _group: usize, fault: Fault) {
        StoreFailed { fault: fault.name() }.emit(&self.telemetry);
    }

    fn health_changed(&self, health: Health) {
        let fault = match health {
            Health::Healthy => None,
            Health::Ailing(fault) | Health::Failed(fault) => Some(fault.name()),
        };
        self.readiness.set(Condition::StoreHealthy, fault.is_none());
        StoreHealth { fault }.emit(&self.telemetry);
    }
}
