//! How the CRM is asked, and what its answers become.

use std::time::{Instant, SystemTime};

use super::*;
use crate::config::{AnswerPath, Endpoint, Keep, PathPattern};
use crate::identity::kind::AskedOutcome;
use crate::identity::tests::{Heard, arriving, headers, upstream};
use crate::json::path::FieldPath;
use crate::outbound::tests::{Stub, reply};

fn settings(place: WhoAmIPlace) -> config::WhoAmI {
    let path = |text: &str| AnswerPath(FieldPath::parse(text).unwrap());
    config::WhoAmI {
        place,
        credentials: config::Credentials {
            cookies: vec!["sessionid".to_owned()],
            headers: vec![HeaderName::from_static("x-api-key")],
            authorization: vec![AuthorizationScheme::Basic],
        },
        subject: path("$.user"),
        roles: vec![path("$.groups[*]")],
        tenant: None,
        keep: Keep {
            ttl: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
        },
        forget: vec![ForgetRoute {
            methods: vec![Method::POST],
            path: PathPattern::parse("/logout/").unwrap(),
        }],
    }
}

fn source(stub: &Stub, heard: &Heard) -> WhoAmI {
    let place = WhoAmIPlace::Upstream("/api/me?full=1".to_owned());
    let upstream = upstream(stub.address.port());
    WhoAmI::build(&settings(place), &upstream, RoleNames::new(None), heard.told()).ok().unwrap()
}

async fn find(source: &WhoAmI, lines: &[(&str, &str)]) -> Option<Result<String, Unknown>> {
    let headers = headers(lines);
    let arrival = arriving(&headers, SystemTime::now());
    let credential = source.credential(&arrival).unwrap()?;
    Some(source.find(credential, &arrival).await.map(|principal| principal.subject.clone()))
}

const ANN: &str = r#"{"user":"ann","groups":["sales_rep"]}"#;

#[tokio::test]
async fn the_crm_gets_the_credentials_and_nothing_else() {
    let stub = Stub::start(|_| reply("200 OK", ANN)).await;
    let source = source(&stub, &Heard::default());
    let lines = [
        ("cookie", "theme=dark; sessionid=s1; csrf=x"),
        ("x-api-key", "k1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("user-agent", "curl"),
        ("x-user", "root"),
    ];
    assert_eq!(find(&source, &lines).await, Some(Ok("ann".to_owned())));
    let seen = stub.seen().concat();
    let mut seen: Vec<&str> = seen.trim_end().split("\r\n").collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "GET /api/me?full=1 HTTP/1.1",
            "accept-encoding: identity",
            "accept: application/json",
            "cookie: sessionid=s1",
            "host: crm.example",
            "x-api-key: k1",
        ]
    );
}

#[tokio::test]
async fn one_question_a_credential() {
    let stub = Stub::start(|request| {
        let is_ann = request.contains("sessionid=s1");
        reply("200 OK", if is_ann { ANN } else { r#"{"user":"bob","groups":[]}"# })
    })
    .await;
    let heard = Heard::default();
    let source = source(&stub, &heard);
    let (one, two) = ([("cookie", "sessionid=s1")], [("cookie", "sessionid=s2")]);
    for _ in 0..3 {
        assert_eq!(find(&source, &one).await, Some(Ok("ann".to_owned())));
        assert_eq!(find(&source, &two).await, Some(Ok("bob".to_owned())));
    }
    assert_eq!(find(&source, &[("cookie", "theme=dark")]).await, None);
    assert_eq!(heard.outcomes(), [AskedOutcome::Answered; 2]);
    // The same cookie means somebody else to a CRM of another host.
    let headers = headers(&one);
    let elsewhere = Arrival { host: b"other.example", ..arriving(&headers, SystemTime::now()) };
    let credential = source.credential(&elsewhere).unwrap().unwrap();
    source.find(credential, &elsewhere).await.unwrap();
    assert_eq!(stub.seen().len(), 3);
}

#[track_caller]
fn check(
    answer: impl Into<Vec<u8>>,
    expected: Result<&'static str, Unknown>,
) -> impl Future<Output = ()> {
    let answer = answer.into();
    let place = std::panic::Location::caller();
    async move {
        let stub = Stub::start(move |_| answer.clone()).await;
        let source = source(&stub, &Heard::default());
        let found = find(&source, &[("cookie", "sessionid=s")]).await.unwrap();
        assert_eq!(found, expected.map(str::to_owned), "{place}");
    }
}

#[tokio::test]
async fn what_the_crm_says() {
    let no = Err(Unknown::Refused(Refusal::NotRecognised));
    check(reply("200 OK", ANN), Ok("ann")).await;
    check(reply("401 Unauthorized", ANN), no).await;
    check(reply("403 Forbidden", ANN), no).await;
    check("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", no).await;
    check(reply("200 OK", r#"{"user":null}"#), no).await;
    let roles = Err(Unknown::Refused(Refusal::BadRoles));
    check(reply("200 OK", r#"{"user":"ann","groups":[true]}"#), roles).await;
}

#[tokio::test]
async fn what_is_no_answer_is_no_verdict() {
    let none = Err(Unknown::Unavailable);
    check(reply("200 OK", "<html>log in</html>"), none).await;
    check(reply("201 Created", ANN), none).await;
    check(reply("404 Not Found", ""), none).await;
    check(reply("429 Too Many Requests", ""), none).await;
    check(reply("500 Internal Server Error", ANN), none).await;
    check("nonsense", none).await;
}

#[tokio::test]
async fn a_declared_route_ends_what_is_known() {
    let stub = Stub::start(|_| reply("200 OK", ANN)).await;
    let source = source(&stub, &Heard::default());
    let headers = headers(&[("cookie", "sessionid=s1")]);
    let arrival = arriving(&headers, SystemTime::now());
    let credential = source.credential(&arrival).unwrap().unwrap();
    source.find(credential, &arrival).await.unwrap();
    assert!(source.ending(&Method::GET, "/logout/", &arrival).is_none());
    assert!(source.ending(&Method::POST, "/login/", &arrival).is_none());
    let nobody = http::HeaderMap::new();
    let nobody = arriving(&nobody, SystemTime::now());
    assert!(source.ending(&Method::POST, "/logout/", &nobody).is_none());
    assert_eq!(stub.seen().len(), 1);

    drop(source.ending(&Method::POST, "/logout", &arrival).unwrap());
    let later = Arrival { at: Instant::now(), ..arrival };
    source.find(credential, &later).await.unwrap();
    assert_eq!(stub.seen().len(), 2);
}

#[tokio::test]
async fn another_server_is_asked_by_its_own_name() {
    let stub = Stub::start(|_| reply("200 OK", ANN)).await;
    let endpoint = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: stub.address.port(),
        tls: None,
        target: "/me".to_owned(),
    };
    let settings = settings(WhoAmIPlace::Elsewhere(endpoint));
    let told = Heard::default().told();
    let source = WhoAmI::build(&settings, &upstream(1), RoleNames::new(None), told).ok().unwrap();
    assert!(find(&source, &[("x-api-key", "k")]).await.unwrap().is_ok());
    assert!(stub.seen()[0].contains(&format!("host: {}\r\n", stub.address)));
}
