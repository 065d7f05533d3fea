//! One thread that writes lines, many in one go: what queued while the last write ran goes into
//! the next. So a place that syncs every write syncs once for all that wait.

use std::io;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::event::{Delivered, DeliveryFailure, Message, envelope};

use super::BuildCause;

/// Most lines that wait to be written.
const QUEUE: usize = 1024;

/// Most bytes of one write, but for a line that is longer.
const BATCH_BYTES: usize = 1 << 20;

/// Where lines are written.
pub(super) trait Place: Send + 'static {
    /// Writes whole lines; when it answers, they are as durable as the place can make them. Where
    /// it fails, none of them counts as written.
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// The way to the writing thread. It ends when the last of these is gone.
#[derive(Debug)]
pub(super) struct Lines {
    queue: mpsc::Sender<Line>,
}

struct Line {
    text: Vec<u8>,
    is_written: oneshot::Sender<bool>,
}

impl Lines {
    pub(super) fn start(name: &str, place: impl Place) -> Result<Self, BuildCause> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name(format!("sink {name}"))
            .spawn(move || write_all(waiting, place))
            .map_err(BuildCause::Thread)?;
        Ok(Self { queue })
    }

    /// Writes a message as one line.
    pub(super) async fn deliver(&self, message: &Message) -> Delivered {
        let mut line = envelope::structured(message);
        line.push(b'\n');
        if self.write(line).await {
            return Delivered::Accepted;
        }
        Delivered::Failed { reason: DeliveryFailure::Write, retry_after: None }
    }

    /// Whether `text` was written.
    pub(super) async fn write(&self, text: Vec<u8>) -> bool {
        let (is_written, answer) = oneshot::channel();
        self.queue.send(Line { text, is_written }).await.is_ok() && answer.await.unwrap_or(false)
    }
}

fn write_all(mut waiting: mpsc::Receiver<Line>, mut place: impl Place) {
    let mut answers = Vec::new();
    let mut lines = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        let mut next = Some(first);
        while let Some(Line { text, is_written }) = next {
            lines.extend_from_slice(&text);
            answers.push(is_written);
            next = if lines.len() < BATCH_BYTES { waiting.try_recv().ok() } else { None };
        }
        let is_good = place.write(&lines).is_ok();
        lines.clear();
        for answer in answers.drain(..) {
            // Whoever asked may have given up; the line stands all the same.
            let _ = answer.send(is_good);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Counts writes, and waits in each until it is told to go on.
    struct Slow {
        writes: Arc<Mutex<Vec<usize>>>,
        go_on: std::sync::mpsc::Receiver<bool>,
    }

    impl Place for Slow {
        fn write(&mut self, lines: &[u8]) -> io::Result<()> {
            self.writes.lock().unwrap().push(memchr::memchr_iter(b'\n', lines).count());
            let is_good = self.go_on.recv().unwrap();
            if is_good { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }
    }

    #[tokio::test]
    async fn what_waits_is_written_in_one_go() {
        let writes = Arc::default();
        let (told, go_on) = std::sync::mpsc::channel();
        let place = Slow { writes: Arc::clone(&writes), go_on };
        let lines = Arc::new(Lines::start("slow", place).unwrap());
        let write = |lines: &Arc<Lines>| {
            let lines = Arc::clone(lines);
            tokio::spawn(async move { lines.write(b"x\n".to_vec()).await })
        };
        let first = write(&lines);
        while writes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..50).map(|_| write(&lines)).collect();
        // Every other task has queued its line before this one goes on: the runtime has one thread.
        while lines.queue.capacity() > QUEUE - 50 {
            tokio::task::yield_now().await;
        }
        told.send(true).unwrap();
        told.send(false).unwrap();
        assert!(first.await.unwrap());
        for other in others {
            assert!(!other.await.unwrap(), "a failed write fails all its lines");
        }
        assert_eq!(*writes.lock().unwrap(), [1, 50]);
    }
}
