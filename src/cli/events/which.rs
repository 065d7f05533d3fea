//! Which events a command speaks of, and the ways to write a time.

use clap::Args;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use crate::event::journal::Filter;

/// Filters over the journal; an event must pass all that are given.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Events of this type; a `*` at the end takes all that begin so
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Events of one record (`deal/42`) or of all of its kind (`deal`)
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Events of the request with this correlation id
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Events from this time on: `15m`, `2h`, `7d`, `2026-11-01` or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<OffsetDateTime>,
    /// Events before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
}

impl Which {
    pub(super) fn filter(&self) -> Filter {
        Filter {
            event_type: self.event_type.clone(),
            subject: self.subject.clone(),
            correlation_id: self.correlation_id.clone(),
            since: self.since,
            until: self.until,
        }
    }
}

/// A time as people write it.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, String> {
    read(text, OffsetDateTime::now_utc()).ok_or_else(|| {
        "write how long ago (`15m`, `2h`, `7d`), a day (`2026-11-01`, in UTC), or RFC 3339"
            .to_owned()
    })
}

fn read(text: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time);
    }
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Some(day.midnight().assume_utc());
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let ago = number.parse::<u32>().ok()?;
    now.checked_sub(Duration::seconds(i64::from(ago).checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let now = datetime!(2026-11-25 12:00 UTC);
        for (text, expect) in [
            ("90s", Some(datetime!(2026-11-25 11:58:30 UTC))),
            ("15m", Some(datetime!(2026-11-25 11:45 UTC))),
            ("2h", Some(datetime!(2026-11-25 10:00 UTC))),
            ("7d", Some(datetime!(2026-11-18 12:00 UTC))),
            ("2026-11-01", Some(datetime!(2026-11-01 00:00 UTC))),
            ("2026-11-01T10:00:00+02:00", Some(datetime!(2026-11-01 08:00 UTC))),
            ("yesterday", None),
            ("-2h", None),
            ("2", None),
            ("h", None),
            ("", None),
            ("2é", None),
            ("4294967295d", None),
        ] {
            assert_eq!(read(text, now), expect, "{text}");
        }
    }
}
