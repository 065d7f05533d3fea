//! Sources together: which one answers, what is never tried, what stays secret.

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::config::{
    ClaimNames, Jwt, JwtAlgorithm, JwtKeys, RoleMap, StaticToken, TrustedHeaders as TrustedSettings,
};
use crate::identity::tests::{arriving, at_once, headers, upstream};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const OTHER_SECRET: &[u8] = b"another secret of at least 32 bytes!";
const NOW: u64 = 1_800_000_000;
const PROXY: &str = "10.0.0.1";
const STRANGER: &str = "192.0.2.1";

fn entry(source: IdentitySource) -> IdentityEntry {
    IdentityEntry { source, roles: None }
}

fn jwt(key: &str) -> IdentityEntry {
    entry(IdentitySource::Jwt(Jwt {
        keys: JwtKeys::Single { algorithm: JwtAlgorithm::Hs256, path: PathBuf::from(key) },
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
        claims: ClaimNames { subject: "sub".to_owned(), roles: "roles".to_owned(), tenant: None },
    }))
}

fn tokens() -> IdentityEntry {
    entry(IdentitySource::StaticTokens(vec![
        static_token("machine", "machine"),
        static_token("three.part.token", "parts"),
    ]))
}

fn static_token(token: &str, subject: &str) -> StaticToken {
    StaticToken {
        sha256: Sha256::digest(token.as_bytes()).into(),
        subject: subject.to_owned(),
        roles: vec!["support".to_owned()],
        tenant: None,
    }
}

