//! Times as the file has them: milliseconds since 1970.

use time::{Duration, OffsetDateTime};

pub(crate) fn to_file(time: OffsetDateTime) -> i64 {
    // Within the range of `OffsetDateTime` this always fits.
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

pub(crate) fn from_file(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH
        .checked_add(Duration::milliseconds(milliseconds))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[track_caller]
    fn check(time: OffsetDateTime, milliseconds: i64, back: OffsetDateTime) {
        assert_eq!(to_file(time), milliseconds);
        assert_eq!(from_file(milliseconds), back);
    }

    #[test]
    fn there_and_back() {
        let (exact, fine) = (datetime!(1970-01-01 0:00:01.5 UTC), datetime!(1970-01-01 0:00 UTC));
        check(exact, 1500, exact);
        check(datetime!(1970-01-01 1:00:00.000_9 +1), 0, fine);
        check(datetime!(1969-12-31 23:59:59.999_5 UTC), -1, datetime!(1969-12-31 23:59:59.999 UTC));
    }
}
