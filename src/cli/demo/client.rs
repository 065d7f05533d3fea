//! The tour's own requests: HTTP/1.1, one connection each, bounded in time and size.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer.
const LARGEST: usize = 16 * 1024 * 1024;

/// One request.
pub(super) struct Ask<'a> {
    pub(super) of: SocketAddr,
    pub(super) method: Method,
    pub(super) target: &'a str,
    /// Sent as a bearer token.
    pub(super) token: Option<&'a str>,
    /// JSON; none where it is empty.
    pub(super) body: &'static str,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Ask<'_> {
    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// There is no whole answer; one sentence says why.
    pub(super) async fn send(&self) -> Result<Answer, String> {
        let asked = format!("{} {} of {}", self.method, self.target, self.of);
        match timeout(PATIENCE, self.exchange()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("{asked}: {error}")),
            Err(_) => Err(format!("{asked}: no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn exchange(&self) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.of).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(&self.method)
            .uri(self.target)
            .header(header::HOST, self.of.to_string());
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !self.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from_static(self.body.as_bytes())))?;
        // Takes the sender along: the connection ends once nobody can send on it.
        let exchange = async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    }
}

impl Answer {
    /// A header as text, empty where it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text, for searching and quoting.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` where it is none.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
