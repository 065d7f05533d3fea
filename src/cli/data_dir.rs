//! Which store a command looks into: the folder that a running or stopped Fieldgate keeps its
//! state in.

use std::path::PathBuf;

use clap::Args;

use super::exit::Failed;
use super::run;
use crate::config::Fleet;
use crate::store::{OpenError, Schema, StoreError, Visitor};

/// Where the state is.
#[derive(Debug, Args)]
pub(super) struct DataDir {
    /// The data folder [default: `data_dir` of the configuration]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration that names the data folder
    #[arg(
        long,
        value_name = "FILE",
        default_value = "fieldgate.yaml",
        conflicts_with = "data_dir"
    )]
    config: PathBuf,
}

impl DataDir {
    pub(super) fn folder(&self) -> Result<PathBuf, Failed> {
        if let Some(folder) = &self.data_dir {
            return Ok(folder.clone());
        }
        run::load_settings(&self.config)?.data_dir.ok_or_else(|| {
            Failed::usage(format!("`{}` names no `data_dir`", self.config.display()))
                .help("without a data folder nothing is kept; or name one with `--data-dir`")
        })
    }

    /// The group of sidecars that the configuration names, where no data folder is given.
    pub(super) fn fleet(&self) -> Result<Option<Fleet>, Failed> {
        if self.data_dir.is_some() {
            return Ok(None);
        }
        let workflows = run::load_settings(&self.config)?.workflows;
        Ok(workflows.and_then(|workflows| workflows.nats))
    }

    /// Opens the store to look into it, at rest or live.
    pub(super) fn look(&self, schemas: &[Schema]) -> Result<Visitor, Failed> {
        Visitor::reader(&self.folder()?, schemas).map_err(|error| cannot_open(&error))
    }

    /// Opens the store for a short write, at rest or live.
    pub(super) fn write(&self, schemas: &[Schema]) -> Result<Visitor, Failed> {
        Visitor::writer(&self.folder()?, schemas).map_err(|error| cannot_open(&error))
    }
}

fn cannot_open(error: &OpenError) -> Failed {
    Failed::could_not_run(error.to_string())
        .help("`--data-dir` names the folder that holds `fieldgate.db`")
}

/// A store that could be opened and not be read.
pub(super) fn cannot_use(error: &StoreError) -> Failed {
    Failed::could_not_run(format!("the store cannot be used: {error}"))
}
