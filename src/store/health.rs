//! Whether the store takes writes, and what ails it.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether the store takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Healthy,
    /// Not now. The writer tries every second whether it can again.
    Ailing(Fault),
    /// Not before the process is restarted.
    Failed(Fault),
}

/// What made a commit fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The disk is full.
    Full,
    /// The system could not write.
    Write,
    /// An fsync failed. What it was to save is neither safe nor known to be lost.
    Fsync,
    /// SQLite would not, for another reason; a damaged file, say.
    Sqlite,
}

impl Fault {
    /// A stable name, for log and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Write => "write",
            Self::Fsync => "fsync",
            Self::Sqlite => "sqlite",
        }
    }

    /// What an error of SQLite stands for.
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error() else { return Self::Sqlite };
        match (code.extended_code, code.code) {
            (rusqlite::ffi::SQLITE_IOERR_FSYNC | rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC, _) => {
                Self::Fsync
            }
            (_, rusqlite::ErrorCode::DiskFull) => Self::Full,
            (_, rusqlite::ErrorCode::SystemIoFailure) => Self::Write,
            _ => Self::Sqlite,
        }
    }

    /// The state that it leads to. Only an fsync is past cure: SQLite still has what it could not
    /// write, but the kernel drops what it could not sync.
    pub(super) fn consequence(self) -> Health {
        match self {
            Self::Full | Self::Write | Self::Sqlite => Health::Ailing(self),
            Self::Fsync => Health::Failed(self),
        }
    }
}

/// The health that the writer sets and everybody reads.
#[derive(Debug, Default)]
pub(super) struct Condition(AtomicU8);

const STATES: [Health; 5] = [
    Health::Healthy,
    Health::Ailing(Fault::Full),
    Health::Ailing(Fault::Write),
    Health::Ailing(Fault::Sqlite),
    Health::Failed(Fault::Fsync),
];

impl Condition {
    pub(super) fn get(&self) -> Health {
        let index = usize::from(self.0.load(Ordering::Acquire));
        STATES.get(index).copied().unwrap_or(Health::Failed(Fault::Sqlite))
    }

    pub(super) fn set(&self, health: Health) {
        let index = STATES.iter().position(|state| *state == health);
        let index = index.and_then(|index| u8::try_from(index).ok()).unwrap_or(u8::MAX);
        self.0.store(index, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn every_state_is_kept() {
        let condition = Condition::default();
        assert_eq!(condition.get(), Health::Healthy);
        for fault in [Fault::Full, Fault::Write, Fault::Fsync, Fault::Sqlite] {
            condition.set(fault.consequence());
            assert_eq!(condition.get(), fault.consequence());
        }
        condition.set(Health::Healthy);
        assert_eq!(condition.get(), Health::Healthy);
    }

    #[test]
    fn what_errors_stand_for() {
        for (code, expected) in [
            (ffi::SQLITE_FULL, Health::Ailing(Fault::Full)),
            (ffi::SQLITE_IOERR_WRITE, Health::Ailing(Fault::Write)),
            (ffi::SQLITE_IOERR_FSYNC, Health::Failed(Fault::Fsync)),
            (ffi::SQLITE_IOERR_DIR_FSYNC, Health::Failed(Fault::Fsync)),
            (ffi::SQLITE_CORRUPT, Health::Ailing(Fault::Sqlite)),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(Fault::of(&error).consequence(), expected, "{code}");
        }
    }
}
