//! `workflows` as checked.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use super::actions::Actions;
use super::events::{NatsLogin, NatsTls};

const HOUR: u64 = 60 * 60;

/// How workflows are carried out.
#[derive(Debug)]
pub struct Workflows {
    /// Runs at once.
    pub concurrency: usize,
    /// Runs of one workflow that may start within a minute, where it says nothing itself; `None` is
    /// any number.
    pub rate: Option<u32>,
    /// The longest that any run may take; a workflow may say less.
    pub max_execution_time: Duration,
    /// The most actions of any run; a workflow may say less.
    pub max_actions: u32,
    /// How long a run stays with a process that is not heard of.
    pub lease: Duration,
    /// How long runs are kept after their end.
    pub retention: Duration,
    /// Variables of the environment that templates may name, with their values. These may be
    /// secrets, of the address of a webhook for example.
    pub env: BTreeMap<String, SecretString>,
    /// Where several Fieldgates share runs; `None` keeps them in `data_dir`.
    pub nats: Option<Fleet>,
    /// What their actions need.
    pub actions: Actions,
}

impl Default for Workflows {
    fn default() -> Self {
        Self {
            concurrency: 64,
            rate: None,
            max_execution_time: Duration::from_secs(300),
            max_actions: 50,
            lease: Duration::from_secs(60),
            retention: Duration::from_secs(30 * 24 * HOUR),
            env: BTreeMap::new(),
            nats: None,
            actions: Actions::default(),
        }
    }
}

/// What several Fieldgates share their runs by.
#[derive(Debug)]
pub struct Fleet {
    /// The servers, as `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// What the names of the stream and the buckets begin with. Who has the same shares the work.
    pub name: String,
    /// Copies of what is stored.
    pub replicas: usize,
    /// How long to wait for an answer of the server.
    pub timeout: Duration,
    /// How Fieldgate shows who it is.
    pub login: NatsLogin,
    /// Certificates, where they are not the system's.
    pub tls: NatsTls,
}

impl Fleet {
    /// `name` unless set.
    pub const NAME: &'static str = "fieldgate";
}
