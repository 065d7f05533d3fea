//! Webhooks: what is sent, who can verify it, what each answer means, where nothing is sent to.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::BASE64;
use fieldgate::config::{ContentMode, HttpUrl, Webhook};
use fieldgate::event::sink::{BuildCause, Doubt, WebhookSink};
use fieldgate::event::{Delivered, DeliveryFailure, Sink, envelope};
use http::HeaderMap;
use standardwebhooks::Webhook as Verifier;

use crate::harness::{certificates, failed, message};
use crate::receiver::{Answer, Receiver, closed_port, is_listening};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
const NEXT_KEY: [u8; 32] = *b"fedcba9876543210fedcba9876543210";

fn verifier(key: &[u8]) -> Verifier {
    Verifier::new(&format!("whsec_{}", BASE64.encode(key))).unwrap()
}

/// Settings for a receiver on this machine.
fn settings(address: SocketAddr) -> Webhook {
    Webhook {
        url: HttpUrl {
            is_https: false,
            host: address.ip().to_string(),
            port: address.port(),
            target: "/crm?team=billing".to_owned(),
        },
        mode: ContentMode::Structured,
        secrets: vec![KEY.to_vec().into()],
        allow_blocks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_hosts: Vec::new(),
        ca: None,
        timeout: Duration::from_secs(10),
        headers: Vec::new(),
        parallel: 4,
    }
}

fn sink(settings: Webhook) -> WebhookSink {
    WebhookSink::new("billing".to_owned(), "integration".to_owned(), settings).unwrap()
}

#[tokio::test]
async fn structured_events_can_be_verified() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    let sink = sink(settings(receiver.address));
    let message = message(1);
    assert_eq!(sink.deliver(&message, 1).await, Delivered::Accepted);
    let seen = receiver.seen().pop().unwrap();
    assert_eq!(seen.line, "POST /crm?team=billing");
    assert_eq!(seen.headers["content-type"], "application/cloudevents+json");
    assert_eq!(seen.headers["host"], receiver.address.to_string());
    assert_eq!(seen.headers["webhook-id"], message.id.to_string());
    assert_eq!(seen.body, envelope::structured(&message));
    verifier(&KEY).verify(&seen.body, &seen.headers).unwrap();
    verifier(&NEXT_KEY).verify(&seen.body, &seen.headers).unwrap_err();
    let mut body = seen.body.clone();
    body[20] ^= 1;
    verifier(&KEY).verify(&body, &seen.headers).unwrap_err();
    let mut headers = seen.headers.clone();
    headers.insert("webhook-id", "another".parse().unwrap());
    verifier(&KEY).verify(&seen.body, &headers).unwrap_err();
}

#[tokio::test]
async fn binary_events_have_their_attributes_in_headers() {
    let receiver = Receiver::always(Answer::status(204, "")).await;
    let mode = ContentMode::Binary;
    let sink = sink(Webhook { mode, ..settings(receiver.address) });
    let message = message(1);
    assert_eq!(sink.deliver(&message, 1).await, Delivered::Accepted);
    let seen = receiver.seen().pop().unwrap();
    assert_eq!(seen.body, message.data.get().as_bytes());
    assert_eq!(seen.headers["content-type"], "application/json");
    let mut sent: Vec<String> = seen
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    sent.sort();
    assert_eq!(
        sent,
        [
            "ce-actor: Ann%20Lee",
            "ce-correlationid: req-1",
            &format!("ce-id: {}", message.id),
            "ce-policyrevision: r1",
            "ce-sequence: 00000000000000000001",
            "ce-source: https://crm.example.com",
            "ce-specversion: 1.0",
            "ce-subject: deal/42",
            "ce-tenant: acme",
            "ce-time: 2026-03-01T12:30:00Z",
            "ce-type: deal.stage_changed",
        ]
    );
    verifier(&KEY).verify(&seen.body, &seen.headers).unwrap();
}

#[tokio::test]
async fn while_keys_rotate_either_one_verifies() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    let secrets = vec![NEXT_KEY.to_vec().into(), KEY.to_vec().into()];
    let sink = sink(Webhook { secrets, ..settings(receiver.address) });
    assert_eq!(sink.deliver(&message(1), 1).await, Delivered::Accepted);
    let seen = receiver.seen().pop().unwrap();
    let signatures = seen.headers["webhook-signature"].to_str().unwrap();
    assert_eq!(signatures.split(' ').count(), 2);
    assert!(signatures.split(' ').all(|signature| signature.starts_with("v1,")));
    verifier(&KEY).verify(&seen.body, &seen.headers).unwrap();
    verifier(&NEXT_KEY).verify(&seen.body, &seen.headers).unwrap();
    verifier(b"neither the one nor the other...").verify(&seen.body, &seen.headers).unwrap_err();
}

