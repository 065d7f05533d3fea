//! A receiver of webhooks on a real socket, which answers what a script says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::harness::Certificates;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The how-manieth connection it came on, from 0.
    pub(crate) connection: usize,
    /// `POST /path HTTP/1.1`.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What is answered, and what becomes of the connection.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// These bytes; the connection stays.
    Bytes(Vec<u8>),
    /// These bytes; then the connection ends.
    Last(Vec<u8>),
    /// These bytes, then the same byte again and again for as long as the other side reads.
    Endless(Vec<u8>),
    /// These bytes, and nothing more ever.
    Silence(Vec<u8>),
}

impl Answer {
    /// A status with headers and no body.
    pub(crate) fn status(status: u16, headers: &str) -> Self {
        Self::Bytes(
            format!("HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: 0\r\n\r\n").into(),
        )
    }
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Answers every request the same.
    pub(crate) async fn always(answer: Answer) -> Self {
        Self::start(None, move |_| answer.clone()).await
    }

    /// Answers each request with what `script` makes of its number.
    pub(crate) async fn each(script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, script).await
    }

    /// Accepts everything over TLS.
    pub(crate) async fn tls(certificates: &Certificates) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificates.certificate.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(certificates.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(Some(acceptor), |_| Answer::status(200, "")).await
    }

    async fn start(
        tls: Option<TlsAcceptor>,
        script: impl Fn(usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let (log, counter, script) =
            (Arc::clone(&seen), Arc::clone(&connections), Arc::new(script));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = {
                    let mut counter = counter.lock().unwrap();
                    *counter += 1;
                    *counter - 1
                };
                let (tls, log, script) = (tls.clone(), Arc::clone(&log), Arc::clone(&script));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, number, &log, &*script).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            serve(stream, number, &log, &*script).await;
                        }
                    }
                });
            }
        });
        Self { address, seen, connections, task }
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    log: &Mutex<Vec<Seen>>,
    script: &(impl Fn(usize) -> Answer + ?Sized),
) {
    while let Some(mut request) = read_request(&mut stream).await {
        request.connection = connection;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request);
            log.len() - 1
        };
        match script(number) {
            Answer::Bytes(bytes) => stream.write_all(&bytes).await.unwrap(),
            Answer::Last(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
                return;
            }
            Answer::Endless(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                return;
            }
            Answer::Silence(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        let Ok(httparse::Status::Complete(start)) = parsed.parse(&bytes) else { continue };
        let headers: HeaderMap = parsed
            .headers
            .iter()
            .map(|header| {
                let name = HeaderName::try_from(header.name).unwrap();
                (name, HeaderValue::from_bytes(header.value).unwrap())
            })
            .collect();
        let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        let line = format!("{} {}", parsed.method.unwrap(), parsed.path.unwrap());
        while bytes.len() < start + length {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        assert_eq!(bytes.len(), start + length, "more than one request at once");
        return Some(Seen { connection: 0, line, headers, body: bytes[start..].to_vec() });
    }
}

/// A port on which nobody listens.
pub(crate) async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Whether somebody listens at `address`.
pub(crate) async fn is_listening(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}
