//! A file of `workflows/tests/`: events, and what they are to start.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

use super::reader::Reader;
use crate::condition::Value as Constant;
use crate::diagnostic::{Finding, suggest};
use crate::policy::workflow::{ActionKind, ExpectedAction, ExpectedRun, TestEvent, WorkflowTest};
use crate::yaml::{Node, Value};

/// What time it is where a test says nothing.
const USUAL_TIME: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

impl Reader {
    pub(super) fn workflow_tests(&mut self, root: &Node) -> Vec<WorkflowTest> {
        let Some(mut fields) = self.checker.map(root, "a file of tests") else { return Vec::new() };
        let tests = fields.require(&mut self.checker, "tests");
        let tests = tests.and_then(|node| self.checker.list(node, "`tests`")).unwrap_or_default();
        let tests = tests.iter().filter_map(|node| self.workflow_test(node)).collect();
        fields.finish(&mut self.checker);
        tests
    }

    fn workflow_test(&mut self, node: &Node) -> Option<WorkflowTest> {
        let mut fields = self.checker.map(node, "a test")?;
        let name = fields.require(&mut self.checker, "name");
        let name = name.and_then(|node| {
            let name = self.checker.text(node, "`name`")?.to_owned();
            Some((name, self.origin(node.span)))
        });
        let event = fields.require(&mut self.checker, "event");
        let event = event.and_then(|node| self.test_event(node));
        let at = match self.optional(&mut fields, "at") {
            Some(node) => self.moment(node),
            None => Some(USUAL_TIME),
        };
        let mut env = BTreeMap::new();
        if let Some(node) = self.optional(&mut fields, "env") {
            let entries = self.checker.map(node, "`env`").map(|mut fields| fields.take_rest());
            for (key, node) in entries.unwrap_or_default() {
                let text = self.checker.text(node, &format!("`{}`", key.name));
                env.extend(text.map(|text| (key.name.clone(), text.to_owned())));
            }
        }
        let expect = fields.require(&mut self.checker, "expect");
        let expect = expect.and_then(|node| {
            let nodes = self.checker.list(node, "`expect`")?;
            let runs: Vec<_> = nodes.iter().map(|node| self.expected_run(node)).collect();
            runs.into_iter().collect::<Option<Vec<_>>>()
        });
        fields.finish(&mut self.checker);
        let (name, origin) = name?;
        Some(WorkflowTest { name, event: event?, at: at?, env, expect: expect?, origin })
    }

    fn test_event(&mut self, node: &Node) -> Option<TestEvent> {
        let mut fields = self.checker.map(node, "`event`")?;
        let event_type = fields.require(&mut self.checker, "type");
        let event_type = event_type.and_then(|node| self.checker.text(node, "`type`"));
        let mut text = |name: &'static str| {
            let node = self.optional(&mut fields, name)?;
            self.checker.text(node, &format!("`{name}`")).map(ToOwned::to_owned)
        };
        let (resource, tenant, actor) = (text("resource"), text("tenant"), text("actor"));
        let id = text("id");
        let record = match self.optional(&mut fields, "record") {
            Some(node) => {
                self.checker.map(node, "`record`")?.take_rest();
                Some(self.constant(node)?)
            }
            None => None,
        };
        let data = match self.optional(&mut fields, "data") {
            Some(node) => self.members_of(node, "`data`")?,
            None => BTreeMap::new(),
        };
        fields.finish(&mut self.checker);
        let event_type = event_type?.to_owned();
        let before_dot = event_type.split('.').next().unwrap_or_default();
        let resource = resource.unwrap_or_else(|| before_dot.to_owned());
        let id_of_record = record.as_ref().and_then(|record| match record.member("id")? {
            Constant::Text(id) => Some(id.to_string()),
            Constant::Number(id) => Some(id.as_str().to_owned()),
            Constant::Null | Constant::Bool(_) | Constant::List(_) | Constant::Object(_) => None,
        });
        let id = id.or(id_of_record);
        Some(TestEvent { event_type, resource, id, tenant, actor, record, data })
    }

    fn expected_run(&mut self, node: &Node) -> Option<ExpectedRun> {
        let mut fields = self.checker.map(node, "an expected run")?;
        let workflow = fields.require(&mut self.checker, "workflow");
        let workflow = workflow.and_then(|node| {
            let workflow = self.checker.text(node, "`workflow`")?.to_owned();
            Some((workflow, self.origin(node.span)))
        });
        let actions = match self.optional(&mut fields, "actions") {
            Some(node) => {
                let nodes = self.checker.list(node, "`actions`")?;
                let actions: Vec<_> = nodes.iter().map(|node| self.expected_action(node)).collect();
                Some(actions.into_iter().collect::<Option<Vec<_>>>()?)
            }
            None => None,
        };
        fields.finish(&mut self.checker);
        let (workflow, origin) = workflow?;
        Some(ExpectedRun { workflow, actions, origin })
    }

    /// `send_email` or `send_email: { to: ... }`
    fn expected_action(&mut self, node: &Node) -> Option<ExpectedAction> {
        let words = ActionKind::ALL.map(ActionKind::word);
        let (word, span, payload) = match &node.value {
            Value::Text(word) => (word, node.span, None),
            Value::Map(entries) if entries.len() == 1 => {
                let (key, value) = entries.first()?;
                (&key.name, key.span, Some(value))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Map(_) => {
                let finding = Finding::error("policy::not_one_action", "not one action")
                    .label("one action belongs here")
                    .help("write `- send_email` or `- send_email: { to: ann@example.com }`");
                self.report(finding, node.span);
                return None;
            }
        };
        let Some(kind) = ActionKind::from_word(word) else {
            let finding =
                Finding::error("policy::unknown_action", format!("there is no action `{word}`"))
                    .label("not an action")
                    .help(suggest(word, words));
            self.report(finding, span);
            return None;
        };
        let payload = match payload {
            Some(node) => Some(self.members_of(node, &format!("`{kind}`"))?),
            None => None,
        };
        Some(ExpectedAction { kind, payload, origin: self.origin(span) })
    }

    fn members_of(
        &mut self,
        node: &Node,
        what: &str,
    ) -> Option<BTreeMap<String, Constant<'static>>> {
        let entries = self.checker.map(node, what)?.take_rest();
        let members =
            entries.into_iter().map(|(key, node)| Some((key.name.clone(), self.constant(node)?)));
        members.collect()
    }

    fn moment(&mut self, node: &Node) -> Option<OffsetDateTime> {
        let text = self.checker.text(node, "`at`")?;
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok();
        if moment.is_none() {
            let finding = Finding::error("policy::bad_time", format!("`{text}` is no time"))
                .label("not RFC 3339")
                .help("write `2026-03-01T12:00:00Z`");
            self.report(finding, node.span);
        }
        moment
    }
}
