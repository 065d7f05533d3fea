//! The connection to the servers of a group, and what is kept there.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use async_nats::ServerAddr;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{Context, ContextBuilder};
use async_nats::jetstream::kv::{Config as BucketConfig, CreateErrorKind, Store as Bucket};
use async_nats::jetstream::stream::{Config as StreamConfig, RetentionPolicy, StorageType};
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config::Fleet as Settings;
use crate::event::sink;
use crate::store::StoreError;

/// How long an event stays with a sidecar that does not say what became of it.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How long the server knows an event again.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(3600);

/// The one consumer that all sidecars share.
const CONSUMER: &str = "runners";

/// Connects when it is first needed, and keeps the connection.
pub(super) struct Link {
    settings: Settings,
    servers: Vec<ServerAddr>,
    /// Held while the connection is made, so that it is made once.
    buckets: Mutex<Option<Arc<Buckets>>>,
    /// Digests of definitions that are known to be there.
    definitions: Lock<HashSet<String>>,
}

/// What a group keeps.
pub(super) struct Buckets {
    pub(super) context: Context,
    /// `run.<id>`: the runs.
    pub(super) runs: Bucket,
    /// By digest: the texts of workflows that runs began with.
    pub(super) definitions: Bucket,
    /// Events on their way to the workflows of a role.
    pub(super) events: PullConsumer,
    /// Where they are published.
    pub(super) subject: String,
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(settings: Settings) -> Result<Self, &'static str> {
        let servers: Result<Vec<ServerAddr>, _> =
            settings.servers.iter().map(|server| server.parse()).collect();
        let servers = servers.map_err(|_| "the address of a NATS server cannot be used")?;
        Ok(Self { settings, servers, buckets: Mutex::default(), definitions: Lock::default() })
    }

    /// What the group keeps; waits for the servers as long as for any answer of theirs.
    pub(super) async fn buckets(&self) -> Result<Arc<Buckets>, StoreError> {
        let opening = async {
            let mut kept = self.buckets.lock().await;
            if let Some(buckets) = kept.as_ref() {
                return Ok(Arc::clone(buckets));
            }
            let buckets = Arc::new(self.open().await.ok_or(StoreError::Unhealthy)?);
            Ok(Arc::clone(kept.insert(buckets)))
        };
        timeout(self.settings.timeout, opening).await.unwrap_or(Err(StoreError::Unhealthy))
    }

    async fn open(&self) -> Option<Buckets> {
        let Settings { name, replicas, timeout, login, tls, .. } = &self.settings;
        let options = sink::nats_options(&format!("fieldgate {name}"), login, tls).ok()?;
        let client = options.connect(self.servers.as_slice()).await.ok()?;
        let context = ContextBuilder::new().timeout(*timeout).ack_timeout(*timeout).build(client);
        let subject = format!("{name}.workflows.events");
        let stream = StreamConfig {
            name: format!("{name}_workflow_events"),
            description: Some("Events for the workflows of Fieldgate".to_owned()),
            subjects: vec![subject.clone()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            num_replicas: *replicas,
            duplicate_window: DUPLICATE_WINDOW,
            ..StreamConfig::default()
        };
        let stream = context.get_or_create_stream(stream).await.ok()?;
        let consumer = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            ..pull::Config::default()
        };
        let events = stream.get_or_create_consumer(CONSUMER, consumer).await.ok()?;
        let runs = bucket(&context, format!("{name}_runs"), *replicas).await?;
        let definitions = bucket(&context, format!("{name}_definitions"), *replicas).await?;
        Some(Buckets { context, runs, definitions, events, subject })
    }

    /// Keeps the text of a definition, where it is not kept yet.
    pub(super) async fn keep_definition(
        &self,
        buckets: &Buckets,
        digest: &str,
        text: Bytes,
    ) -> Result<(), StoreError> {
        let known = || self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(digest) {
            return Ok(());
        }
        match buckets.definitions.create(digest, text).await {
            Ok(_) => {}
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(_) => return Err(StoreError::NotCommitted),
        }
        known().insert(digest.to_owned());
        Ok(())
    }
}

/// A bucket of the group, made where it is missing. One that exists is never changed.
async fn bucket(context: &Context, name: String, replicas: usize) -> Option<Bucket> {
    if let Ok(bucket) = context.get_key_value(&name).await {
        return Some(bucket);
    }
    let config = BucketConfig {
        bucket: name.clone(),
        description: "Runs of workflows, from Fieldgate".to_owned(),
        history: 1,
        storage: StorageType::File,
        num_replicas: replicas,
        ..BucketConfig::default()
    };
    match context.create_key_value(config).await {
        Ok(bucket) => Some(bucket),
        // Another sidecar was faster.
        Err(_) => context.get_key_value(name).await.ok(),
    }
}
