//! Workflows held against the other files: events, roles, object types, and what templates name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Drafts;
use super::actions::{self, CallDraft};
use super::doubts::{all_names, is_slip};
use super::draft::ResourceDraft;
use super::workflow::{TemplateDraft, WorkflowDraft};
use crate::condition::{Condition, Fact, Facts, Side, Truth, Value};
use crate::diagnostic::{Finding, Span, suggest};
use crate::json::path::{FieldPath, Selector};
use crate::policy::Mode;
use crate::policy::emits::Emit;
use crate::policy::path_relation::can_meet;
use crate::policy::set::Origin;
use crate::policy::workflow::template::Reference;
use crate::policy::workflow::{Action, ActionKind, EVENT_FACTS, OUTCOME_UNKNOWN, Status};
use crate::policy::writes::{Write, write_on};

/// The object types whose creation a note or a task is taken for, where no resource declares how it
/// is done.
const NOTES: [&str; 3] = ["note", "activity", "comment"];
const TASKS: [&str; 2] = ["task", "activity"];

/// Events by type: the object types that they may be about, and the members that their data has
/// beside the record.
struct KnownEvents<'d>(BTreeMap<String, KnownEvent<'d>>);

#[derive(Default)]
struct KnownEvent<'d> {
    resources: BTreeSet<&'d str>,
    members: BTreeSet<&'d str>,
}

impl<'d> KnownEvents<'d> {
    fn of(drafts: &'d Drafts) -> Self {
        let mut known = Self(BTreeMap::new());
        for resource in &drafts.resources {
            let name = resource.named.name.as_str();
            if resource.events.off {
                continue;
            }
            for what in ["created", "updated", "deleted"] {
                known.add(&format!("{name}.{what}"), name, []);
            }
            for rule in &resource.emits {
                let members = rule.members.iter().map(|member| member.name.as_str());
                known.add(&rule.event, name, members);
            }
            for create in &resource.events.creates {
                let other = create.resource.name.as_str();
                match &create.event {
                    Some(event) => known.add(&event.name, other, []),
                    None => known.add(&format!("{other}.created"), other, []),
                }
            }
            if drafts.scoring.as_ref().is_some_and(|scoring| scoring.scores(name)) {
                let members = ["old_quality", "new_quality", "total_score"];
                known.add(&format!("{name}.score_changed"), name, members);
            }
            known.add(OUTCOME_UNKNOWN, name, ["write", "method", "route", "reason"]);
        }
        known
    }

    fn add(&mut self, event: &str, resource: &'d str, members: impl IntoIterator<Item = &'d str>) {
        let known = self.0.entry(event.to_owned()).or_default();
        known.resources.insert(resource);
        known.members.extend(members);
        known.members.extend(["unknown", "undecided"]);
    }
}

pub(super) fn faults(drafts: &Drafts, faults: &mut Vec<Finding>) {
    let events = KnownEvents::of(drafts);
    // What a file that could not be read declares is not known, so nothing is said about it.
    let all_are_read = drafts.unread_resources.is_empty();
    for draft in &drafts.workflows {
        unknown_role(drafts, draft, faults);
        if all_are_read {
            unknown_events(&events, draft, faults);
            unknown_types(drafts, draft, faults);
            unknown_references(drafts, &events, draft, faults);
            unknown_mails(drafts, draft, faults);
        }
    }
    unknown_workflows(drafts, faults);
}

/// Tests that expect runs of a workflow that no file declares.
fn unknown_workflows(drafts: &Drafts, faults: &mut Vec<Finding>) {
    let known: Vec<&str> = drafts.workflows.iter().map(|draft| draft.named.name.as_str()).collect();
    for run in drafts.workflow_tests.iter().flat_map(|test| &test.expect) {
        if drafts.has_unread_workflow || known.contains(&run.workflow.as_str()) {
            continue;
        }
        let message = format!("there is no workflow `{}`", run.workflow);
        faults.push(
            Finding::error("policy::unknown_workflow", message)
                .at(&run.origin.source, run.origin.span)
                .label("no file of `workflows/` declares it")
                .help(suggest(&run.workflow, known.iter().copied())),
        );
    }
}

