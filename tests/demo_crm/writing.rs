//! What changes records, and what is refused to.

use http::{Method, StatusCode};
use http_body_util::Full;

use crate::harness::{Running, known, lead_email};

#[tokio::test]
async fn a_lead_lives_and_dies() {
    let crm = Running::seeded().await;
    let body =
        r#"{"last_name":"Quispe","email":"new@example.com","budget":0.10,"owner":{"z":1,"a":[]}}"#;
    let created = crm.call(Method::POST, "/api/v1/leads/", body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert_eq!(created.header("location"), "http://crm.example:8081/api/v1/leads/61/");
    assert!(
        created
            .body
            .starts_with(r#"{"id":61,"external_id":null,"first_name":null,"last_name":"Quispe""#)
    );
    assert!(created.body.contains(r#""budget":0.10,"#));
    assert!(created.body.contains(r#""owner":{"z":1,"a":[]},"#));
    assert_eq!(created.member("status"), "\"new\"");
    assert_eq!(created.member("created_at"), created.member("updated_at"));

    let patched = crm.call(Method::PATCH, "/api/v1/leads/61/", r#"{"title":"CTO","id":9}"#).await;
    assert_eq!((patched.status, patched.member("id")), (StatusCode::OK, "61".to_owned()));
    assert_eq!(
        (patched.member("title"), patched.member("budget")),
        ("\"CTO\"".into(), "0.10".into())
    );

    let replaced = crm.call(Method::PUT, "/api/v1/leads/61/", r#"{"last_name":"Uzun"}"#).await;
    assert_eq!(replaced.status, StatusCode::OK);
    for gone in ["title", "budget", "email", "owner", "status"] {
        assert_eq!(replaced.member(gone), "null", "{gone}");
    }
    assert_eq!(replaced.member("created_at"), created.member("created_at"));
    assert_eq!(crm.get("/api/v1/leads/61/").await.body, replaced.body);

    let deleted = crm.call(Method::DELETE, "/api/v1/leads/61/", "").await;
    assert_eq!((deleted.status, deleted.body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(crm.get("/api/v1/leads/61/").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        crm.call(Method::DELETE, "/api/v1/leads/61/", "").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(crm.crm.record("leads", 61), None);
}

#[tokio::test]
async fn a_deal_changes_its_stage() {
    let crm = Running::seeded().await;
    let stage = |body| crm.call(Method::POST, "/api/v1/deals/7/change_stage/", body);
    let won = stage(r#"{"stage":"won"}"#).await;
    assert_eq!((won.status, won.member("stage")), (StatusCode::OK, "\"won\"".to_owned()));
    assert_eq!(crm.crm.record("deals", 7).unwrap().to_string(), won.body);
    let unknown = stage(r#"{"stage":"wón"}"#).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert_eq!(unknown.body, r#"{"stage":["\"wón\" is not a valid choice."]}"#);
    assert_eq!(stage("{}").await.body, r#"{"stage":["This field is required."]}"#);
    let missing =
        crm.call(Method::POST, "/api/v1/deals/99/change_stage/", r#"{"stage":"won"}"#).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let got = crm.get("/api/v1/deals/7/change_stage/").await;
    assert_eq!((got.status, got.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    let elsewhere =
        crm.call(Method::POST, "/api/v1/leads/7/change_stage/", r#"{"stage":"won"}"#).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bad_writes_are_refused_and_nothing_changes() {
    let crm = Running::seeded().await;
    let before = crm.crm.records("leads");
    let taken = lead_email(&crm, 7);
    let duplicate = format!(r#"{{"last_name":"x","email":"{taken}"}}"#);
    let conflict = format!(r#"{{"detail":"A lead with email {taken} already exists."}}"#);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let cases = [
        (
            Method::POST,
            "/api/v1/leads/",
            r#"{"last_name":"x","email":"a"}"#,
            400,
            r#"{"email":["Enter a valid email address."]}"#,
        ),
        (Method::POST, "/api/v1/leads/", "{}", 400, r#"{"last_name":["This field is required."]}"#),
        (
            Method::PUT,
            "/api/v1/leads/1/",
            "{}",
            400,
            r#"{"last_name":["This field is required."]}"#,
        ),
        (
            Method::PATCH,
            "/api/v1/leads/1/",
            r#"{"budget":"abc"}"#,
            400,
            r#"{"budget":["A valid number is required."]}"#,
        ),
        (
            Method::POST,
            "/api/v1/leads/",
            "[]",
            400,
            r#"{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}"#,
        ),
        (
            Method::POST,
            "/api/v1/leads/",
            "{\"a\":",
            400,
            r#"{"detail":"JSON parse error - EOF while parsing a value at line 1 column 5"}"#,
        ),
        (
            Method::POST,
            "/api/v1/leads/",
            &deep,
            400,
            r#"{"detail":"JSON parse error - nested deeper than 128 levels"}"#,
        ),
        (Method::POST, "/api/v1/leads/", &duplicate, 409, &conflict),
        (Method::PATCH, "/api/v1/leads/1/", &duplicate, 409, &conflict),
        (Method::PATCH, "/api/v1/leads/99/", "{}", 404, r#"{"detail":"Not found."}"#),
        (
            Method::PUT,
            "/api/v1/leads/99/",
            r#"{"last_name":"x"}"#,
            404,
            r#"{"detail":"Not found."}"#,
        ),
    ];
    for (method, target, body, status, expected) in cases {
        let answer = crm.call(method.clone(), target, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (status, expected),
            "{method} {target} {body}"
        );
    }
    assert_eq!(crm.crm.records("leads"), before);
}

#[tokio::test]
async fn a_body_must_be_json_and_not_too_large() {
    let crm = Running::seeded().await;
    let form = known(Method::POST, "/api/v1/leads/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from("last_name=x"))
        .unwrap();
    let answer = crm.send(form).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        answer.body,
        r#"{"detail":"Unsupported media type \"application/x-www-form-urlencoded\" in request."}"#
    );
    let large = format!(r#"{{"last_name":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let answer = crm.call(Method::POST, "/api/v1/leads/", &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}
