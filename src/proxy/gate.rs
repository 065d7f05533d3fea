//! The gate as pingora sees it: its phases, each a translation to the rooms behind.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, header};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use super::account;
use super::admit::{self, Admitted, Connection};
use super::budget::Budget;
use super::call::{self, Failure};
use super::context::{Begun, RequestContext};
use super::errand::Inside;
use super::governance::Governance;
use super::head_clock;
use super::masking::filter_limits;
use super::passthrough::OpenCall;
use super::recording::Recorder;
use super::refused::Refused;
use super::request_head::Forwarding;
use super::score_desk::Configure;
use super::score_keeping::ScoreKeeper;
use super::score_street;
use super::unwind::{Panicked, caught};
use super::upstream::Crm;
use crate::audit::Ledger;
use crate::config::Limits;
use crate::identity::{Identifier, ShownCertificate};
use crate::policy::PolicyStore;
use crate::telemetry::{HttpVersion, Moment, Refusal, Stage, Telemetry};

/// What a gate is made of.
pub struct GateParts {
    /// The policies in force.
    pub policies: Arc<PolicyStore<Governance>>,
    /// Recognises callers.
    pub identifier: Arc<Identifier>,
    /// The way to the CRM.
    pub crm: Arc<Crm>,
    /// Bounds on requests.
    pub limits: Limits,
    /// The header that carries the correlation id.
    pub correlation_header: HeaderName,
    /// Records watched writes; `None` where no events are wanted.
    pub recorder: Option<Recorder>,
    /// Keeps scores.
    pub scores: ScoreKeeper,
    /// Puts scoring rules in force that clients send.
    pub configure: Option<Configure>,
    /// Where exchanges are accounted for.
    pub telemetry: Telemetry,
    /// Where it is kept who was shown what.
    pub ledger: Option<Ledger>,
}

/// The proxy application: one for the whole process, shared by all requests.
pub struct Gate {
    parts: GateParts,
    requests: Budget,
    held_bytes: Budget,
}

impl Gate {
    /// Assembles a gate.
    #[must_use]
    pub fn new(parts: GateParts) -> Self {
        let requests = Budget::new(parts.limits.requests);
        let held_bytes = Budget::new(parts.limits.held_total);
        Self { parts, requests, held_bytes }
    }

    /// The file with the roots that the CRM's certificate is checked against.
    #[must_use]
    pub fn upstream_ca_file(&self) -> Option<String> {
        self.parts.crm.ca_file()
    }

    /// What the CRM goes by in `Host`, for requests that name no host of their own.
    #[must_use]
    pub fn upstream_host(&self) -> http::HeaderValue {
        let authority = self.parts.crm.authority();
        authority.unwrap_or(http::HeaderValue::from_static("localhost"))
    }

    pub(super) fn policies(&self) -> &PolicyStore<Governance> {
        &self.parts.policies
    }

    pub(super) fn identifier(&self) -> &Identifier {
        &self.parts.identifier
    }

    pub(super) fn crm(&self) -> &Crm {
        &self.parts.crm
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    pub(super) fn correlation_header(&self) -> &HeaderName {
        &self.parts.correlation_header
    }

    pub(super) fn scores(&self) -> &ScoreKeeper {
        &self.parts.scores
    }

    pub(super) fn configure(&self) -> Option<Configure> {
        self.parts.configure.clone()
    }

    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.parts.ledger.as_ref()
    }

