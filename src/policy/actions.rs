//! What the files declare for the actions of workflows: how the CRM is called for an object type,
//! how its lists are paged through, and the texts of mails.
//!
//! Pure. Texts with templates stand here as written; whoever acts fills them in.

use std::collections::BTreeMap;

use http::Method;

use super::set::Origin;
use super::workflow::ActionKind;
use crate::condition::Value;
use crate::json::path::FieldPath;

/// Everything that is declared for actions.
#[derive(Debug, Default)]
pub struct Declared {
    /// Calls of the CRM, by object type and action.
    pub calls: BTreeMap<String, BTreeMap<ActionKind, CrmCall>>,
    /// Lists that can be exported, by object type.
    pub lists: BTreeMap<String, ListCall>,
    /// Texts of mails, by name.
    pub mails: BTreeMap<String, MailText>,
}

/// How one action calls the CRM for one object type.
#[derive(Debug, Clone)]
pub struct CrmCall {
    /// The method; one that writes.
    pub method: Method,
    /// The path with templates: `/api/v1/leads/{{entity_id}}/`.
    pub path: String,
    /// The body: its texts and the names of its members may hold templates.
    pub body: Value<'static>,
    /// Where it was written.
    pub origin: Origin,
}

/// How a list of the CRM is paged through.
#[derive(Debug, Clone)]
pub struct ListCall {
    /// Path and query of the first page: `/api/v1/leads/?page_size=100`.
    pub target: String,
    /// Where the records stand in a page.
    pub records: FieldPath,
    /// How the next page is found.
    pub paging: Paging,
    /// Where it was written.
    pub origin: Origin,
}

/// How the page after a page is found.
#[derive(Debug, Clone)]
pub enum Paging {
    /// By what stands there in a page: a URL, or nothing on the last one.
    Next(FieldPath),
    /// By counting up this parameter from 1, until a page holds no record.
    Page(String),
}

/// The text of a mail. At least one is set.
#[derive(Debug, Clone, Default)]
pub struct MailText {
    /// `templates/NAME.txt`
    pub text: Option<String>,
    /// `templates/NAME.html`
    pub html: Option<String>,
}

impl Declared {
    /// How an action on an object type calls the CRM. A task that belongs to no declared type is
    /// created as the one type says that declares how.
    #[must_use]
    pub fn call(&self, kind: ActionKind, resource: &str) -> Option<&CrmCall> {
        if let Some(call) = self.calls.get(resource).and_then(|calls| calls.get(&kind)) {
            return Some(call);
        }
        let mut others = self.calls.values().filter_map(|calls| calls.get(&kind));
        match (kind, others.next(), others.next()) {
            (ActionKind::CreateTask, Some(only), None) => Some(only),
            _ => None,
        }
    }
}

/// The names that the templates of a declared call may use beside `event`, `run`, `workflow`,
/// `today` and `now`.
pub fn slots_of(kind: ActionKind) -> impl Iterator<Item = &'static str> {
    let own = kind.payload().iter().map(|key| key.name);
    // A task is created for the record of the event.
    let entity: &[&str] =
        if kind == ActionKind::CreateTask { &["entity_type", "entity_id"] } else { &[] };
    own.chain(entity.iter().copied())
}
