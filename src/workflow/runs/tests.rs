//! Runs held by several: the same tests for runs in a store and for runs that sidecars share.

use tempfile::TempDir;
use time::macros::datetime;

use super::*;
use crate::config::{Fleet, NatsLogin, NatsTls};
use crate::diagnostic::SourceFile;
use crate::store::{Options, Store};
use crate::workflow::fleet::SharedRuns;
use crate::workflow::render::tests::lead;

#[path = "../../../tests/sinks/nats_server.rs"]
#[allow(dead_code, reason = "who kills it are the tests of the sink and of the program")]
mod nats_server;

use nats_server::NatsServer;

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
const LEASE: Duration = Duration::from_secs(60);

fn open(folder: &TempDir) -> StoredRuns {
    StoredRuns::new(Store::open(folder.path(), &[SCHEMA], &Options::default()).unwrap())
}

/// Sidecars that share runs, each with a connection of its own.
struct Group {
    server: NatsServer,
    listening: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.listening.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Group {
    fn new() -> Self {
        Self { server: NatsServer::start(""), listening: Vec::new() }
    }

    /// One that has not heard of the others yet.
    fn stranger(&self) -> SharedRuns {
        let runs = SharedRuns::new(Fleet {
            servers: vec![self.server.url()],
            name: "gates".to_owned(),
            replicas: 1,
            timeout: Duration::from_secs(10),
            login: NatsLogin::Anonymous,
            tls: NatsTls::default(),
        });
        runs.unwrap()
    }

    async fn listen(&mut self, runs: &SharedRuns) {
        let listener = runs.clone();
        self.listening.push(tokio::spawn(async move { listener.listen().await }));
        runs.wait_until_current().await;
    }

    async fn join(&mut self) -> SharedRuns {
        let runs = self.stranger();
        self.listen(&runs).await;
        runs
    }
}

/// One test over both.
macro_rules! both {
    ($($name:ident)+) => {
        mod in_a_store {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::TempDir::new().unwrap();
                super::$name(&super::open(&folder)).await;
            })+
        }

        mod shared {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let mut group = super::Group::new();
                super::$name(&group.join().await).await;
            })+
        }
    };
}

both! {
    by_priority_then_by_age_and_each_once
    only_who_holds_a_run_settles_it
    a_lease_that_is_prolonged_holds
    what_is_under_way_is_not_taken_from_oneself
    a_claim_that_its_owner_never_heard_of_is_taken_again
    who_starts_by_hand_is_not_held
    who_asks_is_told_when_to_ask_again
    full_workflows_hold_nobody_else_back
    rates_hold_within_a_minute
    a_run_that_is_interrupted_too_often_is_given_up
    a_run_is_taken_back_and_begun_again
    what_is_told_of_a_run
    old_runs_go
}

fn workflow(name: &str) -> Arc<Workflow> {
    let text = format!(
        "name: {name}\nrole: sales\ntriggers: [{{ event: lead.created }}]\nactions:\n  - send_notification: {{ recipient: a, message: b }}\n  - send_notification: {{ recipient: a, message: c }}\n"
    );
    Arc::new(Workflow::alone(&SourceFile::new(name, text)).unwrap())
}

fn run(number: u128, name: &str, priority: i64) -> NewRun {
    NewRun {
        id: Uuid::from_u128(number),
        workflow: workflow(name),
        cause: Cause::Event,
        priority,
        event: Arc::new(Message { id: Uuid::from_u128(number), ..lead("{}") }),
        depth: 1,
    }
}

fn claim(owner: &str, now: OffsetDateTime, limit: usize) -> Claim {
    Claim {
        owner: owner.into(),
        now,
        lease: LEASE,
        limit,
        bounds: Arc::default(),
        most_interruptions: 5,
        aboard: Arc::default(),
    }
}

async fn claimed(runs: &dyn Runs, claim: Claim) -> Vec<u128> {
    let claimed = runs.claim(claim).await.unwrap();
    claimed.runs.iter().map(|run| run.id.as_u128()).collect()
}

fn step(number: u128, owner: &str, then: Then) -> Step {
    let outcome = Outcome::Completed { result: "{}".to_owned() };
    Step {
        run: Uuid::from_u128(number),
        owner: owner.into(),
        now: NOW,
        attempted: vec![Attempted { ordinal: 0, attempts: 1, started: NOW, outcome }],
        then,
    }
}

