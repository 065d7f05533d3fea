//! A finding about a file that a person wrote: code, message, place, help.
//!
//! Every reader of files (config, policy) reports all it finds as [`Finding`]s in one go; only the
//! command line renders them. Knows nothing of what the files mean.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

/// A file as it was read: the name to show and the text.
#[derive(Debug)]
pub struct SourceFile {
    name: String,
    text: Arc<str>,
}

impl SourceFile {
    /// Keeps `text` under the name that findings will show. A byte order mark at its start is
    /// dropped: it is not a character of the first line, and would shift its columns.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Arc<Self> {
        let text: Arc<str> = text.into();
        let text = text.strip_prefix('\u{feff}').map(Arc::from).unwrap_or(text);
        Arc::new(Self { name: name.into(), text })
    }

    /// The same file with every character under `spans` shown as `*`: what a finding may show of
    /// a file into which somebody wrote a secret. Offsets stay as they are.
    #[must_use]
    pub fn concealing(&self, spans: &[Span]) -> Arc<Self> {
        let is_secret = |offset: usize| spans.iter().any(|span| span.contains(offset));
        let mut text = String::with_capacity(self.text.len());
        for (offset, character) in self.text.char_indices() {
            if is_secret(offset) && character != '\n' {
                // As many stars as bytes, so that every other offset still fits.
                text.extend(std::iter::repeat_n('*', character.len_utf8()));
            } else {
                text.push(character);
            }
        }
        Arc::new(Self { name: self.name.clone(), text: text.into() })
    }

    /// The name that findings show, as the user gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line of a byte offset, counted from one.
    #[must_use]
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    /// The column of a byte offset in characters, counted from one.
    #[must_use]
    pub fn column_of(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        1 + before.chars().rev().take_while(|character| *character != '\n').count()
    }
}

/// Bytes `start..start + len` of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Length in bytes; zero points between two bytes.
    pub len: usize,
}

impl Span {
    /// A span of `len` bytes from `start`.
    #[must_use]
    pub fn new(start: usize, len: usize) -> Self {
        Self { start, len }
    }

    /// Whether the byte at `offset` belongs to the span.
    #[must_use]
    pub fn contains(self, offset: usize) -> bool {
        offset.checked_sub(self.start).is_some_and(|distance| distance < self.len)
    }

    /// The nearest span that lies in `text` and starts and ends between two characters.
    fn within(self, text: &str) -> Self {
        let inside = |offset: usize| {
            (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
        };
        let start = inside(self.start);
        Self { start, len: inside(self.start.saturating_add(self.len)).saturating_sub(start) }
    }
}

/// Whether a finding stops the file from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file works, but probably not as meant.
    Warning,
    /// The file is refused.
    Error,
}

/// One thing that is wrong, or looks wrong, at one place.
#[derive(Debug, Clone)]
pub struct Finding {
    severity: Severity,
    code: &'static str,
    message: String,
    place: Option<(Arc<SourceFile>, Span)>,
    label: Option<String>,
    help: Option<String>,
}

impl Finding {
    /// A fault. `code` is stable (`room::what`), `message` is lowercase without a full stop.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    /// A doubt.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Self {
        Self { severity, code, message, place: None, label: None, help: None }
    }

    /// Where it stands.
    #[must_use]
    pub fn at(mut self, source: &Arc<SourceFile>, span: Span) -> Self {
        self.place = Some((Arc::clone(source), span));
        self
    }

    /// The same finding shown in another copy of its file, such as one that conceals a secret.
    #[must_use]
    pub fn shown_in(mut self, copy: &Arc<SourceFile>) -> Self {
        if let Some((source, _)) = self.place.as_mut() {
            *source = Arc::clone(copy);
        }
        self
    }

    /// What to say under the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Error or warning.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The message without place or help.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The remedy, if there is one.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// File name, line and column, counted from one.
    #[must_use]
    pub fn position(&self) -> Option<(&str, usize, usize)> {
        let (source, span) = self.place.as_ref()?;
        Some((source.name(), source.line_of(span.start), source.column_of(span.start)))
    }

    /// The bytes that would be underlined, to show the same place in another text.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.place.as_ref().map(|(_, span)| *span)
    }

    /// The text that would be underlined.
    #[must_use]
    pub fn underlined(&self) -> Option<&str> {
        let (source, span) = self.place.as_ref()?;
        source.text().get(span.start..span.start.saturating_add(span.len))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Finding {}

/// A finding as miette wants to see it: the source under its display name.
#[derive(Debug)]
struct Report<'a> {
    finding: &'a Finding,
    place: Option<(NamedSource<Arc<str>>, Span)>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.finding.fmt(formatter)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.finding.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.place.as_ref().map(|(source, _)| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.place.as_ref()?;
        let label = self.finding.label.clone().or_else(|| Some("here".to_owned()));
        Some(Box::new(std::iter::once(LabeledSpan::new(label, span.start, span.len))))
    }
}

/// Renders findings for a terminal `width` columns wide, one below the other.
#[must_use]
pub fn render(findings: &[Finding], colour: bool, width: usize) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width)
        .with_links(false)
        .without_primary_span_start();
    let mut text = String::new();
    for finding in findings {
        let place = finding.place.as_ref().map(|(source, span)| {
            // miette counts columns in bytes; people and editors count characters.
            let (line, column) = (source.line_of(span.start), source.column_of(span.start));
            let name = format!("{}:{line}:{column}", source.name());
            (NamedSource::new(name, Arc::clone(&source.text)), span.within(source.text()))
        });
        // Writing to a `String` cannot fail; a finding that cannot be drawn still says its message.
        if handler.render_report(&mut text, &Report { finding, place }).is_err() {
            text.push_str(finding.message());
        }
        text.push('\n');
    }
    text
}

