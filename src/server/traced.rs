//! A sink whose attempts are spans, linked to the requests whose events it takes.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::{Delivered, Message, Sink, sink::Doubt};
use crate::telemetry::{LinkedSpan, Moment, Telemetry, Work};

/// Passes everything on.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) telemetry: Telemetry,
}

#[async_trait]
impl Sink for Traced {
    fn name(&self) -> &str {
        self.sink.name()
    }

    fn role(&self) -> &str {
        self.sink.role()
    }

    fn parallel(&self) -> usize {
        self.sink.parallel()
    }

    async fn inspect(&self) -> Vec<Doubt> {
        self.sink.inspect().await
    }

    async fn deliver(&self, message: &Message, attempt: u32) -> Delivered {
        let cause = message.traceparent.as_deref();
        let mut span = LinkedSpan::begin(Work::Delivery, cause, Moment::now(), &mut rand::rng());
        let delivered = self.sink.deliver(message, attempt).await;
        span.attribute("fieldgate.sink", self.name().to_owned());
        span.attribute("fieldgate.event.type", message.event_type.clone());
        span.attribute("fieldgate.event.id", message.id.to_string());
        span.attribute("fieldgate.attempt", i64::from(attempt));
        span.attribute("fieldgate.correlation_id", message.correlation_id.clone());
        match &delivered {
            Delivered::Accepted => {}
            Delivered::Failed { reason, .. } => span.fail(reason.name()),
            Delivered::Disabled => span.fail("disabled"),
        }
        span.emit(Moment::now(), &self.telemetry);
        delivered
    }
}
