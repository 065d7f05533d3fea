//! `reveal:` of role files, held against the registries that it speaks of.
//!
//! A right names a field as the registry writes it, or by its last name where that is clear
//! (`email` for `"$..email"`). A right to what has no mask that could be turned back is a fault:
//! whoever wrote it believes something that is not so.

use std::collections::BTreeMap;

use super::Drafts;
use super::draft::{ResourceDraft, RevealDraft};
use crate::diagnostic::{Finding, suggest};
use crate::json::path::FieldPath;
use crate::mask::Strategy;
use crate::policy::path_relation::is_same_field;
use crate::policy::set::{Field, RevealRight};

/// The fields of each resource, and whether their masks can be turned back.
pub(super) type Registries = BTreeMap<String, Vec<(FieldPath, bool)>>;

pub(super) fn registries(resources: &[ResourceDraft]) -> Registries {
    let of = |field: &Field| (field.path.clone(), is_reversible(field));
    let named = resources
        .iter()
        .map(|draft| (draft.named.name.clone(), draft.fields.iter().map(of).collect::<Vec<_>>()));
    named.collect()
}

fn is_reversible(field: &Field) -> bool {
    field.strategy.as_ref().is_some_and(Strategy::is_reversible)
}

/// The entry that a right speaks of.
fn entry<'r, T>(
    registry: &'r [T],
    wanted: &FieldPath,
    path_of: impl Fn(&T) -> &FieldPath,
) -> Option<&'r T> {
    let exact = registry.iter().find(|entry| is_same_field(path_of(entry), wanted));
    exact.or_else(|| {
        let is_bare = wanted.segments().len() == 1;
        let name = wanted.last_name().filter(|_| is_bare)?;
        let mut named = registry.iter().filter(|entry| path_of(entry).last_name() == Some(name));
        match (named.next(), named.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    })
}

/// The rights of a role, by the names of the registries.
pub(super) fn rights(
    drafts: Vec<RevealDraft>,
    registries: &Registries,
) -> BTreeMap<String, Vec<RevealRight>> {
    let mut rights: BTreeMap<String, Vec<RevealRight>> = BTreeMap::new();
    for draft in drafts {
        let Some(registry) = registries.get(&draft.resource.name) else { continue };
        let here = rights.entry(draft.resource.name).or_default();
        for (path, origin) in draft.paths {
            if let Some((path, true)) = entry(registry, &path, |(path, _)| path) {
                here.push(RevealRight { field: path.as_str().to_owned(), origin });
            }
        }
    }
    rights
}

pub(super) fn faults(drafts: &Drafts) -> Vec<Finding> {
    let mut faults = Vec::new();
    let names = || drafts.resources.iter().map(|draft| draft.named.name.as_str());
    for right in drafts.roles.iter().flat_map(|role| &role.reveal) {
        let name = right.resource.name.as_str();
        let origin = &right.resource.origin;
        if drafts.unread_resources.iter().any(|unread| unread == name) {
            continue;
        }
        let Some(resource) = drafts.resources.iter().find(|draft| draft.named.name == name) else {
            let message = format!("there is no resource `{name}`");
            faults.push(
                Finding::error("policy::unknown_resource", message)
                    .at(&origin.source, origin.span)
                    .label("no file of `resources/` declares it")
                    .help(suggest(name, names())),
            );
            continue;
        };
        for (path, origin) in &right.paths {
            let finding = match entry(&resource.fields, path, |field| &field.path) {
                Some(field) if is_reversible(field) => continue,
                Some(field) => Finding::error(
                    "policy::reveal_irreversible",
                    format!("the mask of `{}` cannot be turned back", field.path),
                )
                .label("there is nothing to reveal")
                .help(format!(
                    "give it `mask: encrypt` or `mask: tokenize` in the registry of `{name}`, or delete this right"
                )),
                None => Finding::error(
                    "policy::reveal_unknown_field",
                    format!("the registry of `{name}` has no field `{path}`, or several"),
                )
                .label("not one field of the registry")
                .help(suggest(
                    path.as_str(),
                    resource
                        .fields
                        .iter()
                        .filter(|field| is_reversible(field))
                        .map(|field| field.path.as_str()),
                )),
            };
            faults.push(finding.at(&origin.source, origin.span));
        }
    }
    faults
}
