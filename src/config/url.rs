//! Hosts and ports in URLs, and the URLs that events go to. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::settings::HttpUrl;
use super::units::Remedy;
use super::value;

/// Host and port of `text`, an IPv6 address without its brackets. `example` is what a good URL
/// looks like.
pub(super) fn authority(
    text: &str,
    usual: u16,
    example: &'static str,
) -> Result<(String, u16), Remedy> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => {
            (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
        }
        Some(_) => return Err(Remedy::Borrowed("only an IPv6 address stands in brackets")),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = port.and_then(|port| if port.is_empty() { Some(usual) } else { port.parse().ok() });
    let Some(port) = port.filter(|port| *port != 0) else {
        return Err(Remedy::Borrowed("the port is a number from 1 to 65535"));
    };
    if !host.contains(':') && !value::is_host(host) {
        return Err(format!("write it as in `{example}`").into());
    }
    Ok((host.to_owned(), port))
}

/// The URL of a receiver over HTTP, with path and query.
pub(super) fn webhook(text: &str) -> Result<HttpUrl, Remedy> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let is_https = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err(Remedy::Borrowed("start with `http://` or `https://`")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (before, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if before.contains('@') {
        return Err(Remedy::Borrowed("leave out user and password; `headers` can carry them"));
    }
    if target.contains('#') {
        return Err(Remedy::Borrowed("leave out what follows `#`: it is never sent"));
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Remedy::Borrowed("write other characters than ASCII as `%` and two digits"));
    }
    let usual = if is_https { 443 } else { 80 };
    let (host, port) = authority(before, usual, "https://hooks.example/crm")?;
    if is_odd_ipv4(&host) {
        return Err(Remedy::Borrowed("write an IPv4 address as four decimal numbers"));
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    if target.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(Remedy::Borrowed("write it as in `https://hooks.example/crm`"));
    }
    Ok(HttpUrl { is_https, host: host.to_ascii_lowercase(), port, target })
}

/// The URL of a NATS server in the form that is kept: scheme, host, port.
pub(super) fn nats(text: &str, usual: u16) -> Result<String, Remedy> {
    let Some((scheme @ ("nats" | "tls"), rest)) = text.split_once("://") else {
        return Err(Remedy::Borrowed("start with `nats://` or `tls://`"));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err(Remedy::Borrowed(
            "leave out user and password; name them in keys of their own",
        ));
    }
    let (host, port) = authority(rest, usual, "nats://nats.internal:4222")?;
    if is_odd_ipv4(&host) {
        return Err(Remedy::Borrowed("write an IPv4 address as four decimal numbers"));
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(format!("{scheme}://{host}:{port}"))
}

/// Whether resolvers would read a host as an IPv4 address that people do not see in it, such as
/// `2130706433`, `0x7f.1` or `127.1`.
fn is_odd_ipv4(host: &str) -> bool {
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let is_hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || is_hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_number && host.parse::<Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_https: bool, host: &str, port: u16, target: &str) {
        let (host, target) = (host.to_owned(), target.to_owned());
        assert_eq!(webhook(text), Ok(HttpUrl { is_https, host, port, target }), "{text}");
    }

    #[test]
    fn urls_of_receivers_are_read() {
        check("https://hooks.example", true, "hooks.example", 443, "/");
        check("https://Hooks.Example/crm", true, "hooks.example", 443, "/crm");
        check("http://127.0.0.1:8090/a/b?c=d&e", false, "127.0.0.1", 8090, "/a/b?c=d&e");
        check("https://[::1]:8443?x=%20", true, "::1", 8443, "/?x=%20");
        check("https://0x7f.example/", true, "0x7f.example", 443, "/");
    }

    #[test]
    fn what_hides_where_it_leads_is_refused() {
        let faulty = [
            "",
            "hooks.example",
            "ftp://hooks.example",
            "https:///crm",
            "https://user:word@hooks.example/",
            "https://hooks.example/#part",
            "https://hooks.example/a b",
            "https://hooks.example/\u{e9}",
            "https://hooks.example:0/",
            "https://hooks.example:65536/",
            "https://[hooks]/",
            "https://[::1%25eth0]/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0X7F.0.0.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://127.0.0.01/",
            "http://\u{ff11}27.0.0.1/",
            "http://127.0.0.1\\@hooks.example/",
        ];
        for text in faulty {
            assert!(webhook(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_of_nats_servers_are_read() {
        assert_eq!(nats("nats://nats", 4222).as_deref(), Ok("nats://nats:4222"));
        assert_eq!(nats("tls://10.0.0.1:4333/", 4222).as_deref(), Ok("tls://10.0.0.1:4333"));
        assert_eq!(nats("nats://[::1]", 4222).as_deref(), Ok("nats://[::1]:4222"));
        for text in ["nats", "http://nats", "nats://a:b@nats", "nats://", "nats://127.1", "ws://n"]
        {
            assert!(nats(text, 4222).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_shows_nothing_behind_its_host() {
        let url = webhook("https://hooks.example/hunter2?hunter2").unwrap();
        assert_eq!(format!("{url:?}"), "https://hooks.example:443/…");
    }
}
