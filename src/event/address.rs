//! The address guard: whether events may go to an address.
//!
//! A receiver is named by whoever writes the configuration, but what a name stands for is said by
//! whoever answers for it in the DNS. So a name is resolved once, every address that it has is
//! looked at, and the connection goes to one of these addresses and to no other: a second answer
//! of the DNS is never asked for. Only public addresses pass unless the configuration opens more.
//!
//! All but [`AddressGuard::resolve`] is pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Most addresses of one name that are looked at; more are refused.
const MOST_ADDRESSES: usize = 64;

/// Why an address is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPublic {
    /// `0.0.0.0/8`, `::`: this machine, on most systems.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918 and unique local addresses.
    Private,
    /// RFC 6598: between a provider and its customers.
    Shared,
    /// The link itself; clouds tell machines their secrets at `169.254.169.254`.
    LinkLocal,
    /// An address of a cloud's own machinery that looks public.
    Cloud,
    /// Many machines at once.
    Multicast,
    /// For examples alone.
    Documentation,
    /// Not given to anybody, or for a protocol of its own.
    Reserved,
    /// An IPv6 address that holds an IPv4 one, so that it says not where it leads.
    Embedded,
}

impl NotPublic {
    /// Whether the name of a host in `allow` opens such an address. A name is believed to be in the
    /// own network, but never to be something that no receiver can be.
    fn opens_by_name(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::Shared => true,
            Self::Unspecified
            | Self::LinkLocal
            | Self::Cloud
            | Self::Multicast
            | Self::Documentation
            | Self::Reserved
            | Self::Embedded => false,
        }
    }
}

/// Why a receiver has no address to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAddress {
    /// An address may not be connected to.
    Refused,
    /// The name has none.
    Unknown,
}

/// Which addresses events may go to.
#[derive(Debug, Clone, Default)]
pub struct AddressGuard {
    blocks: Vec<IpNet>,
    hosts: Vec<String>,
}

impl AddressGuard {
    /// Public addresses, those in `blocks`, and private ones of `hosts` (in lowercase).
    #[must_use]
    pub fn new(blocks: Vec<IpNet>, hosts: Vec<String>) -> Self {
        Self { blocks, hosts }
    }

    /// Whether a connection to `ip` may be made for `host`.
    #[must_use]
    pub fn allows(&self, host: &str, ip: IpAddr) -> bool {
        let Some(reason) = not_public(ip) else { return true };
        // The translated address is the one that is reached, so its block opens it as well.
        let is_open = |ip: &IpAddr| self.blocks.iter().any(|block| block.contains(ip));
        is_open(&ip)
            || translated(ip).is_some_and(|ip| is_open(&IpAddr::V4(ip)))
            || (reason.opens_by_name() && self.is_named(host))
    }

    fn is_named(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.hosts
            .iter()
            .any(|named| named.strip_suffix('.').unwrap_or(named).eq_ignore_ascii_case(host))
    }

    /// The addresses of a host, if all may be connected to. One that may not refuses the whole
    /// name: whoever answers with it is not to be trusted with the others.
    ///
    /// # Errors
    /// There is none, or one is refused.
    pub fn check(
        &self,
        host: &str,
        found: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, NoAddress> {
        let found: Vec<SocketAddr> = found.into_iter().take(MOST_ADDRESSES + 1).collect();
        if found.is_empty() {
            return Err(NoAddress::Unknown);
        }
        let is_good = |address: &SocketAddr| self.allows(host, address.ip());
        if found.len() > MOST_ADDRESSES || !found.iter().all(is_good) {
            return Err(NoAddress::Refused);
        }
        Ok(found)
    }

    /// Resolves a host once. What comes back may be connected to.
    ///
    /// # Errors
    /// There is no address, or one is refused.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NoAddress> {
        match literal(host) {
            Literal::Address(ip) => self.check(host, [SocketAddr::new(ip, port)]),
            Literal::Odd => Err(NoAddress::Refused),
            Literal::Name => {
                let found = tokio::net::lookup_host((host, port)).await;
                self.check(host, found.map_err(|_| NoAddress::Unknown)?)
            }
        }
    }
}

/// What a host is before anybody is asked.
#[derive(Debug, PartialEq, Eq)]
enum Literal {
    Address(IpAddr),
    /// What resolvers would read as a number: `2130706433`, `0x7f.1`, `127.1`, `0177.0.0.1`.
    Odd,
    Name,
}

fn literal(host: &str) -> Literal {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Literal::Address(ip);
    }
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if host.is_empty() || !host.bytes().all(is_named) {
        return Literal::Odd;
    }
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number { Literal::Odd } else { Literal::Name }
}

