//! Runs as people read them: a line in a list, or a tree with durations.

use std::fmt::Write as _;

use anstyle::Style;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::cli::terminal::{BAD, GOOD, NOTABLE, QUIET, STRONG};
use crate::event::Message;
use crate::policy::workflow::Workflow;
use crate::workflow::catalogue::Verdict;
use crate::workflow::rehearsal::{Deed, Rehearsed};
use crate::workflow::runs::{ActionRun, Listed, RunStatus, Shown};

/// The line above a list.
pub(super) fn heading() -> String {
    format!(
        "{QUIET}{:<20} {:<9} {:>9} {:<32} {:<20} {:<16} {}{QUIET:#}\n",
        "CREATED", "STATUS", "TOOK", "WORKFLOW", "EVENT", "SUBJECT", "ID"
    )
}

/// One run of a list.
pub(super) fn line(run: &Listed) -> String {
    let style = style_of(run.status);
    format!(
        "{:<20} {style}{:<9}{style:#} {:>9} {:<32} {:<20} {:<16} {}\n",
        time(run.created),
        run.status.word(),
        run.duration_ms.map_or_else(|| "-".to_owned(), duration),
        run.workflow,
        run.event_type,
        run.subject.as_deref().unwrap_or("-"),
        run.id,
    )
}

/// A run with its actions below it.
pub(super) fn shown(shown: &Shown) -> String {
    let run = &shown.run;
    let style = style_of(run.status);
    let took = run.duration_ms.map(|took| format!("  {}", duration(took))).unwrap_or_default();
    let mut out = format!(
        "{STRONG}{}{STRONG:#}  {style}{}{style:#}{took}\n",
        run.workflow,
        run.status.word()
    );
    let unknown = || "-".to_owned();
    let subject = run.subject.clone().unwrap_or_else(|| "record not known".to_owned());
    let rows = [
        ("run", run.id.to_string()),
        ("event", format!("{} {subject} {}", run.event_type, run.event)),
        ("tenant", run.tenant.clone().unwrap_or_else(unknown)),
        ("role", run.role.clone()),
        ("correlation id", run.correlation_id.clone()),
        ("created", time(run.created)),
        ("started", run.started.map_or_else(unknown, time)),
        ("ended", run.ended.map_or_else(unknown, time)),
    ];
    for (name, value) in rows {
        row(&mut out, name, &value);
    }
    if run.depth > 1 {
        row(&mut out, "caused by", &format!("another run, {} in a row", run.depth));
    }
    if let Some(due) = run.due {
        row(&mut out, "goes on", &time(due));
    }
    if shown.interruptions > 0 {
        row(&mut out, "interruptions", &shown.interruptions.to_string());
    }
    if let Some(error) = &run.error {
        row(&mut out, "failed", &format!("{BAD}{error}{BAD:#}"));
    }
    let last = shown.actions.len().saturating_sub(1);
    for (index, action) in shown.actions.iter().enumerate() {
        action_lines(&mut out, action, index == last);
    }
    out
}

/// A run with its actions, without what they came to.
pub(in crate::cli) fn brief(shown: &Shown) -> String {
    let run = &shown.run;
    let style = style_of(run.status);
    let took = run.duration_ms.map(|took| format!("  {}", duration(took))).unwrap_or_default();
    let mut out = format!(
        "{STRONG}{}{STRONG:#}  {style}{}{style:#}{took}\n",
        run.workflow,
        run.status.word()
    );
    let last = shown.actions.len().saturating_sub(1);
    for (index, action) in shown.actions.iter().enumerate() {
        let action = ActionRun { result: None, error: None, ..action.clone() };
        action_lines(&mut out, &action, index == last);
    }
    out
}

fn action_lines(out: &mut String, action: &ActionRun, is_last: bool) {
    let (branch, below) = branches(is_last);
    let style = style_of(action.status);
    let took = action.duration_ms.map_or_else(|| "-".to_owned(), duration);
    let tries = match action.attempts {
        0 | 1 => String::new(),
        many => format!("  after {many} attempts"),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{branch} {} {:<18} {style}{:<9}{style:#} {took:>9}{tries}",
        action.ordinal + 1,
        action.kind,
        action.status.word()
    );
    if let Some(error) = &action.error {
        let _ = writeln!(out, "{below}   {BAD}{error}{BAD:#}");
    }
    if let Some(result) = action.result.as_deref().filter(|result| *result != "null") {
        let _ = writeln!(out, "{below}   {QUIET}{result}{QUIET:#}");
    }
}

/// What a workflow would do with an event.
pub(in crate::cli) fn rehearsed(
    workflow: &Workflow,
    event: &Message,
    verdict: &Verdict,
    rehearsed: &[Rehearsed],
) -> String {
    let subject = event.subject().unwrap_or_default();
    let mut out = format!(
        "{STRONG}{}{STRONG:#}  dry run as {}, {} {subject}\n",
        workflow.name, workflow.role, event.event_type
    );
    let (style, word) = if verdict.starts { (GOOD, "starts it") } else { (NOTABLE, "does not") };
    let decided = match verdict.decided_by.as_slice() {
        [] => "its triggers ask for nothing".to_owned(),
        all => all.join("; "),
    };
    row(&mut out, "the event", &format!("{style}{word}{style:#}: {decided}"));
    let last = rehearsed.len().saturating_sub(1);
    for (index, one) in rehearsed.iter().enumerate() {
        let (branch, below) = branches(index == last);
        let (style, word) = match &one.deed {
            Deed::Performed(_) => (GOOD, "would be performed"),
            Deed::LeftOut(_) => (NOTABLE, "would be left out"),
            Deed::Failed(_) => (BAD, "would fail"),
        };
        let _ = writeln!(
            out,
            "{branch} {} {:<18} {style}{word}{style:#}",
            one.ordinal + 1,
            one.kind.word()
        );
        match &one.deed {
            Deed::Performed(action) => {
                for (name, value) in &action.payload {
                    let _ = writeln!(out, "{below}   {QUIET}{name}:{QUIET:#} {value}");
                }
            }
            Deed::LeftOut(why) | Deed::Failed(why) => {
                let _ = writeln!(out, "{below}   {why}");
            }
        }
    }
    out
}

fn branches(is_last: bool) -> (&'static str, &'static str) {
    if is_last { ("└─", "  ") } else { ("├─", "│ ") }
}

fn style_of(status: RunStatus) -> Style {
    match status {
        RunStatus::Pending | RunStatus::Cancelled => QUIET,
        RunStatus::Running => NOTABLE,
        RunStatus::Completed => GOOD,
        RunStatus::Failed => BAD,
    }
}

/// `7 ms`, `1.25 s`, `3 min 5 s`
fn duration(milliseconds: i64) -> String {
    match milliseconds {
        ..1000 => format!("{milliseconds} ms"),
        1000..60_000 => {
            format!("{}.{:02} s", milliseconds / 1000, milliseconds % 1000 / 10)
        }
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

/// To the second, in UTC.
fn time(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

fn row(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "│  {QUIET}{name:<16}{QUIET:#} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_read_them() {
        for (milliseconds, expect) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1250, "1.25 s"),
            (59_999, "59.99 s"),
            (185_000, "3 min 5 s"),
        ] {
            assert_eq!(duration(milliseconds), expect);
        }
    }
}
