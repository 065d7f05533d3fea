//! What roles see of every record of a resource, whatever its values are.
//!
//! Pure. Errs towards not seeing: a value that is seen on one route and not on another, or of one
//! record and not of another, is not seen.

use std::sync::Arc;

use super::plan::{Plan, PolicyJudge, Purpose, Scope};
use super::set::{PolicySet, Resource, Role};
use crate::json::automaton::{Automaton, StateId, TooComplex};
use crate::json::navigate::{Action, Navigator as _};
use crate::json::path::{FieldPath, Segment, Selector};

/// What some roles together see of one resource.
#[derive(Debug)]
pub struct Sight {
    /// One automaton for each route, and where its records stand.
    routes: Vec<(Arc<Automaton<PolicyJudge>>, FieldPath)>,
}

/// Stands for every name that no rule names.
const ANY_OTHER_NAME: &[u8] = b"\0";

impl Sight {
    /// What `roles` see of the records of `resource`.
    ///
    /// # Errors
    /// When the paths multiply beyond what is sensible.
    pub fn of(set: &PolicySet, resource: &Resource, roles: &[&Role]) -> Result<Self, TooComplex> {
        let mut routes = Vec::new();
        // Without a role there is nothing that could give a right.
        let known = if roles.is_empty() { &[][..] } else { &resource.routes };
        for route in known {
            let scope = Some(Scope { resource, route });
            let plan = Plan::compile(scope, roles, &set.global, Purpose::Certainty)?;
            routes.push((plan.automaton, route.records.clone()));
        }
        Ok(Self { routes })
    }

    /// Whether they see, unmasked and on every route, what stands at a path of a record.
    #[must_use]
    pub fn sees(&self, path: &FieldPath) -> bool {
        let sees = |(automaton, records): &(Arc<Automaton<PolicyJudge>>, FieldPath)| {
            Walk { automaton, places: vec![automaton.root()] }.sees(records, path)
        };
        !self.routes.is_empty() && self.routes.iter().all(sees)
    }
}

/// All places at once that the steps so far may have led to.
struct Walk<'a> {
    automaton: &'a Arc<Automaton<PolicyJudge>>,
    places: Vec<StateId>,
}

