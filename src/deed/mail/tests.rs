use std::sync::Arc;

use super::super::tests::{context, rendered};
use super::*;
use crate::policy::actions::{Declared, MailText};
use crate::workflow::action::ActionKind;

fn declared() -> DeclaredNow {
    let mut declared = Declared::default();
    let welcome = MailText {
        text: Some("Dear {{lead.name}}, {{who}}\n".to_owned()),
        html: Some("<p>Dear {{lead.name}}</p>".to_owned()),
    };
    declared.mails.insert("welcome".to_owned(), welcome);
    let declared = Arc::new(declared);
    DeclaredNow::new(move || Some(Arc::clone(&declared)))
}

fn made(payload: &str) -> Result<String, (ActionFailure, String)> {
    let action = rendered(ActionKind::SendEmail, payload);
    let mail = mail(&action, &context(), &declared(), &Renderer::default());
    let mail = mail.map_err(|failure| match *failure {
        Performed::Failed { reason, error, .. } => (reason, error),
        Performed::Completed { result } => panic!("{result}"),
    })?;
    let from = "Fieldgate <crm@example.com>".parse().unwrap();
    let message = message(mail, &from, &context());
    let message = message.ok_or((ActionFailure::Template, "no mail".to_owned()))?;
    Ok(String::from_utf8(message.formatted()).unwrap())
}

#[test]
fn a_plain_mail() {
    let text = made(r#"{"to":"Ann <ann@example.com>, bo@example.com","subject":"Hí","body":"hi"}"#);
    let text = text.unwrap();
    for line in [
        "From: Fieldgate <crm@example.com>\r\n",
        "To: Ann <ann@example.com>, bo@example.com\r\n",
        "Subject: =?utf-8?b?",
        "Message-ID: <00000000-0000-0000-0000-000000000001-0@example.com>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "X-Correlation-ID: c-1\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.trim_end().ends_with("\r\n\r\nhi"), "{text}");
}

#[test]
fn texts_of_files_are_filled_in_for_where_they_go() {
    let text = made(
        r#"{"to":["ann@example.com"],"subject":"s","template":"welcome","variables":{"who":"<we>"}}"#,
    )
    .unwrap();
    assert!(text.contains("multipart/alternative"), "{text}");
    assert!(text.contains("Dear Ann <b>, <we>\r\n"), "{text}");
    assert!(text.contains("<p>Dear Ann &lt;b&gt;</p>"), "{text}");
}

#[test]
fn no_header_comes_in() {
    for payload in [
        r#"{"to":"a@b.example","subject":"x\r\nBcc: evil@example.com","body":"b"}"#,
        r#"{"to":"a@b.example\r\nBcc: evil@example.com","subject":"x","body":"b"}"#,
        r#"{"to":"\"a\r\nBcc: evil@example.com\" <a@b.example>","subject":"x","body":"b"}"#,
        r#"{"to":["a@b.example\nDATA"],"subject":"x","body":"b"}"#,
    ] {
        assert_eq!(made(payload).unwrap_err().0, ActionFailure::Template, "{payload}");
    }
    let text = made(r#"{"to":"a@b.example","subject":"x","body":"b\r\n.\r\nMAIL FROM:<c@d>"}"#);
    // The dot is the transport's to escape; nothing of the body is a header.
    assert!(text.unwrap().contains("\r\n\r\nb\r\n.\r\nMAIL FROM:<c@d>"));
}

#[track_caller]
fn check_fault(payload: &str, reason: ActionFailure, expect: &str) {
    assert_eq!(made(payload).unwrap_err(), (reason, expect.to_owned()), "{payload}");
}

#[test]
fn what_is_no_mail() {
    use ActionFailure::{NotConfigured, Template};
    let to = |to: &str| format!(r#"{{"to":{to},"subject":"s","body":"b"}}"#);
    check_fault(&to("\"nobody\""), Template, "what comes out is no address of a mail");
    check_fault(&to("[]"), Template, "a mail to nobody");
    check_fault(&to("[\"\", null]"), Template, "a mail to nobody");
    check_fault(&to("7"), Template, "an address of a mail is a text");
    check_fault(&to("[7]"), Template, "an address of a mail is a text");
    let many = format!("[{}]", vec!["\"a@b.example\""; 51].join(","));
    check_fault(&to(&many), Template, "a mail to 51 receivers; 50 are the most");
    check_fault(
        r#"{"to":"a@b.example","subject":"s"}"#,
        Template,
        "the mail comes out without a text",
    );
    check_fault(
        r#"{"to":"a@b.example","subject":"s","template":"gone"}"#,
        NotConfigured,
        "no file of `templates/` has the name that `template` says",
    );
}
