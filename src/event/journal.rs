//! The journal: every watched write before it is forwarded, its outcome before it is answered, and
//! what became of each event at each sink.
//!
//! It promises:
//!
//! - What [`begin`](Journal::begin) and [`finish`](Journal::finish) have said yes to is on disk.
//! - An intent whose outcome never came becomes an event that says so, once, at the next start.
//! - Events of one subject are numbered without gaps and come to a sink in that order. A subject
//!   whose first event waits for another attempt holds back its own events and nobody else's.
//! - An event stays until every configured sink has it; one that is a dead letter stays too.
//!
//! Where `begin` fails with a commit that failed, the intent may be on disk all the same: then the
//! next start reports a write as unknown that was never forwarded. That is the safe side.
//!
//! It knows roles only as names of views: what a role may see was decided before.

mod command;
mod deliveries;
pub(crate) mod moment;
mod query;
mod record;
mod retention;
pub(crate) mod row;
mod schema;
mod since;
mod sinks;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Transaction;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Causation, Event};
use crate::fail_point;
use crate::store::{Store, StoreError};

pub use self::command::{Chosen, replay, retry, sink_names};
pub use self::deliveries::Due;
pub use self::query::{
    Attempt, Backlog, DeadLetter, Delivery, DeliveryState, Entry, Filter, Listed, Shown, backlog,
    dead_letters, list, show, source, tail, view,
};
pub use self::retention::{Keep, Retired};
pub use self::schema::SCHEMA;
pub use self::sinks::{SinkPlan, Start};

/// The type of the event that stands for a write nobody knows the outcome of.
pub const OUTCOME_UNKNOWN: &str = "write.outcome_unknown";

/// The view that every role may see; it is used where a role has none of its own.
pub const FOR_EVERY_ROLE: &str = "*";

/// A watched write that is about to be forwarded.
#[derive(Debug, Clone)]
pub struct Intent {
    /// `UUIDv7`.
    pub id: Uuid,
    /// `PATCH`.
    pub method: String,
    /// The route's template, never the path.
    pub route: String,
    /// The object type: `deal`.
    pub resource: String,
    /// The record's id, where the path has it.
    pub record: Option<String>,
    /// The company.
    pub tenant: Option<String>,
    /// Who writes.
    pub actor: Option<String>,
    /// The id that the request carries everywhere.
    pub correlation_id: String,
    /// W3C `traceparent` of the span that observes it.
    pub traceparent: Option<String>,
    /// The policies that the request began with.
    pub policy_revision: String,
    /// The run that writes; `None` where it is no run.
    pub causation: Option<Causation>,
    /// When it came.
    pub time: OffsetDateTime,
}

/// What became of a watched write.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The CRM answered; the events are what the answer stands for, none if it refused.
    Answered {
        /// The status of the answer.
        status: u16,
        /// In the order in which they happened.
        events: Vec<Event>,
    },
    /// The CRM answered, and what it says was counted together. A sink whose role is told nothing of
    /// such an event is owed none: it would get a dead letter for each.
    Counted {
        /// The status of the answer.
        status: u16,
        /// In the order in which they happened.
        events: Vec<Event>,
    },
    /// The CRM never got it.
    NotForwarded,
    /// It was sent, and no answer came that could be understood. An event says so.
    NoAnswer,
}

/// A write whose outcome nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The write, and the event that stands for it.
    pub id: Uuid,
    /// The object type.
    pub resource: String,
    /// The record's id, where the path had it.
    pub record: Option<String>,
    /// The company.
    pub tenant: Option<String>,
    /// The id that the request carried.
    pub correlation_id: String,
}

/// What a write did and nobody saw, although it has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// So many records of the answer, beyond those that are looked at.
    Records(u64),
    /// The records of other resources in an answer that was too large to hold or cannot be read.
    Created,
}

/// Why the journal could not do something.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such write that waits for its outcome.
    #[error("the write `{0}` waits for no outcome")]
    NotOpen(Uuid),
}

