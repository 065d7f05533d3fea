use core::time::Duration;

use serde_json::value::RawValue;
use time::macros::datetime;

use super::*;
use crate::diagnostic::SourceFile;
use crate::event::Message;
use crate::event::envelope::tests::message;
use crate::policy::workflow::Workflow;
use crate::workflow::action::ActionContext;

const DATA: &str = r#"{
    "old_stage": null, "unknown": ["old_stage"],
    "record": {"id": 7, "name": "Ann \"A\" & <b>\nLee", "email": "ann@example.com", "web": "https://a.example/x?y=1",
        "budget": 90071992547409931.10, "owner": {"name": "Bo"}, "tags": ["a", 1], "empty": "", "none": null,
        "tricky": "{{env.SECRET}} {{today}}", "born": "1999-12-31", "at": "2026-03-01T23:30:05+02:00",
        "crlf": "x\r\nBcc: evil@example.com"}
}"#;

pub(crate) fn lead(data: &str) -> Message {
    Message {
        event_type: "lead.created".to_owned(),
        resource: "lead".to_owned(),
        record: Some("7".to_owned()),
        data: RawValue::from_string(data.to_owned()).unwrap(),
        ..message()
    }
}

fn context() -> ActionContext {
    ActionContext {
        run: uuid::Uuid::from_u128(1),
        ordinal: 0,
        attempt: 1,
        idempotency_key: "key".to_owned(),
        workflow: "greet".to_owned(),
        role: "sales".to_owned(),
        tenant: None,
        correlation_id: "c".to_owned(),
        causation_depth: 1,
        traceparent: None,
        event: lead(DATA),
        now: datetime!(2026-02-27 23:59:58.5 UTC),
        dry_run: true,
    }
}

/// The first action of a workflow file whose `actions` are this.
fn action(written: &str) -> Action {
    let text = format!(
        "name: greet\nrole: sales\ntriggers: [{{ event: lead.created }}]\nactions:\n  - {written}\n"
    );
    let workflow = Workflow::alone(&SourceFile::new("greet.yaml", text)).expect(written);
    workflow.actions[0].clone()
}

fn rendered(written: &str) -> Result<String, String> {
    let env = [("HOST".to_owned(), "hooks.example.com:8443".to_owned())];
    let renderer = Renderer::new(env.into());
    let rendered = renderer.render(&action(written), &context());
    rendered.map(|rendered| rendered.payload_json()).map_err(|fault| fault.to_string())
}

/// What a value in the body of a webhook becomes: any value may stand there.
#[track_caller]
fn check(value: &str, expect: &str) {
    let written =
        format!("call_webhook: {{ url: \"https://a.example\", body: {{ value: {value} }} }}");
    let text = rendered(&written).unwrap();
    let body = Value::parse(&text).unwrap().member("body").cloned().unwrap();
    assert_eq!(body.member("value").unwrap().to_string(), expect, "{value}");
}

#[test]
fn a_text_stays_a_text() {
    check_action(
        "add_note: { entity_type: lead, entity_id: \"{{lead.id}}\", note: \"{{lead.budget}}\" }",
        r#"{"entity_id":"7","entity_type":"lead","note":"90071992547409931.10"}"#,
    );
    check_action(
        "create_task: { title: \"{{lead.tags}}\", description: \"{{lead.owner}}\" }",
        r#"{"description":"{\"name\":\"Bo\"}","title":"[\"a\",1]"}"#,
    );
    check_action(
        "update_field: { entity_type: lead, entity_id: \"{{lead.id}}\", field: f, value: \"{{lead.id}}\" }",
        r#"{"entity_id":"7","entity_type":"lead","field":"f","value":7}"#,
    );
    check_action(
        "enqueue_export: { export_type: csv, entity_type: lead, filters: { id: \"{{lead.id}}\" }, email_to: \"{{lead.missing}}\" }",
        r#"{"email_to":"","entity_type":"lead","export_type":"csv","filters":{"id":7}}"#,
    );
}

