//! `webhook`: events over HTTP, signed.

use std::net::IpAddr;
use std::path::PathBuf;

use data_encoding::BASE64;
use http::HeaderName;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::{Taken, has_user, who};
use crate::config::places::is_loopback;
use crate::config::section::{Reader, Section, each};
use crate::config::settings::{ContentMode, EventSink, EventSinkKind, HttpUrl, Webhook};
use crate::config::units::Remedy;
use crate::config::{files, secret, url, value};
use crate::diagnostic::Finding;
use crate::yaml::{Key, Node, Value};

const KEY_PREFIX: &str = "whsec_";

const HOW_TO_MAKE_A_KEY: &str =
    "write `whsec_` and what `openssl rand -base64 32` prints into it, as Standard Webhooks says";

/// Headers that the sink or HTTP itself sets.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    taken: &mut Taken,
) -> Option<EventSink> {
    let mut at = Section::open(reader, node, name)?;
    let (name, role) = who(&mut at, taken);
    let url = at.required("url", receiver);
    let mode = at.or("mode", value::word(&ContentMode::ALL), ContentMode::Structured);
    let secrets = at.required("secrets", secrets);
    let allow = at.optional("allow", |reader, node, name| each(reader, node, name, allowed));
    let ca = at.optional("tls", tls).and_then(|tls| tls.ca);
    let timeout = at.or("timeout", value::timeout, Webhook::TIMEOUT);
    let headers = at.or("headers", headers, Vec::new());
    let parallel = at.or("parallel", value::count(1..=256), Webhook::PARALLEL);
    at.refuse_secret("secret", "put the key into a file and name it in `secrets`");
    if at.is_written("tls") && url.as_ref().is_some_and(|url| !url.is_https) {
        let finding =
            Finding::error("config::tls_over_http", "`webhook.tls` has no effect over `http://`")
                .label("nothing is verified here")
                .help("write `https://` in `webhook.url`, or remove `tls`");
        at.report(finding, &["tls"]);
    }
    at.close();
    let (mut allow_blocks, mut allow_hosts) = (Vec::new(), Vec::new());
    for allowed in allow.into_iter().flatten() {
        match allowed {
            Allowed::Block(block) => allow_blocks.push(block),
            Allowed::Host(host) => allow_hosts.push(host),
        }
    }
    let webhook = Webhook {
        url: url?,
        mode,
        secrets: secrets?,
        allow_blocks,
        allow_hosts,
        ca,
        timeout,
        headers,
        parallel,
    };
    Some(EventSink { name: name?, role: role?, kind: EventSinkKind::Webhook(webhook) })
}

pub(in crate::config) fn receiver(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
) -> Option<HttpUrl> {
    if has_user(reader, node, name, "leave them out; `headers` can carry `Authorization`") {
        return None;
    }
    let url = value::parsed(reader, node, name, "the URL of a receiver", url::webhook)?;
    if !url.is_https && !is_loopback(&url.host) {
        let message = format!("`{}` is reached over the network without TLS", url.host);
        let finding = Finding::warning("config::plain_webhook", message)
            .label("events pass here in the clear")
            .help("use `https://`: a signature shows who wrote, it hides nothing");
        reader.report(finding, node.span);
    }
    Some(url)
}

/// `webhook.tls`.
pub(in crate::config) struct Tls {
    pub(in crate::config) ca: Option<PathBuf>,
}

