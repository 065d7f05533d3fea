//! Logging in and out, and the other ways to be somebody.

use bytes::Bytes;
use data_encoding::BASE64;
use fieldgate::demo::crm::PEOPLE;
use http::{Method, Request, StatusCode};
use http_body_util::Full;

use super::harness::{Answer, Running};

async fn ask(
    crm: &Running,
    method: Method,
    target: &str,
    header: (&str, &str),
    body: &str,
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "crm")
        .header("content-type", "application/json")
        .header(header.0, header.1);
    crm.send(request.body(Full::from(Bytes::from(body.to_owned()))).unwrap()).await
}

/// The cookie of a new session.
async fn log_in(crm: &Running, username: &str, password: &str) -> Option<String> {
    let body = format!(r#"{{"username":"{username}","password":"{password}"}}"#);
    let answer = ask(crm, Method::POST, "/login/", ("accept", "*/*"), &body).await;
    if answer.status != StatusCode::OK {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        return None;
    }
    Some(answer.header("set-cookie").split(';').next().unwrap().to_owned())
}

async fn me(crm: &Running, header: (&str, &str)) -> Option<String> {
    let answer = ask(crm, Method::GET, "/api/v1/me/", header, "").await;
    (answer.status == StatusCode::OK).then_some(answer.body)
}

#[tokio::test]
async fn everybody_is_known_in_four_ways() {
    let crm = Running::seeded().await;
    for person in PEOPLE {
        let session = log_in(&crm, person.username, person.token).await.unwrap();
        let basic = BASE64.encode(format!("{}:{}", person.username, person.token).as_bytes());
        let expected = format!(
            r#"{{"username":"{}","groups":[{{"name":"{}"}}],"company":{{"slug":"demo"}}}}"#,
            person.username, person.group
        );
        for header in [
            ("cookie", format!("theme=dark; {session}")),
            ("authorization", format!("Basic {basic}")),
            ("authorization", format!("Bearer {}", person.token)),
            ("x-api-key", person.api_key.to_owned()),
        ] {
            let header = (header.0, header.1.as_str());
            assert_eq!(me(&crm, header).await.as_ref(), Some(&expected), "{header:?}");
        }
    }
}

#[tokio::test]
async fn who_is_nobody() {
    let crm = Running::seeded().await;
    assert_eq!(log_in(&crm, "ann", "wrong").await, None);
    assert_eq!(log_in(&crm, "nobody", "demo-admin").await, None);
    for header in [
        ("cookie", "sessionid=invented"),
        ("x-api-key", "invented"),
        ("authorization", "Basic eDp5"),
        ("accept", "*/*"),
    ] {
        assert_eq!(me(&crm, header).await, None, "{header:?}");
    }
}

#[tokio::test]
async fn a_session_ends_with_logout_and_with_a_new_password() {
    let crm = Running::seeded().await;
    let (one, two) = (
        log_in(&crm, "sam", "demo-sales_rep").await.unwrap(),
        log_in(&crm, "sam", "demo-sales_rep").await.unwrap(),
    );
    let other = log_in(&crm, "ann", "demo-admin").await.unwrap();
    let change = r#"{"old_password":"demo-sales_rep","new_password":"a new one"}"#;
    let answer = ask(&crm, Method::POST, "/password/", ("cookie", &one), change).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(me(&crm, ("cookie", &one)).await.is_some());
    assert!(me(&crm, ("cookie", &two)).await.is_none());
    assert!(me(&crm, ("cookie", &other)).await.is_some());
    assert_eq!(log_in(&crm, "sam", "demo-sales_rep").await, None);
    assert!(log_in(&crm, "sam", "a new one").await.is_some());

    ask(&crm, Method::POST, "/logout/", ("cookie", &one), "").await;
    assert!(me(&crm, ("cookie", &one)).await.is_none());
}
