//! What the dispatcher tells about its work, so that others can log and count it.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;

use super::super::journal::{Backlog, JournalError};
use super::super::{DeliveryFailure, Message};

/// Somebody who is told what happens at a sink, after it was recorded. It must not wait.
pub trait DispatchObserver: Send + Sync + fmt::Debug {
    /// The sink has an event, so long after it happened.
    fn delivered(&self, sink: &str, message: &Message, attempt: u32, lag: Duration);

    /// An attempt failed, and will be made again then.
    fn failed(
        &self,
        sink: &str,
        message: &Message,
        attempt: u32,
        reason: DeliveryFailure,
        again: OffsetDateTime,
    );

    /// The last attempt failed: the event is a dead letter.
    fn dead(&self, sink: &str, message: &Message, attempt: u32, reason: DeliveryFailure);

    /// The receiver wants no more events, as it said to this one.
    fn disabled(&self, sink: &str, message: &Message);

    /// What the sink has still to get; told at the start and after changes, at most once a second.
    fn backlog(&self, sink: &str, backlog: &Backlog);

    /// The journal could not be read or written. It is tried again.
    fn journal_refused(&self, sink: &str, error: &JournalError);
}
