//! `upstream`: where the CRM is, and how long to wait for it.

use std::time::Duration;

use super::files;
use super::places::{Places, is_loopback};
use super::section::{Reader, Section};
use super::settings::{Upstream, UpstreamTls};
use super::units::{Remedy, show_duration};
use super::url;
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::{Node, Value};

/// Scheme, host and port of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) is_https: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    places: &mut Places,
) -> Option<Upstream> {
    if let Value::Text(_) = node.value {
        let origin = origin_at(reader, node, name)?;
        places.upstream(&origin.host, origin.port, node.span);
        let tls =
            origin.is_https.then(|| UpstreamTls { server_name: origin.host.clone(), ca: None });
        return Some(assemble(origin, tls, None, Timeouts::default(), Upstream::POOL_IDLE));
    }
    let mut at = Section::open(reader, node, name)?;
    let origin = at.required("url", origin_at);
    let tls = at.optional("tls", tls);
    let is_tls_written = at.is_written("tls");
    let host_header = at.optional("host_header", host_header);
    let timeouts = at.or("timeouts", timeouts, Timeouts::default());
    let pool_idle = at.or("pool_idle", value::timeout, Upstream::POOL_IDLE);
    if is_tls_written && origin.as_ref().is_some_and(|origin| !origin.is_https) {
        let finding =
            Finding::error("config::tls_over_http", "`upstream.tls` has no effect over `http://`")
                .label("nothing is verified here")
                .help("write `https://` in `upstream.url`, or remove `tls`");
        at.report(finding, &["tls"]);
    }
    let span = at.place(&["url"]);
    at.close();
    let origin = origin?;
    places.upstream(&origin.host, origin.port, span);
    let tls = origin.is_https.then(|| {
        let (server_name, ca) = tls.unwrap_or_default();
        UpstreamTls { server_name: server_name.unwrap_or_else(|| origin.host.clone()), ca }
    });
    Some(assemble(origin, tls, host_header, timeouts, pool_idle))
}

fn assemble(
    origin: Origin,
    tls: Option<UpstreamTls>,
    host_header: Option<String>,
    timeouts: Timeouts,
    pool_idle: Duration,
) -> Upstream {
    Upstream {
        host: origin.host,
        port: origin.port,
        tls,
        host_header,
        connect_timeout: timeouts.connect,
        first_byte_timeout: timeouts.first_byte,
        idle_timeout: timeouts.idle,
        total_timeout: timeouts.total,
        pool_idle,
    }
}

fn origin_at(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Origin> {
    if matches!(&node.value, Value::Text(text) if text.contains('@')) {
        reader.conceal(node.span);
        let finding = Finding::error(
            "config::inline_secret",
            format!("`{name}` must not hold a user or password"),
        )
        .label("secrets stand elsewhere")
        .help("write scheme, host and port; the caller's own credentials go to the CRM");
        reader.report(finding, node.span);
        return None;
    }
    let origin = value::parsed(reader, node, name, "the URL of a server", origin)?;
    if !origin.is_https && !is_loopback(&origin.host) {
        let message = format!("`{}` is reached over the network without TLS", origin.host);
        let finding = Finding::warning("config::plain_upstream", message)
            .label("unmasked personal data passes here in the clear")
            .help("use `https://`, or run Fieldgate beside the CRM and reach it on 127.0.0.1");
        reader.report(finding, node.span);
    }
    Some(origin)
}

/// Reads `scheme://host:port`.
pub(super) fn origin(text: &str) -> Result<Origin, Remedy> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let is_https = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err(Remedy::Borrowed("start with `http://` or `https://`")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(Remedy::Borrowed(
            "leave out the path: requests keep the path that the client asked for",
        ));
    }
    // What variables hold is first seen here.
    if authority.contains('@') {
        return Err(Remedy::Borrowed("leave out user and password"));
    }
    let usual = if is_https { 443 } else { 80 };
    let (host, port) = url::authority(authority, usual, "https://crm.internal:8443")?;
    Ok(Origin { is_https, host, port })
}

type Verification = (Option<String>, Option<std::path::PathBuf>);

fn tls(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Verification> {
    let mut at = Section::open(reader, node, name)?;
    let server_name = at.optional("server_name", value::host);
    let ca = at.optional("ca", value::file(files::certificates));
    at.close();
    Some((server_name, ca))
}

fn host_header(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "a host with or without a port", |text| {
        let host = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        if value::is_host(host.map_or(text, |(host, _)| host)) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("write what the CRM expects in `Host`, as in `crm.example`"))
    })
}

/// `upstream.timeouts`.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Duration,
    first_byte: Duration,
    idle: Duration,
    total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Upstream::CONNECT,
            first_byte: Upstream::FIRST_BYTE,
            idle: Upstream::IDLE,
            total: Upstream::TOTAL,
        }
    }
}

fn timeouts(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Timeouts> {
    let usual = Timeouts::default();
    let mut at = Section::open(reader, node, name)?;
    let total = at.or("total", value::timeout, usual.total);
    // A short total shortens the waits that are not written; it contradicts those that are.
    let timeouts = Timeouts {
        connect: at.or("connect", value::timeout, usual.connect.min(total)),
        first_byte: at.or("first_byte", value::timeout, usual.first_byte.min(total)),
        idle: at.or("idle", value::timeout, usual.idle.min(total)),
        total,
    };
    let waits = [
        ("connect", timeouts.connect),
        ("first_byte", timeouts.first_byte),
        ("idle", timeouts.idle),
    ];
    for (key, wait) in waits.into_iter().filter(|(_, wait)| *wait > total) {
        let (wait, total) = (show_duration(wait), show_duration(total));
        let message = format!("`{key}` waits {wait}, and `total` ends at {total}");
        let finding = Finding::error("config::timeouts", message)
            .label("would never be reached")
            .help("`total` covers the whole exchange: raise it, or lower the other");
        at.report(finding, &[key]);
    }
    at.close();
    Some(timeouts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_https: bool, host: &str, port: u16) {
        assert_eq!(origin(text), Ok(Origin { is_https, host: host.to_owned(), port }), "{text}");
    }

    #[test]
    fn urls_of_servers_are_read() {
        check("http://127.0.0.1:8081", false, "127.0.0.1", 8081);
        check("http://crm.internal", false, "crm.internal", 80);
        check("https://crm.internal/", true, "crm.internal", 443);
        check("https://crm_1.internal:8443", true, "crm_1.internal", 8443);
        check("http://[::1]:81", false, "::1", 81);
        check("https://[fd00::1]", true, "fd00::1", 443);
    }

    #[test]
    fn whatever_is_more_or_less_than_a_server_is_refused() {
        let faulty = [
            "",
            "crm",
            "crm:80",
            "127.0.0.1:80",
            "ftp://crm",
            "HTTP://crm",
            "http://",
            "http:///",
            "http://crm/api",
            "http://crm?x",
            "http://crm#x",
            "http://user:secret@crm",
            "http://crm:0",
            "http://crm:65536",
            "http://crm:x",
            "http://crm:80:80",
            "http://[crm]",
            "http://[::1]80",
            "http://::1",
            "http://c rm",
            "http://crm..x",
            "http://cr\u{e9}m",
        ];
        for text in faulty {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