#[tokio::test]
async fn repetitions_have_one_id_and_each_a_signature_of_its_own_time() {
    let receiver = Receiver::always(Answer::status(500, "")).await;
    let sink = sink(settings(receiver.address));
    for attempt in 1..=2 {
        sink.deliver(&message(7), attempt).await;
    }
    let seen = receiver.seen();
    assert_eq!(seen[0].headers["webhook-id"], seen[1].headers["webhook-id"]);
    for seen in &seen {
        verifier(&KEY).verify(&seen.body, &seen.headers).unwrap();
    }
}

#[tokio::test]
async fn configured_headers_are_sent() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    let headers = vec![
        ("x-team".parse().unwrap(), "billing".to_owned().into()),
        ("authorization".parse().unwrap(), "Bearer hunter2".to_owned().into()),
    ];
    let sink = sink(Webhook { headers, ..settings(receiver.address) });
    assert_eq!(sink.deliver(&message(1), 1).await, Delivered::Accepted);
    let seen: HeaderMap = receiver.seen().pop().unwrap().headers;
    assert_eq!(seen["x-team"], "billing");
    assert_eq!(seen["authorization"], "Bearer hunter2");
    assert!(seen["user-agent"].to_str().unwrap().starts_with("Fieldgate/"));
    let shown = format!("{sink:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("team="), "{shown}");
}

#[track_caller]
fn check(delivered: &Delivered, status: u16, retry_after: Option<u64>) {
    let expected = match status {
        200..=299 => Delivered::Accepted,
        410 => Delivered::Disabled,
        _ => Delivered::Failed {
            reason: DeliveryFailure::Status(status),
            retry_after: retry_after.map(Duration::from_secs),
        },
    };
    assert_eq!(*delivered, expected, "{status}");
}

#[tokio::test]
async fn what_each_status_means() {
    let cases = [
        (200, "", None),
        (201, "", None),
        (202, "", None),
        (299, "", None),
        (400, "", None),
        (401, "", None),
        (404, "", None),
        (410, "", None),
        (410, "Retry-After: 5\r\n", None),
        (429, "", None),
        (429, "Retry-After: 7\r\n", Some(7)),
        (429, "Retry-After: soon\r\n", None),
        (500, "", None),
        (500, "Retry-After: 7\r\n", None),
        (503, "Retry-After: 1000000\r\n", Some(86_400)),
        (599, "", None),
    ];
    let receiver = Receiver::each(move |number| {
        let (status, headers, _) = cases[number];
        Answer::status(status, headers)
    })
    .await;
    let sink = sink(settings(receiver.address));
    for (number, (status, _, retry_after)) in cases.into_iter().enumerate() {
        check(&sink.deliver(&message(number as u64), 1).await, status, retry_after);
    }
    assert_eq!(receiver.seen().len(), cases.len(), "one attempt is one request");
}

