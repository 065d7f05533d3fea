//! The store against real files.

mod faults;
#[cfg(all(unix, debug_assertions))]
mod kill;
#[cfg(unix)]
mod limit;
mod opening;

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// What the commits of a store do wrong, as long as a test says so.
#[derive(Debug, Default)]
pub(crate) struct Faults(AtomicU8);

impl Faults {
    pub(crate) fn set(&self, fault: Option<Fault>) {
        let value = match fault {
            None => 0,
            Some(Fault::Fsync) => 1,
            Some(Fault::Full) => 2,
            Some(Fault::Write) => 3,
            Some(Fault::Sqlite) => 4,
        };
        self.0.store(value, Ordering::SeqCst);
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        match self.0.load(Ordering::SeqCst) {
            0 => Ok(()),
            1 => Err(Fault::Fsync),
            2 => Err(Fault::Full),
            3 => Err(Fault::Write),
            _ => Err(Fault::Sqlite),
        }
    }
}

const NUMBERS: Schema = Schema {
    name: "numbers",
    steps: &["CREATE TABLE numbers (number INTEGER NOT NULL PRIMARY KEY) STRICT;"],
};

fn options() -> Options {
    Options { look: Duration::from_millis(5), ..Options::default() }
}

fn open(folder: &TempDir) -> Store {
    open_with(folder.path(), &options())
}

fn open_with(folder: &Path, options: &Options) -> Store {
    Store::open(folder, &[NUMBERS], options).unwrap()
}

fn insert(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO numbers (number) VALUES (?1)")?
        .execute([number])
        .map(|_| ())
}

fn all(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare("SELECT number FROM numbers ORDER BY number")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn numbers(store: &Store) -> Vec<i64> {
    store.read_blocking(all).unwrap()
}

/// Keeps the writer busy until the returned sender is dropped.
fn occupy(store: &Store) -> mpsc::Sender<()> {
    let (free, freed) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    drop(store.commit(move |_| {
        begun.send(()).unwrap();
        let _ = freed.recv();
        Ok(())
    }));
    has_begun.recv().unwrap();
    free
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let answered = store.commit(|transaction| insert(transaction, 7).map(|()| "done")).await;
    assert_eq!(answered.unwrap(), "done");
    assert_eq!(store.read(all).await.unwrap(), [7]);
    store.close();
    assert!(matches!(store.commit(|_| Ok(())).await, Err(StoreError::Stopped)));
    assert!(matches!(store.read(all).await, Err(StoreError::Stopped)));
    assert_eq!(numbers(&open(&folder)), [7]);
}

#[tokio::test]
async fn what_waits_while_another_commits_shares_one_fsync() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let busy = occupy(&store);
    let waiting: Vec<_> = (0..500)
        .map(|number| store.commit(move |transaction| insert(transaction, number)))
        .collect();
    drop(busy);
    for one in waiting {
        one.await.unwrap();
    }
    let figures = store.figures();
    assert_eq!((figures.commits, figures.works, figures.last_group), (2, 501, 500));
    assert_eq!(numbers(&store).len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_need_few_commits() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..25 {
                    let number = writer * 1000 + number;
                    store.commit(move |transaction| insert(transaction, number)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let figures = store.figures();
    assert_eq!(figures.works, 64 * 25);
    assert!(figures.commits < 64 * 25 / 4, "{figures:?}");
    assert_eq!(numbers(&store).len(), 64 * 25);
}

#[tokio::test]
async fn work_that_fails_undoes_only_itself() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let busy = occupy(&store);
    let before = store.commit(|transaction| insert(transaction, 1));
    let failing = store.commit(|transaction| {
        insert(transaction, 2)?;
        insert(transaction, 1)
    });
    let panicking = store.commit(|transaction| {
        insert(transaction, 3)?;
        panic!("part of the test");
        #[expect(unreachable_code, reason = "the type of the closure")]
        Ok(())
    });
    let after = store.commit(|transaction| insert(transaction, 4));
    drop(busy);
    before.await.unwrap();
    assert!(matches!(failing.await, Err(StoreError::Work(_))));
    assert!(matches!(panicking.await, Err(StoreError::Panicked)));
    after.await.unwrap();
    assert_eq!(numbers(&store), [1, 4]);
    let figures = store.figures();
    assert_eq!((figures.commits, figures.works, figures.undone), (2, 3, 2));
    assert_eq!(store.health(), Health::Healthy);
}

#[tokio::test]
async fn only_failures_cost_no_commit() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let refused = store.commit(|_| Err::<(), _>(rusqlite::Error::QueryReturnedNoRows)).await;
    assert!(matches!(refused, Err(StoreError::Work(rusqlite::Error::QueryReturnedNoRows))));
    assert_eq!((store.figures().commits, store.figures().undone), (0, 1));
}

#[tokio::test]
async fn more_than_fits_is_refused_and_what_may_be_lost_leaves_half_free() {
    let folder = TempDir::new().unwrap();
    let store = open_with(folder.path(), &Options { queue: 4, ..options() });
    let busy = occupy(&store);
    for number in 0..3 {
        store.commit_soon(move |transaction| insert(transaction, number));
    }
    assert_eq!((store.figures().dropped, store.figures().waiting), (1, 2));
    let last: Vec<_> =
        (10..13).map(|number| store.commit(move |inside| insert(inside, number))).collect();
    drop(busy);
    let mut refused = 0;
    for one in last {
        refused += u32::from(matches!(one.await, Err(StoreError::Busy)));
    }
    assert_eq!((refused, store.figures().refused), (1, 1));
    assert_eq!(numbers(&store), [0, 1, 10, 11]);
}

/// What nobody waits for costs no fsync of its own, as long as there is anything else to do.
#[tokio::test]
async fn work_that_may_be_lost_rides_along() {
    let folder = TempDir::new().unwrap();
    let look = Duration::from_secs(600);
    let store = open_with(folder.path(), &Options { look, ..options() });
    let before = store.figures().commits;
    for round in 0..5 {
        store.commit_soon(move |transaction| insert(transaction, round));
        // Time enough for a writer that begins too early.
        tokio::time::sleep(Duration::from_millis(20)).await;
        store.commit(move |transaction| insert(transaction, 100 + round)).await.unwrap();
    }
    assert_eq!(store.figures().commits - before, 5);
    assert_eq!(numbers(&store), [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]);
}

#[tokio::test]
async fn work_that_may_be_lost_is_done_at_the_next_look() {
    let folder = TempDir::new().unwrap();
    let look = Duration::from_millis(50);
    let store = open_with(folder.path(), &Options { look, ..options() });
    store.commit_soon(|transaction| insert(transaction, 1));
    while numbers(&store).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn work_is_done_although_nobody_waits_for_it_and_before_closing() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let busy = occupy(&store);
    drop(store.commit(|transaction| insert(transaction, 1)));
    store.commit_soon(|transaction| insert(transaction, 2));
    let closing = std::thread::spawn({
        let store = store.clone();
        move || store.close()
    });
    drop(busy);
    closing.join().unwrap();
    assert_eq!(numbers(&open(&folder)), [1, 2]);
}

#[test]
fn a_thread_may_wait_too() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.commit_blocking(|transaction| insert(transaction, 1)).unwrap();
    assert!(store.commit_blocking(|transaction| insert(transaction, 1)).is_err());
    assert_eq!(numbers(&store), [1]);
}

