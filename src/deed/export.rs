//! `enqueue_export`: pages through a list of the CRM as the workflow's role sees it, into a file.
//!
//! Records are gathered as JSON lines beside a note of how far they reach, so that the next attempt
//! goes on where this one ended. A finished file is told of by mail or in a channel.

mod place;
mod table;

use std::sync::Arc;

use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use self::place::{Place, Progress};
use super::crm::{self, Crm};
use super::mail::{Mail, Mailer, receivers};
use super::notify::{Notify, Telling};
use super::street::Lost;
use super::{DeclaredNow, failed, failed_for_now, not_configured};
use crate::condition::Value;
use crate::config::Exports;
use crate::json::select;
use crate::policy::actions::{ListCall, Paging};
use crate::workflow::action::{ActionContext, ActionFailure, Performed, RenderedAction};

/// What a part of a query keeps as it is (RFC 3986, unreserved).
const UNRESERVED: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Exports lists.
pub(super) struct Exporter {
    settings: Exports,
    crm: Option<Arc<Crm>>,
    mailer: Option<Arc<Mailer>>,
    notify: Arc<Notify>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Json,
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "jsonl",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/x-ndjson",
        }
    }
}

/// A failure on the way.
type Failure = Performed;

impl Exporter {
    pub(super) fn new(
        settings: Exports,
        crm: Option<Arc<Crm>>,
        mailer: Option<Arc<Mailer>>,
        notify: Arc<Notify>,
    ) -> Self {
        Self { settings, crm, mailer, notify }
    }

    pub(super) async fn perform(
        &self,
        action: &RenderedAction,
        context: &ActionContext,
        declared: &DeclaredNow,
    ) -> Performed {
        match self.export(action, context, declared).await {
            Ok(performed) | Err(performed) => performed,
        }
    }

    async fn export(
        &self,
        action: &RenderedAction,
        context: &ActionContext,
        declared: &DeclaredNow,
    ) -> Result<Performed, Failure> {
        let Some(crm) = &self.crm else { return Ok(not_configured("crm")) };
        let Some(declared) = declared.now() else {
            return Err(later(ActionFailure::Internal, "no policies are loaded"));
        };
        let entity = action.text("entity_type").unwrap_or_default();
        let Some(list) = declared.lists.get(entity) else {
            let error = "no `actions.enqueue_export` is declared for this `entity_type`";
            return Err(never(ActionFailure::NotConfigured, error));
        };
        let form = match action.text("export_type") {
            Some("json") => Form::Json,
            _ => Form::Csv,
        };
        let to = match action.payload.get("email_to") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Text(text)) if text.trim().is_empty() => Vec::new(),
            Some(value) => {
                receivers(value).map_err(|error| never(ActionFailure::Template, error))?
            }
        };
        if !to.is_empty() && self.mailer.is_none() {
            return Ok(not_configured("smtp"));
        }
        let first = first_page(list, action)?;
        let folder = self.settings.folder.clone();
        let name = format!("{entity}-{}", context.idempotency_key);
        let (place, keep) = (Place::new(folder, &name, form.ending()), self.settings.keep);
        let cannot = |_| never_written();
        let progress = on_disk(&place, move |place| {
            place.remove_old(keep);
            place.open(&first)
        });
        let mut progress = progress.await.map_err(cannot)?;
        while let Some(target) = progress.next.clone() {
            let page = self.page(crm, list, &target, context, progress.pages).await?;
            let rows = progress.rows + page.records.len() as u64;
            if rows > self.settings.rows {
                let error = format!("there are more than {} records", self.settings.rows);
                return Err(never(ActionFailure::Status, error));
            }
            let before = progress.clone();
            let added = on_disk(&place, move |place| place.add(before, &page.records, page.next));
            progress = added.await.map_err(cannot)?;
        }
        let (done, is_csv) = (progress.clone(), form == Form::Csv);
        let finished = on_disk(&place, move |place| place.finish(&done, is_csv));
        let bytes = finished.await.map_err(cannot)?;
        self.tell(&place, form, to, (entity, progress, bytes), context).await
    }

    /// The records of one page, and where the next one is.
    async fn page(
        &self,
        crm: &Crm,
        list: &ListCall,
        target: &str,
        context: &ActionContext,
        pages: u64,
    ) -> Result<Page, Failure> {
        let asked = crm.ask(Method::GET, target.to_owned(), None, context).await;
        let returned =
            asked.map_err(|Lost| later(ActionFailure::Broken, "the CRM gave no whole answer"))?;
        let is_counted = matches!(list.paging, Paging::Page(_));
        let is_past = returned.status == StatusCode::NOT_FOUND && is_counted && pages > 0;
        if is_past && returned.stopped.is_none() {
            return Ok(Page { records: Vec::new(), next: None });
        }
        if let Some(failure) = crm::failure(&returned) {
            return Err(failure);
        }
        let records = select(&returned.body, &list.records);
        let next = next_page(list, target, &returned.body, records.len())
            .map_err(|error| never(ActionFailure::Broken, error))?;
        Ok(Page { records, next })
    }

    /// Tells of a finished file.
    async fn tell(
        &self,
        place: &Place,
        form: Form,
        to: Vec<lettre::message::Mailbox>,
        (entity, progress, bytes): (&str, Progress, u64),
        context: &ActionContext,
    ) -> Result<Performed, Failure> {
        let (name, rows) = (place.file_name(), progress.rows);
        let link = self.settings.link.as_ref().map(|link| format!("{link}{name}"));
        // An attempt whose mail went out, and that failed behind it, has sent it.
        let is_mailed = to.is_empty() || progress.is_mailed;
        if let (false, Some(mailer)) = (is_mailed, &self.mailer) {
            let attach = link.is_none() && bytes <= self.settings.attach as u64;
            let file = if attach {
                let content = on_disk(place, Place::content).await;
                let content = content.map_err(|_| never_written())?;
                Some((name.clone(), form.media_type(), content))
            } else {
                None
            };
            let text = match (&link, &file) {
                (Some(link), _) => format!("The export has {rows} records: {link}\n"),
                (None, Some(_)) => format!("The export has {rows} records. It is attached.\n"),
                (None, None) => format!(
                    "The export has {rows} records. It is too large for a mail, and stands as {name} in the folder for exports.\n"
                ),
            };
            let subject = format!("Export of {entity}: {rows} records");
            let mail = Mail { to, subject, text: Some(text), html: None, file };
            if let failure @ Performed::Failed { .. } = mailer.send(mail, context).await {
                return Err(failure);
            }
            let noted = on_disk(place, move |place| place.mailed(progress)).await;
            noted.map_err(|_| never_written())?;
        }
        if let Some(channel) = &self.settings.notify {
            let message = format!("The export of {entity} is finished: {rows} records ({name}).");
            let link = link.as_deref();
            let telling = Telling { recipient: channel, message: &message, kind: "export", link };
            if let failure @ Performed::Failed { .. } = self.notify.tell(&telling, context).await {
                return Err(failure);
            }
        }
        let result = json!({ "file": name, "rows": rows, "bytes": bytes });
        Ok(Performed::Completed { result })
    }
}

