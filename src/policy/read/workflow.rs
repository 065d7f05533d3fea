//! A file of `workflows/`: what starts a workflow, in whose role it acts, and what it does.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::condition::Over;
use super::draft::Named;
use super::reader::Reader;
use crate::condition::{Condition, Value as Constant};
use crate::diagnostic::{Finding, Span, suggest};
use crate::policy::set::Origin;
use crate::policy::workflow::template::{Template, TemplateFault, TemplateWrong};
use crate::policy::workflow::{
    Action, ActionKind, Limits, PayloadKey, Retry, Shape, Status, Trigger, Workflow,
};
use crate::yaml::{Fields, Key, Node, Value};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The longest that one attempt takes where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A file of `workflows/`, and where its names stand.
pub(super) struct WorkflowDraft {
    pub(super) workflow: Workflow,
    pub(super) named: Named,
    pub(super) role: Origin,
    /// Where texts with templates stand: by action, in the order written.
    pub(super) templates: Vec<TemplateDraft>,
    /// Where `entity_type` of an action names an object type.
    pub(super) entity_types: Vec<Named>,
}

/// A text with templates.
pub(super) struct TemplateDraft {
    /// The action, by its place.
    pub(super) action: usize,
    pub(super) template: Template,
    pub(super) origin: Origin,
}

/// Where the texts of a payload are gathered.
#[derive(Default)]
struct Texts {
    templates: Vec<TemplateDraft>,
    entity_types: Vec<Named>,
}

impl Reader {
    pub(super) fn workflow(&mut self, root: &Node) -> Option<WorkflowDraft> {
        let mut fields = self.checker.map(root, "a workflow file")?;
        let named = self.workflow_name(&mut fields);
        let tenant = self.optional(&mut fields, "tenant");
        let tenant = match tenant {
            Some(node) => Some(self.checker.text(node, "`tenant`")?.to_owned()),
            None => None,
        };
        let status = self
            .optional(&mut fields, "status")
            .and_then(|node| self.word(node, "`status`", &Status::ALL));
        let role = fields.require(&mut self.checker, "role");
        let role = role.and_then(|node| {
            let role = self.checker.text(node, "`role`")?.to_owned();
            Some((role, self.origin(node.span)))
        });
        let limits = self.limits(&mut fields);
        let triggers = fields.require(&mut self.checker, "triggers");
        let triggers = triggers.and_then(|node| self.triggers(node));
        let actions = fields.require(&mut self.checker, "actions");
        let mut texts = Texts::default();
        let actions = actions.and_then(|node| {
            let actions = self.actions(node, limits, &mut texts)?;
            Some((actions, node))
        });
        fields.finish(&mut self.checker);
        let (named, (role, role_origin)) = (named?, role?);
        let (actions, node) = actions?;
        let most = usize::try_from(limits.max_actions).unwrap_or(usize::MAX);
        if actions.len() > most {
            let message = format!("{} actions, and `max_actions` is {most}", actions.len());
            let finding = Finding::error("policy::too_many_actions", message)
                .label("a run would never reach the last of them")
                .help("split the workflow, or raise `max_actions` (to 50 at most)");
            self.report(finding, node.span);
        }
        let origin = self.origin(root.span);
        let workflow = Workflow {
            name: named.name.clone(),
            tenant,
            status: status.unwrap_or_default(),
            role,
            triggers: triggers?,
            actions,
            limits,
            digest: digest(self.checker.source().text()),
            origin,
        };
        let Texts { templates, entity_types } = texts;
        Some(WorkflowDraft { workflow, named, role: role_origin, templates, entity_types })
    }

    fn workflow_name(&mut self, fields: &mut Fields<'_>) -> Option<Named> {
        let node = fields.require(&mut self.checker, "name")?;
        let name = self.checker.text(node, "`name`")?;
        if is_workflow_name(name) {
            return Some(Named { name: name.to_owned(), origin: self.origin(node.span) });
        }
        let finding =
            Finding::error("policy::bad_name", format!("`{name}` cannot name a workflow"))
                .label("choose another name")
                .help("a name is 1 to 64 of `a-z`, `0-9`, `_` and `-`, and begins with a letter");
        self.report(finding, node.span);
        None
    }

