//! `telemetry.traces`: the collector that spans go to, and which are kept.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::files;
use super::places::is_loopback;
use super::section::{Reader, Section, each};
use super::settings::{TraceProtocol, Traces};
use super::units::Remedy;
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::{Node, Value};

/// Headers that the protocols set themselves.
const TAKEN: [&str; 6] =
    ["connection", "content-length", "content-type", "host", "te", "transfer-encoding"];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Traces> {
    let mut at = Section::open(reader, node, name)?;
    let protocol = at.or("protocol", value::word(&TraceProtocol::ALL), TraceProtocol::Grpc);
    let endpoint = at.required("endpoint", endpoint);
    let headers = at.or("headers", |r, n, name| each(r, n, name, header), Vec::new());
    let share = at.or("share", share, Traces::SHARE);
    let slow =
        at.or("slow", value::duration(Duration::ZERO..=Duration::from_secs(3600)), Traces::SLOW);
    let queue = at.or("queue", value::count(16..=1 << 20), Traces::QUEUE);
    if let Some(endpoint) = &endpoint
        && let (Some("http"), Some(host)) = (endpoint.scheme_str(), endpoint.host())
        && !headers.is_empty()
        && !is_loopback(host.trim_matches(['[', ']']))
    {
        let message = format!("the headers for `{host}` pass over the network without TLS");
        let finding = Finding::warning("config::plain_collector", message)
            .label("a token can be read on the way")
            .help("use `https://`, or run a collector beside Fieldgate and reach it on 127.0.0.1");
        at.report(finding, &["endpoint"]);
    }
    at.close();
    Some(Traces { endpoint: endpoint?, protocol, headers, share, slow, queue })
}

/// The URL of a collector, without user and password.
fn endpoint(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<http::Uri> {
    if matches!(&node.value, Value::Text(text) if text.contains('@')) {
        reader.conceal(node.span);
        let finding = Finding::error(
            "config::inline_secret",
            format!("`{name}` must not hold a user or password"),
        )
        .label("secrets stand elsewhere")
        .help("put the value of the header into a file and name it in `headers`");
        reader.report(finding, node.span);
        return None;
    }
    value::parsed(reader, node, name, "the URL of a collector", |text| {
        let wanted = Remedy::Borrowed(
            "write it as in `http://127.0.0.1:4317` (grpc) or `http://127.0.0.1:4318` (http)",
        );
        let uri: http::Uri = text.parse().map_err(|_| wanted.clone())?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let is_plain = uri.query().is_none() && !text.contains(['@', '#']);
        if is_http && has_host && is_plain { Ok(uri) } else { Err(wanted) }
    })
}

fn header(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<(HeaderName, SecretString)> {
    let mut at = Section::open(reader, node, name)?;
    at.refuse_secret("value", "put the value into a file and name it in `file`");
    let header = at.required("name", header_name);
    let value = at.required("file", |reader, node, name| {
        let written = value::text(reader, node, name)?;
        let path = reader.resolve(written);
        let bytes = files::content(reader, node, name, &path, header_value)?;
        Some(SecretString::from(String::from_utf8(bytes.trim_ascii().to_vec()).ok()?))
    });
    at.close();
    Some((header?, value?))
}

fn header_name(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<HeaderName> {
    value::parsed(reader, node, name, "a usable header name", |text| {
        let remedy = Remedy::Borrowed("name what the collector asks for, as in `Authorization`");
        let header = HeaderName::try_from(text).map_err(|_| remedy.clone())?;
        if TAKEN.contains(&header.as_str()) { Err(remedy) } else { Ok(header) }
    })
}

fn header_value(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let value = bytes.trim_ascii();
    if value.is_empty() {
        return Err(("is empty", "write the value of the header into it, as in `Bearer <token>`"));
    }
    if !value.iter().all(|byte| (b' '..=b'~').contains(byte))
        || HeaderValue::from_bytes(value).is_err()
    {
        return Err(("holds what no header can carry", "use one line of ASCII text"));
    }
    Ok(())
}

/// A part of a whole, from 0 to 1.
fn share(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<f64> {
    let written = reader.written(node);
    let share = match node.value {
        Value::Float(share) => share,
        _ => value::parsed(reader, node, name, "a share", |text| {
            text.parse().map_err(|_| Remedy::Borrowed("write a number from 0 to 1, as in `0.1`"))
        })?,
    };
    if (0.0..=1.0).contains(&share) {
        return Some(share);
    }
    let finding = Finding::error("config::range", format!("`{name}`: {written} is out of range"))
        .label("out of range")
        .help("allowed is 0 (none) to 1 (all)");
    reader.report(finding, node.span);
    None
}
