//! Policies as checked: everything a request may need, with every name resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method};

use super::actions::Declared;
use super::emits::{Emit, Events};
use super::mode::{Combine, Mode};
use super::query::QueryRules;
use super::scoring::Scoring;
use super::workflow::{Workflow, WorkflowTest};
use super::writes::Write;
use crate::diagnostic::{SourceFile, Span};
use crate::json::path::FieldPath;
use crate::mask::Strategy;

/// All policies of one folder, checked. Immutable; a request keeps the one it began with.
#[derive(Debug)]
pub struct PolicySet {
    /// First 12 hex digits of the SHA-256 over all files, names and contents, in order.
    pub revision: String,
    /// The resources, by name.
    pub resources: BTreeMap<String, Arc<Resource>>,
    /// The roles, by name.
    pub roles: BTreeMap<String, Arc<Role>>,
    /// What holds on every route.
    pub global: Global,
    /// How leads are scored; `None` where no file says so.
    pub scoring: Option<Scoring>,
    /// What runs when an event comes, by name.
    pub workflows: BTreeMap<String, Arc<Workflow>>,
    /// What the workflows are expected to do.
    pub workflow_tests: Vec<WorkflowTest>,
    /// What is declared for the actions of workflows.
    pub actions: Arc<Declared>,
}

impl PolicySet {
    /// The right of a caller with these roles to turn masks of a field back into values, and the
    /// name that the registry has for the field. `field` is that name, or the last part of it where
    /// that is clear. Under the usual rule every role must have the right, so that no role reveals
    /// more for being added to another; with `combine: union` one is enough.
    #[must_use]
    pub fn reveal_right(
        &self,
        roles: &[String],
        resource: &str,
        field: &str,
    ) -> Option<&RevealRight> {
        let combine = self.resources.get(resource)?.combine;
        let mut rights = Vec::new();
        for role in roles {
            let here = self.roles.get(role)?.reveal.get(resource).map_or(&[][..], Vec::as_slice);
            rights.push(here.iter().find(|right| right.field == field).or_else(|| {
                let mut named = here.iter().filter(|right| right.is_called(field));
                named.next().filter(|_| named.next().is_none())
            }));
        }
        let first = rights.iter().flatten().next().copied()?;
        let mut same = rights.iter().map(|right| right.is_some_and(|it| it.field == first.field));
        match combine {
            Combine::MostRestrictive => same.all(|is_same| is_same).then_some(first),
            Combine::Union => Some(first),
        }
    }
}

impl RevealRight {
    fn is_called(&self, name: &str) -> bool {
        FieldPath::parse(&self.field).is_ok_and(|path| path.last_name() == Some(name))
    }
}

/// One object type of the CRM: where it is served and which of its fields are sensitive.
#[derive(Debug)]
pub struct Resource {
    /// The object type: `lead`, `contact`, ...
    pub name: String,
    /// Where a record keeps its id.
    pub id: Option<FieldPath>,
    /// How several roles of one caller combine.
    pub combine: Combine,
    /// What becomes of a write that a role may not make.
    pub writes: Writes,
    /// How its query strings are to be read.
    pub query: QueryRules,
    /// The routes that serve it.
    pub routes: Vec<Route>,
    /// The GDPR registry: fields and their masks.
    pub fields: Vec<Field>,
    /// The events that writes have beside the built-in ones, in the order written.
    pub emits: Vec<Emit>,
    /// What else is declared of its events.
    pub events: Events,
}

/// One route of a resource.
#[derive(Debug)]
pub struct Route {
    /// The methods it answers; never empty.
    pub methods: Vec<Method>,
    /// The path as a template, `/api/v1/leads/{id}/`.
    pub path: String,
    /// Where the records stand in the answer (and in a request body).
    pub records: FieldPath,
    /// Members around the records that every role may see, such as `count` and `next`.
    pub envelope: Vec<FieldPath>,
    /// What its writes do, where that is not what their method and path say.
    pub write: Option<Write>,
    /// Where the records stand in a request body; `None` where that is as in the answer.
    pub body: Option<FieldPath>,
    /// Whether a request body asks for records instead of writing one.
    pub is_search: bool,
}

