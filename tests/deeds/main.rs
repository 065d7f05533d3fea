//! Actions of workflows against real receivers: webhooks, channels, a real SMTP server, and the demo
//! CRM behind a whole gate.

#![cfg(test)]
#![allow(
    clippy::string_slice,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::wrong_self_convention,
    clippy::inconsistent_struct_constructor,
    clippy::items_after_statements,
    clippy::too_many_lines,
    reason = "short tests matter more here than speed, and a panic is a failure"
)]

#[allow(dead_code, reason = "shared with other tests, which use the rest")]
#[path = "../street/canary.rs"]
mod canary;
mod channels;
mod gate;
mod mails;
#[path = "../street/oracle.rs"]
mod oracle;
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
#[path = "../sinks/receiver.rs"]
mod receiver;
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
#[path = "../sinks/harness.rs"]
mod sinks;
mod smtp;
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
#[path = "../street/harness.rs"]
mod street;
mod webhooks;

/// What shared files find here.
mod harness {
    pub(crate) use crate::sinks::{Certificates, message};
    pub(crate) use crate::street::*;
}

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use fieldgate::condition::Value;
use fieldgate::config::Actions;
use fieldgate::deed::{DeclaredNow, DeedParts, Deeds, Errand, Lost, Returned, Street};
use fieldgate::policy::actions::Declared;
use fieldgate::workflow::action::{
    ActionContext, ActionFailure, ActionKind, Perform as _, Performed, RenderedAction,
};
use fieldgate::workflow::render::Renderer;
use http::HeaderName;
use time::macros::datetime;
use uuid::Uuid;

/// A street that nobody walks.
#[derive(Debug)]
struct Closed;

#[async_trait]
impl Street for Closed {
    async fn send(&self, _: Errand) -> Result<Returned, Lost> {
        Err(Lost)
    }
}

fn deeds(settings: Actions) -> Deeds {
    let declared = Arc::new(Declared::default());
    let parts = DeedParts {
        settings,
        renderer: Arc::new(Renderer::default()),
        correlation_header: HeaderName::from_static("x-correlation-id"),
        street: Arc::new(Closed),
        declared: DeclaredNow::new(move || Some(Arc::clone(&declared))),
        feed: None,
    };
    Deeds::new(parts).unwrap()
}

fn context() -> ActionContext {
    ActionContext {
        run: Uuid::from_u128(7),
        ordinal: 1,
        attempt: 1,
        idempotency_key: format!("{}-1", Uuid::from_u128(7)),
        workflow: "greet".to_owned(),
        role: "sales_rep".to_owned(),
        tenant: Some("acme".to_owned()),
        correlation_id: "req-1".to_owned(),
        causation_depth: 1,
        traceparent: None,
        event: harness::message(1),
        now: datetime!(2026-03-01 12:30 UTC),
        dry_run: false,
    }
}

/// An action whose payload is this JSON object.
fn action(kind: ActionKind, payload: &str) -> RenderedAction {
    let Value::Object(payload) = Value::parse(payload).unwrap().into_owned() else {
        panic!("{payload}")
    };
    let payload: BTreeMap<String, Value<'static>> =
        payload.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
    RenderedAction { kind, payload }
}

async fn perform(deeds: &Deeds, kind: ActionKind, payload: &str) -> Performed {
    deeds.perform(&action(kind, payload), &context()).await
}

#[track_caller]
fn assert_failed(performed: &Performed, expect: (ActionFailure, bool)) -> String {
    match performed {
        Performed::Failed { reason, retryable, error } => {
            assert_eq!((*reason, *retryable), expect, "{error}");
            error.clone()
        }
        Performed::Completed { result } => panic!("{result}"),
    }
}

#[track_caller]
fn assert_done(performed: &Performed) -> serde_json::Value {
    match performed {
        Performed::Completed { result } => result.clone(),
        Performed::Failed { .. } => panic!("{performed:?}"),
    }
}

#[tokio::test]
async fn what_is_not_configured_says_so() {
    let deeds = deeds(Actions::default());
    for (kind, payload, part) in [
        (ActionKind::UpdateField, r#"{"entity_type":"lead"}"#, "crm"),
        (ActionKind::AddNote, r#"{"entity_type":"lead"}"#, "crm"),
        (ActionKind::CreateTask, r#"{"title":"t"}"#, "crm"),
        (ActionKind::SendEmail, r#"{"to":"a@b.example"}"#, "smtp"),
        (ActionKind::SendNotification, r#"{"recipient":"x","message":"m"}"#, "channels"),
        (ActionKind::CallWebhook, r#"{"url":"https://a.example"}"#, "webhooks"),
        (ActionKind::EnqueueExport, r#"{"entity_type":"lead"}"#, "exports"),
    ] {
        let performed = perform(&deeds, kind, payload).await;
        let error = assert_failed(&performed, (ActionFailure::NotConfigured, false));
        assert_eq!(error, format!("`workflows.{part}` is not configured"));
    }
}
