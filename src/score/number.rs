//! Decimals as whole numbers of thousandths and hundredths, so that nothing is lost before the one
//! floor at the end.

use std::fmt;

/// A weight or a factor: 12.5 is 12,500 thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Thousandths(u32);

impl Thousandths {
    /// 1.
    pub const ONE: Self = Self(1000);

    /// So many thousandths.
    #[must_use]
    pub const fn new(thousandths: u32) -> Self {
        Self(thousandths)
    }

    /// So many whole ones.
    #[must_use]
    pub const fn whole(ones: u32) -> Self {
        Self(ones * 1000)
    }

    /// A number as a policy file has it: from 0 to `most`, with at most three decimals.
    #[must_use]
    pub fn from_decimal(number: f64, most: u32) -> Option<Self> {
        if !(0.0..=f64::from(most)).contains(&number) {
            return None;
        }
        let scaled = number * 1000.0;
        let nearest = scaled.round();
        // A double is nearer to what was written than this, and a fourth decimal further away.
        if (scaled - nearest).abs() > 1e-6 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative and at most a thousand times `most`"
        )]
        let thousandths = nearest as u64;
        u32::try_from(thousandths).ok().map(Self)
    }

    /// How many thousandths.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }
}

/// A contribution, cut after the second decimal: 14.28 is 1,428 hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Hundredths(u32);

impl Hundredths {
    /// So many hundredths.
    #[must_use]
    pub const fn new(hundredths: u32) -> Self {
        Self(hundredths)
    }

    /// How many hundredths.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }

    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// A fraction from nought to one, as exact as it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fraction {
    pub(super) of: u32,
    pub(super) count: u32,
}

impl Fraction {
    pub(super) const NONE: Self = Self { count: 0, of: 1 };

    /// `count` of `of`, and never more than all of it.
    pub(super) fn capped(count: u32, of: u32) -> Self {
        if of == 0 { Self::NONE } else { Self { count: count.min(of), of } }
    }

    /// Exact.
    pub(super) fn thousandths(factor: Thousandths) -> Self {
        Self::capped(factor.0, 1000)
    }

    /// The fraction in thousandths, cut.
    pub(super) fn cut(self) -> Thousandths {
        let cut = u64::from(self.count) * 1000 / u64::from(self.of.max(1));
        Thousandths(u32::try_from(cut).unwrap_or(u32::MAX))
    }

    /// What the fraction is worth at this weight, cut.
    pub(super) fn of_weight(self, weight: Thousandths) -> Hundredths {
        let worth = u64::from(self.count) * u64::from(weight.0) / (u64::from(self.of.max(1)) * 10);
        Hundredths(u32::try_from(worth).unwrap_or(u32::MAX))
    }

    /// Thousandths of what it is worth, times `common`, which `of` divides. Exact.
    pub(super) fn scaled(self, weight: Thousandths, common: u64) -> u64 {
        u64::from(self.count) * (common / u64::from(self.of.max(1))) * u64::from(weight.0)
    }
}

/// The least number that both divide.
pub(super) fn common_multiple(one: u64, other: u64) -> u64 {
    let (mut large, mut small) = (one, other);
    while small != 0 {
        (large, small) = (small, large % small);
    }
    one / large.max(1) * other
}

/// Digits without trailing zeros: `14.28`, `14.5`, `20`.
fn write_decimal(
    formatter: &mut fmt::Formatter<'_>,
    whole: u32,
    rest: u32,
    digits: usize,
) -> fmt::Result {
    write!(formatter, "{whole}")?;
    if rest == 0 {
        return Ok(());
    }
    let (mut rest, mut digits) = (rest, digits);
    while rest.is_multiple_of(10) {
        rest /= 10;
        digits -= 1;
    }
    write!(formatter, ".{rest:0digits$}")
}

impl fmt::Display for Thousandths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(formatter, self.0 / 1000, self.0 % 1000, 3)
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(formatter, self.0 / 100, self.0 % 100, 2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(number: f64, most: u32, expect: Option<&str>) {
        let read = Thousandths::from_decimal(number, most);
        assert_eq!(read.map(|read| read.to_string()).as_deref(), expect, "{number}");
    }

    #[test]
    fn decimals_of_policy_files() {
        check(0.3, 1, Some("0.3"));
        check(0.1 + 0.2, 1, Some("0.3"));
        check(12.5, 100, Some("12.5"));
        check(100.0, 100, Some("100"));
        check(0.0, 1, Some("0"));
        check(-0.0, 1, Some("0"));
        check(0.001, 1, Some("0.001"));
        check(0.0001, 1, None);
        check(100.001, 100, None);
        check(-1.0, 100, None);
        check(f64::NAN, 100, None);
        check(f64::INFINITY, 100, None);
    }

    #[test]
    fn numbers_are_shown_without_idle_zeros() {
        for (hundredths, expect) in
            [(0, "0"), (1428, "14.28"), (2000, "20"), (1450, "14.5"), (5, "0.05"), (110, "1.1")]
        {
            assert_eq!(Hundredths::new(hundredths).to_string(), expect);
        }
    }

    proptest! {
        #[test]
        fn what_is_cut_is_less_than_a_hundredth(
            count in 0_u32..200_000, of in 1_u32..100_001, weight in 0_u32..=100_000
        ) {
            let fraction = Fraction::capped(count, of);
            let cut = fraction.of_weight(Thousandths::new(weight)).count();
            let exact = u128::from(count.min(of)) * u128::from(weight);
            let unit = u128::from(of) * 10;
            prop_assert!(u128::from(cut) * unit <= exact);
            prop_assert!(exact < (u128::from(cut) + 1) * unit);
        }

        #[test]
        fn a_common_multiple_is_divided_by_both(one in 1_u64..100_001, other in 1_u64..100) {
            let common = common_multiple(one, other);
            prop_assert!(common.is_multiple_of(one) && common.is_multiple_of(other));
            prop_assert!(common <= one * other);
        }
    }
}
