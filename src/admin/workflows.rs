//! Workflows over HTTP: read, changed, started, and what became of their runs.
//!
//! A workflow is a file of the policy folder, here as there. What is sent is checked together with
//! all other policies before it is written, and comes into force as any change of the folder does.
//! Whatever changes something needs the admin token, so that no page in an operator's browser can.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path as Named, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AdminState, answer};
use crate::deed::Feed;
use crate::diagnostic::{Finding, Severity, SourceFile};
use crate::event::Message;
use crate::policy::workflow::{Status, Workflow};
use crate::policy::{self, FileChange};
use crate::problem::Problem;
use crate::store::{Store, StoreError};
use crate::workflow::by_hand::{self, Found};
use crate::workflow::catalogue::InForce;
use crate::workflow::json_form;
use crate::workflow::rehearsal::rehearse;
use crate::workflow::render::Renderer;
use crate::workflow::runs::{Cause, Filter, NewRun, RunStatus, Runs};
use crate::workflow::starter::depth_after;

/// Where they stand.
pub(super) const ALL: &str = "/api/v1/workflows/";
pub(super) const ONE: &str = "/api/v1/workflows/{id}/";
pub(super) const EXECUTE: &str = "/api/v1/workflows/{id}/execute/";
pub(super) const RUNS: &str = "/api/v1/workflows/{id}/runs/";
pub(super) const RUN: &str = "/api/v1/workflow-runs/{id}/";

/// Most bytes of a workflow, or of a record to try one with.
pub(super) const LARGEST: usize = 256 * 1024;

/// Runs of one answer, unless asked for less or more.
const USUAL_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// What the pages about workflows work with.
#[derive(Debug, Clone)]
pub struct WorkflowPages {
    /// Where runs are kept.
    pub runs: Arc<dyn Runs>,
    /// The workflows in force.
    pub in_force: InForce,
    /// Fills templates in, for dry runs.
    pub renderer: Arc<Renderer>,
    /// The store that the journal is in.
    pub journal: Store,
    /// The policy folder.
    pub policies: PathBuf,
    /// What workflows tell people; `None` where nobody asked for it.
    pub feed: Option<Feed>,
}

pub(super) async fn list(State(state): State<AdminState>) -> Response {
    told(async {
        let pages = pages(&state)?;
        let catalogue = pages.in_force.current();
        let results: Vec<_> =
            catalogue.all().map(|workflow| json_form::workflow(workflow)).collect();
        Ok(Json(json!({ "results": results })).into_response())
    })
    .await
}

pub(super) async fn show(State(state): State<AdminState>, Named(id): Named<String>) -> Response {
    told(async {
        let workflow = known(pages(&state)?, &id)?;
        let source = workflow.origin.source.text();
        Ok(Json(json!({ "workflow": json_form::workflow(&workflow), "text": source }))
            .into_response())
    })
    .await
}

/// Takes a whole file, as YAML or JSON.
pub(super) async fn create(
    State(state): State<AdminState>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    told(async {
        let pages = may_change(&state)?;
        let text = text_of(&headers, &body)?;
        let name = name_in(&text);
        if let Some(name) =
            name.as_deref().filter(|name| pages.in_force.current().get(name).is_some())
        {
            let detail = format!("there is a workflow `{name}`; change it with PUT");
            let problem = Problem::new(StatusCode::CONFLICT, "workflow_exists", "It exists");
            return Err(problem.detail(detail));
        }
        let path = path_of(pages, name.as_deref().unwrap_or("posted"));
        let workflow = write(pages, path, Change::Create(text), name).await?;
        let shown = workflow.map(|workflow| json_form::workflow(&workflow));
        Ok((StatusCode::CREATED, Json(json!({ "workflow": shown }))).into_response())
    })
    .await
}

pub(super) async fn replace(
    State(state): State<AdminState>,
    Named(id): Named<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    told(async {
        let pages = may_change(&state)?;
        let before = known(pages, &id)?;
        let text = text_of(&headers, &body)?;
        if let Some(name) = name_in(&text).filter(|name| *name != id) {
            let detail = format!("the text names the workflow `{name}`, the address `{id}`");
            let problem = Problem::new(StatusCode::BAD_REQUEST, "name", "Two names");
            return Err(problem.detail(detail));
        }
        let path = PathBuf::from(before.origin.source.name());
        let workflow = write(pages, path, Change::Replace(text), Some(id)).await?;
        let shown = workflow.map(|workflow| json_form::workflow(&workflow));
        Ok(Json(json!({ "workflow": shown })).into_response())
    })
    .await
}

