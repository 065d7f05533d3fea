//! `scoring.yaml` and `companies/*/scoring.yaml`: how leads are scored, and who is told.
//!
//! What a file leaves out keeps its default, so that a short file is a whole one. Rules are laid
//! one over the other: the defaults, the file, its section for one kind of lead, its section for a
//! company, the company's own file.

mod assemble;
mod places;
mod telling;
mod worth;

use std::path::Path;

use super::draft::Named;
use super::reader::Reader;
use super::role::is_role_name;
use crate::diagnostic::{Finding, Span};
use crate::json::path::FieldPath;
use crate::policy::set::Origin;
use crate::score::InputPath;
use crate::yaml::{Node, Value};
use places::Places;
use telling::Telling;
use worth::Worth;

pub(super) use assemble::assemble;

/// `scoring.yaml`.
pub(super) struct ScoringDraft {
    origin: Origin,
    leads: Vec<LeadDraft>,
    places: Places,
    worth: Worth,
    /// Sections for companies.
    companies: Vec<CompanyDraft>,
    telling: Telling,
}

impl ScoringDraft {
    /// Whether records of this resource are leads, and so have scores that change.
    pub(super) fn scores(&self, resource: &str) -> bool {
        self.leads.iter().any(|lead| lead.resource.name == resource)
    }
}

/// One kind of lead.
struct LeadDraft {
    resource: Named,
    places: Places,
    worth: Worth,
}

/// What one company counts.
pub(super) struct CompanyDraft {
    company: Named,
    worth: Worth,
}

impl Reader {
    pub(super) fn scoring(&mut self, root: &Node) -> Option<ScoringDraft> {
        let mut fields = self.checker.map(root, "`scoring.yaml`")?;
        let leads = fields.require(&mut self.checker, "leads");
        let leads = leads.and_then(|node| self.leads(node));
        let places = self.places(&mut fields);
        let worth = self.worth(&mut fields);
        let companies = self.optional(&mut fields, "companies").map(|node| self.companies(node));
        let telling = self.telling(&mut fields);
        fields.finish(&mut self.checker);
        Some(ScoringDraft {
            origin: self.origin(root.span),
            leads: leads?,
            places,
            worth,
            companies: companies.unwrap_or_default(),
            telling,
        })
    }

    /// A file of `companies/*/`. The company is named by its folder.
    pub(super) fn company_scoring(&mut self, relative: &Path, root: &Node) -> Option<CompanyDraft> {
        let folder = relative.parent().and_then(Path::file_name).unwrap_or_default();
        let company = self.company(&folder.to_string_lossy(), Span::default());
        let mut fields = self.checker.map(root, "the scoring of a company")?;
        let worth = self.worth(&mut fields);
        fields.finish(&mut self.checker);
        Some(CompanyDraft { company: company?, worth })
    }

    /// `leads:`, a list of resources, or a mapping where each has rules of its own.
    fn leads(&mut self, node: &Node) -> Option<Vec<LeadDraft>> {
        let mut leads: Vec<LeadDraft> = Vec::new();
        match &node.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    let resource = Named { name: key.name.clone(), origin: self.origin(key.span) };
                    let mut lead =
                        LeadDraft { resource, places: Places::default(), worth: Worth::default() };
                    if !matches!(node.value, Value::Null)
                        && let Some(mut fields) =
                            self.checker.map(node, &format!("the rules of `{}`", key.name))
                    {
                        lead.places = self.places(&mut fields);
                        lead.worth = self.worth(&mut fields);
                        fields.finish(&mut self.checker);
                    }
                    leads.push(lead);
                }
            }
            Value::List(nodes) => {
                for node in nodes {
                    let Some(name) = self.checker.text(node, "a resource") else { continue };
                    let origin = self.origin(node.span);
                    let resource = Named { name: name.to_owned(), origin };
                    let (places, worth) = (Places::default(), Worth::default());
                    leads.push(LeadDraft { resource, places, worth });
                }
            }
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {
                self.checker.wrong_kind(node, "`leads`", "a list of resources");
                return None;
            }
        }
        if matches!(&node.value, Value::Map(entries) if entries.is_empty())
            || matches!(&node.value, Value::List(nodes) if nodes.is_empty())
        {
            let finding = Finding::error("policy::no_leads", "no resource holds leads")
                .label("at least one resource belongs here")
                .help("write `leads: [lead]`, or delete the file: without it nothing is scored");
            self.report(finding, node.span);
            return None;
        }
        Some(leads)
    }

    fn companies(&mut self, node: &Node) -> Vec<CompanyDraft> {
        let Some(mut companies) = self.checker.map(node, "`companies`") else { return Vec::new() };
        let mut drafts = Vec::new();
        for (key, node) in companies.take_rest() {
            let company = self.company(&key.name, key.span);
            if matches!(node.value, Value::Null) {
                self.no_value(key);
                continue;
            }
            let what = format!("the scoring of `{}`", key.name);
            let Some(mut fields) = self.checker.map(node, &what) else { continue };
            let worth = self.worth(&mut fields);
            fields.finish(&mut self.checker);
            drafts.extend(company.map(|company| CompanyDraft { company, worth }));
        }
        drafts
    }

    /// The id of a company, which is also the name of a folder.
    fn company(&mut self, name: &str, span: Span) -> Option<Named> {
        if is_company(name) {
            return Some(Named { name: name.to_owned(), origin: self.origin(span) });
        }
        let finding = Finding::error("policy::bad_name", format!("`{name}` cannot name a company"))
            .label("not an id that is known here")
            .help("an id is 1 to 64 of `A-Z`, `a-z`, `0-9`, `_`, `.`, `:` and `-`, and does not begin with `.`");
        self.report(finding, span);
        None
    }

    /// A path to an input.
    fn input(&mut self, text: &str, span: Span) -> Option<InputPath> {
        let path = self.field_path(text, span)?;
        let input = InputPath::new(path);
        if input.is_none() {
            let finding = Finding::error(
                "policy::bad_input",
                format!("`{text}` does not name one field of the record"),
            )
            .label("a score cannot look there")
            .help("name the field: `status`, `engagement.email_opened`, `\"$['first name']\"`; without filters, wildcards, indices and `..`");
            self.report(finding, span);
        }
        input
    }

    /// A path to an input, as the text of a node.
    fn input_at(&mut self, node: &Node, what: &str) -> Option<InputPath> {
        let text = self.checker.text(node, what)?;
        self.input(text, node.span)
    }

    /// A path in a record that is seen as a whole.
    fn path_at(&mut self, node: &Node, what: &str) -> Option<FieldPath> {
        let text = self.checker.text(node, what)?;
        self.input(text, node.span).map(|input| input.path().clone())
    }
}

/// Whether a name can be the id of a company, and of its folder.
pub(in crate::policy) fn is_company(name: &str) -> bool {
    is_role_name(name) && !name.starts_with('.')
}

#[cfg(test)]
mod tests;
