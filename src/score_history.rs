//! The scores of leads as they are kept: the last one of each lead, how it came there, and the
//! activities that were counted.
//!
//! A cache in memory stands before the store. What is written may be lost when the process dies, for
//! a score can be calculated again. Without a store the last scores are known as long as the process
//! lives. Keeps no value of a record but its id; decides nothing about who may see a score.

mod activities;
mod form;
mod refreshes;
mod rows;

use std::collections::HashMap;
use std::sync::Arc;

use moka::sync::Cache;
use rusqlite::{Connection, Transaction};
use time::{Duration, OffsetDateTime};

pub use activities::SeenActivity;
pub use refreshes::{Refresh, RefreshKind};

use crate::score::{Inputs, Quality, RulesDigest, Score, ScoringPlan};
use crate::store::{Schema, Store, StoreError};

/// What [`ScoreHistory`] needs of a store. Times are milliseconds since 1970.
pub const SCHEMA: Schema = Schema { name: "score_history", steps: &[FIRST, RULES] };

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
    CREATE INDEX lead_scores_at ON lead_scores (tenant, resource, at);
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
        lead TEXT NOT NULL,
        activity TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (tenant, resource, lead, activity)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX lead_activities_at ON lead_activities (at);
    CREATE TABLE lead_score_refreshes (
        tenant TEXT NOT NULL,
        resource TEXT NOT NULL,
        kind TEXT NOT NULL,
        began INTEGER NOT NULL,
        ended INTEGER,
        next TEXT,
        done INTEGER NOT NULL,
        total INTEGER,
        PRIMARY KEY (tenant, resource)
    ) STRICT, WITHOUT ROWID;
";

/// Of scores that were kept before, nobody knows by which rules they were calculated.
const RULES: &str = "ALTER TABLE lead_scores ADD COLUMN rules TEXT NOT NULL DEFAULT '';";

/// Scores that are kept in memory.
const MOST_IN_MEMORY: u64 = 50_000;

/// A score that stays the same is written again when the one written is this old.
const WRITTEN_AGAIN: Duration = Duration::hours(1);

/// A score that stays the same need not be noted again before it is this old.
const LOOKED_AT_AGAIN: Duration = Duration::minutes(1);

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
    /// An activity of the lead was read or written.
    Activity,
    /// It was calculated long ago, or somebody asked for all of them.
    Refresh,
    /// Somebody asked for the score, and the one that was known was too old.
    Asked,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 5] =
        [Self::Read, Self::Write, Self::Activity, Self::Refresh, Self::Asked];

    /// The stable name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Activity => "activity",
            Self::Refresh => "refresh",
            Self::Asked => "asked",
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
            Self::Memory => "hit",
            Self::Store => "store",
            Self::Nowhere => "miss",
        }
    }
}

/// What a score was calculated from, so that it can be calculated again without the record. It is
/// understood already and holds no value of it.
#[derive(Debug, Clone)]
pub struct Basis {
    /// The rules.
    pub plan: Arc<ScoringPlan>,
    /// What the record said.
    pub inputs: Inputs,
}

/// A score that was just calculated.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The lead.
    pub key: LeadKey,
    /// Its score.
    pub score: Score,
    /// What it was calculated from.
    pub basis: Basis,
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

/// How many leads of one company have one quality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The company; empty where there is none.
    pub tenant: String,
    /// The quality.
    pub quality: Quality,
    /// How many.
    pub leads: u64,
}

/// The last known score of a lead.
#[derive(Debug, Clone)]
pub struct Last {
    /// The score.
    pub score: Arc<Score>,
    /// The rules that it was calculated by.
    pub rules: RulesDigest,
}

impl Last {
    /// Whether it is to be calculated anew: it was calculated at `before` or earlier, or by other
    /// rules than those in force.
    #[must_use]
    pub fn is_stale(&self, rules: &RulesDigest, before: OffsetDateTime) -> bool {
        self.score.calculated_at() <= before || self.rules != *rules
    }
}

/// The last known score of a lead, as memory has it.
#[derive(Debug, Clone)]
struct Standing {
    score: Arc<Score>,
    rules: RulesDigest,
    /// The moment of the score that was written last.
    written: OffsetDateTime,
    /// `None` for one that was read from the store.
    basis: Option<Basis>,
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
    /// What is written by [`Cause::Refresh`] is on disk when this returns, as far as the store takes
    /// it. Two calls at once may both tell of one change, so there is one caller.
    pub async fn note(&self, scores: Vec<Scored>, cause: Cause) -> Vec<Change> {
        let mut stored = self.stored_before(&scores).await;
        let (mut changes, mut rows) = (Vec::new(), Vec::new());
        for Scored { key, score, basis } in scores {
            let before = self.standing.get(&key).or_else(|| stored.remove(&key));
            let at = score.calculated_at();
            let score = Arc::new(score);
            let (mut written, mut is_new) = (at, true);
            if let Some(before) = before {
                if before.score.calculated_at() > at {
                    continue;
                }
                if before.score.quality() != score.quality() {
                    let (old, score) = (before.score.quality(), Arc::clone(&score));
                    changes.push(Change { key: key.clone(), old, score });
                }
                is_new = !is_same(&before.score, &score);
                if !is_new
                    && cause != Cause::Refresh
                    && at - before.written < WRITTEN_AGAIN
                    && before.rules == *basis.plan.digest()
                {
                    written = before.written;
                }
            }
            let rules = basis.plan.digest().clone();
            if written == at {
                rows.push(rows::Row::new(key.clone(), &score, rules.clone(), cause, is_new));
            }
            self.standing.insert(key, Standing { score, rules, written, basis: Some(basis) });
        }
        if let Some(store) = self.store.as_ref().filter(|_| !rows.is_empty()) {
            let write = move |transaction: &Transaction<'_>| rows::write(transaction, &rows);
            if cause == Cause::Refresh {
                // What is not written is still old, and will be looked for again.
                let _ = store.commit(write).await;
            } else {
                store.commit_soon(write);
            }
        }
        changes
    }

