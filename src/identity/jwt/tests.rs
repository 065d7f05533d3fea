//! Tokens made the ordinary way and broken one thing at a time.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use http::HeaderMap;
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::{Value, json};

use super::*;
use crate::identity::tests::{arriving, at_once};

const RSA_PUBLIC: &str = include_str!("../../../tests/fixtures/test-only-rsa-public.pem");
const RSA_PRIVATE: &str = include_str!("../../../tests/fixtures/test-only-rsa-private.pem");
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

fn settings(algorithm: JwtAlgorithm) -> config::Jwt {
    config::Jwt {
        keys: JwtKeys::Single { algorithm, path: PathBuf::from("key.pem") },
        issuer: Some("https://idp.example.com".to_owned()),
        audience: Some("crm".to_owned()),
        leeway: Duration::from_secs(30),
        claims: ClaimNames {
            subject: "sub".to_owned(),
            roles: "realm_access.roles".to_owned(),
            tenant: Some("org".to_owned()),
        },
    }
}

fn source(algorithm: JwtAlgorithm, key: &[u8]) -> JwtSource {
    build(&settings(algorithm), &|_| Ok(key.to_vec())).ok().unwrap()
}

fn build(
    settings: &config::Jwt,
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<JwtSource, Vec<SourceFault>> {
    JwtSource::build(settings, RoleNames::new(None), read_file, Told::to(|_| {}))
}

fn verify(source: &JwtSource, token: &str) -> Result<Principal, Refusal> {
    let headers = HeaderMap::new();
    let arrival = arriving(&headers, UNIX_EPOCH + Duration::from_secs(NOW));
    at_once(source.find(token, &arrival)).map_err(|unknown| match unknown {
        Unknown::Refused(refusal) => refusal,
        Unknown::Unavailable => panic!("a key in a file is always there"),
    })
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.example.com",
        "aud": ["erp", "crm"],
        "exp": NOW + 60,
        "nbf": NOW - 60,
        "sub": "ann@example.com",
        "realm_access": { "roles": ["sales_rep", "offline_access"] },
        "org": 7,
    })
}

fn ann() -> Principal {
    Principal {
        subject: "ann@example.com".to_owned(),
        roles: vec!["offline_access".to_owned(), "sales_rep".to_owned()],
        tenant: Some("7".to_owned()),
    }
}

fn encode(part: &str) -> String {
    BASE64URL_NOPAD.encode(part.as_bytes())
}

