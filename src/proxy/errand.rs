//! Requests that come from inside: a workflow's call of the CRM walks the same street as a client's.
//!
//! It comes over a pipe in memory, which nobody outside can open. The pipe says in whose place it
//! comes; no header does.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pingora_core::apps::HttpServerApp as _;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use pingora_proxy::HttpProxy;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;

use super::gate::Gate;
use crate::deed::{Acting, Errand, Lost, Returned, Stopped, StoppedBy, Street};
use crate::telemetry::Refusal;

/// Bytes that wait in the pipe.
const PIPE: usize = 64 << 10;

/// The most of an answer that is read.
const MOST_ANSWER: usize = 32 << 20;

/// Longer than the street itself lets an exchange take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a pipe says of the request in it, and what becomes of it.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) acting: Acting,
    refused: OnceLock<Refusal>,
}

impl Inside {
    /// What the connection of a request says; `None` for a client's.
    pub(super) fn of(digest: Option<&Digest>) -> Option<&Self> {
        let data = digest?.proxy_digest.as_ref()?.user_data.as_ref()?;
        data.downcast_ref::<Arc<Self>>().map(|inside| &**inside)
    }

    /// Notes why the street answers itself.
    pub(super) fn refuse(&self, reason: Refusal) {
        let _ = self.refused.set(reason);
    }
}

/// The way to the CRM for actions.
pub struct Errands {
    app: Arc<HttpProxy<Gate>>,
    host: HeaderValue,
}

impl std::fmt::Debug for Errands {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Errands").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Errands {
    /// Requests that walk through `app`, to the CRM that goes by `host`.
    #[must_use]
    pub fn new(app: Arc<HttpProxy<Gate>>, host: HeaderValue) -> Self {
        Self { app, host }
    }
}

#[async_trait]
impl Street for Errands {
    async fn send(&self, errand: Errand) -> Result<Returned, Lost> {
        let Errand { acting, method, target, headers, body } = errand;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().map_err(|_| Lost)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, self.host.clone());

        let inside = Arc::new(Inside { acting, refused: OnceLock::new() });
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let pipe = Pipe::new(theirs, Arc::clone(&inside)).ok_or(Lost)?;
        let app = Arc::clone(&self.app);
        // On its own: a write is seen through, whoever still waits for it.
        tokio::spawn(async move {
            let (_never, stopping) = watch::channel(false);
            let mut session = ServerSession::new_http1(Box::new(pipe));
            session.set_keepalive(None);
            app.process_new_http(session, &stopping).await;
        });
        let (status, body) =
            timeout(PATIENCE, exchange(ours, request)).await.unwrap_or(Err(Lost))?;
        let stopped = inside.refused.get().map(|reason| stopped(*reason));
        Ok(Returned { status, body, stopped })
    }
}

async fn exchange(
    pipe: DuplexStream,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Lost> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(pipe)).await.map_err(|_| Lost)?;
    let asking = async move {
        let answer = sender.send_request(request).await.map_err(|_| Lost)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST_ANSWER).collect().await.map_err(|_| Lost)?;
        Ok((head.status, body.to_bytes()))
    };
    tokio::pin!(asking, connection);
    tokio::select! {
        answer = &mut asking => answer,
        // What was read before the pipe ended may still be a whole answer.
        _ = &mut connection => asking.await,
    }
}

/// What a refusal means to an action.
fn stopped(reason: Refusal) -> Stopped {
    let by = match reason {
        Refusal::TenantMismatch
        | Refusal::NoRoute
        | Refusal::NoKnownRole
        | Refusal::FieldNotEditable
        | Refusal::MaskedValueWriteback
        | Refusal::OracleParam
        | Refusal::CredentialsMissing
        | Refusal::CredentialsInvalid
        | Refusal::ScoreWithheld => StoppedBy::Role,
        Refusal::BadPath
        | Refusal::MalformedRequest
        | Refusal::MethodOverride
        | Refusal::Upgrade
        | Refusal::HeadTooLarge
        | Refusal::BodyTooLarge
        | Refusal::HeadTimeout
        | Refusal::BodyTimeout
        | Refusal::BadQuery
        | Refusal::PreconditionUnknown
        | Refusal::RequestEncoded
        | Refusal::RequestNotJson
        | Refusal::RequestJsonInvalid
        | Refusal::RequestFormInvalid
        | Refusal::ScoreRequestInvalid
        | Refusal::NoSuchLead
        | Refusal::ScoringRefused => StoppedBy::Request,
        Refusal::UpstreamConnect => StoppedBy::Connect,
        Refusal::UpstreamConnectTimeout
        | Refusal::UpstreamFirstByteTimeout
        | Refusal::UpstreamIdleTimeout
        | Refusal::UpstreamTotalTimeout => StoppedBy::Timeout,
        Refusal::UpstreamClosed
        | Refusal::UpstreamMalformed
        | Refusal::UpstreamEncoded
        | Refusal::UpstreamPartialContent
        | Refusal::UpstreamSwitchedProtocols
        | Refusal::UpstreamNotJson
        | Refusal::UpstreamNoRecord
        | Refusal::UpstreamTooLarge
        | Refusal::JsonInvalid
        | Refusal::JsonTooDeep
        | Refusal::JsonTruncated
        | Refusal::ValueTooLong
        | Refusal::RecordTooLong
        | Refusal::MaskFailed => StoppedBy::Answer,
        Refusal::IdentityUnavailable
        | Refusal::StoreUnavailable
        | Refusal::Overloaded
        | Refusal::HeldBytesExhausted
        | Refusal::PolicyNotReady
        | Refusal::KeysNotReady
        | Refusal::AuditUnavailable
        | Refusal::Draining
        | Refusal::ClientGone
        | Refusal::Internal => StoppedBy::Busy,
    };
    Stopped { by, reason: reason.name() }
}

/// One end of a pipe, as pingora wants a connection to be.
#[derive(Debug)]
struct Pipe {
    io: DuplexStream,
    digest: Arc<ProxyDigest>,
}

impl Pipe {
    fn new(io: DuplexStream, inside: Arc<Inside>) -> Option<Self> {
        let head = ResponseHeader::build(StatusCode::OK, None).ok()?;
        let digest = Arc::new(ProxyDigest::new(Box::new(head), Some(Box::new(inside))));
        Some(Self { io, digest })
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, buffer)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Pipe {
    async fn shutdown(&mut self) {}
}

impl UniqueID for Pipe {
    fn id(&self) -> UniqueIDType {
        0
    }
}

impl Ssl for Pipe {}

impl Peek for Pipe {}

impl GetTimingDigest for Pipe {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Pipe {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for Pipe {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}
