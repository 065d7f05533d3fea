//! The configuration as checked: what the rest of the program reads. Every value is usable as is.

mod actions;
mod events;
mod identity;
mod scores;
mod workflows;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use secrecy::SecretString;

pub use self::actions::*;
pub use self::identity::*;
pub use super::path_pattern::PathPattern;
pub use events::*;
pub use scores::*;
pub use workflows::*;

const MIB: usize = 1 << 20;

/// Everything `fieldgate run` needs to know.
#[derive(Debug)]
pub struct Settings {
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// The CRM.
    pub upstream: Upstream,
    /// How callers are recognised, in the order tried.
    pub identity: Vec<IdentityEntry>,
    /// Where a request names a company.
    pub tenant: TenantNames,
    /// The folder with the policy files.
    pub policies: PathBuf,
    /// The key ring file; `None` where no policy needs a key.
    pub keys: Option<PathBuf>,
    /// Bounds on what one request may use.
    pub limits: Limits,
    /// Correlation id and logs.
    pub telemetry: Telemetry,
    /// The listener for health, metrics and operators.
    pub admin: Admin,
    /// Threads of the data listener; 0 means one per core.
    pub threads: usize,
    /// How long SIGTERM waits for requests under way.
    pub drain: Duration,
    /// The folder for what must outlive the process; it exists.
    pub data_dir: Option<PathBuf>,
    /// The audit ledger; there is a `data_dir` where it is set.
    pub audit: Option<Audit>,
    /// How leads are read to be scored, when no client reads them.
    pub scores: Scores,
    /// What is told of observed writes; there is a `data_dir` where it is set.
    pub events: Option<Events>,
    /// How workflows are carried out; there is a `data_dir` where it is set.
    pub workflows: Option<Workflows>,
}

impl Settings {
    /// Where the policies stand unless set, relative to the configuration file.
    pub const POLICIES: &'static str = "policies";
    /// Where clients connect unless set.
    pub const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));
    /// How long SIGTERM waits unless set.
    pub const DRAIN: Duration = Duration::from_secs(30);
}

/// One address that clients connect to.
#[derive(Debug)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// Certificate chain and key, where the listener speaks TLS.
    pub tls: Option<ListenerTls>,
}

/// PEM files of a TLS listener.
#[derive(Debug)]
pub struct ListenerTls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Who vouches for the certificates of clients; `None` asks for none.
    pub client_ca: Option<ClientCa>,
}

/// How the certificates of clients are checked.
#[derive(Debug, Clone)]
pub struct ClientCa {
    /// A PEM file with the roots that their certificates must lead to.
    pub file: PathBuf,
    /// Whether a client may do without.
    pub demand: CertificateDemand,
}

/// Whether a client needs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateDemand {
    /// No connection without one.
    Required,
    /// A client without one may be recognised by something else.
    Optional,
}

impl CertificateDemand {
    /// Both with the word that the configuration uses for them.
    pub const ALL: [(&'static str, Self); 2] =
        [("required", Self::Required), ("optional", Self::Optional)];
}

/// The CRM that Fieldgate stands in front of.
#[derive(Debug)]
pub struct Upstream {
    /// Host name or address literal, an IPv6 one without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Set where the CRM is reached over TLS.
    pub tls: Option<UpstreamTls>,
    /// The `Host` header to send; `None` passes the client's on.
    pub host_header: Option<String>,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Time from the last request byte to the response head.
    pub first_byte_timeout: Duration,
    /// Longest pause between two body chunks.
    pub idle_timeout: Duration,
    /// Longest whole exchange.
    pub total_timeout: Duration,
    /// How long an unused connection stays in the pool.
    pub pool_idle: Duration,
}

impl Upstream {
    /// `connect_timeout` unless set.
    pub const CONNECT: Duration = Duration::from_secs(5);
    /// `first_byte_timeout` unless set.
    pub const FIRST_BYTE: Duration = Duration::from_secs(30);
    /// `idle_timeout` unless set.
    pub const IDLE: Duration = Duration::from_secs(30);
    /// `total_timeout` unless set.
    pub const TOTAL: Duration = Duration::from_secs(300);
    /// `pool_idle` unless set.
    pub const POOL_IDLE: Duration = Duration::from_secs(60);
}

/// How a server's certificate is checked. Verification cannot be switched off.
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    /// The name to ask for and verify; the host unless set.
    pub server_name: String,
    /// A PEM file with the roots to trust instead of the system's.
    pub ca: Option<PathBuf>,
}

/// Bounds on what one request, and all of them together, may use.
#[derive(Debug)]
pub struct Limits {
    /// Answers up to this size are held and sent with their exact length; larger ones stream.
    pub hold: usize,
    /// Largest request body forwarded.
    pub request_body: usize,
    /// Largest answer that is filtered.
    pub response_body: u64,
    /// Longest single value that is masked, in bytes.
    pub masked_value: usize,
    /// Largest record that is held for a filter expression, in bytes.
    pub record: usize,
    /// Time for the client to send its request head.
    pub header_timeout: Duration,
    /// Time for the client to send its request body.
    pub body_timeout: Duration,
    /// Most bytes of a request head.
    pub header_bytes: usize,
    /// Most connections of clients at once; more wait to be accepted.
    pub connections: usize,
    /// Most requests under way at once; more are answered 503.
    pub requests: usize,
    /// Most bytes of bodies held at once by all requests; more are answered 503.
    pub held_total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold: MIB,
            request_body: 10 * MIB,
            response_body: 2 << 30,
            masked_value: MIB,
            record: MIB,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            header_bytes: 64 << 10,
            connections: 4096,
            requests: 1024,
            held_total: 256 * MIB,
        }
    }
}

