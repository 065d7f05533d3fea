//! `send_email` against a real SMTP server.

use std::time::Duration;

use fieldgate::config::{Actions, Smtp, SmtpTls};
use fieldgate::workflow::action::{ActionFailure, ActionKind, Performed};
use serde_json::json;

use super::receiver::closed_port;
use super::smtp::SmtpServer;
use super::{assert_done, assert_failed, deeds, perform};

const MAIL: &str = r#"{"to":["ann@example.com","bo@example.com"],"subject":"Hello Ann","body":"Line one\n.\nend"}"#;

fn settings(server: &SmtpServer, tls: SmtpTls, password: &str) -> Smtp {
    Smtp {
        host: "localhost".to_owned(),
        port: server.port,
        tls,
        ca: Some(server.ca()),
        login: Some(("fieldgate".to_owned(), password.into())),
        from: "Fieldgate <crm@example.com>".to_owned(),
        timeout: Duration::from_secs(10),
        connections: 2,
    }
}

async fn send(smtp: Smtp, mail: &str) -> Performed {
    let deeds = deeds(Actions { smtp: Some(smtp), ..Actions::default() });
    perform(&deeds, ActionKind::SendEmail, mail).await
}

fn login() -> serde_json::Value {
    json!({ "user": "fieldgate", "password": "hunter2" })
}

#[tokio::test]
async fn a_mail_goes_out_over_starttls_with_a_login() {
    let server = SmtpServer::start(true, login());
    let smtp = settings(&server, SmtpTls::StartTls, "hunter2");
    let deeds = deeds(Actions { smtp: Some(smtp), ..Actions::default() });
    for _ in 0..2 {
        let result = assert_done(&perform(&deeds, ActionKind::SendEmail, MAIL).await);
        assert_eq!(result, json!({ "receivers": 2 }));
    }
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    for mail in &mails {
        assert_eq!(mail["from"], "crm@example.com");
        assert_eq!(mail["to"], json!(["ann@example.com", "bo@example.com"]));
        assert_eq!((&mail["user"], &mail["tls"]), (&json!("fieldgate"), &json!(true)));
        let content = mail["content"].as_str().unwrap();
        assert!(content.contains("Subject: Hello Ann\r\n"), "{content}");
        // The same in every attempt.
        let id = "Message-ID: <00000000-0000-0000-0000-000000000007-1@example.com>";
        assert!(content.contains(id), "{content}");
        assert!(content.contains("Line one\r\n.\r\nend"), "{content}");
    }
}

#[tokio::test]
async fn a_mail_goes_out_over_implicit_tls() {
    let mut asked = login();
    asked["implicit"] = true.into();
    let server = SmtpServer::start(true, asked);
    assert_done(&send(settings(&server, SmtpTls::Implicit, "hunter2"), MAIL).await);
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_told_as_such() {
    let server = SmtpServer::start(true, login());
    let performed = send(settings(&server, SmtpTls::StartTls, "wrong-canary"), MAIL).await;
    let error = assert_failed(&performed, (ActionFailure::Unauthorized, false));
    assert_eq!(error, "the mail server answered 535");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn no_mail_goes_to_a_server_that_is_not_trusted_or_speaks_no_tls() {
    let server = SmtpServer::start(true, login());
    let other = SmtpServer::start(false, json!({}));
    let smtp = Smtp { ca: Some(other.ca()), ..settings(&server, SmtpTls::StartTls, "hunter2") };
    let performed = send(smtp, MAIL).await;
    let error = assert_failed(&performed, (ActionFailure::Tls, true));
    assert!(error.contains("not trusted"), "{error}");
    let smtp = Smtp { login: None, ..settings(&other, SmtpTls::StartTls, "") };
    assert_failed(&send(smtp, MAIL).await, (ActionFailure::Tls, false));
    assert!(server.mails().is_empty());
    assert!(other.mails().is_empty());
}

/// A server may repeat what it was sent; of that only the number is told.
#[tokio::test]
async fn what_a_server_says_stays_with_it() {
    for (answer, expect) in [
        ("550 5.7.1 refused", (ActionFailure::Status, false)),
        ("451 4.3.0 later", (ActionFailure::Status, true)),
    ] {
        let server = SmtpServer::start(false, json!({ "answer": answer }));
        let smtp = Smtp { login: None, ca: None, ..settings(&server, SmtpTls::Off, "") };
        let mail = r#"{"to":"ann@example.com","subject":"s","body":"canary-7f3a"}"#;
        let error = assert_failed(&send(smtp, mail).await, expect);
        assert_eq!(error, format!("the mail server answered {}", &answer[..3]));
    }
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let server = SmtpServer::start(false, json!({}));
    let port = closed_port().await;
    let smtp = Smtp { login: None, ca: None, port, ..settings(&server, SmtpTls::Off, "") };
    assert_failed(&send(smtp, MAIL).await, (ActionFailure::Connect, true));
}
