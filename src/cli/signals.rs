//! SIGTERM and SIGINT: the first asks to stop, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, Failed};

/// Both signals, caught from the moment that this is made.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to catch. Needs a runtime.
    pub(super) fn catch() -> Result<Self, Failed> {
        let catch = |kind| {
            signal(kind).map_err(|error| {
                Failed::could_not_run(format!("signals cannot be caught: {error}"))
            })
        };
        let terminate = catch(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: catch(SignalKind::interrupt())? })
    }

    /// Waits for the first; from then on, a second one ends the process.
    pub(super) async fn first(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(Exit::CouldNotRun as i32);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
