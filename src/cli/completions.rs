//! `fieldgate completions`: what a shell needs to complete the command line.

use clap::Args;
use clap_complete::{Shell, generate};

use super::exit::{Exit, Failed};
use super::{heading, terminal};

const AFTER: &str = concat!(
    heading!("Examples"),
    "  source <(fieldgate completions bash)\n",
    "  fieldgate completions zsh > ~/.zfunc/_fieldgate\n",
    "  fieldgate completions fish > ~/.config/fish/completions/fieldgate.fish\n\n",
    heading!("Exit codes"),
    "  0  printed\n",
    "  2  no such shell",
);

/// Print completions for a shell
///
/// The script goes to standard output; put it where your shell looks for completions.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Completions {
    /// The shell to complete in
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let mut script = Vec::new();
        generate(self.shell, &mut super::command(), "fieldgate", &mut script);
        terminal::print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Good)
    }
}