    fn limits(&mut self, fields: &mut Fields<'_>) -> Limits {
        let usual = Limits::default();
        let time = self.optional(fields, "max_execution_time");
        let time = time.and_then(|node| self.time(node, "max_execution_time", SECOND..=HOUR));
        let mut number = |name, most| {
            let node = self.optional(fields, name)?;
            self.number_within(node, name, 1..=most)
        };
        let actions = number("max_actions", 50);
        let rate = number("rate", 60_000);
        let concurrency = number("concurrency", 10_000);
        Limits {
            max_execution_time: time.unwrap_or(usual.max_execution_time),
            max_actions: actions.unwrap_or(usual.max_actions),
            rate,
            concurrency,
        }
    }

    fn triggers(&mut self, node: &Node) -> Option<Vec<Trigger>> {
        let nodes = self.checker.list(node, "`triggers`")?;
        if nodes.is_empty() {
            self.empty(node, "triggers", "never runs", "write `- { event: lead.created }`");
            return None;
        }
        let triggers: Vec<_> = nodes.iter().map(|node| self.trigger(node)).collect();
        triggers.into_iter().collect()
    }

    fn trigger(&mut self, node: &Node) -> Option<Trigger> {
        let mut fields = self.checker.map(node, "a trigger")?;
        let event = fields.require(&mut self.checker, "event");
        let event = event.and_then(|node| {
            let event = self.checker.text(node, "`event`")?.to_owned();
            Some((event, self.origin(node.span)))
        });
        let conditions = match self.optional(&mut fields, "conditions") {
            Some(node) => self.condition(node, Over::Event),
            None => Some(Condition::default()),
        };
        let priority = match self.optional(&mut fields, "priority") {
            Some(Node { value: Value::Integer(priority), .. }) => *priority,
            Some(node) => {
                self.checker.wrong_kind(node, "`priority`", "a whole number");
                0
            }
            None => 0,
        };
        fields.finish(&mut self.checker);
        let (event, origin) = event?;
        Some(Trigger { event, conditions: conditions?, priority, origin })
    }

