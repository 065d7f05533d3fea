//! `call_webhook`: calls an address, signed as Standard Webhooks says.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::failed;
use super::post::{Letter, Post};
use crate::condition::Value;
use crate::config::{HttpUrl, OutgoingWebhooks};
use crate::event::envelope;
use crate::event::sink::BuildCause;
use crate::workflow::action::{ActionContext, ActionFailure, Performed, RenderedAction};

/// Headers that HTTP itself or the call sets.
const OWN_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Calls addresses that workflows name.
pub(super) struct CallWebhook {
    post: Post,
    correlation_header: HeaderName,
}

impl CallWebhook {
    pub(super) fn new(
        settings: OutgoingWebhooks,
        correlation_header: HeaderName,
    ) -> Result<Self, BuildCause> {
        let OutgoingWebhooks { secrets, reach } = settings;
        let post = Post::new(reach, &secrets, false)?;
        Ok(Self { post, correlation_header })
    }

    pub(super) async fn perform(
        &self,
        action: &RenderedAction,
        context: &ActionContext,
    ) -> Performed {
        match call(action, context, &self.correlation_header) {
            Ok(call) => {
                let Call { url, method, headers, body, media_type } = call;
                let letter = Letter {
                    url: &url,
                    method,
                    headers,
                    body,
                    media_type,
                    id: &context.idempotency_key,
                    now: SystemTime::from(context.now),
                };
                self.post.send(letter).await
            }
            Err(why) => failed(ActionFailure::Template, why),
        }
    }
}

/// What is called.
#[derive(Debug)]
struct Call {
    url: HttpUrl,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    media_type: Option<&'static str>,
}

/// Pure. An error says what cannot be sent.
fn call(
    action: &RenderedAction,
    context: &ActionContext,
    correlation_header: &HeaderName,
) -> Result<Call, String> {
    let url = action.text("url").and_then(HttpUrl::parse);
    let url = url.ok_or("`url` comes out as no address that can be called")?;
    let method = match action.text("method") {
        None => Method::POST,
        Some(word) => Method::from_bytes(word.as_bytes()).map_err(|_| "`method` is no method")?,
    };
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(&context.correlation_id) {
        headers.insert(correlation_header.clone(), id);
    }
    if let Some(trace) = context.traceparent.as_deref().and_then(|it| it.parse().ok()) {
        headers.insert("traceparent", trace);
    }
    if let Some(Value::Object(written)) = action.payload.get("headers") {
        for (name, value) in written {
            let (name, value) = header(name, value)?;
            headers.insert(name, value);
        }
    }
    let (body, media_type) = match action.payload.get("body") {
        // As it stands: the workflow says what it is.
        Some(Value::Text(text)) => (text.to_string().into_bytes(), Some(label_of(text))),
        Some(value) => (value.to_string().into_bytes(), Some("application/json")),
        None if matches!(method, Method::GET | Method::DELETE) => (Vec::new(), None),
        // As the webhook sink of events sends it.
        None => (envelope::structured(&context.event), Some(envelope::STRUCTURED_TYPE)),
    };
    Ok(Call { url, method, headers, body: body.into(), media_type })
}

fn label_of(text: &str) -> &'static str {
    if Value::parse(text).is_some() { "application/json" } else { "text/plain; charset=utf-8" }
}

fn header(name: &str, value: &Value<'_>) -> Result<(HeaderName, HeaderValue), String> {
    let header = HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header name"))?;
    let is_own = OWN_HEADERS.contains(&header.as_str()) || header.as_str().starts_with("webhook-");
    if is_own {
        return Err(format!("the header `{name}` is set by Fieldgate itself"));
    }
    let text = match value {
        Value::Text(text) => text.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Null => String::new(),
        Value::List(_) | Value::Object(_) => {
            return Err(format!("the header `{name}` takes a text"));
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| format!("what comes out for the header `{name}` cannot stand in one"))?;
    // It may carry a credential.
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
mod tests;
