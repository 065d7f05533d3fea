//! Routes as written: methods, path, where the records are.

use http::Method;

use super::draft::RouteDraft;
use super::reader::Reader;
use crate::diagnostic::{Finding, suggest};
use crate::json::path::{FieldPath, Selector};
use crate::policy::path_relation::touches_records;
use crate::policy::set::Route;
use crate::policy::template::PathTemplate;
use crate::policy::writes::{Write, is_write};
use crate::yaml::{Fields, Node};

const METHODS: [(&str, Method); 6] = [
    ("GET", Method::GET),
    ("POST", Method::POST),
    ("PUT", Method::PUT),
    ("PATCH", Method::PATCH),
    ("DELETE", Method::DELETE),
    ("OPTIONS", Method::OPTIONS),
];

impl Reader {
    /// One entry of `routes:`.
    pub(super) fn route(&mut self, node: &Node) -> Option<RouteDraft> {
        let mut fields = self.checker.map(node, "a route")?;
        let (methods, path) = self.methods_and_path(&mut fields);
        let records_node = fields.require(&mut self.checker, "records");
        let records = records_node.and_then(|node| self.records(node, "`records`"));
        let envelope_node = self.optional(&mut fields, "envelope");
        let write_node = self.optional(&mut fields, "write");
        let body = self.optional(&mut fields, "body").map(|node| self.records(node, "`body`"));
        let is_search = self
            .optional(&mut fields, "search")
            .and_then(|node| self.checker.boolean(node, "`search`"));
        fields.finish(&mut self.checker);
        let (path_node, template) = path?;
        let span = path_node.span;
        if template.takes_everything_below() {
            let finding = Finding::error(
                "policy::bad_route_path",
                "a route of a resource cannot take everything below a path",
            )
            .label("`{*...}` belongs to `passthrough`")
            .help("name each route whose records are known; `{id}` stands for one segment");
            self.report(finding, span);
            return None;
        }
        let records = records?;
        let envelope = match envelope_node {
            Some(node) => self.envelope(node, &records)?,
            None => Vec::new(),
        };
        let write = match write_node {
            Some(node) => Some(self.write(node, methods.as_deref())?),
            None => None,
        };
        let path = template.as_str().to_owned();
        let body = match body {
            Some(body) => Some(body?),
            None => None,
        };
        let is_search = is_search.unwrap_or(false);
        let route = Route { methods: methods?, path, records, envelope, write, body, is_search };
        Some(RouteDraft { route, template, origin: self.origin(span) })
    }

