//! A receiver of webhooks that believes nothing which it cannot verify.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use standardwebhooks::Webhook as Verifier;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The key of every webhook here.
pub(crate) const KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

struct Desk {
    /// What is answered.
    status: AtomicU16,
    /// Bodies that were verified, whatever was answered.
    seen: watch::Sender<Vec<Bytes>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk =
            Arc::new(Desk { status: AtomicU16::new(204), seen: watch::channel(Vec::new()).0 });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&desk));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, desk, task }
    }

    /// The sink that delivers here.
    pub(crate) fn sink(&self, name: &str, role: &str) -> String {
        format!(
            "    - webhook: {{ name: {name}, role: {role}, url: \"http://{}/{name}\", \
             secrets: [whsec], allow: [127.0.0.0/8] }}\n",
            self.address
        )
    }

    /// What it answers from now on.
    pub(crate) fn answers(&self, status: u16) {
        self.desk.status.store(status, Ordering::SeqCst);
    }

    /// The bodies, as soon as there are so many.
    pub(crate) async fn bodies(&self, count: usize) -> Vec<Bytes> {
        let mut seen = self.desk.seen.subscribe();
        let enough = seen.wait_for(|seen| seen.len() >= count);
        match tokio::time::timeout(PATIENCE, enough).await {
            Ok(seen) => seen.unwrap().clone(),
            Err(_) => panic!("only {:#?}", self.desk.seen.borrow()),
        }
    }

    /// The events, as soon as there are so many. There must not be more.
    pub(crate) async fn events(&self, count: usize) -> Vec<Value> {
        let bodies = self.bodies(count).await;
        assert_eq!(bodies.len(), count, "{bodies:#?}");
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn receive(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if Verifier::new(KEY).unwrap().verify(&body, &headers).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    desk.seen.send_modify(|seen| seen.push(body));
    StatusCode::from_u16(desk.status.load(Ordering::SeqCst)).unwrap()
}