/// How many findings are errors and how many are warnings.
#[must_use]
pub fn count(findings: &[Finding]) -> (usize, usize) {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

/// A `did you mean` sentence when one of `known` is close to `written`, else the list of them.
#[must_use]
pub fn suggest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min();
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "nothing is declared here".to_owned(),
        None => format!("known here: `{}`", known.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Renders one finding at the first `marked` of `text`.
    fn rendered(text: &str, marked: &str) -> String {
        let source = SourceFile::new("fieldgate.yaml", text);
        let span = Span::new(text.find(marked).unwrap(), marked.len());
        let finding =
            Finding::error("room::what", "`x` is wrong").at(&source, span).help("mend it");
        render(&[finding], false, 80)
    }

    #[track_caller]
    fn check_position(text: &str, offset: usize, expected: (usize, usize)) {
        let source = SourceFile::new("f", text);
        assert_eq!((source.line_of(offset), source.column_of(offset)), expected);
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        check_position("", 0, (1, 1));
        check_position("abc", 0, (1, 1));
        check_position("abc", 2, (1, 3));
        check_position("a\nbc", 2, (2, 1));
        check_position("a\nbc", 3, (2, 2));
        check_position("a\r\nbc", 4, (2, 2));
        check_position("\u{e9}\u{65e5}x", 5, (1, 3));
        check_position("abc", 99, (1, 4));
    }

    #[test]
    fn a_byte_order_mark_shifts_nothing() {
        let source = SourceFile::new("f", "\u{feff}a: 1");
        assert_eq!(source.text(), "a: 1");
    }

    #[test]
    fn a_finding_shows_file_line_column_and_help() {
        insta::assert_snapshot!(rendered("a: 1\nx: 2\n", "x"), @r"
        room::what

          × `x` is wrong
           ╭─[fieldgate.yaml:2:1]
         1 │ a: 1
         2 │ x: 2
           · ┬
           · ╰── here
           ╰────
          help: mend it

        ");
    }

    #[test]
    fn columns_and_underlines_count_characters_not_bytes() {
        insta::assert_snapshot!(rendered("é: {ü: größe}\n", "größe"), @r"
        room::what

          × `x` is wrong
           ╭─[fieldgate.yaml:1:8]
         1 │ é: {ü: größe}
           ·        ──┬──
           ·          ╰── here
           ╰────
          help: mend it
        ");
    }

    #[test]
    fn the_underline_of_an_indented_tab_line_fits() {
        insta::assert_snapshot!(rendered("\tx: y\n", "y"), @r"
        room::what

          × `x` is wrong
           ╭─[fieldgate.yaml:1:5]
         1 │     x: y
           ·        ┬
           ·        ╰── here
           ╰────
          help: mend it
        ");
    }

    #[test]
    fn a_finding_without_a_place_or_in_an_empty_file_still_renders() {
        let source = SourceFile::new("empty.yaml", "");
        let findings = [
            Finding::warning("room::what", "no place"),
            Finding::error("room::what", "nothing there").at(&source, Span::default()),
        ];
        insta::assert_snapshot!(render(&findings, false, 80), @r"
        room::what

          ⚠ no place

        room::what

          × nothing there
           ╭─[empty.yaml:1:1]
           ╰────
        ");
    }

    #[test]
    fn concealed_text_keeps_its_length_and_its_lines() {
        let source = SourceFile::new("f", "a: pässword # ok\nb: x\ny\n");
        let concealed = source.concealing(&[Span::new(3, 9), Span::new(21, 3)]);
        assert_eq!(concealed.text(), "a: ********* # ok\nb: *\n*\n");
        let finding = Finding::error("room::what", "x").at(&source, Span::new(3, 9));
        assert_eq!(finding.shown_in(&concealed).underlined(), Some("*********"));
    }

    #[track_caller]
    fn check_suggestion(written: &str, known: &[&str], expected: &str) {
        assert_eq!(suggest(written, known.iter().copied()), expected);
    }

    #[test]
    fn suggestions_name_the_nearest_or_all() {
        check_suggestion("lisen", &["limits", "listen"], "did you mean `listen`?");
        check_suggestion("Listen", &["limits", "listen"], "did you mean `listen`?");
        check_suggestion("idle", &["idle_timeout", "total"], "known here: `idle_timeout`, `total`");
        check_suggestion("x", &[], "nothing is declared here");
    }

    #[test]
    fn findings_are_counted_by_severity() {
        let findings = [Finding::error("a::b", "x"), Finding::warning("a::b", "y")];
        assert_eq!(count(&findings), (1, 1));
    }

    proptest! {
        #[test]
        fn any_place_renders(
            text in any::<String>(), start in 0_usize..60, len in 0_usize..60, width in 0_usize..200
        ) {
            let source = SourceFile::new("f", text);
            let finding = Finding::error("room::what", "the message").at(&source, Span::new(start, len));
            let rendered = render(std::slice::from_ref(&finding), false, width);
            prop_assert!(rendered.contains("room::what"), "{rendered}");
            prop_assert!(finding.position().is_some());
            let _ = finding.underlined();
        }
    }
}
