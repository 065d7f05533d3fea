//! Events over HTTP, signed as Standard Webhooks says.
//!
//! A redirect is a failure and never followed; of an answer only status and `Retry-After` are
//! looked at. The address guard decides where connections may go.

mod retry_after;
mod signature;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout, timeout_at};

use super::dial::{self, Connection, Dialer, read_up_to};
use super::{BuildCause, Doubt};
use crate::config::{ContentMode, Webhook};
use crate::event::address::{AddressGuard, NoAddress};
use crate::event::{Delivered, DeliveryFailure, Message, Sink, envelope};
pub use signature::Signer;

/// The most of the time of an attempt that connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The most of an answer that is read, so that its connection can be used again.
const MOST_ANSWER_BYTES: usize = 64 << 10;

/// How long the rest of an answer is waited for when its status is known.
const REST_OF_ANSWER: Duration = Duration::from_secs(1);

/// How long a connection is used: the name may stand for another address by then.
const CONNECTION_AGE: Duration = Duration::from_secs(60);

const AGENT: &str = concat!("Fieldgate/", env!("CARGO_PKG_VERSION"));

/// Sends to one receiver.
pub struct WebhookSink {
    name: String,
    role: String,
    target: String,
    mode: ContentMode,
    signer: Signer,
    headers: HeaderMap,
    timeout: Duration,
    parallel: usize,
    dialer: Dialer,
    idle: Mutex<Vec<Connection>>,
}

impl fmt::Debug for WebhookSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Target, keys and headers may be secrets.
        let mut shown = formatter.debug_struct("WebhookSink");
        shown.field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl WebhookSink {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// Roots, host or key cannot be used.
    pub fn new(name: String, role: String, settings: Webhook) -> Result<Self, BuildCause> {
        let guard = AddressGuard::new(settings.allow_blocks, settings.allow_hosts);
        let connect = settings.timeout.min(CONNECT);
        let tls = || dial::tls(settings.ca.as_deref());
        let dialer = Dialer::new(&settings.url, guard, tls, connect)?;
        let signer = Signer::new(&settings.secrets).ok_or(BuildCause::Key)?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in settings.headers {
            let mut value =
                HeaderValue::try_from(value.expose_secret()).map_err(|_| BuildCause::Key)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert(HOST, dialer.host_header().clone());
        Ok(Self {
            name,
            role,
            target: settings.url.target,
            mode: settings.mode,
            signer,
            headers,
            timeout: settings.timeout,
            parallel: settings.parallel,
            dialer,
            idle: Mutex::default(),
        })
    }

    /// The request that carries `message`, signed at `now`.
    fn request(&self, message: &Message, now: SystemTime) -> Option<Request<Full<Bytes>>> {
        let mut headers = self.headers.clone();
        let (body, media_type) = match self.mode {
            ContentMode::Structured => (envelope::structured(message), envelope::STRUCTURED_TYPE),
            ContentMode::Binary => {
                for (name, value) in envelope::headers(message) {
                    headers.insert(HeaderName::try_from(name).ok()?, value.try_into().ok()?);
                }
                (message.data.get().as_bytes().to_vec(), envelope::DATA_TYPE)
            }
        };
        let id = message.id.to_string();
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = self.signer.sign(&id, seconds, &body);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert("webhook-id", id.try_into().ok()?);
        headers.insert("webhook-timestamp", seconds.into());
        headers.insert("webhook-signature", signature.try_into().ok()?);
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.parse().ok()?;
        *request.headers_mut() = headers;
        Some(request)
    }

    /// The head of the answer, and the connection it came on.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Connection), DeliveryFailure> {
        if let Some(mut connection) = self.idle_connection() {
            // The receiver may have ended the connection just now. Sending twice does no harm:
            // the id is the same.
            if let Ok(response) = connection.send(request.clone()).await {
                return Ok((response, connection));
            }
        }
        let mut connection = self.dialer.dial().await?;
        let response = connection.send(request).await?;
        Ok((response, connection))
    }

    fn idle_connection(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed() && connection.age() < CONNECTION_AGE);
        idle.pop()
    }

    /// Keeps the connection for another request, if its answer ends soon and is small.
    async fn keep(&self, answer: Incoming, connection: Connection, deadline: Instant) {
        let deadline = deadline.min(Instant::now() + REST_OF_ANSWER);
        let rest = timeout_at(deadline, read_up_to(answer, MOST_ANSWER_BYTES)).await;
        if !matches!(rest, Ok(Some(_))) || connection.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.parallel {
            idle.push(connection);
        }
    }
}

#[async_trait]
impl Sink for WebhookSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn role(&self) -> &str {
        &self.role
    }

    fn parallel(&self) -> usize {
        self.parallel
    }

    async fn inspect(&self) -> Vec<Doubt> {
        match timeout(CONNECT, self.dialer.resolve()).await {
            Ok(Ok(_)) => Vec::new(),
            Ok(Err(NoAddress::Refused)) => vec![Doubt::AddressRefused],
            Ok(Err(NoAddress::Unknown)) | Err(_) => vec![Doubt::NotReached],
        }
    }

    async fn deliver(&self, message: &Message, _attempt: u32) -> Delivered {
        let deadline = Instant::now() + self.timeout;
        let failed = |reason| Delivered::Failed { reason, retry_after: None };
        let now = SystemTime::now();
        let Some(request) = self.request(message, now) else {
            return failed(DeliveryFailure::Broken);
        };
        let (response, connection) = match timeout_at(deadline, self.exchange(request)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(reason)) => return failed(reason),
            Err(_) => return failed(DeliveryFailure::Timeout),
        };
        let (head, body) = response.into_parts();
        let delivered = outcome(head.status, &head.headers, now);
        self.keep(body, connection, deadline).await;
        delivered
    }
}

/// What a status means for the delivery.
fn outcome(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Delivered {
    if status.is_success() {
        return Delivered::Accepted;
    }
    let is_busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    match status {
        StatusCode::GONE => Delivered::Disabled,
        _ => Delivered::Failed {
            reason: DeliveryFailure::Status(status.as_u16()),
            retry_after: headers
                .get(RETRY_AFTER)
                .filter(|_| is_busy)
                .and_then(|value| retry_after::read(value.to_str().ok()?, now)),
        },
    }
}
