//! Order within a subject, and none between subjects.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn a_failure_holds_back_its_subject_and_nobody_else() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    for (number, record) in [(1, "7"), (2, "7"), (3, "8"), (4, "7")] {
        write(&journal, number, record).await;
    }
    assert_eq!(due(&journal, "one", NOW).await, [1, 3]);
    let again = NOW + Duration::seconds(5);
    journal.failed("one", 1, NOW, DeliveryFailure::Connect, again).await.unwrap();
    assert_eq!(due(&journal, "one", NOW).await, [3]);
    journal.accepted("one", 3, NOW).await.unwrap();
    assert_eq!(due(&journal, "one", NOW).await, [0; 0]);
    let agenda = journal.agenda("one", 10, NOW).await.unwrap();
    assert_eq!(agenda.next, Some(again));
    assert_eq!(due(&journal, "one", again).await, [1]);
    journal.dead("one", 1, again, DeliveryFailure::Connect).await.unwrap();
    assert_eq!(due(&journal, "one", again).await, [2], "a dead letter lets the next one go");
    journal.accepted("one", 2, again).await.unwrap();
    assert_eq!(due(&journal, "one", again).await, [4]);
    assert_eq!(due(&journal, "two", NOW).await, [1, 3], "another sink is not concerned");
}

#[tokio::test]
async fn events_without_a_record_hold_back_nobody() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    let events = (1..=3).map(|number| event(number, "deal.created", None)).collect();
    journal.begin(intent(1, None)).await.unwrap();
    journal.finish(id(1), NOW, Outcome::Answered { status: 201, events }).await.unwrap();
    assert_eq!(due(&journal, "one", NOW).await, [1, 2, 3]);
}

#[tokio::test]
async fn companies_do_not_share_subjects() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    let events: Vec<Event> = ["acme", "other"]
        .into_iter()
        .zip(1..)
        .map(|(tenant, number)| Event {
            tenant: Some(tenant.to_owned()),
            ..event(number, "deal.updated", Some("7"))
        })
        .collect();
    journal.begin(intent(1, None)).await.unwrap();
    journal.finish(id(1), NOW, Outcome::Answered { status: 200, events }).await.unwrap();
    let due = journal.next_for("one", 10, NOW).await.unwrap();
    let sequences: Vec<_> = due.iter().map(|due| due.message.sequence).collect();
    assert_eq!(sequences, [Some(1), Some(1)]);
}

#[tokio::test]
async fn a_disabled_sink_keeps_its_events() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    write(&journal, 1, "7").await;
    journal.disabled("one", 1, NOW).await.unwrap();
    write(&journal, 2, "8").await;
    let disabled = |connection: &Connection| {
        let sql = "SELECT count(*) FROM journal_sinks WHERE disabled IS NOT NULL";
        connection.query_row(sql, [], |row| row.get::<_, u64>(0))
    };
    assert_eq!(read(&journal, disabled), 1);
    let shown = read(&journal, |connection| show(connection, id(1_000_001))).unwrap();
    assert_eq!(shown.attempts[0].outcome, "disabled");
    let plans = vec![plan("one", "sales"), plan("two", "sales")];
    journal.configure_sinks(plans, NOW).await.unwrap();
    assert_eq!(read(&journal, disabled), 0, "a start gives it another chance");
    assert_eq!(due(&journal, "one", NOW).await, [1, 2]);
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Write(u8),
    Accept(usize),
    Fail(usize),
    Die(usize),
    Retry,
    Replay,
    Wait,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..3).prop_map(Step::Write),
        4 => (0usize..3).prop_map(Step::Accept),
        2 => (0usize..3).prop_map(Step::Fail),
        1 => (0usize..3).prop_map(Step::Die),
        1 => Just(Step::Retry),
        1 => Just(Step::Replay),
        2 => Just(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens, a sink is offered at most one event of a subject at a time; without
    /// retries and replays they come in order; and in the end it has had every one.
    #[test]
    fn every_event_comes_and_in_order(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(history(steps));
    }
}

async fn history(steps: Vec<Step>) {
    let folder = TempDir::new().unwrap();
    let mut journal = with_sinks(&folder).await;
    let (mut now, mut written, mut is_disturbed) = (NOW, 0, false);
    let mut had: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let later = Duration::seconds(5);
    for step in steps {
        let due = journal.next_for("one", 100, now).await.unwrap();
        let mut records: Vec<_> = due.iter().map(|due| due.message.record.clone()).collect();
        records.sort();
        records.dedup();
        assert_eq!(records.len(), due.len(), "two of one subject at a time");
        let pick = |index: usize| (!due.is_empty()).then(|| &due[index % due.len()]);
        match step {
            Step::Write(record) => {
                written += 1;
                write(&journal, written, &record.to_string()).await;
            }
            Step::Accept(index) => {
                let Some(due) = pick(index) else { continue };
                journal.accepted("one", due.position, now).await.unwrap();
                let record = due.message.record.clone().unwrap();
                had.entry(record).or_default().push(due.message.sequence.unwrap());
            }
            Step::Fail(index) => {
                let Some(due) = pick(index) else { continue };
                let reason = DeliveryFailure::Timeout;
                journal.failed("one", due.position, now, reason, now + later).await.unwrap();
            }
            Step::Die(index) => {
                let Some(due) = pick(index) else { continue };
                journal.dead("one", due.position, now, DeliveryFailure::Tls).await.unwrap();
                is_disturbed = true;
            }
            Step::Retry => {
                let work = move |inside: &Transaction<'_>| retry(inside, Chosen::All, None, now);
                journal.store().commit(work).await.unwrap();
            }
            Step::Replay => {
                let work = move |inside: &Transaction<'_>| replay(inside, Chosen::All, None, now);
                is_disturbed |= journal.store().commit(work).await.unwrap() > 0;
            }
            Step::Wait => now += later,
            Step::Restart => {
                journal.store().close();
                drop(journal);
                journal = with_sinks(&folder).await;
            }
        }
    }
    now += later;
    let work = move |inside: &Transaction<'_>| retry(inside, Chosen::All, None, now);
    journal.store().commit(work).await.unwrap();
    loop {
        let due = journal.next_for("one", 2, now).await.unwrap();
        if due.is_empty() {
            break;
        }
        for due in due {
            journal.accepted("one", due.position, now).await.unwrap();
            let record = due.message.record.clone().unwrap();
            had.entry(record).or_default().push(due.message.sequence.unwrap());
        }
    }
    let mut distinct = 0;
    for sequences in had.values_mut() {
        if !is_disturbed {
            assert!(sequences.is_sorted_by(|one, two| one < two), "{sequences:?}");
        }
        sequences.sort_unstable();
        sequences.dedup();
        let last = u64::try_from(sequences.len()).unwrap();
        assert_eq!(*sequences, (1..=last).collect::<Vec<_>>(), "a number is missing");
        distinct += u128::from(last);
    }
    assert_eq!(distinct, written, "an event never came");
    assert_eq!(journal.backlog("one").await.unwrap(), Backlog::default());
}
