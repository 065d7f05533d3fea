//! Who calls: each source of identity through sockets, and what becomes of roles nobody knows.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::harness::*;

const LEAD: &str = "/api/v1/leads/1/";
const SECRET: &str = "a shared secret of more than 32 bytes";
const JWT: &str = "  - jwt: { algorithm: HS256, key: jwt.key, issuer: idp, audience: crm, roles_claim: access.roles, tenant_claim: org }";

fn token(algorithm: Algorithm, secret: &str, change: impl Fn(&mut Value)) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "sub": "u-1", "iss": "idp", "aud": "crm", "exp": now + 600, "org": "acme",
        "access": { "roles": ["sales_rep"] },
    });
    change(&mut claims);
    encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_says_who_calls_and_only_a_good_one() {
    let body = r#"{"id":1,"ssn":"s-1","budget":1}"#;
    let upstream = Upstream::scripted(json_answer(body), Pace::OnePacket).await;
    let gate = gate(&upstream).config(JWT).file("jwt.key", SECRET).start().await;
    let ask = |token: String| gate.get(LEAD).header("Authorization", &format!("Bearer {token}"));
    let good = |change: &dyn Fn(&mut Value)| token(Algorithm::HS256, SECRET, change);

    let answered = ask(good(&|_| {})).send().await;
    assert_eq!(answered.text(), r#"{"id":1,"budget":1}"#);
    assert_eq!(gate.access_lines(1).await[0]["user_id"], "u-1");
    let both = good(&|claims| claims["access"]["roles"] = json!(["sales_rep", "support"]));
    assert_eq!(ask(both).send().await.text(), r#"{"id":1}"#, "the stricter of each field");
    let with_unknown = good(&|claims| claims["access"]["roles"] = json!(["sales_rep", "root"]));
    assert_eq!(ask(with_unknown).send().await.text(), r#"{"id":1,"budget":1}"#);

    for roles in [json!(["root"]), json!([]), json!(7), Value::Null] {
        let unknown = good(&|claims| claims["access"]["roles"] = roles.clone());
        let refused = ask(unknown).send().await;
        assert!([401, 403].contains(&refused.status), "{roles} {}", refused.head);
    }
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1LTEifQ.".to_owned();
    for bad in [
        none,
        token(Algorithm::HS512, SECRET, |_| {}),
        token(Algorithm::HS256, "another secret of more than 32 bytes", |_| {}),
        good(&|claims| claims["exp"] = json!(1)),
        good(&|claims| claims["exp"] = json!("4102444800")),
        good(&|claims| claims["iss"] = json!("other")),
        good(&|claims| claims["aud"] = json!("other")),
        good(&|_| {}) + "x",
        "not.a.token".to_owned(),
    ] {
        let refused = ask(bad.clone()).send().await;
        refused.expect_problem(401, "credentials_invalid");
        assert!(refused.header("WWW-Authenticate").unwrap().starts_with("Bearer"));
        assert!(!gate.logged().contains(&bad), "no token in the log");
    }
    assert_eq!(upstream.heads().len(), 3, "only the good ones were forwarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_count_only_from_a_trusted_peer() {
    let upstream =
        Upstream::scripted(json_answer(r#"{"id":1,"ssn":"s-1"}"#), Pace::OnePacket).await;
    let source = |peer: &str| {
        format!("  - trusted_headers: {{ peers: [{peer}], subject: X-User, roles: X-Roles }}")
    };
    let trusting = gate(&upstream).config(&source("127.0.0.1/32")).start().await;
    let ask =
        |gate: &Gate, roles: &str| gate.get(LEAD).header("X-User", "u-2").header("X-Roles", roles);
    assert_eq!(ask(&trusting, "sales_rep").send().await.text(), r#"{"id":1}"#);
    assert_eq!(ask(&trusting, "admin").send().await.text(), r#"{"id":1,"ssn":"s-1"}"#);
    assert_eq!(ask(&trusting, "admin, sales_rep").send().await.text(), r#"{"id":1}"#);
    let refused = ask(&trusting, "root").send().await;
    refused.expect_problem(403, "no_known_role");
    for head in upstream.heads() {
        assert_eq!(header(&head, "x-roles"), [""; 0], "the CRM is not told: {head}");
    }

    let other = gate(&upstream).config(&source("10.0.0.0/8")).start().await;
    ask(&other, "admin").send().await.expect_problem(401, "credentials_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_make_up_makes_no_series() {
    let upstream = Upstream::scripted(json_answer("{}"), Pace::OnePacket).await;
    let trusted = "  - trusted_headers: { peers: [127.0.0.1/32], subject: X-User, roles: X-Roles }";
    let gate = gate(&upstream).config(trusted).start().await;
    let round = async |from: usize, to: usize| {
        for number in from..to {
            let path = if number % 2 == 0 { "/api/v1/leads/" } else { "/made/up/" };
            let ask = gate.request(["GET", "PUT", "BREW"][number % 3], &format!("{path}{number}/"));
            let role = if number % 5 == 0 { "admin".into() } else { format!("role{number}") };
            let ask = ask.header("X-User", &format!("u{number}")).header("X-Roles", &role);
            ask.header("X-Correlation-ID", &format!("id{number}")).send().await;
        }
        gate.access_lines(to).await;
        gate.metrics().await.lines().filter(|line| !line.starts_with('#')).count()
    };
    let few = round(0, 60).await;
    let many = round(60, 360).await;
    assert_eq!(few, many, "{}", gate.metrics().await);
}
