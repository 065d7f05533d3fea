//! Who calls: nobody without a credential that holds, whatever the headers and the claims say.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use fieldgate::config::{
    ClaimNames, IdentityEntry, IdentitySource, Jwt, JwtAlgorithm, JwtKeys, StaticToken,
    TenantNames, TrustedHeaders, Upstream,
};
use fieldgate::identity::{
    Arrival, Identifier, MAX_NAME_CHARS, MAX_ROLES, MAX_TOKEN_BYTES, Principal, Sources, Told,
    is_role_name,
};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const TOKEN: &str = "machine";
const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 30;
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

static IDENTIFIER: LazyLock<Identifier> = LazyLock::new(|| {
    let jwt = Jwt {
        keys: JwtKeys::Single { algorithm: JwtAlgorithm::Hs256, path: PathBuf::from("secret") },
        issuer: None,
        audience: None,
        leeway: Duration::from_secs(LEEWAY),
        claims: ClaimNames {
            subject: "sub".to_owned(),
            roles: "access.roles".to_owned(),
            tenant: Some("org".to_owned()),
        },
    };
    let token = StaticToken {
        sha256: Sha256::digest(TOKEN.as_bytes()).into(),
        subject: "nightly".to_owned(),
        roles: vec!["support".to_owned()],
        tenant: None,
    };
    let headers = TrustedHeaders {
        peers: vec!["10.0.0.0/8".parse().expect("a block of addresses")],
        subject: HeaderName::from_static("x-user"),
        roles: HeaderName::from_static("x-roles"),
        tenant: None,
    };
    let entries = [
        IdentitySource::Jwt(jwt),
        IdentitySource::StaticTokens(vec![token]),
        IdentitySource::TrustedHeaders(headers),
    ]
    .map(|source| IdentityEntry { source, roles: None });
    let upstream = Upstream {
        host: "127.0.0.1".to_owned(),
        port: 1,
        tls: None,
        host_header: None,
        connect_timeout: Upstream::CONNECT,
        first_byte_timeout: Upstream::FIRST_BYTE,
        idle_timeout: Upstream::IDLE,
        total_timeout: Upstream::TOTAL,
        pool_idle: Upstream::POOL_IDLE,
    };
    let sources =
        Sources { entries: &entries, tenant: &TenantNames::default(), upstream: &upstream };
    let told = Told::to(|_| unreachable!("nobody is asked"));
    Identifier::build(sources, &|_| Ok(SECRET.to_vec()), &told).expect("the sources are good")
});

/// First byte: whether the peer is the trusted proxy. The rest: header lines.
pub fn identify_headers(bytes: &[u8]) {
    let Some((first, lines)) = bytes.split_first() else { return };
    let is_trusted = first & 1 == 1;
    let headers = headers(lines);
    let Some(principal) = identify(&headers, if is_trusted { PROXY } else { STRANGER }) else {
        return;
    };
    // The fuzzer cannot sign a token, so there are two ways in, and a bearer token that does not
    // hold closes the second.
    let sent: Vec<&[u8]> =
        headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    match sent.as_slice() {
        [only] if is_bearer(only) => assert!(only.trim_ascii_end().ends_with(TOKEN.as_bytes())),
        [] | [_] => assert!(is_trusted && headers.contains_key("x-user")),
        _ => unreachable!("a repeated header is refused"),
    }
    check(&principal);
}

fn is_bearer(value: &[u8]) -> bool {
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"bearer")
}

/// First line: the header of a token. The rest: its claims. The signature is good.
pub fn identify_claims(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else { return };
    let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length of key is allowed");
    mac.update(signed.as_bytes());
    let signature = BASE64URL_NOPAD.encode(&mac.finalize().into_bytes());
    let token = format!("{signed}.{signature}");
    let mut headers = HeaderMap::new();
    let value = format!("Bearer {token}");
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).expect("base64 is printable"));

    let Some(principal) = identify(&headers, STRANGER) else { return };
    check(&principal);
    assert!(token.len() <= MAX_TOKEN_BYTES);
    let read = |json| serde_json::from_slice::<serde_json::Value>(json).expect("it was accepted");
    let (header, claims) = (read(header), read(claims));
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none());
    #[expect(clippy::cast_precision_loss, reason = "the times of the test are small")]
    let latest = (NOW - LEEWAY) as f64;
    assert!(claims["exp"].as_f64().is_some_and(|expiry| expiry > latest), "it has expired");
    let subject = claims["sub"].as_str().map_or_else(|| claims["sub"].to_string(), str::to_owned);
    assert_eq!(principal.subject, subject);
    assert!(principal.tenant.is_some(), "a tenant is configured");
}

fn identify(headers: &HeaderMap, peer: IpAddr) -> Option<Principal> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let arrival = Arrival {
        headers,
        host: b"crm.example",
        peer: Some(peer),
        certificate: None,
        now,
        at: Instant::now(),
    };
    let identifying = pin!(IDENTIFIER.identify(&arrival));
    let found = match identifying.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(found) => found,
        Poll::Pending => unreachable!("none of these sources waits for anything"),
    };
    if let Err(refusal) = &found {
        assert!(!refusal.as_str().is_empty() && refusal.challenge().is_some());
    }
    found.ok().map(|identified| Principal::clone(&identified.principal))
}

fn check(principal: &Principal) {
    let is_name = |name: &str| {
        !name.trim().is_empty()
            && name.chars().count() <= MAX_NAME_CHARS
            && !name.chars().any(char::is_control)
    };
    assert!(is_name(&principal.subject));
    assert!(principal.tenant.as_deref().is_none_or(is_name));
    assert!(principal.roles.len() <= MAX_ROLES);
    assert!(principal.roles.iter().all(|role| is_role_name(role)));
    assert!(principal.roles.is_sorted_by(|one, other| one < other), "sorted, each once");
    assert!(principal.subject.len() < 10 || !format!("{principal:?}").contains(&principal.subject));
}

/// What an HTTP parser could have made of the lines.
pub(crate) fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|value| HeaderValue::from_bytes(value).ok());
        if let Some((name, value)) = name.zip(value) {
            headers.append(name, value);
        }
    }
    headers
}
