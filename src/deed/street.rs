//! What actions ask of the street: a request to the CRM in a workflow's role.
//!
//! The street itself stands below; here is what is agreed on. Such a request is governed like any
//! other: decided, guarded, recorded, filtered and accounted for.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::event::Causation;

/// One request to the CRM.
#[derive(Debug)]
pub struct Errand {
    /// In whose place it goes.
    pub acting: Acting,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// What the CRM is told beside; the credential is among it.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

/// In whose place a request goes.
#[derive(Debug, Clone)]
pub struct Acting {
    /// Who: `workflow:greet`.
    pub subject: String,
    /// The one role.
    pub role: String,
    /// The company.
    pub tenant: Option<String>,
    /// The run that asks.
    pub causation: Causation,
}

/// What came back.
#[derive(Debug)]
pub struct Returned {
    /// The status.
    pub status: StatusCode,
    /// The body, as the role may see it.
    pub body: Bytes,
    /// Why the street gave this answer itself.
    pub stopped: Option<Stopped>,
}

/// Why the street let a request or its answer not through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// What kind of reason.
    pub by: StoppedBy,
    /// The reason, as logs and metrics name it.
    pub reason: &'static str,
}

/// Kinds of reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoppedBy {
    /// The role may not.
    Role,
    /// The request makes no sense.
    Request,
    /// The CRM could not be reached.
    Connect,
    /// The CRM took too long.
    Timeout,
    /// The CRM's answer cannot be shown.
    Answer,
    /// Not now.
    Busy,
}

/// No answer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// The way to the CRM.
#[async_trait]
pub trait Street: Send + Sync + std::fmt::Debug {
    /// Sends a request. A write goes on to its end even where nobody waits any more.
    ///
    /// # Errors
    /// There is no whole answer.
    async fn send(&self, errand: Errand) -> Result<Returned, Lost>;
}
