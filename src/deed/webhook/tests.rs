use super::super::tests::{context, rendered};
use super::*;
use crate::workflow::action::ActionKind;

fn called(payload: &str) -> Result<Call, String> {
    let action = rendered(ActionKind::CallWebhook, payload);
    call(&action, &context(), &HeaderName::from_static("x-correlation-id"))
}

#[track_caller]
fn check(payload: &str, method: &Method, media_type: Option<&str>, body: &str) {
    let call = called(payload).unwrap();
    assert_eq!(call.method, *method);
    assert_eq!(call.media_type, media_type);
    assert_eq!(std::str::from_utf8(&call.body).unwrap(), body);
}

#[test]
fn what_is_sent() {
    let json = Some("application/json");
    check(r#"{"url":"https://a.example","body":{"a":1.10}}"#, &Method::POST, json, r#"{"a":1.10}"#);
    check(r#"{"url":"https://a.example","body":"{\"a\": 1}"}"#, &Method::POST, json, r#"{"a": 1}"#);
    let text = Some("text/plain; charset=utf-8");
    check(r#"{"url":"https://a.example","method":"PUT","body":"hi"}"#, &Method::PUT, text, "hi");
    check(r#"{"url":"https://a.example","method":"GET"}"#, &Method::GET, None, "");
    check(r#"{"url":"https://a.example","method":"DELETE"}"#, &Method::DELETE, None, "");
}

#[test]
fn without_a_body_the_event_is_sent() {
    let call = called(r#"{"url":"https://a.example"}"#).unwrap();
    assert_eq!(call.media_type, Some(envelope::STRUCTURED_TYPE));
    assert_eq!(call.body, envelope::structured(&context().event));
}

#[test]
fn headers_are_the_workflows_and_ours() {
    let call = called(
        r#"{"url":"https://a.example","headers":{"X-Team":"sales","X-N":7,"Authorization":"Bearer t"}}"#,
    )
    .unwrap();
    for (name, value) in [
        ("x-team", "sales"),
        ("x-n", "7"),
        ("authorization", "Bearer t"),
        ("x-correlation-id", "c-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ] {
        assert_eq!(call.headers[name], value);
    }
    assert!(!format!("{:?}", call.headers).contains("Bearer"));
}

#[track_caller]
fn check_fault(payload: &str, expect: &str) {
    assert_eq!(called(payload).unwrap_err(), expect);
}

#[test]
fn what_cannot_be_sent() {
    for url in ["", "a.example", "ftp://a.example", "https://u:p@a.example", "http://127.1/"] {
        check_fault(
            &format!(r#"{{"url":"{url}"}}"#),
            "`url` comes out as no address that can be called",
        );
    }
    let header = |name: &str, value: &str| {
        format!(r#"{{"url":"https://a.example","headers":{{"{name}":{value}}}}}"#)
    };
    for name in ["Host", "content-length", "Transfer-Encoding", "Webhook-Id", "Idempotency-Key"] {
        let expect = format!("the header `{name}` is set by Fieldgate itself");
        check_fault(&header(name, "\"x\""), &expect);
    }
    check_fault(&header("X A", "\"x\""), "`X A` is no header name");
    check_fault(&header("X-A", "[1]"), "the header `X-A` takes a text");
    check_fault(
        &header("X-A", r#""a\r\nX-B: c""#),
        "what comes out for the header `X-A` cannot stand in one",
    );
}