/// A token with these very texts as header and claims, signed by the book.
fn signed(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn hs256(header: &str, claims: &str) -> String {
    signed(header, claims, &EncodingKey::from_secret(SECRET), Algorithm::HS256)
}

#[track_caller]
fn check_algorithm(algorithm: JwtAlgorithm, public: &[u8], private: &EncodingKey) {
    let own = source(algorithm, public);
    let header = json!({ "alg": registered_name(algorithm), "typ": "JWT", "kid": "ignored" });
    let token =
        signed(&header.to_string(), &claims().to_string(), private, signature_algorithm(algorithm));
    assert_eq!(verify(&own, &token), Ok(ann()));

    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    bytes[10] ^= 1;
    let forged = format!("{message}.{}", BASE64URL_NOPAD.encode(&bytes));
    assert_eq!(verify(&own, &forged), Err(Refusal::BadSignature));
    assert_eq!(verify(&own, &format!("{message}.")), Err(Refusal::BadSignature));

    let (header, _) = message.split_once('.').unwrap();
    let mut others = claims();
    others["sub"] = json!("bob@example.com");
    let swapped = format!("{header}.{}.{signature}", encode(&others.to_string()));
    assert_eq!(verify(&own, &swapped), Err(Refusal::BadSignature));
}

#[test]
fn every_algorithm_verifies_and_every_forgery_fails() {
    check_algorithm(JwtAlgorithm::Hs256, SECRET, &EncodingKey::from_secret(SECRET));
    check_algorithm(
        JwtAlgorithm::Rs256,
        RSA_PUBLIC.as_bytes(),
        &EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap(),
    );
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    check_algorithm(
        JwtAlgorithm::Es256,
        p256.public_key_pem().as_bytes(),
        &EncodingKey::from_ec_pem(p256.serialize_pem().as_bytes()).unwrap(),
    );
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    check_algorithm(
        JwtAlgorithm::EdDsa,
        ed25519.public_key_pem().as_bytes(),
        &EncodingKey::from_ed_pem(ed25519.serialize_pem().as_bytes()).unwrap(),
    );
}

#[test]
fn a_public_key_is_no_secret() {
    let own = source(JwtAlgorithm::Rs256, RSA_PUBLIC.as_bytes());
    let as_secret = EncodingKey::from_secret(RSA_PUBLIC.as_bytes());
    let claims = claims().to_string();
    for (header, refusal) in [
        (r#"{"alg":"HS256"}"#, Refusal::WrongAlgorithm),
        (r#"{"alg":"RS256"}"#, Refusal::BadSignature),
    ] {
        let token = signed(header, &claims, &as_secret, Algorithm::HS256);
        assert_eq!(verify(&own, &token), Err(refusal), "{header}");
    }
}

#[track_caller]
fn check_header(header: &str, refusal: Refusal) {
    let token = hs256(header, &claims().to_string());
    assert_eq!(verify(&source(JwtAlgorithm::Hs256, SECRET), &token), Err(refusal), "{header}");
}

#[test]
fn headers_that_are_refused() {
    for alg in
        [r#""none""#, r#""NONE""#, r#""hs256""#, r#""HS512""#, r#""RS256""#, r#""""#, "null", "1"]
    {
        check_header(&format!(r#"{{"alg":{alg}}}"#), Refusal::WrongAlgorithm);
    }
    check_header("{}", Refusal::WrongAlgorithm);
    check_header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, Refusal::CriticalExtension);
    check_header(r#"{"alg":"HS256","crit":null}"#, Refusal::CriticalExtension);
    check_header(r#"{"alg":"HS256","alg":"HS256"}"#, Refusal::MalformedToken);
    check_header(r#"["HS256"]"#, Refusal::MalformedToken);
    check_header(r#"{"alg":"HS256"}x"#, Refusal::MalformedToken);
    check_header("", Refusal::MalformedToken);
}

#[track_caller]
fn check_token(token: &str, refusal: Refusal) {
    assert_eq!(verify(&source(JwtAlgorithm::Hs256, SECRET), token), Err(refusal), "{token}");
}

#[test]
fn forms_that_are_refused() {
    let header = encode(r#"{"alg":"HS256"}"#);
    let token = hs256(r#"{"alg":"HS256"}"#, &claims().to_string());
    for malformed in
        ["", "abc", "..", "a.b.c", "a.b.c.d", &format!("{token}.x"), &format!("{token}=")]
    {
        check_token(malformed, Refusal::MalformedToken);
    }
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims().to_string()));
    check_token(&unsigned, Refusal::WrongAlgorithm);
    check_token(&format!("{header}..x"), Refusal::BadSignature);
}

#[track_caller]
fn check_claims(claims: &str, expected: Result<(), Refusal>) {
    let token = hs256(r#"{"alg":"HS256"}"#, claims);
    let found = verify(&source(JwtAlgorithm::Hs256, SECRET), &token);
    assert_eq!(found.map(|_| ()), expected, "{claims}");
}

#[track_caller]
fn check_claim(name: &str, value: Value, expected: Result<(), Refusal>) {
    let mut claims = claims();
    if value == Value::Null {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    check_claims(&claims.to_string(), expected);
}

#[test]
fn claims_that_are_refused() {
    check_claim("iss", json!("https://idp.example.com"), Ok(()));
    check_claim("iss", json!("https://idp.example.com/"), Err(Refusal::WrongIssuer));
    check_claim("iss", json!(["https://idp.example.com"]), Err(Refusal::WrongIssuer));
    check_claim("iss", Value::Null, Err(Refusal::WrongIssuer));
    check_claim("aud", json!("erp"), Err(Refusal::WrongAudience));
    check_claim("aud", Value::Null, Err(Refusal::WrongAudience));
    check_claim("exp", json!(NOW - 29), Ok(()));
    check_claim("exp", json!(NOW - 30), Err(Refusal::Expired));
    check_claim("exp", json!((NOW + 60).to_string()), Err(Refusal::MalformedTimes));
    check_claim("exp", Value::Null, Err(Refusal::MissingExpiry));
    check_claim("nbf", Value::Null, Ok(()));
    check_claim("nbf", json!(NOW + 30), Ok(()));
    check_claim("nbf", json!(NOW + 31), Err(Refusal::NotYetValid));
    check_claim("nbf", json!("0"), Err(Refusal::MalformedTimes));
    check_claim("sub", Value::Null, Err(Refusal::BadSubject));
    check_claim("sub", json!("a\u{0}"), Err(Refusal::BadSubject));
    check_claim("realm_access", Value::Null, Ok(()));
    check_claim("realm_access", json!({ "roles": 1 }), Err(Refusal::BadRoles));
    check_claim(
        "realm_access",
        json!({ "roles": (0..65).map(|number| format!("r{number}")).collect::<Vec<_>>() }),
        Err(Refusal::TooManyRoles),
    );
    check_claim("org", Value::Null, Err(Refusal::BadTenant));
    check_claim("org", json!({}), Err(Refusal::BadTenant));
    check_claims("[]", Err(Refusal::MalformedClaims));
    check_claims("", Err(Refusal::MalformedClaims));
    let twice = claims().to_string().replacen('{', r#"{"sub":"root","#, 1);
    check_claims(&twice, Err(Refusal::MalformedClaims));
}

#[test]
fn issuer_audience_and_tenant_are_read_only_where_configured() {
    let mut settings = settings(JwtAlgorithm::Hs256);
    (settings.issuer, settings.audience, settings.claims.tenant) = (None, None, None);
    let source = build(&settings, &|_| Ok(SECRET.to_vec())).ok().unwrap();
    let token = hs256(r#"{"alg":"HS256"}"#, &format!(r#"{{"sub":"ann","exp":{}}}"#, NOW + 1));
    let expected = Principal { subject: "ann".to_owned(), roles: Vec::new(), tenant: None };
    assert_eq!(verify(&source, &token), Ok(expected));
}

#[test]
fn every_fault_of_the_settings_is_told() {
    let mut settings = settings(JwtAlgorithm::Rs256);
    settings.leeway = Duration::from_secs(61);
    settings.claims.roles = String::new();
    let faults = |read: &dyn Fn(&Path) -> io::Result<Vec<u8>>| {
        let faults = build(&settings, read).err().unwrap();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let both = [
        "`leeway` is 61 s; at most 60 s are allowed",
        "`roles_claim` is empty; name the claim to read",
    ];
    assert_eq!(faults(&|_| Ok(RSA_PUBLIC.into())), both);
    assert_eq!(
        faults(&|_| Err(io::ErrorKind::NotFound.into())),
        [both.as_slice(), &["cannot read the key file `key.pem`: entity not found"]].concat()
    );
    assert_eq!(
        faults(&|_| Ok(RSA_PRIVATE.into())),
        [both.as_slice(), &["key file `key.pem`: a private key; give the public key only"]]
            .concat()
    );
}
