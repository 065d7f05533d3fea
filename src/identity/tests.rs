//! What the tests of the sources share.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Arrival, Asked, AskedOutcome, Told};
use crate::config::Upstream;

/// The end of what must not wait for anything.
#[track_caller]
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// A request with these headers, over a connection from nowhere.
pub(super) fn arriving(headers: &HeaderMap, now: SystemTime) -> Arrival<'_> {
    Arrival {
        headers,
        host: b"crm.example",
        peer: None,
        certificate: None,
        now,
        at: Instant::now(),
    }
}

pub(super) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// A CRM that nobody asks.
pub(super) fn upstream(port: u16) -> Upstream {
    Upstream {
        host: "127.0.0.1".to_owned(),
        port,
        tls: None,
        host_header: None,
        connect_timeout: Upstream::CONNECT,
        first_byte_timeout: Upstream::FIRST_BYTE,
        idle_timeout: Upstream::IDLE,
        total_timeout: Upstream::TOTAL,
        pool_idle: Duration::from_secs(1),
    }
}

/// Remembers what was asked.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<Asked>>>);

impl Heard {
    pub(super) fn told(&self) -> Told {
        let heard = Arc::clone(&self.0);
        Told::to(move |asked| heard.lock().unwrap().push(asked))
    }

    pub(super) fn outcomes(&self) -> Vec<AskedOutcome> {
        self.0.lock().unwrap().iter().map(|asked| asked.outcome).collect()
    }
}