impl Walk<'_> {
    fn sees(mut self, records: &FieldPath, path: &FieldPath) -> bool {
        let is_kept =
            |walk: &Self| walk.all(|verdict| verdict.container == Action::Keep && !verdict.holds);
        for segment in records.segments() {
            if !is_kept(&self) || !self.step(segment) {
                return false;
            }
        }
        for segment in path.segments() {
            // A dotted path walks through lists; any other may meet one all the same.
            self.spread_over_elements();
            if !is_kept(&self) || !self.step(segment) {
                return false;
            }
        }
        // Who does not see the elements of a list does not see whether there are any.
        self.spread_over_elements();
        is_kept(&self) && self.all(|verdict| verdict.scalar == Action::Keep)
    }

    fn all(&self, holds: impl Fn(crate::json::navigate::Verdict) -> bool) -> bool {
        self.places.iter().all(|place| holds(self.automaton.verdict(place)))
    }

    /// Takes a step; `false` where it may lead anywhere.
    fn step(&mut self, segment: &Segment) -> bool {
        let mut next = Vec::new();
        for selector in &segment.selectors {
            for place in &self.places {
                match selector {
                    Selector::Name(name) => {
                        next.push(self.automaton.member(place, name.as_bytes()));
                    }
                    Selector::Wildcard => {
                        next.push(self.automaton.member(place, ANY_OTHER_NAME));
                        next.extend(self.automaton.elements(*place));
                    }
                    Selector::Index(_) | Selector::Slice { .. } => {
                        next.extend(self.automaton.elements(*place));
                    }
                    Selector::Held => return false,
                }
            }
        }
        next.sort_unstable();
        next.dedup();
        self.places = next;
        !segment.descendant
    }

    fn spread_over_elements(&mut self) {
        let mut at = 0;
        while let Some(place) = self.places.get(at).copied() {
            for element in self.automaton.elements(place) {
                if !self.places.contains(element) {
                    self.places.push(*element);
                }
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::policy;

    const LEAD: &str = r#"
resource: lead
routes:
  - { methods: [GET], path: "/leads/", records: "$.results[*]", envelope: [count] }
  - { methods: [GET], path: "/leads/{id}/", records: "$" }
fields:
  "$..email": { pii: true, mask: redact }
"#;

    fn set(role: &str, global: &str) -> PolicySet {
        let files = [
            SourceFile::new("resources/lead.yaml", LEAD),
            SourceFile::new("roles/r.yaml", format!("role: r\n{role}")),
            SourceFile::new("roles/all.yaml", "role: all\ndefault: edit\n"),
            SourceFile::new("global.yaml", format!("unmatched: deny\n{global}")),
        ];
        let read = policy::read("".as_ref(), &files);
        read.set.unwrap_or_else(|| panic!("{:?}", read.findings))
    }

    fn seen_by(set: &PolicySet, roles: &[&str], path: &str) -> bool {
        let roles: Vec<&Role> = roles.iter().map(|role| &*set.roles[*role]).collect();
        let sight = Sight::of(set, &set.resources["lead"], &roles).unwrap();
        sight.sees(&FieldPath::parse(path).unwrap())
    }

    #[track_caller]
    fn check(role: &str, path: &str, expect: bool) {
        let set = set(role, "");
        assert_eq!(seen_by(&set, &["r"], path), expect, "{role}: {path}");
        assert!(seen_by(&set, &["all"], path), "{path}");
        // A second role never gives sight back.
        assert_eq!(seen_by(&set, &["all", "r"], path), expect, "{role}: {path}");
        assert!(!seen_by(&set, &[], path));
    }

    #[test]
    fn names() {
        check("lead: { budget: hidden }", "budget", false);
        check("lead: { budget: mask }", "$.budget", false);
        check("lead: { budget: view }", "budget", true);
        check("lead: { budget: edit }", "budget", true);
        check("lead: { budget: hidden }", "status", true);
        check("lead: { \"$..budget\": hidden }", "budget", false);
        check("lead: { \"$..budget\": hidden }", "budget_note", true);
        check("lead: { custom: hidden }", "custom.plan", false);
        check("lead: { custom: hidden, custom.plan: view }", "custom.plan", false);
        check("lead: { custom.plan: hidden }", "custom.plan", false);
        check("lead: { custom.plan: hidden }", "custom", true);
        check("lead: { custom.plan: hidden }", "custom.vip", true);
    }

    #[test]
    fn defaults() {
        check("default: hidden", "budget", false);
        check("default: mask", "budget", false);
        check("default: hidden\nlead: { status: view }", "status", true);
        check("default: hidden\nlead: { status: view }", "budget", false);
        check("default: hidden\nlead: { custom.plan: view }", "custom.plan", true);
        check("default: hidden\nlead: { custom.plan: view }", "custom", false);
        check("default: mask\nlead: { default: view }", "budget", true);
    }

    #[test]
    fn lists() {
        check("lead: { \"$.tags[3]\": hidden }", "tags", false);
        check("lead: { \"$.tags[9:12]\": mask }", "tags", false);
        check("lead: { \"$.tags[*].text\": mask }", "tags.text", false);
        check("lead: { \"$.tags[*].text\": mask }", "tags.at", true);
        check("lead: { tags.text: mask }", "tags.text", false);
        check("lead: { \"$.tags[*]\": mask }", "tags.text", false);
    }

    #[test]
    fn expressions_count_only_where_they_restrict() {
        check("lead: { \"$[?@.x == 1]\": hidden }", "budget", false);
        check("lead: { \"$.notes[?@.private].text\": hidden }", "notes.text", false);
        check("lead: { \"$.notes[?@.private].text\": hidden }", "budget", true);
        check("default: hidden\nlead: { \"$.notes[?@.open].text\": view }", "notes.text", false);
        check("default: hidden\nlead: { \"$.tags[-1]\": view }", "tags", false);
    }

    #[test]
    fn global_rules() {
        let see = |global: &str, path: &str| seen_by(&set("default: view", global), &["r"], path);
        assert!(!see("fields: { \"$..budget\": hidden }", "budget"));
        assert!(!see("fields: { \"$.results[*].budget\": hidden }", "budget"));
        assert!(!see("fields: { \"$.budget\": mask }", "budget"));
        assert!(see("fields: { \"$..budget\": hidden }", "status"));
        assert!(!see("fields: { results: hidden }", "status"));
    }
}
