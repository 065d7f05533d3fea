//! The thread that writes: takes what waits, extends the chain, moves the head, all in one
//! transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension, Transaction, params};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::chain::{Digest, Link};
use super::entry::{AuditEntry, Kind, milliseconds, read_timestamp};
use super::mark::{Mark, MarkKind, Seal};
use super::retention;
use crate::mask::KeyRing;
use crate::store::{Store, StoreError};
use crate::telemetry::{
    AuditCheckpoint, AuditDamaged, AuditStopped, AuditWorksAgain, AuditWritten, Telemetry,
};

/// Most entries of one transaction.
const BATCH: usize = 1024;

/// How long entries gather that nobody waits for: they share one signature and one fsync, and the
/// store is left to those who do wait. A crash loses so much of them at most.
const GATHER: Duration = Duration::from_millis(100);

/// A checkpoint is made after so many entries, or after so long.
const CHECKPOINT_ENTRIES: u64 = 1000;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3600);

/// How often old entries are looked for.
const LOOK_FOR_OLD: Duration = Duration::from_secs(600);

/// What goes to the thread.
pub(super) enum Work {
    /// An entry, and whom to tell that it is on disk.
    Write(Box<AuditEntry>, Option<oneshot::Sender<bool>>),
    /// Write what waits, and end.
    Stop,
}

/// Looks up the key ring that is in force.
pub(super) type Keys = Box<dyn Fn() -> Option<Arc<KeyRing>> + Send>;

pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) work: Receiver<Work>,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) keys: Keys,
    pub(super) keep: Duration,
    pub(super) telemetry: Telemetry,
    pub(super) state: State,
}

/// What the thread remembers between two batches.
#[derive(Default)]
pub(super) struct State {
    /// Where the chain ends; `None` where the file must be asked.
    last: Option<Link>,
    seal: Option<Seal>,
    /// From where on entries and time are counted for the next checkpoint.
    since: Option<(u64, Instant)>,
    /// The last checkpoint made.
    checkpoint: Option<u64>,
    looked_for_old: Option<Instant>,
    is_failing: bool,
}

/// An entry on its way, and whom to tell.
type Pending = (Box<AuditEntry>, Option<oneshot::Sender<bool>>);

impl Writer {
    pub(super) fn run(mut self) {
        // A ledger has a head from its beginning, so that one that was emptied is none.
        let begun = self.append(Vec::new());
        self.tell_failure(begun.err().as_ref());
        loop {
            let (batch, is_over) = self.take();
            if !batch.is_empty() {
                self.write(batch);
            }
            if is_over {
                self.checkpoint();
                return;
            }
            self.look_after();
        }
    }

    /// Waits for work, and takes what is there: at once where somebody waits for it, for the fsync
    /// of one batch is the time in which the next one gathers.
    fn take(&mut self) -> (Vec<Pending>, bool) {
        let mut batch: Vec<Pending> = Vec::new();
        let mut wait = LOOK_FOR_OLD;
        let mut gathered = None;
        let is_over = loop {
            match self.work.recv_timeout(wait) {
                Ok(Work::Write(entry, told)) => {
                    let now = Instant::now();
                    let end = *gathered.get_or_insert(now + GATHER);
                    // Once somebody waits, nothing more is waited for.
                    if told.is_some() || wait.is_zero() {
                        wait = Duration::ZERO;
                    } else {
                        wait = end.saturating_duration_since(now);
                    }
                    batch.push((entry, told));
                }
                Ok(Work::Stop) | Err(RecvTimeoutError::Disconnected) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
            }
            if batch.len() == BATCH {
                break false;
            }
        };
        self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        (batch, is_over)
    }

    fn write(&mut self, batch: Vec<Pending>) {
        let (entries, told): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let count = entries.len() as u64;
        let written = self.append(entries.into_iter().map(|entry| *entry).collect());
        let is_written = written.is_ok();
        AuditWritten { count, is_written }.emit(&self.telemetry);
        for told in told.into_iter().flatten() {
            // Whoever waited may have gone.
            let _ = told.send(is_written);
        }
        self.tell_failure(written.err().as_ref());
    }

