//! The thread that sends spans, with a runtime of its own, so that a collector that is down or
//! slow costs nobody else anything.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use secrecy::ExposeSecret;
use tokio::runtime::{Builder, Runtime};

use super::client::CollectorClient;
use super::{Finished, spans};
use crate::config::{TraceProtocol, Traces as Settings};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::queue::Queue;
use crate::telemetry::writer::Base;

/// Spans sent at once.
const BATCH: usize = 512;

/// How long one batch may take, repetitions included.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// Where OTLP over HTTP wants spans unless told otherwise.
const HTTP_PATH: &str = "/v1/traces";

/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// No thread, or no runtime in it.
    #[error("the thread that sends spans cannot be started")]
    Thread(#[from] io::Error),
    /// The exporter does not take its settings.
    #[error("spans cannot be sent to the endpoint of `telemetry.traces`: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The TLS library does not take its settings.
    #[error("TLS cannot be set up for `telemetry.traces`")]
    Tls(#[from] rustls::Error),
}

/// Says that the collector has stopped to take spans (`Some`, with the reason) or takes them again.
pub(in super::super) type Tell = Box<dyn Fn(Option<&'static str>) + Send>;

/// Starts the thread. It ends when the queue is closed and empty.
pub(super) fn start(
    settings: &Settings,
    base: Base,
    queue: Arc<Queue<Finished>>,
    metrics: Arc<Metrics>,
    tell: Tell,
) -> Result<(), TracesError> {
    // One worker beside the sending thread, so that connections are looked after between batches.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("span-network")
        .enable_all()
        .build()?;
    let mut exporter = {
        let _entered = runtime.enter();
        build(settings)?
    };
    exporter.set_resource(&resource(base));
    let mut sender = Sender { runtime, exporter, queue, metrics, tell, is_failing: false };
    thread::Builder::new().name("span-sender".into()).spawn(move || sender.run())?;
    Ok(())
}

fn resource(base: Base) -> Resource {
    Resource::builder_empty()
        .with_service_name(base.service)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("deployment.environment.name", base.environment),
        ])
        .build()
}

fn build(settings: &Settings) -> Result<SpanExporter, TracesError> {
    let is_https = settings.endpoint.scheme_str() == Some("https");
    match settings.protocol {
        TraceProtocol::Grpc => {
            let mut headers = HeaderMap::new();
            for (name, value) in &settings.headers {
                // The configuration has refused values that no header can carry.
                if let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) {
                    value.set_sensitive(true);
                    headers.append(name, value);
                }
            }
            let mut builder = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(settings.endpoint.to_string())
                .with_timeout(EXPORT_LIMIT)
                .with_metadata(MetadataMap::from_headers(headers));
            if is_https {
                let tls = ClientTlsConfig::new().with_enabled_roots();
                builder = builder.with_tls_config(tls);
            }
            Ok(builder.build()?)
        }
        TraceProtocol::Http => {
            let value = |(name, value): &(http::HeaderName, secrecy::SecretString)| {
                (name.as_str().to_owned(), value.expose_secret().to_owned())
            };
            let headers: HashMap<String, String> = settings.headers.iter().map(value).collect();
            let endpoint = settings.endpoint.to_string();
            let endpoint = match settings.endpoint.path() {
                "/" => format!("{}{HTTP_PATH}", endpoint.trim_end_matches('/')),
                _ => endpoint,
            };
            Ok(SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(endpoint)
                .with_timeout(EXPORT_LIMIT)
                .with_headers(headers)
                .with_http_client(CollectorClient::new()?)
                .build()?)
        }
    }
}

struct Sender {
    runtime: Runtime,
    exporter: SpanExporter,
    queue: Arc<Queue<Finished>>,
    metrics: Arc<Metrics>,
    tell: Tell,
    is_failing: bool,
}

impl Sender {
    fn run(&mut self) {
        let mut taken = Vec::new();
        let mut batch = Vec::new();
        while self.queue.take(&mut taken) {
            let count = taken.len();
            for finished in taken.drain(..) {
                match finished {
                    Finished::Exchange(exchange) => {
                        spans::append(&exchange, &mut rand::rng(), &mut batch);
                    }
                    Finished::Linked(span) => batch.push(span.finish()),
                }
                if batch.len() >= BATCH {
                    self.send(std::mem::take(&mut batch));
                }
            }
            if !batch.is_empty() {
                self.send(std::mem::take(&mut batch));
            }
            self.queue.finish(count);
        }
    }

    fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let exporting =
            async { tokio::time::timeout(EXPORT_LIMIT, self.exporter.export(batch)).await };
        let failure = match self.runtime.block_on(exporting) {
            Ok(Ok(())) => None,
            // What the collector or a library says of it may quote anything.
            Ok(Err(OTelSdkError::Timeout(_))) | Err(_) => Some("timeout"),
            Ok(Err(OTelSdkError::InternalFailure(_) | OTelSdkError::AlreadyShutdown)) => {
                Some("unreachable or refused")
            }
        };
        match failure {
            None => self.metrics.spans_exported.inc_by(count),
            Some(_) => self.metrics.spans_failed.inc_by(count),
        }
        if failure.is_some() != self.is_failing {
            self.is_failing = failure.is_some();
            (self.tell)(failure);
        }
    }
}
