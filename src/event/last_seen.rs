//! What records looked like when they were last seen: the fields that event rules compare.
//!
//! In memory first, and behind it in the store, sealed, since the values are raw. It may forget;
//! then an old value is unknown, and an event says so.

use std::sync::Arc;

use moka::sync::Cache;
use time::OffsetDateTime;

use super::detect::Values;
use super::seen::{RecordKey, SeenValue, SeenValues};

/// Seals values for the store and opens them again.
pub trait Seal {
    /// The sealed form of a JSON text; `None` where it cannot be sealed, and so is not stored.
    fn seal(&self, key: &RecordKey, field: &str, value: &str) -> Option<Vec<u8>>;

    /// The JSON text of a sealed value; `None` if it is not one, or its key is gone.
    fn open(&self, key: &RecordKey, field: &str, sealed: &[u8]) -> Option<Box<str>>;
}

/// The values last seen. Clones share everything.
#[derive(Debug, Clone)]
pub struct LastSeen {
    memory: Cache<RecordKey, Arc<Values>>,
    stored: SeenValues,
}

impl LastSeen {
    /// Remembers that many records in memory.
    #[must_use]
    pub fn new(stored: SeenValues, records: u64) -> Self {
        Self { memory: Cache::new(records), stored }
    }

    /// What is remembered of a record; of the fields named, as far as they were seen.
    pub async fn get(&self, key: &RecordKey, fields: &[Box<str>], seal: &impl Seal) -> Values {
        if let Some(known) = self.memory.get(key) {
            return Values::clone(&known);
        }
        // A store that cannot be read makes old values unknown, nothing worse.
        let found = self
            .stored
            .get(key.clone(), fields.iter().map(ToString::to_string).collect())
            .await
            .unwrap_or_default();
        let opened = fields.iter().zip(found).filter_map(|(field, sealed)| {
            let value = seal.open(key, field, &sealed?)?;
            Some((field.clone(), value))
        });
        opened.collect()
    }

    /// Remembers a record as it was just seen. What is no news costs no more than a look.
    pub fn put(&self, key: RecordKey, values: Values, now: OffsetDateTime, seal: &impl Seal) {
        let before = self.memory.get(&key);
        if before.as_ref().is_some_and(|before| **before == values) {
            return;
        }
        let is_news = |field: &str, value: &str| {
            let old = before.as_ref().and_then(|before| before.get(field));
            old.is_none_or(|old| &**old != value)
        };
        let at = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let news = values.iter().filter(|(field, value)| is_news(field, value));
        let sealed = news.filter_map(|(field, value)| {
            let value = seal.seal(&key, field, value)?;
            Some(SeenValue { key: key.clone(), field: field.to_string(), value, at })
        });
        self.stored.put(sealed.collect());
        self.memory.insert(key, Arc::new(values));
    }

    /// Forgets a record that was deleted, or of which nobody knows what it is now.
    pub fn forget(&self, key: RecordKey) {
        self.memory.invalidate(&key);
        self.stored.forget(key);
    }
}
