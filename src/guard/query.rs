//! The oracle guard: questions whose answers would tell of a field that the caller may not see.
//!
//! A list filtered by `?ssn__startswith=9` shows no `ssn` and yet tells it, digit by digit; so does
//! one that is sorted, grouped or searched by it. Each dialect reads a query string into what it
//! [`Asked`] for; here that is held against what the caller may see. A dialect need not understand
//! a question, only name every field in it: what it cannot read is refused.

mod directus;
mod django;
mod espocrm;
mod expression;
mod flatten;
mod jsonapi;
mod merged;
mod names;
mod odata;
mod pairs;
mod plain;
mod salesforce;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::merged::merged;
use self::names::parameter;
pub use self::pairs::Malformed;
use self::pairs::{Pair, Semicolons};
use super::form::undotted_head;
use crate::json::navigate::{Action, Navigator as _};
use crate::policy::plan::{Plan, View, folded};
use crate::policy::query::{Dialect, Oracle, QueryRules};

/// Most fields or parameters that are named in a refusal.
const MOST_NAMED: usize = 32;

/// Most names in one path.
const MOST_STEPS: usize = 16;

/// The names on the way to a field, as a question spells them.
type Path = Vec<String>;

/// What a parameter asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// The answer depends on the values of this field: filter, sort, group, aggregate, or the
    /// field under another name.
    Compared(Path),
    /// The field is to be in the answer, under its own name.
    Shown(Path),
    /// Many fields are searched.
    Searched,
    /// Records that this member leads to, which a policy must know.
    Related(String),
    /// Something that could not be read.
    Unread,
    /// A parameter of the dialect that tells of no field.
    Harmless,
    /// Nothing that the dialect or the resource knows; the name may be that of a field.
    Unknown(Path),
    /// What is left of an unknown name without a word at its end or start that may be an operator.
    Glued(Path),
    /// A word in a text that nobody but the server reads; it may be the name of a field.
    Mentioned(String),
}

/// What each pair asks for, by the pair's place.
type Reading = Vec<(usize, Asked)>;

/// What the caller may see of the resources, by their names.
pub trait Sight {
    /// The rules of a resource; `None` where there is no such resource.
    fn rules(&self, resource: &str) -> Option<&QueryRules>;

    /// What the caller may see of a record of a resource (a plan for
    /// [`Purpose::ReadPart`](crate::policy::plan::Purpose::ReadPart)).
    fn plan(&self, resource: &str) -> Option<Arc<Plan>>;

    /// Whether the caller's roles restrict no field of a resource; what holds for everyone does
    /// not count.
    fn sees_all(&self, resource: &str) -> bool;

    /// Whether a policy names this field of the resource at all.
    fn knows(&self, resource: &str, name: &str) -> bool;
}

/// What of a query string may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it.
    Fine,
    /// What is left when the parameters are taken out that ask too much; `None` is no query at
    /// all.
    Reduced {
        /// The query string to forward.
        query: Option<String>,
        /// How many parameters were taken out.
        dropped: u64,
    },
    /// None of it.
    Refused {
        /// The names of the parameters that ask too much.
        parameters: Vec<String>,
    },
}

/// Decides a query string.
///
/// # Errors
/// It has no reading, or more than one.
pub fn decide(sight: &dyn Sight, resource: &str, query: &str) -> Result<Verdict, Malformed> {
    let rules = sight.rules(resource);
    let semicolons = semicolons(rules);
    let pairs = pairs::read(query, semicolons)?;
    let Some(rules) = rules else { return Ok(refused(&pairs, None)) };
    let bad = refused_pairs(sight, resource, rules, &pairs);
    if bad.is_empty() {
        return Ok(Verdict::Fine);
    }
    match rules.oracle {
        Oracle::Refuse => Ok(refused(&pairs, Some(&bad))),
        Oracle::Drop => {
            // A raw pair that is read in several ways goes as a whole.
            let bad: BTreeSet<usize> =
                bad.iter().filter_map(|at| pairs.get(*at)).map(|pair| pair.raw).collect();
            let kept: Vec<&str> = query
                .split('&')
                .enumerate()
                .filter(|(at, pair)| !pair.is_empty() && !bad.contains(at))
                .map(|(_, pair)| pair)
                .collect();
            let query = (!kept.is_empty()).then(|| kept.join("&"));
            // What is left must be fine by itself.
            let rest = query.as_deref().unwrap_or_default();
            let left = pairs::read(rest, semicolons)?;
            if !refused_pairs(sight, resource, rules, &left).is_empty() {
                return Ok(refused(&left, None));
            }
            Ok(Verdict::Reduced { query, dropped: bad.len() as u64 })
        }
    }
}

