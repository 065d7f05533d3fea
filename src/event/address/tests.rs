use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(ip: &str, expected: Option<NotPublic>) {
    assert_eq!(not_public(ip.parse().unwrap()), expected, "{ip}");
}

#[test]
fn what_is_public_of_ipv4() {
    for ip in ["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"] {
        check(ip, None);
    }
    for ip in ["126.255.255.255", "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0"] {
        check(ip, None);
    }
    for ip in ["192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"]
    {
        check(ip, None);
    }
    check("0.0.0.0", Some(NotPublic::Unspecified));
    check("0.255.255.255", Some(NotPublic::Unspecified));
    check("10.0.0.0", Some(NotPublic::Private));
    check("10.255.255.255", Some(NotPublic::Private));
    check("100.64.0.0", Some(NotPublic::Shared));
    check("100.100.100.200", Some(NotPublic::Shared));
    check("100.127.255.255", Some(NotPublic::Shared));
    check("127.0.0.1", Some(NotPublic::Loopback));
    check("127.255.255.254", Some(NotPublic::Loopback));
    check("168.63.129.16", Some(NotPublic::Cloud));
    check("168.63.129.17", None);
    check("169.254.0.0", Some(NotPublic::LinkLocal));
    check("169.254.169.254", Some(NotPublic::LinkLocal));
    check("172.16.0.0", Some(NotPublic::Private));
    check("172.31.255.255", Some(NotPublic::Private));
    check("192.0.0.192", Some(NotPublic::Reserved));
    check("192.0.2.1", Some(NotPublic::Documentation));
    check("192.88.99.1", Some(NotPublic::Reserved));
    check("192.168.0.1", Some(NotPublic::Private));
    check("198.18.0.1", Some(NotPublic::Reserved));
    check("198.19.255.255", Some(NotPublic::Reserved));
    check("198.51.100.7", Some(NotPublic::Documentation));
    check("203.0.113.7", Some(NotPublic::Documentation));
    check("224.0.0.1", Some(NotPublic::Multicast));
    check("239.255.255.255", Some(NotPublic::Multicast));
    check("240.0.0.1", Some(NotPublic::Reserved));
    check("255.255.255.255", Some(NotPublic::Reserved));
}

#[test]
fn what_is_public_of_ipv6() {
    for ip in ["2606:4700::1111", "2001:4860:4860::8888", "2a00::1", "2001:200::1", "2003::1"] {
        check(ip, None);
    }
    check("::", Some(NotPublic::Unspecified));
    check("::1", Some(NotPublic::Loopback));
    check("fc00::1", Some(NotPublic::Private));
    check("fd00:ec2::254", Some(NotPublic::Private));
    check("fe80::1", Some(NotPublic::LinkLocal));
    check("febf::1", Some(NotPublic::LinkLocal));
    check("fec0::1", Some(NotPublic::Private));
    check("ff02::1", Some(NotPublic::Multicast));
    check("100::1", Some(NotPublic::Reserved));
    check("2001:db8::1", Some(NotPublic::Documentation));
    check("3fff::1", Some(NotPublic::Documentation));
    check("2001:2::1", Some(NotPublic::Reserved));
    check("2001:20::1", Some(NotPublic::Reserved));
    check("5f00::1", Some(NotPublic::Reserved));
    check("4000::1", Some(NotPublic::Reserved));
    check("::2:3:4:5", Some(NotPublic::Reserved));
}

