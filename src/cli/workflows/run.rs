//! `fieldgate workflows run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use time::OffsetDateTime;
use uuid::Uuid;

use super::list::json_line;
use super::{PolicyFolder, load};
use crate::cli::data_dir::{DataDir, cannot_use};
use crate::cli::exit::{Exit, Failed};
use crate::cli::runs::tree;
use crate::cli::terminal;
use crate::diagnostic::suggest;
use crate::event::{Message, journal};
use crate::policy::workflow::{Status, Workflow};
use crate::store::Schema;
use crate::workflow::by_hand::{self, Found};
use crate::workflow::catalogue::{Catalogue, Verdict};
use crate::workflow::json_form;
use crate::workflow::rehearsal::rehearse;
use crate::workflow::render::Renderer;
use crate::workflow::runs::{self, Cause, NewRun};
use crate::workflow::starter::depth_after;

const SCHEMAS: &[Schema] = &[journal::SCHEMA, runs::SCHEMA];

/// Most bytes of a record that is given as a file.
const MOST_RECORD: u64 = 4 << 20;

/// Start a workflow by hand, or show what it would do
///
/// The conditions of its triggers are not asked: whoever starts it by hand means it. The event is
/// one of the journal, seen as the role of the workflow sees it, or is made up from a record. A
/// running Fieldgate begins at once; a stopped one at its next start. In a group of sidecars that
/// share their runs (`workflows.nats`), ask one of them over its admin listener instead.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The workflow
    name: String,
    /// An event of the journal
    #[arg(long, value_name = "ID", required_unless_present = "record")]
    event: Option<Uuid>,
    /// A record as JSON instead, as the role of the workflow sees it; only with `--dry-run`
    #[arg(long, value_name = "FILE", conflicts_with = "event", requires = "is_rehearsal")]
    record: Option<PathBuf>,
    /// Show what each action would do; nothing is done and nothing is written
    #[arg(long = "dry-run")]
    is_rehearsal: bool,
    /// With `--dry-run`: a variable of the environment that templates may name
    #[arg(long, value_name = "NAME", requires = "is_rehearsal")]
    env: Vec<String>,
    /// With `--dry-run`: one JSON object a line, first whether the event starts it
    #[arg(long, requires = "is_rehearsal")]
    json: bool,
    #[command(flatten)]
    policies: PolicyFolder,
    #[command(flatten)]
    at: DataDir,
}

impl Run {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let set = load(&self.policies.policies)?;
        let Some(workflow) = set.workflows.get(&self.name) else {
            let names = set.workflows.keys().map(String::as_str);
            return Err(Failed::usage(format!("there is no workflow `{}`", self.name))
                .help(suggest(&self.name, names)));
        };
        if !self.is_rehearsal && self.at.fleet()?.is_some() {
            // In the store of one machine nobody of the group would find it.
            let message = "the runs of this Fieldgate are with the servers of `workflows.nats`";
            return Err(Failed::usage(message).help(format!(
                "ask a sidecar of the group: `POST /api/v1/workflows/{}/execute/` on its admin \
                 listener, with `{{\"event\": \"...\"}}`",
                self.name
            )));
        }
        let now = OffsetDateTime::now_utc();
        let message = match (&self.record, self.event) {
            (Some(path), _) => made_up(path, workflow, now)?,
            (None, Some(event)) => self.journal_event(event, workflow)?,
            (None, None) => return Err(Failed::usage("an event or a record is needed")),
        };
        if self.is_rehearsal {
            let verdict = Catalogue::new(&set).verdict(workflow, &message);
            return self.rehearse(workflow, &message, &verdict, now);
        }
        if workflow.status == Status::Archived {
            return Err(Failed::usage(format!("the workflow `{}` is archived", self.name)));
        }
        let id = Uuid::now_v7();
        let run = NewRun {
            id,
            workflow: Arc::clone(workflow),
            cause: Cause::Hand(id),
            priority: 0,
            depth: depth_after(&message),
            event: Arc::new(message),
        };
        let mut visitor = self.at.write(SCHEMAS)?;
        visitor.write(|inside| runs::add(inside, &run, now)).map_err(|error| cannot_use(&error))?;
        terminal::print(&format!("{id}\n"))?;
        Ok(Exit::Good)
    }

    /// The event as the role of the workflow sees it.
    fn journal_event(&self, event: Uuid, workflow: &Workflow) -> Result<Message, Failed> {
        let visitor = self.at.look(SCHEMAS)?;
        let found = visitor.read(|connection| by_hand::find(connection, event, &workflow.role));
        match found.map_err(|error| cannot_use(&error))? {
            Found::Event(message) => Ok(*message),
            Found::NoView => {
                let role = &workflow.role;
                let message =
                    format!("the journal keeps no view of `{event}` for the role `{role}`");
                Err(Failed::usage(message)
                    .help("views are kept for the roles that read events when the event comes"))
            }
            Found::Nothing => Err(Failed::usage(format!("the journal holds no event `{event}`"))
                .help("`fieldgate events list` shows the ids")),
        }
    }

    fn rehearse(
        &self,
        workflow: &Workflow,
        message: &Message,
        verdict: &Verdict,
        now: OffsetDateTime,
    ) -> Result<Exit, Failed> {
        let mut env = BTreeMap::new();
        for name in &self.env {
            let value = std::env::var(name).map_err(|_| {
                Failed::usage(format!("the environment variable `{name}` is not set"))
            })?;
            env.insert(name.clone(), value);
        }
        let rehearsed = rehearse(workflow, message, &Renderer::new(env).for_show(), now);
        let text = if self.json {
            let mut lines = json_line(&json_form::verdict(verdict));
            lines.extend(json_form::rehearsed(&rehearsed).iter().map(json_line));
            lines
        } else {
            tree::rehearsed(workflow, message, verdict, &rehearsed)
        };
        terminal::print(&text)?;
        Ok(Exit::Good)
    }
}

/// The event that a record stands for: the first one that starts the workflow.
fn made_up(path: &Path, workflow: &Workflow, now: OffsetDateTime) -> Result<Message, Failed> {
    let cannot_read = |error: std::io::Error| {
        Failed::could_not_run(format!("`{}` cannot be read: {error}", path.display()))
    };
    let length = std::fs::metadata(path).map_err(cannot_read)?.len();
    if length > MOST_RECORD {
        return Err(Failed::input(format!("`{}` is too large for a record", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(cannot_read)?;
    by_hand::made_up(&text, workflow, now)
        .ok_or_else(|| Failed::input(format!("`{}` is no JSON object", path.display())))
}
