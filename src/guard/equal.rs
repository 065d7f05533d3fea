//! Whether two JSON values mean the same, however they are written.

use super::tree::{Content, Value};

/// Whether the values are equal. Numbers are compared by value and to the last digit, since a
/// client may write `1.10` as `1.1`; members in whatever order.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (&one.content, &other.content) {
        (Content::Null, Content::Null) => true,
        (Content::Bool(one), Content::Bool(other)) => one == other,
        (Content::Number(one), Content::Number(other)) => same_number(one, other),
        (Content::Text(one), Content::Text(other)) => one == other,
        (Content::List(one), Content::List(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| equal(&one.value, &other.value))
        }
        (Content::Object(members), Content::Object(others)) => {
            members.len() == others.len()
                && members.iter().all(|member| {
                    other.member(&member.name).is_some_and(|found| equal(&member.value, found))
                })
        }
        _ => false,
    }
}

/// Whether two numbers of JSON texts are the same number.
pub(super) fn same_number(one: &str, other: &str) -> bool {
    one == other || Decimal::read(one).is_some_and(|one| Decimal::read(other) == Some(one))
}

/// A text that equal numbers share.
pub(super) fn canonical_number(digits: &str) -> String {
    match Decimal::read(digits) {
        Some(number) => {
            let sign = if number.is_negative { "-" } else { "" };
            format!("{sign}{}e{}", number.digits, number.exponent)
        }
        None => digits.to_owned(),
    }
}

/// A number as its digits without zeros at either end, and the power of ten of the last one.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let kept = digits.trim_end_matches('0');
        if kept.is_empty() {
            return Some(Self { is_negative: false, digits: String::new(), exponent: 0 });
        }
        let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
        let fraction = i64::try_from(fraction.len()).ok()?;
        let exponent = exponent.checked_add(dropped)?.checked_sub(fraction)?;
        Some(Self { is_negative, digits: kept.to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, expect: bool) {
        let parse = |text: &'static str| Tree::parse(text.as_bytes()).unwrap().root;
        let one = parse(one.to_owned().leak());
        let other = parse(other.to_owned().leak());
        assert_eq!(equal(&one, &other), expect);
        assert_eq!(equal(&other, &one), expect);
    }

    #[test]
    fn values() {
        for (one, other) in [
            ("1.10", "1.1"),
            ("1e2", "100"),
            ("0", "-0.0"),
            ("1E400", "10e399"),
            (r#""\u0061""#, r#""a""#),
            (r#"{"a":1,"b":[2]}"#, r#"{ "b" : [2.0], "a":1 }"#),
        ] {
            check(one, other, true);
        }
        for (one, other) in [
            ("1", "-1"),
            ("9007199254740993", "9007199254740992"),
            ("1", "\"1\""),
            ("null", "false"),
            ("[1,2]", "[2,1]"),
            ("{}", "[]"),
            (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            ("1e99999999999999999999", "2e99999999999999999999"),
        ] {
            check(one, other, false);
        }
    }
}
