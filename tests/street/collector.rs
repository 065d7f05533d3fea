//! An OTLP receiver: real protobuf over gRPC or HTTP, keeping what it gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Everything that came, and with which value of `authorization`.
#[derive(Debug, Default)]
struct Kept {
    requests: Vec<ExportTraceServiceRequest>,
    bytes: Vec<u8>,
    authorizations: Vec<String>,
}

/// A running receiver.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

impl Collector {
    pub(crate) async fn start(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let service = Service(Arc::clone(&kept));
        let task = tokio::spawn(async move {
            match protocol {
                Protocol::Grpc => {
                    let incoming = tonic::transport::server::TcpIncoming::from(listener);
                    tonic::transport::Server::builder()
                        .add_service(TraceServiceServer::new(service))
                        .serve_with_incoming(incoming)
                        .await
                        .unwrap();
                }
                Protocol::Http => {
                    let router =
                        Router::new().route("/v1/traces", post(over_http)).with_state(service);
                    axum::serve(listener, router).await.unwrap();
                }
            }
        });
        Self { address, kept, task }
    }

    /// The lines of `fieldgate.yaml` that send everything here.
    pub(crate) fn config(&self, protocol: Protocol, more: &str) -> String {
        let word = if protocol == Protocol::Grpc { "grpc" } else { "http" };
        let address = self.address;
        format!(
            "telemetry:\n  traces: {{ endpoint: \"http://{address}\", protocol: {word}, {more} }}"
        )
    }

    /// Every span that came.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let kept = self.kept.lock().unwrap();
        let resources = kept.requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The attributes of every resource that came.
    pub(crate) fn resources(&self) -> Vec<(String, String)> {
        let kept = self.kept.lock().unwrap();
        let resources = kept.requests.iter().flat_map(|request| &request.resource_spans);
        resources
            .filter_map(|spans| spans.resource.as_ref())
            .flat_map(|resource| &resource.attributes)
            .map(|pair| {
                (pair.key.clone(), text(pair.value.as_ref().and_then(|v| v.value.as_ref())))
            })
            .collect()
    }

    /// The bytes of everything that came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.lock().unwrap().bytes.clone()
    }

    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.kept.lock().unwrap().authorizations.clone()
    }
}

/// An attribute of a span as text; empty where it has none of that name.
pub(crate) fn attribute(span: &Span, name: &str) -> String {
    let pair = span.attributes.iter().find(|pair| pair.key == name);
    text(pair.and_then(|pair| pair.value.as_ref()?.value.as_ref()))
}

fn text(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

/// Hex digits of an id.
pub(crate) fn hex(id: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(id)
}

#[derive(Clone)]
struct Service(Arc<Mutex<Kept>>);

impl Service {
    fn keep(&self, request: ExportTraceServiceRequest, authorization: Option<String>) {
        let mut kept = self.0.lock().unwrap();
        kept.bytes.extend(request.encode_to_vec());
        kept.requests.push(request);
        kept.authorizations.extend(authorization);
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        self.keep(request.into_inner(), authorization);
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn over_http(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    if headers["content-type"] != "application/x-protobuf" {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, Vec::new());
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return (StatusCode::BAD_REQUEST, Vec::new());
    };
    let authorization = headers.get("authorization");
    service.keep(request, authorization.map(|value| value.to_str().unwrap().to_owned()));
    (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
}
