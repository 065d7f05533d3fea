//! Who may open what, and how tables come to be.

use super::*;

#[track_caller]
fn check(error: &OpenError, expected: &str) {
    assert_eq!(error.to_string(), expected);
    assert!(!error.help().is_empty());
}

#[test]
fn a_folder_has_one_owner() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let other = Store::open(folder.path(), &[NUMBERS], &options()).unwrap_err();
    let path = folder.path().display();
    check(&other, &format!("the data folder `{path}` belongs to a Fieldgate that is running"));
    store.close();
    open(&folder);
}

#[cfg(unix)]
#[test]
fn only_this_user_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("state/data");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let store = open_with(&folder, &options());
    store.commit_blocking(|transaction| insert(transaction, 1)).unwrap();
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    store.close();
    let database = folder.join(DATABASE);
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    open_with(&folder, &options());
    assert_eq!(mode(&database), 0o600);
}

#[test]
fn it_is_as_durable_as_sqlite_can_be() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let pragmas = store
        .commit_blocking(|transaction| {
            ["journal_mode", "synchronous", "foreign_keys", "auto_vacuum"]
                .map(|pragma| {
                    transaction.pragma_query_value(None, pragma, |row| {
                        row.get::<_, rusqlite::types::Value>(0)
                    })
                })
                .into_iter()
                .collect::<rusqlite::Result<Vec<_>>>()
        })
        .unwrap();
    let number = rusqlite::types::Value::Integer;
    let wal = rusqlite::types::Value::Text("wal".to_owned());
    assert_eq!(pragmas, [wal, number(2), number(1), number(2)]);
}

const TWO_STEPS: Schema = Schema {
    name: "numbers",
    steps: &[NUMBERS.steps[0], "ALTER TABLE numbers ADD COLUMN name TEXT NOT NULL DEFAULT 'none';"],
};

#[test]
fn missing_steps_are_taken_and_a_newer_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.commit_blocking(|transaction| insert(transaction, 1)).unwrap();
    store.close();
    drop(store);

    let older = Visitor::reader(folder.path(), &[TWO_STEPS]).unwrap_err();
    check(
        &older,
        "the store is older than this program: its tables of `numbers` are at step 1 of 2",
    );

    let store = Store::open(folder.path(), &[TWO_STEPS], &options()).unwrap();
    let name = |connection: &Connection| {
        connection.query_row("SELECT name FROM numbers", [], |row| row.get::<_, String>(0))
    };
    assert_eq!(store.read_blocking(name).unwrap(), "none");
    drop(store);

    let newer = Store::open(folder.path(), &[NUMBERS], &options()).unwrap_err();
    let expected = "the store is newer than this program: its tables of `numbers` are at step 2, \
                    and this program knows 1";
    check(&newer, expected);
    check(&Visitor::writer(folder.path(), &[NUMBERS]).unwrap_err(), expected);
}

#[test]
fn all_steps_are_taken_or_none() {
    let folder = TempDir::new().unwrap();
    let broken = Schema { name: "broken", steps: &["CREATE TABLE fine (a INTEGER);", "nonsense"] };
    let refused = Store::open(folder.path(), &[NUMBERS, broken], &options());
    assert!(matches!(refused, Err(OpenError::Sqlite(_))));
    let mended = Schema { name: "broken", steps: &["CREATE TABLE fine (a INTEGER);"] };
    Store::open(folder.path(), &[NUMBERS, mended], &options()).unwrap();
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(DATABASE);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (a INTEGER);").unwrap();
    drop(other);
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open(folder.path(), &[NUMBERS], &options()).unwrap_err();
    check(&refused, &format!("`{}` is not a store of Fieldgate", path.display()));
    let refused = Visitor::reader(folder.path(), &[NUMBERS]).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign(_)));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    std::fs::write(&path, "not a database, but long enough for its header\n".repeat(100)).unwrap();
    assert!(Store::open(folder.path(), &[NUMBERS], &options()).is_err());
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = Store::open(&file, &[NUMBERS], &options()).unwrap_err();
    assert!(matches!(&refused, OpenError::Folder { path, .. } if *path == file), "{refused}");
    let refused = Visitor::reader(folder.path(), &[NUMBERS]).unwrap_err();
    check(&refused, &format!("there is no store in `{}`", folder.path().display()));
}

#[tokio::test]
async fn a_visitor_reads_and_writes_while_the_store_is_live() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.commit(|transaction| insert(transaction, 1)).await.unwrap();
    let mut foreign = store.foreign_writes();
    let reader = Visitor::reader(folder.path(), &[NUMBERS]).unwrap();
    assert_eq!(reader.read(all).unwrap(), [1]);
    assert!(reader.read(|connection| connection.execute("DELETE FROM numbers", [])).is_err());

    let mut writer = Visitor::writer(folder.path(), &[NUMBERS]).unwrap();
    writer.write(|transaction| insert(transaction, 2)).unwrap();
    writer.write(|transaction| insert(transaction, 2)).unwrap_err();
    tokio::time::timeout(Duration::from_secs(20), foreign.changed()).await.unwrap().unwrap();
    store.commit(|transaction| insert(transaction, 3)).await.unwrap();
    assert_eq!(numbers(&store), [1, 2, 3]);
    assert_eq!(reader.read(all).unwrap(), [1, 2, 3]);
}

#[test]
fn a_visitor_works_on_a_store_at_rest() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.commit_blocking(|transaction| insert(transaction, 1)).unwrap();
    drop(store);
    let mut visitor = Visitor::writer(folder.path(), &[NUMBERS]).unwrap();
    visitor.write(|transaction| insert(transaction, 2)).unwrap();
    drop(visitor);
    assert_eq!(Visitor::reader(folder.path(), &[NUMBERS]).unwrap().read(all).unwrap(), [1, 2]);
    assert_eq!(numbers(&open(&folder)), [1, 2]);
}

/// A visitor that holds the file longer than the store waits costs that work, not the store.
#[test]
fn a_file_held_for_long_refuses_work_and_no_more() {
    let folder = TempDir::new().unwrap();
    let options = Options { busy_timeout: Duration::from_millis(20), ..options() };
    let store = open_with(folder.path(), &options);
    let mut visitor = Visitor::writer(folder.path(), &[NUMBERS]).unwrap();
    visitor
        .write(|_| {
            let refused = store.commit_blocking(|transaction| insert(transaction, 1));
            assert!(matches!(refused, Err(StoreError::Held)), "{refused:?}");
            Ok(())
        })
        .unwrap();
    assert_eq!(store.health(), Health::Healthy);
    store.commit_blocking(|transaction| insert(transaction, 2)).unwrap();
    assert_eq!(numbers(&store), [2]);
}