fn unknown_role(drafts: &Drafts, draft: &WorkflowDraft, faults: &mut Vec<Finding>) {
    let roles: Vec<&str> = drafts.roles.iter().map(|role| role.named.name.as_str()).collect();
    let role = draft.workflow.role.as_str();
    if drafts.has_unread_role || roles.contains(&role) {
        return;
    }
    let finding = Finding::error("policy::unknown_role", format!("there is no role `{role}`"));
    faults.push(
        finding
            .at(&draft.role.source, draft.role.span)
            .label("no file of `roles/` declares it")
            .help(suggest(role, roles)),
    );
}

fn unknown_events(events: &KnownEvents<'_>, draft: &WorkflowDraft, faults: &mut Vec<Finding>) {
    for trigger in &draft.workflow.triggers {
        if events.0.contains_key(&trigger.event) {
            continue;
        }
        let message = format!("no write emits `{}`", trigger.event);
        faults.push(
            Finding::error("policy::unknown_event", message)
                .at(&trigger.origin.source, trigger.origin.span)
                .label("never happens")
                .help(suggest(&trigger.event, events.0.keys().map(String::as_str))),
        );
    }
}

fn unknown_types(drafts: &Drafts, draft: &WorkflowDraft, faults: &mut Vec<Finding>) {
    let known: Vec<&str> = drafts.resources.iter().map(|draft| draft.named.name.as_str()).collect();
    for named in &draft.entity_types {
        if known.contains(&named.name.as_str()) {
            continue;
        }
        let message = format!("there is no resource `{}`", named.name);
        faults.push(
            Finding::error("policy::unknown_resource", message)
                .at(&named.origin.source, named.origin.span)
                .label("no file of `resources/` declares it")
                .help(suggest(&named.name, known.iter().copied())),
        );
    }
}

/// What the templates and the conditions of a workflow may name first: `lead`, `old_stage`.
struct Names<'d> {
    /// The object types of its events.
    resources: BTreeSet<&'d str>,
    members: BTreeSet<&'d str>,
}

impl<'d> Names<'d> {
    fn of<'e>(events: &'e KnownEvents<'d>, draft: &WorkflowDraft) -> Self {
        let known =
            draft.workflow.triggers.iter().filter_map(|trigger| events.0.get(&trigger.event));
        let mut names = Self { resources: BTreeSet::new(), members: BTreeSet::new() };
        for event in known {
            names.resources.extend(&event.resources);
            names.members.extend(&event.members);
        }
        names
    }

    /// The path in the record that a reference means; `None` where it means something else.
    fn in_record<'p>(&self, path: &'p FieldPath) -> Option<Vec<&'p str>> {
        let names: Vec<&str> = all_names(path).collect();
        let (first, rest) = names.split_first()?;
        if *first == "record" || self.resources.contains(first) {
            return (!rest.is_empty()).then(|| rest.to_vec());
        }
        let is_other = ["event", "workflow", "run"].contains(first) || self.members.contains(first);
        (!is_other).then_some(names)
    }
}

fn unknown_references(
    drafts: &Drafts,
    events: &KnownEvents<'_>,
    draft: &WorkflowDraft,
    faults: &mut Vec<Finding>,
) {
    let names = Names::of(events, draft);
    let declared: Vec<&str> =
        drafts.resources.iter().map(|resource| resource.named.name.as_str()).collect();
    let mut check = |path: &FieldPath, variables: &[&str], origin: &Origin| {
        let found = unknown_reference(&names, &declared, path, variables);
        let Some((message, help)) = found else { return };
        faults.push(
            Finding::error("policy::unknown_reference", message)
                .at(&origin.source, origin.span)
                .label("refers to nothing")
                .help(help),
        );
    };
    for TemplateDraft { action, template, origin } in &draft.templates {
        let variables = variables_of(draft.workflow.actions.get(*action));
        for slot in template.slots() {
            if let Reference::Field(path) = &slot.reference {
                check(path, &variables, origin);
            }
        }
    }
    for (condition, origin) in conditions(draft) {
        for path in condition.paths() {
            check(path, &[], origin);
        }
    }
    for action in &draft.workflow.actions {
        let name = actions::literal_template(action.payload.get("template"));
        let variables = variables_of(Some(action));
        for mail in drafts.mails.iter().filter(|mail| Some(mail.name.as_str()) == name) {
            for slot in mail.template.slots() {
                let Reference::Field(path) = &slot.reference else { continue };
                let span = Span::new(slot.at, 2);
                check(path, &variables, &Origin { source: Arc::clone(&mail.source), span });
            }
        }
    }
}

