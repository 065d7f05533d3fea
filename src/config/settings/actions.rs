//! What the actions of workflows need, as checked: each part is set where its action may be used.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use secrecy::{SecretSlice, SecretString};

use super::events::HttpUrl;

/// What the actions of workflows need.
#[derive(Debug, Default)]
pub struct Actions {
    /// How workflows show the CRM who they are; `None` where none may call it.
    pub crm: Option<CrmAccess>,
    /// The server that takes mails.
    pub smtp: Option<Smtp>,
    /// Who can be told, by name.
    pub channels: Vec<Channel>,
    /// Notifications to people, kept for the admin listener.
    pub feed: Option<FeedSettings>,
    /// What holds for calls of other servers.
    pub webhooks: Option<OutgoingWebhooks>,
    /// Where exports go.
    pub exports: Option<Exports>,
}

/// How workflows show the CRM who they are.
#[derive(Debug)]
pub struct CrmAccess {
    /// The header that carries the credential.
    pub header: HeaderName,
    /// What stands in it, whole: `Bearer ...`.
    pub value: SecretString,
}

/// A server that takes mails.
#[derive(Debug)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How TLS is spoken.
    pub tls: SmtpTls,
    /// A PEM file with the roots to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Who logs in; `None` does not.
    pub login: Option<(String, SecretString)>,
    /// Who mails come from: `Fieldgate <crm@example.com>`.
    pub from: String,
    /// Time for one command of the conversation.
    pub timeout: Duration,
    /// Most connections at once.
    pub connections: usize,
}

impl Smtp {
    /// `timeout` unless set.
    pub const TIMEOUT: Duration = Duration::from_secs(20);
    /// `connections` unless set.
    pub const CONNECTIONS: usize = 4;
}

/// How TLS is spoken to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte, port 465.
    Implicit,
    /// After `STARTTLS`, which must be there; port 587.
    StartTls,
    /// Not at all, port 25; to this machine only.
    Off,
}

impl SmtpTls {
    /// Every way with the word that the configuration uses for it.
    pub const ALL: [(&'static str, Self); 3] =
        [("implicit", Self::Implicit), ("starttls", Self::StartTls), ("off", Self::Off)];

    /// The port unless set.
    #[must_use]
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::StartTls => 587,
            Self::Off => 25,
        }
    }
}

/// Somebody who can be told.
#[derive(Debug)]
pub struct Channel {
    /// What `recipient` of an action says.
    pub name: String,
    /// What is spoken there.
    pub kind: ChannelKind,
    /// Where to POST. It is a secret with Slack and Teams.
    pub url: HttpUrl,
    /// How it may be reached.
    pub reach: Reach,
    /// The keys that sign; a plain webhook has one or two, the others none.
    pub secrets: Vec<SecretSlice<u8>>,
}

/// What is spoken in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of Microsoft Teams.
    Teams,
    /// JSON, signed as Standard Webhooks says.
    Webhook,
}

/// How other servers may be reached.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Blocks that may be connected to although they are not public.
    pub allow_blocks: Vec<IpNet>,
    /// Names whose private addresses may be connected to, in lowercase.
    pub allow_hosts: Vec<String>,
    /// A PEM file with the roots to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Time for one call, name resolution and TLS included.
    pub timeout: Duration,
}

impl Reach {
    /// `timeout` unless set.
    pub const TIMEOUT: Duration = Duration::from_secs(15);
}

impl Default for Reach {
    fn default() -> Self {
        let (allow_blocks, allow_hosts) = (Vec::new(), Vec::new());
        Self { allow_blocks, allow_hosts, ca: None, timeout: Self::TIMEOUT }
    }
}

/// Notifications to people, kept in memory for the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedSettings {
    /// How many are kept.
    pub keep: usize,
}

impl FeedSettings {
    /// `keep` unless set.
    pub const KEEP: usize = 1000;
}

/// What holds for calls of other servers.
#[derive(Debug)]
pub struct OutgoingWebhooks {
    /// The keys that sign.
    pub secrets: Vec<SecretSlice<u8>>,
    /// How servers may be reached.
    pub reach: Reach,
}

/// Where exports go.
#[derive(Debug)]
pub struct Exports {
    /// The folder.
    pub folder: PathBuf,
    /// What stands before the name of a file in the link to it; `None` has files attached.
    pub link: Option<String>,
    /// The largest file that a mail carries.
    pub attach: usize,
    /// Who is told of each finished export.
    pub notify: Option<String>,
    /// Most records of one export.
    pub rows: u64,
    /// How long files are kept.
    pub keep: Duration,
}

impl Exports {
    /// `attach` unless set.
    pub const ATTACH: usize = 5 << 20;
    /// `rows` unless set.
    pub const ROWS: u64 = 1_000_000;
    /// `keep` unless set.
    pub const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
}
