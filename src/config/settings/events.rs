//! `events` as checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use secrecy::{SecretSlice, SecretString};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// What is told of observed writes, and to whom.
#[derive(Debug)]
pub struct Events {
    /// `source` of every event: who says it, a URI reference.
    pub source: String,
    /// What becomes of a watched write that cannot be recorded.
    pub on_store_failure: OnStoreFailure,
    /// How long a watched write waits to be recorded.
    pub store_timeout: Duration,
    /// How long delivered events are kept.
    pub retention_age: Duration,
    /// How many bytes of events are kept; what is not delivered is kept all the same.
    pub retention_size: u64,
    /// Most records whose watched fields are kept in memory.
    pub fields_cache: usize,
    /// How long to wait before each further attempt; after the last the event is a dead letter.
    pub retry: Vec<Duration>,
    /// Where events go.
    pub sinks: Vec<EventSink>,
}

impl Events {
    /// `source` unless set.
    pub const SOURCE: &'static str = "/fieldgate";
    /// The waits between attempts unless set, as Standard Webhooks proposes them.
    pub const RETRY: [Duration; 9] = [
        Duration::from_secs(5),
        Duration::from_secs(5 * MINUTE),
        Duration::from_secs(30 * MINUTE),
        Duration::from_secs(2 * HOUR),
        Duration::from_secs(5 * HOUR),
        Duration::from_secs(10 * HOUR),
        Duration::from_secs(14 * HOUR),
        Duration::from_secs(20 * HOUR),
        Duration::from_secs(24 * HOUR),
    ];
}

impl Default for Events {
    fn default() -> Self {
        Self {
            source: Self::SOURCE.to_owned(),
            on_store_failure: OnStoreFailure::Refuse,
            store_timeout: Duration::from_secs(2),
            retention_age: Duration::from_secs(30 * 24 * HOUR),
            retention_size: 1 << 30,
            fields_cache: 100_000,
            retry: Self::RETRY.to_vec(),
            sinks: Vec::new(),
        }
    }
}

/// What becomes of a watched write that cannot be recorded in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// It is answered 503 and not forwarded.
    Refuse,
    /// It is forwarded without a record, and counted.
    Pass,
}

impl OnStoreFailure {
    /// Both ways with the word that the configuration uses for each.
    pub const ALL: [(&'static str, Self); 2] = [("refuse", Self::Refuse), ("pass", Self::Pass)];
}

/// One receiver of events.
#[derive(Debug)]
pub struct EventSink {
    /// Its name in metrics, commands and the store; no two sinks have the same.
    pub name: String,
    /// The role whose view of events it gets.
    pub role: String,
    /// How it is reached.
    pub kind: EventSinkKind,
}

/// How a receiver of events is reached.
#[derive(Debug)]
pub enum EventSinkKind {
    /// HTTP POST with a Standard Webhooks signature.
    Webhook(Webhook),
    /// A `JetStream` stream.
    Nats(NatsStream),
    /// A file of JSON lines.
    File(LineFile),
    /// JSON lines on standard output.
    Stdout,
}

/// Where the attributes of a `CloudEvent` stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentMode {
    /// In the body, with the data.
    Structured,
    /// In headers; the body is the data alone.
    Binary,
}

impl ContentMode {
    /// Both modes with the word that the configuration uses for each.
    pub const ALL: [(&'static str, Self); 2] =
        [("structured", Self::Structured), ("binary", Self::Binary)];
}

/// A receiver over HTTP.
#[derive(Debug)]
pub struct Webhook {
    /// Where to POST.
    pub url: HttpUrl,
    /// Where the attributes stand.
    pub mode: ContentMode,
    /// The keys that sign, one or, while they rotate, two.
    pub secrets: Vec<SecretSlice<u8>>,
    /// Blocks that may be connected to although they are not public.
    pub allow_blocks: Vec<IpNet>,
    /// Names whose private addresses may be connected to, in lowercase.
    pub allow_hosts: Vec<String>,
    /// A PEM file with the roots to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Time for one attempt, name resolution and TLS included.
    pub timeout: Duration,
    /// Headers to add. Values may be secrets.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// Most attempts at once.
    pub parallel: usize,
}

impl Webhook {
    /// `timeout` unless set.
    pub const TIMEOUT: Duration = Duration::from_secs(15);
    /// `parallel` unless set.
    pub const PARALLEL: usize = 8;
    /// Most keys: the one in use and the one that takes its place.
    pub const MOST_SECRETS: usize = 2;
    /// What a key has at least and at most, as Standard Webhooks says.
    pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
}

/// The URL of a receiver over HTTP. What follows the host may hold a secret, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether TLS is spoken.
    pub is_https: bool,
    /// Name or address, an IPv6 one without its brackets, in lowercase.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub target: String,
}

impl HttpUrl {
    /// Reads a URL with `http` or `https`, as it stands in the configuration. What hides where it
    /// leads is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        crate::config::url::webhook(text).ok()
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}:{}/…", self.host, self.port)
    }
}

/// A stream of NATS `JetStream`.
#[derive(Debug)]
pub struct NatsStream {
    /// The servers, as `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// The stream.
    pub stream: String,
    /// What stands before tenant and type in every subject.
    pub subject_prefix: String,
    /// Where the attributes stand.
    pub mode: ContentMode,
    /// Whether to create the stream where it is missing.
    pub create: bool,
    /// Copies of a stream that is created.
    pub replicas: usize,
    /// How long a stream that is created keeps messages; `None` is for ever.
    pub max_age: Option<Duration>,
    /// How long a stream that is created knows ids again.
    pub duplicate_window: Duration,
    /// How long to wait for an acknowledgement.
    pub timeout: Duration,
    /// How Fieldgate shows who it is.
    pub login: NatsLogin,
    /// Certificates, where they are not the system's.
    pub tls: NatsTls,
    /// The monitoring endpoint, where the server's sync interval can be read.
    pub monitor: Option<HttpUrl>,
}

impl NatsStream {
    /// `subject_prefix` unless set.
    pub const SUBJECT_PREFIX: &'static str = "crm";
    /// `duplicate_window` unless set.
    pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(HOUR);
    /// `timeout` unless set.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// The port of a server that names none.
    pub const PORT: u16 = 4222;
}

/// How Fieldgate shows a NATS server who it is.
#[derive(Debug)]
pub enum NatsLogin {
    /// Not at all.
    Anonymous,
    /// A credentials file: a JWT and the seed of its key.
    Credentials(SecretString),
    /// User and password.
    User(String, SecretString),
    /// A token.
    Token(SecretString),
}

/// PEM files for TLS to a NATS server.
#[derive(Debug, Default)]
pub struct NatsTls {
    /// Whether a connection without TLS is refused.
    pub is_required: bool,
    /// The roots to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Certificate chain and private key to show.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A file of JSON lines.
#[derive(Debug)]
pub struct LineFile {
    /// Where it stands.
    pub path: PathBuf,
    /// When it is as large, another one is begun.
    pub rotate_size: u64,
    /// How many full ones are kept.
    pub rotate_keep: usize,
}

impl LineFile {
    /// `rotate.size` unless set.
    pub const ROTATE_SIZE: u64 = 64 << 20;
    /// `rotate.keep` unless set.
    pub const ROTATE_KEEP: usize = 5;
}