#[test]
fn what_must_stand_there_and_comes_out_empty() {
    let note = |id: &str, note: &str| {
        format!("add_note: {{ entity_type: lead, entity_id: \"{id}\", note: \"{note}\" }}")
    };
    let field = |value: &str| {
        format!("update_field: {{ entity_type: lead, entity_id: x, field: f, value: {value} }}")
    };
    for (written, key) in [
        (note("{{lead.missing}}", "n"), "entity_id"),
        (note("{{lead.none}}", "n"), "entity_id"),
        (note("{{lead.empty}}", "n"), "entity_id"),
        (note("{{lead.missing}}{{lead.none}}", "n"), "entity_id"),
        (note("7", ""), "note"),
        (note("7", " {{lead.none}} "), "note"),
        (field("\"{{lead.missing}}\""), "value"),
        (field("\"{{lead.empty}}\""), "value"),
        (field("[\"{{lead.missing}}\"]"), "value"),
        ("send_email: { to: [\"{{lead.none}}\"], subject: s, body: b }".to_owned(), "to"),
        ("send_email: { to: a@b, subject: \"{{lead.none}}\", body: b }".to_owned(), "subject"),
        ("call_webhook: { url: \"{{lead.none}}\" }".to_owned(), "url"),
    ] {
        check_fault(&written, &format!("`{key}` comes out empty"));
    }
}

