//! `send_email`, and the mails of exports: SMTP with TLS, a login and a pool of connections.
//!
//! An attempt that is repeated has the same `Message-ID`. No answer of a mail server stands in an
//! error, for it may repeat what was sent; its number does.

use std::time::SystemTime;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Mailboxes, Message, MultiPart, SinglePart};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{DeclaredNow, failed, failed_for_now};
use crate::condition::Value;
use crate::config::{Smtp, SmtpTls};
use crate::event::sink::BuildCause;
use crate::workflow::action::{ActionContext, ActionFailure, Performed, RenderedAction};
use crate::workflow::render::{Renderer, TextKind};

/// Most receivers of one mail.
const MOST_RECEIVERS: usize = 50;

/// Longest subject, in bytes.
const LONGEST_SUBJECT: usize = 900;

/// Sends mails.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// A mail to be sent.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) to: Vec<Mailbox>,
    pub(super) subject: String,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    /// A file: its name, what it is, what stands in it.
    pub(super) file: Option<(String, &'static str, Vec<u8>)>,
}

impl Mailer {
    /// Connects to nobody yet.
    pub(super) fn new(settings: &Smtp) -> Result<Self, BuildCause> {
        let from = settings.from.parse().map_err(|_| BuildCause::Server)?;
        let tls = match settings.tls {
            SmtpTls::Off => Tls::None,
            SmtpTls::StartTls => Tls::Required(tls(settings)?),
            SmtpTls::Implicit => Tls::Wrapper(tls(settings)?),
        };
        let connections = u32::try_from(settings.connections).unwrap_or(1);
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(settings.host.as_str())
                .port(settings.port)
                .tls(tls)
                .timeout(Some(settings.timeout))
                .pool_config(PoolConfig::new().max_size(connections));
        if let Some((user, password)) = &settings.login {
            let password = password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self { transport: builder.build(), from })
    }

    /// The action.
    pub(super) async fn perform(
        &self,
        action: &RenderedAction,
        context: &ActionContext,
        declared: &DeclaredNow,
        renderer: &Renderer,
    ) -> Performed {
        match mail(action, context, declared, renderer) {
            Ok(mail) => self.send(mail, context).await,
            Err(failure) => *failure,
        }
    }

    /// Sends a mail of this run.
    pub(super) async fn send(&self, mail: Mail, context: &ActionContext) -> Performed {
        let receivers = mail.to.len();
        let Some(message) = message(mail, &self.from, context) else {
            return failed(ActionFailure::Template, "what comes out is no mail");
        };
        match self.transport.send(message).await {
            Ok(_) => Performed::Completed { result: json!({ "receivers": receivers }) },
            Err(error) => not_sent(&error),
        }
    }
}

fn tls(settings: &Smtp) -> Result<TlsParameters, BuildCause> {
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(path) = &settings.ca {
        let pem = std::fs::read(path).map_err(|_| BuildCause::Roots)?;
        let certificate = Certificate::from_pem(&pem).map_err(|_| BuildCause::Roots)?;
        builder =
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|_| BuildCause::NoRoots)
}

/// The mail that an action asks for.
fn mail(
    action: &RenderedAction,
    context: &ActionContext,
    declared: &DeclaredNow,
    renderer: &Renderer,
) -> Result<Mail, Box<Performed>> {
    let wrong = |error: String| Box::new(failed(ActionFailure::Template, error));
    let to = receivers(action.payload.get("to").unwrap_or(&Value::Null)).map_err(wrong)?;
    let subject = action.text("subject").unwrap_or_default().to_owned();
    let (text, html) = match (action.text("template"), action.text("body")) {
        (Some(name), _) => {
            let Some(declared) = declared.now() else {
                let error = "no policies are loaded";
                return Err(Box::new(failed_for_now(ActionFailure::Internal, error)));
            };
            let Some(written) = declared.mails.get(name) else {
                let error = "no file of `templates/` has the name that `template` says";
                return Err(Box::new(failed(ActionFailure::NotConfigured, error)));
            };
            let fill = |text: &Option<String>, kind| {
                let text = text.as_ref().map(|text| renderer.fill(text, kind, action, context));
                text.transpose().map_err(|fault| wrong(fault.to_string()))
            };
            (fill(&written.text, TextKind::Plain)?, fill(&written.html, TextKind::Html)?)
        }
        (None, Some(body)) => (Some(body.to_owned()), None),
        (None, None) => return Err(wrong("the mail comes out without a text".to_owned())),
    };
    Ok(Mail { to, subject, text, html, file: None })
}

