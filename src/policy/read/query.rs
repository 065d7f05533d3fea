//! `query:` of a resource file: the dialect of its query strings and what stands in them.

use super::draft::{Named, QueryDraft};
use super::reader::Reader;
use crate::diagnostic::Finding;
use crate::policy::query::Dialect;
use crate::yaml::{Fields, Node};

/// Longest name of a parameter or of a field in these lists.
const MAX_NAME: usize = 128;

impl Reader {
    pub(super) fn query(&mut self, node: &Node) -> QueryDraft {
        let mut draft = QueryDraft::default();
        let Some(mut fields) = self.checker.map(node, "`query`") else { return draft };
        let rules = &mut draft.rules;
        if let Some(node) = self.optional(&mut fields, "dialect") {
            rules.dialect = self.word(node, "`dialect`", &Dialect::ALL).unwrap_or_default();
        }
        rules.search = self.names(&mut fields, "search", false);
        rules.ordering = self.names(&mut fields, "ordering", false);
        rules.ignore = self.names(&mut fields, "ignore", false);
        rules.filters = self.names(&mut fields, "filters", true);
        rules.search_fields = self.names(&mut fields, "search_fields", true);
        if let Some(node) = self.optional(&mut fields, "strict") {
            rules.strict = self.checker.boolean(node, "`strict`").unwrap_or_default();
        }
        if let Some(node) = self.optional(&mut fields, "relations") {
            self.relations(node, &mut draft);
        }
        fields.finish(&mut self.checker);
        draft
    }

    /// A list of names: of fields, as dotted names, or of parameters.
    fn names(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        of_fields: bool,
    ) -> Vec<String> {
        let Some(node) = self.optional(fields, key) else { return Vec::new() };
        let what = format!("`{key}`");
        let mut names = Vec::new();
        for node in self.checker.list(node, &what).unwrap_or_default() {
            let Some(name) = self.checker.text(node, &format!("a name in {what}")) else {
                continue;
            };
            if is_name(name, of_fields) {
                names.push(name.to_owned());
                continue;
            }
            let (message, help) = if of_fields {
                (
                    format!("`{name}` names no field"),
                    "write the names on the way to the field with dots between them: `email`, `owner.email`",
                )
            } else {
                (
                    format!("`{name}` names no parameter"),
                    "write the name of one parameter as it stands before the `=`, such as `page_size`",
                )
            };
            let finding = Finding::error("policy::bad_query", message)
                .label("not a name that can stand here")
                .help(help);
            self.report(finding, node.span);
        }
        names
    }

    /// `relations:`, member to resource. Whether the resources exist shows across the files.
    fn relations(&mut self, node: &Node, draft: &mut QueryDraft) {
        let Some(mut fields) = self.checker.map(node, "`relations`") else { return };
        for (key, node) in fields.take_rest() {
            let Some(resource) = self.checker.text(node, "a relation") else { continue };
            if !is_name(&key.name, true) || key.name.contains('.') {
                let finding = Finding::error(
                    "policy::bad_query",
                    format!("`{}` names no member of the record", key.name),
                )
                .label("not a name that can stand here")
                .help("write `owner: user`: the member, then the resource that it leads to");
                self.report(finding, key.span);
                continue;
            }
            let origin = self.origin(node.span);
            draft.relations.push(Named { name: resource.to_owned(), origin });
            draft.rules.relations.insert(key.name.clone(), resource.to_owned());
        }
        fields.finish(&mut self.checker);
    }
}

fn is_name(text: &str, of_field: bool) -> bool {
    let has_room = !text.is_empty() && text.len() <= MAX_NAME;
    let reserved = if of_field { "[]()&=?#%+;,/\"' $" } else { "&=?#%+; " };
    let parts = !of_field || text.split('.').all(|part| !part.is_empty());
    has_room && parts && !text.chars().any(|found| found.is_control() || reserved.contains(found))
}
