//! A CRM that answers as a test says.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    /// Answers what `script` makes of the request, `PATCH /path`.
    pub(crate) async fn start<F: Future<Output = Response> + Send + 'static>(
        script: impl Fn(String) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = move |request: Request| {
            let call = format!("{} {}", request.method(), request.uri().path());
            let script = script.clone();
            async move {
                // The connection goes on only where the request was read.
                axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
                script(call).await
            }
        };
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, task }
    }

    /// Always answers the same to the same request.
    pub(crate) async fn answers(
        script: impl Fn(&str) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |call| std::future::ready(script(&call))).await
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: u16, body: impl Into<Body>) -> Response {
    let response = Response::builder().status(status);
    response.header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}
