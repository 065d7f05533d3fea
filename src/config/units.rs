//! Durations and sizes as people write them. Pure.

use std::borrow::Cow;
use std::time::Duration;

/// What to write instead.
pub(super) type Remedy = Cow<'static, str>;

const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(super) fn duration(text: &str) -> Result<Duration, Remedy> {
    let (number, unit) = number_and_unit(text);
    if unit.is_empty() && number.is_some() {
        return Err(format!("add a unit: `{text}s`, `{text}ms`, `{text}m` or `{text}h`").into());
    }
    let scale = DURATIONS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    number
        .zip(scale)
        .and_then(|(number, scale)| number.checked_mul(scale))
        .map(Duration::from_millis)
        .ok_or(Cow::Borrowed("write a whole number and a unit: `250ms`, `5s`, `2m` or `1h`"))
}

/// A size in bytes: a whole number, and a unit such as `KiB` or `MB` unless bytes are meant.
pub(super) fn size(text: &str) -> Result<u64, Remedy> {
    let (number, unit) = number_and_unit(text);
    let unit = if unit.is_empty() { "B" } else { unit };
    let scale = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    number.zip(scale).and_then(|(number, scale)| number.checked_mul(scale)).ok_or(Cow::Borrowed(
        "write a whole number and a unit: `64KiB` (1024 bytes each), `10MB` (1000000 bytes each)",
    ))
}

/// A duration as [`duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    // One day is shown as `24h`, as people write a timeout.
    let unit = DURATIONS.iter().rev().find(|(name, scale)| {
        let scale = u128::from(*scale);
        milliseconds.is_multiple_of(scale) && (*name != "d" || milliseconds > scale)
    });
    match unit {
        Some((name, scale)) => format!("{}{name}", milliseconds / u128::from(*scale)),
        None => format!("{milliseconds}ms"),
    }
}

/// A size as [`size`] reads it.
pub(super) fn show_size(bytes: u64) -> String {
    let unit = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale));
    match unit {
        Some((name, scale)) => format!("{}{name}", bytes / scale),
        None => format!("{bytes}B"),
    }
}

fn number_and_unit(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    (number.parse().ok(), unit.strip_prefix(' ').unwrap_or(unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_duration(text: &str, milliseconds: Option<u64>) {
        assert_eq!(duration(text).ok(), milliseconds.map(Duration::from_millis), "{text}");
    }

    #[track_caller]
    fn check_size(text: &str, bytes: Option<u64>) {
        assert_eq!(size(text).ok(), bytes, "{text}");
    }

    #[test]
    fn durations_need_a_unit() {
        check_duration("0s", Some(0));
        check_duration("250ms", Some(250));
        check_duration("5s", Some(5_000));
        check_duration("5 s", Some(5_000));
        check_duration("2m", Some(120_000));
        check_duration("1h", Some(3_600_000));
        check_duration("30d", Some(2_592_000_000));
        for text in ["", "5", "s", "-5s", "1.5s", "5S", "5 sec", "1m30s", "5s ", "5  s", "1w"] {
            check_duration(text, None);
        }
        check_duration("99999999999999999999s", None);
        check_duration("18446744073709551615h", None);
        assert!(duration("5").unwrap_err().contains("`5s`"));
    }

    #[test]
    fn sizes_are_bytes_unless_they_say_otherwise() {
        check_size("0", Some(0));
        check_size("1024", Some(1024));
        check_size("7B", Some(7));
        check_size("64KiB", Some(65_536));
        check_size("64 KiB", Some(65_536));
        check_size("10MB", Some(10_000_000));
        check_size("1MiB", Some(1_048_576));
        check_size("3kB", Some(3_000));
        check_size("2GiB", Some(2_147_483_648));
        for text in ["", "MB", "-1", "1.5MiB", "10M", "10mb", "10 megs", "1TB", "é"] {
            check_size(text, None);
        }
        check_size("18446744073709551615GiB", None);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_the_same(number in 0..1_u64 << 40) {
            let shown = show_duration(Duration::from_millis(number));
            prop_assert_eq!(duration(&shown), Ok(Duration::from_millis(number)));
            prop_assert_eq!(size(&show_size(number)), Ok(number));
        }
    }
}
