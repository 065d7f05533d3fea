//! The journal against real files.

mod order;
mod retention;

use rusqlite::Connection;
use serde_json::value::RawValue;
use tempfile::TempDir;
use time::Duration;
use time::macros::datetime;

use super::super::DeliveryFailure;
use super::*;
use crate::store::{Fault, Options, StoreError, Visitor};

pub(crate) const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

/// Nobody draws ids here: they count.
pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(crate) fn intent(number: u128, record: Option<&str>) -> Intent {
    Intent {
        id: id(number),
        method: "PATCH".to_owned(),
        route: "/deals/{id}".to_owned(),
        resource: "deal".to_owned(),
        record: record.map(str::to_owned),
        tenant: Some("acme".to_owned()),
        actor: Some("ann".to_owned()),
        correlation_id: format!("c-{number}"),
        traceparent: None,
        policy_revision: "r1".to_owned(),
        causation: None,
        time: NOW,
    }
}

pub(crate) fn event(number: u128, event_type: &str, record: Option<&str>) -> Event {
    let raw = |text: String| RawValue::from_string(text).unwrap();
    let views = [("sales", number), ("audit", number * 10)];
    let views = views.map(|(role, amount)| (role.to_owned(), raw(format!("{{\"n\":{amount}}}"))));
    Event {
        id: id(1_000_000 + number),
        event_type: event_type.to_owned(),
        resource: "deal".to_owned(),
        record: record.map(str::to_owned),
        time: NOW,
        tenant: Some("acme".to_owned()),
        actor: Some("ann".to_owned()),
        correlation_id: format!("c-{number}"),
        traceparent: Some("00-1-2-01".to_owned()),
        policy_revision: "r1".to_owned(),
        write: id(number),
        views: views.into(),
    }
}

pub(crate) fn plan(name: &str, role: &str) -> SinkPlan {
    SinkPlan { name: name.to_owned(), role: role.to_owned(), start: Start::Now }
}

pub(crate) fn open(folder: &TempDir) -> Journal {
    open_with(folder, &Options::default())
}

pub(crate) fn open_with(folder: &TempDir, options: &Options) -> Journal {
    Journal::new(Store::open(folder.path(), &[SCHEMA], options).unwrap(), "/crm")
}

/// A journal with the sinks `one` and `two`, both of role `sales`.
pub(crate) async fn with_sinks(folder: &TempDir) -> Journal {
    let journal = open(folder);
    let plans = vec![plan("one", "sales"), plan("two", "sales")];
    journal.configure_sinks(plans, NOW).await.unwrap();
    journal
}

/// A write of one record with one event.
pub(crate) async fn write(journal: &Journal, number: u128, record: &str) {
    let events = vec![event(number, "deal.updated", Some(record))];
    journal.begin(intent(number, Some(record))).await.unwrap();
    let answered = Outcome::Answered { status: 200, events };
    journal.finish(id(number), NOW, answered).await.unwrap();
}

/// What is due at a sink: positions.
pub(crate) async fn due(journal: &Journal, sink: &str, now: OffsetDateTime) -> Vec<u64> {
    let due = journal.next_for(sink, 100, now).await.unwrap();
    due.into_iter().map(|due| due.position).collect()
}

fn read<T>(journal: &Journal, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
    journal.store().read_blocking(work).unwrap()
}

/// `name outcome status` of every write.
fn writes(journal: &Journal) -> Vec<(String, Option<String>, Option<u16>)> {
    read(journal, |connection| {
        let sql = "SELECT id, outcome, status FROM journal_writes ORDER BY id";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            let id: String = row.get(0)?;
            Ok((id.trim_start_matches(['0', '-']).to_owned(), row.get(1)?, row.get(2)?))
        })?;
        rows.collect()
    })
}

fn listed(journal: &Journal, filter: &Filter) -> Vec<Listed> {
    read(journal, |connection| list(connection, filter, 1000))
}

