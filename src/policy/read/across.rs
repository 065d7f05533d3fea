//! Faults that show only when the files are held against each other.

use std::collections::BTreeMap;

use http::Method;

use super::Drafts;
use super::actions;
use super::draft::Named;
use super::resource::place_of;
use super::workflows;
use crate::diagnostic::{Finding, suggest};
use crate::policy::router::first_conflicts;
use crate::policy::set::Origin;
use crate::policy::template::PathTemplate;

pub(super) fn faults(drafts: &Drafts) -> Vec<Finding> {
    let mut faults = Vec::new();
    duplicate_names(
        drafts.resources.iter().map(|draft| &draft.named),
        "policy::duplicate_resource",
        "resource",
        &mut faults,
    );
    duplicate_names(
        drafts.roles.iter().map(|draft| &draft.named),
        "policy::duplicate_role",
        "role",
        &mut faults,
    );
    duplicate_names(
        drafts.workflows.iter().map(|draft| &draft.named),
        "policy::duplicate_workflow",
        "workflow",
        &mut faults,
    );
    workflows::faults(drafts, &mut faults);
    actions::faults(drafts, &mut faults);
    unknown_resources(drafts, &mut faults);
    created_resources(drafts, &mut faults);
    builtin_events(drafts, &mut faults);
    unknown_relations(drafts, &mut faults);
    let governed = governed_paths(drafts);
    let open = open_paths(drafts);
    colliding_paths(&governed, &mut faults);
    colliding_paths(&open, &mut faults);
    passthrough_over_routes(&governed, &open, &mut faults);
    faults
}

fn duplicate_names<'d>(
    names: impl Iterator<Item = &'d Named>,
    code: &'static str,
    what: &str,
    faults: &mut Vec<Finding>,
) {
    let mut first_of: BTreeMap<&str, &Named> = BTreeMap::new();
    for named in names {
        let first = *first_of.entry(&named.name).or_insert(named);
        if std::ptr::eq(first, named) {
            continue;
        }
        let source = &named.origin.source;
        let place = place_of(&first.origin, source);
        let message = format!("{what} `{}` is declared in {place} already", named.name);
        faults.push(
            Finding::error(code, message)
                .at(source, named.origin.span)
                .label("the second one of this name")
                .help("merge the two files, or give one of them another name"),
        );
    }
}

fn unknown_resources(drafts: &Drafts, faults: &mut Vec<Finding>) {
    let declared = drafts.resources.iter().map(|draft| draft.named.name.as_str());
    let known: Vec<&str> =
        declared.chain(drafts.unread_resources.iter().map(String::as_str)).collect();
    for section in drafts.roles.iter().flat_map(|role| &role.sections) {
        let Named { name, origin } = &section.resource;
        if known.contains(&name.as_str()) {
            continue;
        }
        let choices = known.iter().copied().chain(["role", "default"]);
        faults.push(
            Finding::error("policy::unknown_resource", format!("there is no resource `{name}`"))
                .at(&origin.source, origin.span)
                .label("no file of `resources/` declares it")
                .help(suggest(name, choices)),
        );
    }
}

/// `creates` of a resource that nobody declares.
fn created_resources(drafts: &Drafts, faults: &mut Vec<Finding>) {
    let declared = drafts.resources.iter().map(|draft| draft.named.name.as_str());
    let known: Vec<&str> =
        declared.chain(drafts.unread_resources.iter().map(String::as_str)).collect();
    for create in drafts.resources.iter().flat_map(|resource| &resource.events.creates) {
        let Named { name, origin } = &create.resource;
        if !known.contains(&name.as_str()) {
            faults.push(
                Finding::error(
                    "policy::unknown_resource",
                    format!("there is no resource `{name}`"),
                )
                .at(&origin.source, origin.span)
                .label("no file of `resources/` declares it")
                .help(suggest(name, known.iter().copied())),
            );
        }
    }
}

/// Events that are named as those which writes have anyway. What `creates` names may be the
/// creation of its own resource, and nothing else of that kind.
fn builtin_events(drafts: &Drafts, faults: &mut Vec<Finding>) {
    let names = drafts.resources.iter().map(|draft| draft.named.name.as_str());
    let names: Vec<&str> = names.collect();
    let is_builtin = |event: &str| {
        event.split_once('.').is_some_and(|(resource, what)| {
            names.contains(&resource) && ["created", "updated", "deleted"].contains(&what)
        })
    };
    for resource in &drafts.resources {
        let emitted = resource.emits.iter().map(|rule| (rule.event.as_str(), &rule.origin));
        let created = resource.events.creates.iter().filter_map(|create| {
            let event = create.event.as_ref()?;
            let is_its_own = event.name == format!("{}.created", create.resource.name);
            (!is_its_own).then_some((event.name.as_str(), &event.origin))
        });
        for (event, origin) in emitted.chain(created).filter(|(event, _)| is_builtin(event)) {
            faults.push(
                Finding::error("policy::builtin_event", format!("`{event}` is a built-in event"))
                    .at(&origin.source, origin.span)
                    .label("every such write has it already")
                    .help("choose another name, such as `deal.won`; what a write is can be said by `write` of its route"),
            );
        }
    }
}

