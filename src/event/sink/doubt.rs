//! What is doubtful about a receiver, found before anything is sent to it.

use std::time::Duration;

/// What is doubtful about a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It could not be looked at; it is looked at again before the first event.
    #[error("it cannot be reached yet, so its settings are not checked")]
    NotReached,
    /// Its address is not one that events may go to.
    #[error("its address is not public, and `allow` does not open it")]
    AddressRefused,
    /// Its file cannot be written.
    #[error("its file cannot be written")]
    NotWritable,
    /// There is no such stream.
    #[error("the stream does not exist; create it, or say `create: true`")]
    NoStream,
    /// The stream could not be created.
    #[error("the server does not create the stream")]
    NotCreated,
    /// The stream is lost when the server stops.
    #[error(
        "the stream is kept in memory: events that are acknowledged would be lost; use file storage"
    )]
    MemoryStorage,
    /// The stream acknowledges before it has written.
    #[error("the stream acknowledges before it has written (`persist_mode: async`)")]
    AsyncPersistence,
    /// The stream never says that it has a message.
    #[error("the stream acknowledges nothing (`no_ack`)")]
    NoAcknowledgements,
    /// The stream takes nothing.
    #[error("the stream is sealed")]
    Sealed,
    /// The subjects of the stream are others.
    #[error("the stream has no subject that holds `PREFIX.TENANT.TYPE`")]
    Subjects,
    /// Repetitions later than this come twice.
    #[error(
        "the stream knows an id again for {0:?} only: an event that is repeated later comes twice"
    )]
    ShortDuplicateWindow(Duration),
    /// One copy of every message.
    #[error("the stream has one replica: it is as durable as the disk of one server")]
    OneReplica,
    /// The server acknowledges what is not on its disk yet.
    #[error("the server acknowledges before it has synced: set `sync_interval: always`")]
    NotSynced,
}

impl Doubt {
    /// Whether nothing is sent while it stands.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        match self {
            Self::AddressRefused
            | Self::NotWritable
            | Self::NoStream
            | Self::NotCreated
            | Self::MemoryStorage
            | Self::AsyncPersistence
            | Self::NoAcknowledgements
            | Self::Sealed => true,
            Self::NotReached
            | Self::Subjects
            | Self::ShortDuplicateWindow(_)
            | Self::OneReplica
            | Self::NotSynced => false,
        }
    }
}
