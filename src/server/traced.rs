//! Work off the street as spans, linked to the requests that caused it: attempts of sinks, and
//! attempts of actions.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::{Delivered, Message, Sink, sink::Doubt};
use crate::telemetry::{LinkedSpan, Moment, Telemetry, Work};
use crate::workflow::action::{ActionContext, Perform, Performed, RenderedAction};

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
        let (share, now) = (self.telemetry.propagation(), Moment::now());
        let mut span = LinkedSpan::begin(Work::Delivery, cause, share, now, &mut rand::rng());
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

/// Has every attempt of an action told as a span, whose context the calls of the action carry.
#[derive(Debug)]
pub(super) struct TracedActions {
    pub(super) perform: Arc<dyn Perform>,
    pub(super) telemetry: Telemetry,
}

/// The span of an attempt. One that is dropped was given up: its time was over, or its run taken
/// back.
struct Attempt<'t> {
    span: Option<LinkedSpan>,
    telemetry: &'t Telemetry,
}

impl Attempt<'_> {
    fn end(&mut self, failure: Option<&'static str>) {
        if let Some(mut span) = self.span.take() {
            if let Some(failure) = failure {
                span.fail(failure);
            }
            span.emit(Moment::now(), self.telemetry);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.end(Some("given_up"));
    }
}

#[async_trait]
impl Perform for TracedActions {
    async fn perform(&self, action: &RenderedAction, context: &ActionContext) -> Performed {
        let cause = context.traceparent.as_deref();
        let (share, now) = (self.telemetry.propagation(), Moment::now());
        let mut span = LinkedSpan::begin(Work::WorkflowAction, cause, share, now, &mut rand::rng());
        span.attribute("fieldgate.workflow", context.workflow.clone());
        span.attribute("fieldgate.action", action.kind.word());
        span.attribute("fieldgate.run.id", context.run.to_string());
        span.attribute("fieldgate.attempt", i64::from(context.attempt));
        span.attribute("fieldgate.correlation_id", context.correlation_id.clone());
        let context = ActionContext { traceparent: Some(span.traceparent()), ..context.clone() };
        let mut attempt = Attempt { span: Some(span), telemetry: &self.telemetry };
        let performed = self.perform.perform(action, &context).await;
        attempt.end(match &performed {
            Performed::Completed { .. } => None,
            Performed::Failed { reason, .. } => Some(reason.word()),
        });
        performed
    }
}
