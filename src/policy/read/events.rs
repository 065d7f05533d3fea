//! `events:` of a resource: when a write has happened, and what else it creates.

use http::Method;

use super::condition::Over;
use super::draft::{CreateDraft, EventsDraft, Named};
use super::emits::{Covered, KnownRoutes};
use super::reader::Reader;
use crate::yaml::Node;

impl Reader {
    pub(super) fn events(&mut self, node: &Node, known: &KnownRoutes<'_>) -> EventsDraft {
        let mut draft = EventsDraft::default();
        let Some(mut fields) = self.checker.map(node, "`events`") else { return draft };
        if let Some(node) = self.optional(&mut fields, "off") {
            draft.off = self.checker.boolean(node, "`off`").unwrap_or_default();
        }
        if let Some(node) = self.optional(&mut fields, "success") {
            draft.success = self.condition(node, Over::Answer).unwrap_or_default();
        }
        if let Some(node) = self.optional(&mut fields, "creates") {
            for node in self.checker.list(node, "`creates`").unwrap_or_default() {
                draft.creates.extend(self.create(node, known));
            }
        }
        fields.finish(&mut self.checker);
        draft
    }

    fn create(&mut self, node: &Node, known: &KnownRoutes<'_>) -> Option<CreateDraft> {
        let mut fields = self.checker.map(node, "an entry of `creates`")?;
        let resource = fields.require(&mut self.checker, "resource");
        let resource = resource.and_then(|node| {
            let name = self.checker.text(node, "`resource`")?.to_owned();
            Some(Named { name, origin: self.origin(node.span) })
        });
        let at = fields.require(&mut self.checker, "at");
        let at = at.and_then(|node| self.records(node, "`at`"));
        let event = match self.optional(&mut fields, "event") {
            Some(node) => Some(self.event_name(node)?),
            None => None,
        };
        let covered = self.covered(&mut fields, known);
        fields.finish(&mut self.checker);
        let Covered { on, routes } = covered?;
        let on = on.unwrap_or_else(|| vec![Method::POST]);
        Some(CreateDraft { resource: resource?, at: at?, event, on, routes })
    }
}
