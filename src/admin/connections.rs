//! The connections of the admin listener: bounded in number, and closed when no request comes.
//!
//! Metrics and probes must stay reachable, so no client may keep more than its time.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections open at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 128;

/// Longest time between two answers on one connection: the pause of the client and its whole next
/// request. Bytes that trickle in do not renew it. Longer than the usual pause between two scrapes.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A listener whose connections obey the bounds.
#[derive(Debug)]
pub(super) struct Connections {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    longest_wait: Duration,
}

impl Connections {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with_bounds(listener, MOST_CONNECTIONS, LONGEST_WAIT)
    }

    fn with_bounds(listener: TcpListener, most: usize, longest_wait: Duration) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(most)), longest_wait }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed; without a permit a connection would just be uncounted.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        // axum's own `accept` sits out errors such as too many open files.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let clock = Box::pin(tokio::time::sleep(self.longest_wait));
        let longest_wait = self.longest_wait;
        (Connection { stream, clock, longest_wait, _permit: permit }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection, with its place among the others and its clock.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    clock: Pin<Box<Sleep>>,
    longest_wait: Duration,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Passes on what the stream says, unless it has been waited for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        self.clock.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(context, polled)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            let deadline = Instant::now() + self.longest_wait;
            self.clock.as_mut().reset(deadline);
        }
        self.watch(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, polled)
    }
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// The address of ours that the client reached.
    pub(super) reached: Option<SocketAddr>,
    /// The client's own.
    pub(super) peer: SocketAddr,
}

impl Connected<IncomingStream<'_, Connections>> for Ends {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Self { reached: stream.io().stream.local_addr().ok(), peer: *stream.remote_addr() }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn bounded(most: usize, longest_wait: Duration) -> (Connections, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Connections::with_bounds(listener, most, longest_wait), address)
    }

    #[tokio::test]
    async fn a_silent_client_is_let_go() {
        let (mut connections, address) = bounded(1, Duration::from_millis(20)).await;
        let _client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = connections.accept().await;
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_answer_renews_the_time_and_a_byte_received_does_not() {
        let (mut connections, address) = bounded(1, Duration::from_secs(60)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = connections.accept().await;
        let deadline = connection.clock.deadline();
        client.write_u8(7).await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), 7);
        assert_eq!(connection.clock.deadline(), deadline);
        connection.write_u8(8).await.unwrap();
        assert!(connection.clock.deadline() > deadline);
    }

    #[tokio::test]
    async fn connections_over_the_bound_wait_for_a_place() {
        let (mut connections, address) = bounded(1, Duration::from_secs(60)).await;
        let _clients = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        let (first, _) = connections.accept().await;
        let waiting = tokio::time::timeout(Duration::from_millis(20), connections.accept()).await;
        assert!(waiting.is_err());
        drop(first);
        connections.accept().await;
    }
}