#[test]
fn an_ipv4_address_in_an_ipv6_one_does_not_hide() {
    check("::ffff:127.0.0.1", Some(NotPublic::Embedded));
    check("::ffff:7f00:1", Some(NotPublic::Embedded));
    check("::ffff:169.254.169.254", Some(NotPublic::Embedded));
    check("::ffff:8.8.8.8", Some(NotPublic::Embedded));
    check("::127.0.0.1", Some(NotPublic::Embedded));
    check("::8.8.8.8", Some(NotPublic::Embedded));
    check("2002:7f00:1::", Some(NotPublic::Embedded));
    check("2002:808:808::1", Some(NotPublic::Embedded));
    check("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some(NotPublic::Embedded));
    check("64:ff9b:1::127.0.0.1", Some(NotPublic::Embedded));
    // NAT64 tells where it leads, and leads there.
    check("64:ff9b::8.8.8.8", None);
    check("64:ff9b::127.0.0.1", Some(NotPublic::Loopback));
    check("64:ff9b::10.0.0.1", Some(NotPublic::Private));
    check("64:ff9b::169.254.169.254", Some(NotPublic::LinkLocal));
    check("64:ff9b::1:10.0.0.1", Some(NotPublic::Reserved));
}

fn guard(blocks: &[&str], hosts: &[&str]) -> AddressGuard {
    AddressGuard::new(
        blocks.iter().map(|block| block.parse().unwrap()).collect(),
        hosts.iter().map(|host| (*host).to_owned()).collect(),
    )
}

#[track_caller]
fn check_allows(guard: &AddressGuard, host: &str, ip: &str, expected: bool) {
    assert_eq!(guard.allows(host, ip.parse().unwrap()), expected, "{host} at {ip}");
}

#[test]
fn blocks_open_what_is_in_them() {
    let guard = guard(&["10.1.0.0/16", "::ffff:10.2.0.0/112", "169.254.9.9/32"], &[]);
    check_allows(&guard, "hooks", "8.8.8.8", true);
    check_allows(&guard, "hooks", "10.1.2.3", true);
    check_allows(&guard, "hooks", "10.2.2.3", false);
    check_allows(&guard, "hooks", "127.0.0.1", false);
    check_allows(&guard, "hooks", "::ffff:10.1.2.3", false);
    check_allows(&guard, "hooks", "::ffff:10.2.2.3", true);
    check_allows(&guard, "hooks", "64:ff9b::10.1.2.3", true);
    check_allows(&guard, "hooks", "64:ff9b::10.2.2.3", false);
    check_allows(&guard, "hooks", "169.254.9.9", true);
    check_allows(&guard, "hooks", "169.254.169.254", false);
}

#[test]
fn names_open_the_own_network_and_no_more() {
    let guard = guard(&[], &["hooks.internal"]);
    check_allows(&guard, "hooks.internal", "10.1.2.3", true);
    check_allows(&guard, "HOOKS.internal.", "192.168.1.1", true);
    check_allows(&guard, "hooks.internal", "127.0.0.1", true);
    check_allows(&guard, "hooks.internal", "100.64.0.1", true);
    check_allows(&guard, "hooks.internal", "fd00::1", true);
    check_allows(&guard, "hooks.internal", "169.254.169.254", false);
    check_allows(&guard, "hooks.internal", "::ffff:10.1.2.3", false);
    check_allows(&guard, "hooks.internal", "0.0.0.0", false);
    check_allows(&guard, "hooks.internal", "fe80::1", false);
    check_allows(&guard, "hooks.internal", "224.0.0.1", false);
    check_allows(&guard, "hooks.internal", "168.63.129.16", false);
    check_allows(&guard, "evil.example", "10.1.2.3", false);
    check_allows(&guard, "hooks.internal.evil.example", "10.1.2.3", false);
}

#[test]
fn one_bad_address_refuses_the_name() {
    let guard = guard(&["10.0.0.0/8"], &[]);
    let addresses = |ips: &[&str]| -> Vec<SocketAddr> {
        ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)).collect()
    };
    let good = addresses(&["8.8.8.8", "10.0.0.1", "2606:4700::1111"]);
    assert_eq!(guard.check("hooks", good.clone()), Ok(good));
    let rebound = addresses(&["8.8.8.8", "127.0.0.1"]);
    assert_eq!(guard.check("hooks", rebound), Err(NoAddress::Refused));
    assert_eq!(guard.check("hooks", []), Err(NoAddress::Unknown));
    let many = vec![SocketAddr::from(([8, 8, 8, 8], 443)); MOST_ADDRESSES + 1];
    assert_eq!(guard.check("hooks", many), Err(NoAddress::Refused));
}