pub(in crate::config) fn tls(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Tls> {
    let mut at = Section::open(reader, node, name)?;
    let ca = at.optional("ca", value::file(files::certificates));
    at.close();
    Some(Tls { ca })
}

pub(in crate::config) fn secrets(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
) -> Option<Vec<SecretSlice<u8>>> {
    let secrets = each(reader, node, name, signing_key)?;
    if secrets.len() > Webhook::MOST_SECRETS {
        let message = format!("`{name}` lists {} keys", secrets.len());
        let finding = Finding::error("config::range", message)
            .help("at most two: the one in use, and the one that takes its place");
        reader.report(finding, node.span);
        return None;
    }
    Some(secrets)
}

/// A file with a key, or a mapping that names its place.
fn signing_key(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SecretSlice<u8>> {
    let written = match &node.value {
        Value::Map(_) => secret::from_either(usable_key)(reader, node, name)?,
        Value::Text(text) if looks_like_a_key(text) => {
            reader.conceal(node.span);
            let message = format!("`{name}` would keep a secret in this file");
            let finding = Finding::error("config::inline_secret", message)
                .label("secrets stand elsewhere")
                .help("put the key into a file and name the file, or write `{ env: NAME }`");
            reader.report(finding, node.span);
            return None;
        }
        _ => secret::from_file(usable_key)(reader, node, name)?,
    };
    key_bytes(written.expose_secret().as_bytes()).map(Into::into)
}

/// Whether somebody wrote a key where its file belongs.
fn looks_like_a_key(text: &str) -> bool {
    let is_base64 = !text.starts_with(['/', '.'])
        && BASE64.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() >= 16);
    text.starts_with(KEY_PREFIX) || is_base64
}

fn key_bytes(content: &[u8]) -> Option<Vec<u8>> {
    let key = content.trim_ascii().strip_prefix(KEY_PREFIX.as_bytes())?;
    BASE64.decode(key).ok()
}

fn usable_key(content: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let Some(key) = key_bytes(content) else {
        return Err(("holds no `whsec_` key", HOW_TO_MAKE_A_KEY));
    };
    if !Webhook::SECRET_BYTES.contains(&key.len()) {
        return Err(("holds a key that is not 24 to 64 bytes long", HOW_TO_MAKE_A_KEY));
    }
    Ok(())
}

/// One entry of `allow`.
pub(in crate::config) enum Allowed {
    Block(IpNet),
    Host(String),
}

pub(in crate::config) fn allowed(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
) -> Option<Allowed> {
    value::parsed(reader, node, name, "a block of addresses or a host name", |text| {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        match text.parse::<IpNet>().or_else(|_| single()) {
            Ok(block) if block.prefix_len() == 0 => Err(Remedy::Borrowed(
                "this allows every address, the cloud's metadata too; name the block you need",
            )),
            Ok(block) if block != block.trunc() => Err(format!(
                "write `{}` for the block, or `{}` for the one address",
                block.trunc(),
                block.addr()
            )
            .into()),
            Ok(block) => Ok(Allowed::Block(block)),
            Err(_) if value::is_host(text) && url::webhook(&format!("http://{text}")).is_ok() => {
                Ok(Allowed::Host(text.to_ascii_lowercase()))
            }
            Err(_) => Err(Remedy::Borrowed("write it as in `10.0.0.0/8` or `hooks.internal`")),
        }
    })
}

fn headers(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
) -> Option<Vec<(HeaderName, SecretString)>> {
    let mut at = Section::open(reader, node, name)?;
    let entries = at.rest();
    let all: Vec<_> = entries.into_iter().map(|entry| header(at.reader(), entry, name)).collect();
    at.close();
    all.into_iter().collect()
}

fn header(
    reader: &mut Reader<'_>,
    (key, node): &(Key, Node),
    name: &str,
) -> Option<(HeaderName, SecretString)> {
    let header = HeaderName::try_from(key.name.as_str()).ok();
    let is_ours = |header: &HeaderName| {
        let header = header.as_str();
        OWN_HEADERS.contains(&header) || header.starts_with("webhook-") || header.starts_with("ce-")
    };
    let fault = match &header {
        None => Some(("is no header name", "use letters, digits and `-`, as in `X-Team`")),
        Some(header) if is_ours(header) => {
            Some(("is set by Fieldgate itself", "remove it, or choose another name"))
        }
        Some(_) => None,
    };
    if let Some((fault, remedy)) = fault {
        let finding = Finding::error("config::header", format!("`{}` {fault}", key.name));
        reader.report(finding.help(remedy), key.span);
    }
    let value = match &node.value {
        Value::Map(_) => secret::from_either(secret::one_line)(reader, node, name),
        Value::Text(text)
            if header.as_ref().is_some_and(carries_secrets) && !text.contains("${") =>
        {
            reader.conceal(node.span);
            let message = format!("`{}` would keep a secret in this file", key.name);
            let finding = Finding::error("config::inline_secret", message)
                .label("secrets stand elsewhere")
                .help("write `{ file: PATH }` or `{ env: NAME }`, or use a variable: `Bearer ${NAME}`");
            reader.report(finding, node.span);
            None
        }
        _ => literal(reader, node, &key.name),
    };
    Some((header.filter(|header| !is_ours(header))?, value?))
}

fn literal(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SecretString> {
    let text = value::text(reader, node, name)?;
    if secret::one_line(text.as_bytes()).is_ok() {
        return Some(text.into());
    }
    let message = format!("`{name}`: {} cannot stand in a header", reader.written(node));
    let finding = Finding::error("config::header", message).help("use one line of ASCII");
    reader.report(finding, node.span);
    None
}

/// Whether a header is one that people put secrets into.
fn carries_secrets(header: &HeaderName) -> bool {
    let telling = ["auth", "cookie", "key", "password", "secret", "token"];
    telling.iter().any(|word| header.as_str().contains(word))
}
