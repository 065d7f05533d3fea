use http::HeaderValue;

use super::*;

fn settings(peers: &[&str]) -> config::TrustedHeaders {
    config::TrustedHeaders {
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
        subject: HeaderName::from_static("x-user"),
        roles: HeaderName::from_static("x-roles"),
        tenant: Some(HeaderName::from_static("x-tenant")),
    }
}

fn source(peers: &[&str]) -> TrustedHeaders {
    TrustedHeaders::build(&settings(peers), RoleNames::new(None)).ok().unwrap()
}

fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

#[track_caller]
fn check_peer(peers: &[&str], peer: &str, expected: bool) {
    let headers = headers(&[("x-user", b"ann")]);
    let answers = source(peers).answers(&headers, Some(peer.parse().unwrap()));
    assert_eq!(answers, expected, "{peer} in {peers:?}");
}

#[test]
fn only_trusted_peers_are_believed() {
    check_peer(&["10.0.0.0/8"], "10.1.2.3", true);
    check_peer(&["10.0.0.0/8"], "11.1.2.3", false);
    check_peer(&["10.0.0.0/8"], "::ffff:10.1.2.3", true);
    check_peer(&["10.0.0.0/8"], "::ffff:11.1.2.3", false);
    check_peer(&["10.0.0.0/8"], "::10.1.2.3", false);
    check_peer(&["::ffff:10.0.0.0/104"], "10.1.2.3", true);
    check_peer(&["::ffff:10.0.0.0/104"], "11.1.2.3", false);
    check_peer(&["::ffff:10.0.0.0/104"], "::ffff:10.1.2.3", true);
    check_peer(&["fd00::/8", "127.0.0.1/32"], "fd00::1", true);
    check_peer(&["fd00::/8", "127.0.0.1/32"], "127.0.0.1", true);
    check_peer(&["fd00::/8", "127.0.0.1/32"], "::1", false);
}

#[test]
fn a_peer_without_an_address_is_not_believed() {
    assert!(!source(&["127.0.0.1/32"]).answers(&headers(&[("x-user", b"ann")]), None));
}

#[test]
fn a_tenant_alone_is_no_credential() {
    let peer = Some("127.0.0.1".parse().unwrap());
    let source = source(&["127.0.0.1/32"]);
    assert!(!source.answers(&headers(&[("x-tenant", b"acme")]), peer));
    assert!(source.answers(&headers(&[("x-roles", b"admin")]), peer));
}

#[track_caller]
fn check(lines: &[(&'static str, &[u8])], expected: Result<(&str, &[&str]), Refusal>) {
    let found = source(&["127.0.0.1/32"]).principal(&headers(lines));
    let expected = expected.map(|(subject, roles)| Principal {
        subject: subject.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        tenant: Some("acme".to_owned()),
    });
    assert_eq!(found, expected);
}

#[test]
fn what_the_headers_say() {
    let tenant: (&'static str, &[u8]) = ("x-tenant", b"acme");
    check(&[("x-user", b"ann"), tenant], Ok(("ann", &[])));
    check(&[("x-user", b"ann"), ("x-roles", b""), tenant], Ok(("ann", &[])));
    check(
        &[("x-user", "Zo\u{eb}".as_bytes()), ("x-roles", b"b , a,b,,"), tenant],
        Ok(("Zo\u{eb}", &["a", "b"])),
    );
    check(
        &[("x-user", b"ann"), ("x-roles", b"sales admin,support"), tenant],
        Ok(("ann", &["support"])),
    );
}

#[test]
fn what_is_refused() {
    let user: (&'static str, &[u8]) = ("x-user", b"ann");
    let roles: (&'static str, &[u8]) = ("x-roles", b"admin");
    let tenant: (&'static str, &[u8]) = ("x-tenant", b"acme");
    let long = "a".repeat(257);
    let many: Vec<String> = (0..65).map(|number| format!("r{number}")).collect();
    check(&[user, user, roles, tenant], Err(Refusal::RepeatedTrustedHeader));
    check(&[user, roles, roles, tenant], Err(Refusal::RepeatedTrustedHeader));
    check(&[user, roles, tenant, tenant], Err(Refusal::RepeatedTrustedHeader));
    check(&[roles, tenant], Err(Refusal::BadSubject));
    check(&[("x-user", b""), roles, tenant], Err(Refusal::BadSubject));
    check(&[("x-user", b"\xff"), roles, tenant], Err(Refusal::BadSubject));
    check(&[("x-user", long.as_bytes()), roles, tenant], Err(Refusal::BadSubject));
    check(&[user, ("x-roles", b"admin\xff"), tenant], Err(Refusal::BadRoles));
    check(&[user, ("x-roles", many.join(",").as_bytes()), tenant], Err(Refusal::TooManyRoles));
    check(&[user, roles], Err(Refusal::BadTenant));
    check(&[user, roles, ("x-tenant", b" ")], Err(Refusal::BadTenant));
}

#[track_caller]
fn check_faults(settings: &config::TrustedHeaders, expected: &[&str]) {
    let faults = TrustedHeaders::build(settings, RoleNames::new(None)).err().unwrap_or_default();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

#[test]
fn every_fault_is_told() {
    check_faults(&settings(&[]), &["the list of trusted peers is empty"]);
    let mut odd = settings(&["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "10.0.0.0/8"]);
    odd.roles = HeaderName::from_static("x-user");
    odd.tenant = Some(HeaderName::from_static("cookie"));
    check_faults(
        &odd,
        &[
            "`0.0.0.0/0` trusts every address; name the proxy in front",
            "`::/0` trusts every address; name the proxy in front",
            "`::ffff:0.0.0.0/96` trusts every address; name the proxy in front",
            "header `x-user` is used twice by this source",
            "header `cookie` has another meaning and cannot carry an identity",
        ],
    );
}