#[tokio::test]
async fn a_reader_sees_one_state_and_cannot_write() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let (first, second) = store
        .read({
            let store = store.clone();
            move |connection| {
                let first = all(connection)?;
                store.commit_blocking(|transaction| insert(transaction, 1)).unwrap();
                Ok((first, all(connection)?))
            }
        })
        .await
        .unwrap();
    assert_eq!((first, second), (Vec::new(), Vec::new()));
    assert_eq!(numbers(&store), [1]);
    let writing = store.read(|connection| connection.execute("DELETE FROM numbers", []));
    assert!(matches!(writing.await, Err(StoreError::Work(_))));
    assert_eq!(numbers(&store), [1]);
}

#[tokio::test]
async fn work_may_hold_the_last_clone_of_the_store() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let last = store.clone();
    let done = store.commit(move |transaction| {
        let _held = &last;
        insert(transaction, 1)
    });
    drop(store);
    done.await.unwrap();
}

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl StoreObserver for Notes {
    fn committed(&self, group: usize, _fsync: Duration) {
        self.0.lock().unwrap().push(format!("committed {group}"));
    }

    fn failed(&self, group: usize, fault: Fault) {
        self.0.lock().unwrap().push(format!("failed {group} {}", fault.name()));
    }

    fn health_changed(&self, health: Health) {
        self.0.lock().unwrap().push(format!("{health:?}"));
    }
}

#[tokio::test]
async fn the_observer_is_told() {
    let folder = TempDir::new().unwrap();
    let notes = Arc::new(Notes::default());
    let observer: Arc<dyn StoreObserver> = Arc::clone(&notes) as _;
    let options = Options { observer: Some(observer), ..options() };
    let store = open_with(folder.path(), &options);
    store.commit(|transaction| insert(transaction, 1)).await.unwrap();
    options.faults.set(Some(Fault::Fsync));
    store.commit(|transaction| insert(transaction, 2)).await.unwrap_err();
    store.close();
    let notes = notes.0.lock().unwrap();
    assert_eq!(*notes, ["committed 1", "failed 1 fsync", "Failed(Fsync)"]);
}