#[tokio::test]
async fn a_write_from_intent_to_events() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    journal.begin(intent(1, Some("7"))).await.unwrap();
    assert_eq!(writes(&journal), [("1".to_owned(), None, None)]);
    let events = vec![
        event(1, "deal.updated", Some("7")),
        event(2, "deal.won", Some("7")),
        event(3, "account.created", None),
    ];
    journal.finish(id(1), NOW, Outcome::Answered { status: 200, events }).await.unwrap();
    assert_eq!(writes(&journal), [("1".to_owned(), Some("answered".to_owned()), Some(200))]);

    let due = journal.next_for("one", 10, NOW).await.unwrap();
    let first = &due[0];
    assert_eq!((first.position, first.attempts), (1, 0));
    let message = &first.message;
    assert_eq!(message.id, id(1_000_001));
    assert_eq!((message.source.as_str(), message.event_type.as_str()), ("/crm", "deal.updated"));
    assert_eq!((message.subject().as_deref(), message.sequence), (Some("deal/7"), Some(1)));
    assert_eq!((message.time, message.data.get()), (NOW, "{\"n\":1}"));
    assert_eq!(message.traceparent.as_deref(), Some("00-1-2-01"));
    assert_eq!(message.tenant.as_deref(), Some("acme"));
    let second = &due[1].message;
    assert_eq!((second.event_type.as_str(), second.sequence), ("account.created", None));
    assert_eq!(due.len(), 2, "the second event of the subject waits for the first");
}

#[tokio::test]
async fn what_a_run_wrote_says_so_in_every_event() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    let causation = Some(Causation { run: id(77), depth: 3 });
    journal.begin(Intent { causation, ..intent(1, Some("7")) }).await.unwrap();
    let events = vec![event(1, "deal.updated", Some("7"))];
    journal.finish(id(1), NOW, Outcome::Answered { status: 200, events }).await.unwrap();
    journal.begin(Intent { causation, ..intent(2, Some("8")) }).await.unwrap();
    journal.finish(id(2), NOW, Outcome::NoAnswer).await.unwrap();
    write(&journal, 3, "9").await;
    let due = journal.next_for("one", 10, NOW).await.unwrap();
    let caused: Vec<_> = due.iter().map(|due| due.message.causation).collect();
    assert_eq!(caused, [causation, causation, None]);
    let listed = listed(&journal, &Filter::default());
    assert_eq!(listed.iter().filter(|listed| listed.entry.causation == causation).count(), 2);
}

#[tokio::test]
async fn a_write_is_closed_once() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    let none = || Outcome::Answered { status: 422, events: Vec::new() };
    let unknown = journal.finish(id(1), NOW, none()).await;
    assert!(matches!(unknown, Err(JournalError::NotOpen(write)) if write == id(1)));
    journal.begin(intent(1, None)).await.unwrap();
    assert!(journal.begin(intent(1, None)).await.is_err(), "an id is used once");
    journal.finish(id(1), NOW, none()).await.unwrap();
    let events = vec![event(1, "deal.updated", None)];
    let again = Outcome::Answered { status: 200, events };
    assert!(matches!(journal.finish(id(1), NOW, again).await, Err(JournalError::NotOpen(_))));
    assert_eq!(writes(&journal), [("1".to_owned(), Some("answered".to_owned()), Some(422))]);
    assert_eq!(listed(&journal, &Filter::default()), []);
}

#[tokio::test]
async fn a_call_that_failed_says_whether_the_crm_may_have_it() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    for number in [1, 2] {
        journal.begin(intent(number, Some("7"))).await.unwrap();
    }
    journal.finish(id(1), NOW, Outcome::NotForwarded).await.unwrap();
    journal.finish(id(2), NOW, Outcome::NoAnswer).await.unwrap();
    let outcomes: Vec<_> = writes(&journal).into_iter().map(|(_, outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["not_forwarded", "unknown"].map(|name| Some(name.to_owned())));
    let due = journal.next_for("one", 10, NOW).await.unwrap();
    let [Due { message, .. }] = &due[..] else { panic!("{due:?}") };
    assert_eq!((message.event_type.as_str(), message.id), (OUTCOME_UNKNOWN, id(2)));
    assert_eq!(message.subject().as_deref(), Some("deal/7"));
    let data = message.data.get();
    assert!(data.contains("\"reason\":\"no_answer\"") && data.contains("/deals/{id}"), "{data}");
}

#[tokio::test]
async fn open_intents_become_events_once() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    for number in 1..=3 {
        journal.begin(intent(number, (number != 3).then_some("7"))).await.unwrap();
    }
    journal.finish(id(2), NOW, Outcome::NotForwarded).await.unwrap();
    journal.store().close();
    drop(journal);

    let journal = with_sinks(&folder).await;
    let unknown = journal.recover(NOW).await.unwrap();
    let ids: Vec<_> = unknown.iter().map(|unknown| unknown.id).collect();
    assert_eq!(ids, [id(1), id(3)]);
    assert_eq!(unknown[0].record.as_deref(), Some("7"));
    assert_eq!(journal.recover(NOW).await.unwrap(), []);
    let due = journal.next_for("two", 10, NOW).await.unwrap();
    let ids: Vec<_> = due.iter().map(|due| due.message.id).collect();
    assert_eq!(ids, [id(1), id(3)]);
    assert!(due[0].message.data.get().contains("restart"));
    let late = Outcome::Answered { status: 200, events: Vec::new() };
    assert!(matches!(journal.finish(id(1), NOW, late).await, Err(JournalError::NotOpen(_))));
}

