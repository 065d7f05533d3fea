//! One client connection: TLS, HTTP/1.1 or HTTP/2, request after request.

use std::any::Any;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, ReusedHttpStream, ServerApp};
use pingora_core::listeners::TlsAccept;
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream as TcpConnection;
use pingora_core::protocols::tls::TlsRef;
use pingora_core::protocols::tls::server::handshake_with_callback;
use pingora_core::protocols::{ALPN, GetSocketDigest, SocketDigest, Ssl, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::identity::ShownCertificate;
use crate::proxy::{Gate, head_clock};

/// How long a connection may be idle between two requests.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// What an HTTP/2 client says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends. Faults end it; there is nobody to tell but the client.
pub(super) async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Acceptor>>,
    app: Arc<HttpProxy<Gate>>,
    header_timeout: Duration,
    stopping: ShutdownWatch,
) {
    // Without it, small answers wait for the client's delayed acknowledgements.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let opened = timeout(header_timeout, open(stream, peer, tls));
    let Ok(Some((connection, is_http2))) = opened.await else { return };
    if is_http2 {
        app.process_new(connection, &stopping).await;
    } else {
        let serving = serve_http1(connection, &app, &stopping);
        head_clock::guarded(serving, header_timeout, KEEP_ALIVE + header_timeout).await;
    }
}

/// The connection after its handshake, and whether its client speaks HTTP/2.
async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Acceptor>>,
) -> Option<(Stream, bool)> {
    let descriptor = stream.as_raw_fd();
    let mut connection = TcpConnection::from(stream);
    let digest = SocketDigest::from_raw_fd(descriptor);
    digest.peer_addr.set(Some(peer.into())).ok()?;
    connection.set_socket_digest(digest);
    if let Some(acceptor) = tls {
        let handshake = handshake_with_callback(&acceptor, connection, &KeepCertificate);
        let connection = handshake.await.ok()?;
        let is_http2 = matches!(connection.selected_alpn_proto(), Some(ALPN::H2));
        return Some((Box::new(connection), is_http2));
    }
    let is_http2 = speaks_http2(&mut connection).await?;
    Some((Box::new(connection), is_http2))
}

/// Keeps what a verified certificate says beside the connection, for each of its requests.
struct KeepCertificate;

#[async_trait]
impl TlsAccept for KeepCertificate {
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        // Without `client_ca` no certificate was asked for, and so none was verified.
        let shown = ShownCertificate::read(tls.peer_certificate_der()?)?;
        Some(Arc::new(shown))
    }
}

/// Reads no more than it takes to tell, and puts it back.
async fn speaks_http2(connection: &mut TcpConnection) -> Option<bool> {
    let mut read = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() {
        let free = read.get_mut(length..)?;
        let more = connection.read(free).await.ok().filter(|more| *more > 0)?;
        length += more;
        if !PREFACE.starts_with(read.get(..length)?) {
            break;
        }
    }
    let seen = read.get(..length)?;
    connection.rewind(seen);
    Some(seen == PREFACE)
}

async fn serve_http1(connection: Stream, app: &Arc<HttpProxy<Gate>>, stopping: &ShutdownWatch) {
    let mut session = ServerSession::new_http1(connection);
    let keep_alive = (!*stopping.borrow()).then_some(KEEP_ALIVE.as_secs());
    session.set_keepalive(keep_alive);
    // Otherwise a request that comes early would end the connection before its predecessor is
    // answered (RFC 9112, section 9.3.2).
    session.set_pipelining_enabled(true);
    let mut next = app.process_new_http(session, stopping).await;
    while let Some((connection, settings)) = next.map(ReusedHttpStream::consume) {
        let mut session = ServerSession::new_http1(connection);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
        next = app.process_new_http(session, stopping).await;
    }
}
