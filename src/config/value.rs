//! The kinds of value a setting can have. Each reader reports what is wrong with its value and
//! then answers `None`; none of them shows what a variable holds.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::files::{self, Check};
use super::path_pattern::PathPattern;
use super::section::Reader;
use super::substitution::{Fault, substitute};
use super::units::{self, Remedy, show_duration, show_size};
use crate::diagnostic::{Finding, Span, suggest};
use crate::yaml::{Node, Value};

/// Headers that mean something to HTTP itself, so that no setting may take them over.
const RESERVED_HEADERS: [&str; 17] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A string that is not empty and holds no control characters.
pub(super) fn text(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    let written = reader.checker.text(node, &format!("`{name}`"))?;
    let text = completed(reader, node, written)?;
    let fault = if text.trim().is_empty() {
        "is empty"
    } else if text.chars().any(char::is_control) {
        "holds control characters"
    } else {
        return Some(text);
    };
    let message = format!("`{name}`: {} {fault}", reader.written(node));
    reader.report(
        Finding::error("config::text", message)
            .label("a line of text belongs here")
            .help("write the text, or remove the key where it may be left out"),
        node.span,
    );
    None
}

/// The string of a node with its variables filled in.
pub(super) fn completed(reader: &mut Reader<'_>, node: &Node, written: &str) -> Option<String> {
    let around = reader.around;
    substitute(written, |name| around.variable(name))
        .map_err(|faults| {
            for fault in faults {
                report_fault(reader, node, &fault);
            }
        })
        .ok()
}

fn report_fault(reader: &mut Reader<'_>, node: &Node, fault: &Fault) {
    let (finding, part) = match fault {
        Fault::Missing(name) => (
            Finding::error(
                "config::missing_variable",
                format!("the environment variable `{name}` is not set"),
            )
            .label("needed here")
            .help("set it where Fieldgate is started"),
            format!("${{{name}}}"),
        ),
        Fault::Malformed => (
            Finding::error("config::substitution", "this `${` names no environment variable")
                .label("`${NAME}` belongs here")
                .help("only `${NAME}` is replaced; write `$${` for a literal `${`"),
            "${".to_owned(),
        ),
    };
    let source = reader.checker.source().text();
    let whole = source.get(node.span.start..node.span.start + node.span.len).unwrap_or_default();
    // An escaped quote or an alias may hide the part; then the whole value is shown.
    let place = whole
        .find(&part)
        .map_or(node.span, |offset| Span::new(node.span.start + offset, part.len()));
    reader.report(finding, place);
}

/// A value with a form of its own, such as a size, written as a string or a whole number.
pub(super) fn parsed<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    wanted: &str,
    parse: impl FnOnce(&str) -> Result<T, Remedy>,
) -> Option<T> {
    let text = match &node.value {
        Value::Integer(number) => number.to_string(),
        Value::Text(written) => completed(reader, node, written)?,
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
            reader.checker.wrong_kind(node, &format!("`{name}`"), wanted);
            return None;
        }
    };
    parse(&text)
        .map_err(|remedy| {
            let message = format!("`{name}`: {} is not {wanted}", reader.written(node));
            reader.report(
                Finding::error("config::value", message)
                    .label(format!("{wanted} belongs here"))
                    .help(remedy),
                node.span,
            );
        })
        .ok()
}

/// Refuses a value outside of `range`.
fn within<T: PartialOrd + Copy, S: Display>(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    range: &RangeInclusive<T>,
    value: T,
    show: impl Fn(T) -> S,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    let (least, most) = (show(*range.start()), show(*range.end()));
    let message = format!("`{name}`: {} is out of range", reader.written(node));
    reader.report(
        Finding::error("config::range", message)
            .label("out of range")
            .help(format!("allowed is {least} to {most}")),
        node.span,
    );
    None
}

/// A whole number in `range`.
pub(super) fn count(
    range: RangeInclusive<usize>,
) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Option<usize> {
    move |reader, node, name| {
        let number = parsed(reader, node, name, "a whole number", |text| {
            text.parse().map_err(|_| Remedy::Borrowed("write digits only, as in `1024`"))
        })?;
        within(reader, node, name, &range, number, |number| number)
    }
}

/// A size in bytes, at least one.
pub(super) fn size<T: TryFrom<u64>>(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<T> {
    let bytes = parsed(reader, node, name, "a size", units::size)?;
    let bytes = within(reader, node, name, &(1..=1 << 40), bytes, show_size)?;
    T::try_from(bytes).ok()
}

/// A duration in `range`.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Option<Duration> {
    move |reader, node, name| {
        let duration = parsed(reader, node, name, "a duration", units::duration)?;
        within(reader, node, name, &range, duration, show_duration)
    }
}

