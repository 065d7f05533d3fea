//! A score as bars.

use std::fmt::Write as _;

use anstyle::Style;

use crate::cli::terminal::{BAD, GOOD, NOTABLE, QUIET, STRONG};
use crate::score::{Line, LineName, Quality, Rendering};

/// As wide as the longest name.
const NAME: usize = 15;
/// `14.28`
const NUMBER: usize = 5;
/// Name, number, weight and the spaces between and behind them.
const BEFORE_BAR: usize = NAME + 2 + NUMBER + " of ".len() + NUMBER + 2;
/// Bars wider than this are no easier to compare.
const WIDEST_BAR: usize = 25;

/// Draws the chart. `told_to` are the roles that it is for.
pub(super) fn draw(rendering: &Rendering<'_>, told_to: Option<&str>, width: usize) -> String {
    let mut text = headline(rendering);
    let lines: Vec<Line<'_>> = rendering.lines().collect();
    if !lines.is_empty() {
        text.push('\n');
    }
    let most = lines.iter().map(|line| line.weight.count()).max().unwrap_or(0);
    for line in &lines {
        draw_line(line, most, width, &mut text);
    }
    let factors: Vec<&str> = rendering.top_factors().iter().map(|name| name.word()).collect();
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{QUIET}");
    if !factors.is_empty() {
        let _ = write!(text, "\nmost of it: {}\n", factors.join(", "));
    }
    if let Some(roles) = told_to {
        let _ = writeln!(text, "as told to `{roles}`");
    }
    let _ = writeln!(text, "{}, for {}{QUIET:#}", rendering.version(), rendering.moment());
    text
}

fn headline(rendering: &Rendering<'_>) -> String {
    let quality = rendering.quality();
    let style = style_of(quality);
    let total =
        rendering.total().map_or(String::new(), |total| format!("{STRONG}{total}{STRONG:#}  "));
    format!("{total}{style}{quality}{style:#}  {}\n", rendering.recommendation())
}

fn style_of(quality: Quality) -> Style {
    match quality {
        Quality::Hot => BAD,
        Quality::Warm => NOTABLE,
        Quality::Cool => GOOD,
        Quality::Cold => QUIET,
    }
}

/// One bar: what is contributed of what could be, and why.
fn draw_line(line: &Line<'_>, most: u32, width: usize, text: &mut String) {
    let room = width.saturating_sub(BEFORE_BAR).min(WIDEST_BAR);
    let cells = |thousandths: u32| -> usize {
        let cells = u64::from(thousandths) * room as u64 * 2 / u64::from(most.max(1));
        usize::try_from(cells.div_ceil(2)).unwrap_or(room).min(room)
    };
    let whole = cells(line.weight.count());
    let full = cells(line.contribution.count() * 10).min(whole);
    let style = if line.name == LineName::Other { QUIET } else { GOOD };
    // Writing to a `String` cannot fail.
    let _ = write!(
        text,
        "{:<NAME$}  {:>NUMBER$} of {:<NUMBER$}  {style}{}{style:#}{QUIET}{}{QUIET:#}",
        line.name.word(),
        line.contribution.to_string(),
        line.weight.to_string(),
        "█".repeat(full),
        "░".repeat(whole - full),
    );
    let why = line.to_string();
    let beside = BEFORE_BAR + room + 2;
    if beside + why.chars().count() <= width {
        let _ = writeln!(text, "{}  {why}", " ".repeat(room - whole));
        return;
    }
    text.push('\n');
    for part in wrap(&why, width.saturating_sub(NAME + 2)) {
        let _ = writeln!(text, "{}  {part}", " ".repeat(NAME));
    }
}

/// Lines of at most `width` characters, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line_is_full = lines.last().is_some_and(|line| {
            !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width
        });
        if line_is_full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
