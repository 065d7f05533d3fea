//! The CRM at the other end: pooled connections, one request and its answer, deadlines.
//!
//! Every failure becomes a reason here; no error text of the transport leaves this file, for it
//! can hold bytes of an answer.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::{timeout, timeout_at};

use crate::config;
use crate::telemetry::Refusal;

/// Idle connections kept to the CRM.
const POOLED_CONNECTIONS: usize = 256;

/// How long a resolved name is used before it is asked for again.
const RESOLVED_FOR: Duration = Duration::from_secs(30);

/// Most informational answers (1xx) before the real one.
const MOST_INFORMATIONAL: usize = 16;

/// The group of connections that are not taken from the pool.
const FRESH: u64 = 1;

/// Why the settings of the upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CrmError {
    /// See the message.
    #[error("`host_header` is not a header value")]
    HostHeader,
    /// See the message.
    #[error("the path of the CA file is not UTF-8: `{0}`")]
    CaPath(PathBuf),
}

/// The way to the CRM. One for the whole process.
pub struct Crm {
    settings: config::Upstream,
    name: Arc<str>,
    host_header: Option<HeaderValue>,
    connector: Connector,
    resolved: Mutex<Option<(Instant, SocketAddr)>>,
}

/// An answer whose head has been read.
pub(super) struct Answer {
    session: HttpSession,
    peer: HttpPeer,
    pool_idle: Duration,
    deadline: tokio::time::Instant,
    received: u64,
    is_repeated: bool,
}

impl Crm {
    /// Prepares the pool; connects to nobody yet.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn new(settings: config::Upstream) -> Result<Self, CrmError> {
        let host_header = settings.host_header.as_deref().map(HeaderValue::from_str);
        let host_header = host_header.transpose().map_err(|_| CrmError::HostHeader)?;
        let mut options = ConnectorOptions::new(POOLED_CONNECTIONS);
        options.ca_file = ca_file(&settings)?;
        let connector = Connector::new(Some(options));
        let name = settings.host.as_str().into();
        Ok(Self { settings, name, host_header, connector, resolved: Mutex::new(None) })
    }

    /// Host and port of the CRM, to tell of.
    pub(super) fn peer_name(&self) -> (Arc<str>, u16) {
        (Arc::clone(&self.name), self.settings.port)
    }

    /// The `Host` to send instead of the client's.
    pub(super) fn host_header(&self) -> Option<&HeaderValue> {
        self.host_header.as_ref()
    }

    /// The `Host` that the CRM goes by.
    pub(super) fn authority(&self) -> Option<HeaderValue> {
        let usual = if self.settings.tls.is_some() { 443 } else { 80 };
        let (host, port) = (self.settings.host.as_str(), self.settings.port);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let authority = if port == usual { host } else { format!("{host}:{port}") };
        HeaderValue::try_from(authority).ok()
    }

    /// The file with the roots to trust instead of the system's.
    pub(super) fn ca_file(&self) -> Option<String> {
        ca_file(&self.settings).ok().flatten()
    }

    /// The peer to connect to, with every deadline set.
    pub(super) async fn peer(&self) -> Result<HttpPeer, Refusal> {
        let address = self.address().await?;
        let server_name =
            self.settings.tls.as_ref().map(|tls| tls.server_name.clone()).unwrap_or_default();
        let mut peer = HttpPeer::new(address, self.settings.tls.is_some(), server_name);
        peer.options.connection_timeout = Some(self.settings.connect_timeout);
        peer.options.total_connection_timeout = Some(self.settings.connect_timeout);
        peer.options.read_timeout = Some(self.settings.idle_timeout);
        peer.options.write_timeout = Some(self.settings.idle_timeout);
        peer.options.idle_timeout = Some(self.settings.pool_idle);
        Ok(peer)
    }

    async fn address(&self) -> Result<SocketAddr, Refusal> {
        if let Ok(ip) = self.settings.host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, self.settings.port));
        }
        let known = *self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, address)) = known
            && since.elapsed() < RESOLVED_FOR
        {
            return Ok(address);
        }
        let target = (self.settings.host.as_str(), self.settings.port);
        let looked_up = timeout(self.settings.connect_timeout, tokio::net::lookup_host(target));
        let found = match looked_up.await {
            Ok(Ok(mut addresses)) => addresses.next(),
            Ok(Err(_)) => None,
            Err(_) => return Err(Refusal::UpstreamConnectTimeout),
        };
        // A name server that fails for a moment does not make a known address wrong.
        let address =
            found.or(known.map(|(_, address)| address)).ok_or(Refusal::UpstreamConnect)?;
        *self.resolved.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), address));
        Ok(address)
    }

    /// Sends one request and reads the head of its answer.
    ///
    /// Tried once more, on a fresh connection, only where a pooled connection turned out to be
    /// closed before a byte of an answer came, and the method may be repeated. The first attempt
    /// may have been carried out all the same: where the second comes to no answer, the reason is
    /// that of the first, and an answer to the second says that it is one.
    pub(super) async fn call(
        &self,
        head: &RequestHeader,
        body: &Bytes,
    ) -> Result<(ResponseHeader, Answer), Refusal> {
        let deadline = tokio::time::Instant::now() + self.settings.total_timeout;
        let attempts = async {
            match self.attempt(head, body, deadline, Pool::Use).await {
                Err(Failed { may_repeat: true, reason }) if head.method.is_idempotent() => {
                    let second = self.attempt(head, body, deadline, Pool::Avoid).await;
                    let (response, answer) = second.map_err(|_| reason)?;
                    Ok((response, Answer { is_repeated: true, ..answer }))
                }
                first => first.map_err(|failed| failed.reason),
            }
        };
        timeout_at(deadline, attempts).await.unwrap_or(Err(Refusal::UpstreamTotalTimeout))
    }

    async fn attempt(
        &self,
        head: &RequestHeader,
        body: &Bytes,
        deadline: tokio::time::Instant,
        pool: Pool,
    ) -> Result<(ResponseHeader, Answer), Failed> {
        let mut peer = self.peer().await.map_err(Failed::finally)?;
        let group = peer.group_key;
        if pool == Pool::Avoid {
            // Connections are pooled by group, and nothing is ever released to this one.
            peer.group_key = FRESH;
        }
        let (mut session, reused) = self
            .connector
            .get_http_session(&peer)
            .await
            .map_err(|error| Failed::finally(connect_reason(&error)))?;
        peer.group_key = group;
        session.set_write_timeout(Some(self.settings.idle_timeout));
        let sent = async {
            session.write_request_header(Box::new(head.clone())).await?;
            if !body.is_empty() {
                session.write_request_body(body.clone(), true).await?;
            }
            session.finish_request_body().await
        };
        sent.await.map_err(|error| Failed { reason: reason(&error), may_repeat: reused })?;

        let read = async {
            for _ in 0..MOST_INFORMATIONAL {
                session.set_read_timeout(Some(self.settings.first_byte_timeout));
                session.read_response_header().await.map_err(|error| Failed {
                    reason: reason(&error),
                    may_repeat: reused && is_before_first_byte(&error),
                })?;
                let head = session.response_header();
                let head = head.ok_or(Failed::finally(Refusal::UpstreamMalformed))?;
                if !head.status.is_informational() || head.status.as_u16() == 101 {
                    return Ok(head.clone());
                }
            }
            Err(Failed::finally(Refusal::UpstreamMalformed))
        };
        let response = timeout(self.settings.first_byte_timeout, read)
            .await
            .unwrap_or(Err(Failed::finally(Refusal::UpstreamFirstByteTimeout)))?;
        session.set_read_timeout(Some(self.settings.idle_timeout));
        let pool_idle = self.settings.pool_idle;
        let answer = Answer { session, peer, pool_idle, deadline, received: 0, is_repeated: false };
        Ok((response, answer))
    }

    /// Gives the connection of a finished answer back to the pool.
    pub(super) async fn release(&self, answer: Answer) {
        let Answer { session, peer, pool_idle, .. } = answer;
        self.connector.release_http_session(session, &peer, Some(pool_idle)).await;
    }
}