    /// Appends entries behind the last one and moves the head.
    fn append(&mut self, entries: Vec<AuditEntry>) -> Result<Link, StoreError> {
        self.renew_seal();
        let known = self.state.last;
        let now = OffsetDateTime::now_utc();
        let (seal, telemetry) = (self.state.seal.take(), self.telemetry.clone());
        let (seal, appended) = self.in_transaction(seal, move |transaction, seal| {
            let mut last = if let Some(last) = known {
                last
            } else {
                let (last, damage) = end_of(transaction)?;
                match damage {
                    None => last,
                    Some(what) => {
                        AuditDamaged { what }.emit(&telemetry);
                        let entry = AuditEntry::about_itself(Kind::Damage, what.to_owned(), now);
                        insert(transaction, last, &entry)?
                    }
                }
            };
            for entry in &entries {
                last = insert(transaction, last, entry)?;
            }
            move_head(transaction, last, now, seal)?;
            Ok(last)
        });
        self.state.seal = seal;
        // Where it failed, nobody knows what the file holds; it is asked the next time.
        self.state.last = appended.as_ref().ok().copied();
        appended
    }

    /// Runs work that needs the seal in the store's thread, and takes the seal back.
    fn in_transaction<T: Send + 'static>(
        &self,
        seal: Option<Seal>,
        mut work: impl FnMut(&Transaction<'_>, Option<&Seal>) -> rusqlite::Result<T> + Send + 'static,
    ) -> (Option<Seal>, Result<T, StoreError>) {
        let seal = Arc::new(seal);
        let lent = Arc::clone(&seal);
        let done = self
            .store
            .commit_blocking(move |transaction| work(transaction, lent.as_ref().as_ref()));
        (Arc::into_inner(seal).flatten(), done)
    }

    /// The active key may have changed since the last batch.
    fn renew_seal(&mut self) {
        let ring = (self.keys)();
        let active = ring.as_ref().map(|ring| ring.active().as_str().to_owned());
        let current = self.state.seal.as_ref().map(|seal| seal.key().to_owned());
        if active != current {
            self.state.seal = ring.and_then(|ring| Seal::of(&ring));
        }
    }

    fn tell_failure(&mut self, failure: Option<&StoreError>) {
        if failure.is_some() == self.state.is_failing {
            return;
        }
        self.state.is_failing = failure.is_some();
        match failure {
            Some(error) => AuditStopped { reason: reason(error) }.emit(&self.telemetry),
            None => AuditWorksAgain.emit(&self.telemetry),
        }
    }

    /// Makes a checkpoint and removes what is too old, when it is time.
    fn look_after(&mut self) {
        let Some(last) = self.state.last else { return };
        let now = Instant::now();
        let (number, at) = *self.state.since.get_or_insert((last.number, now));
        let is_time = last.number >= number.saturating_add(CHECKPOINT_ENTRIES)
            || now.saturating_duration_since(at) >= CHECKPOINT_EVERY;
        if is_time && last.number > number {
            self.checkpoint();
        }
        let looked = self.state.looked_for_old;
        if looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_FOR_OLD) {
            self.state.looked_for_old = Some(now);
            self.remove_old();
        }
    }

    fn checkpoint(&mut self) {
        let Some(last) = self.state.last else { return };
        if last.number == 0 || self.state.checkpoint == Some(last.number) {
            return;
        }
        self.renew_seal();
        let now = OffsetDateTime::now_utc();
        let seal = self.state.seal.take();
        let (seal, made) = self.in_transaction(seal, move |transaction, seal| {
            let mark = Mark::new(MarkKind::Checkpoint, last, milliseconds(now), seal);
            put(transaction, &mark)?;
            Ok(mark)
        });
        self.state.seal = seal;
        if let Ok(mark) = made {
            self.state.checkpoint = Some(last.number);
            self.state.since = Some((last.number, Instant::now()));
            AuditCheckpoint {
                number: last.number,
                hash: last.hash.to_string(),
                key: mark.signature.map(|(key, _)| key),
            }
            .emit(&self.telemetry);
        }
    }

    /// Removes entries whose time is over, as far as a checkpoint allows, a bounded number at once.
    fn remove_old(&mut self) {
        loop {
            self.renew_seal();
            let now = OffsetDateTime::now_utc();
            let before = milliseconds(now - self.keep);
            let seal = self.state.seal.take();
            let (seal, removed) = self.in_transaction(seal, move |transaction, seal| {
                retention::remove(transaction, before, milliseconds(now), seal)
            });
            self.state.seal = seal;
            let Ok(Some(cut)) = removed else { return };
            let what = format!("entries up to {} were removed", cut.number);
            let entry = AuditEntry::about_itself(Kind::Retention, what, now);
            if self.append(vec![entry]).is_err() {
                return;
            }
        }
    }
}

