//! Form fields: `name=value` pairs, and names that spell a path (`owner[email]`, `owner.email`).

use percent_encoding::percent_decode_str;

use super::Unreadable;

/// One step of a form field's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A member.
    Name(String),
    /// `[0]`, or `[]` for the next one.
    Element(Option<u64>),
}

/// One field of a form, as bytes of the body and as what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// The name as decoded.
    pub(super) name: String,
    /// The path that it spells.
    pub(super) path: Vec<Step>,
    /// Its value; `None` for a file.
    pub(super) text: Option<String>,
    /// The bytes of the body that are this field and nothing else.
    pub(super) span: (usize, usize),
}

/// Most fields of one form.
const MOST_FIELDS: usize = 4096;

/// The pairs of an `application/x-www-form-urlencoded` body.
pub(super) fn pairs(body: &[u8]) -> Result<Vec<Field>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::Form)?;
    let mut fields = Vec::new();
    let mut start = 0;
    for pair in text.split('&') {
        let span = (start, start + pair.len());
        start = span.1 + 1;
        if pair.is_empty() {
            continue;
        }
        // Some servers split at `;` as well; no browser sends one unencoded.
        if pair.contains(';') || fields.len() == MOST_FIELDS {
            return Err(Unreadable::Form);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        let path = path_of(&name)?;
        fields.push(Field { name, path, text: Some(decode(value)?), span });
    }
    check_spellings(&fields)?;
    Ok(fields)
}

/// A name or value without its encoding. One with a broken escape has more than one reading.
fn decode(text: &str) -> Result<String, Unreadable> {
    let bytes = text.as_bytes();
    let is_broken = bytes.iter().enumerate().any(|(at, byte)| {
        let digits = || bytes.get(at + 1..at + 3);
        *byte == b'%' && !digits().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if is_broken {
        return Err(Unreadable::Form);
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| Unreadable::Form)?;
    Ok(decoded.into_owned())
}

/// The name before the first bracket, as PHP reads it: with `_` for each dot.
pub(super) fn undotted_head(name: &str) -> String {
    name.split('[').next().unwrap_or_default().replace('.', "_")
}

/// The path that a name spells. Brackets that do not close, and whatever stands behind one that
/// did, are read differently by every server.
pub(super) fn path_of(name: &str) -> Result<Vec<Step>, Unreadable> {
    // What begins like JSON or XML is no form, whatever its label says.
    let is_odd = |found: char| found.is_control() || "%{}\"<".contains(found);
    if name.is_empty() || name.trim() != name || name.contains(is_odd) {
        return Err(Unreadable::Form);
    }
    let head = name.find(['[', '.']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at_checked(head).ok_or(Unreadable::Form)?;
    let mut path = vec![Step::Name(first.to_owned())];
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, behind) = inner.split_once(']').ok_or(Unreadable::Form)?;
            path.push(step(key)?);
            rest = behind;
        } else if let Some(inner) = rest.strip_prefix('.') {
            let end = inner.find(['[', '.']).unwrap_or(inner.len());
            let (key, behind) = inner.split_at_checked(end).ok_or(Unreadable::Form)?;
            path.push(step(key).ok().filter(|_| !key.is_empty()).ok_or(Unreadable::Form)?);
            rest = behind;
        } else {
            return Err(Unreadable::Form);
        }
    }
    if first.is_empty() || first.contains(']') { Err(Unreadable::Form) } else { Ok(path) }
}

fn step(key: &str) -> Result<Step, Unreadable> {
    if key.is_empty() {
        return Ok(Step::Element(None));
    }
    if key.bytes().all(|byte| byte.is_ascii_digit()) {
        return key.parse().map(|index| Step::Element(Some(index))).map_err(|_| Unreadable::Form);
    }
    if key.trim() != key || key.contains(['[', ']']) {
        return Err(Unreadable::Form);
    }
    Ok(Step::Name(key.to_owned()))
}

/// Refuses one field under two spellings, and a field that is a value here and holds others there:
/// of these the CRM takes one, and nobody knows which.
pub(super) fn check_spellings(fields: &[Field]) -> Result<(), Unreadable> {
    use std::collections::HashMap;
    let mut spelled: HashMap<&[Step], &str> = HashMap::new();
    for field in fields {
        let first = spelled.entry(&field.path).or_insert(&field.name);
        if *first != field.name {
            return Err(Unreadable::RepeatedName);
        }
    }
    let holds_others = fields.iter().any(|field| {
        let mut above = field.path.as_slice();
        while let [shorter @ .., _] = above {
            above = shorter;
            if spelled.contains_key(above) {
                return true;
            }
        }
        false
    });
    if holds_others { Err(Unreadable::RepeatedName) } else { Ok(()) }
}

/// A pair as the body of a form has it.
pub(super) fn encode(name: &str, value: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
    format!("{}={}", utf8_percent_encode(name, ESCAPED), utf8_percent_encode(value, ESCAPED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_path(name: &str, expect: Option<&str>) {
        let shown = path_of(name).ok().map(|path| {
            let steps = path.iter().map(|step| match step {
                Step::Name(name) => format!("/{name}"),
                Step::Element(Some(index)) => format!("#{index}"),
                Step::Element(None) => "#".to_owned(),
            });
            steps.collect::<String>()
        });
        assert_eq!(shown.as_deref(), expect, "{name}");
    }

    #[test]
    fn names_spell_paths() {
        check_path("email", Some("/email"));
        check_path("owner[email]", Some("/owner/email"));
        check_path("owner.email", Some("/owner/email"));
        check_path("emails[0]", Some("/emails#0"));
        check_path("emails[]", Some("/emails#"));
        check_path("emails[][value]", Some("/emails#/value"));
        check_path("emails[0].value", Some("/emails#0/value"));
        check_path("emails.0.value", Some("/emails#0/value"));
        for odd in [
            "",
            "[email]",
            "a[b",
            "a]b",
            "a[b]c",
            "a..b",
            "a.",
            " a",
            "a[ b]",
            "a\0",
            "a%5Bb",
            "a[[b]]",
            "{\"ssn\":1}",
            "a{",
            "a}",
            "\"a\"",
            "<a>",
        ] {
            check_path(odd, None);
        }
    }

    #[track_caller]
    fn check(body: &str, expect: Result<&[(&str, &str)], Unreadable>) {
        let found = pairs(body.as_bytes()).map(|fields| {
            let pair = |field: &Field| (field.name.clone(), field.text.clone().unwrap());
            fields.iter().map(pair).collect::<Vec<_>>()
        });
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        assert_eq!(found, expect.map(|pairs| pairs.iter().map(own).collect()), "{body}");
    }

    #[test]
    fn forms_have_one_reading_or_none() {
        check("", Ok(&[]));
        check("a=1&&b=x+y%20z&c", Ok(&[("a", "1"), ("b", "x y z"), ("c", "")]));
        check("tags=a&tags=b", Ok(&[("tags", "a"), ("tags", "b")]));
        check("owner%5Bemail%5D=x", Ok(&[("owner[email]", "x")]));
        check("owner[email]=x&owner.email=y", Err(Unreadable::RepeatedName));
        check("a=1&a[b]=2", Err(Unreadable::RepeatedName));
        for broken in
            ["a=%zz", "a=%", "%ff=1", "a=1;ssn=2", "=1", "a=%FF", r#"{"ssn":1}"#, "<ssn>1</ssn>"]
        {
            check(broken, Err(Unreadable::Form));
        }
    }
}