#[tokio::test]
async fn a_date_in_retry_after_counts_from_now() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    let receiver = Receiver::always(Answer::status(503, &format!("Retry-After: {date}\r\n"))).await;
    let sink = sink(settings(receiver.address));
    let Delivered::Failed { retry_after: Some(wait), .. } = sink.deliver(&message(1), 1).await
    else {
        panic!("no wait")
    };
    assert!((3500..=3600).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn redirects_are_failures_and_lead_nowhere() {
    let elsewhere = Receiver::always(Answer::status(200, "")).await;
    let location = format!("Location: http://{}/\r\n", elsewhere.address);
    let statuses = [300, 301, 302, 303, 307, 308];
    let receiver = Receiver::each(move |number| Answer::status(statuses[number], &location)).await;
    let sink = sink(settings(receiver.address));
    for status in statuses {
        check(&sink.deliver(&message(1), 1).await, status, None);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn connections_that_come_to_nothing() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], closed_port().await));
    assert_eq!(
        sink(settings(nobody)).deliver(&message(1), 1).await,
        failed(DeliveryFailure::Connect)
    );
    let cases: [(&[u8], DeliveryFailure); 5] = [
        (b"", DeliveryFailure::Broken),
        (b"HTTP/1.1 200", DeliveryFailure::Broken),
        (b"SSH-2.0-OpenSSH_9.9\r\n", DeliveryFailure::Broken),
        (b"HTTP/1.1 2000 OK\r\n\r\n", DeliveryFailure::Broken),
        (b"\x15\x03\x03\x00\x02\x02\x50", DeliveryFailure::Broken),
    ];
    for (answer, reason) in cases {
        let receiver = Receiver::always(Answer::Last(answer.to_vec())).await;
        let delivered = sink(settings(receiver.address)).deliver(&message(1), 1).await;
        assert_eq!(delivered, failed(reason), "{answer:?}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let receiver = Receiver::always(Answer::Endless(b"HTTP/1.1 200 OK\r\nX-Long: ".to_vec())).await;
    let delivered = sink(settings(receiver.address)).deliver(&message(1), 1).await;
    assert_eq!(delivered, failed(DeliveryFailure::Broken));
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    for answer in [b"".to_vec(), b"HTTP/1.1 200 OK\r\n".to_vec()] {
        let receiver = Receiver::always(Answer::Silence(answer)).await;
        let timeout = Duration::from_millis(300);
        let sink = sink(Webhook { timeout, ..settings(receiver.address) });
        let began = Instant::now();
        assert_eq!(sink.deliver(&message(1), 1).await, failed(DeliveryFailure::Timeout));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn of_a_long_answer_the_status_is_enough() {
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n".to_vec();
    let silent = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal".to_vec();
    for answer in [Answer::Endless(endless), Answer::Silence(silent)] {
        let receiver = Receiver::always(answer).await;
        let sink = sink(settings(receiver.address));
        let began = Instant::now();
        for number in 1..=2 {
            assert_eq!(sink.deliver(&message(number), 1).await, Delivered::Accepted);
        }
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        assert_eq!(receiver.connections(), 2, "such a connection is not used again");
    }
}

#[tokio::test]
async fn connections_are_used_again_and_their_end_is_no_failure() {
    let receiver = Receiver::each(|number| {
        let body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
        if number == 2 { Answer::Last(body) } else { Answer::Bytes(body) }
    })
    .await;
    let sink = sink(settings(receiver.address));
    for number in 0..5 {
        assert_eq!(sink.deliver(&message(number), 1).await, Delivered::Accepted);
    }
    let connections: Vec<usize> = receiver.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1, 1]);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_are_used() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    let sink = std::sync::Arc::new(sink(settings(receiver.address)));
    for _ in 0..10 {
        let deliveries: Vec<_> = (0..4)
            .map(|number| {
                let sink = std::sync::Arc::clone(&sink);
                tokio::spawn(async move { sink.deliver(&message(number), 1).await })
            })
            .collect();
        for delivery in deliveries {
            assert_eq!(delivery.await.unwrap(), Delivered::Accepted);
        }
    }
    assert!(receiver.connections() <= 4, "{}", receiver.connections());
    assert_eq!(receiver.seen().len(), 40);
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_open() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    for host in ["127.0.0.1", "localhost", "::ffff:127.0.0.1", "2130706433", "0x7f.1", "127.1"] {
        let mut settings = settings(receiver.address);
        settings.url.host = host.to_owned();
        settings.allow_blocks = vec!["10.0.0.0/8".parse().unwrap()];
        let sink = sink(settings);
        assert_eq!(sink.inspect().await, [Doubt::AddressRefused], "{host}");
        let delivered = sink.deliver(&message(1), 1).await;
        assert_eq!(delivered, failed(DeliveryFailure::AddressRefused), "{host}");
    }
    assert_eq!(receiver.connections(), 0);
    assert!(is_listening(receiver.address).await, "it could have been reached");
}

#[tokio::test]
async fn a_name_can_be_opened() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    let mut settings = settings(receiver.address);
    settings.url.host = "localhost".to_owned();
    settings.allow_blocks = Vec::new();
    settings.allow_hosts = vec!["localhost".to_owned()];
    let sink = sink(settings);
    assert_eq!(sink.inspect().await, []);
    assert_eq!(sink.deliver(&message(1), 1).await, Delivered::Accepted);
}

#[tokio::test]
async fn tls_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (good, other) = (certificates("127.0.0.1"), certificates("127.0.0.1"));
    let wrong_name = certificates("hooks.example");
    let ca = folder.path().join("ca.pem");
    let deliver = async |served: &_, authority: &str| {
        std::fs::write(&ca, authority).unwrap();
        let receiver = Receiver::tls(served).await;
        let mut settings = settings(receiver.address);
        settings.url.is_https = true;
        settings.ca = Some(ca.clone());
        let delivered = sink(settings).deliver(&message(1), 1).await;
        (delivered, receiver.seen().len())
    };
    assert_eq!(deliver(&good, &good.authority).await, (Delivered::Accepted, 1));
    let refused = (failed(DeliveryFailure::Tls), 0);
    assert_eq!(deliver(&good, &other.authority).await, refused);
    assert_eq!(deliver(&wrong_name, &wrong_name.authority).await, refused);

    let plain = Receiver::always(Answer::status(200, "")).await;
    let mut settings = settings(plain.address);
    settings.url.is_https = true;
    settings.ca = Some(ca.clone());
    settings.timeout = Duration::from_millis(500);
    let delivered = sink(settings).deliver(&message(1), 1).await;
    assert!(matches!(delivered, Delivered::Failed { .. }), "{delivered:?}");
    assert_eq!(plain.seen().len(), 0);
}

#[tokio::test]
async fn roots_that_cannot_be_used_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    for content in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&ca, content).unwrap();
        let mut settings = settings(SocketAddr::from(([127, 0, 0, 1], 1)));
        settings.url.is_https = true;
        settings.ca = Some(ca.clone());
        let made = WebhookSink::new("w".to_owned(), "r".to_owned(), settings);
        assert!(matches!(made, Err(BuildCause::Roots)), "{made:?}");
    }
}
