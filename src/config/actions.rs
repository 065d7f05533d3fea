//! What the actions of workflows need, in `workflows`: `crm`, `smtp`, `channels`, `feed`,
//! `webhooks`, `exports`. An action whose key is missing is not configured.

use http::HeaderName;
use secrecy::ExposeSecret as _;

use super::events::webhook::{self, Allowed};
use super::events::{has_user, sink_name};
use super::places::is_loopback;
use super::section::{Reader, Section, each};
use super::settings::{
    Actions, Channel, ChannelKind, CrmAccess, Exports, FeedSettings, HttpUrl, OutgoingWebhooks,
    Reach, Smtp, SmtpTls,
};
use super::units::Remedy;
use super::{files, secret, url, value};
use crate::diagnostic::{Finding, Span};
use crate::yaml::{Node, Value};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Takes the keys of actions out of `workflows`.
pub(super) fn read(at: &mut Section<'_, '_, '_>) -> Actions {
    let crm = at.optional("crm", crm);
    let smtp = at.optional("smtp", smtp);
    let mut taken = Vec::new();
    let channels = at.optional("channels", |reader, node, name| {
        each(reader, node, name, |reader, item, name| channel(reader, item, name, &mut taken))
    });
    let feed = at.optional("feed", feed);
    let webhooks = at.optional("webhooks", webhooks);
    let exports = at.optional("exports", exports);
    let channels = channels.unwrap_or_default();
    if let Some(name) = exports.as_ref().and_then(|exports| exports.notify.as_ref())
        && !channels.iter().any(|channel| channel.name == *name)
    {
        let message = format!("`exports.notify`: there is no channel `{name}`");
        let finding = Finding::error("config::channel", message)
            .help("name one of `workflows.channels`, or leave `notify` out");
        at.report(finding, &["exports"]);
    }
    Actions { crm, smtp, channels, feed, webhooks, exports }
}

fn crm(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<CrmAccess> {
    let mut at = Section::open(reader, node, name)?;
    let header = at.or("header", credential_header, http::header::AUTHORIZATION);
    let scheme = at.optional("scheme", scheme);
    let from_file = at.optional("token_file", secret::from_file(secret::one_line));
    let from_env = at.optional("token_env", secret::from_env(secret::one_line));
    at.refuse_secret("token", "put the token into a file and name it in `token_file`, or name an environment variable in `token_env`");
    let written = ["token_file", "token_env"].iter().filter(|key| at.is_written(key)).count();
    if written != 1 {
        let message = format!("`{name}` names {written} places of one credential");
        let finding = Finding::error("config::secret", message).help(
            "write one of `token_file` and `token_env`: how workflows show the CRM who they are",
        );
        at.report(finding, &["token_env", "token_file"]);
    }
    at.close();
    let token = from_file.or(from_env)?;
    // A token of its own header stands alone there.
    let usual = (header == http::header::AUTHORIZATION).then(|| "Bearer".to_owned());
    let value = match scheme.or(usual) {
        Some(scheme) => format!("{scheme} {}", token.expose_secret()).into(),
        None => token,
    };
    Some(CrmAccess { header, value })
}

/// Also `Authorization`, which no other setting may take.
fn credential_header(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<HeaderName> {
    let is_usual =
        matches!(&node.value, Value::Text(text) if text.eq_ignore_ascii_case("authorization"));
    if is_usual { Some(http::header::AUTHORIZATION) } else { value::header(reader, node, name) }
}

fn scheme(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "the scheme of a credential", |text| {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("write the word alone, as in `Bearer` or `Token`"))
    })
}