/// The addresses behind `to`: a text with commas, or a list of such.
pub(super) fn receivers(value: &Value<'_>) -> Result<Vec<Mailbox>, String> {
    let texts: Vec<&str> = match value {
        Value::Text(text) => vec![text],
        Value::List(items) => items
            .iter()
            .map(|item| match item {
                Value::Text(text) => Ok(text.as_ref()),
                Value::Null => Ok(""),
                Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => {
                    Err("an address of a mail is a text".to_owned())
                }
            })
            .collect::<Result<_, _>>()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err("an address of a mail is a text".to_owned());
        }
    };
    let mut all = Vec::new();
    for text in texts.into_iter().filter(|text| !text.trim().is_empty()) {
        if text.chars().any(char::is_control) {
            return Err("an address of a mail holds a control character".to_owned());
        }
        // What is not an address may still be somebody's data, so it is not shown.
        let found: Mailboxes =
            text.parse().map_err(|_| "what comes out is no address of a mail".to_owned())?;
        all.extend(found);
    }
    match all.len() {
        0 => Err("a mail to nobody".to_owned()),
        1..=MOST_RECEIVERS => Ok(all),
        many => Err(format!("a mail to {many} receivers; {MOST_RECEIVERS} are the most")),
    }
}

/// Pure. `None` for what no mail can hold.
fn message(mail: Mail, from: &Mailbox, context: &ActionContext) -> Option<Message> {
    let Mail { to, subject, text, html, file } = mail;
    if subject.len() > LONGEST_SUBJECT || subject.chars().any(char::is_control) {
        return None;
    }
    let domain = from.email.domain();
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(subject)
        .date(SystemTime::from(context.now))
        .message_id(Some(format!("<{}@{domain}>", context.idempotency_key)));
    for to in to {
        builder = builder.to(to);
    }
    // So that nobody's answering machine writes back (RFC 3834).
    for (name, value) in
        [("Auto-Submitted", "auto-generated"), ("X-Correlation-ID", &context.correlation_id)]
    {
        let name = HeaderName::new_from_ascii(name.to_owned()).ok()?;
        builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    let attached = file.map(|(name, media_type, content)| {
        let media_type = ContentType::parse(media_type).unwrap_or(ContentType::TEXT_PLAIN);
        Attachment::new(name).body(content, media_type)
    });
    let message = match (text, html, attached) {
        (Some(text), Some(html), None) => {
            builder.multipart(MultiPart::alternative_plain_html(text, html))
        }
        (Some(text), None, None) => builder.singlepart(SinglePart::plain(text)),
        (None, Some(html), None) => builder.singlepart(SinglePart::html(html)),
        (text, _, Some(attached)) => {
            let text = SinglePart::plain(text.unwrap_or_default());
            builder.multipart(MultiPart::mixed().singlepart(text).singlepart(attached))
        }
        (None, None, None) => return None,
    };
    message.ok()
}

/// Why a mail did not go out.
fn not_sent(error: &lettre::transport::smtp::Error) -> Performed {
    if let Some(code) = error.status() {
        let number = u16::from(code);
        let text = format!("the mail server answered {number}");
        return match number {
            // RFC 4954: the login was refused, or there should have been one.
            530 | 534 | 535 | 538 => failed(ActionFailure::Unauthorized, text),
            400..=499 => failed_for_now(ActionFailure::Status, text),
            _ => failed(ActionFailure::Status, text),
        };
    }
    if error.is_timeout() {
        failed_for_now(ActionFailure::Timeout, "the mail server took too long")
    } else if error.is_tls() || is_of_tls(error) {
        failed_for_now(
            ActionFailure::Tls,
            "no TLS connection to the mail server could be made, or its certificate is not trusted",
        )
    } else if error.is_client() {
        failed(
            ActionFailure::Tls,
            "the mail server does not offer what is needed, STARTTLS or a login",
        )
    } else {
        failed_for_now(ActionFailure::Connect, "the mail server could not be reached")
    }
}

/// Whether a handshake is what failed: that comes as an error of the connection.
fn is_of_tls(error: &lettre::transport::smtp::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if cause.is::<rustls::Error>() || inner.is_some() {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests;
