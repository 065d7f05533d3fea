//! Tokens, paths, methods, validators, failures.

use fieldgate::demo::crm::TOKENS;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio::net::TcpStream;

use crate::harness::{Running, known, lead_email};

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let crm = Running::seeded().await;
    for target in [
        "/",
        "/api/v1/",
        "/api/v1/leads",
        "/api/v1/users/",
        "/api/v1/users/1/",
        "/api/v1/leads/0/",
        "/api/v1/leads/abc/",
        "/api/v1/leads/+7/",
    ] {
        let answer = crm.get(target).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
        assert_eq!(answer.body, r#"{"detail":"Not found."}"#);
    }
    let cases = [
        (Method::DELETE, "/api/v1/leads/", "GET, POST, HEAD"),
        (Method::POST, "/api/v1/leads/1/", "GET, PUT, PATCH, DELETE, HEAD"),
        (Method::OPTIONS, "/api/v1/leads/", "GET, POST, HEAD"),
    ];
    for (method, target, allowed) in cases {
        let answer = crm.call(method.clone(), target, "{}").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), allowed);
        assert_eq!(answer.body, format!(r#"{{"detail":"Method \"{method}\" not allowed."}}"#));
    }
}

#[tokio::test]
async fn any_known_token_sees_everything_and_no_other_sees_anything() {
    let crm = Running::seeded().await;
    let lead = crm.get("/api/v1/leads/7/").await.body;
    let with = |authorization: Option<String>| {
        let mut request = Request::builder().uri("/api/v1/leads/7/").header("host", "crm");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        crm.send(request.body(Full::default()).unwrap())
    };
    for token in TOKENS {
        assert_eq!(with(Some(format!("bearer {token}"))).await.body, lead);
    }
    let missing = "Authentication credentials were not provided.";
    let cases = [
        (None, missing),
        (Some("Basic ZGVtby1hZG1pbg=="), "Invalid username/password."),
        (Some("demo-admin"), missing),
        (Some("Bearer demo-nobody"), "Invalid token."),
        (Some("Bearer "), missing),
    ];
    for (authorization, message) in cases {
        let answer = with(authorization.map(str::to_owned)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(answer.body, format!(r#"{{"detail":"{message}"}}"#));
    }
}

#[tokio::test]
async fn a_crash_shows_the_debug_page_with_data() {
    let crm = Running::seeded().await;
    let request = known(Method::GET, "/api/v1/leads/?annual_revenue__gt=%3Cabc%3E")
        .header("x-trace", "<one>")
        .body(Full::default())
        .unwrap();
    let answer = crm.send(request).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let expected = [
        "<title>ValueError at /api/v1/leads/</title>",
        "Field &#x27;annual_revenue&#x27; expected a number but got &#x27;&lt;abc&gt;&#x27;.",
        "http://crm.example:8081/api/v1/leads/?annual_revenue__gt=%3Cabc%3E",
        "<tr><td>HTTP_X_TRACE</td><td class=\"code\"><pre>&lt;one&gt;</pre></td></tr>",
        &lead_email(&crm, 7),
    ];
    for text in expected {
        assert!(answer.body.contains(text), "{text} not in {}", answer.body);
    }
    assert!(!answer.body.contains("demo-admin"));
}

#[tokio::test]
async fn details_have_validators_that_spare_a_body() {
    let crm = Running::seeded().await;
    let first = crm.get("/api/v1/leads/1/").await;
    let etag = first.header("etag").to_owned();
    assert_eq!(etag.len(), 34);
    assert_eq!(first.header("last-modified"), "Tue, 07 Jan 2025 09:37:00 GMT");
    let conditional = |candidates: String| {
        let request = known(Method::GET, "/api/v1/leads/1/").header("if-none-match", candidates);
        crm.send(request.body(Full::default()).unwrap())
    };
    for candidates in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let answer = conditional(candidates).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(answer.header("etag"), etag);
        assert_eq!(answer.header("content-length"), "");
    }
    assert_eq!(conditional("\"other\"".to_owned()).await.body, first.body);
    crm.call(Method::PATCH, "/api/v1/leads/1/", r#"{"title":"other"}"#).await;
    let changed = conditional(etag.clone()).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.header("etag"), etag);
    assert_ne!(changed.header("last-modified"), first.header("last-modified"));
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let crm = Running::seeded().await;
    for target in ["/api/v1/leads/1/", "/api/v1/leads/"] {
        let full = crm.get(target).await;
        let head = crm.call(Method::HEAD, target, "").await;
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
        assert_eq!(head.header("content-length"), full.body.len().to_string());
    }
}

#[tokio::test]
async fn request_heads_can_be_read_afterwards() {
    let crm = Running::seeded().await;
    let request = known(Method::GET, "/api/v1/leads/?search=a%20b")
        .header("x-correlation-id", "abc")
        .body(Full::default())
        .unwrap();
    crm.send(request).await;
    let anonymous = Request::builder().uri("/elsewhere").header("host", "crm");
    crm.send(anonymous.body(Full::default()).unwrap()).await;
    let seen = crm.crm.requests();
    let targets: Vec<_> = seen.iter().map(|head| (&head.method, head.target.as_str())).collect();
    let expected = [(&Method::GET, "/api/v1/leads/?search=a%20b"), (&Method::GET, "/elsewhere")];
    assert_eq!(targets, expected);
    assert_eq!(seen[0].headers["x-correlation-id"], "abc");
}

#[tokio::test]
async fn the_server_stops_when_told() {
    let crm = Running::seeded().await;
    crm.get("/api/v1/leads/1/").await;
    crm.stop.send(()).unwrap();
    crm.server.await.unwrap().unwrap();
    assert!(TcpStream::connect(crm.address).await.is_err());
}
