//! `Retry-After` (RFC 9110, section 10.2.3). Pure.

use std::time::{Duration, SystemTime};

/// The longest time that a receiver may ask for.
const MOST: Duration = Duration::from_secs(24 * 3600);

/// How long to wait from `now` on, at most a day; `None` for what asks for no wait.
pub(super) fn read(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long time too.
        value.parse().map_or(MOST, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).ok()?
    };
    (!wait.is_zero()).then_some(wait.min(MOST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, seconds: Option<u64>) {
        let now = httpdate::parse_http_date("Sun, 01 Mar 2026 12:00:00 GMT").unwrap();
        assert_eq!(read(value, now), seconds.map(Duration::from_secs), "{value:?}");
    }

    #[test]
    fn seconds_and_dates() {
        check("120", Some(120));
        check(" 7 ", Some(7));
        check("86400", Some(86_400));
        check("86401", Some(86_400));
        check("99999999999999999999999", Some(86_400));
        check("Sun, 01 Mar 2026 12:01:00 GMT", Some(60));
        check("Sunday, 01-Mar-26 12:01:00 GMT", Some(60));
        check("Sun Mar  1 12:01:00 2026", Some(60));
        check("Wed, 01 Mar 2028 12:00:00 GMT", Some(86_400));
    }

    #[test]
    fn what_asks_for_nothing_is_no_wait() {
        for value in ["", "0", "-1", "1.5", "5s", "soon", "Sun, 01 Mar 2026 11:59:59 GMT"] {
            check(value, None);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_wait_longer_than_a_day(value in any::<String>()) {
            prop_assert!(read(&value, SystemTime::UNIX_EPOCH).is_none_or(|wait| wait <= MOST));
        }
    }
}
