//! Printing: findings, complaints, and how wide a terminal is.
//!
//! Colour is always written; the streams take it out where the terminal has none, where output
//! goes into a file or a pipe, and where `NO_COLOR` is set.

use std::io::{self, ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use terminal_size::{Width, terminal_size, terminal_size_of};

use super::exit::Failed;
use crate::diagnostic::{Finding, render};

/// For what is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// For what deserves a look.
pub(super) const NOTABLE: Style = AnsiColor::Yellow.on_default();
/// For faults.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// For what is said beside the point.
pub(super) const QUIET: Style = Style::new().dimmed();
/// For headings.
pub(super) const STRONG: Style = Style::new().bold();

/// Columns where there is no terminal to ask.
const USUAL_WIDTH: usize = 80;
/// Below this nothing can be laid out; above, lines are hard to follow.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=120;

/// Columns to fill: those of the terminal, else `COLUMNS`, else 80.
pub(super) fn width() -> usize {
    let terminal = terminal_size().or_else(|| terminal_size_of(io::stderr()));
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal
        .map(|(Width(width), _)| usize::from(width))
        .or_else(columns)
        .map_or(USUAL_WIDTH, |width| width.clamp(*WIDTHS.start(), *WIDTHS.end()))
}

/// Prints to standard output.
///
/// # Errors
/// It cannot be written. That the reader has left is no error: it has what it wanted.
pub(super) fn print(text: &str) -> Result<(), Failed> {
    let mut output = anstream::stdout().lock();
    let printed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    printed.or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failed::could_not_run(format!("standard output cannot be written: {error}"))),
    })
}

/// Prints to standard error. Where that fails, nobody is left to be told.
pub(super) fn tell(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Prints findings to standard error.
pub(super) fn tell_findings(findings: &[Finding]) {
    tell(&render(findings, true, width()));
}

/// Prints why a command stops.
pub(super) fn complain(failed: &Failed) {
    if let Some(message) = &failed.message {
        tell(&format!("{BAD}error:{BAD:#} {message}\n"));
    }
    if let Some(help) = &failed.help {
        tell(&format!("  {STRONG}help:{STRONG:#} {help}\n"));
    }
}