/// Where writes pass although the journal did not answer in time, their intents may be there, or
/// taken back, or not.
#[tokio::test]
async fn a_write_whose_intent_is_not_known_to_be_there_can_be_recorded_afterwards() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    let record = async |number: u128| {
        let events = vec![event(number, "deal.updated", None)];
        let answered = Outcome::Answered { status: 200, events };
        journal.record(intent(number, None), NOW, answered).await
    };
    record(1).await.unwrap();
    journal.begin(intent(2, None)).await.unwrap();
    record(2).await.unwrap();
    journal.begin(intent(3, None)).await.unwrap();
    journal.finish(id(3), NOW, Outcome::NotForwarded).await.unwrap();
    record(3).await.unwrap();
    assert_eq!(due(&journal, "one", NOW).await, [1, 2, 3]);
    assert!(writes(&journal).iter().all(|(_, outcome, _)| outcome.as_deref() == Some("answered")));

    assert!(matches!(record(3).await, Err(JournalError::NotOpen(_))), "once");
    let late = journal.finish(id(1), NOW, Outcome::NotForwarded).await;
    assert!(matches!(late, Err(JournalError::NotOpen(_))));
    assert_eq!(listed(&journal, &Filter::default()).len(), 3);
}

#[tokio::test]
async fn events_come_with_their_outcome_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    write(&journal, 1, "7").await;
    journal.begin(intent(2, Some("7"))).await.unwrap();
    let events = vec![event(2, "deal.updated", Some("7")), event(1, "deal.won", Some("7"))];
    let twice = journal.finish(id(2), NOW, Outcome::Answered { status: 200, events }).await;
    assert!(matches!(twice, Err(JournalError::Store(StoreError::Work(_)))), "an id is used once");
    assert_eq!(listed(&journal, &Filter::default()).len(), 1);
    let unknown = journal.recover(NOW).await.unwrap();
    assert_eq!(unknown.len(), 1, "the write is still open");
    let sequence = listed(&journal, &Filter::default())[1].entry.sequence;
    assert_eq!(sequence, Some(2), "the numbers have no gap");
}

#[tokio::test]
async fn a_store_that_fails_is_said_to() {
    let folder = TempDir::new().unwrap();
    let options = Options::default();
    let journal = open_with(&folder, &options);
    journal.begin(intent(1, None)).await.unwrap();
    options.faults.set(Some(Fault::Fsync));
    let refused = journal.begin(intent(2, None)).await;
    assert!(matches!(refused, Err(JournalError::Store(StoreError::NotCommitted))));
    let refused = journal.finish(id(1), NOW, Outcome::NoAnswer).await;
    assert!(matches!(refused, Err(JournalError::Store(StoreError::Unhealthy))));
    journal.store().close();
    drop(journal);
    assert_eq!(open(&folder).recover(NOW).await.unwrap().len(), 1);
}

/// A role that is told no scores would get a dead letter for each of them.
#[tokio::test]
async fn what_is_counted_owes_nothing_to_who_may_not_see_it() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    let plans = |other: &str| vec![plan("sales", "sales"), plan("other", other)];
    journal.configure_sinks(plans("other"), NOW).await.unwrap();
    journal.begin(intent(1, Some("7"))).await.unwrap();
    let events = vec![event(1, "deal.score_changed", Some("7"))];
    let outcome = Outcome::Counted { status: 200, events };
    journal.finish(id(1), NOW, outcome).await.unwrap();
    assert_eq!(journal.next_for("sales", 10, NOW).await.unwrap().len(), 1);
    assert!(journal.next_for("other", 10, NOW).await.unwrap().is_empty());
    let dead = || read(&journal, |connection| dead_letters(connection, None, 10)).len();
    assert_eq!(dead(), 0);
    // A sink that begins with what was there, and one whose role is another one now.
    let mut plans = plans("audit");
    plans.push(SinkPlan { start: Start::Beginning, ..plan("late", "nobody") });
    journal.configure_sinks(plans, NOW).await.unwrap();
    assert!(journal.next_for("late", 10, NOW).await.unwrap().is_empty());
    assert_eq!(dead(), 0);
}

