//! The settings of a stream: whether what it acknowledges is safe.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, PersistenceMode, StorageType};
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::Full;
use serde::Deserialize;

use super::subject;
use crate::config::NatsStream;
use crate::event::DeliveryFailure;
use crate::event::sink::Doubt;
use crate::event::sink::dial::{Dialer, read_up_to};

/// Shorter windows forget an event before its third attempt with the usual waits.
const SHORT_WINDOW: Duration = Duration::from_secs(10 * 60);

/// The most of what the monitoring endpoint says.
const MOST_MONITOR_BYTES: usize = 1 << 20;

/// Looks at the stream, and creates it where that is asked for.
pub(super) async fn look(
    context: &Context,
    settings: &NatsStream,
    monitor: Option<&(Dialer, String)>,
) -> Result<Vec<Doubt>, DeliveryFailure> {
    let found = match context.get_stream(&settings.stream).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                if !settings.create {
                    return Ok(vec![Doubt::NoStream]);
                }
                match create(context, settings).await? {
                    Some(config) => config,
                    None => return Ok(vec![Doubt::NotCreated]),
                }
            }
            _ => return Err(DeliveryFailure::NotAcknowledged),
        },
    };
    let mut doubts = doubts(&found, &settings.subject_prefix);
    if let Some((dialer, target)) = monitor
        && syncs_always(dialer, target).await == Some(false)
    {
        doubts.push(Doubt::NotSynced);
    }
    Ok(doubts)
}

/// The settings of the stream that was made; `None` where the server refuses.
async fn create(
    context: &Context,
    settings: &NatsStream,
) -> Result<Option<Config>, DeliveryFailure> {
    let wanted = Config {
        name: settings.stream.clone(),
        description: Some("Events of a CRM, from Fieldgate".to_owned()),
        subjects: vec![format!("{}.>", settings.subject_prefix)],
        storage: StorageType::File,
        num_replicas: settings.replicas,
        max_age: settings.max_age.unwrap_or_default(),
        duplicate_window: settings.duplicate_window,
        ..Config::default()
    };
    match context.create_stream(wanted).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) => match error.kind() {
            CreateStreamErrorKind::JetStream(_) => Ok(None),
            _ => Err(DeliveryFailure::NotAcknowledged),
        },
    }
}

/// What is doubtful about a stream, the refusals first.
fn doubts(config: &Config, prefix: &str) -> Vec<Doubt> {
    let is_covered = config.subjects.iter().any(|pattern| subject::covers(pattern, prefix));
    let is_short = config.duplicate_window < SHORT_WINDOW;
    let all = [
        (config.storage == StorageType::Memory, Doubt::MemoryStorage),
        (config.persist_mode == Some(PersistenceMode::Async), Doubt::AsyncPersistence),
        (config.no_ack, Doubt::NoAcknowledgements),
        (config.sealed, Doubt::Sealed),
        (!is_covered, Doubt::Subjects),
        (is_short, Doubt::ShortDuplicateWindow(config.duplicate_window)),
        (config.num_replicas <= 1, Doubt::OneReplica),
    ];
    all.into_iter().filter(|(is_found, _)| *is_found).map(|(_, doubt)| doubt).collect()
}

/// What of the monitoring endpoint is read.
#[derive(Deserialize)]
struct Server {
    jetstream: JetStream,
}

#[derive(Deserialize)]
struct JetStream {
    config: Limits,
}

#[derive(Deserialize)]
struct Limits {
    #[serde(default)]
    sync_always: bool,
}

/// Whether the server syncs before it acknowledges; `None` where it does not say.
async fn syncs_always(dialer: &Dialer, target: &str) -> Option<bool> {
    let request = Request::get(target)
        .header(HOST, dialer.host_header())
        .body(Full::new(Bytes::new()))
        .ok()?;
    let mut connection = dialer.dial().await.ok()?;
    let answer = connection.send(request).await.ok()?;
    let body = read_up_to(answer.into_body(), MOST_MONITOR_BYTES).await?;
    let server: Server = serde_json::from_slice(&body).ok()?;
    Some(server.jetstream.config.sync_always)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Config {
        Config {
            subjects: vec!["crm.>".to_owned()],
            num_replicas: 3,
            duplicate_window: Duration::from_secs(3600),
            ..Config::default()
        }
    }

    #[track_caller]
    fn check(config: &Config, expected: &[Doubt]) {
        assert_eq!(doubts(config, "crm"), expected);
    }

    #[test]
    fn what_is_doubtful_about_a_stream() {
        check(&good(), &[]);
        check(&Config { storage: StorageType::Memory, ..good() }, &[Doubt::MemoryStorage]);
        let persist_mode = Some(PersistenceMode::Async);
        check(&Config { persist_mode, ..good() }, &[Doubt::AsyncPersistence]);
        check(&Config { no_ack: true, ..good() }, &[Doubt::NoAcknowledgements]);
        check(&Config { sealed: true, ..good() }, &[Doubt::Sealed]);
        check(&Config { subjects: vec!["eu.>".to_owned()], ..good() }, &[Doubt::Subjects]);
        check(&Config { num_replicas: 1, ..good() }, &[Doubt::OneReplica]);
        let window = Duration::from_secs(120);
        let short = Config { duplicate_window: window, ..good() };
        check(&short, &[Doubt::ShortDuplicateWindow(window)]);
        let config = Config { storage: StorageType::Memory, num_replicas: 1, ..good() };
        check(&config, &[Doubt::MemoryStorage, Doubt::OneReplica]);
        assert!(Doubt::MemoryStorage.is_refusal() && !Doubt::OneReplica.is_refusal());
    }

    #[test]
    fn what_the_monitor_says() {
        let read = |text: &str| {
            serde_json::from_str(text)
                .ok()
                .map(|server: Server| server.jetstream.config.sync_always)
        };
        assert_eq!(read(r#"{"x":1,"jetstream":{"config":{"sync_always":true}}}"#), Some(true));
        assert_eq!(read(r#"{"jetstream":{"config":{"sync_interval":120}}}"#), Some(false));
        assert_eq!(read(r#"{"jetstream":{}}"#), None);
        assert_eq!(read("no"), None);
    }
}