/// Why an address is not public; `None` where it is.
#[must_use]
pub fn not_public(ip: IpAddr) -> Option<NotPublic> {
    match ip {
        IpAddr::V4(ip) => not_public_v4(ip),
        IpAddr::V6(ip) => not_public_v6(ip),
    }
}

fn not_public_v4(ip: Ipv4Addr) -> Option<NotPublic> {
    IPV4.iter().find(|(block, _)| block.contains(&ip)).map(|(_, reason)| *reason)
}

fn not_public_v6(ip: Ipv6Addr) -> Option<NotPublic> {
    if let Some(reached) = translated(IpAddr::V6(ip)) {
        // On a network with IPv6 alone every IPv4 receiver has such an address.
        return not_public_v4(reached);
    }
    let listed = IPV6.iter().find(|(block, _)| block.contains(&ip)).map(|(_, reason)| *reason);
    listed.or_else(|| (!GLOBAL_UNICAST.contains(&ip)).then_some(NotPublic::Reserved))
}

/// The IPv4 address that a NAT64 address leads to (RFC 6052).
fn translated(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V6(ip) if NAT64.contains(&ip) => {
            let [.., a, b, c, d] = ip.octets();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, h: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, h), prefix)
}

/// What of IPv4 is not public: IANA's registry of special addresses, and one of a cloud.
const IPV4: [(Ipv4Net, NotPublic); 18] = [
    (v4(0, 0, 0, 0, 8), NotPublic::Unspecified),
    (v4(10, 0, 0, 0, 8), NotPublic::Private),
    (v4(100, 64, 0, 0, 10), NotPublic::Shared),
    (v4(127, 0, 0, 0, 8), NotPublic::Loopback),
    (v4(168, 63, 129, 16, 32), NotPublic::Cloud), // Azure's host, from every machine there
    (v4(169, 254, 0, 0, 16), NotPublic::LinkLocal),
    (v4(172, 16, 0, 0, 12), NotPublic::Private),
    (v4(192, 0, 0, 0, 24), NotPublic::Reserved), // protocol assignments; Oracle's metadata too
    (v4(192, 0, 2, 0, 24), NotPublic::Documentation),
    (v4(192, 31, 196, 0, 24), NotPublic::Reserved), // AS112
    (v4(192, 52, 193, 0, 24), NotPublic::Reserved), // AMT
    (v4(192, 88, 99, 0, 24), NotPublic::Reserved),  // relays of 6to4
    (v4(192, 168, 0, 0, 16), NotPublic::Private),
    (v4(198, 18, 0, 0, 15), NotPublic::Reserved), // benchmarks
    (v4(198, 51, 100, 0, 24), NotPublic::Documentation),
    (v4(203, 0, 113, 0, 24), NotPublic::Documentation),
    (v4(224, 0, 0, 0, 4), NotPublic::Multicast),
    (v4(240, 0, 0, 0, 4), NotPublic::Reserved),
];

/// Where NAT64 puts the IPv4 address in the last four bytes.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 0, 96);

/// All that is given out of IPv6 so far.
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

/// What of IPv6 is known not to be public; what is not in [`GLOBAL_UNICAST`] is reserved anyway.
const IPV6: [(Ipv6Net, NotPublic); 15] = [
    (v6(0, 0, 0, 0, 128), NotPublic::Unspecified),
    (v6(0, 0, 0, 1, 128), NotPublic::Loopback),
    (MAPPED, NotPublic::Embedded),
    (v6(0, 0, 0, 0, 96), NotPublic::Embedded), // IPv4-compatible
    (v6(0x64, 0xff9b, 1, 0, 48), NotPublic::Embedded), // NAT64 of the own network
    (v6(0x2001, 0, 0, 0, 32), NotPublic::Embedded), // Teredo
    (v6(0x2001, 0, 0, 0, 23), NotPublic::Reserved), // protocol assignments
    (v6(0x2001, 0xdb8, 0, 0, 32), NotPublic::Documentation),
    (v6(0x2002, 0, 0, 0, 16), NotPublic::Embedded), // 6to4
    (v6(0x3fff, 0, 0, 0, 20), NotPublic::Documentation),
    (v6(0x100, 0, 0, 0, 64), NotPublic::Reserved), // discard
    (v6(0xfc00, 0, 0, 0, 7), NotPublic::Private),
    (v6(0xfe80, 0, 0, 0, 10), NotPublic::LinkLocal),
    (v6(0xfec0, 0, 0, 0, 10), NotPublic::Private), // site-local
    (v6(0xff00, 0, 0, 0, 8), NotPublic::Multicast),
];

const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

#[cfg(test)]
mod tests;