pub(super) async fn remove(State(state): State<AdminState>, Named(id): Named<String>) -> Response {
    told(async {
        let pages = may_change(&state)?;
        let before = known(pages, &id)?;
        write(pages, PathBuf::from(before.origin.source.name()), Change::Remove, None).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecuteAsked {
    #[serde(default)]
    dry_run: bool,
}

/// What to start a workflow with: an event of the journal, or for a dry run a record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Execute {
    event: Option<String>,
    record: Option<Box<RawValue>>,
}

pub(super) async fn execute(
    State(state): State<AdminState>,
    Named(id): Named<String>,
    asked: Result<Query<ExecuteAsked>, QueryRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    told(async {
        let Ok(Query(asked)) = asked else {
            return Err(bad_request("the query takes `dry_run`, `true` or `false`"));
        };
        let pages = if asked.dry_run { pages(&state)? } else { may_change(&state)? };
        let workflow = known(pages, &id)?;
        let text = text_of(&headers, &body)?;
        let Ok(wanted) = serde_json::from_str::<Execute>(&text) else {
            return Err(bad_request("send `{\"event\": \"<id>\"}`, or `{\"record\": {...}}`"));
        };
        let now = OffsetDateTime::now_utc();
        let message = match wanted {
            Execute { event: Some(event), record: None } => {
                let event = event.parse().map_err(|_| bad_request("`event` is the id of one"))?;
                of_journal(pages, event, &workflow).await?
            }
            Execute { event: None, record: Some(record) } if asked.dry_run => {
                by_hand::made_up(record.get(), &workflow, now)
                    .ok_or_else(|| bad_request("`record` is an object whose members are unique"))?
            }
            Execute { .. } => {
                return Err(bad_request(
                    "one of `event` and `record` is needed, and `record` only with `dry_run=true`",
                ));
            }
        };
        if asked.dry_run {
            // Whoever may read here may not read the environment.
            let actions = rehearse(&workflow, &message, &pages.renderer.for_show(), now);
            let actions = json_form::rehearsed(&actions);
            let verdict = pages.in_force.current().verdict(&workflow, &message);
            let told = json!({
                "dry_run": true,
                "starts": verdict.starts,
                "decided_by": verdict.decided_by,
                "actions": actions,
            });
            return Ok(Json(told).into_response());
        }
        if workflow.status == Status::Archived {
            let problem = Problem::new(StatusCode::CONFLICT, "archived", "It is archived");
            return Err(problem.detail("a workflow that is archived starts nothing"));
        }
        let run = Uuid::now_v7();
        let new = NewRun {
            id: run,
            workflow,
            cause: Cause::Hand(run),
            priority: 0,
            depth: depth_after(&message),
            event: Arc::new(message),
        };
        pages.runs.add(vec![new], now).await.map_err(|error| unavailable(&error))?;
        Ok((StatusCode::ACCEPTED, Json(json!({ "run": run.to_string(), "status": "pending" })))
            .into_response())
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunsAsked {
    status: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn runs(
    State(state): State<AdminState>,
    Named(id): Named<String>,
    asked: Result<Query<RunsAsked>, QueryRejection>,
) -> Response {
    told(async {
        let pages = pages(&state)?;
        let Ok(Query(asked)) = asked else {
            return Err(bad_request("the query takes `status` and `limit`"));
        };
        let status = match asked.status.as_deref() {
            None => None,
            Some(word) => Some(RunStatus::from_word(word).ok_or_else(|| {
                bad_request("`status` is pending, running, completed, failed or cancelled")
            })?),
        };
        let limit = asked.limit.unwrap_or(USUAL_PAGE).clamp(1, LARGEST_PAGE);
        let filter = Filter { workflow: Some(id.clone()), status, ..Filter::default() };
        let found = pages.runs.list(filter, limit).await.map_err(|error| unavailable(&error))?;
        if found.is_empty() {
            // Runs may outlive their workflow.
            known(pages, &id)?;
        }
        let results: Vec<_> = found.iter().map(json_form::listed).collect();
        Ok(Json(json!({ "results": results })).into_response())
    })
    .await
}

pub(super) async fn run(State(state): State<AdminState>, Named(id): Named<String>) -> Response {
    told(async {
        let pages = pages(&state)?;
        let Ok(id) = id.parse() else { return Err(not_found("there is no such run")) };
        let found = pages.runs.show(id).await.map_err(|error| unavailable(&error))?;
        let Some(found) = found else { return Err(not_found("there is no such run")) };
        Ok(Json(json_form::shown(&found)).into_response())
    })
    .await
}

async fn told(work: impl Future<Output = Result<Response, Problem>>) -> Response {
    work.await.unwrap_or_else(|problem| answer(&problem))
}

fn not_found(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found").detail(detail)
}

fn bad_request(detail: &'static str) -> Problem {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "request", "The request cannot be read");
    problem.detail(detail)
}

fn unavailable(_: &StoreError) -> Problem {
    Problem::about_blank(StatusCode::SERVICE_UNAVAILABLE)
}

fn pages(state: &AdminState) -> Result<&WorkflowPages, Problem> {
    state.workflows.as_ref().ok_or_else(|| {
        not_found("no workflows run here: the configuration has neither `events` nor `workflows`")
    })
}

/// The pages for who may change something.
fn may_change(state: &AdminState) -> Result<&WorkflowPages, Problem> {
    if state.guard.has_secret() {
        return pages(state);
    }
    let problem = Problem::new(StatusCode::FORBIDDEN, "admin_token_unset", "No token is set");
    let detail = "changes need an admin token: set `admin.token_file` or `admin.token_env`";
    Err(problem.detail(detail))
}

fn known(pages: &WorkflowPages, name: &str) -> Result<Arc<Workflow>, Problem> {
    let found = pages.in_force.current().get(name).map(Arc::clone);
    found.ok_or_else(|| not_found("there is no workflow of this name"))
}

/// The body as text. Types that a page may send to anybody without being asked are refused.
fn text_of(headers: &HeaderMap, body: &Bytes) -> Result<String, Problem> {
    let written = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = written.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_taken = ["application/json", "application/yaml"]
        .iter()
        .any(|taken| taken.eq_ignore_ascii_case(essence));
    if !is_taken {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let problem = Problem::new(status, "media_type", "Unsupported media type");
        return Err(problem.detail("send `application/yaml` or `application/json`"));
    }
    std::str::from_utf8(body)
        .map(ToOwned::to_owned)
        .map_err(|_| bad_request("the body is not UTF-8"))
}

/// The name that a text gives its workflow, where it is one as far as it can be read alone.
fn name_in(text: &str) -> Option<String> {
    Some(Workflow::alone(&SourceFile::new("posted.yaml", text))?.name)
}

fn path_of(pages: &WorkflowPages, name: &str) -> PathBuf {
    pages.policies.join("workflows").join(format!("{name}.yaml"))
}

async fn of_journal(
    pages: &WorkflowPages,
    event: Uuid,
    workflow: &Workflow,
) -> Result<Message, Problem> {
    let role = workflow.role.clone();
    let found = pages.journal.read(move |connection| by_hand::find(connection, event, &role)).await;
    match found.map_err(|error| unavailable(&error))? {
        Found::Event(message) => Ok(*message),
        Found::NoView => {
            Err(not_found("the journal keeps no view of this event for the role of the workflow"))
        }
        Found::Nothing => Err(not_found("the journal holds no such event")),
    }
}

/// What becomes of a file.
enum Change {
    /// It comes to be; one that is there stays as it is, whatever it holds.
    Create(String),
    Replace(String),
    Remove,
}

/// Changes a file of the policy folder, if all policies are good with it. The workflow `name` as it
/// will be.
async fn write(
    pages: &WorkflowPages,
    path: PathBuf,
    change: Change,
    name: Option<String>,
) -> Result<Option<Arc<Workflow>>, Problem> {
    let folder = pages.policies.clone();
    let written = tokio::task::spawn_blocking(move || {
        let text = match &change {
            Change::Create(_) if path.exists() => return Err(taken(&path)),
            Change::Create(text) | Change::Replace(text) => Some(text.as_str()),
            Change::Remove => None,
        };
        let loaded = policy::load_with(&folder, FileChange { path: &path, text });
        let Some(set) = loaded.set else { return Err(faults(&folder, &loaded.findings)) };
        put(&path, &change).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                return taken(&path);
            }
            let problem = Problem::new(StatusCode::CONFLICT, "policies", "Not written");
            problem.detail(
                "the policy folder cannot be written by the account that Fieldgate runs under",
            )
        })?;
        Ok(name.and_then(|name| set.workflows.get(&name).map(Arc::clone)))
    });
    match written.await {
        Ok(Ok(workflow)) => Ok(workflow),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::about_blank(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// Puts a text in the place of a file, or removes it; nobody ever sees half of it.
fn put(path: &Path, change: &Change) -> std::io::Result<()> {
    let text = match change {
        Change::Create(text) | Change::Replace(text) => text,
        Change::Remove => return std::fs::remove_file(path),
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Names with a dot in front are no policies.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.as_file().sync_all()?;
    if matches!(change, Change::Create(_)) {
        // Whoever made one meanwhile keeps it.
        file.persist_noclobber(path)?;
        return Ok(());
    }
    if let Ok(before) = std::fs::metadata(path) {
        file.as_file().set_permissions(before.permissions())?;
    }
    file.persist(path)?;
    Ok(())
}

/// The file that a new workflow would go into is there.
fn taken(path: &Path) -> Problem {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let problem = Problem::new(StatusCode::CONFLICT, "file_exists", "The file exists");
    problem.detail(format!(
        "`workflows/{name}` is there already and holds something else; choose another name"
    ))
}

/// What is wrong with the policies as they would be.
fn faults(folder: &Path, findings: &[Finding]) -> Problem {
    let shown = |finding: &Finding| {
        let position = finding.position();
        let file = position.map(|(file, _, _)| {
            let file = Path::new(file);
            file.strip_prefix(folder).unwrap_or(file).display().to_string()
        });
        json!({
            "code": finding.code(),
            "message": finding.message(),
            "file": file,
            "line": position.map(|(_, line, _)| line),
            "column": position.map(|(_, _, column)| column),
            "help": finding.remedy(),
        })
    };
    let errors = findings.iter().filter(|finding| finding.severity() == Severity::Error);
    let errors: Vec<Value> = errors.map(shown).collect();
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "policy_faults", "The policies would have faults")
        .detail("nothing was written")
        .member("findings", errors)
}