/// Decides a body that asks for records: a JSON object of parameters, or a form. Nothing is taken
/// out of a body: what asks too much is refused.
///
/// # Errors
/// It has no reading, or more than one.
pub fn decide_body(
    sight: &dyn Sight,
    resource: &str,
    is_json: bool,
    body: &[u8],
) -> Result<Verdict, Malformed> {
    let rules = sight.rules(resource);
    let pairs = if is_json {
        flatten::json(body)?
    } else {
        pairs::read(std::str::from_utf8(body).map_err(|_| Malformed)?, semicolons(rules))?
    };
    let Some(rules) = rules else { return Ok(refused(&pairs, None)) };
    let bad = refused_pairs(sight, resource, rules, &pairs);
    Ok(if bad.is_empty() { Verdict::Fine } else { refused(&pairs, Some(&bad)) })
}

fn semicolons(rules: Option<&QueryRules>) -> Semicolons {
    match rules.map(|rules| rules.dialect) {
        Some(Dialect::OData) => Semicolons::OutsideBrackets,
        _ => Semicolons::Anywhere,
    }
}

fn refused(pairs: &[Pair], bad: Option<&BTreeSet<usize>>) -> Verdict {
    let mut parameters: Vec<String> = Vec::new();
    for (at, pair) in pairs.iter().enumerate() {
        let is_bad = bad.is_none_or(|bad| bad.contains(&at));
        if is_bad && parameters.len() < MOST_NAMED && !parameters.contains(&pair.name) {
            parameters.push(pair.name.clone());
        }
    }
    Verdict::Refused { parameters }
}

/// The places of the pairs that ask too much.
fn refused_pairs(
    sight: &dyn Sight,
    resource: &str,
    rules: &QueryRules,
    pairs: &[Pair],
) -> BTreeSet<usize> {
    let judge = Judge { sight, resource, rules };
    let mut bad: BTreeSet<usize> = reading(rules, resource, pairs)
        .into_iter()
        .filter(|(at, asked)| {
            let name = pairs.get(*at).map(|pair| pair.name.as_str()).unwrap_or_default();
            !judge.allows(name, asked)
        })
        .map(|(at, _)| at)
        .collect();
    // What half the world calls a page or an order may be a field here.
    bad.extend(
        pairs
            .iter()
            .enumerate()
            .filter(|(_, pair)| judge.is_restricted(pair, pairs))
            .map(|(at, _)| at),
    );
    // A name that is still encoded when it is decoded is another one to whoever decodes twice.
    bad.extend(
        pairs.iter().enumerate().filter(|(_, pair)| pair.name.contains('%')).map(|(at, _)| at),
    );
    bad
}

/// Everything that the pairs ask for.
fn reading(rules: &QueryRules, resource: &str, pairs: &[Pair]) -> Reading {
    let mut found = Reading::new();
    let is_one_of =
        |list: &[String], name: &str| list.iter().any(|known| parameter(known) == parameter(name));
    for (at, pair) in pairs.iter().enumerate() {
        let head = pair.name.split('[').next().unwrap_or_default();
        let named = |list: &[String]| is_one_of(list, &pair.name) || is_one_of(list, head);
        if named(&rules.ignore) {
            found.push((at, Asked::Harmless));
        } else if named(&rules.search) {
            found.push((at, searched(&pair.value)));
        } else if named(&rules.ordering) {
            names::ordering(at, &pair.value, &mut found);
        } else {
            let mut asked = match rules.dialect {
                Dialect::Django => django::read(pair),
                Dialect::OData => odata::read(pair),
                Dialect::JsonApi => jsonapi::read(pair, resource),
                Dialect::Directus => directus::read(pair),
                Dialect::EspoCrm => espocrm::read(pair),
                Dialect::Salesforce => salesforce::read(pair, resource),
                Dialect::Plain => plain::read(pair),
            };
            found.extend(asked.drain(..).map(|asked| (at, asked)));
        }
    }
    found
}

