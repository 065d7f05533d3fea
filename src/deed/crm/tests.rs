use std::sync::Mutex;

use async_trait::async_trait;

use super::super::tests::{context, rendered};
use super::*;
use crate::diagnostic::{SourceFile, Span};
use crate::policy::actions::Declared;
use crate::policy::set::Origin;

fn call(path: &str, body: &str) -> CrmCall {
    CrmCall {
        method: Method::PATCH,
        path: path.to_owned(),
        body: Value::parse(body).unwrap().into_owned(),
        origin: Origin { source: SourceFile::new("lead.yaml", ""), span: Span::default() },
    }
}

#[track_caller]
fn check(kind: ActionKind, call: &CrmCall, payload: &str, path: &str, body: &str) {
    let action = rendered(kind, payload);
    let seen = filled(call, &action, &context(), &Renderer::default()).unwrap();
    assert_eq!((seen.0.as_str(), seen.1.to_string().as_str()), (path, body));
}

#[test]
fn fields_are_written_by_name() {
    let update = call("/leads/{{entity_id}}/", r#"{"{{field}}":"{{value}}"}"#);
    let payload = |id: &str, field: &str, value: &str| {
        format!(r#"{{"entity_type":"lead","entity_id":"{id}","field":"{field}","value":{value}}}"#)
    };
    let kind = ActionKind::UpdateField;
    check(kind, &update, &payload("7", "status", "\"x\""), "/leads/7/", r#"{"status":"x"}"#);
    check(kind, &update, &payload("7", "n", "null"), "/leads/7/", r#"{"n":null}"#);
    check(kind, &update, &payload("7", "n", "1.10"), "/leads/7/", r#"{"n":1.10}"#);
    check(kind, &update, &payload("7", "n", "[null]"), "/leads/7/", r#"{"n":[null]}"#);
    let body = r#"{"owner":{"email":"a@b"}}"#;
    check(kind, &update, &payload("7", "owner.email", "\"a@b\""), "/leads/7/", body);
    // An id cannot lead out of its segment.
    let path = "/leads/..%2F..%2Fusers%3Fx%3D1%23/";
    check(kind, &update, &payload("../../users?x=1#", "n", "1"), path, r#"{"n":1}"#);
}

#[test]
fn what_an_action_leaves_out_is_left_out() {
    let task = call(
        "/tasks/",
        r#"{"title":"{{title}}","at":"{{due_date | date: '%Y-%m-%dT%H:%M:%SZ'}}","who":"{{assignee}}","lead":"{{entity_id | number}}","of":"{{entity_type}}","note":"for {{assignee}}","type":"task","by":"{{workflow.name}}"}"#,
    );
    check(
        ActionKind::CreateTask,
        &task,
        r#"{"title":"Call \"Ann\"","due_date":"2026-03-03"}"#,
        "/tasks/",
        r#"{"at":"2026-03-03T00:00:00Z","by":"greet","lead":7,"note":"for ","of":"lead","title":"Call \"Ann\"","type":"task"}"#,
    );
}

#[test]
fn no_path_without_its_record() {
    let note = call("/leads/{{entity_id}}/notes/", r#"{"text":"{{note}}"}"#);
    let action = rendered(ActionKind::AddNote, r#"{"entity_type":"lead","note":"n"}"#);
    let seen = filled(&note, &action, &context(), &Renderer::default());
    assert_eq!(seen, Err(RenderFault::Empty("path")));
}

/// A street that keeps what it is given.
#[derive(Debug)]
struct Kept {
    errands: Mutex<Vec<Errand>>,
    answer: (StatusCode, &'static str, Option<Stopped>),
}

#[async_trait]
impl Street for Kept {
    async fn send(&self, errand: Errand) -> Result<Returned, Lost> {
        self.errands.lock().unwrap().push(errand);
        let (status, body, stopped) = self.answer;
        Ok(Returned { status, body: body.into(), stopped })
    }
}

async fn perform(
    answer: (StatusCode, &'static str, Option<Stopped>),
    declares: bool,
) -> (Performed, Vec<Errand>) {
    let street = Arc::new(Kept { errands: Mutex::default(), answer });
    let access = CrmAccess { header: header::AUTHORIZATION, value: "Bearer hunter2".into() };
    let crm = Crm::new(
        Arc::clone(&street) as Arc<dyn Street>,
        &access,
        HeaderName::from_static("x-correlation-id"),
    );
    let mut declared = Declared::default();
    if declares {
        let update = call("/leads/{{entity_id}}/", r#"{"{{field}}":"{{value}}"}"#);
        declared
            .calls
            .entry("lead".to_owned())
            .or_default()
            .insert(ActionKind::UpdateField, update);
    }
    let declared = Arc::new(declared);
    let declared = DeclaredNow::new(move || Some(Arc::clone(&declared)));
    let action = rendered(
        ActionKind::UpdateField,
        r#"{"entity_type":"lead","entity_id":"7","field":"status","value":"qualified"}"#,
    );
    let performed =
        crm.unwrap().perform(&action, &context(), &declared, &Renderer::default()).await;
    let errands = std::mem::take(&mut *street.errands.lock().unwrap());
    (performed, errands)
}

#[tokio::test]
async fn what_goes_to_the_crm() {
    let answer = (StatusCode::OK, r#"{"id":7,"email":"ann@example.com"}"#, None);
    let (performed, errands) = perform(answer, true).await;
    assert_eq!(performed, Performed::Completed { result: json!({ "status": 200, "id": "7" }) });
    let [errand] = errands.as_slice() else { panic!("{errands:?}") };
    assert_eq!((errand.method.as_str(), errand.target.as_str()), ("PATCH", "/leads/7/"));
    assert_eq!(errand.body, r#"{"status":"qualified"}"#);
    assert_eq!(errand.acting.subject, "workflow:greet");
    assert_eq!(errand.acting.role, "sales");
    assert_eq!(errand.acting.causation, Causation { run: context().run, depth: 1 });
    for (name, value) in [
        ("authorization", "Bearer hunter2"),
        ("idempotency-key", "00000000-0000-0000-0000-000000000001-0"),
        ("x-correlation-id", "c-1"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(errand.headers[name], value);
    }
    assert!(!format!("{errand:?}").contains("hunter2"));
}

#[track_caller]
fn check_failure(performed: Performed, expect: (ActionFailure, bool, &str)) {
    let Performed::Failed { reason, retryable, error } = performed else { panic!("{performed:?}") };
    assert_eq!((reason, retryable, error.as_str()), expect);
}

#[tokio::test]
async fn what_is_no_success() {
    let stopped = |by, reason| Some(Stopped { by, reason });
    for (answer, expect) in [
        (
            (StatusCode::FORBIDDEN, "", stopped(StoppedBy::Role, "field_not_editable")),
            (
                ActionFailure::NotPermitted,
                false,
                "the role of the workflow may not do this (field_not_editable)",
            ),
        ),
        (
            (StatusCode::FORBIDDEN, "", None),
            (ActionFailure::Unauthorized, false, "the CRM answered 403"),
        ),
        (
            (StatusCode::NOT_FOUND, "ann@example.com", None),
            (ActionFailure::Status, false, "the CRM answered 404"),
        ),
        (
            (StatusCode::NOT_FOUND, "", stopped(StoppedBy::Answer, "json_invalid")),
            (ActionFailure::Status, false, "the CRM answered 404"),
        ),
        (
            (StatusCode::BAD_GATEWAY, "", stopped(StoppedBy::Answer, "json_invalid")),
            (ActionFailure::Broken, true, "the answer of the CRM cannot be read (json_invalid)"),
        ),
        (
            (StatusCode::BAD_GATEWAY, "", stopped(StoppedBy::Connect, "upstream_connect")),
            (ActionFailure::Connect, true, "the CRM was not reached (upstream_connect)"),
        ),
        (
            (StatusCode::TOO_MANY_REQUESTS, "", None),
            (ActionFailure::Status, true, "the CRM answered 429"),
        ),
        (
            (StatusCode::SERVICE_UNAVAILABLE, "", stopped(StoppedBy::Busy, "store_unavailable")),
            (ActionFailure::Internal, true, "not possible now (store_unavailable)"),
        ),
    ] {
        check_failure(perform(answer, true).await.0, expect);
    }
}

#[tokio::test]
async fn what_no_resource_declares_is_not_configured() {
    let (performed, errands) = perform((StatusCode::OK, "", None), false).await;
    let error = "no `actions.update_field` is declared for `lead`";
    check_failure(performed, (ActionFailure::NotConfigured, false, error));
    assert!(errands.is_empty());
}
