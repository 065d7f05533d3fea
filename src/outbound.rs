//! One request to another server, and its whole answer: what Fieldgate itself asks.
//!
//! Not for what clients ask: that is the street's. A connection lives for one request. Verifies
//! certificates, follows no redirect, decodes nothing, waits no longer than it was told, and reads
//! no more than [`MAX_BODY`] bytes. No text of a library and no byte of an answer is in a
//! [`Failed`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::UpstreamTls;

/// The largest body of an answer.
pub const MAX_BODY: usize = 256 * 1024;

/// The largest head of an answer.
const MAX_HEAD: usize = 64 * 1024;

/// One server, ready to be asked.
pub struct Client {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    patience: Duration,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, not decoded.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// Nobody listens there, or the name is not known.
    #[error("it could not be reached")]
    Connect,
    /// The handshake failed; most often its certificate is not trusted.
    #[error("no TLS connection could be made, or its certificate is not trusted")]
    Tls,
    /// It took too long.
    #[error("it took too long to answer")]
    Timeout,
    /// What came is no HTTP answer, or ended early.
    #[error("its answer is not one whole HTTP message")]
    Malformed,
    /// More than [`MAX_BODY`].
    #[error("its answer is too large")]
    TooLarge,
    /// It has a content coding, although none was accepted.
    #[error("its answer has a content coding")]
    Encoded,
}

/// Why a server cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// The file with roots cannot be used.
    #[error("`{}` holds no certificate to trust", .0.display())]
    Roots(PathBuf),
    /// The system has none.
    #[error("the system has no root certificates: install them, or name a file with `ca`")]
    NoRoots,
    /// The name cannot stand in a certificate.
    #[error("`{0}` is no name that a certificate could have")]
    Name(String),
    /// The TLS library refuses.
    #[error("TLS cannot be set up")]
    Tls,
}

impl Client {
    /// Prepares a client; connects to nobody yet.
    ///
    /// # Errors
    /// Nothing could be verified with these settings.
    pub fn new(
        host: &str,
        port: u16,
        tls: Option<&UpstreamTls>,
        patience: Duration,
    ) -> Result<Self, ClientFault> {
        let tls = tls.map(connector).transpose()?;
        Ok(Self { host: host.to_owned(), port, tls, patience })
    }

    /// The `Host` that the server goes by.
    #[must_use]
    pub fn authority(&self) -> String {
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// Sends a request, whose URI is a path and query, and reads the whole answer. `Host` is the
    /// server's own where the request names none.
    ///
    /// # Errors
    /// There is no whole answer.
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<Answer, Failed> {
        let headers = request.headers_mut();
        if !headers.contains_key(header::HOST) {
            let host = HeaderValue::from_str(&self.authority()).map_err(|_| Failed::Connect)?;
            headers.insert(header::HOST, host);
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let request = request.map(Full::new);
        // In a box, for whoever waits here may be waited for by many.
        timeout(self.patience, Box::pin(self.exchange(request)))
            .await
            .unwrap_or(Err(Failed::Timeout))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
        let address = (self.host.as_str(), self.port);
        let stream = TcpStream::connect(address).await.map_err(|_| Failed::Connect)?;
        match &self.tls {
            None => over(stream, request).await,
            Some((connector, name)) => {
                let connected = connector.connect(name.clone(), stream).await;
                over(connected.map_err(|_: io::Error| Failed::Tls)?, request).await
            }
        }
    }
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|_| Failed::Malformed)?;
    // Takes the sender along: the connection ends once nobody can send on it.
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(|_| Failed::Malformed)?;
        let (head, body) = answer.into_parts();
        let codings = head.headers.get_all(header::CONTENT_ENCODING).iter();
        if codings.map(HeaderValue::as_bytes).any(|coding| coding != b"identity") {
            return Err(Failed::Encoded);
        }
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { Failed::TooLarge } else { Failed::Malformed }
        })?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        answer = &mut exchange => answer,
        // What was read before the connection ended may still be a whole answer.
        _ = &mut connection => exchange.await,
    }
}

fn connector(settings: &UpstreamTls) -> Result<(TlsConnector, ServerName<'static>), ClientFault> {
    let roots = match &settings.ca {
        Some(path) => roots_in(path).ok_or_else(|| ClientFault::Roots(path.clone()))?,
        None => system_roots().ok_or(ClientFault::NoRoots)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ClientFault::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(settings.server_name.clone())
        .map_err(|_| ClientFault::Name(settings.server_name.clone()))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

fn system_roots() -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    (!roots.is_empty()).then_some(roots)
}

/// The certificates to trust in a PEM file; `None` where it has none, or one that cannot be read.
#[must_use]
pub fn roots_in(path: &Path) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).ok()? {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}

#[cfg(test)]
pub(crate) mod tests;