/// Mails that take their text from a file that is not there.
fn unknown_mails(drafts: &Drafts, draft: &WorkflowDraft, faults: &mut Vec<Finding>) {
    for action in &draft.workflow.actions {
        let Some(name) = actions::literal_template(action.payload.get("template")) else {
            continue;
        };
        let mut known: Vec<&str> = drafts.mails.iter().map(|mail| mail.name.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        if known.contains(&name) {
            continue;
        }
        let help = if known.is_empty() {
            format!("write the text into `templates/{name}.txt`, or `body: ...` into the action")
        } else {
            suggest(name, known)
        };
        faults.push(
            Finding::error("policy::unknown_mail_text", format!("there is no text `{name}`"))
                .at(&action.origin.source, action.origin.span)
                .label("no file of `templates/` has this name")
                .help(help),
        );
    }
}

/// Actions on the CRM that no resource says how to do.
fn undeclared_calls(drafts: &Drafts, draft: &WorkflowDraft, doubts: &mut Vec<Finding>) {
    for action in &draft.workflow.actions {
        let declares = |resource: &ResourceDraft| match action.kind {
            ActionKind::EnqueueExport => resource.actions.list.is_some(),
            kind => resource.actions.calls.iter().any(|call| call.kind == kind),
        };
        let is_of_crm = action.kind.writes_to_the_crm() || action.kind == ActionKind::EnqueueExport;
        let named = plain_text(action, "entity_type");
        let mut meant = drafts
            .resources
            .iter()
            .filter(|resource| named.is_none_or(|named| resource.named.name == named));
        if !is_of_crm || meant.any(declares) {
            continue;
        }
        let of = named.map_or_else(String::new, |named| format!(" of `{named}`"));
        let message = format!("no resource declares how `{}`{of} is done", action.kind);
        doubts.push(
            Finding::warning("policy::undeclared_action", message)
                .at(&action.origin.source, action.origin.span)
                .label("would fail as not configured")
                .help(format!(
                    "write `actions: {{ {}: ... }}` into the file of the resource",
                    action.kind
                )),
        );
    }
}

/// Every condition of a workflow, and where its trigger or action stands.
fn conditions(draft: &WorkflowDraft) -> impl Iterator<Item = (&Condition, &Origin)> {
    let triggers = draft.workflow.triggers.iter();
    let actions = draft.workflow.actions.iter();
    triggers
        .map(|trigger| (&trigger.conditions, &trigger.origin))
        .chain(actions.map(|action| (&action.when, &action.origin)))
}

/// The names that `variables` of a mail gives.
fn variables_of(action: Option<&Action>) -> Vec<&str> {
    match action.and_then(|action| action.payload.get("variables")) {
        Some(Value::Object(members)) => members.keys().map(AsRef::as_ref).collect(),
        _ => Vec::new(),
    }
}

/// What is wrong with a reference, and what to write instead.
fn unknown_reference(
    names: &Names<'_>,
    declared: &[&str],
    path: &FieldPath,
    variables: &[&str],
) -> Option<(String, String)> {
    let steps: Vec<&str> = all_names(path).collect();
    let (first, rest) = steps.split_first()?;
    if variables.contains(first) {
        return None;
    }
    let of = |what: &str, known: &[&str]| match rest {
        [one] if known.contains(one) => None,
        [one] => Some((format!("{what} has no `{one}`"), suggest(one, known.iter().copied()))),
        _ => Some((
            format!("`{}` is no value of {what}", path.as_str()),
            format!("known here: `{}`", known.join("`, `")),
        )),
    };
    match *first {
        "event" => of("an event", &EVENT_FACTS),
        "workflow" => of("a workflow", &["name", "role"]),
        "run" => of("a run", &["id"]),
        first if declared.contains(&first) && !names.resources.contains(first) => {
            let known: Vec<&str> = names.resources.iter().copied().collect();
            let message = format!("the events that start this workflow are about no `{first}`");
            Some((message, format!("they are about `{}`", known.join("`, `"))))
        }
        _ => None,
    }
}

pub(super) fn doubts(drafts: &Drafts, doubts: &mut Vec<Finding>) {
    let events = KnownEvents::of(drafts);
    for draft in &drafts.workflows {
        fields_in_doubt(drafts, &events, draft, doubts);
        undeclared_calls(drafts, draft, doubts);
    }
    loops(drafts, doubts);
}

/// Fields that look like a slip, and those that the role does not see.
fn fields_in_doubt(
    drafts: &Drafts,
    events: &KnownEvents<'_>,
    draft: &WorkflowDraft,
    doubts: &mut Vec<Finding>,
) {
    let names = Names::of(events, draft);
    let resources: Vec<&ResourceDraft> = drafts
        .resources
        .iter()
        .filter(|resource| names.resources.contains(resource.named.name.as_str()))
        .collect();
    let mut check = |path: &FieldPath, is_compared: bool, origin: &Origin| {
        let Some(steps) = names.in_record(path) else { return };
        let Some(first) = steps.first() else { return };
        let known: BTreeSet<&str> =
            resources.iter().flat_map(|resource| known_names(drafts, resource)).collect();
        if !known.contains(first)
            && let Some(meant) = known.iter().find(|known| is_slip(first, known))
        {
            doubts.push(
                Finding::warning(
                    "policy::unknown_field",
                    format!("nobody else names a field `{first}`"),
                )
                .at(&origin.source, origin.span)
                .label("looks like a slip")
                .help(format!("did you mean `{meant}`?")),
            );
        }
        let Ok(field) = FieldPath::parse_members(&steps.join(".")) else { return };
        let role = draft.workflow.role.as_str();
        let unseen = resources.iter().find_map(|resource| mode_of(drafts, resource, role, &field));
        let what = match unseen {
            Some(Mode::Hidden) => "is hidden from",
            // A masked text may well stand in a mail; compared, it is hardly ever meant.
            Some(Mode::Mask) if is_compared => "is masked for",
            _ => return,
        };
        doubts.push(
            Finding::warning(
                "policy::unseen_field",
                format!("`{field}` {what} the role `{role}`", field = field.as_str()),
            )
            .at(&origin.source, origin.span)
            .label("a run sees what its role sees")
            .help("give the workflow another `role`, or leave the field out"),
        );
    };
    for TemplateDraft { action, template, origin } in &draft.templates {
        let variables = variables_of(draft.workflow.actions.get(*action));
        for slot in template.slots() {
            let Reference::Field(path) = &slot.reference else { continue };
            let is_variable = all_names(path).next().is_some_and(|name| variables.contains(&name));
            if !is_variable {
                check(path, false, origin);
            }
        }
    }
    for (condition, origin) in conditions(draft) {
        for path in condition.paths() {
            check(path, true, origin);
        }
    }
}

/// Every name that the registry, the roles and the events of a resource use.
fn known_names<'d>(drafts: &'d Drafts, resource: &'d ResourceDraft) -> Vec<&'d str> {
    let registered = resource.fields.iter().map(|field| &field.path).chain(&resource.id);
    let sections = drafts.roles.iter().flat_map(|role| &role.sections);
    let entries = sections
        .filter(|section| section.resource.name == resource.named.name)
        .flat_map(|section| section.entries.iter().map(|entry| &entry.path));
    let watched = resource.emits.iter().flat_map(|rule| rule.reads().map(|(_, path)| path));
    registered.chain(entries).chain(watched).flat_map(all_names).collect()
}

/// The mode in which a role sees a field by an entry of its own, or by its default where that
/// hides or masks everything. `None` where it may well see it.
fn mode_of(
    drafts: &Drafts,
    resource: &ResourceDraft,
    role: &str,
    field: &FieldPath,
) -> Option<Mode> {
    let role = drafts.roles.iter().find(|draft| draft.named.name == role)?;
    let section = role.sections.iter().find(|section| section.resource.name == resource.named.name);
    let entries = section.map(|section| section.entries.as_slice()).unwrap_or_default();
    // The narrowest entry wins, and that is hard to say of two paths; any that shows it is enough.
    let meeting: Vec<Mode> = entries
        .iter()
        .filter(|entry| can_meet(&entry.path, field) || lies_within(&entry.path, field))
        .map(|entry| entry.mode)
        .collect();
    let mode = match meeting.iter().min() {
        Some(least) => *least,
        None => section
            .and_then(|section| section.default)
            .or(role.default)
            .or(drafts.global.default_mode)
            .unwrap_or(Mode::View),
    };
    (mode >= Mode::Mask).then_some(mode)
}

/// Whether an entry for `owner.email` speaks of a part of `owner`: then something of it is seen.
fn lies_within(entry: &FieldPath, field: &FieldPath) -> bool {
    let plain = |path: &FieldPath| -> Option<Vec<String>> {
        let steps = path.segments().iter().map(|segment| match segment.selectors.as_slice() {
            [Selector::Name(name)] if !segment.descendant => Some(name.clone()),
            _ => None,
        });
        steps.collect()
    };
    match (plain(entry), plain(field)) {
        (Some(entry), Some(field)) => {
            entry.len() != field.len() && (entry.starts_with(&field) || field.starts_with(&entry))
        }
        _ => false,
    }
}

/// What an action is known to write.
struct Written<'a> {
    event: String,
    /// The field and its new value, where these are known.
    field: Option<(&'a str, Option<&'a Value<'static>>)>,
    resource: &'a str,
}

/// A workflow that starts itself again, by what it writes or by way of others.
fn loops(drafts: &Drafts, doubts: &mut Vec<Finding>) {
    let workflows: Vec<&WorkflowDraft> =
        drafts.workflows.iter().filter(|draft| draft.workflow.status != Status::Archived).collect();
    // By workflow: the first of its actions that may start which other.
    let next: Vec<Vec<(usize, &Action)>> = workflows
        .iter()
        .map(|from| {
            let starts = workflows.iter().enumerate().filter_map(|(to, target)| {
                let actions = from.workflow.actions.iter();
                let mut starting = actions.filter(|action| may_start(drafts, action, target));
                starting.next().map(|action| (to, action))
            });
            starts.collect()
        })
        .collect();
    for start in 0..workflows.len() {
        let Some(path) = shortest_way_back(start, &next) else { continue };
        // A ring of several is told once, at its first workflow.
        if path.iter().any(|at| *at < start) {
            continue;
        }
        let first = path.first().copied().unwrap_or(start);
        let edges = next.get(start).map(Vec::as_slice).unwrap_or_default();
        let Some((_, action)) = edges.iter().find(|(to, _)| *to == first) else { continue };
        let names: Vec<&str> = path
            .iter()
            .filter_map(|at| workflows.get(*at))
            .map(|draft| draft.workflow.name.as_str())
            .collect();
        let Some(own) = workflows.get(start) else { continue };
        let name = own.workflow.name.as_str();
        let message = match names.as_slice() {
            [_] => format!("`{name}` may start itself again"),
            names => format!("`{name}` may start itself again, by way of {}", through(names)),
        };
        doubts.push(
            Finding::warning("policy::workflow_loop", message)
                .at(&action.origin.source, action.origin.span)
                .label("what this writes may be the event that starts it")
                .help("add a condition that is false once it has run: `{ field: status, operator: ne, value: qualified }`; a chain of runs is cut after five"),
        );
    }
}

fn through(names: &[&str]) -> String {
    let others = names.split_last().map_or(names, |(_, others)| others);
    format!("`{}`", others.join("`, `"))
}

/// The workflows on the shortest way from `start` to itself, itself last.
fn shortest_way_back(start: usize, next: &[Vec<(usize, &Action)>]) -> Option<Vec<usize>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![Vec::new()];
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let at = way.last().copied().unwrap_or(start);
            for (to, _) in next.get(at).map(Vec::as_slice).unwrap_or_default() {
                let way: Vec<usize> = way.iter().copied().chain([*to]).collect();
                if *to == start {
                    return Some(way);
                }
                if seen.insert(*to) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

fn may_start(drafts: &Drafts, action: &Action, target: &WorkflowDraft) -> bool {
    written_by(drafts, action).iter().any(|written| {
        target.workflow.triggers.iter().any(|trigger| {
            trigger.event == written.event && trigger.conditions.evaluate(written) != Truth::False
        })
    })
}

/// The events that an action may cause, as far as the files tell.
fn written_by<'a>(drafts: &'a Drafts, action: &'a Action) -> Vec<Written<'a>> {
    let named = plain_text(action, "entity_type");
    let declaring = drafts
        .resources
        .iter()
        .filter(|resource| named.is_none_or(|named| resource.named.name == named));
    let mut calls = declaring
        .flat_map(|resource| &resource.actions.calls)
        .filter(|call| call.kind == action.kind)
        .peekable();
    if calls.peek().is_some() {
        return calls.flat_map(|call| written_through(drafts, action, call)).collect();
    }
    guessed(drafts, action)
}

/// The events of a declared call: those of the route that it goes to.
fn written_through<'a>(
    drafts: &'a Drafts,
    action: &'a Action,
    call: &CallDraft,
) -> Vec<Written<'a>> {
    let (shape, method) = (call.template.shape(), &call.call.method);
    let mut all = Vec::new();
    for resource in drafts.resources.iter().filter(|resource| !resource.events.off) {
        let route = resource.routes.iter().position(|draft| {
            draft.template.shape() == shape && draft.route.methods.contains(method)
        });
        let Some((at, draft)) = route.and_then(|at| Some((at, resource.routes.get(at)?))) else {
            continue;
        };
        let routes = resource.routes.iter().map(|draft| &draft.route);
        let write = write_on(routes, &draft.route, method);
        if write == Write::Nothing {
            continue;
        }
        let name = resource.named.name.as_str();
        let is_update = action.kind == ActionKind::UpdateField;
        let field = plain_text(action, "field").filter(|_| is_update);
        let value = action.payload.get("value").filter(|value| !holds_template(value));
        let mut add = |event: String, resource: &'a str| {
            all.push(Written { event, field: field.map(|field| (field, value)), resource });
        };
        add(format!("{name}.{}", write.word()), name);
        let rules = resource.emits.iter().filter(|rule| rule.covers(at, method, write));
        for rule in rules.filter(|rule| reads_any(rule, field)) {
            add(rule.event.clone(), name);
        }
        if drafts.scoring.as_ref().is_some_and(|scoring| scoring.scores(name)) {
            add(format!("{name}.score_changed"), name);
        }
        for create in &resource.events.creates {
            let is_among = create.routes.as_ref().is_none_or(|routes| routes.contains(&at));
            if is_among && create.on.contains(method) {
                let other = create.resource.name.as_str();
                let event = create.event.as_ref().map(|event| event.name.clone());
                // Of what is created beside, the field says nothing.
                all.push(Written {
                    event: event.unwrap_or_else(|| format!("{other}.created")),
                    field: None,
                    resource: other,
                });
            }
        }
    }
    all
}

