//! `update_field`, `add_note`, `create_task`: a declared call of the CRM in the workflow's role.
//!
//! The call walks the street like a client's, so the role must be allowed to write what is written,
//! and the answer is observed: its events name this run as their cause.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::street::{Acting, Errand, Lost, Returned, Stopped, StoppedBy, Street};
use super::{DeclaredNow, failed, failed_for_now};
use crate::condition::Value;
use crate::config::CrmAccess;
use crate::event::Causation;
use crate::policy::actions::CrmCall;
use crate::policy::workflow::template::{Reference, Template};
use crate::workflow::action::{
    ActionContext, ActionFailure, ActionKind, Performed, RenderedAction,
};
use crate::workflow::render::{RenderFault, Renderer, TextKind};

/// What the templates of a call are filled in from.
type Variables = BTreeMap<Cow<'static, str>, Value<'static>>;

/// Calls the CRM in a workflow's place.
pub(super) struct Crm {
    street: Arc<dyn Street>,
    credential: (HeaderName, HeaderValue),
    correlation_header: HeaderName,
}

impl Crm {
    /// `None` where the credential cannot stand in a header, which the configuration refuses.
    pub(super) fn new(
        street: Arc<dyn Street>,
        access: &CrmAccess,
        correlation_header: HeaderName,
    ) -> Option<Self> {
        let mut value = HeaderValue::from_str(access.value.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some(Self { street, credential: (access.header.clone(), value), correlation_header })
    }

    /// Asks the CRM for something, or has it write.
    pub(super) async fn ask(
        &self,
        method: Method,
        target: String,
        body: Option<&Value<'_>>,
        context: &ActionContext,
    ) -> Result<Returned, Lost> {
        let mut headers = HeaderMap::new();
        let (name, value) = &self.credential;
        headers.insert(name.clone(), value.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::from_str(&context.correlation_id) {
            headers.insert(self.correlation_header.clone(), id);
        }
        if let Some(trace) = context.traceparent.as_deref().and_then(|it| it.parse().ok()) {
            headers.insert("traceparent", trace);
        }
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Ok(key) = HeaderValue::from_str(&context.idempotency_key) {
                headers.insert("idempotency-key", key);
            }
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let acting = Acting {
            subject: format!("workflow:{}", context.workflow),
            role: context.role.clone(),
            tenant: context.tenant.clone(),
            causation: Causation { run: context.run, depth: context.causation_depth },
        };
        self.street.send(Errand { acting, method, target, headers, body }).await
    }

    /// One of the three actions.
    pub(super) async fn perform(
        &self,
        action: &RenderedAction,
        context: &ActionContext,
        declared: &DeclaredNow,
        renderer: &Renderer,
    ) -> Performed {
        let Some(declared) = declared.now() else {
            return failed_for_now(ActionFailure::Internal, "no policies are loaded");
        };
        let resource = action.text("entity_type").unwrap_or(&context.event.resource);
        let Some(call) = declared.call(action.kind, resource) else {
            let error = format!("no `actions.{}` is declared for `{resource}`", action.kind);
            return failed(ActionFailure::NotConfigured, error);
        };
        let (target, body) = match filled(call, action, context, renderer) {
            Ok(filled) => filled,
            Err(fault) => return failed(ActionFailure::Template, fault.to_string()),
        };
        match self.ask(call.method.clone(), target, Some(&body), context).await {
            Ok(returned) => performed(&returned),
            Err(Lost) => failed_for_now(ActionFailure::Broken, "the CRM gave no whole answer"),
        }
    }
}

/// Path and body of a call.
fn filled(
    call: &CrmCall,
    action: &RenderedAction,
    context: &ActionContext,
    renderer: &Renderer,
) -> Result<(String, Value<'static>), RenderFault> {
    let payload = action.payload.iter();
    let mut variables: Variables =
        payload.map(|(name, value)| (Cow::Owned(name.clone()), value.clone())).collect();
    if action.kind == ActionKind::CreateTask {
        let text = |text: &str| Value::Text(Cow::Owned(text.to_owned()));
        variables.insert(Cow::Borrowed("entity_type"), text(&context.event.resource));
        if let Some(record) = &context.event.record {
            variables.insert(Cow::Borrowed("entity_id"), text(record));
        }
    }
    let path = renderer.fill_text(&call.path, TextKind::Path, &variables, context)?;
    if path.contains("//") {
        // `/api/v1/leads//`: it would be another route, or none.
        return Err(RenderFault::Empty("path"));
    }
    let filling = Filling { renderer, variables: &variables, context };
    let body = filling.value(&call.body)?.unwrap_or(Value::Null);
    Ok((path, body))
}

/// Fills a declared body in.
struct Filling<'a> {
    renderer: &'a Renderer,
    variables: &'a Variables,
    context: &'a ActionContext,
}

impl Filling<'_> {
    /// `None` for a slot that stands alone and that the action leaves out.
    fn value(&self, written: &Value<'static>) -> Result<Option<Value<'static>>, RenderFault> {
        Ok(match written {
            Value::Object(members) => {
                let mut filled = BTreeMap::new();
                for (name, value) in members {
                    if let Some(value) = self.value(value)? {
                        self.put(name, value, &mut filled)?;
                    }
                }
                Some(Value::Object(filled))
            }
            Value::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.value(item)).collect();
                Some(Value::List(items?.into_iter().flatten().collect()))
            }
            Value::Text(text) => {
                let filled = self.renderer.fill_value(written, self.variables, self.context)?;
                let is_left_out = filled == Value::Null && self.is_left_out(text);
                (!is_left_out).then_some(filled)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(written.clone()),
        })
    }

