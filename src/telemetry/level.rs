//! The level of the application log, which an operator may change while the process runs.

use std::sync::atomic::{AtomicU8, Ordering};

use tracing::Level;

use crate::config::LogLevel;

/// Holds one of four levels.
#[derive(Debug)]
pub(super) struct LevelSwitch(AtomicU8);

impl LevelSwitch {
    pub(super) fn new(level: LogLevel) -> Self {
        Self(AtomicU8::new(level as u8))
    }

    /// Sets it; answers what it was.
    pub(super) fn set(&self, level: LogLevel) -> LogLevel {
        of(self.0.swap(level as u8, Ordering::Relaxed))
    }

    pub(super) fn get(&self) -> LogLevel {
        of(self.0.load(Ordering::Relaxed))
    }

    /// The level in the words of `tracing`.
    pub(super) fn as_tracing(&self) -> Level {
        match self.get() {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
        }
    }

    /// Whether a line of this level is to be written.
    pub(super) fn wants(&self, level: Level) -> bool {
        level <= self.as_tracing()
    }
}

/// The level with this number.
fn of(number: u8) -> LogLevel {
    let levels = LogLevel::ALL.into_iter().map(|(_, level)| level);
    levels.into_iter().find(|level| *level as u8 == number).unwrap_or(LogLevel::Info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_kept() {
        let switch = LevelSwitch::new(LogLevel::Error);
        let mut before = LogLevel::Error;
        for (_, level) in LogLevel::ALL {
            assert_eq!(switch.set(level), before);
            assert_eq!(switch.get(), level);
            before = level;
        }
        assert!(switch.wants(Level::DEBUG) && !switch.wants(Level::TRACE));
    }
}