/// Relations that lead to no resource: what lies behind them could not be judged.
fn unknown_relations(drafts: &Drafts, faults: &mut Vec<Finding>) {
    let declared = drafts.resources.iter().map(|draft| draft.named.name.as_str());
    let known: Vec<&str> =
        declared.chain(drafts.unread_resources.iter().map(String::as_str)).collect();
    for Named { name, origin } in drafts.resources.iter().flat_map(|draft| &draft.query.relations) {
        if known.contains(&name.as_str()) {
            continue;
        }
        let message = format!("there is no resource `{name}` that a relation could lead to");
        faults.push(
            Finding::error("policy::unknown_relation", message)
                .at(&origin.source, origin.span)
                .label("no file of `resources/` declares it")
                .help(suggest(name, known.iter().copied())),
        );
    }
}

/// A path that requests can match, whoever declares it.
struct DeclaredPath<'d> {
    /// `` resource `lead` `` or `passthrough`.
    owner: String,
    methods: &'d [Method],
    template: &'d PathTemplate,
    origin: &'d Origin,
}

fn governed_paths(drafts: &Drafts) -> Vec<DeclaredPath<'_>> {
    let paths = drafts.resources.iter().flat_map(|resource| {
        resource.routes.iter().map(|draft| DeclaredPath {
            owner: format!("resource `{}`", resource.named.name),
            methods: &draft.route.methods,
            template: &draft.template,
            origin: &draft.origin,
        })
    });
    paths.collect()
}

fn open_paths(drafts: &Drafts) -> Vec<DeclaredPath<'_>> {
    let entries = drafts.global.global.passthrough.iter().zip(&drafts.global.templates);
    let paths = entries.map(|(entry, template)| DeclaredPath {
        owner: "`passthrough`".to_owned(),
        methods: &entry.methods,
        template,
        origin: &entry.origin,
    });
    paths.collect()
}

/// The same method on the same path twice, and paths that cannot be told apart at all.
fn colliding_paths(paths: &[DeclaredPath<'_>], faults: &mut Vec<Finding>) {
    let mut by_shape: BTreeMap<String, Vec<&DeclaredPath<'_>>> = BTreeMap::new();
    for path in paths {
        let same = by_shape.entry(path.template.shape()).or_default();
        let first = same.iter().find_map(|first| {
            let method = first.methods.iter().find(|method| path.methods.contains(method))?;
            Some((*first, method))
        });
        if let Some((first, method)) = first {
            faults.push(duplicate_route(path, first, method));
        }
        same.push(path);
    }
    for (index, conflict) in first_conflicts(paths.iter().map(|path| path.template)) {
        let Some(path) = paths.get(index) else { continue };
        let message = format!("`{}` cannot be told apart from `{}`", conflict.path, conflict.with);
        faults.push(
            Finding::error("policy::ambiguous_route", message)
                .at(&path.origin.source, path.origin.span)
                .label("some paths match both")
                .help("in one place of a path there can be fixed texts and one kind of parameter: `{id}`, `x{id}` or `{id}x`"),
        );
    }
}

fn duplicate_route(path: &DeclaredPath<'_>, first: &DeclaredPath<'_>, method: &Method) -> Finding {
    let source = &path.origin.source;
    let place = place_of(first.origin, source);
    let template = path.template.as_str();
    let message =
        format!("`{method} {template}` is a route of {} already, on {place}", first.owner);
    let help = if first.template.as_str() == template {
        "a request must lead to one route: delete one, or give them different methods"
    } else {
        "the slash at the end and the names of parameters make no difference: a request must lead to one route"
    };
    Finding::error("policy::duplicate_route", message)
        .at(source, path.origin.span)
        .label("matches the same requests")
        .help(help)
}

/// A passthrough entry must not let the records of a resource by. `OPTIONS` alone may lie over
/// governed paths: the answer to a CORS preflight carries no record.
fn passthrough_over_routes(
    governed: &[DeclaredPath<'_>],
    open: &[DeclaredPath<'_>],
    faults: &mut Vec<Finding>,
) {
    for entry in open {
        if entry.methods.iter().all(|method| *method == Method::OPTIONS) {
            continue;
        }
        let wide = entry.template.folded();
        let covered = governed.iter().find(|route| wide.covers(&route.template.folded()));
        let Some(route) = covered else { continue };
        let source = &entry.origin.source;
        let place = place_of(route.origin, source);
        let message = format!(
            "passthrough `{}` covers `{}` of {}",
            entry.template.as_str(),
            route.template.as_str(),
            route.owner
        );
        faults.push(
            Finding::error("policy::passthrough_covers_route", message)
                .at(source, entry.origin.span)
                .label("lets governed answers by unfiltered")
                .help(format!("the route stands on {place}; name what is no API more narrowly, such as `/static/{{*rest}}`")),
        );
    }
}
