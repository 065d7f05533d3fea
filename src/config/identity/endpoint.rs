//! URLs that Fieldgate itself asks: `url`, and `ca` for the roots behind it.

use std::path::PathBuf;

use crate::config::files;
use crate::config::places::is_loopback;
use crate::config::section::{Reader, Section};
use crate::config::settings::{Endpoint, UpstreamTls};
use crate::config::units::Remedy;
use crate::config::upstream::origin;
use crate::config::value;
use crate::diagnostic::Finding;
use crate::yaml::{Node, Value};

/// `url` and `ca` of a section that may do without.
pub(super) fn optional(at: &mut Section<'_, '_, '_>) -> Option<Endpoint> {
    let ca = at.optional("ca", value::file(files::certificates));
    let endpoint = at.optional("url", |reader, node, name| url(reader, node, name, ca));
    refuse_idle_ca(at, endpoint.as_ref());
    endpoint
}

/// `url` and `ca` of a section that needs them.
pub(super) fn required(at: &mut Section<'_, '_, '_>) -> Option<Endpoint> {
    let ca = at.optional("ca", value::file(files::certificates));
    let endpoint = at.required("url", |reader, node, name| url(reader, node, name, ca));
    refuse_idle_ca(at, endpoint.as_ref());
    endpoint
}

fn refuse_idle_ca(at: &mut Section<'_, '_, '_>, endpoint: Option<&Endpoint>) {
    if at.is_written("ca") && endpoint.is_some_and(|endpoint| endpoint.tls.is_none()) {
        let finding = Finding::error("config::tls_over_http", "`ca` has no effect over `http://`")
            .label("nothing is verified here")
            .help("write `https://` in `url`, or remove `ca`");
        at.report(finding, &["ca"]);
    }
}

/// An absolute URL.
pub(super) fn url(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    ca: Option<PathBuf>,
) -> Option<Endpoint> {
    if matches!(&node.value, Value::Text(text) if text.contains('@')) {
        reader.conceal(node.span);
        let message = format!("`{name}` must not hold a user or password");
        let finding = Finding::error("config::inline_secret", message)
            .label("secrets stand elsewhere")
            .help("write scheme, host, port and path");
        reader.report(finding, node.span);
        return None;
    }
    let endpoint = value::parsed(reader, node, name, "a URL", |text| endpoint(text, ca))?;
    if endpoint.tls.is_none() && !is_loopback(&endpoint.host) {
        let message = format!("`{}` is asked over the network without TLS", endpoint.host);
        let finding = Finding::warning("config::plain_identity", message)
            .label("whoever is on the way can say who calls")
            .help("use `https://`; `ca` names roots of your own");
        reader.report(finding, node.span);
    }
    Some(endpoint)
}

fn endpoint(text: &str, ca: Option<PathBuf>) -> Result<Endpoint, Remedy> {
    let behind_scheme = text.find("://").map_or(0, |at| at + 3);
    let path = text.get(behind_scheme..).and_then(|rest| rest.find('/'));
    let (server, target) =
        path.and_then(|path| text.split_at_checked(behind_scheme + path)).unwrap_or((text, "/"));
    let origin = origin(server)?;
    let tls = origin.is_https.then(|| UpstreamTls { server_name: origin.host.clone(), ca });
    Ok(Endpoint { host: origin.host, port: origin.port, tls, target: target_of(target)? })
}

/// A path and query that can stand in a request line.
pub(super) fn target_of(text: &str) -> Result<String, Remedy> {
    if !text.starts_with('/') {
        return Err(Remedy::Borrowed("a path starts with `/`"));
    }
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte));
    if !is_plain || text.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(Remedy::Borrowed("percent-encode what a URL cannot hold, and leave out `#`"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, u16, bool, &str)>) {
        let found = endpoint(text, None).ok();
        let found = found.as_ref().map(|endpoint| {
            (
                endpoint.host.as_str(),
                endpoint.port,
                endpoint.tls.is_some(),
                endpoint.target.as_str(),
            )
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn urls() {
        check("https://idp.example/keys", Some(("idp.example", 443, true, "/keys")));
        check("http://127.0.0.1:81/a/b?c=d", Some(("127.0.0.1", 81, false, "/a/b?c=d")));
        check("https://[::1]:8443", Some(("::1", 8443, true, "/")));
        for faulty in [
            "",
            "idp.example/keys",
            "ftp://idp/keys",
            "https://idp/a b",
            "https://idp/#a",
            "https://idp?x",
            "https://user:word@idp/",
            "https:///keys",
            "https://idp/\u{e9}",
        ] {
            check(faulty, None);
        }
    }
}
