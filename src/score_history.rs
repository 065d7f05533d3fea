//! The scores of leads as they are kept: the last one of each lead, how it came there, and the
//! activities that were counted.
//!
//! A cache in memory stands before the store. What is written may be lost when the process dies, for
//! a score can be calculated again. Without a store the last scores are known as long as the process
//! lives. Keeps no value of a record but its id; decides nothing about who may see a score.

mod activities;
mod form;
mod rows;

use std::collections::HashMap;
use std::sync::Arc;

use moka::sync::Cache;
use time::{Duration, OffsetDateTime};

pub use activities::SeenActivity;

use crate::score::{Quality, Score};
use crate::store::{Schema, Store, StoreError};

/// What [`ScoreHistory`] needs of a store. Times are milliseconds since 1970.
pub const SCHEMA: Schema = Schema { name: "score_history", steps: &[FIRST] };

const FIRST: &str = "
    CREATE TABLE lead_scores (
        tenant TEXT NOT NULL,
        resource TEXT NOT NULL,
        lead TEXT NOT NULL,
        at INTEGER NOT NULL,
        total INTEGER NOT NULL,
        quality TEXT NOT NULL,
        cause TEXT NOT NULL,
        kept TEXT NOT NULL,
        PRIMARY KEY (tenant, resource, lead)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE lead_score_history (
        tenant TEXT NOT NULL,
        resource TEXT NOT NULL,
        lead TEXT NOT NULL,
        at INTEGER NOT NULL,
        total INTEGER NOT NULL,
        quality TEXT NOT NULL,
        cause TEXT NOT NULL,
        kept TEXT NOT NULL,
        PRIMARY KEY (tenant, resource, lead, at)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX lead_score_history_at ON lead_score_history (at);
    CREATE TABLE lead_activities (
        tenant TEXT NOT NULL,
        resource TEXT NOT NULL,
        lead BLOB NOT NULL,
        activity BLOB NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (tenant, resource, lead, activity)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX lead_activities_at ON lead_activities (at);
";

/// Scores that are kept in memory.
const MOST_IN_MEMORY: u64 = 50_000;

/// A score that stays the same is written again when the one written is this old.
const WRITTEN_AGAIN: Duration = Duration::hours(1);

/// Rows that one transaction deletes.
const BATCH: usize = 500;

/// One lead of one company.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeadKey {
    /// The company; empty where there is none.
    pub tenant: String,
    /// The resource: `lead`.
    pub resource: String,
    /// The lead's id, as it stands in paths.
    pub lead: String,
}

/// Why a score was calculated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The lead was read.
    Read,
    /// The lead was written.
    Write,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// The stable name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Where the last known score of a lead was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// In memory.
    Memory,
    /// In the store.
    Store,
    /// Nowhere.
    Nowhere,
}

impl Found {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Store, Self::Nowhere];

    /// The stable name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Store => "store",
            Self::Nowhere => "nowhere",
        }
    }
}

/// A lead means something else than before.
#[derive(Debug, Clone)]
pub struct Change {
    /// The lead.
    pub key: LeadKey,
    /// What the score before meant.
    pub old: Quality,
    /// The score now.
    pub score: Arc<Score>,
}

/// A score of the past.
#[derive(Debug, Clone)]
pub struct Past {
    /// What it was.
    pub score: Score,
    /// Why it was calculated.
    pub cause: Cause,
}

/// The last known score of a lead.
#[derive(Debug, Clone)]
struct Standing {
    score: Arc<Score>,
    /// The moment of the score that was written last.
    written: OffsetDateTime,
}

/// The scores, in memory and in the store. Clones share everything.
#[derive(Debug, Clone)]
pub struct ScoreHistory {
    store: Option<Store>,
    standing: Cache<LeadKey, Standing>,
}

impl ScoreHistory {
    /// Over a store that was opened with [`SCHEMA`], or in memory alone.
    #[must_use]
    pub fn new(store: Option<Store>) -> Self {
        Self { store, standing: Cache::new(MOST_IN_MEMORY) }
    }

