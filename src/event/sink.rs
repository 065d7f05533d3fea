//! The receivers of events: webhooks, NATS `JetStream`, files, standard output.
//!
//! A sink makes one attempt a call and says what came of it. It keeps no queue and repeats
//! nothing; order, waits and dead letters are the dispatcher's. No text of a receiver leaves it:
//! what went wrong becomes a word of a closed list.

pub mod dial;
mod doubt;
mod file;
mod lines;
mod nats;
mod stdout;
mod webhook;

pub use doubt::Doubt;
pub use file::FileSink;
pub use nats::NatsSink;
pub(crate) use nats::options as nats_options;
pub use stdout::StdoutSink;
pub use webhook::{Signer, WebhookSink};

use super::Sink;
use crate::config::{EventSinkKind, Events};

/// Why a configured sink cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the sink `{sink}` cannot be made: {cause}")]
pub struct BuildError {
    /// Its name.
    pub sink: String,
    /// What is missing.
    #[source]
    pub cause: BuildCause,
}

/// What a sink cannot be made without.
#[derive(Debug, thiserror::Error)]
pub enum BuildCause {
    /// The file with the roots cannot be used.
    #[error("its `ca` file cannot be used")]
    Roots,
    /// There are no roots to check a certificate against.
    #[error(
        "the system has no root certificates: install them (Debian: ca-certificates), or name a file as `tls.ca`"
    )]
    NoRoots,
    /// A host that no certificate can name.
    #[error("no certificate can name its host")]
    ServerName,
    /// The address of a server that the client does not understand.
    #[error("a server's address cannot be used")]
    Server,
    /// A key that cannot sign.
    #[error("a key cannot sign")]
    Key,
    /// No thread to write from.
    #[error("no thread could be started to write from")]
    Thread(#[source] std::io::Error),
}

/// Makes every sink of the configuration, in its order. Connects to nobody yet.
///
/// # Errors
/// The first sink that cannot be made.
pub fn build(settings: Events) -> Result<Vec<Box<dyn Sink>>, BuildError> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::with_capacity(settings.sinks.len());
    for sink in settings.sinks {
        let (name, role) = (sink.name, sink.role);
        let faulty = name.clone();
        let made: Result<Box<dyn Sink>, BuildCause> = match sink.kind {
            EventSinkKind::Webhook(webhook) => {
                WebhookSink::new(name, role, webhook).map(|sink| Box::new(sink) as _)
            }
            EventSinkKind::Nats(nats) => {
                NatsSink::new(name, role, nats).map(|sink| Box::new(sink) as _)
            }
            EventSinkKind::File(file) => {
                FileSink::new(name, role, file).map(|sink| Box::new(sink) as _)
            }
            EventSinkKind::Stdout => StdoutSink::new(name, role).map(|sink| Box::new(sink) as _),
        };
        sinks.push(made.map_err(|cause| BuildError { sink: faulty, cause })?);
    }
    Ok(sinks)
}
