//! The audit ledger: who was shown which fields of whom, under which policy. Never a value.
//!
//! Each entry is bound to the one before it by a hash, so that none can be changed, removed, added
//! or moved unseen; signed marks say how far the ledger had come, so that its end cannot be cut off
//! unseen either. What it cannot show by itself is that the whole file was put back to an older
//! copy: for that, checkpoints are told in the application log, and `verify` takes one of them.
//!
//! Entries are written off the street by one thread. With `required` an answer waits until its
//! entry is on disk, and is refused where that fails; with `best_effort` it waits for nothing, and
//! what is lost is counted.

mod chain;
mod entry;
mod export;
mod ledger;
mod mark;
mod query;
mod retention;
mod table;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use self::chain::{Digest, Link};
pub use self::entry::{AuditEntry, FieldEntry, Kind, Outcome};
pub use self::export::{Format, Row};
pub use self::ledger::{AuditError, Ledger, LedgerParts};
pub use self::mark::{Mark, MarkKind, PublicKey, Seal};
pub use self::query::{Query, Stored, each, moment, query};
pub use self::table::SCHEMA;
pub use self::verify::{Anchor, Fault, KeyFinder, Report, verify};