    /// `methods:` and `path:`, which routes and passthrough entries share.
    pub(super) fn methods_and_path<'n>(
        &mut self,
        fields: &mut Fields<'n>,
    ) -> (Option<Vec<Method>>, Option<(&'n Node, PathTemplate)>) {
        let methods = fields.require(&mut self.checker, "methods");
        let methods = methods.and_then(|node| self.methods(node));
        let path = fields.require(&mut self.checker, "path");
        let path = path.and_then(|node| Some((node, self.path_template(node)?)));
        (methods, path)
    }

    fn methods(&mut self, node: &Node) -> Option<Vec<Method>> {
        let nodes = self.checker.list(node, "`methods`")?;
        let mut methods = Vec::new();
        for node in nodes {
            let Some(word) = self.checker.text(node, "a method") else { continue };
            match method(word) {
                Ok(method) if !methods.contains(&method) => methods.push(method),
                Ok(_) => {
                    let finding =
                        Finding::error("policy::bad_method", format!("`{word}` stands here twice"))
                            .label("the second one")
                            .help("delete one of them");
                    self.report(finding, node.span);
                }
                Err(help) => {
                    let finding = Finding::error(
                        "policy::bad_method",
                        format!("`{word}` is not a method that a route can have"),
                    )
                    .label("not a method")
                    .help(help);
                    self.report(finding, node.span);
                }
            }
        }
        if nodes.is_empty() {
            let finding =
                Finding::error("policy::bad_method", "a route without methods matches nothing")
                    .label("at least one method belongs here")
                    .help("write `methods: [GET]`");
            self.report(finding, node.span);
        }
        (methods.len() == nodes.len() && !nodes.is_empty()).then_some(methods)
    }

    pub(super) fn path_template(&mut self, node: &Node) -> Option<PathTemplate> {
        let text = self.checker.text(node, "`path`")?;
        match PathTemplate::parse(text) {
            Ok(template) => Some(template),
            Err(fault) => {
                let finding = Finding::error("policy::bad_route_path", fault.message)
                    .label("not a path template")
                    .help(fault.help);
                self.report(finding, node.span);
                None
            }
        }
    }

    /// `write:`, what the writes of a route do where that is not what their method says.
    fn write(&mut self, node: &Node, methods: Option<&[Method]>) -> Option<Write> {
        let words = [Write::Created, Write::Updated, Write::Deleted, Write::Nothing];
        let words = words.map(|write| (write.word(), write));
        let write = self.word(node, "`write`", &words)?;
        if methods.is_some_and(|methods| !methods.iter().any(is_write)) {
            let finding = Finding::error("policy::no_write", "no method of this route writes")
                .label("says nothing")
                .help(
                    "delete `write`; it belongs to routes with `POST`, `PUT`, `PATCH` or `DELETE`",
                );
            self.report(finding, node.span);
            return None;
        }
        Some(write)
    }

    /// `records:` and the like. A `JSONPath`, for a dotted name leaves open whether a list or its elements are
    /// the records; and one that can be decided while the answer streams by.
    pub(super) fn records(&mut self, node: &Node, what: &str) -> Option<FieldPath> {
        let text = self.checker.text(node, what)?;
        let path = if text == "$" {
            FieldPath::parse(text).ok()
        } else if text.starts_with('$') {
            self.field_path(text, node.span)
        } else {
            let finding = Finding::error(
                "policy::bad_records",
                format!("`{text}` leaves open what one record is"),
            )
            .label("a JSONPath belongs here")
            .help("`\"$\"` if the answer is one record, `\"$[*]\"` if it is a list of them, `\"$.results[*]\"` if the list is a member");
            self.report(finding, node.span);
            None
        }?;
        if path.needs_whole_record() {
            let finding = Finding::error(
                "policy::bad_records",
                "filters and indices from the end cannot say where records are",
            )
            .label("needs the whole answer at once")
            .help("name the place of all records, such as `\"$.results[*]\"`; which of them a role may see is not a matter of routes");
            self.report(finding, node.span);
            return None;
        }
        Some(path)
    }

    /// `envelope:`. Every role sees these members, so none may reach a record.
    fn envelope(&mut self, node: &Node, records: &FieldPath) -> Option<Vec<FieldPath>> {
        let nodes = self.checker.list(node, "`envelope`")?;
        let mut envelope = Vec::new();
        for node in nodes {
            let Some(text) = self.checker.text(node, "a member of the envelope") else { continue };
            let Some(path) = self.field_path(text, node.span) else { continue };
            let (code, message, help) = if !is_plain_names(&path) {
                (
                    "policy::bad_path",
                    format!("`{text}` does not name one member of the envelope"),
                    "name the members one by one: `[count, next, previous]`".to_owned(),
                )
            } else if records.segments().is_empty() {
                (
                    "policy::envelope_shows_records",
                    "the whole answer is one record, it has no envelope".to_owned(),
                    "delete `envelope`, or say in `records` where the records are".to_owned(),
                )
            } else if touches_records(&path, records) {
                (
                    "policy::envelope_shows_records",
                    format!("`{text}` would show records to every role"),
                    format!("the records are at `{records}`; name only what stands around them"),
                )
            } else {
                envelope.push(path);
                continue;
            };
            let finding = Finding::error(code, message).label("this member").help(help);
            self.report(finding, node.span);
        }
        (envelope.len() == nodes.len()).then_some(envelope)
    }
}

fn is_plain_names(path: &FieldPath) -> bool {
    path.segments().iter().all(|segment| {
        !segment.descendant && matches!(segment.selectors.as_slice(), [Selector::Name(_)])
    })
}

/// The method of a word, or what to write instead.
pub(super) fn method(word: &str) -> Result<Method, String> {
    let known = || METHODS.iter().map(|(name, _)| *name);
    match word {
        "HEAD" => Err("`HEAD` is answered under the `GET` route; leave it out".to_owned()),
        "CONNECT" | "TRACE" => Err("it is never forwarded".to_owned()),
        _ => METHODS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, method)| method.clone())
            .ok_or_else(|| suggest(&word.to_uppercase(), known())),
    }
}
