//! The data listeners: bound before anything is said to run, closed first when it stops.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use super::StartError;
use super::connection::serve_connection;
use crate::config::{self, CertificateDemand, Limits};
use crate::outbound::roots_in;
use crate::proxy::Gate;
use crate::telemetry::{ListenerStarted, Purpose, Telemetry};

/// Streams that one HTTP/2 connection may have open.
const STREAMS: u32 = 100;

/// Streams that a client may open and reset before its connection is closed (rapid reset).
const RESET_STREAMS: usize = 50;

/// Pause after a failed accept, so that a full table of files is not a busy loop.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    pub(super) connections: usize,
    pub(super) header_timeout: Duration,
    header_bytes: usize,
}

impl ConnectionLimits {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            connections: limits.connections,
            header_timeout: limits.header_timeout,
            header_bytes: limits.header_bytes,
        }
    }

    /// What an HTTP/2 connection may do.
    pub(super) fn http2(&self) -> H2Options {
        let mut options = H2Options::default();
        options
            .max_concurrent_streams(STREAMS)
            .max_concurrent_reset_streams(RESET_STREAMS)
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .max_header_list_size(u32::try_from(self.header_bytes).unwrap_or(u32::MAX));
        options
    }
}

/// A bound listener.
pub(super) struct DataListener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Acceptor>>,
}

impl DataListener {
    pub(super) async fn bind(settings: &config::Listener) -> Result<Self, StartError> {
        let tls = settings.tls.as_ref().map(acceptor).transpose()?;
        let refused =
            |cause| StartError::Listen { purpose: "data", address: settings.address, cause };
        let listener = TcpListener::bind(settings.address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, tls })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn acceptor(files: &config::ListenerTls) -> Result<Arc<Acceptor>, StartError> {
    let unreadable = |path: &Path, what: &str| format!("`{}` holds no {what}", path.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_| unreadable(&files.certificate, "certificate chain"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|_| unreadable(&files.key, "private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match &files.client_ca {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(client_ca) => client_verifier(client_ca, &provider)?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)
        })
        .map_err(|error| format!("`{}`: {error}", files.certificate.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(Acceptor::from_server_config(Arc::new(config))))
}

fn client_verifier(
    client_ca: &config::ClientCa,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, StartError> {
    let unusable = || format!("`{}` holds no certificate to trust", client_ca.file.display());
    let roots = roots_in(&client_ca.file).ok_or_else(unusable)?;
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match client_ca.demand {
        CertificateDemand::Required => builder,
        CertificateDemand::Optional => builder.allow_unauthenticated(),
    };
    Ok(builder.build().map_err(|_| unusable())?)
}

/// The listeners while they run.
pub(super) struct Listening {
    /// Every connection holds a sender; when all are dropped, all connections have ended.
    all_ended: mpsc::Receiver<()>,
}

impl Listening {
    /// Begins to accept, until `stopping` says otherwise.
    pub(super) fn start(
        listeners: Vec<DataListener>,
        app: &Arc<HttpProxy<Gate>>,
        limits: &ConnectionLimits,
        stopping: &ShutdownWatch,
        telemetry: &Telemetry,
    ) -> Self {
        let (alive, all_ended) = mpsc::channel(1);
        let free = Arc::new(Semaphore::new(limits.connections));
        for listener in listeners {
            let (address, is_tls) = (listener.address, listener.tls.is_some());
            ListenerStarted { purpose: Purpose::Data, address, is_tls }.emit(telemetry);
            let accepting = accept(
                listener,
                Arc::clone(app),
                limits.header_timeout,
                Arc::clone(&free),
                stopping.clone(),
                alive.clone(),
            );
            tokio::spawn(accepting);
        }
        Self { all_ended }
    }

    /// Resolves when every connection has ended.
    pub(super) async fn finish(mut self) {
        // Nothing is ever sent: this ends when the last sender is dropped.
        let _ = self.all_ended.recv().await;
    }
}

async fn accept(
    listener: DataListener,
    app: Arc<HttpProxy<Gate>>,
    header_timeout: Duration,
    free: Arc<Semaphore>,
    mut stopping: ShutdownWatch,
    alive: mpsc::Sender<()>,
) {
    loop {
        // A connection that finds no place waits in the kernel's queue.
        let accepted = async {
            let place = Arc::clone(&free).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, peer) = listener.listener.accept().await?;
            Ok::<_, io::Error>((place, stream, peer))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let Ok((place, stream, peer)) = accepted else {
            tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            continue;
        };
        let serving = serve_connection(
            stream,
            peer,
            listener.tls.clone(),
            Arc::clone(&app),
            header_timeout,
            stopping.clone(),
        );
        let alive = alive.clone();
        tokio::spawn(async move {
            serving.await;
            drop((place, alive));
        });
    }
}