async fn by_priority_then_by_age_and_each_once(runs: &dyn Runs) {
    let new = [(1, 0), (2, 5), (3, -1), (4, 5)];
    let new = new.map(|(number, priority)| run(number, "greet", priority));
    assert_eq!(runs.add(new.to_vec(), NOW).await.unwrap(), 4);
    assert_eq!(runs.add(new.to_vec(), NOW).await.unwrap(), 0);
    assert_eq!(claimed(runs, claim("one", NOW, 3)).await, [2, 4, 1]);
    assert_eq!(claimed(runs, claim("two", NOW, 3)).await, [3]);
    assert_eq!(claimed(runs, claim("two", NOW, 3)).await, [0; 0]);
}

async fn only_who_holds_a_run_settles_it(runs: &dyn Runs) {
    runs.add(vec![run(1, "greet", 0)], NOW).await.unwrap();
    assert_eq!(claimed(runs, claim("one", NOW, 9)).await, [1]);
    assert_eq!(runs.settle(step(1, "two", Then::Next(1))).await.unwrap(), Settled::Lost);
    assert_eq!(runs.settle(step(2, "one", Then::Next(1))).await.unwrap(), Settled::Lost);
    assert_eq!(runs.settle(step(1, "one", Then::Next(1))).await.unwrap(), Settled::Yes);

    // Not heard of for longer than the lease: somebody else goes on at the second action.
    let later = NOW + LEASE + Duration::from_millis(1);
    assert_eq!(claimed(runs, claim("two", NOW + LEASE, 9)).await, [0; 0]);
    let over = runs.claim(claim("two", later, 9)).await.unwrap().runs;
    assert_eq!((over[0].id.as_u128(), over[0].next, over[0].started), (1, 1, NOW));
    assert_eq!(
        runs.settle(step(1, "one", Then::End(End::Completed))).await.unwrap(),
        Settled::Lost
    );
    assert_eq!(runs.settle(step(1, "two", Then::End(End::Completed))).await.unwrap(), Settled::Yes);
    assert_eq!(
        runs.settle(step(1, "two", Then::End(End::Completed))).await.unwrap(),
        Settled::Lost
    );
}

async fn a_lease_that_is_prolonged_holds(runs: &dyn Runs) {
    runs.add(vec![run(1, "greet", 0), run(2, "greet", 0)], NOW).await.unwrap();
    assert_eq!(claimed(runs, claim("one", NOW, 9)).await, [1, 2]);
    let ids = vec![Uuid::from_u128(1)];
    runs.renew("one".into(), ids.clone(), NOW + 3 * LEASE).await.unwrap();
    runs.renew("two".into(), vec![Uuid::from_u128(2)], NOW + 3 * LEASE).await.unwrap();
    assert_eq!(claimed(runs, claim("two", NOW + 2 * LEASE, 9)).await, [2]);
}

/// Leases run out while the servers cannot be asked; the run goes on all the same.
async fn what_is_under_way_is_not_taken_from_oneself(runs: &dyn Runs) {
    runs.add(vec![run(1, "greet", 0)], NOW).await.unwrap();
    assert_eq!(claimed(runs, claim("one", NOW, 9)).await, [1]);
    let aboard = Arc::new(BTreeSet::from([Uuid::from_u128(1)]));
    let later = NOW + LEASE + Duration::from_secs(1);
    let his = Claim { aboard: Arc::clone(&aboard), ..claim("one", later, 9) };
    let again = runs.claim(his).await.unwrap();
    assert!(again.runs.is_empty());
    assert_eq!(again.next, None);
    assert_eq!(runs.show(Uuid::from_u128(1)).await.unwrap().unwrap().interruptions, 0);
    // It is nobody's word but his own.
    let other = Claim { aboard, ..claim("two", later, 9) };
    assert_eq!(claimed(runs, other).await, [1]);
}

/// The answer to a claim may be lost on its way.
async fn a_claim_that_its_owner_never_heard_of_is_taken_again(runs: &dyn Runs) {
    runs.add(vec![run(1, "greet", 0), run(2, "greet", 0)], NOW).await.unwrap();
    assert_eq!(claimed(runs, claim("one", NOW, 1)).await, [1]);
    let heard = runs.claim(claim("one", NOW, 1)).await.unwrap();
    assert_eq!(heard.runs[0].id, Uuid::from_u128(2));
    assert_eq!(heard.next, Some(NOW + LEASE));
    let aboard = Arc::new(BTreeSet::from([Uuid::from_u128(2)]));
    let later = NOW + LEASE + Duration::from_millis(1);
    let again = Claim { aboard, ..claim("one", later, 9) };
    assert_eq!(claimed(runs, again).await, [1]);
}

