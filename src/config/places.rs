//! Addresses that must not meet: two listeners on one, or an upstream that is ourselves.

use std::net::{IpAddr, SocketAddr};

use super::section::Reader;
use crate::diagnostic::{Finding, Span};

/// The addresses of the configuration and where they are written.
#[derive(Debug, Default)]
pub(super) struct Places {
    listening: Vec<Place>,
    upstream: Option<(String, u16, Span)>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    address: SocketAddr,
    /// `None` where the default is used.
    span: Option<Span>,
}

impl Places {
    /// Notes an address to listen on.
    pub(super) fn listen(&mut self, address: SocketAddr, span: Option<Span>) {
        self.listening.push(Place { address, span });
    }

    /// Notes where the CRM is.
    pub(super) fn upstream(&mut self, host: &str, port: u16, span: Span) {
        self.upstream = Some((host.to_owned(), port, span));
    }

    /// Reports addresses that meet.
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        for (index, later) in self.listening.iter().enumerate() {
            let earlier = self.listening.iter().take(index).find(|earlier| earlier.meets(later));
            // Two defaults never meet, so one of the two is written somewhere.
            if let Some((earlier, span)) =
                earlier.and_then(|one| Some((one, later.span.or(one.span)?)))
            {
                let address = if later.span.is_some() { later.address } else { earlier.address };
                let finding = Finding::error(
                    "config::same_address",
                    format!("two listeners cannot both have `{address}`"),
                )
                .label("taken already")
                .help("data listeners and the admin listener each need a port of their own");
                reader.report(finding, span);
            }
        }
        if let Some((host, port, span)) = &self.upstream
            && self.listening.iter().any(|place| place.answers(host, *port))
        {
            let finding = Finding::error(
                "config::upstream_loop",
                "the upstream is a listener of Fieldgate itself",
            )
            .label("requests would come back here")
            .help("name the address of the CRM, or move `listen`");
            reader.report(finding, *span);
        }
    }
}

impl Place {
    /// Whether two listeners would want one port of one address.
    fn meets(&self, other: &Self) -> bool {
        // Port 0 is a free port that the system chooses, another one each time.
        let is_one_port = self.address.port() == other.address.port() && self.address.port() != 0;
        let (one, two) = (self.address.ip(), other.address.ip());
        is_one_port && (one == two || covers(one, two) || covers(two, one))
    }

    /// Whether a connection to `host` would end at this listener.
    fn answers(&self, host: &str, port: u16) -> bool {
        let ip = self.address.ip();
        let is_reached = match host.parse::<IpAddr>() {
            Ok(upstream) => ip == upstream || (upstream.is_loopback() && covers(ip, upstream)),
            Err(_) => is_loopback(host) && (ip.is_loopback() || ip.is_unspecified()),
        };
        self.address.port() == port && is_reached
    }
}

/// Whether listening on `all` takes `one` too. An IPv6 socket on `::` takes IPv4 as well.
fn covers(all: IpAddr, one: IpAddr) -> bool {
    all.is_unspecified() && (all.is_ipv6() || one.is_ipv4())
}

/// Whether a host is this machine without any network between.
pub(super) fn is_loopback(host: &str) -> bool {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return ip.is_loopback();
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_meets(one: &str, two: &str, expected: bool) {
        let place = |address: &str| Place { address: address.parse().unwrap(), span: None };
        assert_eq!(place(one).meets(&place(two)), expected, "{one} and {two}");
        assert_eq!(place(two).meets(&place(one)), expected, "{two} and {one}");
    }

    #[test]
    fn listeners_meet_on_one_port_of_one_address() {
        check_meets("127.0.0.1:80", "127.0.0.1:80", true);
        check_meets("127.0.0.1:80", "127.0.0.1:81", false);
        check_meets("127.0.0.1:80", "127.0.0.2:80", false);
        check_meets("127.0.0.1:80", "0.0.0.0:80", true);
        check_meets("[::]:80", "127.0.0.1:80", true);
        check_meets("0.0.0.0:80", "[::1]:80", false);
        check_meets("127.0.0.1:0", "127.0.0.1:0", false);
    }

    #[track_caller]
    fn check_answers(listener: &str, host: &str, port: u16, expected: bool) {
        let place = Place { address: listener.parse().unwrap(), span: None };
        assert_eq!(place.answers(host, port), expected, "{listener} and {host}:{port}");
    }

    #[test]
    fn an_upstream_is_recognised_as_ourselves() {
        check_answers("127.0.0.1:80", "127.0.0.1", 80, true);
        check_answers("127.0.0.1:80", "localhost", 80, true);
        check_answers("0.0.0.0:80", "LOCALHOST.", 80, true);
        check_answers("0.0.0.0:80", "127.0.0.1", 80, true);
        check_answers("[::1]:80", "::1", 80, true);
        check_answers("127.0.0.1:80", "127.0.0.1", 81, false);
        check_answers("0.0.0.0:80", "10.0.0.1", 80, false);
        check_answers("127.0.0.1:80", "crm.internal", 80, false);
    }
}
