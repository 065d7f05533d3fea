//! What other servers said of credentials, kept for a while under a keyed hash.
//!
//! One question at a time about one credential: whoever comes while it is asked waits for its
//! answer. What is kept is who somebody is, or that a credential does not hold; never the
//! credential, and never that there was no answer. While a request that ends a credential is under
//! way nothing is kept for it, and afterwards nothing that was said of its subject before counts.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use moka::sync::Cache;
use sha2::Sha256;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::Principal;
use super::kind::{AskedOutcome, SourceKind, Told};
use super::refusal::Refusal;
use crate::config::Keep;

/// Most credentials remembered by one source.
const MOST_KEPT: u64 = 100_000;

/// Questions of one source under way at once; more wait for their turn, within the timeout.
const AT_ONCE: usize = 64;

/// A credential as it is kept: a keyed hash, of use to nobody outside this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

/// Computes a [`Digest`] from parts, each set off from the next by its length.
pub(super) struct Digesting(Hmac<Sha256>);

impl Digesting {
    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into_bytes().into())
    }
}

/// What a server said.
pub(super) enum Said {
    /// Who it is, and for how long that holds at most.
    Known(Principal, Duration),
    /// That the credential does not hold.
    Refused(Refusal),
    /// Nothing usable.
    Nothing,
}

/// Why nobody is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Refused(Refusal),
    Unavailable,
}

impl From<Refusal> for Unknown {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[derive(Clone)]
struct Verdict {
    found: Result<Arc<Principal>, Unknown>,
    asked: Instant,
    until: Instant,
}

type Slot = Arc<OnceCell<Verdict>>;

/// The answers of one source.
pub(super) struct Answers {
    source: SourceKind,
    keep: Keep,
    secret: Hmac<Sha256>,
    slots: Cache<Digest, Slot>,
    /// When a request ended that ends what credentials of a subject stand for.
    ended: Cache<String, Instant>,
    ending: Mutex<HashMap<Digest, usize>>,
    endings: AtomicUsize,
    turns: Semaphore,
    told: Told,
}

impl Answers {
    /// With a secret of its own, drawn from `random`.
    pub(super) fn new(
        source: SourceKind,
        keep: Keep,
        random: &mut impl rand::Rng,
        told: Told,
    ) -> Self {
        let mut secret = hmac::digest::Key::<Hmac<Sha256>>::default();
        random.fill_bytes(&mut secret);
        let longest = keep.ttl.max(keep.negative_ttl).max(Duration::from_secs(1));
        Self {
            source,
            keep,
            secret: Hmac::new(&secret),
            slots: Cache::builder().max_capacity(MOST_KEPT).time_to_live(longest).build(),
            ended: Cache::builder().max_capacity(MOST_KEPT).time_to_live(longest).build(),
            ending: Mutex::default(),
            endings: AtomicUsize::new(0),
            turns: Semaphore::new(AT_ONCE),
            told,
        }
    }

    /// Begins the digest of a credential.
    pub(super) fn digest(&self) -> Digesting {
        Digesting(self.secret.clone())
    }

    /// Who is known by a credential at `at`, without asking.
    pub(super) fn known(
        &self,
        digest: Digest,
        at: Instant,
    ) -> Option<Result<Arc<Principal>, Unknown>> {
        if self.is_ending(digest) {
            return None;
        }
        let slot = self.slots.get(&digest)?;
        slot.get().filter(|verdict| self.holds(verdict, at)).map(|verdict| verdict.found.clone())
    }

    /// Who is known by a credential at `at`; asks where that is not known or too old.
    pub(super) async fn find<F>(
        &self,
        digest: Digest,
        at: Instant,
        ask: impl FnOnce() -> F,
    ) -> Result<Arc<Principal>, Unknown>
    where
        F: Future<Output = Said>,
    {
        if let Some(known) = self.known(digest, at) {
            return known;
        }
        if self.is_ending(digest) {
            return self.ask(at, ask()).await.found;
        }
        let stale = |slot: &Slot| slot.get().is_some_and(|verdict| !self.holds(verdict, at));
        let slot = self.slots.entry(digest).or_insert_with_if(Slot::default, stale).into_value();
        let verdict = slot.get_or_init(|| self.ask(at, ask())).await;
        verdict.found.clone()
    }

    async fn ask(&self, at: Instant, question: impl Future<Output = Said>) -> Verdict {
        let asked = async {
            // The semaphore is never closed.
            let _turn = self.turns.acquire().await;
            question.await
        };
        let said = timeout(self.keep.timeout, asked).await.unwrap_or(Said::Nothing);
        let (found, kept, outcome) = match said {
            Said::Known(principal, longest) => {
                (Ok(Arc::new(principal)), self.keep.ttl.min(longest), AskedOutcome::Answered)
            }
            Said::Refused(refusal) => {
                (Err(Unknown::Refused(refusal)), self.keep.negative_ttl, AskedOutcome::Refused)
            }
            Said::Nothing => (Err(Unknown::Unavailable), Duration::ZERO, AskedOutcome::Failed),
        };
        self.told.tell(self.source, outcome);
        Verdict { found, asked: at, until: at + kept }
    }

    fn holds(&self, verdict: &Verdict, at: Instant) -> bool {
        let has_ended = |principal: &Arc<Principal>| {
            self.ended.get(&principal.subject).is_some_and(|ended| ended >= verdict.asked)
        };
        at < verdict.until && !verdict.found.as_ref().is_ok_and(has_ended)
    }

    fn is_ending(&self, digest: Digest) -> bool {
        self.endings.load(Ordering::Acquire) > 0 && self.lock().contains_key(&digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, usize>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing is kept for a credential, until the [`Ending`] is dropped; then whatever
    /// was said of its subject is forgotten.
    pub(super) fn end(self: &Arc<Self>, digest: Digest) -> Ending {
        let known = self.slots.get(&digest);
        let subject = known
            .as_ref()
            .and_then(|slot| slot.get()?.found.as_ref().ok())
            .map(|principal| principal.subject.clone());
        *self.lock().entry(digest).or_default() += 1;
        self.endings.fetch_add(1, Ordering::Release);
        self.slots.invalidate(&digest);
        Ending { answers: Arc::clone(self), digest, subject }
    }
}

/// A request that ends what a credential stands for is under way.
pub(super) struct Ending {
    answers: Arc<Answers>,
    digest: Digest,
    subject: Option<String>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let answers = &self.answers;
        answers.slots.invalidate(&self.digest);
        if let Some(subject) = self.subject.take() {
            answers.ended.insert(subject, Instant::now());
        }
        let mut ending = answers.lock();
        if let Some(count) = ending.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                ending.remove(&self.digest);
            }
        }
        answers.endings.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