async fn who_starts_by_hand_is_not_held(runs: &dyn Runs) {
    let by_hand =
        |number| NewRun { cause: Cause::Hand(Uuid::from_u128(number)), ..run(number, "greet", 0) };
    runs.add(vec![run(1, "greet", 9), by_hand(2), by_hand(3)], NOW).await.unwrap();
    let bound = Bound { rate: None, concurrency: Some(1), is_held: true };
    let bounds = Arc::new(BTreeMap::from([("greet".to_owned(), bound)]));
    let held = || Claim { bounds: Arc::clone(&bounds), ..claim("one", NOW, 9) };
    assert_eq!(claimed(runs, held()).await, [2]);
    // The other bounds hold for them too.
    assert_eq!(claimed(runs, held()).await, [0; 0]);
    let end = step(2, "one", Then::End(End::Completed));
    assert_eq!(runs.settle(end).await.unwrap(), Settled::Yes);
    assert_eq!(claimed(runs, held()).await, [3]);
}

async fn who_asks_is_told_when_to_ask_again(runs: &dyn Runs) {
    runs.add(vec![run(1, "greet", 0), run(2, "greet", 0)], NOW).await.unwrap();
    let next = |claim| async { runs.claim(claim).await.unwrap().next };
    assert_eq!(next(claim("one", NOW, 9)).await, None);
    assert_eq!(next(claim("two", NOW, 9)).await, Some(NOW + LEASE));
    let again = NOW + Duration::from_secs(7);
    assert_eq!(runs.settle(step(1, "one", Then::Again(again))).await.unwrap(), Settled::Yes);
    assert_eq!(next(claim("one", NOW, 9)).await, Some(again));
    assert_eq!(claimed(runs, claim("two", again, 9)).await, [1]);
}

/// Of many runs of workflows that are full, those of others are still found.
async fn full_workflows_hold_nobody_else_back(runs: &dyn Runs) {
    let mut new: Vec<NewRun> = (1..=1200).map(|number| run(number, "full", 9)).collect();
    new.extend((2001..=2003).map(|number| run(number, "free", 0)));
    runs.add(new, NOW).await.unwrap();
    let bounds = |concurrency, is_held| {
        let bound = Bound { rate: None, concurrency, is_held };
        Arc::new(BTreeMap::from([("full".to_owned(), bound)]))
    };
    let held = Claim { bounds: bounds(None, true), ..claim("one", NOW, 2) };
    assert_eq!(claimed(runs, held).await, [2001, 2002]);
    let bounded = Claim { bounds: bounds(Some(2), false), ..claim("one", NOW, 9) };
    assert_eq!(claimed(runs, bounded).await, [1, 2, 2003]);
}

async fn rates_hold_within_a_minute(runs: &dyn Runs) {
    let bound = Bound { rate: Some(2), concurrency: None, is_held: false };
    let bounds = Arc::new(BTreeMap::from([("greet".to_owned(), bound)]));
    let at = |seconds| Claim {
        bounds: Arc::clone(&bounds),
        ..claim("one", NOW + Duration::from_secs(seconds), 9)
    };
    runs.add((1..=5).map(|number| run(number, "greet", 0)).collect(), NOW).await.unwrap();
    assert_eq!(claimed(runs, at(0)).await, [1, 2]);
    for number in [1, 2] {
        let end = step(number, "one", Then::End(End::Completed));
        assert_eq!(runs.settle(end).await.unwrap(), Settled::Yes);
    }
    let full = runs.claim(at(30)).await.unwrap();
    assert!(full.runs.is_empty());
    assert_eq!(full.next, Some(NOW + Duration::from_millis(60_001)));
    assert_eq!(claimed(runs, at(61)).await, [3, 4]);
}

async fn a_run_that_is_interrupted_too_often_is_given_up(runs: &dyn Runs) {
    runs.add(vec![run(1, "greet", 0)], NOW).await.unwrap();
    let mut now = NOW;
    for owner in ["a", "b", "c"] {
        let claim = Claim { most_interruptions: 2, ..claim(owner, now, 9) };
        assert_eq!(claimed(runs, claim).await, [1], "{owner}");
        now += LEASE + Duration::from_millis(1);
    }
    let last = Claim { most_interruptions: 2, ..claim("d", now, 9) };
    assert_eq!(claimed(runs, last).await, [0; 0]);
    let shown = runs.show(Uuid::from_u128(1)).await.unwrap().unwrap();
    assert_eq!(shown.run.status, RunStatus::Failed);
    assert_eq!(shown.run.failure.as_deref(), Some("interrupted"));
    let standing: Vec<_> = shown.actions.iter().map(|action| action.status).collect();
    assert_eq!(standing, [RunStatus::Cancelled, RunStatus::Cancelled]);
}

