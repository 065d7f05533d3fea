//! Where the runs are that a command speaks of: in a data folder, or with the NATS servers of a group
//! of sidecars.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::SCHEMAS;
use crate::cli::data_dir::{DataDir, cannot_use};
use crate::cli::exit::Failed;
use crate::cli::runtime;
use crate::config::Fleet;
use crate::store::Visitor;
use crate::workflow::fleet::SharedRuns;
use crate::workflow::runs::{self, Cancelled, Filter, Listed, Retried, Runs as _, Shown};

/// How long the servers may take to tell of all runs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs that can be read, taken back and begun again.
pub(super) enum Place {
    Folder(Visitor),
    Group(Group),
}

/// A look at the runs of a group.
pub(super) struct Group {
    runtime: Runtime,
    runs: SharedRuns,
}

impl Place {
    pub(super) fn to_read(at: &DataDir) -> Result<Self, Failed> {
        match at.fleet()? {
            Some(fleet) => Group::join(fleet).map(Self::Group),
            None => at.look(SCHEMAS).map(Self::Folder),
        }
    }

    pub(super) fn to_write(at: &DataDir) -> Result<Self, Failed> {
        match at.fleet()? {
            Some(fleet) => Group::join(fleet).map(Self::Group),
            None => at.write(SCHEMAS).map(Self::Folder),
        }
    }

    /// The run whose id begins like this.
    pub(super) fn find(&self, written: &str) -> Result<Uuid, Failed> {
        let found = match self {
            Self::Folder(visitor) => {
                visitor.read(|connection| runs::suggest_runs(connection, written))
            }
            Self::Group(group) => group.begin_with(written),
        };
        match found.map_err(|error| cannot_use(&error))?.as_slice() {
            [run] => Ok(*run),
            [] => Err(Failed::usage(format!("there is no run `{written}`"))
                .help("`fieldgate runs list` shows the ids")),
            _ => Err(Failed::usage(format!("several runs begin with `{written}`"))
                .help("write more of the id")),
        }
    }

    pub(super) fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Listed>, Failed> {
        let listed = match self {
            Self::Folder(visitor) => {
                visitor.read(|connection| runs::list(connection, &filter, limit))
            }
            Self::Group(group) => group.runtime.block_on(group.runs.list(filter, limit)),
        };
        listed.map_err(|error| cannot_use(&error))
    }

    pub(super) fn show(&self, run: Uuid) -> Result<Option<Shown>, Failed> {
        let shown = match self {
            Self::Folder(visitor) => visitor.read(|connection| runs::show(connection, run)),
            Self::Group(group) => group.runtime.block_on(group.runs.show(run)),
        };
        shown.map_err(|error| cannot_use(&error))
    }

    pub(super) fn cancel(&mut self, run: Uuid, now: OffsetDateTime) -> Result<Cancelled, Failed> {
        let cancelled = match self {
            Self::Folder(visitor) => visitor.write(|inside| runs::cancel(inside, run, now)),
            Self::Group(group) => group.runtime.block_on(group.runs.cancel(run, now)),
        };
        cancelled.map_err(|error| cannot_use(&error))
    }

    pub(super) fn retry(&mut self, run: Uuid) -> Result<Retried, Failed> {
        let retried = match self {
            Self::Folder(visitor) => visitor.write(|inside| runs::retry(inside, run)),
            Self::Group(group) => group.runtime.block_on(group.runs.retry(run)),
        };
        retried.map_err(|error| cannot_use(&error))
    }
}

impl Group {
    /// Waits until the servers have told of every run.
    fn join(fleet: Fleet) -> Result<Self, Failed> {
        let runtime = runtime::with_threads(1)?;
        let runs = SharedRuns::new(fleet)
            .map_err(|why| Failed::could_not_run(format!("`workflows.nats`: {why}")))?;
        let listener = runs.clone();
        runtime.spawn(async move { listener.listen().await });
        let told = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, runs.wait_until_current()).await });
        if told.is_err() {
            return Err(Failed::could_not_run(
                "the NATS servers of `workflows.nats` do not answer",
            )
            .help("are they up, and may this account read the buckets?"));
        }
        Ok(Self { runtime, runs })
    }

    fn begin_with(&self, written: &str) -> Result<Vec<Uuid>, crate::store::StoreError> {
        let written = written.to_lowercase();
        let all = self.runtime.block_on(self.runs.list(Filter::default(), usize::MAX))?;
        let ids = all.into_iter().map(|run| run.id);
        Ok(ids.filter(|id| id.to_string().starts_with(&written)).take(2).collect())
    }
}
