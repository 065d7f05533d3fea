//! A CRM on a port of its own and a client that asks one thing per connection.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fieldgate::demo::crm::{self, Crm, Value};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A CRM that listens; it stops when the test ends.
pub(crate) struct Running {
    pub(crate) crm: Arc<Crm>,
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) server: JoinHandle<std::io::Result<()>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Running {
    pub(crate) async fn start(crm: Crm) -> Self {
        let crm = Arc::new(crm);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let server = tokio::spawn(crm::serve(listener, Arc::clone(&crm), shutdown));
        Self { crm, address, stop, server }
    }

    pub(crate) async fn seeded() -> Self {
        Self::start(Crm::seeded()).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn call(&self, method: Method, target: &str, body: &str) -> Answer {
        let mut request = known(method, target);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.call(Method::GET, target, "").await
    }

    /// The ids that a list shows.
    pub(crate) async fn ids(&self, target: &str) -> Vec<u64> {
        let answer = self.get(target).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let Some(Value::List(records)) = answer.json().get("results").cloned() else {
            panic!("no results in {}", answer.body)
        };
        records
            .iter()
            .map(|record| record.get("id").unwrap().to_string().parse().unwrap())
            .collect()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        Value::parse(self.body.as_bytes()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn member(&self, name: &str) -> String {
        self.json().get(name).unwrap().to_string()
    }
}

pub(crate) fn known(method: Method, target: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(target)
        .header("host", "crm.example:8081")
        .header("authorization", "Bearer demo-admin")
}

pub(crate) fn lead_email(crm: &Running, id: u64) -> String {
    crm.crm.record("leads", id).unwrap().get("email").unwrap().as_text().unwrap().to_owned()
}
