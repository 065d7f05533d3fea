//! Events into a stream of NATS `JetStream`.
//!
//! A message counts as accepted when the stream has acknowledged it; that it knew the message
//! already is as good. The stream is looked at before the first event: one that could lose what
//! it acknowledged gets none. The client reconnects by itself; while it does, attempts fail at
//! once.

mod stream;
mod subject;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{Context, ContextBuilder, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::{ConnectOptions, HeaderMap, ServerAddr};
use async_trait::async_trait;
use secrecy::ExposeSecret;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::dial::{self, Dialer};
use super::{BuildCause, Doubt};
use crate::config::{ContentMode, NatsLogin, NatsStream, NatsTls};
use crate::event::address::AddressGuard;
use crate::event::{Delivered, DeliveryFailure, Message, Sink, envelope};

/// How long an attempt waits for a connection: long enough for a server that restarts beside us
/// to be found, short enough not to hold anybody up.
const CONNECT: Duration = Duration::from_secs(2);

/// The longest pause between two tries to reconnect.
const RECONNECT: Duration = Duration::from_secs(1);

/// Messages that wait for their acknowledgement at once.
const PARALLEL: usize = 64;

/// Publishes to one stream.
pub struct NatsSink {
    name: String,
    role: String,
    servers: Vec<ServerAddr>,
    settings: NatsStream,
    monitor: Option<(Dialer, String)>,
    /// Held while the first connection is made, so that one attempt makes it for all.
    connection: Mutex<Option<Arc<Connection>>>,
    /// What is doubtful about the stream; `None` until it has been looked at.
    doubts: Mutex<Option<Vec<Doubt>>>,
}

struct Connection {
    context: Context,
    is_up: watch::Receiver<bool>,
}

impl fmt::Debug for NatsSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("NatsSink");
        shown.field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl NatsSink {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// An address cannot be used.
    pub fn new(name: String, role: String, settings: NatsStream) -> Result<Self, BuildCause> {
        let servers: Result<Vec<ServerAddr>, _> =
            settings.servers.iter().map(|server| server.parse()).collect();
        let servers = servers.map_err(|_| BuildCause::Server)?;
        let monitor = settings.monitor.as_ref().map(|url| {
            // Whoever writes the configuration names the monitor, and what it says stays here.
            let everywhere = AddressGuard::new(
                vec![ipnet::Ipv4Net::default().into(), ipnet::Ipv6Net::default().into()],
                Vec::new(),
            );
            let target = format!("{}/varz", url.target.trim_end_matches('/'));
            Ok((
                Dialer::new(url, everywhere, || dial::tls(settings.tls.ca.as_deref()), CONNECT)?,
                target,
            ))
        });
        let monitor = monitor.transpose()?;
        let (connection, doubts) = (Mutex::new(None), Mutex::new(None));
        Ok(Self { name, role, servers, settings, monitor, connection, doubts })
    }

    /// A connection that is up.
    async fn connection(&self) -> Result<Arc<Connection>, DeliveryFailure> {
        let connecting = async {
            let mut kept = self.connection.lock().await;
            let connection = match kept.as_ref() {
                Some(connection) => Arc::clone(connection),
                None => Arc::clone(kept.insert(Arc::new(self.connect().await?))),
            };
            drop(kept);
            let mut is_up = connection.is_up.clone();
            let waited = is_up.wait_for(|is_up| *is_up).await.is_ok();
            if waited { Ok(connection) } else { Err(DeliveryFailure::Connect) }
        };
        timeout(CONNECT, connecting).await.unwrap_or(Err(DeliveryFailure::Connect))
    }

    async fn connect(&self) -> Result<Connection, DeliveryFailure> {
        let (tell, is_up) = watch::channel(false);
        let tell = Arc::new(tell);
        let NatsStream { login, tls, .. } = &self.settings;
        let options = options(&format!("fieldgate {}", self.name), login, tls)?;
        let options = options.event_callback(move |event| {
            let tell = Arc::clone(&tell);
            async move {
                match event {
                    async_nats::Event::Connected => tell.send_replace(true),
                    async_nats::Event::Disconnected | async_nats::Event::Closed => {
                        tell.send_replace(false)
                    }
                    async_nats::Event::LameDuckMode
                    | async_nats::Event::Draining
                    | async_nats::Event::SlowConsumer(_)
                    | async_nats::Event::ServerError(_)
                    | async_nats::Event::ClientError(_) => false,
                };
            }
        });
        let client = options.connect(self.servers.as_slice()).await;
        let client = client.map_err(|error| match error.kind() {
            async_nats::ConnectErrorKind::Tls => DeliveryFailure::Tls,
            _ => DeliveryFailure::Connect,
        })?;
        let context = ContextBuilder::new()
            .timeout(self.settings.timeout)
            .ack_timeout(self.settings.timeout)
            .build(client);
        Ok(Connection { context, is_up })
    }

    /// What is doubtful about the stream, looked at once.
    async fn look(&self, connection: &Connection) -> Result<Vec<Doubt>, DeliveryFailure> {
        let mut kept = self.doubts.lock().await;
        if let Some(doubts) = kept.as_ref() {
            return Ok(doubts.clone());
        }
        let looking = stream::look(&connection.context, &self.settings, self.monitor.as_ref());
        let doubts = timeout(self.settings.timeout, looking)
            .await
            .unwrap_or(Err(DeliveryFailure::Timeout))?;
        // What is refused may have been mended by the next attempt.
        if !doubts.iter().any(|doubt| doubt.is_refusal()) {
            *kept = Some(doubts.clone());
        }
        Ok(doubts)
    }

    async fn publish(&self, message: &Message) -> Result<(), DeliveryFailure> {
        let connection = self.connection().await?;
        let doubts = self.look(&connection).await?;
        if doubts.iter().any(|doubt| doubt.is_refusal()) {
            return Err(DeliveryFailure::Write);
        }
        let mut is_up = connection.is_up.clone();
        let acknowledged = async {
            let waiting =
                connection.context.send_publish(self.subject(message), self.parts(message));
            waiting.await?.await
        };
        let result = tokio::select! {
            result = acknowledged => result,
            // The answer went down with the connection.
            _ = is_up.wait_for(|is_up| !*is_up) => return Err(DeliveryFailure::Broken),
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) => {
                if matches!(error.kind(), PublishErrorKind::StreamNotFound) {
                    // Whoever removed the stream may have made another.
                    *self.doubts.lock().await = None;
                }
                Err(reason(error.kind()))
            }
        }
    }

