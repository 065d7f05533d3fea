//! `fieldgate runs retry` and `fieldgate runs cancel`.

use clap::Args;
use time::OffsetDateTime;

use super::place::Place;
use crate::cli::data_dir::DataDir;
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal;
use crate::workflow::runs::{Cancelled, Retried, RunStatus};

/// Begin a run again that failed or was cancelled, at the action that was not done
///
/// The action has the same idempotency key as before, for nobody knows whether it was done after
/// all. A running Fieldgate begins at once; a stopped one at its next start.
#[derive(Debug, Args)]
pub(super) struct Retry {
    /// The run's id, or the beginning of it
    id: String,
    #[command(flatten)]
    at: DataDir,
}

/// Take a run back: what it has not come to does not happen
///
/// An action that is under way is broken off; whether its receiver has it, nobody knows.
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// The run's id, or the beginning of it
    id: String,
    #[command(flatten)]
    at: DataDir,
}

impl Retry {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let mut place = Place::to_write(&self.at)?;
        let run = place.find(&self.id)?;
        match place.retry(run)? {
            Retried::Yes => {
                terminal::tell(&format!("{run} goes on\n"));
                Ok(Exit::Good)
            }
            Retried::Standing(status) => Err(stands(status, "there is nothing to begin again")),
            Retried::Unknown => Err(Failed::usage(format!("there is no run `{run}`"))),
        }
    }
}

impl Cancel {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let mut place = Place::to_write(&self.at)?;
        let run = place.find(&self.id)?;
        match place.cancel(run, OffsetDateTime::now_utc())? {
            Cancelled::Yes => {
                terminal::tell(&format!("{run} is cancelled\n"));
                Ok(Exit::Good)
            }
            Cancelled::Ended(status) => Err(stands(status, "there is nothing to take back")),
            Cancelled::Unknown => Err(Failed::usage(format!("there is no run `{run}`"))),
        }
    }
}

fn stands(status: RunStatus, so: &str) -> Failed {
    Failed::input(format!("the run is {}: {so}", status.word()))
}
