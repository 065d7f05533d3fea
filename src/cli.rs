//! The command line: one file a subcommand, and the only room that prints.
//!
//! What a command makes of its arguments is decided in the rooms; here they are read, called and
//! told about. Refuses with one of four exit codes, see `exit`.

mod audit;
mod check;
mod completions;
mod data_dir;
mod demo;
mod events;
mod exit;
mod keys;
mod mask;
mod run;
mod runs;
mod runtime;
mod score;
mod signals;
mod terminal;
mod workflows;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use exit::{Exit, Failed};

/// A heading inside of a help text, in clap's own style.
macro_rules! heading {
    ($text:literal) => {
        concat!("\x1b[1m\x1b[4m", $text, ":\x1b[0m\n")
    };
}
use heading;

const ABOUT_EXITS: &str = concat!(
    heading!("Start here"),
    "  fieldgate demo                see one lead as three roles see it\n",
    "  fieldgate check policies      find every fault of the policies\n",
    "  fieldgate run                 stand in front of your CRM\n\n",
    heading!("Exit codes"),
    "  0  good\n",
    "  1  findings: a file or an input has faults, or the demo broke a promise\n",
    "  2  usage: the command line cannot be understood, or names what is not there\n",
    "  3  could not run: a file, folder, key or port that is needed cannot be had",
);

/// Field permissions and masking for any CRM's HTTP API, from outside
///
/// Fieldgate stands in front of a CRM as a sidecar proxy. Policies say which role sees which
/// field, sees it masked, or may write it; the CRM itself is not changed.
#[derive(Debug, Parser)]
#[command(
    name = "fieldgate",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 good, 1 findings, 2 usage, 3 could not run.",
    after_long_help = ABOUT_EXITS
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Check(check::Check),
    Mask(mask::Mask),
    Score(score::ScoreArgs),
    Keys(keys::Keys),
    Audit(audit::Audit),
    Events(events::Events),
    Workflows(workflows::Workflows),
    Runs(runs::Runs),
    Completions(completions::Completions),
}

/// The whole program: reads the arguments of this process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => execute(cli.command).into(),
        Err(error) => {
            // Nobody is left to be told that nothing can be printed.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage.into() } else { Exit::Good.into() }
        }
    }
}

/// The command line as clap knows it, for documentation and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

fn execute(command: Command) -> Exit {
    let done = match command {
        Command::Run(run) => run.execute(),
        Command::Demo(demo) => demo.execute(),
        Command::Check(check) => check.execute(),
        Command::Mask(mask) => mask.execute(),
        Command::Score(score) => score.execute(),
        Command::Keys(keys) => keys.execute(),
        Command::Audit(audit) => audit.execute(),
        Command::Events(events) => events.execute(),
        Command::Workflows(workflows) => workflows.execute(),
        Command::Runs(runs) => runs.execute(),
        Command::Completions(completions) => completions.execute(),
    };
    done.unwrap_or_else(|failed: Failed| {
        terminal::complain(&failed);
        failed.exit
    })
}