    fn actions(&mut self, node: &Node, limits: Limits, texts: &mut Texts) -> Option<Vec<Action>> {
        let nodes = self.checker.list(node, "`actions`")?;
        if nodes.is_empty() {
            self.empty(node, "actions", "does nothing", "name what it does: `- add_note: { ... }`");
            return None;
        }
        let actions: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(place, node)| self.action(node, place, limits, texts))
            .collect();
        actions.into_iter().collect()
    }

    fn empty(&mut self, node: &Node, key: &str, what: &str, help: &str) {
        let message = format!("a workflow without {key} {what}");
        let finding = Finding::error("policy::empty_workflow", message)
            .label("at least one belongs here")
            .help(help);
        self.report(finding, node.span);
    }

    fn action(
        &mut self,
        node: &Node,
        place: usize,
        limits: Limits,
        texts: &mut Texts,
    ) -> Option<Action> {
        let mut fields = self.checker.map(node, "an action")?;
        let allow_failure = self.optional(&mut fields, "allow_failure");
        let allow_failure =
            allow_failure.and_then(|node| self.checker.boolean(node, "`allow_failure`"));
        let retry = self.optional(&mut fields, "retry").map(|node| self.retry(node));
        let longest = limits.max_execution_time;
        let timeout = self.optional(&mut fields, "timeout");
        let timeout = timeout
            .and_then(|node| self.time(node, "timeout", Duration::from_millis(10)..=longest));
        let when = match self.optional(&mut fields, "when") {
            Some(node) => self.condition(node, Over::Event),
            None => Some(Condition::default()),
        };
        let (kind, key, payload) = self.what_it_does(node.span, &fields.take_rest())?;
        let payload = self.payload(kind, key, payload, place, texts);
        Some(Action {
            kind,
            payload: payload?,
            allow_failure: allow_failure.unwrap_or_default(),
            retry: retry.unwrap_or_default(),
            timeout: timeout.unwrap_or(TIMEOUT.min(longest)),
            when: when?,
            origin: self.origin(key.span),
        })
    }

    /// The one key of an action that is neither `when` nor one of its like.
    fn what_it_does<'n>(
        &mut self,
        span: Span,
        rest: &[&'n (Key, Node)],
    ) -> Option<(ActionKind, &'n Key, &'n Node)> {
        let beside = ["allow_failure", "retry", "timeout", "when"];
        let words = ActionKind::ALL.map(ActionKind::word);
        let mut found = Vec::new();
        for (key, node) in rest {
            if let Some(kind) = ActionKind::from_word(&key.name) {
                found.push((kind, key, node));
                continue;
            }
            let message = format!("there is no action `{}`", key.name);
            let finding = Finding::error("policy::unknown_action", message)
                .label("neither an action nor something that stands beside one")
                .help(suggest(&key.name, words.into_iter().chain(beside)));
            self.report(finding, key.span);
        }
        match found.as_slice() {
            [one] if rest.len() == 1 => Some(*one),
            [] if !rest.is_empty() => None,
            [_] => None,
            _ => {
                let message = match found.len() {
                    0 => "an entry of `actions` that does nothing".to_owned(),
                    many => format!("{many} actions in one entry"),
                };
                let finding = Finding::error("policy::not_one_action", message)
                    .label("one action belongs here")
                    .help(format!("each entry is one of `{}`", words.join("`, `")));
                self.report(finding, span);
                None
            }
        }
    }

    fn retry(&mut self, node: &Node) -> Retry {
        let usual = Retry::default();
        let Some(mut fields) = self.checker.map(node, "`retry`") else { return usual };
        let attempts = self.optional(&mut fields, "attempts");
        let attempts = attempts.and_then(|node| self.number_within(node, "attempts", 1..=20));
        let backoff = self.optional(&mut fields, "backoff");
        let backoff =
            backoff.and_then(|node| self.time(node, "backoff", Duration::ZERO..=Retry::LONGEST));
        fields.finish(&mut self.checker);
        Retry {
            attempts: attempts.unwrap_or(usual.attempts),
            backoff: backoff.unwrap_or(usual.backoff),
        }
    }

    fn payload(
        &mut self,
        kind: ActionKind,
        key: &Key,
        node: &Node,
        place: usize,
        texts: &mut Texts,
    ) -> Option<BTreeMap<String, Constant<'static>>> {
        if matches!(node.value, Value::Null) {
            self.no_value(key);
            return None;
        }
        let mut fields = self.checker.map(node, &format!("`{kind}`"))?;
        let mut payload = BTreeMap::new();
        let mut is_whole = true;
        let mut holds = Vec::new();
        for known in kind.payload() {
            // `null` clears a field; anywhere else it is a value that was forgotten.
            let is_cleared = kind == ActionKind::UpdateField && known.name == "value";
            let node = if is_cleared && fields.has(known.name) {
                fields.take_entry(known.name).map(|(_, node)| node)
            } else if known.is_required {
                fields.require(&mut self.checker, known.name)
            } else {
                fields.take(known.name)
            };
            is_whole &= node.is_some() || !known.is_required;
            let Some(node) = node else { continue };
            holds.push((known.name, node.span));
            if known.name == "entity_type"
                && let Value::Text(name) = &node.value
                && !name.contains("{{")
            {
                let origin = self.origin(node.span);
                texts.entity_types.push(Named { name: name.clone(), origin });
            }
            match self.payload_value(known, node, place, texts) {
                Some(value) => {
                    payload.insert(known.name.to_owned(), value);
                }
                None => is_whole = false,
            }
        }
        fields.finish(&mut self.checker);
        if kind == ActionKind::SendEmail {
            is_whole &= self.one_text_of_a_mail(&holds, key.span);
        }
        is_whole.then_some(payload)
    }

    /// A mail has a text of its own or one from a file.
    fn one_text_of_a_mail(&mut self, holds: &[(&str, Span)], span: Span) -> bool {
        let of = |name| holds.iter().find(|(held, _)| *held == name).map(|(_, span)| *span);
        let (message, span) = match (of("template"), of("body")) {
            (Some(_), None) | (None, Some(_)) => return true,
            (Some(template), Some(_)) => ("a mail with a `template` and a `body`", template),
            (None, None) => ("a mail without a text", span),
        };
        let finding = Finding::error("policy::mail_text", message)
            .label("one of them belongs here")
            .help("`template: welcome` takes `templates/welcome.txt` and `.html`; `body` is the text itself");
        self.report(finding, span);
        false
    }

    fn payload_value(
        &mut self,
        known: &PayloadKey,
        node: &Node,
        place: usize,
        texts: &mut Texts,
    ) -> Option<Constant<'static>> {
        let what = format!("`{}`", known.name);
        match known.shape {
            Shape::Text => {
                self.checker.text(node, &what)?;
            }
            Shape::Word(words) => {
                let text = self.checker.text(node, &what)?;
                if !text.contains("{{") {
                    let words: Vec<(&'static str, ())> =
                        words.iter().map(|word| (*word, ())).collect();
                    self.word(node, &what, &words)?;
                }
            }
            Shape::Mapping => {
                self.checker.map(node, &what)?.take_rest();
            }
            Shape::Any => {}
        }
        let are_templates = self.templates_in(node, place, texts);
        let value = self.constant(node)?;
        are_templates.then_some(value)
    }

    /// Reads every text below a node as a template; `false` where one is none.
    fn templates_in(&mut self, node: &Node, place: usize, texts: &mut Texts) -> bool {
        match &node.value {
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => true,
            Value::Text(text) => match Template::parse(text) {
                Ok(template) => {
                    if template.slots().next().is_some() {
                        let origin = self.origin(node.span);
                        texts.templates.push(TemplateDraft { action: place, template, origin });
                    }
                    true
                }
                Err(fault) => {
                    self.bad_template(&fault, node.span);
                    false
                }
            },
            Value::List(items) => self.templates_in_all(items.iter(), place, texts),
            Value::Map(entries) => {
                self.templates_in_all(entries.iter().map(|(_, value)| value), place, texts)
            }
        }
    }

    /// Looks at every one, so that every fault is found.
    fn templates_in_all<'n>(
        &mut self,
        nodes: impl Iterator<Item = &'n Node>,
        place: usize,
        texts: &mut Texts,
    ) -> bool {
        let faulty = nodes.filter(|node| !self.templates_in(node, place, texts)).count();
        faulty == 0
    }

    pub(super) fn bad_template(&mut self, fault: &TemplateFault, span: Span) {
        let help = match &fault.wrong {
            TemplateWrong::UnknownFilter(name) => suggest(name, Template::FILTERS),
            TemplateWrong::Argument(_) => {
                "filters stand behind `|`: `{{lead.name | default: \"there\" | upper}}`".to_owned()
            }
            TemplateWrong::Open
            | TemplateWrong::Empty
            | TemplateWrong::Path { .. }
            | TemplateWrong::Day(_)
            | TemplateWrong::Env(_) => {
                "write `{{lead.email}}`, `{{event.type}}`, `{{today+2}}` or `{{env.NAME}}`"
                    .to_owned()
            }
        };
        let finding =
            Finding::error("policy::bad_template", fault.to_string()).label("this text").help(help);
        self.report(finding, span);
    }

    fn time(
        &mut self,
        node: &Node,
        name: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        // A number has no unit: `300` may be meant as seconds or as milliseconds.
        let number = match &node.value {
            Value::Integer(number) => Some(number.to_string()),
            _ => None,
        };
        let text = match &number {
            Some(number) => number.as_str(),
            None => self.checker.text(node, &format!("`{name}`"))?,
        };
        let time = duration_of(text);
        if let Some(time) = time.filter(|time| range.contains(time)) {
            return Some(time);
        }
        let message = match time {
            Some(_) => format!("`{name}` cannot be `{text}`"),
            None => format!("`{name}`: `{text}` is no duration"),
        };
        let (least, most) = (shown(*range.start()), shown(*range.end()));
        let finding = Finding::error("policy::bad_limit", message)
            .label("not a time that it can have")
            .help(format!("write a whole number and a unit, from `{least}` to `{most}`"));
        self.report(finding, node.span);
        None
    }

    fn number_within(
        &mut self,
        node: &Node,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let number = self.checker.count(node, &format!("`{name}`"))?;
        let within = u32::try_from(number).ok().filter(|number| range.contains(number));
        if within.is_none() {
            let message = format!("`{name}` cannot be {number}");
            let finding = Finding::error("policy::bad_limit", message)
                .label("not a number that it can have")
                .help(format!("write a number from {} to {}", range.start(), range.end()));
            self.report(finding, node.span);
        }
        within
    }
}

fn is_workflow_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
        })
}

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// `500ms`, `30s`, `5m`, `1h`
fn duration_of(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let scale =
        UNITS.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, scale)| *scale)?;
    number.parse::<u64>().ok()?.checked_mul(scale).map(Duration::from_millis)
}

fn shown(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let unit = UNITS.iter().rev().find(|(_, scale)| {
        let scale = u128::from(*scale);
        milliseconds >= scale && milliseconds.is_multiple_of(scale)
    });
    let (name, scale) = unit.copied().unwrap_or(("ms", 1));
    format!("{}{name}", milliseconds / u128::from(scale))
}

fn digest(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// The workflow of one file on its own, as a run needs it that began with it: nothing is held
/// against other files. `None` where it has a fault.
pub(in crate::policy) fn workflow_alone(
    source: &Arc<crate::diagnostic::SourceFile>,
) -> Option<Workflow> {
    let root = super::parse(source).ok()?;
    let mut reader = Reader { checker: crate::yaml::Checker::new(Arc::clone(source)) };
    let draft = reader.workflow(&root)?;
    reader.checker.into_findings().is_empty().then_some(draft.workflow)
}