async fn a_run_is_taken_back_and_begun_again(runs: &dyn Runs) {
    let ids: Vec<Uuid> = (1..=2).map(Uuid::from_u128).collect();
    runs.add(vec![run(1, "greet", 0), run(2, "greet", 0)], NOW).await.unwrap();
    assert_eq!(claimed(runs, claim("one", NOW, 1)).await, [1]);
    assert_eq!(runs.settle(step(1, "one", Then::Next(1))).await.unwrap(), Settled::Yes);
    for id in &ids {
        assert_eq!(runs.cancel(*id, NOW).await.unwrap(), Cancelled::Yes);
    }
    let ended = Cancelled::Ended(RunStatus::Cancelled);
    assert_eq!(runs.cancel(ids[1], NOW).await.unwrap(), ended);
    assert_eq!(runs.cancel(Uuid::nil(), NOW).await.unwrap(), Cancelled::Unknown);
    assert_eq!(runs.taken_back(ids.clone()).await.unwrap(), ids);
    // Whoever carries it out still has it, and is told when he comes.
    let standing = Retried::Standing(RunStatus::Cancelled);
    assert_eq!(runs.retry(ids[0]).await.unwrap(), standing);
    let cancelled =
        Attempted { ordinal: 1, attempts: 1, started: NOW, outcome: Outcome::Cancelled };
    let last = Step { attempted: vec![cancelled], ..step(1, "one", Then::HandBack(1)) };
    assert_eq!(runs.settle(last).await.unwrap(), Settled::TakenBack);

    assert_eq!(runs.retry(ids[0]).await.unwrap(), Retried::Yes);
    assert_eq!(runs.retry(ids[0]).await.unwrap(), Retried::Standing(RunStatus::Pending));
    assert_eq!(runs.retry(Uuid::nil()).await.unwrap(), Retried::Unknown);
    let again = runs.claim(claim("two", NOW, 9)).await.unwrap().runs;
    let again: Vec<_> = again.iter().map(|run| (run.id, run.next, run.attempts)).collect();
    assert_eq!(again, [(ids[0], 1, 0)]);
}

async fn what_is_told_of_a_run(runs: &dyn Runs) {
    runs.add(vec![run(1, "greet", 3), run(2, "wave", 0)], NOW).await.unwrap();
    assert_eq!(claimed(runs, claim("one", NOW, 1)).await, [1]);
    let failure = ActionFailure::Status;
    let outcome = Outcome::Failed { failure, error: "the receiver answered 503".to_owned() };
    let attempted = Attempted { ordinal: 0, attempts: 2, started: NOW, outcome };
    let end = End::Failed { failure: RunFailure::Action(failure), error: "no".to_owned() };
    let now = NOW + Duration::from_millis(1500);
    let step = Step { attempted: vec![attempted], now, ..step(1, "one", Then::End(end)) };
    assert_eq!(runs.settle(step).await.unwrap(), Settled::Yes);

    let Shown { run: told, actions, event, .. } =
        runs.show(Uuid::from_u128(1)).await.unwrap().unwrap();
    assert_eq!((told.workflow.as_str(), told.role.as_str()), ("greet", "sales"));
    assert_eq!((told.status, told.duration_ms), (RunStatus::Failed, Some(1500)));
    assert_eq!((told.failure.as_deref(), told.error.as_deref()), (Some("status"), Some("no")));
    assert_eq!((event.id, told.event), (Uuid::from_u128(1), Uuid::from_u128(1)));
    let first = &actions[0];
    assert_eq!((first.status, first.attempts), (RunStatus::Failed, 2));
    assert_eq!(first.error.as_deref(), Some("the receiver answered 503"));
    assert_eq!((actions.len(), actions[1].status), (2, RunStatus::Cancelled));
    assert!(runs.show(Uuid::nil()).await.unwrap().is_none());

    let list = |filter, limit| async move {
        let listed = runs.list(filter, limit).await.unwrap();
        listed.iter().map(|run| run.id.as_u128()).collect::<Vec<_>>()
    };
    let by_status = |status| Filter { status: Some(status), ..Filter::default() };
    let of = |name: &str| Filter { workflow: Some(name.to_owned()), ..Filter::default() };
    assert_eq!(list(Filter::default(), 9).await, [2, 1]);
    assert_eq!(list(Filter::default(), 1).await, [2]);
    assert_eq!(list(by_status(RunStatus::Failed), 9).await, [1]);
    assert_eq!(list(by_status(RunStatus::Completed), 9).await, [0; 0]);
    assert_eq!(list(of("wave"), 9).await, [2]);
    let event = Filter { event: Some(Uuid::from_u128(1)), ..Filter::default() };
    assert_eq!(list(event, 9).await, [1]);
    let counts = runs.counts().await.unwrap();
    assert_eq!((counts.pending, counts.running, counts.failed), (1, 0, 1));
}

