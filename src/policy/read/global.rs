//! `global.yaml`: what holds on every route, and what happens off the declared ones.

use http::header::{self, HeaderName};

use super::draft::GlobalDraft;
use super::reader::Reader;
use super::resource::place_of;
use crate::diagnostic::Finding;
use crate::mask::Strategy;
use crate::policy::Mode;
use crate::policy::path_relation::first_of_same_field;
use crate::policy::set::{Entry, Field, Passthrough, Unmatched};
use crate::policy::template::PathTemplate;
use crate::yaml::{Key, Node, Value};

/// Headers that the gate sets itself, that delimit the body, or that identify its unfiltered form.
pub(super) const NEVER_LET_THROUGH: [HeaderName; 16] = [
    header::ACCEPT_RANGES,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VARY,
    header::WWW_AUTHENTICATE,
    header::X_CONTENT_TYPE_OPTIONS,
];

impl Reader {
    pub(super) fn global(&mut self, root: &Node) -> Option<GlobalDraft> {
        let mut fields = self.checker.map(root, "`global.yaml`")?;
        let mut draft = GlobalDraft::default();
        if let Some(node) = self.optional(&mut fields, "fields") {
            self.global_fields(node, &mut draft);
        }
        (draft.default_mode, draft.default_origin) =
            self.default_mode(&mut fields, "default_mode").unzip();
        if let Some(node) = self.optional(&mut fields, "unmatched") {
            let words = [("deny", Unmatched::Deny), ("global_only", Unmatched::GlobalOnly)];
            draft.global.unmatched = self.word(node, "`unmatched`", &words).unwrap_or_default();
            draft.global_only =
                (draft.global.unmatched == Unmatched::GlobalOnly).then(|| self.origin(node.span));
        }
        if let Some(node) = self.optional(&mut fields, "passthrough") {
            for node in self.checker.list(node, "`passthrough`").unwrap_or_default() {
                let Some((entry, template)) = self.passthrough(node) else { continue };
                draft.global.passthrough.push(entry);
                draft.templates.push(template);
            }
        }
        if let Some(node) = self.optional(&mut fields, "response_headers") {
            for node in self.checker.list(node, "`response_headers`").unwrap_or_default() {
                draft.global.response_headers.extend(self.response_header(node));
            }
        }
        fields.finish(&mut self.checker);
        Some(draft)
    }

    /// A header name that may be let through on governed routes.
    fn response_header(&mut self, node: &Node) -> Option<HeaderName> {
        let text = self.checker.text(node, "a response header")?;
        let finding = match text.parse::<HeaderName>() {
            Err(_) => Finding::error("policy::bad_header", format!("`{text}` is no header name"))
                .label("not a token (RFC 9110, section 5.1)")
                .help("write one header name, such as `X-Total-Count`"),
            Ok(name) if NEVER_LET_THROUGH.contains(&name) => {
                Finding::error("policy::bad_header", format!("`{name}` cannot be let through"))
                    .label(
                        "set or dropped on governed routes, for it speaks of the unfiltered body",
                    )
                    .help("leave it out")
            }
            Ok(name) => return Some(name),
        };
        self.report(finding, node.span);
        None
    }

    fn global_fields(&mut self, node: &Node, draft: &mut GlobalDraft) {
        let Some(mut fields) = self.checker.map(node, "`fields`") else { return };
        for (key, node) in fields.take_rest() {
            let path = self.field_path(&key.name, key.span);
            let rule = self.global_rule(key, node);
            let (Some(path), Some((mode, strategy))) = (path, rule) else { continue };
            let entry = Entry { path, mode, origin: self.origin(key.span) };
            let entries = &draft.global.entries;
            if let Some(first) = first_of_same_field(entries, &entry, |entry| &entry.path) {
                let place = place_of(&first.origin, self.checker.source());
                let first = first.path.as_str();
                self.report_repeated(key.span, &key.name, first, &place, false);
            }
            if strategy.is_some() {
                let (path, origin) = (entry.path.clone(), entry.origin.clone());
                draft.global.fields.push(Field {
                    path,
                    is_pii: false,
                    strategy,
                    detokenize: false,
                    origin,
                });
            }
            draft.global.entries.push(entry);
        }
        fields.finish(&mut self.checker);
    }

    /// `hidden`, `mask`, or `{ mask: <strategy> }`.
    fn global_rule(&mut self, key: &Key, node: &Node) -> Option<(Mode, Option<Strategy>)> {
        if let Value::Map(_) = node.value {
            let mut fields = self.checker.map(node, &format!("the rule of `{}`", key.name))?;
            let strategy = if let Some((key, node)) = fields.take_entry("mask") {
                self.strategy(key, node)
            } else {
                let message = format!("the rule of `{}` says nothing", key.name);
                let finding = Finding::error("policy::no_value", message)
                    .label("no `mask` in this rule")
                    .help("write `hidden`, `mask`, or `{ mask: hash }`");
                self.report(finding, key.span);
                None
            };
            fields.finish(&mut self.checker);
            return strategy.map(|strategy| (Mode::Mask, Some(strategy)));
        }
        match self.mode(key, node)? {
            mode @ (Mode::Mask | Mode::Hidden) => Some((mode, None)),
            mode @ (Mode::View | Mode::Edit) => {
                let finding = Finding::error(
                    "policy::global_reveals",
                    format!("a global rule cannot be `{}`", mode.word()),
                )
                .label("restricts nothing")
                .help("global rules only ever take away: `hidden`, `mask` or `{ mask: hash }`; what a role may see stands in its own file");
                self.report(finding, node.span);
                None
            }
        }
    }

    fn passthrough(&mut self, node: &Node) -> Option<(Passthrough, PathTemplate)> {
        let mut fields = self.checker.map(node, "a passthrough entry")?;
        let (methods, path) = self.methods_and_path(&mut fields);
        fields.finish(&mut self.checker);
        let (methods, (node, template)) = (methods?, path?);
        let path = template.as_str().to_owned();
        Some((Passthrough { methods, path, origin: self.origin(node.span) }, template))
    }
}