    /// Notes scores, and tells which leads mean something else than before. Of two scores of one
    /// lead the later holds. A lead that was not known before has not changed.
    ///
    /// Two calls at once may both tell of one change, so there is one caller.
    pub async fn note(&self, scores: Vec<(LeadKey, Score)>, cause: Cause) -> Vec<Change> {
        let mut stored = self.stored_before(&scores).await;
        let (mut changes, mut rows) = (Vec::new(), Vec::new());
        for (key, score) in scores {
            let before = self.standing.get(&key).or_else(|| stored.remove(&key));
            let at = score.calculated_at();
            let score = Arc::new(score);
            let mut written = at;
            if let Some(before) = before {
                if before.score.calculated_at() > at {
                    continue;
                }
                if before.score.quality() != score.quality() {
                    let (old, score) = (before.score.quality(), Arc::clone(&score));
                    changes.push(Change { key: key.clone(), old, score });
                }
                if is_same(&before.score, &score) && at - before.written < WRITTEN_AGAIN {
                    written = before.written;
                }
            }
            if written == at {
                rows.push(rows::Row::new(key.clone(), &score, cause));
            }
            self.standing.insert(key, Standing { score, written });
        }
        if let Some(store) = self.store.as_ref().filter(|_| !rows.is_empty()) {
            store.commit_soon(move |transaction| rows::write(transaction, &rows));
        }
        changes
    }

    /// What the store knows of those leads that memory does not know.
    async fn stored_before(&self, scores: &[(LeadKey, Score)]) -> HashMap<LeadKey, Standing> {
        let Some(store) = &self.store else { return HashMap::new() };
        let unknown = scores.iter().map(|(key, _)| key);
        let unknown: Vec<LeadKey> =
            unknown.filter(|key| !self.standing.contains_key(*key)).cloned().collect();
        if unknown.is_empty() {
            return HashMap::new();
        }
        let read = store.read(move |connection| rows::last(connection, unknown)).await;
        // What cannot be read is not known, and no change is told of it.
        let read = read.unwrap_or_default().into_iter();
        let standing =
            |score: Score| Standing { written: score.calculated_at(), score: Arc::new(score) };
        read.map(|(key, score)| (key, standing(score))).collect()
    }

    /// The last known score of a lead, and where it was found.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn last(&self, key: &LeadKey) -> Result<(Option<Arc<Score>>, Found), StoreError> {
        if let Some(standing) = self.standing.get(key) {
            return Ok((Some(standing.score), Found::Memory));
        }
        let Some(store) = &self.store else { return Ok((None, Found::Nowhere)) };
        let asked = vec![key.clone()];
        let read = store.read(move |connection| rows::last(connection, asked)).await?;
        // It is not put into memory: a newer one may have come there in the meantime.
        let score = read.into_iter().next().map(|(_, score)| Arc::new(score));
        let found = if score.is_some() { Found::Store } else { Found::Nowhere };
        Ok((score, found))
    }

    /// The scores of a lead, the newest first, at most so many.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn history(&self, key: LeadKey, most: usize) -> Result<Vec<Past>, StoreError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        store.read(move |connection| rows::history(connection, &key, most)).await
    }

    /// Forgets what of the history is older than `before`. Says how many scores that were. The last
    /// known score of a lead stays.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn retire(&self, before: OffsetDateTime) -> Result<usize, StoreError> {
        let Some(store) = &self.store else { return Ok(0) };
        let mut retired = 0;
        loop {
            let deleted = store.commit(move |inside| rows::retire(inside, before, BATCH)).await?;
            retired += deleted;
            if deleted < BATCH {
                return Ok(retired);
            }
        }
    }
}

/// Whether two scores say the same, whenever they were calculated.
fn is_same(one: &Score, other: &Score) -> bool {
    let mut both = one.components().iter().zip(other.components());
    one.total() == other.total()
        && both.all(|(one, other)| {
            (one.weight, one.factor, one.contribution)
                == (other.weight, other.factor, other.contribution)
        })
}

/// Milliseconds since 1970.
fn milliseconds(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// The moment of so many milliseconds since 1970.
fn moment(milliseconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
}

#[cfg(test)]
mod tests;