#[test]
fn what_is_empty_on_purpose_stays_so() {
    let field = |value: &str| {
        format!("update_field: {{ entity_type: lead, entity_id: x, field: f, value: {value} }}")
    };
    for value in ["\"\"", "[]", "[null]", "0", "false", "{}"] {
        let expect =
            format!(r#"{{"entity_id":"x","entity_type":"lead","field":"f","value":{value}}}"#);
        check_action(&field(value), &expect);
    }
}

#[test]
fn what_may_be_left_out_is_left_out_where_it_is_empty() {
    check_action(
        "create_task: { title: t, assignee: \"{{lead.missing}}\", due_date: \"{{lead.none}}\" }",
        r#"{"title":"t"}"#,
    );
}

#[test]
fn words_are_held_against_their_list() {
    check_fault(
        "call_webhook: { url: \"https://a.example\", method: \"{{lead.owner.name}}\" }",
        "`method` comes out as none of the words that it takes",
    );
    check_action(
        "call_webhook: { url: \"https://a.example\", method: \"{{lead.missing | default: PUT}}\" }",
        r#"{"method":"PUT","url":"https://a.example"}"#,
    );
}

#[test]
fn texts_of_files() {
    let renderer = Renderer::default();
    let action = renderer
        .render(
            &action("send_email: { to: a@b, subject: s, template: t, variables: { who: \"{{lead.owner.name}}\", n: 1 } }"),
            &context(),
        )
        .unwrap();
    let fill = |text: &str, kind| renderer.fill(text, kind, &action, &context());
    let text = "{{who}} {{n}} {{lead.name}} {{lead.missing | default: '<b>'}}";
    assert_eq!(fill(text, TextKind::Plain).as_deref(), Ok("Bo 1 Ann \"A\" & <b>\nLee <b>"));
    assert_eq!(
        fill(text, TextKind::Html).as_deref(),
        Ok("Bo 1 Ann &quot;A&quot; &amp; &lt;b&gt;\nLee &lt;b&gt;")
    );
    assert_eq!(fill("{{lead.budget}}", TextKind::Html).as_deref(), Ok("90071992547409931.10"));
    assert!(fill("{{env.SECRET}}", TextKind::Plain).is_err());
}

#[track_caller]
fn check_action(written: &str, expect: &str) {
    assert_eq!(rendered(written).as_deref(), Ok(expect), "{written}");
}

#[track_caller]
fn check_fault(written: &str, expect: &str) {
    assert_eq!(rendered(written), Err(expect.to_owned()), "{written}");
}

#[test]
fn a_slot_alone_keeps_the_type() {
    check("\"{{lead.budget}}\"", "90071992547409931.10");
    check("\"{{lead.id}}\"", "7");
    check("\"{{lead.tags}}\"", "[\"a\",1]");
    check("\"{{lead.owner}}\"", "{\"name\":\"Bo\"}");
    check("\"{{lead.missing}}\"", "null");
    check("\"{{lead.none}}\"", "null");
    check("\"{{old_stage}}\"", "null");
    check("\" {{lead.id}}\"", "\" 7\"");
    check("[1, \"{{lead.id}}\", { a: \"{{lead.owner.name}}\" }]", "[1,7,{\"a\":\"Bo\"}]");
    check("5", "5");
    check("true", "true");
    check("plain", "\"plain\"");
}

#[test]
fn values_inside_a_text() {
    check(
        "\"<{{lead.owner.name}}|{{lead.id}}|{{lead.budget}}>\"",
        "\"<Bo|7|90071992547409931.10>\"",
    );
    check("\"<{{lead.missing}}{{lead.none}}{{lead.empty}}>\"", "\"<>\"");
    check("\"<{{lead.tags}}>\"", "\"<[\\\"a\\\",1]>\"");
    check(
        "\"{{event.type}} {{event.subject}} {{workflow.name}} as {{workflow.role}}\"",
        "\"lead.created lead/7 greet as sales\"",
    );
    check("\"{{run.id}}\"", "\"00000000-0000-0000-0000-000000000001\"");
}

#[test]
fn what_comes_out_of_a_slot_is_no_template() {
    check("\"{{lead.tricky}}\"", "\"{{env.SECRET}} {{today}}\"");
    check("\"x {{lead.tricky}}\"", "\"x {{env.SECRET}} {{today}}\"");
}

#[test]
fn dates() {
    check("\"{{today}} {{today+2}} {{today-30}}\"", "\"2026-02-27 2026-03-01 2026-01-28\"");
    check("\"{{now}}\"", "\"2026-02-27T23:59:58Z\"");
    check("\"{{lead.born | date: '%d.%m.%Y'}}\"", "\"31.12.1999\"");
    check("\"{{lead.at | date: '%H:%M:%S %d/%m'}}\"", "\"23:30:05 01/03\"");
    check("\"{{today+1 | date: '%m/%d'}}\"", "\"02/28\"");
    check("\"{{lead.none | date: '%Y' | default: never}}\"", "\"never\"");
}

#[test]
fn filters() {
    check("\"{{lead.owner.name | upper}} {{lead.owner.name | lower}}\"", "\"BO bo\"");
    check("\"{{lead.missing | default: nobody}}\"", "\"nobody\"");
    check("\"{{lead.empty | default: 'no one' | upper}}\"", "\"NO ONE\"");
    check("\"{{lead.owner.name | default: nobody}}\"", "\"Bo\"");
    check("\"{{lead.id | upper}}\"", "7");
}

#[test]
fn values_are_escaped_for_where_they_go() {
    check_action(
        "call_webhook: { url: \"https://a.example/{{lead.name}}?q={{lead.email}}\" }",
        r#"{"url":"https://a.example/Ann%20%22A%22%20%26%20%3Cb%3E%0ALee?q=ann%40example.com"}"#,
    );
    check_action(
        "call_webhook: { url: \"{{lead.web}}\", headers: { X-Name: \"{{lead.owner.name}}\" } }",
        r#"{"headers":{"X-Name":"Bo"},"url":"https://a.example/x?y=1"}"#,
    );
    check_action(
        "call_webhook: { url: \"https://{{env.HOST}}/{{lead.id}}\", body: '{\"n\": \"{{lead.name}}\"}' }",
        r#"{"body":"{\"n\": \"Ann \\\"A\\\" & <b>\\nLee\"}","url":"https://hooks.example.com:8443/7"}"#,
    );
    check_action(
        "call_webhook: { url: \"https://a.example\", body: { n: \"Dear {{lead.name}}\", b: \"{{lead.budget}}\" } }",
        r#"{"body":{"b":90071992547409931.10,"n":"Dear Ann \"A\" & <b>\nLee"},"url":"https://a.example"}"#,
    );
    check_fault(
        "call_webhook: { url: \"https://a.example\", headers: { X-A: \"{{lead.crlf}}\" } }",
        "what `lead.crlf` is filled in with holds a control character",
    );
    check_fault(
        "send_email: { to: \"{{lead.crlf}}\", subject: s, body: b }",
        "what `lead.crlf` is filled in with holds a control character",
    );
    check_fault(
        "send_email: { to: a@b, subject: \"Re: {{lead.name}}\", body: b }",
        "what `lead.name` is filled in with holds a control character",
    );
}

#[test]
fn a_mail_may_name_its_variables() {
    check_action(
        "send_email: { to: [\"{{lead.email}}\"], subject: \"For {{who}}\", body: \"{{who}} {{all.x}} {{all.y}}\", variables: { who: \"{{lead.owner.name}}\", all: { x: 1 } } }",
        r#"{"body":"Bo 1 ","subject":"For Bo","to":["ann@example.com"],"variables":{"all":{"x":1},"who":"Bo"}}"#,
    );
}

#[test]
fn what_cannot_be_filled_in() {
    let notify = |message: &str| {
        rendered(&format!("send_notification: {{ recipient: sales, message: \"{message}\" }}"))
    };
    let fault = "the environment variable `SECRET` is not allowed here, or not set";
    assert_eq!(notify("{{env.SECRET}}"), Err(fault.to_owned()));
    // Neither a record nor the environment is told of in what went wrong.
    for name in ["lead.email", "env.HOST", "lead.owner"] {
        let fault = format!("what `{name}` names is no date that `date` could show");
        assert_eq!(notify(&format!("{{{{{name} | date: '%Y'}}}}")), Err(fault));
    }
}

#[test]
fn null_clears_a_field_and_is_forgotten_anywhere_else() {
    check_action(
        "update_field: { entity_type: lead, entity_id: \"{{lead.id}}\", field: owner, value: null }",
        r#"{"entity_id":"7","entity_type":"lead","field":"owner","value":null}"#,
    );
    check_fault(
        "update_field: { entity_type: lead, entity_id: \"1\", field: owner, value: \"{{lead.nothing}}\" }",
        "`value` comes out empty",
    );
    for written in [
        "update_field: { entity_type: lead, entity_id: \"1\", field: null, value: 1 }",
        "update_field: { entity_type: lead, entity_id: \"1\", field: owner }",
        "send_email: { to: null, subject: s, body: b }",
    ] {
        let text = format!(
            "name: greet\nrole: sales\ntriggers: [{{ event: lead.created }}]\nactions:\n  - {written}\n"
        );
        assert!(Workflow::alone(&SourceFile::new("greet.yaml", text)).is_none(), "{written}");
    }
}

/// Whoever is shown what would be done is not told what the environment holds.
#[test]
fn variables_are_shown_by_name() {
    let action = action(
        "call_webhook: { url: \"https://{{env.HOST}}/x\", headers: { Authorization: \"Bearer {{env.TOKEN}}\" }, body: { t: \"{{env.TOKEN}}\" } }",
    );
    let env = ["HOST", "TOKEN"].map(|name| (name.to_owned(), "hunter2".to_owned()));
    let renderer = Renderer::new(env.into());
    let shown = renderer.for_show().render(&action, &context()).unwrap().payload_json();
    let expect = r#"{"body":{"t":"[env.TOKEN]"},"headers":{"Authorization":"Bearer [env.TOKEN]"},"url":"https://[env.HOST]/x"}"#;
    assert_eq!(shown, expect);
    let none = Renderer::default().for_show().render(&action, &context());
    assert_eq!(none, Err(RenderFault::Env("HOST".to_owned())));
}

#[test]
fn what_is_not_written_is_not_rendered() {
    check_action(
        "create_task: { title: \"Call {{lead.owner.name}}\", due_date: \"{{today+2}}\" }",
        r#"{"due_date":"2026-03-01","title":"Call Bo"}"#,
    );
    assert_eq!(action("create_task: { title: t }").timeout, Duration::from_secs(30));
}
