//! Templates in texts: `{{lead.email | default: "nobody"}}`. Logic-less: a reference and filters.
//!
//! Pure. Only the grammar is here; what a reference means is decided by whoever fills it in, and so
//! is how a value is escaped, which depends on where the text goes.

use std::fmt;

use crate::json::path::{FieldPath, PathError};

/// Most days that `{{today+N}}` may be away.
const MOST_DAYS: i32 = 36_600;

/// A text with places to fill in.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Stands as it is.
    Text(String),
    /// Is filled in.
    Slot(Slot),
}

/// A place to fill in.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// What with.
    pub reference: Reference,
    /// What is done to the value, in this order.
    pub filters: Vec<Filter>,
    /// Where it begins in the text, in bytes.
    pub at: usize,
}

/// What a place is filled in with.
#[derive(Debug, Clone, PartialEq)]
pub enum Reference {
    /// `today`, `today+2`: the date, so many days later.
    Today {
        /// Days to add.
        days: i32,
    },
    /// `now`: the time as RFC 3339.
    Now,
    /// `env.NAME`, where the configuration allows the name.
    Env(String),
    /// A value of the event, of its record, or a variable.
    Field(FieldPath),
}

/// What is done to a value before it is put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `default: "text"`: instead of a value that is missing, `null` or empty.
    Default(String),
    /// `date: "%d.%m.%Y"`: a date or time in another form.
    Date(String),
    /// `upper`
    Upper,
    /// `lower`
    Lower,
    /// `number`: a text that is a number, as a number.
    Number,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wrong}")]
pub struct TemplateFault {
    /// Where the faulty place begins, in bytes.
    pub at: usize,
    /// What is wrong with it.
    pub wrong: TemplateWrong,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateWrong {
    /// `{{` and no `}}`.
    #[error("a `{{{{` without its `}}}}`")]
    Open,
    /// `{{ }}`
    #[error("nothing stands between `{{{{` and `}}}}`")]
    Empty,
    /// Not a dotted path.
    #[error("`{text}` refers to nothing: {error}")]
    Path {
        /// As written.
        text: String,
        /// What is wrong with it.
        error: PathError,
    },
    /// `today+x`, `today+1000000`
    #[error("`{0}` is no day: write `today`, `today+2` or `today-30`")]
    Day(String),
    /// `env.` with something behind it that names no variable.
    #[error("`{0}` names no environment variable")]
    Env(String),
    /// Not a filter.
    #[error("there is no filter `{0}`")]
    UnknownFilter(String),
    /// `default` without its argument, `upper: "x"`.
    #[error("{0}")]
    Argument(&'static str),
}

impl Template {
    /// The names of the filters.
    pub const FILTERS: [&'static str; 5] = ["default", "date", "upper", "lower", "number"];

    /// Reads a text. One without `{{` is a template without slots.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut parts = Vec::new();
        let mut at = 0;
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let start = at + before.len();
            let fault = |wrong| TemplateFault { at: start, wrong };
            let length = end_of_slot(behind).ok_or_else(|| fault(TemplateWrong::Open))?;
            let (inner, after) = behind.split_at_checked(length).unwrap_or((behind, ""));
            let slot = slot(inner, start).map_err(fault)?;
            parts.push(Part::Slot(slot));
            rest = after.strip_prefix("}}").unwrap_or(after);
            at = start + "{{".len() + length + "}}".len();
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Its pieces, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Its slots, in order.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.parts.iter().filter_map(|part| match part {
            Part::Slot(slot) => Some(slot),
            Part::Text(_) => None,
        })
    }

    /// The slot, where the text is one slot and nothing else: then a value keeps its type.
    #[must_use]
    pub fn as_slot(&self) -> Option<&Slot> {
        match self.parts.as_slice() {
            [Part::Slot(slot)] => Some(slot),
            _ => None,
        }
    }
}

/// Bytes up to the `}}` that ends a slot; one inside quotes does not.
fn end_of_slot(text: &str) -> Option<usize> {
    let mut quote = None;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if *byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
    }
    None
}

fn slot(inner: &str, at: usize) -> Result<Slot, TemplateWrong> {
    let mut pieces = split_outside_quotes(inner);
    let reference = pieces.next().unwrap_or_default().trim();
    if reference.is_empty() {
        return Err(TemplateWrong::Empty);
    }
    let reference = Reference::parse(reference)?;
    let filters = pieces.map(filter).collect::<Result<_, _>>()?;
    Ok(Slot { reference, filters, at })
}

/// The pieces between `|`s that stand outside quotes.
fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quote = None;
    text.split(move |character| match (quote, character) {
        (Some(open), _) if character == open => {
            quote = None;
            false
        }
        (None, '"' | '\'') => {
            quote = Some(character);
            false
        }
        (None, '|') => true,
        _ => false,
    })
}

