//! What workflows do: each action as one attempt that is done, or that says why it is not.
//!
//! One file an action, and one place that knows them all. An action whose part of the configuration
//! is missing fails clearly and does nothing. What goes out is what the workflow's role may see; no
//! secret and no text of a receiver stands in a result or an error.

mod crm;
mod export;
mod feed;
mod mail;
mod notify;
mod post;
mod street;
mod webhook;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderName;

use self::crm::Crm;
use self::export::Exporter;
use self::mail::Mailer;
use self::notify::Notify;
use self::webhook::CallWebhook;
use crate::config;
use crate::event::sink::BuildCause;
use crate::policy::actions::Declared;
use crate::workflow::action::{
    ActionContext, ActionFailure, ActionKind, Perform, Performed, RenderedAction,
};
use crate::workflow::render::Renderer;

pub use self::feed::{Feed, Note, Numbered};
pub use self::street::{Acting, Errand, Lost, Returned, Stopped, StoppedBy, Street};

/// What actions are made of.
pub struct DeedParts {
    /// What the configuration says of them.
    pub settings: config::Actions,
    /// Fills in what is not filled in yet, such as the texts of mails.
    pub renderer: Arc<Renderer>,
    /// The header that carries the correlation id.
    pub correlation_header: HeaderName,
    /// The way to the CRM.
    pub street: Arc<dyn Street>,
    /// What the policies in force declare for actions.
    pub declared: DeclaredNow,
    /// Where people are told who are no channel.
    pub feed: Option<Feed>,
}

/// What the policies in force declare for actions; `None` while there are none.
#[derive(Clone)]
pub struct DeclaredNow(Arc<dyn Fn() -> Option<Arc<Declared>> + Send + Sync>);

impl DeclaredNow {
    /// Asks `ask` each time.
    pub fn new(ask: impl Fn() -> Option<Arc<Declared>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    fn now(&self) -> Option<Arc<Declared>> {
        (self.0)()
    }
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
    crm: Option<Arc<Crm>>,
    mailer: Option<Arc<Mailer>>,
    notify: Arc<Notify>,
    call_webhook: Option<CallWebhook>,
    exporter: Option<Exporter>,
    declared: DeclaredNow,
    renderer: Arc<Renderer>,
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
        let DeedParts { settings, renderer, correlation_header, street, declared, feed } = parts;
        let config::Actions { crm, smtp, channels, feed: _, webhooks, exports } = settings;
        let fault = |part: &str| {
            let part = part.to_owned();
            move |cause| DeedFault { part, cause }
        };
        let crm = crm.and_then(|access| Crm::new(street, &access, correlation_header.clone()));
        let crm = crm.map(Arc::new);
        let mailer = smtp.map(|smtp| Mailer::new(&smtp).map_err(fault("smtp"))).transpose()?;
        let mailer = mailer.map(Arc::new);
        let notify = Arc::new(Notify::new(channels, feed)?);
        let call_webhook = webhooks
            .map(|webhooks| {
                CallWebhook::new(webhooks, correlation_header).map_err(fault("webhooks"))
            })
            .transpose()?;
        let exporter = exports.map(|exports| {
            Exporter::new(exports, crm.clone(), mailer.clone(), Arc::clone(&notify))
        });
        Ok(Self { crm, mailer, notify, call_webhook, exporter, declared, renderer })
    }
}

#[async_trait]
impl Perform for Deeds {
    async fn perform(&self, action: &RenderedAction, context: &ActionContext) -> Performed {
        let (declared, renderer) = (&self.declared, self.renderer.as_ref());
        match action.kind {
            ActionKind::AddNote | ActionKind::UpdateField | ActionKind::CreateTask => {
                match &self.crm {
                    Some(crm) => crm.perform(action, context, declared, renderer).await,
                    None => not_configured("crm"),
                }
            }
            ActionKind::SendEmail => match &self.mailer {
                Some(mailer) => mailer.perform(action, context, declared, renderer).await,
                None => not_configured("smtp"),
            },
            ActionKind::SendNotification => self.notify.perform(action, context).await,
            ActionKind::CallWebhook => match &self.call_webhook {
                Some(webhook) => webhook.perform(action, context).await,
                None => not_configured("webhooks"),
            },
            ActionKind::EnqueueExport => match &self.exporter {
                Some(exporter) => exporter.perform(action, context, declared).await,
                None => not_configured("exports"),
            },
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