#[test]
fn odd_spellings_are_no_names() {
    let odd = [
        "",
        "2130706433",
        "0x7f000001",
        "0X7F000001",
        "017700000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "127.0.0.01",
        "1.2.3.4.5",
        "999.1.1.1",
        "hooks.0x1",
        "hooks.1",
        "0x",
        "[::1]",
        "fe80::1%eth0",
        "127.0.0.1\0.example",
        "hooks.example/x",
        "\u{ff11}27.0.0.1",
        "h\u{f6}oks",
        "a b",
        ".",
    ];
    for host in odd {
        assert_eq!(literal(host), Literal::Odd, "{host:?}");
    }
    for host in ["localhost", "hooks.example", "hooks.example.", "0x7f.example", "1.example", "a_b"]
    {
        assert_eq!(literal(host), Literal::Name, "{host:?}");
    }
    assert_eq!(literal("127.0.0.1"), Literal::Address([127, 0, 0, 1].into()));
    assert_eq!(literal("::1"), Literal::Address(Ipv6Addr::LOCALHOST.into()));
}

#[tokio::test]
async fn addresses_and_odd_spellings_are_settled_without_asking() {
    let closed = AddressGuard::default();
    assert_eq!(closed.resolve("127.0.0.1", 80).await, Err(NoAddress::Refused));
    assert_eq!(closed.resolve("::ffff:127.0.0.1", 80).await, Err(NoAddress::Refused));
    assert_eq!(closed.resolve("2130706433", 80).await, Err(NoAddress::Refused));
    assert_eq!(closed.resolve("8.8.8.8", 80).await, Ok(vec![([8, 8, 8, 8], 80).into()]));
    let open = guard(&["127.0.0.0/8"], &[]);
    assert_eq!(open.resolve("127.0.0.1", 80).await, Ok(vec![([127, 0, 0, 1], 80).into()]));
    assert_eq!(open.resolve("2130706433", 80).await, Err(NoAddress::Refused));
}

#[tokio::test]
async fn localhost_is_refused_by_what_it_resolves_to() {
    assert_eq!(AddressGuard::default().resolve("localhost", 80).await, Err(NoAddress::Refused));
    let found = guard(&[], &["localhost"]).resolve("localhost", 80).await.unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
}

proptest! {
    /// What std calls something else than global is never taken for public.
    #[test]
    fn nothing_private_is_public(bits in any::<u32>()) {
        let ip = Ipv4Addr::from(bits);
        let is_special = ip.is_private() || ip.is_loopback() || ip.is_link_local()
            || ip.is_multicast() || ip.is_broadcast() || ip.is_documentation()
            || ip.is_unspecified();
        prop_assert!(!is_special || not_public(ip.into()).is_some());
        prop_assert!(not_public(ip.to_ipv6_mapped().into()).is_some());
        prop_assert!(not_public(ip.to_ipv6_compatible().into()).is_some());
        let [a, b, c, d] = ip.octets();
        let six = Ipv6Addr::from([0x20, 2, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        prop_assert!(not_public(six.into()).is_some());
        let nat = Ipv6Addr::from([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]);
        prop_assert_eq!(not_public(nat.into()), not_public(ip.into()));
    }

    #[test]
    fn only_global_unicast_is_public(bits in any::<u128>()) {
        let ip = Ipv6Addr::from(bits);
        let is_global = bits >> 125 == 1 || bits >> 32 == 0x0064_ff9b_0000_0000_0000_0000;
        prop_assert!(is_global || not_public(ip.into()).is_some());
    }
}