    pub(super) fn recorder(&self) -> Option<&Recorder> {
        self.parts.recorder.as_ref()
    }

    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.parts.telemetry
    }

    pub(super) fn requests(&self) -> &Budget {
        &self.requests
    }

    pub(super) fn held_bytes(&self) -> &Budget {
        &self.held_bytes
    }

    /// Opens the record of a request.
    fn begin(&self, session: &Session) -> Begun {
        let head = session.req_header();
        let mut exchange = self.parts.telemetry.begin(&head.method, Moment::now());
        exchange.remote_addr = peer_address(session);
        if let Some(agent) = head.headers.get(header::USER_AGENT) {
            exchange.set_user_agent(agent.as_bytes());
        }
        let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = head.headers.get(header::HOST).map(http::HeaderValue::as_bytes);
        if let Some(host) = host.or(authority) {
            exchange.set_host(host);
        }
        exchange.version = HttpVersion::of(head.version);
        let digest = session.digest();
        exchange.is_tls = digest.is_some_and(|digest| digest.ssl_digest.is_some());
        let propagation = self.parts.telemetry.propagation();
        Begun::new(exchange, &head.headers, self.correlation_header(), propagation)
    }

    /// Answers with a problem, if the client is still there to read it.
    async fn refuse(
        &self,
        session: &mut Session,
        begun: &mut Begun,
        refused: &Refused,
    ) -> Result<()> {
        begun.exchange.refusal = Some(refused.reason);
        if let Some(inside) = Inside::of(session.digest()) {
            inside.refuse(refused.reason);
        }
        if refused.reason == Refusal::ClientGone {
            return Err(aborted(refused.reason));
        }
        if refused.closes_connection() {
            session.set_keepalive(None);
        }
        let correlation = (self.correlation_header(), begun.correlation.as_str());
        let (head, body) = refused.answer(correlation, self.identifier().vary())?;
        begun.exchange.status = Some(refused.status().as_u16());
        begun.exchange.response_bytes = body.len() as u64;
        let downstream = &mut session.downstream_session;
        downstream.write_response_header(Box::new(head)).await?;
        downstream.write_response_body(body.into(), true).await
    }

    async fn street(&self, session: &mut Session, begun: &mut Begun) -> Result<Passage, Failure> {
        let raw = (!session.is_http2()).then(|| session.to_h1_raw());
        let certificate = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
        let certificate = certificate.and_then(|tls| tls.extension.get::<ShownCertificate>());
        let acting = Inside::of(session.digest()).map(|inside| &inside.acting);
        let connection = Connection { peer: peer_address(session), certificate, acting };
        let head = session.req_header();
        begun.exchange.enter(Stage::Policy, Instant::now());
        let admitted = admit::admit(self, head, raw.as_deref(), connection, begun).await;
        begun.exchange.leave(Stage::Policy, Instant::now());
        match admitted? {
            Admitted::Governed(admitted) => {
                Box::pin(call::run(self, &mut session.downstream_session, begun, &admitted))
                    .await?;
                Ok(Passage::Answered)
            }
            Admitted::Scores(asked, wanted) => {
                let session = &mut session.downstream_session;
                Box::pin(score_street::run(self, session, begun, &asked, &wanted)).await?;
                Ok(Passage::Answered)
            }
            Admitted::Open(open) => Ok(Passage::Open(open)),
        }
    }
}

/// What became of a request on the street.
enum Passage {
    Answered,
    Open(Box<OpenCall>),
}

/// What pingora is told of an answer that was broken off. Holds no byte of it.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's `Result` holds boxed errors")]
fn aborted(reason: Refusal) -> Box<Error> {
    let mut error = Error::explain(ErrorType::Custom("Aborted"), reason.name());
    error.as_down();
    error
}

fn peer_address(session: &Session) -> Option<std::net::IpAddr> {
    session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip)
}

