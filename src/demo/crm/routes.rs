//! HTTP in, HTTP out: paths, methods, credentials, validators.
//!
//! Refuses requests of nobody it knows before it looks at anything else of them; only to log in
//! needs nobody.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha256};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::debug_page::{FailedRequest, debug_page};
use super::filter::Selection;
use super::page::page_of;
use super::people::{Person, SESSION_COOKIE};
use super::query::Query;
use super::refusal::{Refusal, json};
use super::table::Table;
use super::validate::Update;
use super::value::Value;
use super::{Crm, RequestHead, table_in};

/// Where somebody becomes known.
const LOGIN: &str = "/login/";

/// The largest request body.
const MAX_BODY: usize = 2 * 1024 * 1024;

pub(super) fn router(crm: Arc<Crm>) -> Router {
    Router::new()
        .route(LOGIN, any(log_in))
        .route("/logout/", any(log_out))
        .route("/password/", any(change_password))
        .route("/api/v1/me/", any(me))
        .route("/api/v1/{collection}/", any(collection))
        .route("/api/v1/{collection}/{id}/", any(detail))
        .route("/api/v1/deals/{id}/change_stage/", any(change_stage))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&crm), receive))
        .with_state(crm)
}

/// Around every request: remember it, ask who sends it, sign the answer.
async fn receive(State(crm): State<Arc<Crm>>, mut request: Request, next: Next) -> Response {
    crm.remember(RequestHead {
        method: request.method().clone(),
        target: request.uri().to_string(),
        headers: request.headers().clone(),
    });
    let mut response = match crm.accounts.authenticate(request.headers()) {
        Ok(person) => {
            request.extensions_mut().insert(person);
            next.run(request).await
        }
        Err(_) if request.uri().path() == LOGIN => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("demo-crm"));
    response
}

