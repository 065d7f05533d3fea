//! What workflows do: each action as one attempt that is done, or that says why it is not.
//!
//! One file an action, and one place that knows them all. An action whose part of the configuration
//! is missing fails clearly and does nothing. What goes out is what the workflow's role may see; no
//! secret and no text of a receiver stands in a result or an error.

mod post;
mod webhook;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderName;

use self::webhook::CallWebhook;
use crate::config;
use crate::event::sink::BuildCause;
use crate::workflow::action::{
    ActionContext, ActionFailure, ActionKind, Perform, Performed, RenderedAction,
};
use crate::workflow::render::Renderer;

/// What actions are made of.
pub struct DeedParts {
    /// What the configuration says of them.
    pub settings: config::Actions,
    /// Fills in what is not filled in yet, such as the texts of mails.
    pub renderer: Arc<Renderer>,
    /// The header that carries the correlation id.
    pub correlation_header: HeaderName,
}

/// Why a part of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`workflows.{part}` cannot be used: {cause}")]
pub struct DeedFault {
    /// Which part.
    pub part: String,
    /// Why.
    #[source]
    pub cause: BuildCause,
}

/// Every action, as far as it is set up.
pub struct Deeds {
    call_webhook: Option<CallWebhook>,
}

impl fmt::Debug for Deeds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys and credentials stay out.
        formatter.write_str("Deeds")
    }
}

impl Deeds {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// A part of the configuration that cannot be used: roots or keys.
    pub fn new(parts: DeedParts) -> Result<Self, DeedFault> {
        let DeedParts { settings, renderer: _, correlation_header } = parts;
        let fault = |part: &str| {
            let part = part.to_owned();
            move |cause| DeedFault { part, cause }
        };
        let call_webhook = settings.webhooks.map(|webhooks| {
            CallWebhook::new(webhooks, correlation_header.clone()).map_err(fault("webhooks"))
        });
        Ok(Self { call_webhook: call_webhook.transpose()? })
    }
}

#[async_trait]
impl Perform for Deeds {
    async fn perform(&self, action: &RenderedAction, context: &ActionContext) -> Performed {
        match action.kind {
            ActionKind::CallWebhook => match &self.call_webhook {
                Some(webhook) => webhook.perform(action, context).await,
                None => not_configured("webhooks"),
            },
            ActionKind::AddNote | ActionKind::UpdateField | ActionKind::CreateTask => {
                not_configured("crm")
            }
            ActionKind::SendEmail => not_configured("smtp"),
            ActionKind::SendNotification => not_configured("channels"),
            ActionKind::EnqueueExport => not_configured("exports"),
        }
    }
}

/// What an action fails with whose part of the configuration is missing.
fn not_configured(part: &str) -> Performed {
    failed(ActionFailure::NotConfigured, format!("`workflows.{part}` is not configured"))
}

/// A failure that another attempt does not mend.
fn failed(reason: ActionFailure, error: impl Into<String>) -> Performed {
    Performed::Failed { reason, retryable: false, error: error.into() }
}

/// A failure that another attempt may mend.
fn failed_for_now(reason: ActionFailure, error: impl Into<String>) -> Performed {
    Performed::Failed { reason, retryable: true, error: error.into() }
}

#[cfg(test)]
mod tests;
