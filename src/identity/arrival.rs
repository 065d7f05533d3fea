//! A request as identity sees it: what it carries, where it comes from, and when.

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use http::HeaderMap;

use super::certificate::ShownCertificate;

/// What of a request may say who calls. Times are arguments, so that deciding is repeatable.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The host that the client asks for, by `Host` or `:authority`.
    pub host: &'a [u8],
    /// The address of the connection itself, never what a header says of it.
    pub peer: Option<IpAddr>,
    /// The certificate of the connection, verified by its handshake.
    pub certificate: Option<&'a ShownCertificate>,
    /// The time of day, to compare with what credentials say.
    pub now: SystemTime,
    /// The same moment on the clock that never jumps, to measure the age of answers with.
    pub at: Instant,
}