/// An empty search looks for nothing.
fn searched(value: &str) -> Asked {
    if value.trim().is_empty() { Asked::Harmless } else { Asked::Searched }
}

struct Judge<'a> {
    sight: &'a dyn Sight,
    resource: &'a str,
    rules: &'a QueryRules,
}

impl Judge<'_> {
    fn allows(&self, parameter: &str, asked: &Asked) -> bool {
        match asked {
            Asked::Harmless => true,
            Asked::Unread => false,
            Asked::Related(member) => {
                self.rules.relations.keys().any(|known| folded(known) == folded(member))
            }
            Asked::Compared(path) => {
                self.may_compare(path) && (!self.rules.strict || self.is_declared(path))
            }
            Asked::Shown(path) => {
                self.view(path) != View::Hidden && (!self.rules.strict || self.is_declared(path))
            }
            Asked::Searched => self.may_search(),
            Asked::Unknown(path) => {
                let is_stray = self.rules.strict && !self.is_declared(path);
                // The whole name may be one of a field, however it is taken apart here.
                let whole = [parameter.to_owned()];
                let is_field = self.sight.knows(self.resource, parameter);
                !is_stray
                    && self.may_compare(path)
                    && (!is_field || self.may_compare(&whole))
                    && (self.is_led_to(path) || self.may_compare_all_below(path))
                    && (self.is_open_field(parameter) || !self.resembles_restricted(path))
            }
            Asked::Glued(path) => {
                let may = self.may_compare(path)
                    && (self.is_led_to(path) || self.may_compare_all_below(path));
                may || self.is_open_field(parameter)
            }
            Asked::Mentioned(word) => {
                !self.sight.knows(self.resource, word)
                    || self.may_compare(std::slice::from_ref(word))
            }
        }
    }

    /// Whether a policy knows a field of this name, and the role may ask by it.
    fn is_open_field(&self, name: &str) -> bool {
        self.sight.knows(self.resource, name) && self.may_compare(&[name.to_owned()])
    }

    /// Whether a path begins with something that a policy knows: a relation, or a field that holds
    /// the others. If not, it is a frame (`q[ssn_start]`), and any name in it may be the field.
    fn is_led_to(&self, path: &[String]) -> bool {
        let Some(first) = path.first() else { return true };
        let wanted = folded(first);
        let is_like =
            |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| folded(name) == wanted);
        self.rules.relations.keys().any(|known| folded(known) == wanted)
            || self.sight.plan(self.resource).is_some_and(|plan| {
                plan.automaton.named_members(plan.automaton.root(), is_like).next().is_some()
            })
    }

    fn may_compare_all_below(&self, path: &[String]) -> bool {
        (1..path.len()).all(|at| self.may_compare(path.get(at..).unwrap_or_default()))
    }

    /// Whether a name of a path begins or ends with the name of a field that the role may not ask
    /// by: `ssnContains`, `annual_revenue_min`. No list of operators is ever complete.
    fn resembles_restricted(&self, path: &[String]) -> bool {
        let mut ways = vec![(self.resource, path)];
        if let [first, rest @ ..] = path {
            let others =
                self.rules.relations.iter().filter(|(known, _)| folded(known) == folded(first));
            ways.extend(others.map(|(_, other)| (other.as_str(), rest)));
        }
        ways.into_iter().any(|(resource, path)| {
            let Some(plan) = self.sight.plan(resource) else { return true };
            let names = if resource == self.resource && self.is_led_to(path) {
                path.get(..1)
            } else {
                Some(path)
            };
            names.unwrap_or_default().iter().any(|name| {
                let is_open = self.sight.knows(resource, name)
                    && view(self.sight, resource, std::slice::from_ref(name)) == View::Clear;
                !is_open && holds_restricted(&plan, &folded(name))
            })
        })
    }

    /// Whether the answer may depend on the values at a path.
    fn may_compare(&self, path: &[String]) -> bool {
        self.view(path) == View::Clear
            && self.sight.plan(self.resource).is_some_and(|plan| !plan.restricts_below(path))
    }

    /// Whether a parameter has the name of a field that policies know and the role may not ask by,
    /// and the resource does not say that it is something else.
    fn is_restricted(&self, pair: &Pair, pairs: &[Pair]) -> bool {
        let is_declared = is_declared(self.rules, &head_of(pair));
        let undotted = undotted_head(&pair.name);
        let is_closed = |name: &str| {
            self.sight.knows(self.resource, name) && !self.may_compare(&[name.to_owned()])
        };
        let is_frame_free = !matches!(self.rules.dialect, Dialect::JsonApi | Dialect::Plain);
        let framed = if is_frame_free { None } else { plain::framed(pair, pairs) };
        !is_declared && (is_closed(&undotted) || framed.is_some_and(|name| is_closed(&name)))
    }

    /// What may be seen at a path, in the record itself and in every record that it leads to.
    fn view(&self, path: &[String]) -> View {
        view(self.sight, self.resource, path)
    }

    fn may_search(&self) -> bool {
        if self.rules.search_fields.is_empty() {
            return self.sight.sees_all(self.resource);
        }
        self.rules.search_fields.iter().all(|field| {
            let path: Path = field.split('.').map(ToOwned::to_owned).collect();
            self.may_compare(&path)
        })
    }

    /// Whether the resource says that there is such a field to ask for.
    fn is_declared(&self, path: &[String]) -> bool {
        let Some(head) = path.first() else { return true };
        let dotted = folded(&path.join("."));
        self.rules.filters.iter().any(|filter| {
            let filter = folded(filter);
            dotted == filter || dotted.starts_with(&format!("{filter}."))
        }) || self.rules.relations.keys().any(|member| folded(member) == folded(head))
            || self.sight.knows(self.resource, path.last().unwrap_or(head))
            || self.sight.knows(self.resource, head)
    }
}

