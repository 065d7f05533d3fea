//! How a command ends: four exit codes, and the one sentence that explains a bad one.

use std::process::ExitCode;

/// What the exit code of the program says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an exit code that is not returned says that all is good"]
pub(super) enum Exit {
    /// Done, nothing to complain about.
    Good = 0,
    /// A file or an input has faults; they have been printed.
    Findings = 1,
    /// The command line cannot be understood, or names what is not there.
    Usage = 2,
    /// Something that is needed cannot be had.
    CouldNotRun = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command stops early.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) exit: Exit,
    /// Lowercase, no full stop. `None` where everything has been said.
    pub(super) message: Option<String>,
    /// What to do about it.
    pub(super) help: Option<String>,
}

impl Failed {
    /// Something that is needed cannot be had.
    pub(super) fn could_not_run(message: impl Into<String>) -> Self {
        Self { exit: Exit::CouldNotRun, message: Some(message.into()), help: None }
    }

    /// The arguments name what is not there.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::could_not_run(message) }
    }

    /// The input has a fault.
    pub(super) fn input(message: impl Into<String>) -> Self {
        Self { exit: Exit::Findings, ..Self::could_not_run(message) }
    }

    /// Everything has been printed.
    pub(super) fn told(exit: Exit) -> Self {
        Self { exit, message: None, help: None }
    }

    /// Adds the remedy.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