/// A duration to wait at most: never nothing, for that would refuse everything, nor for ever.
pub(super) fn timeout(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Duration> {
    let a_day = Duration::from_secs(24 * 3600);
    duration(Duration::from_millis(1)..=a_day)(reader, node, name)
}

/// One word of a closed list.
pub(super) fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Option<T> {
    move |reader, node, name| {
        let written = text(reader, node, name)?;
        let found = words.iter().find(|(word, _)| *word == written).map(|(_, value)| *value);
        if found.is_none() {
            let message = format!("`{name}` cannot be {}", reader.written(node));
            let help = suggest(&written, words.iter().map(|(word, _)| *word));
            reader.report(Finding::error("config::word", message).help(help), node.span);
        }
        found
    }
}

/// A file that exists, can be read, and passes `check`.
pub(super) fn file(check: Check) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Option<PathBuf> {
    move |reader, node, name| {
        let written = text(reader, node, name)?;
        let path = reader.resolve(written);
        files::content(reader, node, name, &path, check)?;
        Some(path)
    }
}

/// A folder that exists.
pub(super) fn folder(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<PathBuf> {
    let written = text(reader, node, name)?;
    let path = reader.resolve(written);
    if reader.around.is_folder(&path) {
        return Some(path);
    }
    let message = format!("`{name}`: {} is no folder", reader.written(node));
    let finding = Finding::error("config::file", message)
        .label("not found")
        .help(files::where_to_look(&path));
    reader.report(finding, node.span);
    None
}

/// An IP address and a port to listen on.
pub(super) fn address(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SocketAddr> {
    parsed(reader, node, name, "an address with a port", |text| {
        text.parse().map_err(|_| match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => format!("add a port, as in `{ip}:8080`").into(),
            Ok(IpAddr::V6(ip)) => format!("add a port, as in \"[{ip}]:8080\"").into(),
            Err(_) if text.parse::<u16>().is_ok() => {
                format!("name the address too, as in `127.0.0.1:{text}`").into()
            }
            Err(_) if text.starts_with(':') => {
                format!("name the address too: `127.0.0.1{text}`, or `0.0.0.0{text}` for all")
                    .into()
            }
            Err(_) if is_ip_with_some_port(text) => {
                Remedy::Borrowed("the port is a number up to 65535")
            }
            Err(_) => Remedy::Borrowed(
                "write an IP address, not a name, and a port, as in `127.0.0.1:8080`",
            ),
        })
    })
}

fn is_ip_with_some_port(text: &str) -> bool {
    let ip = text.rsplit_once(':').map(|(ip, _)| ip.trim_matches(['[', ']']));
    ip.is_some_and(|ip| ip.parse::<IpAddr>().is_ok())
}

/// A block of addresses, or a single one.
pub(super) fn block(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<IpNet> {
    let block = parsed(reader, node, name, "a block of addresses", |text| {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>()
            .or_else(|_| single())
            .map_err(|_| Remedy::Borrowed("write an address or a CIDR block, as in `10.1.0.0/16`"))
    })?;
    let message = if block.prefix_len() == 0 {
        format!("`{name}`: {} trusts every address there is", reader.written(node))
    } else if block != block.trunc() {
        format!("`{name}`: {} has bits set behind its prefix", reader.written(node))
    } else {
        return Some(block);
    };
    let help = if block.prefix_len() == 0 {
        "name only the proxies that authenticate callers, as in `10.1.0.0/16`".to_owned()
    } else {
        format!(
            "write `{}` for the block, or `{}` for the one address",
            block.trunc(),
            block.addr()
        )
    };
    reader.report(Finding::error("config::peers", message).help(help), node.span);
    None
}

/// The name of a header that a setting may take for its own.
pub(super) fn header(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<HeaderName> {
    parsed(reader, node, name, "a usable header name", |text| {
        let header = HeaderName::try_from(text)
            .map_err(|_| Remedy::Borrowed("use letters, digits and `-`, as in `X-User`"))?;
        if text.contains('_') {
            return Err(Remedy::Borrowed(
                "requests whose header names hold `_` are refused, since servers disagree on them; use `-`",
            ));
        }
        if RESERVED_HEADERS.contains(&header.as_str()) {
            return Err(Remedy::Borrowed(
                "HTTP uses this header itself; choose another, as in `X-User`",
            ));
        }
        Ok(header)
    })
}

/// A pattern of request paths.
pub(super) fn path(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<PathPattern> {
    parsed(reader, node, name, "a path", PathPattern::parse)
}

/// The name of a host without a port, in lowercase.
pub(super) fn host(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    parsed(reader, node, name, "a host name", |text| {
        if is_host(text) {
            return Ok(text.to_ascii_lowercase());
        }
        Err(Remedy::Borrowed("write the name alone, without scheme, port or path"))
    })
}

/// Whether a text can be a host name or an IPv4 address.
pub(super) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}