impl Route {
    /// Where the records stand in a request body.
    #[must_use]
    pub fn records_in_body(&self) -> &FieldPath {
        self.body.as_ref().unwrap_or(&self.records)
    }
}

/// What becomes of the members of a request body that the caller may not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writes {
    /// The request is refused.
    #[default]
    Enforce,
    /// They are taken out, and the rest is written.
    Strip,
    /// They are written, counted and named in the log: for the time before a policy is in force.
    Report,
}

/// One entry of the GDPR registry.
#[derive(Debug)]
pub struct Field {
    /// Relative to the record.
    pub path: FieldPath,
    /// Personal data; `check` is stricter with it.
    pub is_pii: bool,
    /// How it is masked; `None` means redacted.
    pub strategy: Option<Strategy>,
    /// Whether a reversible mask in a write is turned back into its value.
    pub detokenize: bool,
    /// Where the entry was written.
    pub origin: Origin,
}

/// One role and what it may do with each resource.
#[derive(Debug)]
pub struct Role {
    /// The name, as identities carry it.
    pub name: String,
    /// The mode of every field without an entry.
    pub default: Mode,
    /// Where that was written; where the role is named, if nowhere.
    pub default_origin: Origin,
    /// Entries per resource name.
    pub resources: BTreeMap<String, RoleResource>,
    /// The fields of each resource whose masks it may turn back into values.
    pub reveal: BTreeMap<String, Vec<RevealRight>>,
}

/// A right to turn the masks of one field back into values.
#[derive(Debug, Clone)]
pub struct RevealRight {
    /// The field, as the registry writes it; its mask can be turned back.
    pub field: String,
    /// Where the right was written.
    pub origin: Origin,
}

/// What a role says of one resource.
#[derive(Debug)]
pub struct RoleResource {
    /// Overrides the role's default for this resource.
    pub default: Option<Mode>,
    /// Where that was written.
    pub default_origin: Option<Origin>,
    /// Explicit entries, in the order written.
    pub entries: Vec<Entry>,
}

/// One explicit entry: a path and its mode.
#[derive(Debug)]
pub struct Entry {
    /// Relative to the record.
    pub path: FieldPath,
    /// What the role may do with it.
    pub mode: Mode,
    /// Where the entry was written.
    pub origin: Origin,
}

/// Rules and switches that hold on every route.
#[derive(Debug, Default)]
pub struct Global {
    /// Entries relative to the whole answer; the most restrictive of these and the role's wins.
    pub entries: Vec<Entry>,
    /// Masks for entries in mode `mask`; redacted where none is given.
    pub fields: Vec<Field>,
    /// What happens on routes that no resource declares.
    pub unmatched: Unmatched,
    /// What is no API at all: static files, login pages.
    pub passthrough: Vec<Passthrough>,
    /// Response headers of the CRM that governed routes let through, beside the harmless ones.
    pub response_headers: Vec<HeaderName>,
}

/// What happens on routes that neither a resource nor `passthrough` declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unmatched {
    /// 403, never forwarded.
    #[default]
    Deny,
    /// Forwarded for known callers; the global entries filter the answer.
    GlobalOnly,
}

/// Requests that pass unfiltered and without identity.
#[derive(Debug)]
pub struct Passthrough {
    /// The methods it covers; never empty.
    pub methods: Vec<Method>,
    /// The path as a template; `{*rest}` at the end takes everything below.
    pub path: String,
    /// Where the entry was written.
    pub origin: Origin,
}

/// Where something was written, for `explain`, audit and findings.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The file.
    pub source: Arc<SourceFile>,
    /// The place in it.
    pub span: Span,
}

impl Origin {
    /// `file:line`.
    #[must_use]
    pub fn file_and_line(&self) -> String {
        format!("{}:{}", self.source.name(), self.source.line_of(self.span.start))
    }
}
