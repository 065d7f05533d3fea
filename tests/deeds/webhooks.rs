//! `call_webhook`: what is sent, who can verify it, and where nothing is sent to.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use fieldgate::config::{Actions, OutgoingWebhooks, Reach};
use fieldgate::workflow::action::{ActionFailure, ActionKind};

use super::receiver::{Answer, Receiver, closed_port};
use super::{Deeds, assert_done, assert_failed, deeds, perform};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

fn calling(reach: Reach) -> Deeds {
    let webhooks = OutgoingWebhooks { secrets: vec![KEY.to_vec().into()], reach };
    deeds(Actions { webhooks: Some(webhooks), ..Actions::default() })
}

/// Servers on this machine may be called.
pub(super) fn nearby() -> Reach {
    Reach {
        allow_blocks: vec!["127.0.0.0/8".parse().unwrap()],
        timeout: Duration::from_secs(5),
        ..Reach::default()
    }
}

#[tokio::test]
async fn a_call_can_be_verified_and_known_again() {
    let receiver = Receiver::always(Answer::status(204, "")).await;
    let deeds = calling(nearby());
    let payload = format!(
        r#"{{"url":"http://{}/hook?team=a","headers":{{"X-Team":"sales","Authorization":"Bearer hunter2"}},"body":{{"amount":1.10}}}}"#,
        receiver.address
    );
    for _ in 0..2 {
        let result = assert_done(&perform(&deeds, ActionKind::CallWebhook, &payload).await);
        assert_eq!(result, serde_json::json!({ "status": 204 }));
    }
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2);
    for seen in &seen {
        assert_eq!(seen.line, "POST /hook?team=a");
        assert_eq!(seen.body, br#"{"amount":1.10}"#);
        for (name, value) in [
            ("idempotency-key", "00000000-0000-0000-0000-000000000007-1"),
            ("webhook-id", "00000000-0000-0000-0000-000000000007-1"),
            ("x-correlation-id", "req-1"),
            ("x-team", "sales"),
            ("authorization", "Bearer hunter2"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(seen.headers[name], value);
        }
        let key = format!("whsec_{}", BASE64.encode(&KEY));
        let mut headers = seen.headers.clone();
        // The time of the context is long past, which a verifier refuses; the signature is what
        // counts here.
        let signed = standardwebhooks::Webhook::new(&key).unwrap();
        let time = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
        let id = headers["webhook-id"].to_str().unwrap().to_owned();
        let expect = signed.sign(&id, time, &seen.body).unwrap();
        assert_eq!(headers.remove("webhook-signature").unwrap(), expect.as_str());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Receiver::always(Answer::status(200, "")).await;
    let location = format!("Location: http://{}/\r\n", other.address);
    let receiver = Receiver::always(Answer::status(307, &location)).await;
    let payload = format!(r#"{{"url":"http://{}/","body":{{}}}}"#, receiver.address);
    let performed = perform(&calling(nearby()), ActionKind::CallWebhook, &payload).await;
    assert_failed(&performed, (ActionFailure::Status, false));
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn nothing_private_is_called_unless_it_is_allowed() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    let port = receiver.address.port();
    let deeds = calling(Reach::default());
    for host in ["127.0.0.1", "[::1]", "localhost", "169.254.169.254"] {
        let payload = format!(r#"{{"url":"http://{host}:{port}/","body":{{}}}}"#);
        let performed = perform(&deeds, ActionKind::CallWebhook, &payload).await;
        let error = assert_failed(&performed, (ActionFailure::AddressRefused, false));
        assert_eq!(error, "the address is not public, and `allow` does not open it");
    }
    for host in ["2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"] {
        let payload = format!(r#"{{"url":"http://{host}:{port}/","body":{{}}}}"#);
        let performed = perform(&deeds, ActionKind::CallWebhook, &payload).await;
        assert_failed(&performed, (ActionFailure::Template, false));
    }
    assert!(receiver.seen().is_empty());
}

/// What a receiver says is in no error.
#[tokio::test]
async fn failures_are_words_of_ours() {
    let body = "HTTP/1.1 500 canary-7f3a\r\nContent-Length: 11\r\n\r\ncanary-7f3a";
    let refusing = Receiver::always(Answer::Bytes(body.into())).await;
    let broken = Receiver::always(Answer::Last(b"canary-7f3a\r\n\r\n".to_vec())).await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], closed_port().await));
    for (address, expect) in [
        (refusing.address, (ActionFailure::Status, true)),
        (broken.address, (ActionFailure::Broken, true)),
        (nobody, (ActionFailure::Connect, true)),
    ] {
        let payload = format!(r#"{{"url":"http://{address}/","body":{{}}}}"#);
        let performed = perform(&calling(nearby()), ActionKind::CallWebhook, &payload).await;
        let error = assert_failed(&performed, expect);
        assert!(!error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn no_receiver_holds_an_action_up() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let silent = Receiver::always(Answer::Silence(Vec::new())).await;
    let endless = Receiver::always(Answer::Endless(head)).await;
    let reach = Reach { timeout: Duration::from_millis(300), ..nearby() };
    let deeds = calling(reach);
    let began = Instant::now();
    let payload = format!(r#"{{"url":"http://{}/","body":{{}}}}"#, silent.address);
    let performed = perform(&deeds, ActionKind::CallWebhook, &payload).await;
    assert_failed(&performed, (ActionFailure::Timeout, true));
    let payload = format!(r#"{{"url":"http://{}/","body":{{}}}}"#, endless.address);
    let _ = perform(&deeds, ActionKind::CallWebhook, &payload).await;
    assert!(began.elapsed() < Duration::from_secs(10));
}
