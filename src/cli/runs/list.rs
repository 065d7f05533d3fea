//! `fieldgate runs list`.

use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::place::Place;
use super::tree;
use crate::cli::data_dir::DataDir;
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal;
use crate::cli::workflows::list::json_line;
use crate::workflow::json_form;
use crate::workflow::runs::{Filter, RunStatus};

/// List runs, the newest first
#[derive(Debug, Args)]
pub(super) struct List {
    /// Runs of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Runs that stand like this
    #[arg(long, value_enum)]
    status: Option<Standing>,
    /// Runs that this event started
    #[arg(long, value_name = "ID")]
    event: Option<Uuid>,
    /// Runs of the request with this correlation id
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// At most so many; 0 means all
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: DataDir,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Standing {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl List {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let place = Place::to_read(&self.at)?;
        let status = self.status.map(|status| match status {
            Standing::Pending => RunStatus::Pending,
            Standing::Running => RunStatus::Running,
            Standing::Completed => RunStatus::Completed,
            Standing::Failed => RunStatus::Failed,
            Standing::Cancelled => RunStatus::Cancelled,
        });
        let filter = Filter {
            workflow: self.workflow,
            status,
            event: self.event,
            correlation_id: self.correlation_id,
        };
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let listed = place.list(filter, limit)?;
        if self.json {
            let lines = listed.iter().map(json_form::listed);
            let text: String = lines.map(|form| json_line(&form)).collect();
            terminal::print(&text)?;
            return Ok(Exit::Good);
        }
        if listed.is_empty() {
            terminal::tell("no runs\n");
            return Ok(Exit::Good);
        }
        let text: String = listed.iter().map(tree::line).collect();
        terminal::print(&format!("{}{text}", tree::heading()))?;
        Ok(Exit::Good)
    }
}