#[tokio::test]
async fn a_sink_sees_what_its_role_may_see_or_nothing() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    let plans = vec![plan("sales", "sales"), plan("audit", "audit"), plan("other", "other")];
    journal.configure_sinks(plans, NOW).await.unwrap();
    write(&journal, 1, "7").await;
    journal.begin(intent(2, Some("7"))).await.unwrap();
    journal.finish(id(2), NOW, Outcome::NoAnswer).await.unwrap();
    let data = async |sink: &str| {
        let due = journal.next_for(sink, 10, NOW).await.unwrap();
        due.first().map(|due| due.message.data.get().to_owned()).unwrap_or_default()
    };
    assert_eq!(data("sales").await, "{\"n\":1}");
    assert_eq!(data("audit").await, "{\"n\":10}");
    assert!(data("other").await.contains("no_answer"), "every role may see that");
    let dead = read(&journal, |connection| dead_letters(connection, None, 10));
    let [letter] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!((letter.delivery.sink.as_str(), letter.entry.position), ("other", 1));
    assert_eq!(letter.delivery.failure.as_deref(), Some("no_view"));
    let again = |transaction: &Transaction<'_>| retry(transaction, Chosen::All, None, NOW);
    assert_eq!(journal.store().commit(again).await.unwrap(), 0);
    journal.accepted("other", 2, NOW).await.unwrap();
    let again = |transaction: &Transaction<'_>| replay(transaction, Chosen::All, None, NOW);
    assert_eq!(journal.store().commit(again).await.unwrap(), 1, "only what it may see");

    let view = |role: &'static str| {
        let view = read(&journal, |connection| view(connection, 1, role));
        view.map(|data| data.get().to_owned())
    };
    assert_eq!(view("audit").as_deref(), Some("{\"n\":10}"));
    assert_eq!(view("other"), None);
}

#[tokio::test]
async fn a_new_sink_begins_now_or_at_the_beginning_and_an_old_one_where_it_was() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    write(&journal, 1, "7").await;
    let all = SinkPlan { start: Start::Beginning, ..plan("all", "audit") };
    let plans = vec![plan("one", "sales"), plan("new", "sales"), all];
    journal.configure_sinks(plans, NOW).await.unwrap();
    write(&journal, 2, "8").await;
    assert_eq!(due(&journal, "one", NOW).await, [1, 2]);
    assert_eq!(due(&journal, "new", NOW).await, [2]);
    assert_eq!(due(&journal, "all", NOW).await, [1, 2]);
    // `two` was not named meanwhile; it has lost nothing.
    let plans = vec![plan("two", "sales"), plan("new", "sales")];
    journal.configure_sinks(plans.clone(), NOW).await.unwrap();
    assert_eq!(due(&journal, "two", NOW).await, [1, 2]);
    journal.accepted("new", 2, NOW).await.unwrap();
    journal.configure_sinks(plans, NOW).await.unwrap();
    assert_eq!(due(&journal, "new", NOW).await, [0; 0], "nothing twice");
}

