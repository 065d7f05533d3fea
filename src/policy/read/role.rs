//! A file of `roles/`: what one role may do with the fields of each resource.

use super::draft::{Named, RevealDraft, RoleDraft, SectionDraft};
use super::reader::Reader;
use super::resource::place_of;
use crate::diagnostic::Finding;
use crate::json::path::FieldPath;
use crate::policy::Mode;
use crate::policy::path_relation::first_of_same_field;
use crate::policy::set::{Entry, Origin};
use crate::yaml::{Fields, Key, Node, Value};

impl Reader {
    pub(super) fn role(&mut self, root: &Node) -> Option<RoleDraft> {
        let mut fields = self.checker.map(root, "a role file")?;
        let named = self.role_name(&mut fields);
        let (default, default_origin) = self.default_mode(&mut fields, "default").unzip();
        let reveal = fields.take_entry("reveal");
        let reveal = reveal.map(|(key, node)| self.reveal(key, node)).unwrap_or_default();
        let mut sections = Vec::new();
        for (key, node) in fields.take_rest() {
            sections.push(self.section(key, node));
        }
        Some(RoleDraft { named: named?, default, default_origin, sections, reveal })
    }

    /// `reveal:` — the fields of each resource whose masks the role may turn back into values.
    fn reveal(&mut self, key: &Key, node: &Node) -> Vec<RevealDraft> {
        if matches!(node.value, Value::Null) {
            self.no_value(key);
            return Vec::new();
        }
        let Some(mut fields) = self.checker.map(node, "`reveal`") else { return Vec::new() };
        let mut rights = Vec::new();
        for (key, node) in fields.take_rest() {
            let resource = Named { name: key.name.clone(), origin: self.origin(key.span) };
            let mut paths: Vec<(FieldPath, Origin)> = Vec::new();
            let what = format!("`{}` in `reveal`", key.name);
            for node in self.checker.list(node, &what).unwrap_or_default() {
                let Some(text) = self.checker.text(node, "a field in `reveal`") else { continue };
                let Some(path) = self.field_path(text, node.span) else { continue };
                let right = (path, self.origin(node.span));
                if let Some(first) = first_of_same_field(&paths, &right, |(path, _)| path) {
                    let place = place_of(&first.1, self.checker.source());
                    self.report_repeated(node.span, text, first.0.as_str(), &place, true);
                }
                paths.push(right);
            }
            rights.push(RevealDraft { resource, paths });
        }
        rights
    }

    /// A mode that holds where nothing else does, and where it stands; absent is fine, empty is not.
    pub(super) fn default_mode(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
    ) -> Option<(Mode, Origin)> {
        let (key, node) = fields.take_entry(name)?;
        let mode = self.mode(key, node)?;
        Some((mode, self.origin(key.span)))
    }

    fn role_name(&mut self, fields: &mut Fields<'_>) -> Option<Named> {
        let node = fields.require(&mut self.checker, "role")?;
        let name = self.checker.text(node, "`role`")?;
        if is_role_name(name) {
            return Some(Named { name: name.to_owned(), origin: self.origin(node.span) });
        }
        let finding = Finding::error("policy::bad_name", format!("`{name}` cannot name a role"))
            .label("choose another name")
            .help("a name is 1 to 64 of `A-Z`, `a-z`, `0-9`, `_`, `.`, `:` and `-`");
        self.report(finding, node.span);
        None
    }

    /// What the role says of one resource. Always a section, so that its name is judged even where
    /// its rules cannot be read.
    fn section(&mut self, key: &Key, node: &Node) -> SectionDraft {
        let resource = Named { name: key.name.clone(), origin: self.origin(key.span) };
        let Some(mut fields) = self.checker.map(node, &format!("`{}`", key.name)) else {
            return SectionDraft {
                resource,
                default: None,
                default_origin: None,
                entries: Vec::new(),
            };
        };
        let (default, default_origin) = self.default_mode(&mut fields, "default").unzip();
        let mut entries: Vec<Entry> = Vec::new();
        for (key, node) in fields.take_rest() {
            let path = self.field_path(&key.name, key.span);
            let mode = self.mode(key, node);
            let (Some(path), Some(mode)) = (path, mode) else { continue };
            let entry = Entry { path, mode, origin: self.origin(key.span) };
            if let Some(first) = first_of_same_field(&entries, &entry, |entry| &entry.path) {
                let place = place_of(&first.origin, self.checker.source());
                let says_the_same = first.mode == mode;
                let first = first.path.as_str();
                self.report_repeated(key.span, &key.name, first, &place, says_the_same);
            }
            entries.push(entry);
        }
        SectionDraft { resource, default, default_origin, entries }
    }
}

pub(super) fn is_role_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}
