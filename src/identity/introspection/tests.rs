//! What an issuer's words become, and how it is asked.

use serde_json::{Value, json};

use std::time::UNIX_EPOCH;

use super::*;
use crate::config::{Endpoint, Keep};
use crate::identity::kind::AskedOutcome;
use crate::identity::tests::{Heard, arriving};
use crate::outbound::tests::{Stub, reply};

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn source(port: u16, heard: &Heard) -> Introspection {
    let settings = config::Introspection {
        endpoint: Endpoint {
            host: "127.0.0.1".to_owned(),
            port,
            tls: None,
            target: "/introspect".to_owned(),
        },
        client_id: "field gate".to_owned(),
        client_secret: "hunter2:%".to_owned().into(),
        issuer: Some("https://idp.example".to_owned()),
        audience: Some("crm".to_owned()),
        claims: ClaimNames {
            subject: "sub".to_owned(),
            roles: "scope".to_owned(),
            tenant: Some("org.id".to_owned()),
        },
        keep: Keep {
            ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
        },
    };
    Introspection::build(&settings, RoleNames::new(None), heard.told()).ok().unwrap()
}

fn claims() -> Value {
    json!({
        "active": true, "iss": "https://idp.example", "aud": ["crm"], "sub": "ann",
        "scope": "sales_rep openid", "exp": NOW + 30, "org": { "id": "acme" },
    })
}

#[track_caller]
fn check_claim(name: &str, value: Value, expected: Result<&str, Refusal>) {
    let mut claims = claims();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name),
        value => claims.as_object_mut().unwrap().insert(name.to_owned(), value),
    };
    check("200 OK", &claims.to_string(), Some(expected));
}

#[track_caller]
fn check(status: &str, body: &str, expected: Option<Result<&str, Refusal>>) {
    let answer = Answer {
        status: status.split(' ').next().unwrap().parse().unwrap(),
        headers: http::HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    };
    let found = match source(1, &Heard::default()).understand(&answer, now()) {
        Said::Known(principal, _) => Some(Ok(principal.subject)),
        Said::Refused(refusal) => Some(Err(refusal)),
        Said::Nothing => None,
    };
    assert_eq!(found, expected.map(|found| found.map(str::to_owned)), "{status} {body}");
}

#[test]
fn what_an_issuer_says() {
    check_claim("active", json!(true), Ok("ann"));
    check_claim("active", json!(false), Err(Refusal::InactiveToken));
    check_claim("active", json!("true"), Err(Refusal::InactiveToken));
    check_claim("active", json!(1), Err(Refusal::InactiveToken));
    check_claim("iss", json!("https://other"), Err(Refusal::WrongIssuer));
    check_claim("aud", json!("erp"), Err(Refusal::WrongAudience));
    check_claim("exp", json!(NOW), Err(Refusal::Expired));
    check_claim("exp", json!("9999999999"), Err(Refusal::MalformedTimes));
    check_claim("exp", Value::Null, Ok("ann"));
    check_claim("nbf", json!(NOW + 1), Err(Refusal::NotYetValid));
    check_claim("sub", Value::Null, Err(Refusal::BadSubject));
    check_claim("scope", json!(7), Err(Refusal::BadRoles));
    check_claim("org", json!({}), Err(Refusal::BadTenant));
}

#[test]
fn what_says_nothing_of_the_token() {
    check("200 OK", "{}", None);
    check("200 OK", "<html>", None);
    check("200 OK", r#"{"active":false,"active":true}"#, None);
    for status in ["204 No Content", "302 Found", "400 Bad Request", "401 Unauthorized", "500 Oh"] {
        check(status, &claims().to_string(), None);
    }
}

#[tokio::test]
async fn an_issuer_is_asked_once_and_by_the_book() {
    let stub = Stub::start(|_| reply("200 OK", &claims().to_string())).await;
    let heard = Heard::default();
    let source = source(stub.address.port(), &heard);
    let headers = http::HeaderMap::new();
    let arrival = arriving(&headers, now());
    for _ in 0..3 {
        let found = source.find("opaque~token+/=", &arrival).await.unwrap();
        assert_eq!(found.roles, ["openid", "sales_rep"]);
        assert_eq!(found.tenant.as_deref(), Some("acme"));
    }
    // Not beyond `exp`, though the time to live is longer.
    let later = Arrival { at: arrival.at + Duration::from_secs(30), ..arrival };
    source.find("opaque~token+/=", &later).await.unwrap();
    assert_eq!(heard.outcomes(), [AskedOutcome::Answered; 2]);

    let seen = stub.seen();
    assert_eq!(seen.len(), 2);
    let expected = BASE64.encode(b"field%20gate:hunter2%3A%25");
    assert!(seen[0].starts_with("POST /introspect HTTP/1.1\r\n"));
    assert!(seen[0].contains(&format!("authorization: Basic {expected}\r\n")), "{}", seen[0]);
    let body = seen[0].split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(body, "token=opaque%7Etoken%2B%2F%3D&token_type_hint=access_token");
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_no_verdict() {
    let stub = Stub::start(|_| reply("503 Service Unavailable", "")).await;
    let source = source(stub.address.port(), &Heard::default());
    let headers = http::HeaderMap::new();
    let arrival = arriving(&headers, now());
    for _ in 0..2 {
        assert_eq!(source.find("token", &arrival).await, Err(Unknown::Unavailable));
    }
    assert_eq!(stub.seen().len(), 2, "nothing of it is kept");
}
