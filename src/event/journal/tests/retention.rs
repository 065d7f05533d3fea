//! What is let go, and what never is.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NOTHING: Keep = Keep { age: Duration::ZERO, bytes: 0 };

fn later() -> OffsetDateTime {
    NOW + Duration::days(1)
}

fn positions(journal: &Journal) -> BTreeSet<u64> {
    listed(journal, &Filter::default()).iter().map(|listed| listed.entry.position).collect()
}

fn count(journal: &Journal, table: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM {table}");
    read(journal, |connection| connection.query_row(&sql, [], |row| row.get(0)))
}

#[tokio::test]
async fn what_every_sink_has_is_let_go() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    for number in 1..=4 {
        write(&journal, number, &number.to_string()).await;
    }
    for position in [1, 2, 3] {
        journal.accepted("one", position, NOW).await.unwrap();
    }
    journal.accepted("two", 1, NOW).await.unwrap();
    journal.dead("two", 2, NOW, DeliveryFailure::Tls).await.unwrap();
    journal.begin(intent(9, None)).await.unwrap();
    let retired = journal.retire(NOTHING, later()).await.unwrap();
    assert_eq!(retired, Retired { events: 1, writes: 1 });
    assert_eq!(positions(&journal), [2, 3, 4].into());
    assert_eq!(count(&journal, "journal_writes"), 4, "an open one is never let go");

    // A sink that is no longer named keeps nothing back.
    journal.configure_sinks(vec![plan("one", "sales")], NOW).await.unwrap();
    let retired = journal.retire(NOTHING, later()).await.unwrap();
    assert_eq!(retired, Retired { events: 2, writes: 2 });
    assert_eq!(positions(&journal), [4].into());
    journal.accepted("one", 4, NOW).await.unwrap();
    journal.retire(NOTHING, later()).await.unwrap();
    for table in ["journal_events", "journal_views", "journal_deliveries", "journal_attempts"] {
        assert_eq!(count(&journal, table), 0, "{table}");
    }
    // Positions and numbers go on all the same.
    write(&journal, 10, "4").await;
    let message = journal.next_for("one", 1, NOW).await.unwrap();
    assert_eq!((message[0].position, message[0].message.sequence), (5, Some(2)));
}

#[tokio::test]
async fn age_and_size_decide() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    for number in 1..=10u64 {
        let mut event = event(number.into(), "deal.updated", None);
        event.time = NOW + Duration::hours(number.try_into().unwrap());
        let answered = Outcome::Answered { status: 200, events: vec![event] };
        journal.record(intent(number.into(), None), NOW, answered).await.unwrap();
    }
    let now = NOW + Duration::hours(11);
    let keep = |hours, bytes| Keep { age: Duration::hours(hours), bytes };
    journal.retire(keep(9, u64::MAX), now).await.unwrap();
    assert_eq!(positions(&journal), (2..=10).collect());
    let held: u64 = read(&journal, |connection| {
        connection.query_row("SELECT bytes FROM journal_total", [], |row| row.get(0))
    });
    journal.retire(keep(100, held * 5 / 9 + 10), now).await.unwrap();
    assert_eq!(positions(&journal), (6..=10).collect());
    assert_eq!(journal.retire(keep(100, held), now).await.unwrap(), Retired::default());
}

#[tokio::test]
async fn much_is_let_go_in_small_transactions_and_the_file_shrinks() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    for number in 0..3 {
        let events = (0..700)
            .map(|one| {
                let mut event = event(number * 1000 + one, "deal.updated", None);
                let long = RawValue::from_string(format!("\"{}\"", "x".repeat(500))).unwrap();
                event.views.insert("sales".to_owned(), long);
                event
            })
            .collect();
        let answered = Outcome::Answered { status: 200, events };
        journal.record(intent(number, None), NOW, answered).await.unwrap();
    }
    let pages = |connection: &Connection| {
        connection.pragma_query_value(None, "page_count", |row| row.get::<_, u64>(0))
    };
    let (before, commits) = (read(&journal, pages), journal.store().figures().commits);
    let retired = journal.retire(NOTHING, later()).await.unwrap();
    assert_eq!(retired, Retired { events: 2100, writes: 3 });
    assert!(journal.store().figures().commits - commits >= 5);
    assert!(read(&journal, pages) < before / 2, "{before}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever was delivered where, and whatever may stay: an event that some sink has not got is
    /// still there afterwards, and still due.
    #[test]
    fn what_is_not_delivered_stays(
        fates in prop::collection::vec((0u8..4, 0u8..4), 1..30),
        hours in 0i64..48,
        bytes in prop::option::of(0u64..20_000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = TempDir::new().unwrap();
            let journal = with_sinks(&folder).await;
            let mut needed = BTreeSet::new();
            let mut waiting = BTreeSet::new();
            for (position, (one, two)) in (1u64..).zip(fates) {
                write(&journal, position.into(), &position.to_string()).await;
                for (sink, fate) in [("one", one), ("two", two)] {
                    let reason = DeliveryFailure::Timeout;
                    match fate {
                        0 => {}
                        1 => journal.failed(sink, position, NOW, reason, NOW).await.unwrap(),
                        2 => journal.dead(sink, position, NOW, reason).await.unwrap(),
                        _ => journal.accepted(sink, position, NOW).await.unwrap(),
                    }
                    if fate < 3 {
                        needed.insert(position);
                    }
                    if fate < 2 {
                        waiting.insert((sink, position));
                    }
                }
            }
            let keep = Keep { age: Duration::hours(hours), bytes: bytes.unwrap_or(u64::MAX) };
            journal.retire(keep, later()).await.unwrap();
            let left = positions(&journal);
            assert!(needed.is_subset(&left), "{needed:?} of {left:?}");
            for (sink, position) in waiting {
                assert!(due(&journal, sink, NOW).await.contains(&position), "{sink} {position}");
            }
            if hours < 24 {
                assert_eq!(left, needed, "all that may go is gone");
            }
        });
    }
}
