//! Row 32: tokens that lie, through a gate with an issuer's key set; and tokens that only their
//! issuer can explain.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use serde_json::{Value, json};

use super::canary::Canaries;
use super::harness::*;
use super::metric;

const LEAD: &str = "/api/v1/leads/1/";
const ISSUER: &str = "https://idp.example";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An issuer's key pair, under the id `one`.
struct Issuer(KeyPair);

impl Issuer {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn key_set(&self) -> String {
        let point = self.0.der_bytes();
        let part = |range| BASE64URL_NOPAD.encode(&point[range]);
        let (x, y) = (part(1..33), part(33..65));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "one", "x": x, "y": y }] })
            .to_string()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let key = EncodingKey::from_ec_der(&self.0.serialize_der());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::ES256);
        format!("{message}.{}", signature.unwrap())
    }
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "one" })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "crm", "sub": "sam", "exp": now() + 60, "org": { "slug": "demo" },
        "realm_access": { "roles": { "CRM Sales": true, "CRM Admins": false } },
    })
}

fn with(mut value: Value, name: &str, new: impl Into<Value>) -> Value {
    value[name] = new.into();
    value
}

/// A CRM that answers whoever Fieldgate lets through; it need not know the issuer.
async fn crm() -> Upstream {
    let lead = json!({ "id": 1, "ssn": "canary-ssn-4711", "internal_notes": "canary-note-4711" });
    Upstream::scripted(json_answer(&lead.to_string()), Pace::OnePacket).await
}