fn trusted() -> IdentityEntry {
    entry(IdentitySource::TrustedHeaders(TrustedSettings {
        peers: vec!["10.0.0.0/8".parse().unwrap()],
        subject: HeaderName::from_static("x-user"),
        roles: HeaderName::from_static("x-roles"),
        tenant: None,
    }))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("secret") => Ok(SECRET.to_vec()),
        Some("other") => Ok(OTHER_SECRET.to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn build(
    entries: &[IdentityEntry],
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Identifier, Vec<IdentityFault>> {
    let (tenant, upstream) = (TenantNames::default(), upstream(1));
    let sources = Sources { entries, tenant: &tenant, upstream: &upstream };
    Identifier::build(sources, read_file, &Told::to(|_| panic!("nobody is asked")))
}

fn identifier(sources: &[IdentityEntry]) -> Identifier {
    build(sources, &read_file).unwrap()
}

/// Who calls, found out without waiting.
fn identify(
    identifier: &Identifier,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> Result<Identified, Unidentified> {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    at_once(identifier.identify(&Arrival { peer, ..arriving(headers, now) }))
}

fn bearer_jwt(secret: &[u8], subject: &str, expiry: u64) -> String {
    let claims = json!({ "sub": subject, "exp": expiry, "roles": ["sales_rep"] });
    let key = EncodingKey::from_secret(secret);
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    format!("Bearer {token}")
}

#[track_caller]
fn check(
    sources: &[IdentityEntry],
    peer: &str,
    lines: &[(&'static str, &str)],
    expected: Result<&str, Unidentified>,
) {
    let found = identify(&identifier(sources), &headers(lines), peer.parse().ok());
    let found = found.map(|identified| identified.principal.subject.clone());
    let reason = |unidentified| match unidentified {
        Unidentified::Invalid(_, refusal) => Unidentified::from(refusal),
        other => other,
    };
    assert_eq!(found.map_err(reason), expected.map(str::to_owned));
}

#[test]
fn each_source_answers_its_own_kind() {
    let all = [jwt("secret"), tokens(), trusted(), jwt("other")];
    let good = bearer_jwt(SECRET, "ann", NOW + 60);
    let other = bearer_jwt(OTHER_SECRET, "bob", NOW + 60);
    check(&all, STRANGER, &[("authorization", &good)], Ok("ann"));
    check(&all, STRANGER, &[("authorization", &other)], Ok("bob"));
    check(&all, STRANGER, &[("authorization", "Bearer machine")], Ok("machine"));
    check(&all, STRANGER, &[("authorization", "Bearer three.part.token")], Ok("parts"));
    check(&all, PROXY, &[("x-user", "cy"), ("x-roles", "admin")], Ok("cy"));
    check(&all, PROXY, &[("authorization", "Basic YTpi"), ("x-user", "cy")], Ok("cy"));
    check(&all, "::ffff:10.0.0.1", &[("x-user", "cy")], Ok("cy"));
}

#[test]
fn nothing_that_a_source_reads() {
    let all = [jwt("secret"), tokens(), trusted()];
    check(&all, STRANGER, &[], Err(Unidentified::Missing));
    check(&all, STRANGER, &[("authorization", "Basic YTpi")], Err(Unidentified::Missing));
    check(&all, STRANGER, &[("x-user", "root"), ("x-roles", "admin")], Err(Unidentified::Missing));
    check(&all, STRANGER, &[("proxy-authorization", "Bearer machine")], Err(Unidentified::Missing));
    check(
        &[trusted()],
        STRANGER,
        &[("authorization", "Bearer machine")],
        Err(Unidentified::Missing),
    );
}

#[test]
fn the_first_kind_present_decides() {
    let machine = ("authorization", "Bearer machine");
    let user = ("x-user", "cy");
    check(&[tokens(), trusted()], PROXY, &[machine, user], Ok("machine"));
    check(&[trusted(), tokens()], PROXY, &[machine, user], Ok("cy"));
    check(&[trusted(), tokens()], STRANGER, &[machine, user], Ok("machine"));
}

#[test]
fn a_credential_that_does_not_hold_never_falls_through() {
    let all = [jwt("secret"), tokens(), trusted()];
    let refused = |refusal: Refusal| Err(Unidentified::from(refusal));
    let user = ("x-user", "cy");
    let expired = bearer_jwt(SECRET, "ann", NOW);
    let stranger = bearer_jwt(OTHER_SECRET, "ann", NOW + 60);
    check(&all, PROXY, &[("authorization", "Bearer x"), user], refused(Refusal::UnknownToken));
    check(&all, PROXY, &[("authorization", &expired), user], refused(Refusal::Expired));
    check(&all, PROXY, &[("authorization", &stranger), user], refused(Refusal::BadSignature));
    check(&all, PROXY, &[("authorization", "Bearer a b"), user], refused(Refusal::MalformedToken));
    let twice = [("x-user", "cy"), ("x-user", "root"), ("authorization", "Bearer machine")];
    check(&[trusted(), tokens()], PROXY, &twice, refused(Refusal::RepeatedTrustedHeader));
    let machine = ("authorization", "Bearer machine");
    check(&all, PROXY, &[machine, machine], refused(Refusal::RepeatedAuthorization));
    check(&[trusted()], PROXY, &[machine, machine, user], refused(Refusal::RepeatedAuthorization));
}

#[test]
fn the_refusal_that_got_furthest_is_told() {
    let expired = bearer_jwt(SECRET, "ann", NOW);
    let line = [("authorization", expired.as_str())];
    for sources in [[jwt("secret"), jwt("other")], [jwt("other"), jwt("secret")]] {
        check(&sources, STRANGER, &line, Err(Refusal::Expired.into()));
    }
}

#[test]
fn what_the_gate_owns() {
    let identifier = identifier(&[jwt("secret"), trusted(), trusted()]);
    assert_eq!(identifier.headers_to_strip(), ["x-user", "x-roles"]);
    assert_eq!(identifier.vary(), "authorization, x-user, x-roles");
    for name in ["X-User", "x_user", "X-ROLES", "x_roles"] {
        assert!(identifier.owns(&name.parse().unwrap()), "{name}");
    }
    for name in ["x-users", "xuser", "authorization", "x-role"] {
        assert!(!identifier.owns(&name.parse().unwrap()), "{name}");
    }
}

#[test]
fn vary_names_what_is_configured() {
    assert_eq!(identifier(&[tokens()]).vary(), "authorization");
    assert_eq!(identifier(&[trusted()]).vary(), "x-user, x-roles");
    assert!(identifier(&[tokens()]).headers_to_strip().is_empty());
}

#[test]
fn every_fault_of_every_source_is_told() {
    let texts = |sources: &[IdentityEntry]| {
        let faults = build(sources, &read_file).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(texts(&[]), ["no identity source is configured"]);
    assert_eq!(
        texts(&[jwt("nowhere"), tokens(), entry(IdentitySource::StaticTokens(Vec::new()))]),
        [
            "identity source 1: cannot read the key file `nowhere`: entity not found",
            "identity source 3: the list of static tokens is empty",
        ]
    );
}

#[test]
fn each_key_file_is_read_once() {
    let read = RefCell::new(Vec::new());
    let identifier = build(&[jwt("secret"), tokens(), jwt("other")], &|path| {
        read.borrow_mut().push(path.to_owned());
        read_file(path)
    });
    let line = [("authorization", bearer_jwt(OTHER_SECRET, "bob", NOW + 60))];
    let lines = line.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert!(identify(&identifier.unwrap(), &headers(&lines), None).is_ok());
    assert_eq!(*read.borrow(), [PathBuf::from("secret"), PathBuf::from("other")]);
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let identifier = identifier(&[jwt("secret"), tokens(), trusted()]);
    let lines = [("authorization", "Bearer machine")];
    let found = identify(&identifier, &headers(&lines), None).unwrap();
    let shown = format!("{identifier:?} {found:?}");
    let digest = Sha256::digest(b"machine");
    assert!(shown.contains("support"), "{shown}");
    assert!(!shown.contains("machine"), "{shown}");
    assert!(!shown.contains("a secret"), "{shown}");
    assert!(!shown.contains(&format!("{}, {}", digest[0], digest[1])), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_authorization_never_identifies(
        scheme in prop::sample::select(vec!["", "Bearer ", "bearer ", "Basic "]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let value = [scheme.as_bytes(), &bytes].concat();
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value);
        let identifier = identifier(&[jwt("secret"), tokens(), trusted()]);
        prop_assert!(identify(&identifier, &headers, PROXY.parse().ok()).is_err());
    }

    #[test]
    fn arbitrary_tokens_never_identify(token in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,3}=?") {
        let line = [("authorization", format!("Bearer {token}"))];
        let lines = line.each_ref().map(|(name, value)| (*name, value.as_str()));
        let identifier = identifier(&[jwt("secret"), tokens(), trusted()]);
        prop_assert!(identify(&identifier, &headers(&lines), PROXY.parse().ok()).is_err());
    }

    #[test]
    fn a_token_with_one_byte_changed_never_identifies(position in 0_usize..1000, byte in any::<u8>()) {
        let good = bearer_jwt(SECRET, "ann", NOW + 60);
        let mut changed = good.clone().into_bytes();
        let position = "Bearer ".len() + position % (changed.len() - "Bearer ".len());
        changed[position] = byte;
        prop_assume!(changed != good.as_bytes());
        let Ok(value) = HeaderValue::from_bytes(&changed) else { return Ok(()) };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value);
        let identifier = identifier(&[jwt("secret"), tokens()]);
        prop_assert!(identify(&identifier, &headers, None).is_err());
    }
}

#[test]
fn the_source_that_decided_is_told() {
    let identifier = identifier(&[jwt("secret"), tokens(), trusted()]);
    let kind = |lines: &[(&str, &str)]| {
        let found = identify(&identifier, &headers(lines), PROXY.parse().ok());
        found.map(|identified| identified.source).map_err(Unidentified::source_kind)
    };
    assert_eq!(kind(&[("authorization", "Bearer machine")]), Ok(SourceKind::StaticTokens));
    assert_eq!(kind(&[("x-user", "cy")]), Ok(SourceKind::TrustedHeaders));
    assert_eq!(kind(&[("authorization", "Bearer x")]), Err(Some(SourceKind::StaticTokens)));
    assert_eq!(kind(&[("authorization", "Bearer a b")]), Err(None));
    assert_eq!(kind(&[]), Err(None));
}

#[test]
fn names_of_a_source_become_roles() {
    let roles = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let map = RoleMap {
        map: [("support".to_owned(), roles(&["admin", "finance"]))].into(),
        ..RoleMap::default()
    };
    let entry = IdentityEntry { roles: Some(map), ..tokens() };
    let found =
        identify(&identifier(&[entry]), &headers(&[("authorization", "Bearer machine")]), None);
    assert_eq!(found.unwrap().principal.roles, ["admin", "finance"]);
}
