//! What happens when the disk does not do what it should.

use super::*;

#[track_caller]
fn wait_for(store: &Store, health: Health) {
    let started = std::time::Instant::now();
    while store.health() != health {
        assert!(started.elapsed() < Duration::from_secs(20), "still {:?}", store.health());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[tokio::test]
async fn a_failed_fsync_ends_writing_until_the_file_is_opened_again() {
    let folder = TempDir::new().unwrap();
    let options = options();
    let store = open_with(folder.path(), &options);
    store.commit(|transaction| insert(transaction, 1)).await.unwrap();

    let busy = occupy(&store);
    let together: Vec<_> =
        (2..5).map(|number| store.commit(move |inside| insert(inside, number))).collect();
    options.faults.set(Some(Fault::Fsync));
    drop(busy);
    for one in together {
        // The work of `occupy` may have failed first, and taken the store with it.
        let refused = one.await;
        assert!(
            matches!(refused, Err(StoreError::NotCommitted | StoreError::Unhealthy)),
            "{refused:?}"
        );
    }
    assert_eq!(store.health(), Health::Failed(Fault::Fsync));

    // The disk is well again; what it has forgotten is not known, so nothing is tried.
    options.faults.set(None);
    let probes = |connection: &Connection| {
        connection.query_row("SELECT probes FROM store_probe", [], |row| row.get::<_, i64>(0))
    };
    for _ in 0..5 {
        std::thread::sleep(options.look);
        let refused = store.commit(|transaction| insert(transaction, 9)).await;
        assert!(matches!(refused, Err(StoreError::Unhealthy)));
    }
    store.commit_soon(|transaction| insert(transaction, 9));
    assert_eq!(store.figures().dropped, 1);
    assert_eq!(store.read(probes).await.unwrap(), 0);
    assert_eq!(numbers(&store), [1], "what was acknowledged can still be read");
    store.close();

    let store = open(&folder);
    store.commit(|transaction| insert(transaction, 5)).await.unwrap();
    assert_eq!(numbers(&store), [1, 5]);
}

#[tokio::test]
async fn after_a_full_disk_writing_goes_on_when_a_probe_succeeds() {
    let folder = TempDir::new().unwrap();
    let options = options();
    let store = open_with(folder.path(), &options);
    store.commit(|transaction| insert(transaction, 1)).await.unwrap();
    options.faults.set(Some(Fault::Full));
    let refused = store.commit(|transaction| insert(transaction, 2)).await;
    assert!(matches!(refused, Err(StoreError::NotCommitted)));
    assert_eq!(store.health(), Health::Ailing(Fault::Full));
    let refused = store.commit(|transaction| insert(transaction, 3)).await;
    assert!(matches!(refused, Err(StoreError::Unhealthy)));
    options.faults.set(None);
    wait_for(&store, Health::Healthy);
    store.commit(|transaction| insert(transaction, 4)).await.unwrap();
    assert_eq!(numbers(&store), [1, 4]);
}

#[tokio::test]
async fn a_probe_whose_fsync_fails_is_the_last() {
    let folder = TempDir::new().unwrap();
    let options = options();
    let store = open_with(folder.path(), &options);
    options.faults.set(Some(Fault::Full));
    store.commit(|transaction| insert(transaction, 1)).await.unwrap_err();
    options.faults.set(Some(Fault::Fsync));
    wait_for(&store, Health::Failed(Fault::Fsync));
}

/// SQLite itself says that the disk is full, and undoes what it likes.
#[tokio::test]
async fn a_file_that_cannot_grow_fails_the_group_and_heals() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.commit(|transaction| insert(transaction, 1)).await.unwrap();
    let busy = occupy(&store);
    let before = store.commit(|transaction| insert(transaction, 2));
    let full = store.commit(|transaction| {
        let pages: i64 = transaction.pragma_query_value(None, "page_count", |row| row.get(0))?;
        // Holds for this connection only, and goes with it.
        transaction.pragma_update(None, "max_page_count", pages)?;
        (100..20_000).try_for_each(|number| insert(transaction, number))
    });
    let after = store.commit(|transaction| insert(transaction, 3));
    drop(busy);
    assert!(matches!(before.await, Err(StoreError::NotCommitted)));
    assert!(matches!(full.await, Err(StoreError::Work(_))));
    assert!(matches!(after.await, Err(StoreError::NotCommitted)));
    wait_for(&store, Health::Healthy);
    store.commit(|transaction| insert(transaction, 4)).await.unwrap();
    assert_eq!(numbers(&store), [1, 4]);
}
