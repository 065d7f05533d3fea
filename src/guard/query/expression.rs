//! The words of an expression language: just enough to find every field in it.

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, with the dots in it.
    Name(String),
    /// A string, a number, a date or a GUID.
    Literal,
    /// Anything else, one character.
    Symbol(char),
}

/// How a quote stands in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// `''`
    Doubled,
    /// `\'`
    Escaped,
}

/// The words of a text; `None` where it holds what no word begins with.
pub(super) fn tokens(text: &str, quotes: Quotes) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.get(first.len_utf8()..)?;
        } else if first == '\'' {
            rest = behind_string(rest.get(1..)?, quotes)?;
            found.push(Token::Literal);
        } else if let Some(length) = guid(rest) {
            rest = rest.get(length..)?;
            found.push(Token::Literal);
        } else if first.is_alphabetic() || "_$@".contains(first) {
            let is_part = |found: char| found.is_alphanumeric() || "_.$@".contains(found);
            let end = rest.find(|found| !is_part(found)).unwrap_or(rest.len());
            let (name, behind) = rest.split_at_checked(end)?;
            found.push(Token::Name(name.to_owned()));
            rest = behind;
        } else if first.is_ascii_digit() {
            let is_part = |found: char| found.is_ascii_alphanumeric() || ":.+-".contains(found);
            let end = rest.find(|found| !is_part(found)).unwrap_or(rest.len());
            let (literal, behind) = rest.split_at_checked(end)?;
            if !is_number(literal) && !is_moment(literal) {
                return None;
            }
            found.push(Token::Literal);
            rest = behind;
        } else if "(),:=<>!-+*/;".contains(first) {
            found.push(Token::Symbol(first));
            rest = rest.get(1..)?;
        } else {
            return None;
        }
    }
    Some(found)
}

/// What follows a string whose opening quote has been cut off.
fn behind_string(mut rest: &str, quotes: Quotes) -> Option<&str> {
    loop {
        let at = match quotes {
            Quotes::Doubled => rest.find('\'')?,
            Quotes::Escaped => rest.find(['\'', '\\'])?,
        };
        let behind = rest.get(at + 1..)?;
        let is_escape = rest.get(at..)?.starts_with('\\');
        if is_escape {
            let skipped = behind.chars().next()?;
            rest = behind.get(skipped.len_utf8()..)?;
        } else if quotes == Quotes::Doubled && behind.starts_with('\'') {
            rest = behind.get(1..)?;
        } else {
            return Some(behind);
        }
    }
}

/// The length of a GUID at the start of a text.
fn guid(text: &str) -> Option<usize> {
    let mut at = 0;
    for (group, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if group > 0 {
            text.get(at..)?.strip_prefix('-')?;
            at += 1;
        }
        let digits = text.get(at..at + length)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
        at += length;
    }
    let ends = !text.get(at..)?.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    ends.then_some(at)
}

fn is_number(text: &str) -> bool {
    let text = text.trim_end_matches(['L', 'l', 'F', 'f', 'D', 'd', 'M', 'm']);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.trim_start_matches(['+', '-']);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    is_digits(whole) && is_digits(fraction) && is_digits(exponent)
}

/// A date, a time, or both with an offset: digits with only `T` and `Z` among them.
fn is_moment(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|found| if found.is_ascii_digit() { '0' } else { found.to_ascii_uppercase() })
        .collect();
    let (date, time) = match shape.split_once('T') {
        Some((date, time)) => (Some(date), time),
        None if shape.starts_with("0000-") => return shape == "0000-00-00",
        None => (None, shape.as_str()),
    };
    let time = time.strip_suffix('Z').unwrap_or(time);
    let time = match time.rfind(['+', '-']) {
        Some(at) => match time.split_at_checked(at) {
            Some((time, offset)) if ["00:00", "0000"].contains(&offset.get(1..).unwrap_or("")) => {
                time
            }
            _ => return false,
        },
        None => time,
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    date.is_none_or(|date| date == "0000-00-00")
        && ["00:00", "00:00:00"].contains(&clock)
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte == b'0')
}

/// A text cut at every `separator` that stands outside of brackets and strings.
pub(super) fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut in_string) = (0_usize, 0, false);
    for (at, found) in text.char_indices() {
        match found {
            '\'' => in_string = !in_string,
            _ if in_string => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ if found == separator && depth == 0 => {
                parts.push(text.get(start..at)?);
                start = at + found.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (depth == 0 && !in_string).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let shown = tokens(text, Quotes::Doubled).map(|tokens| {
            let words: Vec<String> = tokens
                .into_iter()
                .map(|token| match token {
                    Token::Name(name) => name,
                    Token::Literal => "#".to_owned(),
                    Token::Symbol(symbol) => symbol.to_string(),
                })
                .collect();
            words.join(" ")
        });
        assert_eq!(shown.as_deref(), expect, "{text}");
    }

    #[test]
    fn words() {
        check("a eq 'it''s (b)' and c/d gt 1.5e3", Some("a eq # and c / d gt #"));
        check("at ge 2026-01-02T03:04:05.6Z", Some("at ge #"));
        check("at ge 2026-01-02T03:04:05+02:00", Some("at ge #"));
        check("id eq a1b2c3d4-0000-1111-2222-333344445555", Some("id eq #"));
        check("f(x,-1)", Some("f ( x , - # )"));
        check("1-ssn", None);
        check("1ssn", None);
        check("'open", None);
        check("a\\b", None);
        check("a\"b", None);
    }

    #[test]
    fn parts() {
        assert_eq!(split("a,b(c,d),'e,f'", ','), Some(vec!["a", "b(c,d)", "'e,f'"]));
        assert_eq!(split("a(b", ','), None);
        assert_eq!(split("a)", ','), None);
        assert_eq!(split("'a", ','), None);
    }
}