impl Answer {
    /// The next chunk of the body, `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        match timeout_at(self.deadline, self.session.read_response_body()).await {
            Ok(Ok(chunk)) => {
                self.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                Ok(chunk)
            }
            Ok(Err(error)) => Err(match reason(&error) {
                Refusal::UpstreamFirstByteTimeout => Refusal::UpstreamIdleTimeout,
                other => other,
            }),
            Err(_) => Err(Refusal::UpstreamTotalTimeout),
        }
    }

    /// Bytes of the body so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether an earlier attempt may have been carried out as well.
    pub(super) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// When the whole exchange must be over.
    pub(super) fn deadline(&self) -> tokio::time::Instant {
        self.deadline
    }
}

/// Where the connection of an attempt may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pool {
    Use,
    /// A fresh one: where one pooled connection is dead, the others may be as well.
    Avoid,
}

/// An attempt that did not come to an answer.
struct Failed {
    reason: Refusal,
    may_repeat: bool,
}

impl Failed {
    fn finally(reason: Refusal) -> Self {
        Self { reason, may_repeat: false }
    }
}

fn ca_file(settings: &config::Upstream) -> Result<Option<String>, CrmError> {
    let Some(path) = settings.tls.as_ref().and_then(|tls| tls.ca.as_ref()) else {
        return Ok(None);
    };
    let text = path.to_str().ok_or_else(|| CrmError::CaPath(path.clone()))?;
    Ok(Some(text.to_owned()))
}

fn connect_reason(error: &Error) -> Refusal {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => {
            Refusal::UpstreamConnectTimeout
        }
        _ => Refusal::UpstreamConnect,
    }
}

fn reason(error: &Error) -> Refusal {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Refusal::UpstreamFirstByteTimeout,
        ErrorType::ConnectionClosed
        | ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::H2Error => Refusal::UpstreamClosed,
        _ => Refusal::UpstreamMalformed,
    }
}

/// Whether a read failed before a byte of the answer came. pingora keeps the count in the error's
/// text only; if that text ever changes, requests are not repeated, which is always safe.
fn is_before_first_byte(error: &Error) -> bool {
    error.context.as_ref().is_some_and(|context| context.as_str().ends_with("already read: 0"))
}
