//! The query string of a write: Rails, PHP and others merge it with the body, so that a parameter
//! writes the field of its name.
//!
//! What a parameter is for is not known, so only one with the name of a field that policies know, or
//! that the resource declares, counts as one; all others stay questions.

use super::pairs::{self, Malformed, Pair};
use super::{MOST_NAMED, Sight, head_of, is_declared, plain, semicolons};
use crate::guard::form::{Step, path_of, undotted_head};
use crate::guard::violations::Careful;
use crate::guard::write::Rights;
use crate::json::automaton::StateId;
use crate::json::navigate::{Action, Navigator as _};
use crate::json::path::Selector;
use crate::policy::plan::folded;
use crate::policy::query::QueryRules;

/// The parameters of a write that name fields which its sender may not write. `names_record` says
/// whether the path names the record; if not, the parameter `id` may.
///
/// # Errors
/// The query has no reading, or more than one.
pub fn merged(
    sight: &dyn Sight,
    resource: &str,
    rights: &Rights<'_>,
    names_record: bool,
    query: &str,
) -> Result<Vec<String>, Malformed> {
    let rules = sight.rules(resource);
    let mut names: Vec<String> = Vec::new();
    for pair in pairs::read(query, semicolons(rules))? {
        let steps = steps(&pair);
        let is_id =
            !names_record && matches!(steps.as_slice(), [Step::Name(name)] if folded(name) == "id");
        let is_no_field = rules.is_some_and(|rules| is_no_field(rules, &pair));
        let is_closed = !is_id
            && !is_no_field
            && steps.iter().any(|step| is_known(sight, resource, rules, step))
            && is_closed(rights, &steps);
        if is_closed && names.len() < MOST_NAMED && !names.contains(&pair.name) {
            names.push(pair.name);
        }
    }
    Ok(names)
}

/// The path that a form field of this name would have.
fn steps(pair: &Pair) -> Vec<Step> {
    let name = pair.name.trim();
    // A dot in a path is nobody's who merges queries.
    let head = undotted_head(name);
    let below = name.get(head.len()..).unwrap_or_default();
    path_of(&format!("{head}{below}")).unwrap_or_else(|_| vec![Step::Name(head)])
}

/// Whether the resource says that it is something else, or half the world does.
fn is_no_field(rules: &QueryRules, pair: &Pair) -> bool {
    let head = head_of(pair);
    is_declared(rules, &head) || plain::is_conventional(&head) || plain::is_harmless(&head)
}

/// Whether anybody says that there is such a field.
fn is_known(sight: &dyn Sight, resource: &str, rules: Option<&QueryRules>, step: &Step) -> bool {
    let Step::Name(name) = step else { return false };
    let wanted = folded(name);
    let declares = |list: &[String]| {
        list.iter().any(|known| known.split('.').next_back().map(folded) == Some(wanted.clone()))
    };
    sight.knows(resource, name)
        || rules.is_some_and(|rules| {
            declares(&rules.search_fields)
                || declares(&rules.filters)
                || rules.relations.keys().any(|known| folded(known) == wanted)
        })
}

/// Whether what a path leads to may not be written, from the outermost object or from a record.
fn is_closed(rights: &Rights<'_>, steps: &[Step]) -> bool {
    let careful = Careful(&rights.plan.automaton);
    let root = careful.root();
    let names =
        rights.body.segments().iter().filter_map(|segment| match segment.selectors.as_slice() {
            [Selector::Name(name)] if !segment.descendant => Some(Step::Name(name.clone())),
            _ => None,
        });
    let around: Vec<Step> = names.collect();
    let enter = |from: StateId, steps: &[Step]| {
        steps.iter().fold(from, |place, step| match step {
            Step::Name(name) => careful.member(&place, name.as_bytes()),
            Step::Element(index) => careful.element(&place, index.unwrap_or(0)),
        })
    };
    let record = enter(root, &around);
    let within = steps
        .get(around.len()..)
        .filter(|rest| !rest.is_empty() && !around.is_empty() && steps.starts_with(&around));
    careful.verdict(&enter(record, within.unwrap_or(steps))).scalar != Action::Keep
}
