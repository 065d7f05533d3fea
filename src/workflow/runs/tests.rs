//! Runs in a store, held by several.

use tempfile::TempDir;
use time::macros::datetime;

use super::*;
use crate::diagnostic::SourceFile;
use crate::store::{Options, Store};
use crate::workflow::render::tests::lead;

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
const LEASE: Duration = Duration::from_secs(60);

fn open(folder: &TempDir) -> StoredRuns {
    StoredRuns::new(Store::open(folder.path(), &[SCHEMA], &Options::default()).unwrap())
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
    }
}

async fn claimed(runs: &StoredRuns, claim: Claim) -> Vec<u128> {
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

#[tokio::test]
async fn by_priority_then_by_age_and_each_once() {
    let folder = TempDir::new().unwrap();
    let runs = open(&folder);
    let new = [(1, 0), (2, 5), (3, -1), (4, 5)];
    let new = new.map(|(number, priority)| run(number, "greet", priority));
    assert_eq!(runs.add(new.to_vec(), NOW).await.unwrap(), 4);
    assert_eq!(runs.add(new.to_vec(), NOW).await.unwrap(), 0);
    assert_eq!(claimed(&runs, claim("one", NOW, 3)).await, [2, 4, 1]);
    assert_eq!(claimed(&runs, claim("two", NOW, 3)).await, [3]);
    assert_eq!(claimed(&runs, claim("two", NOW, 3)).await, [0; 0]);
}

#[tokio::test]
async fn only_who_holds_a_run_settles_it() {
    let folder = TempDir::new().unwrap();
    let runs = open(&folder);
    runs.add(vec![run(1, "greet", 0)], NOW).await.unwrap();
    assert_eq!(claimed(&runs, claim("one", NOW, 9)).await, [1]);
    assert_eq!(runs.settle(step(1, "two", Then::Next(1))).await.unwrap(), Settled::Lost);
    assert_eq!(runs.settle(step(2, "one", Then::Next(1))).await.unwrap(), Settled::Lost);
    assert_eq!(runs.settle(step(1, "one", Then::Next(1))).await.unwrap(), Settled::Yes);

    // Not heard of for longer than the lease: somebody else goes on at the second action.
    let later = NOW + LEASE + Duration::from_millis(1);
    assert_eq!(claimed(&runs, claim("two", NOW + LEASE, 9)).await, [0; 0]);
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

#[tokio::test]
async fn a_lease_that_is_prolonged_holds() {
    let folder = TempDir::new().unwrap();
    let runs = open(&folder);
    runs.add(vec![run(1, "greet", 0), run(2, "greet", 0)], NOW).await.unwrap();
    assert_eq!(claimed(&runs, claim("one", NOW, 9)).await, [1, 2]);
    let ids = vec![Uuid::from_u128(1)];
    runs.renew("one".into(), ids.clone(), NOW + 3 * LEASE).await.unwrap();
    runs.renew("two".into(), vec![Uuid::from_u128(2)], NOW + 3 * LEASE).await.unwrap();
    assert_eq!(claimed(&runs, claim("two", NOW + 2 * LEASE, 9)).await, [2]);
}

#[tokio::test]
async fn who_asks_is_told_when_to_ask_again() {
    let folder = TempDir::new().unwrap();
    let runs = open(&folder);
    runs.add(vec![run(1, "greet", 0), run(2, "greet", 0)], NOW).await.unwrap();
    let next = |claim| {
        let runs = runs.clone();
        async move { runs.claim(claim).await.unwrap().next }
    };
    assert_eq!(next(claim("one", NOW, 9)).await, None);
    assert_eq!(next(claim("two", NOW, 9)).await, Some(NOW + LEASE));
    let again = NOW + Duration::from_secs(7);
    assert_eq!(runs.settle(step(1, "one", Then::Again(again))).await.unwrap(), Settled::Yes);
    assert_eq!(next(claim("one", NOW, 9)).await, Some(again));
    assert_eq!(claimed(&runs, claim("two", again, 9)).await, [1]);
}

/// Of many runs of workflows that are full, those of others are still found.
#[tokio::test]
async fn full_workflows_hold_nobody_else_back() {
    let folder = TempDir::new().unwrap();
    let runs = open(&folder);
    let mut new: Vec<NewRun> = (1..=1200).map(|number| run(number, "full", 9)).collect();
    new.extend((2001..=2003).map(|number| run(number, "free", 0)));
    runs.add(new, NOW).await.unwrap();
    let bounds = |concurrency, is_held| {
        let bound = Bound { rate: None, concurrency, is_held };
        Arc::new(BTreeMap::from([("full".to_owned(), bound)]))
    };
    let held = Claim { bounds: bounds(None, true), ..claim("one", NOW, 2) };
    assert_eq!(claimed(&runs, held).await, [2001, 2002]);
    let bounded = Claim { bounds: bounds(Some(2), false), ..claim("one", NOW, 9) };
    assert_eq!(claimed(&runs, bounded).await, [1, 2, 2003]);
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
