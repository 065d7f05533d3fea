//! `actions:` of a resource, how workflows call the CRM for it; and the files of `templates/`.

use std::sync::Arc;

use http::Method;

use super::reader::Reader;
use super::route::method;
use crate::condition::Value as Constant;
use crate::diagnostic::{Finding, SourceFile, Span, suggest};
use crate::json::path::FieldPath;
use crate::policy::actions::{CrmCall, Paging, slots_of};
use crate::policy::set::Origin;
use crate::policy::template::PathTemplate;
use crate::policy::workflow::ActionKind;
use crate::policy::workflow::template::{Reference, Template};
use crate::policy::writes::is_write;
use crate::yaml::{Key, Node, Value};

/// The actions that a resource may declare a call for.
const CALLS: [ActionKind; 3] =
    [ActionKind::UpdateField, ActionKind::AddNote, ActionKind::CreateTask];

/// First names that every template may use.
const EVERYWHERE: [&str; 3] = ["event", "run", "workflow"];

/// `actions:` of one resource.
#[derive(Default)]
pub(super) struct ActionsDraft {
    pub(super) calls: Vec<CallDraft>,
    pub(super) list: Option<ListDraft>,
}

/// A call of the CRM, and the path that it goes to.
pub(super) struct CallDraft {
    pub(super) kind: ActionKind,
    pub(super) call: CrmCall,
    pub(super) template: PathTemplate,
}

/// A list that can be exported.
pub(super) struct ListDraft {
    pub(super) target: String,
    pub(super) template: PathTemplate,
    pub(super) paging: Paging,
    pub(super) origin: Origin,
}

/// A file of `templates/`.
pub(super) struct MailDraft {
    pub(super) name: String,
    pub(super) is_html: bool,
    pub(super) text: String,
    pub(super) template: Template,
    pub(super) source: Arc<SourceFile>,
}

impl Reader {
    pub(super) fn crm_actions(&mut self, node: &Node) -> ActionsDraft {
        let mut draft = ActionsDraft::default();
        let Some(mut fields) = self.checker.map(node, "`actions`") else { return draft };
        for kind in CALLS {
            if let Some(node) = self.optional(&mut fields, kind.word()) {
                draft.calls.extend(self.crm_call(kind, node));
            }
        }
        if let Some(node) = self.optional(&mut fields, ActionKind::EnqueueExport.word()) {
            draft.list = self.list_call(node);
        }
        fields.finish(&mut self.checker);
        draft
    }

    fn crm_call(&mut self, kind: ActionKind, node: &Node) -> Option<CallDraft> {
        let mut fields = self.checker.map(node, &format!("`{kind}`"))?;
        let method = fields.require(&mut self.checker, "method");
        let method = method.and_then(|node| self.writing_method(node));
        let path = fields.require(&mut self.checker, "path");
        let path = path.and_then(|node| Some((self.call_path(kind, node)?, node.span)));
        let body = fields.require(&mut self.checker, "body");
        let body = body.and_then(|node| {
            self.checker.map(node, "`body`")?.take_rest();
            let is_good = self.body_templates(kind, node);
            self.constant(node).filter(|_| is_good)
        });
        fields.finish(&mut self.checker);
        let ((path, template), span) = path?;
        let call = CrmCall { method: method?, path, body: body?, origin: self.origin(span) };
        Some(CallDraft { kind, call, template })
    }

    fn writing_method(&mut self, node: &Node) -> Option<Method> {
        let word = self.checker.text(node, "`method`")?;
        let help = match method(word) {
            Ok(method) if is_write(&method) && method != Method::DELETE => return Some(method),
            Ok(_) => "an action writes: `POST`, `PUT` or `PATCH`".to_owned(),
            Err(help) => help,
        };
        let message = format!("`{word}` is not a method that an action writes with");
        let finding = Finding::error("policy::bad_method", message).label("this method").help(help);
        self.report(finding, node.span);
        None
    }