async fn old_runs_go(runs: &dyn Runs) {
    runs.add(vec![run(1, "greet", 0), run(2, "greet", 0)], NOW).await.unwrap();
    assert_eq!(claimed(runs, claim("one", NOW, 1)).await, [1]);
    let end = step(1, "one", Then::End(End::Completed));
    assert_eq!(runs.settle(end).await.unwrap(), Settled::Yes);
    assert_eq!(runs.retire(NOW).await.unwrap(), 0);
    assert_eq!(runs.retire(NOW + Duration::from_millis(1)).await.unwrap(), 1);
    assert!(runs.show(Uuid::from_u128(1)).await.unwrap().is_none());
    assert!(runs.show(Uuid::from_u128(2)).await.unwrap().is_some());
}

/// Whoever asks the server first has a run; nobody else has it too.
#[tokio::test(flavor = "multi_thread")]
async fn of_sidecars_that_ask_at_once_one_gets_a_run() {
    let mut group = Group::new();
    let (one, two, three) = (group.join().await, group.join().await, group.join().await);
    let new: Vec<NewRun> = (1..=60).map(|number| run(number, "greet", 0)).collect();
    assert_eq!(one.add(new.clone(), NOW).await.unwrap(), 60);
    assert_eq!(two.add(new, NOW).await.unwrap(), 0);
    let mut all = Vec::new();
    while all.len() < 60 {
        let (first, second, third) = tokio::join!(
            claimed(&one, claim("one", NOW, 10)),
            claimed(&two, claim("two", NOW, 10)),
            claimed(&three, claim("three", NOW, 10)),
        );
        all.extend(first.into_iter().chain(second).chain(third));
    }
    all.sort_unstable();
    assert_eq!(all, (1..=60).collect::<Vec<u128>>());
    assert_eq!(claimed(&two, claim("four", NOW, 99)).await, [0; 0]);
    let (file, _) = three.definition(workflow("greet").digest.clone()).await.unwrap().unwrap();
    assert_eq!(file, "greet");
}

#[tokio::test]
async fn a_definition_and_an_event_are_kept_once() {
    let folder = TempDir::new().unwrap();
    let runs = open(&folder);
    let event = Arc::new(lead("{}"));
    let new = ["one", "two"].map(|name| NewRun { event: Arc::clone(&event), ..run(1, name, 0) });
    let new = new
        .into_iter()
        .enumerate()
        .map(|(number, run)| NewRun { id: Uuid::from_u128(number as u128), ..run });
    assert_eq!(runs.add(new.collect(), NOW).await.unwrap(), 2);
    let kept: i64 = runs
        .store()
        .read_blocking(|connection| {
            connection.query_row("SELECT count(*) FROM workflow_events", [], |row| row.get(0))
        })
        .unwrap();
    assert_eq!(kept, 1);
    let (file, text) = runs.definition(workflow("one").digest.clone()).await.unwrap().unwrap();
    assert!(file == "one" && text.contains("name: one"));
    assert_eq!(runs.definition("x".to_owned()).await.unwrap(), None);
}

/// Who has not been told of all runs cannot count them.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_behind_starts_nothing_that_is_bounded() {
    let mut group = Group::new();
    let others = group.join().await;
    let bound = Bound { rate: None, concurrency: Some(1), is_held: false };
    let bounds = Arc::new(BTreeMap::from([("full".to_owned(), bound)]));
    let bounded = |owner| Claim { bounds: Arc::clone(&bounds), ..claim(owner, NOW, 9) };
    others.add(vec![run(1, "full", 0)], NOW).await.unwrap();
    assert_eq!(claimed(&others, bounded("one")).await, [1]);

    let behind = group.stranger();
    behind.add(vec![run(2, "full", 0), run(3, "free", 0)], NOW).await.unwrap();
    assert_eq!(claimed(&behind, bounded("two")).await, [3], "it has not heard of the first");
    group.listen(&behind).await;
    assert_eq!(claimed(&behind, bounded("two")).await, [0; 0]);
    let end = step(1, "one", Then::End(End::Completed));
    assert_eq!(others.settle(end).await.unwrap(), Settled::Yes);
    let began = std::time::Instant::now();
    while claimed(&behind, bounded("two")).await != [2] {
        assert!(began.elapsed() < Duration::from_secs(30), "it is never told of the end");
        tokio::task::yield_now().await;
    }
}
