//! One request to a server outside: where it may go, how it is signed, and what its status means.
//!
//! As the webhook sink of events: the address guard decides, a redirect is a failure, and nothing of
//! an answer is looked at but its status.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use secrecy::SecretSlice;
use serde_json::json;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{failed, failed_for_now};
use crate::config::{HttpUrl, Reach};
use crate::event::DeliveryFailure;
use crate::event::address::AddressGuard;
use crate::event::sink::dial::{self, Dialer, read_up_to};
use crate::event::sink::{BuildCause, Signer};
use crate::workflow::action::{ActionFailure, Performed};

/// The most of the time of a call that connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The most of an answer that is read. More is not looked at.
const MOST_ANSWER_BYTES: usize = 64 << 10;

const AGENT: &str = concat!("Fieldgate/", env!("CARGO_PKG_VERSION"));

/// How servers outside are called.
pub(super) struct Post {
    guard: AddressGuard,
    /// `None` where there are no roots to trust, so that nobody can be called by TLS.
    tls: Option<TlsConnector>,
    signer: Option<Signer>,
    timeout: Duration,
}

/// What is sent.
pub(super) struct Letter<'a> {
    pub(super) url: &'a HttpUrl,
    pub(super) method: Method,
    /// What the caller adds; nothing that HTTP or the signature sets.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) media_type: Option<&'static str>,
    /// The same in every attempt: what the signature names, and what a receiver knows again.
    pub(super) id: &'a str,
    pub(super) now: SystemTime,
}

impl Post {
    /// Connects to nobody yet.
    pub(super) fn new(
        reach: Reach,
        secrets: &[SecretSlice<u8>],
        needs_tls: bool,
    ) -> Result<Self, BuildCause> {
        let tls = match dial::tls(reach.ca.as_deref()) {
            Ok(tls) => Some(tls),
            // A machine without roots may still call its neighbours.
            Err(BuildCause::NoRoots) if !needs_tls => None,
            Err(cause) => return Err(cause),
        };
        let signer = match secrets {
            [] => None,
            keys => Some(Signer::new(keys).ok_or(BuildCause::Key)?),
        };
        let guard = AddressGuard::new(reach.allow_blocks, reach.allow_hosts);
        Ok(Self { guard, tls, signer, timeout: reach.timeout })
    }

    /// Sends once.
    pub(super) async fn send(&self, letter: Letter<'_>) -> Performed {
        match timeout(self.timeout, self.exchange(letter)).await {
            Ok(Ok(status)) => performed(status),
            Ok(Err(failure)) => not_delivered(failure),
            Err(_) => not_delivered(DeliveryFailure::Timeout),
        }
    }

    async fn exchange(&self, letter: Letter<'_>) -> Result<StatusCode, DeliveryFailure> {
        let tls = || self.tls.clone().ok_or(BuildCause::NoRoots);
        let dialer = Dialer::new(letter.url, self.guard.clone(), tls, self.timeout.min(CONNECT))
            .map_err(|_| DeliveryFailure::Tls)?;
        let request = self.request(letter, &dialer).ok_or(DeliveryFailure::Broken)?;
        let mut connection = dialer.dial().await?;
        let response = connection.send(request).await?;
        let status = response.status();
        // Read so far that the receiver does not see its answer cut off; what it says is not looked
        // at.
        let _ = read_up_to(response.into_body(), MOST_ANSWER_BYTES).await;
        Ok(status)
    }

    fn request(&self, letter: Letter<'_>, dialer: &Dialer) -> Option<Request<Full<Bytes>>> {
        let Letter { url, method, mut headers, body, media_type, id, now } = letter;
        headers.insert(HOST, dialer.host_header().clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert("idempotency-key", HeaderValue::from_str(id).ok()?);
        if let Some(media_type) = media_type
            && !headers.contains_key(CONTENT_TYPE)
        {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        if let Some(signer) = &self.signer {
            let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let signature = signer.sign(id, seconds, &body);
            headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
            headers.insert("webhook-timestamp", seconds.into());
            headers.insert("webhook-signature", HeaderValue::from_str(&signature).ok()?);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.target.parse().ok()?;
        *request.headers_mut() = headers;
        Some(request)
    }
}

/// What a status means.
fn performed(status: StatusCode) -> Performed {
    let number = status.as_u16();
    if status.is_success() {
        return Performed::Completed { result: json!({ "status": number }) };
    }
    let error = format!("the receiver answered {number}");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            failed(ActionFailure::Unauthorized, error)
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            failed_for_now(ActionFailure::Status, error)
        }
        status if status.is_server_error() => failed_for_now(ActionFailure::Status, error),
        _ => failed(ActionFailure::Status, error),
    }
}

/// Why there was no answer.
fn not_delivered(failure: DeliveryFailure) -> Performed {
    match failure {
        DeliveryFailure::AddressRefused => failed(
            ActionFailure::AddressRefused,
            "the address is not public, and `allow` does not open it",
        ),
        DeliveryFailure::Connect => {
            failed_for_now(ActionFailure::Connect, "the receiver could not be reached")
        }
        DeliveryFailure::Tls => failed_for_now(
            ActionFailure::Tls,
            "no TLS connection could be made, or the certificate is not trusted",
        ),
        DeliveryFailure::Timeout => {
            failed_for_now(ActionFailure::Timeout, "the receiver took too long")
        }
        DeliveryFailure::Status(status) => {
            performed(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY))
        }
        DeliveryFailure::Broken | DeliveryFailure::NotAcknowledged | DeliveryFailure::Write => {
            failed_for_now(ActionFailure::Broken, "the receiver gave no whole answer")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, expect: Option<(ActionFailure, bool)>) {
        match (performed(StatusCode::from_u16(status).unwrap()), expect) {
            (Performed::Completed { result }, None) => {
                assert_eq!(result, json!({ "status": status }));
            }
            (Performed::Failed { reason, retryable, error }, Some(expect)) => {
                assert_eq!((reason, retryable), expect, "{status}");
                assert_eq!(error, format!("the receiver answered {status}"));
            }
            (seen, _) => panic!("{status}: {seen:?}"),
        }
    }

    #[test]
    fn statuses() {
        for status in [200, 201, 202, 204] {
            check(status, None);
        }
        for status in [301, 302, 304, 307, 400, 404, 409, 410, 422] {
            check(status, Some((ActionFailure::Status, false)));
        }
        for status in [401, 403] {
            check(status, Some((ActionFailure::Unauthorized, false)));
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            check(status, Some((ActionFailure::Status, true)));
        }
    }
}