fn smtp(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Smtp> {
    let mut at = Section::open(reader, node, name)?;
    let host = at.required("host", value::host);
    let tls = at.or("tls", value::word(&SmtpTls::ALL), SmtpTls::StartTls);
    let port = at.or("port", value::count(1..=65_535), usize::from(tls.usual_port()));
    let ca = at.optional("ca", value::file(files::certificates));
    let user = at.optional("user", value::text);
    let password_file = at.optional("password_file", secret::from_file(secret::one_line));
    let password_env = at.optional("password_env", secret::from_env(secret::one_line));
    let from = at.required("from", mailbox);
    let timeout = at.or("timeout", value::timeout, Smtp::TIMEOUT);
    let connections = at.or("connections", value::count(1..=64), Smtp::CONNECTIONS);
    at.refuse_secret("password", "put the password into a file and name it in `password_file`");
    let passwords = ["password_file", "password_env"];
    let written = passwords.iter().filter(|key| at.is_written(key)).count();
    if written > 1 || (written == 1) != at.is_written("user") {
        let finding = Finding::error("config::login", format!("`{name}`: this is no whole login"))
            .help("write `user` and one of `password_file` and `password_env`, or none of them");
        at.report(finding, &["password_env", "password_file", "user"]);
    }
    let is_far = host.as_deref().is_some_and(|host| !is_loopback(host));
    if tls == SmtpTls::Off && is_far {
        let message =
            format!("`{name}` would send mails and their login over the network without TLS");
        let finding = Finding::error("config::plain_smtp", message)
            .label("everybody on the way can read them")
            .help("write `tls: starttls` or `tls: implicit`; `off` is for a relay on this machine");
        at.report(finding, &["tls"]);
    }
    if tls == SmtpTls::Off && at.is_written("ca") {
        let finding = Finding::error(
            "config::tls_over_smtp",
            format!("`{name}.ca` has no effect without TLS"),
        )
        .label("nothing is verified here")
        .help("write `tls: starttls`, or remove `ca`");
        at.report(finding, &["ca"]);
    }
    at.close();
    let login = user.zip(password_file.or(password_env));
    let port = u16::try_from(port).ok()?;
    Some(Smtp { host: host?, port, tls, ca, login, from: from?, timeout, connections })
}

/// `Fieldgate <crm@example.com>` or `crm@example.com`.
fn mailbox(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "an address of a mail", |text| {
        let address = match text.split_once('<') {
            Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
            None => text,
        };
        let is_whole = address.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && value::is_host(domain) && !local.contains(char::is_whitespace)
        });
        if is_whole && !text.chars().any(char::is_control) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("write it as in `Fieldgate <crm@example.com>`"))
    })
}

fn channel(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    taken: &mut Vec<(String, Span)>,
) -> Option<Channel> {
    let mut at = Section::open(reader, node, name)?;
    let kinds = [
        ("slack", ChannelKind::Slack),
        ("teams", ChannelKind::Teams),
        ("webhook", ChannelKind::Webhook),
    ];
    let mut found = Vec::new();
    for (word, kind) in kinds {
        found.push(
            at.optional(word, |reader, node, _| one_channel(reader, node, word, kind, taken)),
        );
    }
    let written = kinds.iter().filter(|(word, _)| at.is_written(word)).count();
    if written != 1 && !(written == 0 && at.has_more()) {
        let message = format!("one entry holds {written} channels");
        let finding = Finding::error("config::channel", message)
            .help("start each with a `- ` of its own: one of `slack`, `teams`, `webhook`");
        at.report(finding, &[]);
    }
    at.close();
    found.into_iter().flatten().next()
}