    /// The path as written, and as a template of routes: a slot is a whole segment.
    fn call_path(&mut self, kind: ActionKind, node: &Node) -> Option<(String, PathTemplate)> {
        let text = self.checker.text(node, "`path`")?;
        if !self.template_text(kind, text, node.span) {
            return None;
        }
        let mut shape = String::new();
        for (at, segment) in text.split('/').enumerate() {
            shape.push_str(if at == 0 { "" } else { "/" });
            let is_slot = segment.starts_with("{{") && segment.ends_with("}}");
            if is_slot {
                shape.push_str("{slot");
                shape.push_str(&at.to_string());
                shape.push('}');
            } else if segment.contains('{') || segment.contains('?') {
                let finding = Finding::error(
                    "policy::bad_route_path",
                    format!("`{text}` is no path that an action can call"),
                )
                .label("this path")
                .help("what is filled in is one whole segment, and there is no query: `/api/v1/leads/{{entity_id}}/`");
                self.report(finding, node.span);
                return None;
            } else {
                shape.push_str(segment);
            }
        }
        let template = self.path_template(&Node { value: Value::Text(shape), span: node.span })?;
        Some((text.to_owned(), template))
    }

    /// Reads every text of a body as a template, and the names of its members.
    fn body_templates(&mut self, kind: ActionKind, node: &Node) -> bool {
        match &node.value {
            Value::Text(text) => self.template_text(kind, text, node.span),
            Value::List(items) => {
                items.iter().filter(|item| !self.body_templates(kind, item)).count() == 0
            }
            Value::Map(entries) => {
                let faulty = |reader: &mut Self, (key, value): &(Key, Node)| {
                    let name = reader.template_text(kind, &key.name, key.span);
                    !(reader.body_templates(kind, value) && name)
                };
                entries.iter().filter(|entry| faulty(self, entry)).count() == 0
            }
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => true,
        }
    }

    fn template_text(&mut self, kind: ActionKind, text: &str, span: Span) -> bool {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(fault) => {
                self.bad_template(&fault, span);
                return false;
            }
        };
        let mut is_good = true;
        for slot in template.slots() {
            let Reference::Field(path) = &slot.reference else { continue };
            let text = path.as_str();
            let first = text.split('.').next().unwrap_or_default();
            if slots_of(kind).any(|name| name == text) || EVERYWHERE.contains(&first) {
                continue;
            }
            is_good = false;
            let message = format!("`{kind}` gives its templates no `{text}`");
            let finding = Finding::error("policy::unknown_reference", message)
                .label("refers to nothing")
                .help(suggest(text, slots_of(kind)));
            self.report(finding, span);
        }
        is_good
    }

    fn list_call(&mut self, node: &Node) -> Option<ListDraft> {
        let mut fields = self.checker.map(node, "`enqueue_export`")?;
        let path = fields.require(&mut self.checker, "path");
        let path = path.and_then(|node| {
            let text = self.checker.text(node, "`path`")?.to_owned();
            let (path, _) = text.split_once('?').unwrap_or((&text, ""));
            let shape = Node { value: Value::Text(path.to_owned()), span: node.span };
            let template = self.path_template(&shape)?;
            let is_target = text.parse::<http::uri::PathAndQuery>().is_ok() && !text.contains('#');
            if template.has_parameters() || !is_target {
                let message = format!("`{text}` is no list that can be exported");
                let finding = Finding::error("policy::bad_route_path", message)
                    .label("this path")
                    .help("write path and query of the first page: `/api/v1/leads/?page_size=100`");
                self.report(finding, node.span);
                return None;
            }
            Some((text, template, node.span))
        });
        let next = match self.optional(&mut fields, "next") {
            Some(node) => {
                let text = self.checker.text(node, "`next`")?;
                Some(Paging::Next(self.field_path(text, node.span)?))
            }
            None => None,
        };
        let page = match self.optional(&mut fields, "page") {
            Some(node) => Some(Paging::Page(self.checker.text(node, "`page`")?.to_owned())),
            None => None,
        };
        fields.finish(&mut self.checker);
        let paging = match (next, page) {
            (Some(paging), None) | (None, Some(paging)) => paging,
            (one, _) => {
                let count = if one.is_some() { "two ways" } else { "no way" };
                let message = format!("an export with {count} to its next page");
                let finding = Finding::error("policy::paging", message)
                    .label("one of them belongs here")
                    .help("`next: $.next` is where a page names the next one; `page: page` is a parameter that counts");
                self.report(finding, node.span);
                return None;
            }
        };
        let (target, template, span) = path?;
        Some(ListDraft { target, template, paging, origin: self.origin(span) })
    }
}

