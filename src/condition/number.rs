//! JSON numbers, compared by their exact decimal value.
//!
//! Never through `f64`: two amounts that differ in their seventeenth digit are two amounts, and
//! `1e400` is a number.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A number as it was written.
///
/// Invariant: the text is a number of RFC 8259.
#[derive(Debug, Clone)]
pub struct Number<'a>(Cow<'a, str>);

/// The parts of a number's text.
#[derive(Debug, Clone, Copy)]
struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: &'t str,
}

impl<'a> Number<'a> {
    /// Reads a number of RFC 8259: no `+`, no leading zeros, digits on both sides of the point.
    #[must_use]
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Option<Self> {
        let text = text.into();
        is_number(&text).then_some(Self(text))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn into_owned(self) -> Number<'static> {
        Number(Cow::Owned(self.0.into_owned()))
    }
}

fn is_number(text: &str) -> bool {
    let (whole, mut rest) = leading_digits(text.strip_prefix('-').unwrap_or(text));
    let mut is_whole = !whole.is_empty() && (whole.len() == 1 || !whole.starts_with('0'));
    if let Some(behind) = rest.strip_prefix('.') {
        let (fraction, behind) = leading_digits(behind);
        is_whole &= !fraction.is_empty();
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix(['e', 'E']) {
        let unsigned = behind.strip_prefix(['-', '+']).unwrap_or(behind);
        let (exponent, behind) = leading_digits(unsigned);
        is_whole &= !exponent.is_empty();
        rest = behind;
    }
    is_whole && rest.is_empty()
}

fn leading_digits(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(digits).unwrap_or((text, ""))
}

fn parts(text: &str) -> Parts<'_> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, ""));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    Parts { negative: text.starts_with('-'), whole, fraction, exponent }
}

impl<'t> Parts<'t> {
    /// The digits from the first that is not zero.
    fn digits(self) -> impl Iterator<Item = u8> + 't {
        self.whole.bytes().chain(self.fraction.bytes()).skip_while(|digit| *digit == b'0')
    }

    fn sign(self) -> i8 {
        match (self.digits().next(), self.negative) {
            (None, _) => 0,
            (Some(_), true) => -1,
            (Some(_), false) => 1,
        }
    }

    /// How many digits stand before the point, counted from the first that is not zero.
    fn magnitude(self) -> i128 {
        let zeros = self.whole.len() + self.fraction.len() - self.digits().count();
        let before = count(self.whole.len()) - count(zeros);
        // Nobody writes an exponent of 39 digits; two such are taken for the same.
        let far = if self.exponent.starts_with('-') { i128::MIN / 4 } else { i128::MAX / 4 };
        let exponent = match self.exponent {
            "" => 0,
            exponent => exponent.parse().unwrap_or(far).clamp(i128::MIN / 4, i128::MAX / 4),
        };
        before + exponent
    }
}

fn count(digits: usize) -> i128 {
    i128::try_from(digits).unwrap_or(i128::MAX / 4)
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (parts(&self.0), parts(&other.0));
        let sign = one.sign();
        if sign != other.sign() || sign == 0 {
            return sign.cmp(&other.sign());
        }
        let by_size =
            one.magnitude().cmp(&other.magnitude()).then_with(|| compare_digits(one, other));
        if sign < 0 { by_size.reverse() } else { by_size }
    }
}

/// Compares two rows of digits that begin at the same place; behind the end there are zeros.
fn compare_digits(one: Parts<'_>, other: Parts<'_>) -> Ordering {
    let (mut one, mut other) = (one.digits(), other.digits());
    loop {
        let order = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (first, second) => first.unwrap_or(b'0').cmp(&second.unwrap_or(b'0')),
        };
        if order.is_ne() {
            return order;
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number<'_> {}

impl fmt::Display for Number<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(one: &str, expect: Ordering, other: &str) {
        let (one, other) = (Number::parse(one).unwrap(), Number::parse(other).unwrap());
        assert_eq!(one.cmp(&other), expect, "{one} {other}");
        assert_eq!(other.cmp(&one), expect.reverse(), "{other} {one}");
    }

    #[test]
    fn exact_order() {
        use Ordering::{Equal, Less};
        check("1.10", Equal, "1.1");
        check("0", Equal, "-0");
        check("0", Equal, "0.000e5");
        check("100", Equal, "1e2");
        check("100", Equal, "1E+2");
        check("0.01", Equal, "1e-2");
        check("12.5e1", Equal, "125");
        check("0.00125e5", Equal, "125");
        check("-0.5", Equal, "-5e-1");
        check("9007199254740992", Less, "9007199254740993");
        check("0.1", Less, "0.10000000000000000001");
        check("1e400", Less, "1e401");
        check("1e400", Less, "1.0000000001e400");
        check("-1e400", Less, "1e-400");
        check("1e-401", Less, "1e-400");
        check("-2", Less, "-1.99");
        check("-1", Less, "0");
        check("0", Less, "1e-999999999999");
        check("9", Less, "10");
        check("1", Less, "1e99999999999999999999999999999999999999999999");
        check("1e-99999999999999999999999999999999999999999999", Less, "1");
        check("99999999999999999999", Less, "100000000000000000000");
    }

    #[test]
    fn what_is_a_number() {
        for text in ["0", "-0", "10", "1.5", "1e5", "1E-5", "-0.0e+00", "1e400"] {
            assert!(Number::parse(text).is_some(), "{text}");
        }
        let not = [
            "", "-", "+1", "01", "-01", ".5", "1.", "1.e5", "1e", "1e+", "1e1e1", "1.2.3", "0x1",
            "NaN", "1 ", " 1", "--1", "1e5.5", "1_0", "٣", "e5", "-e5", "1e+-5", "Infinity",
        ];
        for text in not {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_they_do(one: i64, other: i64) {
            let order = Number::parse(one.to_string()).cmp(&Number::parse(other.to_string()));
            prop_assert_eq!(order, one.cmp(&other));
        }

        #[test]
        fn a_shifted_point_is_no_other_number(digits in 1_u64.., shift in 0_usize..40) {
            let written = format!("{digits}{}", "0".repeat(shift));
            let shifted = format!("{digits}e{shift}");
            let back = format!("{written}e-{shift}");
            prop_assert_eq!(Number::parse(written), Number::parse(shifted));
            prop_assert_eq!(Number::parse(back), Number::parse(digits.to_string()));
        }

        #[test]
        fn the_grammar_is_that_of_json(text in "-?[0-9.eE+-]{0,8}") {
            let is_json = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            prop_assert_eq!(Number::parse(text.as_str()).is_some(), is_json);
        }
    }
}
