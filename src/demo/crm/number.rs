//! A JSON number as text: served digit by digit as it came, compared exactly.
//!
//! Pure. Refuses what RFC 8259 does not call a number, and never goes through a float.

use std::cmp::Ordering;

use serde_json::value::RawValue;

/// The text of a JSON number; always valid by the grammar of RFC 8259.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// Reads a number; `None` where the whole text is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        let starts_well = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        (starts_well && raw.get() == text).then(|| Self(text.to_owned()))
    }

    /// The digits as they came.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// Whether it is written without fraction and exponent.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.0.contains(['.', 'e', 'E'])
    }

    /// Compares by value: `1.10` equals `1.1`, `1e400` is larger than any counted sum.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let (left, right) = (Scientific::of(&self.0), Scientific::of(&other.0));
        match (left.negative, right.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => left.magnitude().cmp(&right.magnitude()),
            (true, true) => right.magnitude().cmp(&left.magnitude()),
        }
    }
}

/// `0.digits` times ten to the power of `point`; digits neither start nor end with a zero.
struct Scientific {
    negative: bool,
    point: i64,
    digits: String,
}

impl Scientific {
    fn of(text: &str) -> Self {
        let (negative, unsigned) =
            text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Self { negative: false, point: i64::MIN, digits };
        }
        let beyond_any = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
        let leading_zeros = all.len() - significant.len();
        let point = exponent
            .parse::<i64>()
            .unwrap_or(beyond_any)
            .saturating_add_unsigned(whole.len() as u64)
            .saturating_sub_unsigned(leading_zeros as u64);
        Self { negative, point, digits }
    }

    fn magnitude(&self) -> (i64, &str) {
        (self.point, &self.digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[track_caller]
    fn check(smaller: &str, larger: &str) {
        assert_eq!(number(smaller).compare(&number(larger)), Ordering::Less);
        assert_eq!(number(larger).compare(&number(smaller)), Ordering::Greater);
    }

    #[test]
    fn numbers_compare_by_value() {
        check("1", "2");
        check("9", "10");
        check("9007199254740992", "9007199254740993");
        check("1.09", "1.10");
        check("-2", "-1");
        check("-1", "0");
        check("0", "1e-400");
        check("999", "1e400");
        check("1e400", "1e99999999999999999999");
        check("1e-99999999999999999999", "0.5");
        check("0.05", "0.5");
    }

    #[test]
    fn the_same_value_may_be_written_differently() {
        for (left, right) in [("1.10", "1.1"), ("100", "1E+2"), ("-0", "0.0"), ("0e5", "0")] {
            assert_eq!(number(left).compare(&number(right)), Ordering::Equal, "{left} {right}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "abc", "01", "+1", "1.", ".5", " 1", "1 ", "\"1\"", "NaN", "[1]", "--1"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert_eq!(number("1.10").as_text(), "1.10");
    }
}