/// A file of `templates/`: `welcome.txt`, `welcome.html`.
pub(super) fn mail(
    name: &str,
    is_html: bool,
    source: &Arc<SourceFile>,
) -> Result<MailDraft, Vec<Finding>> {
    let text = source.text();
    let template = Template::parse(text).map_err(|fault| {
        vec![
            Finding::error("policy::bad_template", fault.to_string())
                .at(source, Span::new(fault.at, 2))
                .label("here")
                .help("write `{{lead.email}}`, `{{today+2}}` or `{{name | default: \"there\"}}`"),
        ]
    })?;
    let is_good = name.bytes().all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    });
    if !is_good {
        return Err(vec![
            Finding::error("policy::bad_name", format!("`{name}` cannot name a text of mails"))
                .at(source, Span::default())
                .label("the name of this file")
                .help("use `a-z`, `0-9`, `_` and `-`: `templates/welcome.txt`"),
        ]);
    }
    let (name, source) = (name.to_owned(), Arc::clone(source));
    Ok(MailDraft { name, is_html, text: text.to_owned(), template, source })
}

/// Faults of declared calls that show only beside the routes of all resources.
pub(super) fn faults(drafts: &super::Drafts, faults: &mut Vec<Finding>) {
    if !drafts.unread_resources.is_empty() {
        return;
    }
    let routes = || drafts.resources.iter().flat_map(|resource| &resource.routes);
    let is_served = |template: &PathTemplate, method: &Method| {
        let shape = template.shape();
        routes()
            .any(|draft| draft.template.shape() == shape && draft.route.methods.contains(method))
    };
    let mut not_served = |template: &PathTemplate, method: &Method, origin: &Origin| {
        if is_served(template, method) {
            return;
        }
        let paths = routes().filter(|draft| draft.route.methods.contains(method));
        let paths: Vec<&str> = paths.map(|draft| draft.template.as_str()).collect();
        let message = format!("no route answers {method} on this path");
        faults.push(
            Finding::error("policy::unknown_route", message)
                .at(&origin.source, origin.span)
                .label("would be refused")
                .help(suggest(template.as_str(), paths.iter().copied())),
        );
    };
    for resource in &drafts.resources {
        for draft in &resource.actions.calls {
            not_served(&draft.template, &draft.call.method, &draft.call.origin);
        }
        if let Some(list) = &resource.actions.list {
            not_served(&list.template, &Method::GET, &list.origin);
        }
    }
}

/// Where the records stand in the answers of a list.
pub(super) fn records_of(drafts: &super::Drafts, list: &ListDraft) -> Option<FieldPath> {
    let shape = list.template.shape();
    let mut routes = drafts.resources.iter().flat_map(|resource| &resource.routes);
    let route = routes.find(|draft| {
        draft.template.shape() == shape && draft.route.methods.contains(&Method::GET)
    })?;
    Some(route.route.records.clone())
}

/// The mail that an action takes its text from, where that is known.
pub(super) fn literal_template<'a>(payload: Option<&'a Constant<'static>>) -> Option<&'a str> {
    match payload? {
        Constant::Text(name) if !name.contains("{{") => Some(name),
        _ => None,
    }
}