    /// Whether a score that was just calculated is known already, from the same, as of a moment ago.
    #[must_use]
    pub fn knows(
        &self,
        key: &LeadKey,
        score: &Score,
        plan: &Arc<ScoringPlan>,
        inputs: &Inputs,
    ) -> bool {
        let Some(standing) = self.standing.get(key) else { return false };
        score.calculated_at() - standing.score.calculated_at() < LOOKED_AT_AGAIN
            && standing.is_of(plan, inputs)
            && is_same(&standing.score, score)
    }

    /// What the last known score of a lead was calculated from, as long as memory holds it.
    #[must_use]
    pub fn basis(&self, key: &LeadKey) -> Option<Basis> {
        self.standing.get(key)?.basis
    }

    /// Forgets a lead that is gone: its score and how it came there.
    pub fn forget(&self, key: &LeadKey) {
        self.standing.invalidate(key);
        if let Some(store) = &self.store {
            let key = key.clone();
            store.commit_soon(move |transaction| rows::forget(transaction, &key));
        }
    }

    /// The leads whose score [is stale](Last::is_stale), the oldest first, at most so many.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn stale(
        &self,
        (tenant, resource): (&str, &str),
        rules: &RulesDigest,
        before: OffsetDateTime,
        most: usize,
    ) -> Result<Vec<LeadKey>, StoreError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let (tenant, resource) = (tenant.to_owned(), resource.to_owned());
        let rules = rules.clone();
        let read = move |connection: &Connection| {
            rows::stale(connection, (&tenant, &resource), &rules, before, most)
        };
        store.read(read).await
    }

    /// How many of these there are.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn count_stale(
        &self,
        (tenant, resource): (&str, &str),
        rules: &RulesDigest,
        before: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let Some(store) = &self.store else { return Ok(0) };
        let (tenant, resource) = (tenant.to_owned(), resource.to_owned());
        let rules = rules.clone();
        let count = move |connection: &Connection| {
            rows::count_stale(connection, (&tenant, &resource), &rules, before)
        };
        store.read(count).await
    }

    /// How many leads of each company have which quality.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn distribution(&self) -> Result<Vec<Share>, StoreError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        store.read(rows::distribution).await
    }

    /// What the store knows of those leads that memory does not know.
    async fn stored_before(&self, scores: &[Scored]) -> HashMap<LeadKey, Standing> {
        let Some(store) = &self.store else { return HashMap::new() };
        let unknown = scores.iter().map(|scored| &scored.key);
        let unknown: Vec<LeadKey> =
            unknown.filter(|key| !self.standing.contains_key(*key)).cloned().collect();
        if unknown.is_empty() {
            return HashMap::new();
        }
        let read = store.read(move |connection| rows::last(connection, unknown)).await;
        // What cannot be read is not known, and no change is told of it.
        let read = read.unwrap_or_default().into_iter();
        let standing = |Last { score, rules }: Last| {
            let written = score.calculated_at();
            Standing { written, score, rules, basis: None }
        };
        read.map(|(key, last)| (key, standing(last))).collect()
    }

    /// The last known score of a lead, and where it was found.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn last(&self, key: &LeadKey) -> Result<(Option<Last>, Found), StoreError> {
        if let Some(Standing { score, rules, .. }) = self.standing.get(key) {
            return Ok((Some(Last { score, rules }), Found::Memory));
        }
        let Some(store) = &self.store else { return Ok((None, Found::Nowhere)) };
        let asked = vec![key.clone()];
        let read = store.read(move |connection| rows::last(connection, asked)).await?;
        // It is not put into memory: a newer one may have come there in the meantime.
        let last = read.into_iter().next().map(|(_, last)| last);
        let found = if last.is_some() { Found::Store } else { Found::Nowhere };
        Ok((last, found))
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

impl Standing {
    /// Whether it was calculated from the same.
    fn is_of(&self, plan: &Arc<ScoringPlan>, inputs: &Inputs) -> bool {
        self.rules == *plan.digest()
            && self.basis.as_ref().is_some_and(|own| own.inputs.says_the_same(inputs))
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