/// Whether the condition of a rule looks at a field, where it is known which one is written.
fn reads_any(rule: &Emit, field: Option<&str>) -> bool {
    let mut paths = rule.when.reads().map(|(_, path)| path);
    field.is_none_or(|field| paths.any(|path| path.as_str() == field))
}

/// What an action is taken to do that no resource declares.
fn guessed<'a>(drafts: &'a Drafts, action: &'a Action) -> Vec<Written<'a>> {
    let declared = |name: &str| {
        let found = drafts.resources.iter().find(|draft| draft.named.name == name);
        found.filter(|draft| !draft.events.off)
    };
    let created = |types: &[&str]| {
        let types = types.iter().filter_map(|name| declared(name));
        let created = types.map(|draft| Written {
            event: format!("{}.created", draft.named.name),
            field: None,
            resource: draft.named.name.as_str(),
        });
        created.collect()
    };
    match action.kind {
        ActionKind::AddNote => created(&NOTES),
        ActionKind::CreateTask => created(&TASKS),
        ActionKind::UpdateField => {
            let Some(resource) = plain_text(action, "entity_type").and_then(declared) else {
                return Vec::new();
            };
            let name = resource.named.name.as_str();
            let field = plain_text(action, "field");
            let value = action.payload.get("value").filter(|value| !holds_template(value));
            let written = |event: String| Written {
                event,
                field: field.map(|field| (field, value)),
                resource: name,
            };
            let emitted = resource.emits.iter().filter(|rule| reads_any(rule, field));
            let emitted = emitted.map(|rule| written(rule.event.clone()));
            emitted.chain([written(format!("{name}.updated"))]).collect()
        }
        ActionKind::SendEmail
        | ActionKind::EnqueueExport
        | ActionKind::SendNotification
        | ActionKind::CallWebhook => Vec::new(),
    }
}

fn plain_text<'a>(action: &'a Action, key: &str) -> Option<&'a str> {
    match action.payload.get(key)? {
        Value::Text(text) if !text.contains("{{") => Some(text),
        _ => None,
    }
}

fn holds_template(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => text.contains("{{"),
        Value::List(items) => items.iter().any(holds_template),
        Value::Object(members) => members.values().any(holds_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Nothing is known of what an action writes but the one field.
impl Facts for Written<'_> {
    fn look_up(&self, _: Side, path: &FieldPath) -> Fact<'_> {
        let text = path.as_str();
        let of_record = ["record", self.resource]
            .iter()
            .find_map(|name| text.strip_prefix(name)?.strip_prefix('.'))
            .unwrap_or(text);
        match self.field {
            Some((field, Some(value))) if of_record == field => Fact::Known(value.clone()),
            _ => Fact::Unknown,
        }
    }
}
