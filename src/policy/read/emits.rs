//! `emits:` of a resource: events by condition, and what they say.

use http::Method;

use super::condition::Over;
use super::draft::{Named, RouteDraft};
use super::reader::Reader;
use super::route::method;
use crate::condition::Condition;
use crate::diagnostic::{Finding, suggest};
use crate::policy::emits::{Emit, IfUnknown, MAX_WATCHED, Member, Previous, Source, watched_paths};
use crate::policy::writes::{Write, is_write, write_on};
use crate::yaml::{Fields, Key, Node, Value};

/// Members that the data of every event may have beside those of its rule.
const RESERVED_MEMBERS: [&str; 4] = ["id", "record", "unknown", "undecided"];

/// The routes that a rule of the same file may name.
pub(super) struct KnownRoutes<'d> {
    pub(super) routes: &'d [RouteDraft],
    /// Every route could be read. Otherwise a rule may mean one that could not.
    pub(super) all: bool,
}

/// The writes that a rule speaks of.
pub(super) struct Covered {
    pub(super) on: Option<Vec<Method>>,
    pub(super) routes: Option<Vec<usize>>,
}

impl KnownRoutes<'_> {
    /// The routes that are meant, with their places.
    fn among<'s>(
        &'s self,
        routes: Option<&'s [usize]>,
    ) -> impl Iterator<Item = (usize, &'s RouteDraft)> {
        let all = self.routes.iter().enumerate();
        all.filter(move |(index, _)| routes.is_none_or(|routes| routes.contains(index)))
    }

    /// Whether some request is a write for which `covers` holds.
    fn any_write(&self, covers: impl Fn(usize, &Method, Write) -> bool) -> bool {
        self.among(None).any(|(index, draft)| {
            draft.route.methods.iter().any(|method| {
                let routes = self.routes.iter().map(|draft| &draft.route);
                covers(index, method, write_on(routes, &draft.route, method))
            })
        })
    }
}

impl Reader {
    pub(super) fn emits(&mut self, node: &Node, known: &KnownRoutes<'_>) -> Vec<Emit> {
        let mut rules: Vec<Emit> = Vec::new();
        for node in self.checker.list(node, "`emits`").unwrap_or_default() {
            let Some(rule) = self.emit(node, known) else { continue };
            let before = watched_paths(&rules).len();
            let span = rule.origin.span;
            rules.push(rule);
            if before <= MAX_WATCHED && watched_paths(&rules).len() > MAX_WATCHED {
                let message =
                    format!("the rules of a resource read at most {MAX_WATCHED} different fields");
                let finding = Finding::error("policy::too_many_watched", message)
                    .label("reads one more")
                    .help("say less in `data`: whoever gets the event can ask for the record");
                self.report(finding, span);
            }
        }
        rules
    }

    fn emit(&mut self, node: &Node, known: &KnownRoutes<'_>) -> Option<Emit> {
        let mut fields = self.checker.map(node, "a rule of `emits`")?;
        let covered = self.covered(&mut fields, known);
        let when = match self.optional(&mut fields, "when") {
            Some(node) => self.condition(node, Over::Records),
            None => Some(Condition::default()),
        };
        let event = fields.require(&mut self.checker, "event");
        let event = event.and_then(|node| self.event_name(node));
        let members = match self.optional(&mut fields, "data") {
            Some(node) => self.members(node),
            None => Some(Vec::new()),
        };
        let previous = self.optional(&mut fields, "previous").and_then(|node| {
            let words = [
                ("last_seen", Previous::LastSeen),
                ("fetch", Previous::Fetch),
                ("none", Previous::None),
            ];
            self.word(node, "`previous`", &words)
        });
        let if_unknown = self.optional(&mut fields, "if_unknown").and_then(|node| {
            let words = [("emit", IfUnknown::Emit), ("skip", IfUnknown::Skip)];
            self.word(node, "`if_unknown`", &words)
        });
        fields.finish(&mut self.checker);
        let (Covered { on, routes }, event) = (covered?, event?);
        let rule = Emit {
            on,
            routes,
            when: when?,
            event: event.name,
            members: members?,
            previous: previous.unwrap_or_default(),
            if_unknown: if_unknown.unwrap_or_default(),
            origin: event.origin,
        };
        if known.all && !known.any_write(|route, method, write| rule.covers(route, method, write)) {
            self.never(&rule.event, rule.origin.span);
        }
        Some(rule)
    }

    fn never(&mut self, event: &str, span: crate::diagnostic::Span) {
        let message = format!("there is no write that could emit `{event}`");
        let finding = Finding::error("policy::never_emitted", message)
            .label("never happens")
            .help("a route with `POST`, `PUT`, `PATCH` or `DELETE` is a write, unless it says `write: none`; deletions have to be named: `on: [DELETE]`");
        self.report(finding, span);
    }

    /// `on:` and `path:`, the writes that a rule speaks of.
    pub(super) fn covered(
        &mut self,
        fields: &mut Fields<'_>,
        known: &KnownRoutes<'_>,
    ) -> Option<Covered> {
        let on = self.optional(fields, "on");
        let path = self.optional(fields, "path");
        let routes = match path {
            Some(node) => Some(self.routes_at(node, known)?),
            None => None,
        };
        let on = match on {
            Some(node) => Some(self.on(node, known, routes.as_deref())?),
            None => None,
        };
        Some(Covered { on, routes })
    }

