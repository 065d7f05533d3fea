//! The thread that writes log lines, so that nobody on the street ever waits for a slow reader.
//!
//! Lines are made here, off the street, and written in batches. What cannot be queued or written
//! is lost, and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::access_line;
use super::exchange::Exchange;
use super::metrics::Metrics;
use super::note::Note;
use super::queue::Queue;
use crate::config::LogFormat;

/// Entries that may wait. Each is bounded, so this bounds the memory.
const CAPACITY: usize = 4096;

/// How long the writer lets lines gather.
const LINGER: Duration = Duration::from_millis(10);

/// Bytes gathered before they are written.
const BATCH_BYTES: usize = 64 * 1024;

/// What every line says of its sender.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) service: String,
    pub(super) environment: String,
}

/// Something to write.
#[derive(Debug)]
pub(super) enum Entry {
    Access(Arc<Exchange>),
    Note(Box<Note>),
}

/// The way to the writing thread.
pub(super) type Lines = Queue<Entry>;

/// Starts the thread. It ends when the queue is closed and empty.
pub(super) fn start(
    output: Box<dyn Write + Send>,
    format: LogFormat,
    base: Base,
    metrics: Arc<Metrics>,
) -> io::Result<Arc<Lines>> {
    let lines = Arc::new(Queue::new(CAPACITY, LINGER));
    let mut thread = Writer {
        lines: Arc::clone(&lines),
        output,
        format,
        base,
        metrics,
        pending: Pending::default(),
    };
    thread::Builder::new().name("log-writer".into()).spawn(move || thread.run())?;
    Ok(lines)
}

/// Queues an entry, or counts it as lost.
pub(super) fn push(lines: &Lines, entry: Entry, metrics: &Metrics) {
    if let Err(entry) = lines.push(entry) {
        match entry {
            Entry::Access(_) => metrics.access_log_dropped.inc(),
            Entry::Note(_) => metrics.application_log_dropped.inc(),
        }
    }
}

struct Writer {
    lines: Arc<Lines>,
    output: Box<dyn Write + Send>,
    format: LogFormat,
    base: Base,
    metrics: Arc<Metrics>,
    pending: Pending,
}

/// Lines made and not yet written.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    access: u64,
    notes: u64,
}

impl Writer {
    fn run(&mut self) {
        let mut batch = Vec::new();
        while self.lines.take(&mut batch) {
            let count = batch.len();
            for entry in batch.drain(..) {
                self.render(&entry);
                if self.pending.bytes.len() >= BATCH_BYTES {
                    self.write();
                }
            }
            self.write();
            self.lines.finish(count);
        }
    }

    fn render(&mut self, entry: &Entry) {
        let Pending { bytes, access, notes } = &mut self.pending;
        match (entry, self.format) {
            (Entry::Access(exchange), LogFormat::Json) => {
                access_line::json(exchange, &self.base, bytes);
            }
            (Entry::Note(note), LogFormat::Json) => note.json(&self.base, bytes),
            (Entry::Access(exchange), LogFormat::Text) => {
                append(bytes, |text| access_line::text(exchange, text));
            }
            (Entry::Note(note), LogFormat::Text) => append(bytes, |text| note.text(text)),
        }
        match entry {
            Entry::Access(_) => *access += 1,
            Entry::Note(_) => *notes += 1,
        }
    }

    fn write(&mut self) {
        let Pending { bytes, access, notes } = &mut self.pending;
        let written = self.output.write_all(bytes).and_then(|()| self.output.flush());
        if written.is_err() {
            self.metrics.access_log_dropped.inc_by(*access);
            self.metrics.application_log_dropped.inc_by(*notes);
        }
        bytes.clear();
        *access = 0;
        *notes = 0;
    }
}

fn append(bytes: &mut Vec<u8>, make: impl FnOnce(&mut String) -> std::fmt::Result) {
    let mut text = String::new();
    // Writing into a string cannot fail; a line that did would be incomplete.
    if make(&mut text).is_ok() {
        bytes.extend_from_slice(text.as_bytes());
    }
}
