//! A client that writes, on a connection that it keeps.

use std::net::SocketAddr;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    gate: SocketAddr,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn connect(gate: SocketAddr) -> Self {
        let stream = TcpStream::connect(gate).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, gate }
    }

    /// Asks as `role`, whose token is `demo-<role>`; `call` is method and path.
    pub(crate) async fn ask(
        &mut self,
        role: &str,
        call: &str,
        correlation: &str,
        body: &str,
    ) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.gate.to_string())
            .header("authorization", format!("Bearer demo-{role}"))
            .header("x-correlation-id", correlation);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        if self.sender.ready().await.is_err() {
            // Some refusals end their connection.
            *self = Self::connect(self.gate).await;
        }
        let (head, body) = self.sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// [`ask`](Self::ask) as admin, whose answer must be a success.
    pub(crate) async fn done(&mut self, call: &str, correlation: &str, body: &str) -> Answer {
        let answer = self.ask("admin", call, correlation, body).await;
        assert!(answer.status.is_success(), "{call}: {answer:?}");
        answer
    }
}
