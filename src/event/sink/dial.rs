//! One HTTP/1.1 connection to a receiver: resolved once, checked, connected, TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::BuildCause;
use crate::config::HttpUrl;
use crate::event::DeliveryFailure;
use crate::event::address::{AddressGuard, NoAddress};

/// The most of a response head.
const MOST_HEAD_BYTES: usize = 64 << 10;

/// Most headers of a response.
const MOST_HEADERS: usize = 128;

/// How to reach one receiver.
pub struct Dialer {
    host: String,
    port: u16,
    /// `Host` of every request.
    host_header: HeaderValue,
    guard: AddressGuard,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
}

/// A connection on which one request at a time can be made. It ends when this is dropped.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
    _driver: JoinSet<()>,
}

impl Dialer {
    /// `tls` is asked for only where the URL wants TLS. Connects to nobody yet.
    ///
    /// # Errors
    /// Host or roots cannot be used.
    pub fn new(
        url: &HttpUrl,
        guard: AddressGuard,
        tls: impl FnOnce() -> Result<TlsConnector, BuildCause>,
        connect_timeout: Duration,
    ) -> Result<Self, BuildCause> {
        let tls = if url.is_https {
            let name = ServerName::try_from(url.host.clone());
            let name = name.map_err(|_| BuildCause::ServerName)?;
            Some((tls()?, name))
        } else {
            None
        };
        let usual_port = if url.is_https { 443 } else { 80 };
        let host =
            if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        let host = if url.port == usual_port { host } else { format!("{host}:{}", url.port) };
        let host_header = HeaderValue::try_from(host).map_err(|_| BuildCause::ServerName)?;
        let (host, port) = (url.host.clone(), url.port);
        Ok(Self { host, port, host_header, guard, tls, connect_timeout })
    }

    /// `Host` of every request.
    #[must_use]
    pub fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// The addresses of the receiver, if all may be connected to.
    ///
    /// # Errors
    /// There is none, or one is refused.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, NoAddress> {
        self.guard.resolve(&self.host, self.port).await
    }

    /// A new connection.
    ///
    /// # Errors
    /// There is none: refused, not reached, not trusted, too slow.
    pub async fn dial(&self) -> Result<Connection, DeliveryFailure> {
        let connecting = async {
            let addresses = self.resolve().await.map_err(|why| match why {
                NoAddress::Refused => DeliveryFailure::AddressRefused,
                NoAddress::Unknown => DeliveryFailure::Connect,
            })?;
            let stream = self.connect(&addresses).await.ok_or(DeliveryFailure::Connect)?;
            match &self.tls {
                None => start(stream).await,
                Some((connector, name)) => {
                    let stream = connector.connect(name.clone(), stream).await;
                    start(stream.map_err(|_| DeliveryFailure::Tls)?).await
                }
            }
        };
        timeout(self.connect_timeout, connecting).await.unwrap_or(Err(DeliveryFailure::Timeout))
    }

    /// The first of the checked addresses that answers. No name is looked up here.
    async fn connect(&self, addresses: &[SocketAddr]) -> Option<TcpStream> {
        // One address that does not answer must leave time for the next.
        let share = self.connect_timeout / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
        for address in addresses {
            if let Ok(Ok(stream)) = timeout(share, TcpStream::connect(address)).await {
                // A request is written in one go; there is nothing to wait for.
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
        }
        None
    }
}

async fn start(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection, DeliveryFailure> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD_BYTES)
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| DeliveryFailure::Broken)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // What goes wrong is seen by whoever waits for the answer.
        let _ = connection.await;
    });
    Ok(Connection { sender, since: Instant::now(), _driver: driver })
}

impl Connection {
    /// The head of the answer to `request`.
    ///
    /// # Errors
    /// There is no answer, or none that makes sense.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, DeliveryFailure> {
        self.sender.ready().await.map_err(|_| DeliveryFailure::Broken)?;
        self.sender.send_request(request).await.map_err(|_| DeliveryFailure::Broken)
    }

    /// How long it has been open.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether the receiver has ended it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// The whole of a body that is not larger than `most`.
pub async fn read_up_to(mut body: Incoming, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > most {
            return None;
        }
    }
    Some(bytes)
}

/// Speaks TLS, trusting the roots in a file or the system's.
///
/// # Errors
/// There are no roots.
pub fn tls(ca: Option<&Path>) -> Result<TlsConnector, BuildCause> {
    client_config(ca).map(|config| TlsConnector::from(Arc::new(config)))
}

fn client_config(ca: Option<&Path>) -> Result<ClientConfig, BuildCause> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let found = CertificateDer::pem_file_iter(path).map_err(|_| BuildCause::Roots)?;
            for certificate in found {
                let certificate = certificate.map_err(|_| BuildCause::Roots)?;
                roots.add(certificate).map_err(|_| BuildCause::Roots)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(if ca.is_some() { BuildCause::Roots } else { BuildCause::NoRoots });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        builder.map_err(|_| BuildCause::Roots)?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
