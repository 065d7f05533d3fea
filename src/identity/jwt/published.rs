//! An issuer's set of keys while Fieldgate runs: fetched, kept, fetched again.
//!
//! Keys serve until they are too old, also while their server is down: the last good set wins. A
//! token with an unknown key may be the first after a rotation, so it has the set fetched again;
//! but not more often than every [`PAUSE`], however many such tokens come, and never two at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use jsonwebtoken::Algorithm;
use tokio::sync::Mutex;

use super::key_set::PublicKeys;
use super::signature_algorithm;
use crate::config::{KeySet, KeySetLocation};
use crate::identity::fault::SourceFault;
use crate::identity::kind::{AskedOutcome, SourceKind, Told};
use crate::outbound::Client;

/// Least time between two fetches that a token with an unknown key asks for, or after a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// The largest file with keys.
const MAX_FILE: u64 = 256 * 1024;

/// One issuer's keys.
pub(super) struct Published(Arc<Inner>);

struct Inner {
    place: Place,
    only: Option<Algorithm>,
    refresh: Duration,
    max_age: Duration,
    current: ArcSwapOption<Fetched>,
    /// Held while a fetch runs. Since when the next one must wait.
    fetching: Mutex<Option<Instant>>,
    told: Told,
}

enum Place {
    File(PathBuf),
    Server { client: Client, target: String },
}

/// A set of keys and when it was fetched.
pub(super) struct Fetched {
    pub(super) keys: PublicKeys,
    at: Instant,
}

/// Why the set is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Because {
    /// There is none, or it is old.
    ItIsTime,
    /// A token names a key that it has not.
    AKeyIsUnknown,
}

impl Published {
    pub(super) fn new(settings: &KeySet, told: Told) -> Result<Self, SourceFault> {
        let place = match &settings.location {
            KeySetLocation::File(path) => Place::File(path.clone()),
            KeySetLocation::Url(url) => {
                let client = Client::new(&url.host, url.port, url.tls.as_ref(), settings.timeout);
                let client = client.map_err(SourceFault::Client)?;
                Place::Server { client, target: url.target.clone() }
            }
        };
        Ok(Self(Arc::new(Inner {
            place,
            only: settings.algorithm.map(signature_algorithm),
            refresh: settings.refresh,
            max_age: settings.max_age,
            current: ArcSwapOption::empty(),
            fetching: Mutex::new(None),
            told,
        })))
    }

    /// The keys at `at`; `None` where there are none that still serve.
    ///
    /// Waits only where it must: old keys are fetched anew behind the request's back.
    pub(super) async fn current(&self, at: Instant) -> Option<Arc<Fetched>> {
        let current = self.0.current.load_full();
        match current {
            Some(fetched) if self.0.serves(&fetched, at) => {
                if at.saturating_duration_since(fetched.at) >= self.0.refresh {
                    let inner = Arc::clone(&self.0);
                    if inner.fetching.try_lock().is_ok() {
                        tokio::spawn(inner.fetch(at, Because::ItIsTime, Some(fetched.at)));
                    }
                }
                Some(fetched)
            }
            old => {
                self.fetch(at, Because::ItIsTime, old.map(|old| old.at)).await;
                self.0.current.load_full().filter(|fetched| self.0.serves(fetched, at))
            }
        }
    }

    /// A newer set than `old`, for a token whose key `old` has not.
    pub(super) async fn newer(&self, old: &Fetched, at: Instant) -> Option<Arc<Fetched>> {
        self.fetch(at, Because::AKeyIsUnknown, Some(old.at)).await;
        self.0.current.load_full().filter(|fetched| fetched.at > old.at)
    }

    /// Begins to fetch, so that the first request need not wait. Needs a runtime.
    pub(super) fn prefetch(&self, at: Instant) {
        tokio::spawn(Arc::clone(&self.0).fetch(at, Because::ItIsTime, None));
    }

    /// Fetches in a task of its own, so that a client that leaves does not break it off.
    async fn fetch(&self, at: Instant, because: Because, seen: Option<Instant>) {
        // Its end is all that matters here; what it found is in `current`.
        let _ = tokio::spawn(Arc::clone(&self.0).fetch(at, because, seen)).await;
    }
}

impl Inner {
    fn serves(&self, fetched: &Fetched, at: Instant) -> bool {
        at.saturating_duration_since(fetched.at) < self.max_age
    }

    async fn fetch(self: Arc<Self>, at: Instant, because: Because, seen: Option<Instant>) {
        let mut waits_since = self.fetching.lock().await;
        // Somebody else may have fetched while this one waited.
        let newest = self.current.load().as_ref().map(|fetched| fetched.at);
        if newest > seen {
            return;
        }
        if waits_since.is_some_and(|since| at.saturating_duration_since(since) < PAUSE) {
            return;
        }
        // What was fetched in the same instant as before is newer all the same.
        let stamp = newest.map_or(at, |newest| at.max(newest + Duration::from_nanos(1)));
        let keys = match &self.place {
            Place::File(path) => read(path.clone()).await,
            Place::Server { client, target } => ask(client, target).await,
        };
        let keys = keys.and_then(|text| PublicKeys::parse(&text, self.only));
        let outcome = if keys.is_some() { AskedOutcome::Answered } else { AskedOutcome::Failed };
        self.told.tell(SourceKind::Jwt, outcome);
        if keys.is_none() || because == Because::AKeyIsUnknown {
            *waits_since = Some(at);
        }
        if let Some(keys) = keys {
            self.current.store(Some(Arc::new(Fetched { keys, at: stamp })));
        }
    }
}

async fn ask(client: &Client, target: &str) -> Option<Bytes> {
    let request = Request::builder()
        .uri(target)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Bytes::new())
        .ok()?;
    let answer = client.send(request).await.ok()?;
    (answer.status == StatusCode::OK).then_some(answer.body)
}

async fn read(path: PathBuf) -> Option<Bytes> {
    let reading = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(path).ok()?;
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE), &mut text).ok()?;
        Some(Bytes::from(text))
    });
    reading.await.ok()?
}

#[cfg(test)]
mod tests;
