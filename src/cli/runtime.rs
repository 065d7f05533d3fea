//! The runtime that listeners and requests run on.

use tokio::runtime::{Builder, Runtime};

use super::exit::Failed;

/// A runtime with so many worker threads; 0 means one for each core.
pub(super) fn with_threads(threads: usize) -> Result<Runtime, Failed> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().thread_name("fieldgate").build().map_err(|error| {
        Failed::could_not_run(format!("the threads cannot be started: {error}"))
            .help("lower `threads` in the configuration, or raise the limit of this account")
    })
}