/// What a parameter is called before its first bracket.
fn head_of(pair: &Pair) -> String {
    parameter(pair.name.split('[').next().unwrap_or_default())
}

/// Whether the resource says that a parameter of this name is no field.
fn is_declared(rules: &QueryRules, head: &str) -> bool {
    let declared = [&rules.ignore, &rules.search, &rules.ordering];
    declared.iter().any(|list| list.iter().any(|known| parameter(known) == head))
}

/// The shortest name of a restricted field by which others are known to begin or end.
const SHORTEST_RESEMBLED: usize = 3;

/// Whether a name begins or ends with that of a restricted field.
fn holds_restricted(plan: &Plan, name: &str) -> bool {
    let automaton = &plan.automaton;
    let is_in = |known: &[u8]| {
        let Ok(known) = std::str::from_utf8(known) else { return false };
        let known = folded(known);
        known.len() >= SHORTEST_RESEMBLED
            && known.len() < name.len()
            && (name.starts_with(&known) || name.ends_with(&known))
    };
    automaton.named_members(automaton.root(), is_in).any(|place| {
        let verdict = automaton.verdict(&place);
        verdict.scalar != Action::Keep || verdict.container != Action::Keep
    })
}

/// Every way that a path can be read is walked once: within a record, and from any member that
/// leads to another resource on in that one.
fn view(sight: &dyn Sight, resource: &str, path: &[String]) -> View {
    if path.len() > MOST_STEPS {
        return View::Hidden;
    }
    let mut seen = View::Clear;
    let mut ways: Vec<(&str, usize)> = vec![(resource, 0)];
    for way in 0.. {
        let Some((resource, start)) = ways.get(way).copied() else { break };
        let (Some(plan), Some(rules)) = (sight.plan(resource), sight.rules(resource)) else {
            return View::Hidden;
        };
        let rest = path.get(start..).unwrap_or_default();
        seen = seen.max(plan.view_of(rest));
        for (at, name) in (start..).zip(rest) {
            for (member, other) in &rules.relations {
                let further = (other.as_str(), at + 1);
                if folded(member) == folded(name) && at + 1 < path.len() && !ways.contains(&further)
                {
                    ways.push(further);
                }
            }
        }
    }
    seen
}

#[cfg(test)]
pub(crate) mod tests;