/// Why the store did not take entries, from a closed list.
fn reason(error: &StoreError) -> &'static str {
    match error {
        StoreError::Busy => "too much waits for the store",
        StoreError::Held => "another process holds the store",
        StoreError::Unhealthy => "the store does not take writes",
        StoreError::NotCommitted => "the store could not commit",
        StoreError::Work(_) | StoreError::Panicked => "the entries could not be written",
        StoreError::Stopped => "the store is closed",
    }
}

/// Where the chain ends, and what is wrong with that end. A damaged ledger goes on behind the
/// higher number, bound to the head, so that the gap stays for `verify` to find.
fn end_of(transaction: &Transaction<'_>) -> rusqlite::Result<(Link, Option<&'static str>)> {
    let mark = |kind: MarkKind| -> rusqlite::Result<Option<Mark>> {
        let sql = "SELECT kind, number, hash, at, key, signature FROM audit_mark
                   WHERE kind = ?1 ORDER BY number DESC LIMIT 1";
        Ok(transaction.query_row(sql, [kind.name()], Mark::read).optional()?.flatten())
    };
    let sql = "SELECT number, hash FROM audit_entry ORDER BY number DESC LIMIT 1";
    let last = transaction.query_row(sql, [], link).optional()?;
    let (head, cut) = (mark(MarkKind::Head)?, mark(MarkKind::Cut)?);
    let has_checkpoint = mark(MarkKind::Checkpoint)?.is_some();
    // With every entry removed, the chain ends at the cut.
    let end = last.or(cut.map(|cut| cut.link)).unwrap_or(Link::START);
    Ok(match head {
        None if end == Link::START && !has_checkpoint => (end, None),
        None => (end, Some("the head is missing")),
        Some(head) if head.link == end => (end, None),
        Some(head) => {
            let number = head.link.number.max(end.number);
            (Link { number, hash: head.link.hash }, Some("the last entry is not the head"))
        }
    })
}

/// Reads the columns `number, hash`.
fn link(row: &rusqlite::Row<'_>) -> rusqlite::Result<Link> {
    let hash: Vec<u8> = row.get(1)?;
    Ok(Link { number: row.get(0)?, hash: Digest::from_slice(&hash).unwrap_or(Digest::NONE) })
}

pub(super) fn insert(
    transaction: &Transaction<'_>,
    last: Link,
    entry: &AuditEntry,
) -> rusqlite::Result<Link> {
    let text = entry
        .to_text()
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let next = last.then(&text);
    let at = read_timestamp(&entry.time).unwrap_or_default();
    transaction
        .prepare_cached(
            "INSERT INTO audit_entry (number, at, subject, hash, entry) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![next.number, at, entry.subject, next.hash.as_bytes(), text])?;
    let mut objects = transaction
        .prepare_cached("INSERT OR IGNORE INTO audit_object (number, object) VALUES (?1, ?2)")?;
    for object in entry.object_names() {
        objects.execute(params![next.number, object])?;
    }
    Ok(next)
}

pub(super) fn move_head(
    transaction: &Transaction<'_>,
    last: Link,
    now: OffsetDateTime,
    seal: Option<&Seal>,
) -> rusqlite::Result<()> {
    let kind = MarkKind::Head;
    transaction.prepare_cached("DELETE FROM audit_mark WHERE kind = ?1")?.execute([kind.name()])?;
    put(transaction, &Mark::new(kind, last, milliseconds(now), seal))
}

pub(super) fn put(transaction: &Transaction<'_>, mark: &Mark) -> rusqlite::Result<()> {
    let (key, signature) = mark.signature.clone().unzip();
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO audit_mark (kind, number, hash, at, key, signature)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            mark.kind.name(),
            mark.link.number,
            mark.link.hash.as_bytes(),
            mark.at,
            key,
            signature
        ])?;
    Ok(())
}
