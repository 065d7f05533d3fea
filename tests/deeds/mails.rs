//! `send_email` against a real SMTP server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fieldgate::config::{
    Actions, Channel, ChannelKind, CrmAccess, Exports, HttpUrl, Smtp, SmtpTls,
};
use fieldgate::deed::{DeclaredNow, DeedParts, Deeds, Errand, Lost, Returned, Street};
use fieldgate::diagnostic::{SourceFile, Span};
use fieldgate::json::path::FieldPath;
use fieldgate::policy::actions::{Declared, ListCall, Paging};
use fieldgate::policy::set::Origin;
use fieldgate::workflow::action::{ActionFailure, ActionKind, Performed};
use fieldgate::workflow::render::Renderer;
use http::{HeaderName, StatusCode, header};
use serde_json::json;

use super::receiver::{Answer, Receiver, closed_port};
use super::smtp::SmtpServer;
use super::webhooks::nearby;
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

/// A CRM whose one page has two records.
#[derive(Debug)]
struct OnePage;

#[async_trait]
impl Street for OnePage {
    async fn send(&self, _: Errand) -> Result<Returned, Lost> {
        let body = r#"{"results":[{"id":1},{"id":2}],"next":null}"#;
        Ok(Returned { status: StatusCode::OK, body: body.into(), stopped: None })
    }
}

/// The mail went out, and telling the channel failed: another attempt tells the channel alone.
#[tokio::test]
async fn an_export_is_mailed_once() {
    let server = SmtpServer::start(false, json!({}));
    let board = Receiver::always(Answer::status(503, "")).await;
    let folder = tempfile::tempdir().unwrap();
    let url = HttpUrl::parse(&format!("http://{}/board", board.address)).unwrap();
    let settings = Actions {
        crm: Some(CrmAccess { header: header::AUTHORIZATION, value: "Bearer x".into() }),
        smtp: Some(Smtp { login: None, ca: None, ..settings(&server, SmtpTls::Off, "") }),
        channels: vec![Channel {
            name: "board".to_owned(),
            kind: ChannelKind::Slack,
            url,
            reach: nearby(),
            secrets: Vec::new(),
        }],
        exports: Some(Exports {
            folder: folder.path().to_owned(),
            link: None,
            attach: 1 << 20,
            notify: Some("board".to_owned()),
            rows: 10,
            keep: Duration::from_secs(3600),
        }),
        ..Actions::default()
    };
    let list = ListCall {
        target: "/api/v1/leads/".to_owned(),
        records: FieldPath::parse("$.results[*]").unwrap(),
        paging: Paging::Next(FieldPath::parse("$.next").unwrap()),
        origin: Origin { source: SourceFile::new("lead.yaml", ""), span: Span::default() },
    };
    let mut declared = Declared::default();
    declared.lists.insert("lead".to_owned(), list);
    let declared = Arc::new(declared);
    let deeds = Deeds::new(DeedParts {
        settings,
        renderer: Arc::new(Renderer::default()),
        correlation_header: HeaderName::from_static("x-correlation-id"),
        street: Arc::new(OnePage),
        declared: DeclaredNow::new(move || Some(Arc::clone(&declared))),
        feed: None,
    });
    let deeds = deeds.unwrap();
    let payload = r#"{"export_type":"csv","entity_type":"lead","email_to":"ops@example.com"}"#;
    for attempt in 1..=3 {
        let performed = perform(&deeds, ActionKind::EnqueueExport, payload).await;
        assert_failed(&performed, (ActionFailure::Status, true));
        assert_eq!((server.mails().len(), board.seen().len()), (1, attempt));
    }
    let content = server.mails().remove(0)["content"].as_str().unwrap().to_owned();
    assert!(content.contains("2 records"), "{content}");
}

/// A greeting and a handshake for each mail would be most of its cost, and servers count them.
#[tokio::test]
async fn mails_share_a_connection() {
    let server = SmtpServer::start(true, login());
    let smtp = settings(&server, SmtpTls::StartTls, "hunter2");
    let deeds = deeds(Actions { smtp: Some(smtp), ..Actions::default() });
    for _ in 0..6 {
        assert_done(&perform(&deeds, ActionKind::SendEmail, MAIL).await);
    }
    let mails = server.mails();
    assert_eq!(mails.len(), 6);
    let peers: std::collections::BTreeSet<String> =
        mails.iter().map(|mail| mail["peer"].to_string()).collect();
    // One that has just been used may not be back yet when the next mail goes.
    assert!(peers.len() <= 2, "the pool has two: {peers:?}");
}