/// The journal over the store. Clones share everything.
#[derive(Debug, Clone)]
pub struct Journal {
    store: Store,
    /// The configured `source` of events.
    source: Arc<str>,
    /// Counts the occasions on which there may be something to deliver.
    occasions: Arc<watch::Sender<u64>>,
}

impl Journal {
    /// A journal in a store that was opened with [`SCHEMA`].
    #[must_use]
    pub fn new(store: Store, source: &str) -> Self {
        Self { store, source: source.into(), occasions: Arc::new(watch::channel(0).0) }
    }

    /// The store that it writes to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The event that stands for what nobody saw of a write.
    #[must_use]
    pub fn unseen(intent: &Intent, unseen: Unseen, now: OffsetDateTime) -> Event {
        record::unseen(intent, unseen, now)
    }

    /// Records that a write is about to be forwarded. It is on disk when this says yes.
    pub async fn begin(&self, intent: Intent) -> Result<(), JournalError> {
        self.store.commit(move |transaction| record::open(transaction, &intent)).await?;
        fail_point::pass("after_intent");
        Ok(())
    }

    /// Records what became of a write, and its events. All of it is on disk when this says yes.
    pub async fn finish(
        &self,
        write: Uuid,
        now: OffsetDateTime,
        outcome: Outcome,
    ) -> Result<(), JournalError> {
        let close =
            move |transaction: &Transaction<'_>| record::close(transaction, write, now, &outcome);
        let was_open = self.store.commit(close).await?;
        fail_point::pass("after_outcome");
        if !was_open {
            return Err(JournalError::NotOpen(write));
        }
        self.wake();
        Ok(())
    }

    /// Records a write and its outcome at once, for one that was forwarded although nobody said yes
    /// to its intent. The intent may have been recorded later all the same, and taken back.
    pub async fn record(
        &self,
        intent: Intent,
        now: OffsetDateTime,
        outcome: Outcome,
    ) -> Result<(), JournalError> {
        let write = intent.id;
        let work = move |transaction: &Transaction<'_>| {
            record::open_again(transaction, &intent)?;
            record::close(transaction, intent.id, now, &outcome)
        };
        if !self.store.commit(work).await? {
            return Err(JournalError::NotOpen(write));
        }
        self.wake();
        Ok(())
    }

    /// Closes the intents that an earlier process left open; an event stands for each. To be called
    /// after [`configure_sinks`](Self::configure_sinks) and before the first write.
    pub async fn recover(&self, now: OffsetDateTime) -> Result<Vec<Unknown>, JournalError> {
        let unknown =
            self.store.commit(move |transaction| record::close_all(transaction, now)).await?;
        self.wake();
        Ok(unknown)
    }

    /// Says which sinks there are. One that is new begins where its plan says; one that is no
    /// longer named keeps nothing back any more, and goes on where it stood if it is named again.
    pub async fn configure_sinks(
        &self,
        plans: Vec<SinkPlan>,
        now: OffsetDateTime,
    ) -> Result<(), JournalError> {
        let source = Arc::clone(&self.source);
        let work = move |transaction: &Transaction<'_>| {
            sinks::configure(transaction, &plans, now)?;
            transaction
                .execute(
                    "INSERT INTO journal_source (only, source) VALUES (1, ?1)
                     ON CONFLICT (only) DO UPDATE SET source = excluded.source",
                    [&*source],
                )
                .map(|_| ())
        };
        self.store.commit(work).await?;
        self.wake();
        Ok(())
    }

    /// Changes whenever there may be something new to deliver.
    #[must_use]
    pub fn occasions(&self) -> watch::Receiver<u64> {
        self.occasions.subscribe()
    }

    fn wake(&self) {
        self.occasions.send_modify(|count| *count += 1);
    }
}

/// The views of an event that says the same to every role.
fn for_every_role(data: &serde_json::Value) -> BTreeMap<String, Box<serde_json::value::RawValue>> {
    let data = serde_json::value::to_raw_value(data).ok();
    data.map(|data| (FOR_EVERY_ROLE.to_owned(), data)).into_iter().collect()
}
