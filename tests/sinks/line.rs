//! A line to a server on which answers can be held back.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    /// Whether what the server says is held back. What is said to it always goes through.
    pub(crate) is_held: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Line {
    /// A line to a port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_held, held) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, watch::channel(false).1));
                tokio::spawn(pass(from_server, to_client, held.clone()));
            }
        });
        Self { address, is_held, _task: task }
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut is_held: watch::Receiver<bool>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        // An error means that nobody can hold it back any more.
        let _ = is_held.wait_for(|is_held| !*is_held).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