/// Correlation, access log and application log.
#[derive(Debug)]
pub struct Telemetry {
    /// The header that carries the correlation id.
    pub correlation_header: HeaderName,
    /// `service` in every log line.
    pub service: String,
    /// `environment` in every log line.
    pub environment: String,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Level of the application log.
    pub log_level: LogLevel,
    /// The headers by which a client's trace is continued.
    pub trace_headers: TraceHeaders,
    /// Where spans go; `None` makes none.
    pub traces: Option<Traces>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            correlation_header: HeaderName::from_static("x-correlation-id"),
            service: "fieldgate".to_owned(),
            environment: "production".to_owned(),
            log_format: LogFormat::Json,
            log_level: LogLevel::Info,
            trace_headers: TraceHeaders::W3c,
            traces: None,
        }
    }
}

/// The headers by which a client's trace is continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceHeaders {
    /// `traceparent` and `tracestate`.
    W3c,
    /// These, and B3 where there is no valid `traceparent`.
    B3,
}

impl TraceHeaders {
    /// Both with the word that the configuration uses for it.
    pub const ALL: [(&'static str, Self); 2] = [("w3c", Self::W3c), ("b3", Self::B3)];
}

/// The collector that spans go to, and which are kept.
#[derive(Debug)]
pub struct Traces {
    /// Its URL.
    pub endpoint: http::Uri,
    /// How it is spoken to.
    pub protocol: TraceProtocol,
    /// Headers to send with every batch.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// How many of the fast successes whose trace begins here are kept, from 0 to 1.
    pub share: f64,
    /// A request that took longer is kept.
    pub slow: Duration,
    /// Most exchanges that wait to be sent; more are dropped and counted.
    pub queue: usize,
}

impl Traces {
    /// `share` unless set.
    pub const SHARE: f64 = 0.1;
    /// `slow` unless set.
    pub const SLOW: Duration = Duration::from_secs(2);
    /// `queue` unless set.
    pub const QUEUE: usize = 2048;
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, as protobuf.
    Http,
}

impl TraceProtocol {
    /// Both with the word that the configuration uses for it.
    pub const ALL: [(&'static str, Self); 2] = [("grpc", Self::Grpc), ("http", Self::Http)];
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people at a terminal.
    Text,
}

impl LogFormat {
    /// Every form with the word that the configuration uses for it.
    pub const ALL: [(&'static str, Self); 2] = [("json", Self::Json), ("text", Self::Text)];
}

/// Level of the application log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only failures.
    Error,
    /// And what will fail.
    Warn,
    /// And what happens.
    Info,
    /// And how.
    Debug,
}

impl LogLevel {
    /// Every level with the word that the configuration uses for it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// The listener for operators.
#[derive(Debug)]
pub struct Admin {
    /// Where it listens, 127.0.0.1:9901 unless set.
    pub address: SocketAddr,
    /// Required as a bearer token; must be set where the address is not loopback.
    pub token: Option<SecretString>,
    /// Host names accepted in `Host` beside the address itself and `localhost`, in lowercase and
    /// without a port.
    pub hosts: Vec<String>,
}

impl Admin {
    /// The fewest characters of a token.
    pub const MIN_TOKEN_CHARACTERS: usize = 16;
}

impl Default for Admin {
    fn default() -> Self {
        let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9901));
        Self { address, token: None, hosts: Vec::new() }
    }
}

/// The audit ledger.
#[derive(Debug, Clone, Copy)]
pub struct Audit {
    /// Whether answers wait for their entry.
    pub mode: AuditMode,
    /// How long entries are kept.
    pub keep: Duration,
    /// Most entries that wait to be written.
    pub queue: usize,
}

impl Default for Audit {
    fn default() -> Self {
        let keep = Duration::from_secs(365 * 24 * 3600);
        Self { mode: AuditMode::BestEffort, keep, queue: 4096 }
    }
}

/// Whether answers wait for their entry in the audit ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditMode {
    /// No entry, no answer.
    Required,
    /// Answers wait for nothing; what is lost is counted.
    BestEffort,
}

impl AuditMode {
    /// Both, and that there is no ledger, with the word that the configuration uses for it.
    pub const ALL: [(&'static str, Option<Self>); 3] = [
        ("required", Some(Self::Required)),
        ("best_effort", Some(Self::BestEffort)),
        ("off", None),
    ];
}
