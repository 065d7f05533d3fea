//! Whoever wants to know what happens in the CRM: a webhook receiver as a customer would write one.
//!
//! It checks every signature with the library of Standard Webhooks, not with Fieldgate's own code,
//! and refuses what it does not hold for. Remembers what it got.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

/// The receiver. Clones share everything.
#[derive(Clone)]
pub struct Receiver {
    shared: Arc<Shared>,
}

struct Shared {
    webhook: Webhook,
    received: Mutex<Received>,
}

/// What came.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// The bodies whose signature held, in the order in which they came.
    pub accepted: Vec<String>,
    /// How many had none that held.
    pub refused: usize,
}

impl Receiver {
    /// A receiver that shares this secret (`whsec_...`) with the sender.
    ///
    /// # Errors
    /// It is no secret.
    pub fn new(secret: &str) -> Result<Self, standardwebhooks::WebhookError> {
        let webhook = Webhook::new(secret)?;
        Ok(Self { shared: Arc::new(Shared { webhook, received: Mutex::default() }) })
    }

    /// Everything received so far.
    #[must_use]
    pub fn received(&self) -> Received {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let routes = Router::new().route("/", post(receive)).with_state(self);
        axum::serve(listener, routes).await
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let holds = receiver.shared.webhook.verify(&body, &headers).is_ok();
    let mut received = receiver.shared.received.lock().unwrap_or_else(PoisonError::into_inner);
    if !holds {
        received.refused += 1;
        return StatusCode::UNAUTHORIZED;
    }
    received.accepted.push(String::from_utf8_lossy(&body).into_owned());
    StatusCode::NO_CONTENT
}
