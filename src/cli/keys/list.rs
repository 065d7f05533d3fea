//! `fieldgate keys list`: what may be told of the keys of a ring.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::super::exit::{Exit, Failed};
use super::super::{heading, run, terminal};
use crate::mask;

const AFTER_LIST: &str = concat!(
    heading!("Examples"),
    "  fieldgate keys list --keys keys.yaml\n\n",
    heading!("Exit codes"),
    "  0  listed\n",
    "  1  the key ring has faults\n",
    "  3  the key ring cannot be read",
);

/// Show the ids of the keys, and which of them is active or retired; never a secret
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_LIST)]
pub(super) struct List {
    /// The key ring
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

impl List {
    pub(super) fn execute(&self) -> Result<Exit, Failed> {
        let ring = mask::load(&self.keys).map_err(|findings| {
            terminal::tell_findings(&findings);
            Failed::told(run::exit_of_file(&self.keys))
        })?;
        let mut table = format!("{:<16}  {:<10}  {}\n", "KEY", "CREATED", "STATE");
        for key in ring.facts() {
            let state = match key.retired {
                Some(day) => format!("retired {day}"),
                None if key.is_active => "active".to_owned(),
                None => "reverses what it masked".to_owned(),
            };
            let created = key.created.unwrap_or("-");
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{:<16}  {created:<10}  {state}", key.id.as_str());
        }
        terminal::print(&table)?;
        Ok(Exit::Good)
    }
}