    fn subject(&self, message: &Message) -> String {
        let tenant = message.tenant.as_deref();
        subject::of(&self.settings.subject_prefix, tenant, &message.event_type)
    }

    fn parts(&self, message: &Message) -> PublishMessage {
        let mut headers = HeaderMap::new();
        let payload = match self.settings.mode {
            ContentMode::Structured => {
                headers.insert("content-type", envelope::STRUCTURED_TYPE);
                envelope::structured(message)
            }
            ContentMode::Binary => {
                headers.insert("content-type", envelope::DATA_TYPE);
                for (name, value) in envelope::headers(message) {
                    headers.insert(name.as_str(), value.as_str());
                }
                message.data.get().as_bytes().to_vec()
            }
        };
        // `headers` replaces what was set before, so the id comes behind it.
        PublishMessage::build()
            .payload(payload.into())
            .headers(headers)
            .message_id(message.id.to_string())
            .expected_stream(&self.settings.stream)
    }
}

#[async_trait]
impl Sink for NatsSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn role(&self) -> &str {
        &self.role
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }

    async fn inspect(&self) -> Vec<Doubt> {
        let Ok(connection) = self.connection().await else { return vec![Doubt::NotReached] };
        self.look(&connection).await.unwrap_or_else(|_| vec![Doubt::NotReached])
    }

    async fn deliver(&self, message: &Message, _attempt: u32) -> Delivered {
        match self.publish(message).await {
            Ok(()) => Delivered::Accepted,
            Err(reason) => Delivered::Failed { reason, retry_after: None },
        }
    }
}

/// How a client of NATS that is called `name` connects.
pub(crate) fn options(
    name: &str,
    login: &NatsLogin,
    tls: &NatsTls,
) -> Result<ConnectOptions, DeliveryFailure> {
    let mut options = ConnectOptions::new()
        .name(name)
        .connection_timeout(CONNECT)
        // Events go to the servers that are named and to no other.
        .ignore_discovered_servers()
        .reconnect_delay_callback(|attempts| {
            let doubled = 1 << attempts.saturating_sub(1).min(16);
            Duration::from_millis(50 * doubled).min(RECONNECT)
        })
        .require_tls(tls.is_required);
    if let Some(ca) = &tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &tls.client {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    match login {
        NatsLogin::Anonymous => Ok(options),
        NatsLogin::Credentials(credentials) => {
            options.credentials(credentials.expose_secret()).map_err(|_| DeliveryFailure::Connect)
        }
        NatsLogin::User(user, password) => {
            Ok(options.user_and_password(user.clone(), password.expose_secret().to_owned()))
        }
        NatsLogin::Token(token) => Ok(options.token(token.expose_secret().to_owned())),
    }
}

fn reason(kind: PublishErrorKind) -> DeliveryFailure {
    match kind {
        PublishErrorKind::BrokenPipe => DeliveryFailure::Broken,
        // No repetition makes it smaller, but an operator can allow larger ones.
        PublishErrorKind::MaxPayloadExceeded => DeliveryFailure::Write,
        PublishErrorKind::TimedOut
        | PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => DeliveryFailure::NotAcknowledged,
    }
}