    /// The places of the routes with this path.
    fn routes_at(&mut self, node: &Node, known: &KnownRoutes<'_>) -> Option<Vec<usize>> {
        let template = self.path_template(node)?;
        let shape = template.shape();
        let found = known.among(None).filter(|(_, draft)| draft.template.shape() == shape);
        let found: Vec<usize> = found.map(|(index, _)| index).collect();
        if !found.is_empty() {
            return Some(found);
        }
        if known.all {
            let paths = known.routes.iter().map(|draft| draft.template.as_str());
            let message = format!("no route of this resource has the path `{}`", template.as_str());
            let finding = Finding::error("policy::unknown_route", message)
                .label("not under `routes`")
                .help(suggest(template.as_str(), paths));
            self.report(finding, node.span);
        }
        None
    }

    fn on(
        &mut self,
        node: &Node,
        known: &KnownRoutes<'_>,
        routes: Option<&[usize]>,
    ) -> Option<Vec<Method>> {
        let nodes = self.checker.list(node, "`on`")?;
        let mut methods = Vec::new();
        for node in nodes {
            let Some(word) = self.checker.text(node, "a method") else { continue };
            let (code, message, help) = match method(word) {
                Err(help) => {
                    ("policy::bad_method", format!("`{word}` is not a method that writes"), help)
                }
                Ok(method) if !is_write(&method) => (
                    "policy::bad_method",
                    format!("`{word}` is not a method that writes"),
                    "events come from `POST`, `PUT`, `PATCH` and `DELETE`".to_owned(),
                ),
                Ok(method) if methods.contains(&method) => (
                    "policy::bad_method",
                    format!("`{word}` stands here twice"),
                    "delete one of them".to_owned(),
                ),
                Ok(method) => {
                    let mut meant = known.among(routes);
                    if !known.all || meant.any(|(_, draft)| draft.route.methods.contains(&method)) {
                        methods.push(method);
                        continue;
                    }
                    let place = if routes.is_some() { "on this path" } else { "of this resource" };
                    (
                        "policy::unknown_route",
                        format!("no route {place} has the method `{word}`"),
                        "add the method to a route, or leave it out here".to_owned(),
                    )
                }
            };
            let finding = Finding::error(code, message).label("this method").help(help);
            self.report(finding, node.span);
        }
        if nodes.is_empty() {
            let finding =
                Finding::error("policy::bad_method", "a rule without methods speaks of no write")
                    .label("at least one method belongs here")
                    .help("write `on: [PATCH, PUT]`, or leave `on` out for all but `DELETE`");
            self.report(finding, node.span);
        }
        (methods.len() == nodes.len() && !nodes.is_empty()).then_some(methods)
    }

    /// `deal.stage_changed`
    pub(super) fn event_name(&mut self, node: &Node) -> Option<Named> {
        let name = self.checker.text(node, "`event`")?;
        if is_event_name(name) {
            return Some(Named { name: name.to_owned(), origin: self.origin(node.span) });
        }
        let message = format!("`{name}` cannot name an event");
        let finding = Finding::error("policy::bad_event_name", message)
            .label("choose another name")
            .help("two names or more with dots between them, such as `deal.stage_changed`; each is a letter from `a` to `z`, then `a-z`, `0-9` and `_`");
        self.report(finding, node.span);
        None
    }

    /// `data:`, the members of the event.
    fn members(&mut self, node: &Node) -> Option<Vec<Member>> {
        let entries = self.checker.map(node, "`data`")?.take_rest();
        let members: Vec<_> = entries.iter().map(|(key, node)| self.member(key, node)).collect();
        members.into_iter().collect()
    }

    fn member(&mut self, key: &Key, node: &Node) -> Option<Member> {
        let name = self.member_name(key);
        let source = match &node.value {
            Value::Null => {
                self.no_value(key);
                None
            }
            Value::Map(_) => self.constant_member(node, &key.name).map(Source::Constant),
            _ => {
                let text = self.checker.text(node, &format!("`{}`", key.name));
                let field = text.and_then(|text| self.member_path(text, node.span, Over::Records));
                field.map(Source::Field)
            }
        };
        Some(Member { name: name?, source: source? })
    }

    /// `{ value: lead }`
    fn constant_member(&mut self, node: &Node, name: &str) -> Option<String> {
        let mut fields = self.checker.map(node, &format!("`{name}`"))?;
        let value = fields.require(&mut self.checker, "value");
        let value = value.and_then(|node| self.constant(node));
        fields.finish(&mut self.checker);
        value.map(|value| value.to_string())
    }

    fn member_name(&mut self, key: &Key) -> Option<String> {
        let name = &key.name;
        let (message, help) = if RESERVED_MEMBERS.contains(&name.as_str()) {
            (
                format!("a member of an event cannot be named `{name}`"),
                format!("events have a member `{name}` of their own"),
            )
        } else if !is_member_name(name) {
            (
                format!("`{name}` cannot name a member of an event"),
                "a name is a letter or `_`, then at most 63 letters, digits and `_`".to_owned(),
            )
        } else {
            return Some(name.clone());
        };
        let finding =
            Finding::error("policy::bad_name", message).label("choose another name").help(help);
        self.report(finding, key.span);
        None
    }
}

/// Longest name of an event, in bytes: it is part of NATS subjects and metric labels.
const MAX_EVENT_NAME: usize = 128;

fn is_event_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_lowercase())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    name.len() <= MAX_EVENT_NAME && name.contains('.') && name.split('.').all(is_part)
}

fn is_member_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_events() {
        for name in ["deal.won", "deal.stage_changed", "a.b.c", "a1.b2"] {
            assert!(is_event_name(name), "{name}");
        }
        let long = format!("a.{}", "b".repeat(127));
        for name in [
            "deal",
            "Deal.won",
            "deal.",
            ".won",
            "deal..won",
            "deal.1",
            "deal won.x",
            "a._b",
            "é.b",
            "",
            &long,
        ] {
            assert!(!is_event_name(name), "{name}");
        }
    }
}