fn filter(written: &str) -> Result<Filter, TemplateWrong> {
    let (name, argument) = match written.split_once(':') {
        Some((name, argument)) => (name.trim(), Some(unquoted(argument.trim()))),
        None => (written.trim(), None),
    };
    match (name, argument) {
        ("default", Some(argument)) => Ok(Filter::Default(argument.to_owned())),
        ("default", None) => {
            Err(TemplateWrong::Argument("`default` needs a text: `default: \"nobody\"`"))
        }
        ("date", Some(form)) if is_date_form(form) => Ok(Filter::Date(form.to_owned())),
        ("date", _) => Err(TemplateWrong::Argument(
            "`date` needs a form of `%Y`, `%m`, `%d`, `%H`, `%M` and `%S`: `date: \"%d.%m.%Y\"`",
        )),
        ("upper", None) => Ok(Filter::Upper),
        ("lower", None) => Ok(Filter::Lower),
        ("number", None) => Ok(Filter::Number),
        ("upper" | "lower" | "number", Some(_)) => {
            Err(TemplateWrong::Argument("`upper`, `lower` and `number` take nothing"))
        }
        (name, _) => Err(TemplateWrong::UnknownFilter(name.to_owned())),
    }
}

fn unquoted(text: &str) -> &str {
    let within = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

fn is_date_form(form: &str) -> bool {
    let mut characters = form.chars();
    while let Some(character) = characters.next() {
        if character == '%' && !matches!(characters.next(), Some('Y' | 'm' | 'd' | 'H' | 'M' | 'S'))
        {
            return false;
        }
    }
    !form.is_empty()
}

impl Reference {
    fn parse(text: &str) -> Result<Self, TemplateWrong> {
        if text == "now" {
            return Ok(Self::Now);
        }
        if let Some(days) = text.strip_prefix("today")
            && !days.starts_with(|next: char| next == '.' || next == '_' || next.is_alphanumeric())
        {
            return days_of(days)
                .map(|days| Self::Today { days })
                .ok_or_else(|| TemplateWrong::Day(text.to_owned()));
        }
        if let Some(name) = text.strip_prefix("env.") {
            let is_name = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return if is_name {
                Ok(Self::Env(name.to_owned()))
            } else {
                Err(TemplateWrong::Env(name.to_owned()))
            };
        }
        let path = FieldPath::parse_members(text)
            .map_err(|error| TemplateWrong::Path { text: text.to_owned(), error })?;
        if text.contains(char::is_whitespace) {
            // `{{lead.email default}}`, where a `|` was forgotten.
            let error = PathError::NotDotted(' ');
            return Err(TemplateWrong::Path { text: text.to_owned(), error });
        }
        Ok(Self::Field(path))
    }
}

/// Nothing is none, `+2` and `- 30` so many.
fn days_of(text: &str) -> Option<i32> {
    let text = text.trim();
    if text.is_empty() {
        return Some(0);
    }
    let (sign, digits) = match text.strip_prefix('+') {
        Some(digits) => (1, digits),
        None => (-1, text.strip_prefix('-')?),
    };
    let digits = digits.trim_start();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let days: i32 = is_number.then(|| digits.parse().ok()).flatten()?;
    (days <= MOST_DAYS).then_some(sign * days)
}

/// As it may be written.
impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Today { days: 0 } => formatter.write_str("today"),
            Self::Today { days } => write!(formatter, "today{days:+}"),
            Self::Now => formatter.write_str("now"),
            Self::Env(name) => write!(formatter, "env.{name}"),
            Self::Field(path) => formatter.write_str(path.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts as they are, slots as `[at reference filters]`.
    fn shown(text: &str) -> Result<String, String> {
        let template = Template::parse(text).map_err(|fault| format!("{} {fault}", fault.at))?;
        let shown = template.parts().iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Slot(Slot { reference, filters, at }) if filters.is_empty() => {
                format!("[{at} {reference}]")
            }
            Part::Slot(Slot { reference, filters, at }) => {
                format!("[{at} {reference} {filters:?}]")
            }
        });
        Ok(shown.collect())
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(shown(text).as_deref(), Ok(expect), "{text}");
    }

    #[track_caller]
    fn check_fault(text: &str, expect: &str) {
        assert_eq!(shown(text), Err(expect.to_owned()), "{text}");
    }

    #[test]
    fn templates() {
        check("", "");
        check("no slot } } {", "no slot } } {");
        check("{{lead.email}}", "[0 lead.email]");
        check("Dear {{ lead.name }}, é {{x}}", "Dear [5 lead.name], é [25 x]");
        check("{{today}}{{today+2}}{{today-30}}", "[0 today][9 today+2][20 today-30]");
        check("{{ today + 2 }}", "[0 today+2]");
        check("{{todays}} {{today.x}}", "[0 todays] [11 today.x]");
        check("{{now}} {{now.x}}", "[0 now] [8 now.x]");
        check("{{env.SALES_URL}}/x", "[0 env.SALES_URL]/x");
        check("{{x|upper}}", "[0 x [Upper]]");
        check("{{ x | default: \"a|b}}\" | lower }}", "[0 x [Default(\"a|b}}\"), Lower]]");
        check("{{x | default: 'no \"one\"'}}", "[0 x [Default(\"no \\\"one\\\"\")]]");
        check("{{x | default: none}}", "[0 x [Default(\"none\")]]");
        check("{{x | default: \"\"}}", "[0 x [Default(\"\")]]");
        check("{{x | date: \"%d.%m.%Y %H:%M\"}}", "[0 x [Date(\"%d.%m.%Y %H:%M\")]]");
    }

    #[test]
    fn faults() {
        check_fault("a {{x", "2 a `{{` without its `}}`");
        check_fault("{{x | default: \"a}}", "0 a `{{` without its `}}`");
        check_fault("{{}}", "0 nothing stands between `{{` and `}}`");
        check_fault("{{ | upper }}", "0 nothing stands between `{{` and `}}`");
        check_fault("{{a..b}}", "0 `a..b` refers to nothing: a path name is empty");
        check_fault("{{a[0]}}", "0 `a[0]` refers to nothing: `[` cannot stand in a dotted path");
        check_fault("{{a b}}", "0 `a b` refers to nothing: ` ` cannot stand in a dotted path");
        let day = "is no day: write `today`, `today+2` or `today-30`";
        check_fault("{{today+x}}", &format!("0 `today+x` {day}"));
        check_fault("{{today+99999}}", &format!("0 `today+99999` {day}"));
        check_fault("{{today*2}}", &format!("0 `today*2` {day}"));
        check_fault("{{env.A-B}}", "0 `A-B` names no environment variable");
        check_fault("{{x | uper}}", "0 there is no filter `uper`");
        check_fault("{{x | default}}", "0 `default` needs a text: `default: \"nobody\"`");
        check_fault("{{x | upper: 1}}", "0 `upper`, `lower` and `number` take nothing");
        assert!(shown("{{x | date: \"%q\"}}").is_err() && shown("{{x | date}}").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, braces in "[{}|\"' a:+.é]{0,24}") {
            let _ = Template::parse(&text);
            let _ = Template::parse(&braces);
        }
    }
}