    /// Whether a text is a slot alone whose variable is not there.
    fn is_left_out(&self, text: &str) -> bool {
        let Ok(template) = Template::parse(text) else { return false };
        match template.as_slot().map(|slot| &slot.reference) {
            Some(Reference::Field(path)) => {
                let first = path.as_str().split('.').next().unwrap_or_default();
                !self.variables.contains_key(first)
            }
            _ => false,
        }
    }

    /// Puts a member in. A field `owner.email` that an action names is a member of a member.
    fn put(
        &self,
        name: &str,
        value: Value<'static>,
        into: &mut BTreeMap<Cow<'static, str>, Value<'static>>,
    ) -> Result<(), RenderFault> {
        if !name.contains("{{") {
            into.insert(Cow::Owned(name.to_owned()), value);
            return Ok(());
        }
        let path = self.renderer.fill_text(name, TextKind::Plain, self.variables, self.context)?;
        let mut value = value;
        let mut parts = path.rsplit('.').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() {
                return Err(RenderFault::Empty("field"));
            }
            let part = Cow::Owned(part.to_owned());
            if parts.peek().is_none() {
                into.insert(part, value);
                break;
            }
            value = Value::Object(BTreeMap::from([(part, value)]));
        }
        Ok(())
    }
}

/// What an answer means for a write.
fn performed(returned: &Returned) -> Performed {
    if let Some(failure) = failure(returned) {
        return failure;
    }
    let status = returned.status.as_u16();
    let answer = std::str::from_utf8(&returned.body).ok().and_then(Value::parse);
    let id = answer.as_ref().and_then(|answer| match answer.member("id")? {
        Value::Text(text) => Some(text.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Object(_) => None,
    });
    let result = match id {
        Some(id) => json!({ "status": status, "id": id }),
        None => json!({ "status": status }),
    };
    Performed::Completed { result }
}

/// Why an answer is no success.
pub(super) fn failure(returned: &Returned) -> Option<Performed> {
    let status = returned.status;
    // Where the CRM's own error could not be shown, its status is kept.
    let is_crms_own = !matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    match returned.stopped {
        Some(Stopped { by: StoppedBy::Answer, .. }) if is_crms_own => {}
        Some(stopped) => return Some(not_let_through(stopped)),
        None => {}
    }
    if status.is_success() {
        return None;
    }
    let error = format!("the CRM answered {}", status.as_u16());
    Some(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            failed(ActionFailure::Unauthorized, error)
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            failed_for_now(ActionFailure::Status, error)
        }
        status if status.is_server_error() => failed_for_now(ActionFailure::Status, error),
        _ => failed(ActionFailure::Status, error),
    })
}

fn not_let_through(Stopped { by, reason }: Stopped) -> Performed {
    match by {
        StoppedBy::Role => failed(
            ActionFailure::NotPermitted,
            format!("the role of the workflow may not do this ({reason})"),
        ),
        StoppedBy::Request => failed(
            ActionFailure::Template,
            format!("what comes out cannot be sent to the CRM ({reason})"),
        ),
        StoppedBy::Connect => {
            failed_for_now(ActionFailure::Connect, format!("the CRM was not reached ({reason})"))
        }
        StoppedBy::Timeout => {
            failed_for_now(ActionFailure::Timeout, format!("the CRM took too long ({reason})"))
        }
        StoppedBy::Answer => failed_for_now(
            ActionFailure::Broken,
            format!("the answer of the CRM cannot be read ({reason})"),
        ),
        StoppedBy::Busy => {
            failed_for_now(ActionFailure::Internal, format!("not possible now ({reason})"))
        }
    }
}

#[cfg(test)]
mod tests;
