//! A file of `resources/`: where one object type is served and which of its fields are sensitive.

use std::sync::Arc;

use super::draft::{Named, QueryDraft, ResourceDraft};
use super::emits::KnownRoutes;
use super::reader::Reader;
use crate::diagnostic::{Finding, Span};
use crate::mask::Strategy;
use crate::policy::Combine;
use crate::policy::path_relation::first_of_same_field;
use crate::policy::query::Oracle;
use crate::policy::set::{Field, Writes};
use crate::yaml::{Fields, Key, Node};

/// Keys of a role file that are no resources.
const RESERVED: [&str; 2] = ["role", "default"];

impl Reader {
    pub(super) fn resource(&mut self, root: &Node) -> Option<ResourceDraft> {
        let mut fields = self.checker.map(root, "a resource file")?;
        let named = self.resource_name(&mut fields);
        let id = self.optional(&mut fields, "id").and_then(|node| {
            let text = self.checker.text(node, "`id`")?;
            self.field_path(text, node.span)
        });
        let combine = self.optional(&mut fields, "combine").and_then(|node| {
            let words = [("most_restrictive", Combine::MostRestrictive), ("union", Combine::Union)];
            self.word(node, "`combine`", &words)
        });
        let writes = self.optional(&mut fields, "writes").and_then(|node| {
            let words = [
                ("enforce", Writes::Enforce),
                ("strip", Writes::Strip),
                ("report", Writes::Report),
            ];
            self.word(node, "`writes`", &words)
        });
        let oracle = self.optional(&mut fields, "oracle").and_then(|node| {
            let words = [("refuse", Oracle::Refuse), ("drop", Oracle::Drop)];
            self.word(node, "`oracle`", &words)
        });
        let query = self.optional(&mut fields, "query");
        let mut query = query.map_or_else(QueryDraft::default, |node| self.query(node));
        query.rules.oracle = oracle.unwrap_or_default();
        let routes = fields
            .require(&mut self.checker, "routes")
            .and_then(|node| Some((node, self.checker.list(node, "`routes`")?)));
        let written = routes.map_or(0, |(_, nodes)| nodes.len());
        let routes = match routes {
            Some((node, [])) => {
                let finding = Finding::error(
                    "policy::no_routes",
                    "a resource without routes is never served",
                )
                .label("at least one route belongs here")
                .help(
                    "write `- { methods: [GET], path: \"/api/v1/leads/{id}/\", records: \"$\" }`",
                );
                self.report(finding, node.span);
                Vec::new()
            }
            Some((_, nodes)) => nodes.iter().filter_map(|node| self.route(node)).collect(),
            None => Vec::new(),
        };
        let registry = self
            .optional(&mut fields, "fields")
            .and_then(|node| self.registry(node))
            .unwrap_or_default();
        let known = KnownRoutes { routes: &routes, all: routes.len() == written && written > 0 };
        let events = self.optional(&mut fields, "events");
        let events = events.map(|node| self.events(node, &known)).unwrap_or_default();
        let emits = self.optional(&mut fields, "emits");
        let emits = emits.map(|node| self.emits(node, &known)).unwrap_or_default();
        let actions = self.optional(&mut fields, "actions");
        let actions = actions.map(|node| self.crm_actions(node)).unwrap_or_default();
        fields.finish(&mut self.checker);
        Some(ResourceDraft {
            named: named?,
            id,
            combine: combine.unwrap_or_default(),
            writes: writes.unwrap_or_default(),
            query,
            routes,
            fields: registry,
            emits,
            events,
            actions,
        })
    }

    fn resource_name(&mut self, fields: &mut Fields<'_>) -> Option<Named> {
        let node = fields.require(&mut self.checker, "resource")?;
        let name = self.checker.text(node, "`resource`")?;
        let (code, message, help) = if !is_resource_name(name) {
            (
                "policy::bad_name",
                format!("`{name}` cannot name a resource"),
                "a name is a letter from `a` to `z`, then at most 63 of `a-z`, `0-9` and `_`"
                    .to_owned(),
            )
        } else if RESERVED.contains(&name) {
            (
                "policy::bad_name",
                format!("a resource cannot be named `{name}`"),
                format!("`{name}` has a meaning of its own in role files"),
            )
        } else {
            return Some(Named { name: name.to_owned(), origin: self.origin(node.span) });
        };
        let finding = Finding::error(code, message).label("choose another name").help(help);
        self.report(finding, node.span);
        None
    }

    /// `fields:`, the GDPR registry.
    fn registry(&mut self, node: &Node) -> Option<Vec<Field>> {
        let mut registry: Vec<Field> = Vec::new();
        for (key, node) in self.checker.map(node, "`fields`")?.take_rest() {
            let Some(field) = self.field(key, node) else { continue };
            if let Some(first) = first_of_same_field(&registry, &field, |field| &field.path) {
                self.repeated(key, first, first.strategy == field.strategy);
            }
            registry.push(field);
        }
        Some(registry)
    }

    fn field(&mut self, key: &Key, node: &Node) -> Option<Field> {
        let path = self.field_path(&key.name, key.span);
        let mut fields = self.checker.map(node, &format!("the entry of `{}`", key.name))?;
        let is_pii =
            self.optional(&mut fields, "pii").and_then(|node| self.checker.boolean(node, "`pii`"));
        let mask = fields.take_entry("mask");
        let strategy = mask.and_then(|(key, node)| self.strategy(key, node));
        let detokenize = self.optional(&mut fields, "detokenize").and_then(|node| {
            let wanted = self.checker.boolean(node, "`detokenize`")?;
            let undone = strategy.as_ref().is_some_and(Strategy::is_reversible);
            if wanted && !undone && mask.is_none_or(|_| strategy.is_some()) {
                let message = format!("the mask of `{}` cannot be undone", key.name);
                let finding = Finding::error("policy::detokenize_irreversible", message)
                    .label("there is nothing to turn back")
                    .help(
                        "only `mask: tokenize` and `mask: encrypt` can be turned back into values",
                    );
                self.report(finding, node.span);
            }
            Some(wanted)
        });
        fields.finish(&mut self.checker);
        Some(Field {
            path: path?,
            is_pii: is_pii.unwrap_or(false),
            strategy,
            detokenize: detokenize.unwrap_or(false),
            origin: self.origin(key.span),
        })
    }

    fn repeated(&mut self, key: &Key, first: &Field, says_the_same: bool) {
        let place = place_of(&first.origin, self.checker.source());
        self.report_repeated(key.span, &key.name, first.path.as_str(), &place, says_the_same);
    }

    /// Two entries for one field. That they agree is no excuse to keep both, but no danger.
    pub(super) fn report_repeated(
        &mut self,
        span: Span,
        written: &str,
        first: &str,
        place: &str,
        says_the_same: bool,
    ) {
        let message = format!("`{written}` is the same field as `{first}` on {place}");
        let finding = if says_the_same {
            Finding::warning("policy::repeated_field", message).label("says the same once more")
        } else {
            Finding::error("policy::repeated_field", message).label("says something else")
        };
        self.report(finding.help("keep one of the two"), span);
    }
}

/// `line 3`, or `file:3` where it is another file.
pub(super) fn place_of(
    origin: &crate::policy::set::Origin,
    from: &Arc<crate::diagnostic::SourceFile>,
) -> String {
    if Arc::ptr_eq(&origin.source, from) {
        format!("line {}", origin.source.line_of(origin.span.start))
    } else {
        format!("`{}`", origin.file_and_line())
    }
}

fn is_resource_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
