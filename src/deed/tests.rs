//! What the tests of every action begin with.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use time::macros::datetime;
use uuid::Uuid;

use crate::condition::Value;
use crate::event::Message;
use crate::event::envelope::tests::message;
use crate::workflow::action::{ActionContext, ActionKind, RenderedAction};

pub(super) fn context() -> ActionContext {
    ActionContext {
        run: Uuid::from_u128(1),
        ordinal: 0,
        attempt: 1,
        idempotency_key: "00000000-0000-0000-0000-000000000001-0".to_owned(),
        workflow: "greet".to_owned(),
        role: "sales".to_owned(),
        tenant: Some("acme".to_owned()),
        correlation_id: "c-1".to_owned(),
        causation_depth: 1,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        event: Message {
            event_type: "lead.created".to_owned(),
            resource: "lead".to_owned(),
            record: Some("7".to_owned()),
            data: RawValue::from_string(r#"{"record":{"id":7,"name":"Ann <b>"}}"#.to_owned())
                .unwrap(),
            ..message()
        },
        now: datetime!(2026-03-01 12:00 UTC),
        dry_run: false,
    }
}

/// An action whose payload is this JSON object.
pub(super) fn rendered(kind: ActionKind, payload: &str) -> RenderedAction {
    let Value::Object(payload) = Value::parse(payload).unwrap().into_owned() else {
        panic!("{payload}")
    };
    let payload: BTreeMap<String, Value<'static>> =
        payload.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
    RenderedAction { kind, payload }
}