fn one_channel(
    reader: &mut Reader<'_>,
    node: &Node,
    word: &str,
    kind: ChannelKind,
    taken: &mut Vec<(String, Span)>,
) -> Option<Channel> {
    let mut at = Section::open(reader, node, word)?;
    let name = at.required("name", sink_name);
    if let Some(name) = &name {
        let span = at.place(&["name"]);
        if let Some((_, first)) = taken.iter().find(|(taken, _)| taken == name) {
            let line = at.reader().checker.source().line_of(first.start);
            let finding = Finding::error("config::same_channel", "two channels have one name")
                .label("taken already")
                .help(format!("it stands on line {line} already"));
            at.report(finding, &["name"]);
        }
        taken.push((name.clone(), span));
    }
    let (url, secrets) = if kind == ChannelKind::Webhook {
        let url = at.required("url", webhook::receiver);
        (url, at.required("secrets", webhook::secrets))
    } else {
        // Whoever knows it may write there.
        let url = at.required("url_file", secret_url);
        at.refuse_secret(
            "url",
            "whoever knows it may write there: put it into a file and name that in `url_file`",
        );
        (url, Some(Vec::new()))
    };
    let reach = reach(&mut at);
    at.close();
    Some(Channel { name: name?, kind, url: url?, reach, secrets: secrets? })
}

/// A URL in a file of its own.
fn secret_url(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<HttpUrl> {
    let written = match &node.value {
        Value::Text(text) if text.contains("://") => {
            reader.conceal(node.span);
            let message = format!("`{name}` would keep a secret in this file");
            let finding = Finding::error("config::inline_secret", message)
                .label("secrets stand elsewhere")
                .help("put the URL into a file and name the file");
            reader.report(finding, node.span);
            return None;
        }
        Value::Map(_) => secret::from_either(usable_url)(reader, node, name)?,
        _ => secret::from_file(usable_url)(reader, node, name)?,
    };
    HttpUrl::parse(written.expose_secret())
}

fn usable_url(content: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let text = std::str::from_utf8(content.trim_ascii()).unwrap_or_default();
    match url::webhook(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(("holds no URL", "put the URL of the channel into it, on one line")),
    }
}

fn reach(at: &mut Section<'_, '_, '_>) -> Reach {
    let allow =
        at.optional("allow", |reader, node, name| each(reader, node, name, webhook::allowed));
    let ca = at.optional("tls", webhook::tls).and_then(|tls| tls.ca);
    let timeout = at.or("timeout", value::timeout, Reach::TIMEOUT);
    let mut reach = Reach { ca, timeout, ..Reach::default() };
    for allowed in allow.into_iter().flatten() {
        match allowed {
            Allowed::Block(block) => reach.allow_blocks.push(block),
            Allowed::Host(host) => reach.allow_hosts.push(host),
        }
    }
    reach
}

fn feed(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<FeedSettings> {
    let mut at = Section::open(reader, node, name)?;
    let keep = at.or("keep", value::count(1..=100_000), FeedSettings::KEEP);
    at.close();
    Some(FeedSettings { keep })
}

fn webhooks(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<OutgoingWebhooks> {
    let mut at = Section::open(reader, node, name)?;
    let secrets = at.required("secrets", webhook::secrets);
    at.refuse_secret("secret", "put the key into a file and name it in `secrets`");
    let reach = reach(&mut at);
    at.close();
    Some(OutgoingWebhooks { secrets: secrets?, reach })
}

fn exports(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Exports> {
    let mut at = Section::open(reader, node, name)?;
    let folder = at.required("folder", value::folder);
    let link = at.optional("link", link);
    let attach = at.or("attach", value::size::<usize>, Exports::ATTACH);
    let notify = at.optional("notify", value::text);
    let rows = at.or("rows", value::count(1..=1_000_000_000), 1_000_000);
    let years = 3650 * DAY;
    let keep =
        at.or("keep", value::duration(std::time::Duration::from_secs(60)..=years), Exports::KEEP);
    at.close();
    Some(Exports { folder: folder?, link, attach, notify, rows: rows as u64, keep })
}

/// What stands before the name of a file.
fn link(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    if has_user(reader, node, name, "leave them out: the link is sent around") {
        return None;
    }
    value::parsed(reader, node, name, "the URL of a folder", |text| {
        if !text.contains('?') && text.ends_with('/') {
            url::webhook(text).map(|_| text.to_owned())
        } else {
            Err(Remedy::Borrowed("end it with `/`: the name of the file follows"))
        }
    })
}
