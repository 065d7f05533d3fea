//! Events as JSON lines on standard output, for trying things out.

use std::io::{self, Write};

use async_trait::async_trait;

use super::BuildCause;
use super::lines::{Lines, Place};
use crate::event::{Delivered, Message, Sink};

/// Writes to standard output.
#[derive(Debug)]
pub struct StdoutSink {
    name: String,
    role: String,
    lines: Lines,
}

impl StdoutSink {
    /// # Errors
    /// No thread could be started.
    pub fn new(name: String, role: String) -> Result<Self, BuildCause> {
        Self::writing_to(name, role, io::stdout())
    }

    fn writing_to(
        name: String,
        role: String,
        to: impl Write + Send + 'static,
    ) -> Result<Self, BuildCause> {
        let lines = Lines::start(&name, Output(to))?;
        Ok(Self { name, role, lines })
    }
}

struct Output<W>(W);

impl<W: Write + Send + 'static> Place for Output<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines)?;
        self.0.flush()
    }
}

#[async_trait]
impl Sink for StdoutSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn role(&self) -> &str {
        &self.role
    }

    async fn deliver(&self, message: &Message, _attempt: u32) -> Delivered {
        self.lines.deliver(message).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event::envelope;
    use crate::event::envelope::tests::message;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn one_line_an_event() {
        let kept = Kept::default();
        let sink =
            StdoutSink::writing_to("console".to_owned(), "sales".to_owned(), kept.clone()).unwrap();
        for attempt in 1..=2 {
            assert_eq!(sink.deliver(&message(), attempt).await, Delivered::Accepted);
        }
        let line = String::from_utf8(envelope::structured(&message())).unwrap();
        let written = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written, format!("{line}\n{line}\n"));
    }
}
