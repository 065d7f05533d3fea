//! `fieldgate runs show`.

use clap::Args;

use super::place::Place;
use super::tree;
use crate::cli::data_dir::DataDir;
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal;
use crate::cli::workflows::list::json_line;
use crate::workflow::json_form;

/// Show one run as a tree: its actions, how long they took, what came of them
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The run's id, or the beginning of it
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: DataDir,
}

impl Show {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let place = Place::to_read(&self.at)?;
        let run = place.find(&self.id)?;
        let Some(shown) = place.show(run)? else {
            return Err(Failed::usage(format!("the run `{run}` has just been removed")));
        };
        let text =
            if self.json { json_line(&json_form::shown(&shown)) } else { tree::shown(&shown) };
        terminal::print(&text)?;
        Ok(Exit::Good)
    }
}