async fn log_in(
    State(crm): State<Arc<Crm>>,
    head: Parts,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    only(&head, &Method::POST, "POST")?;
    let cookie = crm.accounts.log_in(&read_body(&head, body)?)?;
    let mut response = json(StatusCode::OK, r#"{"detail":"Logged in."}"#.to_owned());
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn log_out(State(crm): State<Arc<Crm>>, head: Parts) -> Result<Response, Refusal> {
    only(&head, &Method::POST, "POST")?;
    crm.accounts.log_out(&head.headers);
    let mut response = StatusCode::NO_CONTENT.into_response();
    let gone = format!("{SESSION_COOKIE}=; Max-Age=0; Path=/");
    if let Ok(gone) = HeaderValue::try_from(gone) {
        response.headers_mut().insert(header::SET_COOKIE, gone);
    }
    Ok(response)
}

async fn change_password(
    State(crm): State<Arc<Crm>>,
    Extension(person): Extension<Person>,
    head: Parts,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    only(&head, &Method::POST, "POST")?;
    crm.accounts.change_password(person, &head.headers, &read_body(&head, body)?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn me(Extension(person): Extension<Person>, head: Parts) -> Result<Response, Refusal> {
    only(&head, &Method::GET, "GET")?;
    Ok(json(StatusCode::OK, person.me().to_string()))
}

fn only(head: &Parts, method: &Method, allowed: &'static str) -> Result<(), Refusal> {
    if head.method == *method {
        return Ok(());
    }
    Err(Refusal::MethodNotAllowed { method: head.method.clone(), allowed })
}

async fn nothing_here() -> Refusal {
    Refusal::NotFound
}

async fn collection(
    State(crm): State<Arc<Crm>>,
    Path(collection): Path<String>,
    head: Parts,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    if table_in(&crm.read(), &collection).is_none() {
        return Err(Refusal::NotFound);
    }
    match head.method {
        Method::GET | Method::HEAD => list(&crm, &collection, &head),
        Method::POST => {
            let body = read_body(&head, body)?;
            write(&crm, &collection, |table, now| {
                let (id, record) = table.create(&body, now)?;
                let mut response = json(StatusCode::CREATED, record.to_string());
                let location = HeaderValue::try_from(format!("{}{id}/", url_of(&head)));
                if let Ok(location) = location {
                    response.headers_mut().insert(header::LOCATION, location);
                }
                Ok(response)
            })
        }
        method => Err(Refusal::MethodNotAllowed { method, allowed: "GET, POST, HEAD" }),
    }
}

async fn detail(
    State(crm): State<Arc<Crm>>,
    Path((collection, id)): Path<(String, String)>,
    head: Parts,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let id = id_of(&id)?;
    if table_in(&crm.read(), &collection).is_none() {
        return Err(Refusal::NotFound);
    }
    let update = match head.method {
        Method::GET | Method::HEAD => {
            let record = crm.record(&collection, id).ok_or(Refusal::NotFound)?;
            return Ok(validated(&record, &head.headers));
        }
        Method::DELETE => {
            return write(&crm, &collection, |table, _| {
                table.delete(id)?;
                Ok(StatusCode::NO_CONTENT.into_response())
            });
        }
        Method::PUT => Update::Replace,
        Method::PATCH => Update::Patch,
        method => {
            let allowed = "GET, PUT, PATCH, DELETE, HEAD";
            return Err(Refusal::MethodNotAllowed { method, allowed });
        }
    };
    let body = read_body(&head, body)?;
    write(&crm, &collection, |table, now| {
        let record = table.update(id, &body, update, now)?;
        Ok(json(StatusCode::OK, record.to_string()))
    })
}

async fn change_stage(
    State(crm): State<Arc<Crm>>,
    Path(id): Path<String>,
    head: Parts,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let id = id_of(&id)?;
    if head.method != Method::POST {
        return Err(Refusal::MethodNotAllowed { method: head.method, allowed: "POST" });
    }
    let body = read_body(&head, body)?;
    write(&crm, "deals", |table, now| {
        let record = table.change_stage(id, &body, now)?;
        Ok(json(StatusCode::OK, record.to_string()))
    })
}

fn list(crm: &Crm, collection: &str, head: &Parts) -> Result<Response, Refusal> {
    let tables = crm.read();
    let table = table_in(&tables, collection).ok_or(Refusal::NotFound)?;
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let url = url_of(head);
    let selection = Selection::parse(table.schema(), &query).map_err(|wrong| {
        let request = FailedRequest {
            method: head.method.as_str(),
            path: head.uri.path(),
            url: &format!("{url}?{}", head.uri.query().unwrap_or_default()),
            headers: &head.headers,
        };
        Refusal::Crash { debug_page: debug_page(&request, &wrong, table.iter()) }
    })?;
    let chosen = selection.apply(table.iter());
    Ok(json(StatusCode::OK, page_of(&chosen, &query, &url)?))
}

/// Runs a write under the lock, with the time that it happens at.
fn write(
    crm: &Crm,
    collection: &str,
    act: impl FnOnce(&mut Table, &str) -> Result<Response, Refusal>,
) -> Result<Response, Refusal> {
    let mut tables = crm.write();
    let table = tables.iter_mut().find(|table| table.schema().collection == collection);
    act(table.ok_or(Refusal::NotFound)?, &now())
}

/// One record with its validators, or 304 where the client has it already.
fn validated(record: &Value, headers: &HeaderMap) -> Response {
    let body = record.to_string();
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&body));
    let etag = format!("\"{}\"", digest.get(..32).unwrap_or(&digest));
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let is_known = known.flat_map(|value| value.split(',')).map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == etag
    });
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json(StatusCode::OK, body)
    };
    if let Ok(etag) = HeaderValue::try_from(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    if let Some(modified) = last_modified(record) {
        response.headers_mut().insert(header::LAST_MODIFIED, modified);
    }
    response
}

fn last_modified(record: &Value) -> Option<HeaderValue> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let updated_at = record.get("updated_at")?.as_text()?;
    let updated_at = OffsetDateTime::parse(updated_at, &Rfc3339).ok()?;
    let text = updated_at.to_offset(UtcOffset::UTC).format(format).ok()?;
    HeaderValue::try_from(text).ok()
}

fn read_body(head: &Parts, body: Result<Bytes, BytesRejection>) -> Result<Value, Refusal> {
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map_or("", |value| value.to_str().unwrap_or_default());
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::UnsupportedMediaType(content_type.to_owned()));
    }
    let bytes = body.map_err(|fault| match fault.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
        _ => Refusal::Truncated,
    })?;
    Value::parse(&bytes).map_err(Refusal::Malformed)
}

fn id_of(segment: &str) -> Result<u64, Refusal> {
    let digits = segment.bytes().all(|byte| byte.is_ascii_digit());
    segment.parse().ok().filter(|_| digits).ok_or(Refusal::NotFound)
}

/// The absolute address of the request without its query, by the host that the client named.
fn url_of(head: &Parts) -> String {
    let named = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = head.uri.authority().map(http::uri::Authority::as_str).or(named);
    format!("http://{}{}", host.unwrap_or("localhost"), head.uri.path())
}

fn now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}
