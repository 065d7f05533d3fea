//! The last values seen of the fields that event rules watch, so that an event can say what was
//! there before. A cache: it may forget, and then the old value is unknown.
//!
//! Values are opaque bytes: who puts them in encrypts them, since they are raw.

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::store::{Schema, Store, StoreError};

/// What [`SeenValues`] needs of a store. Times are milliseconds since 1970.
pub const SCHEMA: Schema = Schema { name: "seen", steps: &[FIRST] };

const FIRST: &str = "
    CREATE TABLE seen_values (
        tenant TEXT NOT NULL,
        resource TEXT NOT NULL,
        record TEXT NOT NULL,
        field TEXT NOT NULL,
        value BLOB NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (tenant, resource, record, field)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX seen_values_at ON seen_values (at);
";

/// Values that one transaction forgets.
const BATCH: usize = 500;

/// One record of one company.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordKey {
    /// The company; empty where there is none.
    pub tenant: String,
    /// The object type: `deal`.
    pub resource: String,
    /// The record's id.
    pub record: String,
}

/// A value that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenValue {
    /// The record.
    pub key: RecordKey,
    /// The field's path, as the rule writes it.
    pub field: String,
    /// The value, sealed.
    pub value: Vec<u8>,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

/// The values over the store. Clones share everything.
#[derive(Debug, Clone)]
pub struct SeenValues {
    store: Store,
}

impl SeenValues {
    /// In a store that was opened with [`SCHEMA`].
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Notes values, soon. A value that is older than the one known changes nothing. Lost if the
    /// process dies before, and dropped where the store has too much to do.
    pub fn put(&self, values: Vec<SeenValue>) {
        if !values.is_empty() {
            self.store.commit_soon(move |transaction| put(transaction, &values));
        }
    }

    /// The values of some fields of a record, in their order.
    pub async fn get(
        &self,
        key: RecordKey,
        fields: Vec<String>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.store.read(move |connection| get(connection, &key, &fields)).await
    }

    /// Forgets a record, soon: it was deleted.
    pub fn forget(&self, key: RecordKey) {
        self.store.commit_soon(move |transaction| {
            transaction
                .prepare_cached(
                    "DELETE FROM seen_values
                     WHERE tenant = ?1 AND resource = ?2 AND record = ?3",
                )?
                .execute((&key.tenant, &key.resource, &key.record))
                .map(|_| ())
        });
    }

    /// Forgets the oldest values until there are no more than `limit`. Says how many.
    pub async fn prune(&self, limit: u64) -> Result<u64, StoreError> {
        let count = |all: &Connection| {
            all.query_row("SELECT count(*) FROM seen_values", [], |row| row.get::<_, u64>(0))
        };
        let excess = self.store.read(count).await?.saturating_sub(limit);
        let mut pruned = 0;
        while pruned < excess {
            let batch = (excess - pruned).min(BATCH as u64);
            let deleted = self.store.commit(move |inside| prune(inside, batch)).await?;
            if deleted == 0 {
                break;
            }
            pruned += deleted;
        }
        Ok(pruned)
    }
}

fn put(transaction: &Transaction<'_>, values: &[SeenValue]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO seen_values (tenant, resource, record, field, value, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant, resource, record, field) DO UPDATE
         SET value = excluded.value, at = excluded.at WHERE excluded.at >= at",
    )?;
    for SeenValue { key, field, value, at } in values {
        statement.execute((&key.tenant, &key.resource, &key.record, field, value, at))?;
    }
    Ok(())
}

fn get(
    connection: &Connection,
    key: &RecordKey,
    fields: &[String],
) -> rusqlite::Result<Vec<Option<Vec<u8>>>> {
    let mut statement = connection.prepare_cached(
        "SELECT value FROM seen_values
         WHERE tenant = ?1 AND resource = ?2 AND record = ?3 AND field = ?4",
    )?;
    let values = fields.iter().map(|field| {
        statement
            .query_row((&key.tenant, &key.resource, &key.record, field), |row| row.get(0))
            .optional()
    });
    values.collect()
}

fn prune(transaction: &Transaction<'_>, batch: u64) -> rusqlite::Result<u64> {
    let deleted = transaction
        .prepare_cached(
            "DELETE FROM seen_values WHERE (tenant, resource, record, field) IN (
                 SELECT tenant, resource, record, field FROM seen_values ORDER BY at LIMIT ?1)",
        )?
        .execute([batch])?;
    Ok(deleted as u64)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::Options;

    fn key(record: &str) -> RecordKey {
        RecordKey { tenant: "acme".into(), resource: "deal".into(), record: record.into() }
    }

    fn seen(record: &str, field: &str, value: &str, at: i64) -> SeenValue {
        let (key, field) = (key(record), field.to_owned());
        SeenValue { key, field, value: value.as_bytes().to_vec(), at }
    }

    async fn value(values: &SeenValues, record: &str, field: &str) -> Option<String> {
        let found = values.get(key(record), vec![field.to_owned()]).await.unwrap();
        found.into_iter().next().unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// Work that is done soon is done before work that is waited for.
    async fn settle(values: &SeenValues) {
        values.store.commit(|_| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn the_newest_value_is_kept_and_the_oldest_forgotten() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), &[SCHEMA], &Options::default()).unwrap();
        let values = SeenValues::new(store);
        values.put(vec![seen("1", "stage", "new", 10), seen("1", "amount", "5", 10)]);
        values.put(vec![seen("1", "stage", "won", 30), seen("2", "stage", "lost", 20)]);
        values.put(vec![seen("1", "stage", "late", 20)]);
        settle(&values).await;
        let asked = ["stage", "none", "amount"].map(str::to_owned).to_vec();
        let found = values.get(key("1"), asked).await.unwrap();
        assert_eq!(found, [Some(b"won".to_vec()), None, Some(b"5".to_vec())]);

        assert_eq!(values.prune(2).await.unwrap(), 1);
        assert_eq!(value(&values, "1", "amount").await, None);
        assert_eq!(value(&values, "2", "stage").await.as_deref(), Some("lost"));
        assert_eq!(values.prune(2).await.unwrap(), 0);

        values.forget(key("1"));
        settle(&values).await;
        assert_eq!(value(&values, "1", "stage").await, None);
        assert_eq!(value(&values, "2", "stage").await.as_deref(), Some("lost"));
    }

    #[tokio::test]
    async fn any_number_is_pruned() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), &[SCHEMA], &Options::default()).unwrap();
        let values = SeenValues::new(store);
        values.put((0..1300).map(|at| seen(&at.to_string(), "stage", "x", at)).collect());
        settle(&values).await;
        assert_eq!(values.prune(7).await.unwrap(), 1293);
        assert_eq!(value(&values, "1292", "stage").await, None);
        assert_eq!(value(&values, "1293", "stage").await.as_deref(), Some("x"));
    }
}
