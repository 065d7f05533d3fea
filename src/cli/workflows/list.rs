//! `fieldgate workflows list`.

use clap::Args;

use super::{PolicyFolder, load};
use crate::cli::exit::{Exit, Failed};
use crate::cli::terminal::{self, GOOD, NOTABLE, QUIET};
use crate::policy::workflow::{Status, Workflow};
use crate::workflow::json_form;

/// List the workflows of a policy folder
#[derive(Debug, Args)]
pub(super) struct List {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: PolicyFolder,
}

impl List {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let set = load(&self.at.policies)?;
        let workflows = set.workflows.values();
        let text: String = if self.json {
            workflows.map(|workflow| json_line(&json_form::workflow(workflow))).collect()
        } else {
            workflows.map(|workflow| line(workflow)).collect()
        };
        if text.is_empty() {
            terminal::tell("no workflows\n");
        } else if !self.json {
            terminal::print(&format!(
                "{QUIET}{:<32} {:<9} {:<12} {:<12} {:<28} {}{QUIET:#}\n",
                "NAME", "STATUS", "TENANT", "ROLE", "EVENTS", "ACTIONS"
            ))?;
        }
        terminal::print(&text)?;
        Ok(Exit::Good)
    }
}

pub(in crate::cli) fn json_line(form: &impl serde::Serialize) -> String {
    // Of texts, numbers and JSON that is JSON already.
    serde_json::to_string(form).map(|line| line + "\n").unwrap_or_default()
}

fn line(workflow: &Workflow) -> String {
    let style = match workflow.status {
        Status::Active => GOOD,
        Status::Paused => NOTABLE,
        Status::Draft | Status::Archived => QUIET,
    };
    let mut events: Vec<&str> =
        workflow.triggers.iter().map(|trigger| trigger.event.as_str()).collect();
    events.dedup();
    let actions: Vec<&str> = workflow.actions.iter().map(|action| action.kind.word()).collect();
    format!(
        "{:<32} {style}{:<9}{style:#} {:<12} {:<12} {:<28} {}\n",
        workflow.name,
        workflow.status.word(),
        workflow.tenant.as_deref().unwrap_or("-"),
        workflow.role,
        events.join(" "),
        actions.join(" "),
    )
}