/// One page of a list.
struct Page {
    records: Vec<Box<str>>,
    next: Option<String>,
}

fn never(reason: ActionFailure, error: impl Into<String>) -> Failure {
    failed(reason, error)
}

fn later(reason: ActionFailure, error: impl Into<String>) -> Failure {
    failed_for_now(reason, error)
}

fn never_written() -> Failure {
    later(ActionFailure::Write, "the folder for exports cannot be written")
}

/// Waits for the disk on a thread of its own.
async fn on_disk<T: Send + 'static>(
    place: &Place,
    work: impl FnOnce(&Place) -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let place = place.clone();
    let done = tokio::task::spawn_blocking(move || work(&place)).await;
    done.unwrap_or_else(|_| Err(std::io::Error::other("the thread broke off")))
}

/// The first page with the filters of the action. A filter that comes out empty would let through
/// what it should keep back, so it is a fault.
fn first_page(list: &ListCall, action: &RenderedAction) -> Result<String, Failure> {
    let mut target = list.target.clone();
    let mut add = |name: &str, value: &str| {
        target.push(if target.contains('?') { '&' } else { '?' });
        let pair = [name, value].map(|part| utf8_percent_encode(part, UNRESERVED).to_string());
        target.push_str(&pair.join("="));
    };
    if let Paging::Page(parameter) = &list.paging {
        add(parameter, "1");
    }
    let Some(Value::Object(filters)) = action.payload.get("filters") else { return Ok(target) };
    for (name, value) in filters {
        let text = match value {
            Value::Text(text) => text.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null | Value::List(_) | Value::Object(_) => String::new(),
        };
        if text.trim().is_empty() {
            let error = format!("the filter `{name}` comes out as nothing to filter by");
            return Err(never(ActionFailure::Template, error));
        }
        add(name, &text);
    }
    Ok(target)
}

/// The target of the page after this one. Pure.
fn next_page(
    list: &ListCall,
    target: &str,
    body: &[u8],
    records: usize,
) -> Result<Option<String>, &'static str> {
    let path = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
    match &list.paging {
        Paging::Page(_) if records == 0 => Ok(None),
        Paging::Page(parameter) => {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let mut page = 1_u64;
            let mut pairs = Vec::new();
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                match pair.split_once('=') {
                    Some((name, number)) if name == parameter => {
                        page = number.parse().map_err(|_| "the page has no number")?;
                    }
                    _ => pairs.push(pair.to_owned()),
                }
            }
            pairs.push(format!("{parameter}={}", page + 1));
            Ok(Some(format!("{path}?{}", pairs.join("&"))))
        }
        Paging::Next(at) => {
            let found = select(body, at);
            let Some(found) = found.first() else { return Ok(None) };
            let next = match Value::parse(found) {
                Some(Value::Null) | None => return Ok(None),
                Some(Value::Text(text)) if text.is_empty() => return Ok(None),
                Some(Value::Text(text)) => text.into_owned(),
                Some(Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_)) => {
                    return Err("where the next page is named stands no text");
                }
            };
            // Whatever host the CRM thinks it has, the street leads to it.
            let next = match next.split_once("://") {
                Some((_, rest)) => {
                    let start = rest.find('/').ok_or("the next page has no path")?;
                    rest.split_at_checked(start).map(|(_, target)| target.to_owned())
                }
                None => Some(next),
            };
            let next = next.ok_or("the next page has no path")?;
            if path(&next) != path(&list.target) {
                return Err("the next page is said to be somewhere else");
            }
            if next == target {
                return Err("the next page is said to be the same one");
            }
            Ok(Some(next))
        }
    }
}

#[cfg(test)]
mod tests;