#[async_trait]
impl ProxyHttp for Gate {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::default()
    }

    /// No modules: nothing may touch a body but the filter.
    fn init_downstream_modules(&self, _modules: &mut pingora_core::modules::http::HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<()> {
        head_clock::head_is_complete();
        context.begun = Some(self.begin(session));
        Ok(())
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<bool> {
        let Some(begun) = context.begun.as_mut() else {
            return Err(aborted(Refusal::Internal));
        };
        let passage = caught(self.street(session, begun)).await;
        let passage = passage.unwrap_or_else(|Panicked| {
            // What was sent so far is filtered; what was to follow is not known to be.
            Err(if session.response_written().is_some() {
                Failure::Aborted(Refusal::Internal)
            } else {
                Failure::Refused(Refusal::Internal.into())
            })
        });
        match passage {
            Ok(Passage::Answered) => Ok(true),
            Ok(Passage::Open(open)) => {
                let query = session.req_header().uri.query();
                let target = open.path().with_query(query);
                session.req_header_mut().set_raw_path(target.as_bytes())?;
                context.open = Some(open);
                Ok(false)
            }
            Err(Failure::Refused(refused)) => {
                self.refuse(session, begun, &refused).await?;
                Ok(true)
            }
            Err(Failure::Aborted(reason)) => {
                begun.exchange.refusal = Some(reason);
                Err(aborted(reason))
            }
        }
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<Box<HttpPeer>> {
        let now = Instant::now();
        if let Some(begun) = &mut context.begun {
            begun.exchange.enter(Stage::Upstream, now);
        }
        context.asked = Some(now);
        match self.crm().peer().await {
            Ok(peer) => Ok(Box::new(peer)),
            Err(reason) => {
                context.refuse(reason);
                Err(aborted(reason))
            }
        }
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        let Some(begun) = context.begun.as_mut() else {
            return Err(aborted(Refusal::Internal));
        };
        let trace = begun.ask_upstream(self.crm().peer_name());
        let causation = Inside::of(session.digest()).map(|inside| inside.acting.causation);
        let forwarding = Forwarding {
            identifier: self.identifier(),
            correlation_header: self.correlation_header(),
            correlation: &begun.correlation,
            trace: &trace,
            causation,
            host: self.crm().host_header(),
        };
        forwarding.dress(head)?;
        if context.open.as_ref().is_some_and(|open| open.has_global_entries()) {
            // An encoded answer could not be filtered, and only the answer tells if it must be.
            head.insert_header(header::ACCEPT_ENCODING, "identity")?;
            head.remove_header(&header::RANGE);
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        let (Some(begun), Some(open)) = (&mut context.begun, &mut context.open) else {
            return Err(aborted(Refusal::Internal));
        };
        begun.exchange.upstream_status = Some(head.status.as_u16());
        begun.exchange.leave(Stage::Upstream, Instant::now());
        if let Some(asked) = context.asked.take() {
            begun.exchange.waited_for_upstream(asked.elapsed());
        }
        let begins = open.begin_answer(head, filter_limits(self.limits()), session.is_http2());
        if let Err(reason) = begins {
            begun.exchange.refusal = Some(reason);
            return Err(aborted(reason));
        }
        begun.exchange.status = Some(head.status.as_u16());
        head.insert_header(self.correlation_header().clone(), begun.correlation.as_str())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut RequestContext,
    ) -> Result<Option<std::time::Duration>> {
        if let Some(begun) = &mut context.begun {
            begun.exchange.leave(Stage::Upstream, Instant::now());
        }
        let filtered = match &mut context.open {
            Some(open) => open.filter(body, end_of_stream),
            None => Err(Refusal::Internal),
        };
        filtered.map(|()| None).map_err(|reason| {
            // Nothing of the chunk may leave, whatever becomes of the error.
            *body = None;
            context.refuse(reason);
            aborted(reason)
        })
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut RequestContext,
    ) -> FailToProxy
    where
        RequestContext: Send + Sync,
    {
        let nothing = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let Some(begun) = &mut context.begun else { return nothing };
        let reason = *begun.exchange.refusal.get_or_insert_with(|| passthrough_reason(error));
        if session.response_written().is_some() || reason == Refusal::ClientGone {
            return nothing;
        }
        session.set_keepalive(None);
        let refused = Refused::from(reason);
        let error_code = refused.status().as_u16();
        match self.refuse(session, begun, &refused).await {
            Ok(()) => FailToProxy { error_code, can_reuse_downstream: false },
            Err(_) => nothing,
        }
    }

    /// Exchanges are accounted for in [`logging`](Self::logging); pingora's own text may quote
    /// what it read.
    fn suppress_error_log(
        &self,
        _session: &Session,
        _context: &RequestContext,
        _error: &Error,
    ) -> bool {
        true
    }

    async fn logging(
        &self,
        session: &mut Session,
        _error: Option<&Error>,
        context: &mut RequestContext,
    ) {
        head_clock::request_is_over();
        let Some(mut begun) = context.begun.take() else { return };
        if let Some(open) = &mut context.open {
            begun.exchange.masked = open.tally().map_or(0, |tally| tally.replaced);
            begun.exchange.hidden = open.tally().map_or(0, |tally| tally.removed);
            begun.exchange.touched = open.touched();
            begun.exchange.response_bytes = session.body_bytes_sent() as u64;
            begun.exchange.request_bytes = session.body_bytes_read() as u64;
        }
        account::at_the_end(self, &begun).await;
        self.parts.telemetry.account(begun.exchange);
    }
}

/// What a failure on pingora's own path was.
fn passthrough_reason(error: &Error) -> Refusal {
    use pingora_core::ErrorSource;
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, _) => Refusal::ClientGone,
        (_, ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout) => {
            Refusal::UpstreamConnectTimeout
        }
        (_, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
            Refusal::UpstreamFirstByteTimeout
        }
        (
            _,
            ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::TLSHandshakeFailure
            | ErrorType::InvalidCert
            | ErrorType::SocketError,
        ) => Refusal::UpstreamConnect,
        (ErrorSource::Upstream, _) => Refusal::UpstreamMalformed,
        _ => Refusal::Internal,
    }
}