fn source(jwks: &Upstream) -> String {
    format!(
        "  - jwt:
      jwks: {{ url: \"http://{}/jwks.json\" }}
      issuer: {ISSUER}
      audience: crm
      leeway: 60s
      roles_claim: realm_access.roles
      tenant_claim: org.slug
    roles:
      map: {{ CRM Sales: [sales_rep], CRM Admins: [admin] }}
      tenants: {{ acme: {{ CRM Sales: [admin] }} }}",
        jwks.address
    )
}

async fn ask(gate: &Gate, token: &str) -> Answered {
    gate.get(LEAD).header("Authorization", &format!("Bearer {token}")).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_lie_are_refused() {
    let issuer = Issuer::new();
    let jwks = Upstream::scripted(json_answer(&issuer.key_set()), Pace::OnePacket).await;
    let upstream = crm().await;
    let gate = gate(&upstream).config(&source(&jwks)).start().await;

    let good = issuer.sign(&header(), &claims());
    let seen = ask(&gate, &good).await;
    assert_eq!(seen.status, 200, "{}", seen.head);
    assert_eq!(seen.text(), gate.get(LEAD).as_role("sales_rep").send().await.text());
    let skewed = issuer.sign(&header(), &with(claims(), "exp", now() - 30));
    assert_eq!(ask(&gate, &skewed).await.status, 200, "within the leeway");
    let acme = with(claims(), "org", json!({ "slug": "acme" }));
    let acme = ask(&gate, &issuer.sign(&header(), &acme)).await;
    let admin = gate.get(LEAD).as_role("admin").send().await;
    assert_eq!(acme.text(), admin.text(), "what `CRM Sales` means at `acme`");
    assert_ne!(acme.text(), seen.text());
    let before = upstream.heads().len();

    let stranger = Issuer::new();
    let unsigned = |header: Value| {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.", part(&header), part(&claims()))
    };
    // Signed with the public key as if it were a shared secret.
    let confused = {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let header = json!({ "alg": "HS256", "kid": "one" });
        let message = format!("{}.{}", part(&header), part(&claims()));
        let key = EncodingKey::from_secret(issuer.0.der_bytes());
        let signed = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
        format!("{message}.{}", signed.unwrap())
    };
    let lies = [
        ("alg none", "wrong_algorithm", unsigned(json!({ "alg": "none", "kid": "one" }))),
        ("alg swapped", "wrong_algorithm", confused),
        ("no signature", "bad_signature", unsigned(header())),
        ("another key", "bad_signature", stranger.sign(&header(), &claims())),
        (
            "a key of its own",
            "bad_signature",
            stranger.sign(&with(header(), "jwk", json!({ "kty": "EC" })), &claims()),
        ),
        ("unknown kid", "unknown_key", issuer.sign(&with(header(), "kid", "two"), &claims())),
        ("wrong aud", "wrong_audience", issuer.sign(&header(), &with(claims(), "aud", "erp"))),
        ("wrong iss", "other_issuer", issuer.sign(&header(), &with(claims(), "iss", "https://x"))),
        (
            "string exp",
            "malformed_times",
            issuer.sign(&header(), &with(claims(), "exp", (now() + 60).to_string())),
        ),
        ("no exp", "missing_expiry", {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove("exp");
            issuer.sign(&header(), &claims)
        }),
        ("expired", "expired", issuer.sign(&header(), &with(claims(), "exp", now() - 90))),
        ("not yet", "not_yet_valid", issuer.sign(&header(), &with(claims(), "nbf", now() + 90))),
        ("no subject", "bad_subject", issuer.sign(&header(), &with(claims(), "sub", ""))),
        ("no tenant", "bad_tenant", issuer.sign(&header(), &with(claims(), "org", json!({})))),
    ];
    let mut answers = Vec::new();
    for (what, outcome, token) in &lies {
        let answered = ask(&gate, token).await;
        answered.expect_problem(401, "credentials_invalid");
        let challenge = answered.header("WWW-Authenticate");
        assert_eq!(challenge, Some("Bearer error=\"invalid_token\""), "{what}");
        let series =
            format!(r#"fieldgate_identifications_total{{outcome="{outcome}",source="jwt"}}"#);
        assert!(metric(&gate, &series).await > 0, "{what} counts as {outcome}");
        answers.push(answered);
    }
    assert_eq!(upstream.heads().len(), before, "none of them was forwarded");
    let tokens = lies.iter().flat_map(|(_, _, token)| token.split('.')).chain(good.split('.'));
    let canaries = Canaries::new(tokens.filter(|part| part.len() > 40));
    canaries.assert_absent(&gate, &answers.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_is_no_flood_of_fetches() {
    let issuer = Issuer::new();
    let jwks = Upstream::scripted(json_answer(&issuer.key_set()), Pace::OnePacket).await;
    let upstream = crm().await;
    let gate = gate(&upstream).config(&source(&jwks)).start().await;
    for number in 0..200 {
        let header = with(header(), "kid", format!("invented-{number}"));
        let answered = ask(&gate, &issuer.sign(&header, &claims())).await;
        answered.expect_problem(401, "credentials_invalid");
    }
    // One at the start, one for the first unknown key, and one more in case the test takes longer
    // than the pause between two.
    let fetches = jwks.seen.lock().unwrap().len();
    assert!((2..=6).contains(&fetches), "{fetches} fetches");
    assert_eq!(ask(&gate, &issuer.sign(&header(), &claims())).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nobody_is_known() {
    let issuer = Issuer::new();
    let down =
        Upstream::scripted("HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n", Pace::OnePacket);
    let down = down.await;
    let upstream = crm().await;
    let gate = gate(&upstream).config(&source(&down)).start().await;
    let answered = ask(&gate, &issuer.sign(&header(), &claims())).await;
    answered.expect_problem(503, "identity_unavailable");
    assert_eq!(upstream.heads().len(), 0);
    // Who is known by something else is not affected.
    assert_eq!(gate.get(LEAD).as_role("admin").send().await.status, 200);
}

fn introspecting(issuer: &Upstream) -> String {
    format!(
        "  - introspection:
      url: http://{}/introspect
      client_id: fieldgate
      client_secret_file: introspection.secret
      audience: crm
    roles: {{ map: {{ \"crm:sales\": sales_rep }} }}",
        issuer.address
    )
}

async fn asking_issuer(answer: &str) -> (Upstream, Upstream, Gate) {
    let issuer = Upstream::scripted(answer, Pace::ByteByByte).await;
    let upstream = crm().await;
    let gate = gate(&upstream)
        .config(&introspecting(&issuer))
        .file("introspection.secret", "canary-client-secret-4711\n")
        .start()
        .await;
    (issuer, upstream, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_its_issuer_explains() {
    let claims = json!({ "active": true, "sub": "sam", "scope": "crm:sales openid", "aud": "crm" });
    let answer = String::from_utf8(json_answer(&claims.to_string())).unwrap();
    let (issuer, _upstream, gate) = asking_issuer(&answer).await;
    let token = "opaque-token-4711";
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(ask(&gate, token).await);
    }
    let expected = gate.get(LEAD).as_role("sales_rep").send().await;
    assert!(answers.iter().all(|answered| answered.text() == expected.text()));
    let seen = issuer.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].contains("token=opaque%2Dtoken%2D4711"), "{}", seen[0]);
    let identified =
        r#"fieldgate_identifications_total{outcome="identified",source="introspection"}"#;
    assert_eq!(metric(&gate, identified).await, 5);
    let answered =
        r#"fieldgate_identity_questions_total{outcome="answered",source="introspection"}"#;
    assert_eq!(metric(&gate, answered).await, 1);
    let canaries = Canaries::new([token, "canary-client-secret-4711"]);
    canaries.assert_absent(&gate, &answers.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_its_issuer_does_not_explain() {
    let inactive = String::from_utf8(json_answer(r#"{"active":false}"#)).unwrap();
    let (issuer, upstream, gate) = asking_issuer(&inactive).await;
    for _ in 0..3 {
        ask(&gate, "opaque-token-4711").await.expect_problem(401, "credentials_invalid");
    }
    assert_eq!(issuer.seen.lock().unwrap().len(), 1, "a no is kept for a moment");
    assert_eq!(upstream.heads().len(), 0);

    // It does not know *us*: that says nothing of the token.
    let unauthorized = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let (_issuer, upstream, gate) = asking_issuer(unauthorized).await;
    ask(&gate, "opaque-token-4711").await.expect_problem(503, "identity_unavailable");
    assert_eq!(upstream.heads().len(), 0);
}
