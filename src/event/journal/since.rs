//! Where in the journal a time stands, without an index that every write would pay for.

use rusqlite::Connection;

/// Events are written down in the order of their times but for what a slow commit may turn round, in
/// milliseconds.
const DISORDER: i64 = 60_000;

/// A position before which no event is as late as `time`, found by halving.
pub(super) fn first_since(connection: &Connection, time: i64) -> rusqlite::Result<i64> {
    let ends = "SELECT coalesce((SELECT min(position) FROM journal_events), 0),
                       coalesce((SELECT max(position) FROM journal_events), -1)";
    let (mut low, last): (i64, i64) =
        connection.prepare_cached(ends)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut high = last + 1;
    let mut next = connection.prepare_cached(
        "SELECT position, time FROM journal_events WHERE position >= ?1 ORDER BY position LIMIT 1",
    )?;
    while low < high {
        let middle = low + (high - low) / 2;
        let (position, at): (i64, i64) =
            next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if at < time.saturating_sub(DISORDER) {
            low = position + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Events of these positions and times.
    fn with(events: &[(i64, i64)]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE journal_events (position INTEGER PRIMARY KEY, time INTEGER)",
            )
            .unwrap();
        let mut insert = connection.prepare("INSERT INTO journal_events VALUES (?1, ?2)").unwrap();
        for event in events {
            insert.execute(*event).unwrap();
        }
        drop(insert);
        connection
    }

    #[test]
    fn nothing_is_since_when_there_is_nothing() {
        assert_eq!(first_since(&with(&[]), 5).unwrap(), 0);
    }

    #[test]
    fn what_is_much_older_stands_before() {
        let connection = with(&[(3, 0), (7, 100_000), (8, 200_000), (40, 300_000)]);
        let first = |time| first_since(&connection, time).unwrap();
        assert_eq!([first(0), first(100_000), first(200_001)], [3, 4, 8]);
        assert_eq!(first(900_000), 41);
    }

    proptest! {
        #[test]
        fn no_event_as_late_stands_before_it(
            steps in prop::collection::vec((1..5i64, 0..90_000i64, 0..DISORDER), 0..40),
            at in 0..40usize,
        ) {
            let (mut position, mut time) = (0, 0);
            let events: Vec<(i64, i64)> = steps
                .into_iter()
                .map(|(further, later, earlier)| {
                    position += further;
                    time += later;
                    (position, time - earlier)
                })
                .collect();
            let since = events.get(at).map_or(time + 1, |(_, time)| *time);
            let first = first_since(&with(&events), since).unwrap();
            let late = events.iter().filter(|(_, time)| *time >= since);
            prop_assert!(late.clone().all(|(position, _)| *position >= first));
        }
    }
}