#[tokio::test]
async fn what_the_commands_ask() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    let mut later = event(3, "deal.won", Some("8"));
    later.time = NOW + Duration::hours(1);
    let events =
        vec![event(1, "deal.updated", Some("7")), event(2, "contact.updated", None), later];
    journal.begin(intent(1, None)).await.unwrap();
    journal.finish(id(1), NOW, Outcome::Answered { status: 200, events }).await.unwrap();
    let check = |filter: Filter, expected: &[u64]| {
        let found: Vec<u64> =
            listed(&journal, &filter).iter().map(|listed| listed.entry.position).collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    let text = |text: &str| Some(text.to_owned());
    check(Filter::default(), &[1, 2, 3]);
    check(Filter { event_type: text("deal.won"), ..Filter::default() }, &[3]);
    check(Filter { event_type: text("deal.*"), ..Filter::default() }, &[1, 3]);
    check(Filter { event_type: text("deal.w%"), ..Filter::default() }, &[]);
    check(Filter { subject: text("deal"), ..Filter::default() }, &[1, 2, 3]);
    check(Filter { subject: text("deal/8"), ..Filter::default() }, &[3]);
    check(Filter { correlation_id: text("c-2"), ..Filter::default() }, &[2]);
    check(Filter { since: Some(NOW + Duration::minutes(1)), ..Filter::default() }, &[3]);
    check(Filter { until: Some(NOW + Duration::minutes(1)), ..Filter::default() }, &[1, 2]);
    let both = Filter { event_type: text("deal.*"), subject: text("deal/7"), ..Filter::default() };
    check(both, &[1]);
    let newest = read(&journal, |connection| list(connection, &Filter::default(), 2));
    assert_eq!(newest.iter().map(|one| one.entry.position).collect::<Vec<_>>(), [2, 3]);
    let next = read(&journal, |connection| tail(connection, &Filter::default(), 1, 1));
    assert_eq!(next.iter().map(|one| one.entry.position).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn everything_about_one_event() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    write(&journal, 1, "7").await;
    let (reason, again) = (DeliveryFailure::Status(503), NOW + Duration::seconds(5));
    journal.failed("one", 1, NOW, reason, again).await.unwrap();
    journal.dead("one", 1, again, DeliveryFailure::Timeout).await.unwrap();
    journal.accepted("two", 1, NOW).await.unwrap();
    let shown = read(&journal, |connection| show(connection, id(1_000_001))).unwrap();
    assert_eq!(shown.entry.subject().as_deref(), Some("deal/7"));
    let roles: Vec<_> = shown.views.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["audit", "sales"]);
    let [one, two] = &shown.deliveries[..] else { panic!("{shown:?}") };
    assert_eq!((one.state, one.attempts, one.due), (DeliveryState::Dead, 2, None));
    assert_eq!((one.failure.as_deref(), one.settled), (Some("timeout"), Some(again)));
    assert_eq!((two.state, two.attempts, two.settled), (DeliveryState::Delivered, 1, Some(NOW)));
    let attempts: Vec<_> = shown
        .attempts
        .iter()
        .map(|attempt| (attempt.sink.as_str(), attempt.attempt, attempt.outcome.as_str()))
        .collect();
    assert_eq!(attempts, [("one", 1, "status_503"), ("one", 2, "timeout"), ("two", 1, "accepted")]);
    let listed = &listed(&journal, &Filter::default())[0];
    assert_eq!((listed.waiting, listed.delivered, listed.dead), (0, 1, 1));
    assert!(read(&journal, |connection| show(connection, id(5))).is_none());
    let backlog = journal.backlog("one").await.unwrap();
    assert_eq!(backlog, Backlog { waiting: 0, dead: 1, oldest: None });
}

#[tokio::test]
async fn a_visitor_sends_dead_letters_again_while_the_store_is_live() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    for number in 1..=2 {
        write(&journal, number, "7").await;
        journal
            .dead("one", u64::try_from(number).unwrap(), NOW, DeliveryFailure::Tls)
            .await
            .unwrap();
    }
    assert_eq!(due(&journal, "one", NOW).await, [0; 0]);
    let mut visitor = Visitor::writer(folder.path(), &[SCHEMA]).unwrap();
    let one = Chosen::Event(id(1_000_002));
    assert_eq!(visitor.write(|inside| retry(inside, one, Some("two"), NOW)).unwrap(), 0);
    assert_eq!(visitor.write(|inside| retry(inside, one, Some("one"), NOW)).unwrap(), 1);
    assert_eq!(due(&journal, "one", NOW).await, [2]);
    assert_eq!(visitor.write(|inside| retry(inside, Chosen::All, None, NOW)).unwrap(), 1);
    assert_eq!(due(&journal, "one", NOW).await, [2], "what is on its way is not overtaken");
    journal.accepted("one", 2, NOW).await.unwrap();
    let due = journal.next_for("one", 10, NOW).await.unwrap();
    assert_eq!((due[0].position, due[0].attempts), (1, 0));
    assert_eq!(visitor.read(sink_names).unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn a_replay_brings_events_again_with_their_ids() {
    let folder = TempDir::new().unwrap();
    let journal = with_sinks(&folder).await;
    for number in 1..=3 {
        write(&journal, number, &number.to_string()).await;
        let position = u64::try_from(number).unwrap();
        journal.accepted("one", position, NOW).await.unwrap();
    }
    let since = Chosen::Since(NOW);
    let again = move |inside: &Transaction<'_>| replay(inside, since, Some("one"), NOW);
    assert_eq!(journal.store().commit(again).await.unwrap(), 3);
    assert_eq!(due(&journal, "one", NOW).await, [1, 2, 3]);
    assert_eq!(journal.store().commit(again).await.unwrap(), 0, "it is on its way already");
    let one = Chosen::Event(id(1_000_002));
    let again = move |inside: &Transaction<'_>| replay(inside, one, Some("nobody"), NOW);
    assert_eq!(journal.store().commit(again).await.unwrap(), 0);
    let late = Chosen::Since(NOW + Duration::milliseconds(1));
    let again = move |inside: &Transaction<'_>| replay(inside, late, None, NOW);
    assert_eq!(journal.store().commit(again).await.unwrap(), 0);
    let message = &journal.next_for("one", 1, NOW).await.unwrap()[0].message;
    assert_eq!(message.id, id(1_000_001));
}
