//! Plans made of a few lines, and the filter under them.

use std::collections::BTreeMap;
use std::sync::Arc;

use fieldgate::diagnostic::{SourceFile, Span};
use fieldgate::json::Refusal;
use fieldgate::json::filter::{Filter, FilterLimits, Replacer, Tally};
use fieldgate::json::navigate::Slot;
use fieldgate::json::path::FieldPath;
use fieldgate::policy::emits::Events;
use fieldgate::policy::plan::{Plan, Purpose, Scope};
use fieldgate::policy::query::QueryRules;
use fieldgate::policy::set::{Entry, Global, Origin, Resource, Role, RoleResource, Route, Writes};
use fieldgate::policy::{Combine, Mode};

use super::document::Document;

/// What stands at a masked place.
pub(crate) const MASK: &str = "\"MASK\"";

/// The plan of one role over the records at `records`; `None` where the paths are too complex.
pub(crate) fn plan(
    records: &str,
    default: Mode,
    entries: Vec<(FieldPath, Mode)>,
    purpose: Purpose,
) -> Option<Plan> {
    let origin = Origin { source: SourceFile::new("fuzz", ""), span: Span::default() };
    let entry = |(path, mode)| Entry { path, mode, origin: origin.clone() };
    let entries = entries.into_iter().map(entry).collect();
    let here = RoleResource { default: None, default_origin: None, entries };
    let resources = BTreeMap::from([("thing".to_owned(), here)]);
    let role = Role {
        name: "role".into(),
        default,
        default_origin: origin.clone(),
        resources,
        reveal: BTreeMap::new(),
    };
    let resource = Resource {
        name: "thing".into(),
        id: None,
        combine: Combine::default(),
        writes: Writes::default(),
        query: QueryRules::default(),
        routes: vec![Route {
            methods: vec![http::Method::GET],
            path: "/".into(),
            records: path(records),
            envelope: Vec::new(),
            write: None,
            body: None,
            is_search: false,
        }],
        fields: Vec::new(),
        emits: Vec::new(),
        events: Events::default(),
    };
    let scope = resource.routes.first().map(|route| Scope { resource: &resource, route });
    Plan::compile(scope, &[&role], &Global::default(), purpose).ok()
}

/// A path that is known to be one.
pub(crate) fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).expect("the targets write good paths")
}

/// Filters a document that comes in `chunks`. Answers what came out, whether or not it was refused
/// in the end, as a proxy would have sent it.
pub(crate) fn filter<'a>(
    plan: &Plan,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Result<Tally, Refusal>) {
    let limits = FilterLimits { replaced_value: 1 << 20, held_value: 1 << 20 };
    let mut filter = Filter::new(Arc::clone(&plan.automaton), Redact, limits);
    let mut out = Vec::new();
    for chunk in chunks {
        if let Err(refusal) = filter.push(chunk, &mut out) {
            return (out, Err(refusal));
        }
    }
    let end = filter.finish(&mut out);
    (out, end.map(|()| filter.tally().clone()))
}

struct Redact;

impl Replacer for Redact {
    fn replace(&mut self, _: Slot, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        assert!(Document::read(raw).is_some(), "only whole values are replaced");
        out.extend_from_slice(MASK.as_bytes());
        Ok(())
    }
}
