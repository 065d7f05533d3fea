//! `${NAME}` in string values. Pure: variables are an argument.
//!
//! What a variable holds is text and stays text; it is never read as YAML, so no variable can
//! add keys or change what a value is. `$${` stands for `${` itself.

/// Why a text could not be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The variable is not set.
    Missing(String),
    /// `${` without a name and `}` behind it.
    Malformed,
}

/// `text` with every `${NAME}` replaced, or every fault in it.
pub(super) fn substitute(
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, Vec<Fault>> {
    let (mut complete, mut faults) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            complete.push_str(before);
            complete.push_str("${");
            rest = behind;
            continue;
        }
        complete.push_str(before);
        let Some((name, behind)) = behind.split_once('}').filter(|(name, _)| is_name(name)) else {
            faults.push(Fault::Malformed);
            rest = behind;
            continue;
        };
        match variable(name) {
            Some(value) => complete.push_str(&value),
            None => faults.push(Fault::Missing(name.to_owned())),
        }
        rest = behind;
    }
    complete.push_str(rest);
    if faults.is_empty() { Ok(complete) } else { Err(faults) }
}

/// Whether `name` can be the name of an environment variable, as POSIX shells see it.
pub(super) fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("crm".to_owned()),
            "_P0" => Some("80".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(substitute(text, variable).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn check_faults(text: &str, expected: &[Fault]) {
        assert_eq!(substitute(text, variable), Err(expected.to_vec()));
    }

    #[test]
    fn names_are_replaced() {
        check("", "");
        check("plain $ {text}", "plain $ {text}");
        check("$HOST", "$HOST");
        check("${HOST}", "crm");
        check("http://${HOST}:${_P0}/é", "http://crm:80/é");
        check("[${EMPTY}]", "[]");
    }

    #[test]
    fn what_a_variable_holds_is_not_read_again() {
        check("${NESTED}", "${HOST}");
    }

    #[test]
    fn a_doubled_dollar_is_a_literal_one() {
        check("$${HOST}", "${HOST}");
        check("$$${HOST}", "$${HOST}");
        check("$${", "${");
        check("$$", "$$");
        check("$$HOST", "$$HOST");
    }

    #[test]
    fn every_fault_is_reported() {
        let missing = |name: &str| Fault::Missing(name.to_owned());
        check_faults("${A}${HOST}${B}", &[missing("A"), missing("B")]);
        for text in ["${", "${}", "${HOST", "${1A}", "${A-B}", "${A:-x}", "${ HOST }", "${É}"] {
            check_faults(text, &[Fault::Malformed]);
        }
    }
}
