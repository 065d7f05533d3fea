//! One step of the tour: what is shown, and what was promised about it.

use std::fmt;

use super::super::terminal::{BAD, GOOD, STRONG};

/// Something that Fieldgate says it does.
pub(super) struct Promise {
    text: String,
    /// What was found instead, where the promise was broken.
    broken: Option<String>,
}

/// A step, as it went.
pub(super) struct Step {
    title: &'static str,
    lines: Vec<String>,
    pub(super) promises: Vec<Promise>,
}

impl Step {
    pub(super) fn new(title: &'static str) -> Self {
        Self { title, lines: Vec::new(), promises: Vec::new() }
    }

    /// A line to show.
    pub(super) fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// A promise, whether it was kept, and what was found.
    pub(super) fn promise(
        &mut self,
        text: impl Into<String>,
        kept: bool,
        found: impl fmt::Display,
    ) {
        let broken = (!kept).then(|| found.to_string());
        self.promises.push(Promise { text: text.into(), broken });
    }

    /// How many promises were broken.
    pub(super) fn broken(&self) -> usize {
        self.promises.iter().filter(|promise| promise.broken.is_some()).count()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\n{STRONG}{}{STRONG:#}", self.title)?;
        for line in &self.lines {
            writeln!(formatter, "  {line}")?;
        }
        for Promise { text, broken } in &self.promises {
            match broken {
                None => writeln!(formatter, "  {GOOD}✓{GOOD:#} {text}")?,
                Some(found) => {
                    writeln!(formatter, "  {BAD}✗ {text}{BAD:#}\n      but: {found}")?;
                }
            }
        }
        Ok(())
    }
}
