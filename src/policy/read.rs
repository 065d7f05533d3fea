//! Policy files as written → a checked [`PolicySet`], or everything that is wrong with them.
//!
//! Pure: no I/O, no clock, no logging. Each file is read on its own as far as it makes sense; then
//! the files are held against each other. A set exists only where nothing is an error.

mod across;
mod actions;
mod condition;
mod doubts;
mod draft;
mod emits;
mod events;
mod global;
mod mask;
mod place;
mod query;
mod reader;
mod resource;
mod reveal;
mod role;
mod route;
mod scoring;
mod workflow;
mod workflow_test;
mod workflows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use self::draft::{GlobalDraft, ResourceDraft, RoleDraft};
use self::reader::Reader;
use self::scoring::{CompanyDraft, ScoringDraft};
use self::workflow::WorkflowDraft;
use super::actions::{Declared, ListCall};
use super::mode::Mode;
use super::scoring::Scoring;
use super::set::{PolicySet, Resource, Role, RoleResource};
use super::workflow::WorkflowTest;
use crate::diagnostic::{Finding, Severity, SourceFile, Span};
use crate::json::path::FieldPath;
use crate::yaml::{self, Checker, Node, Value};

pub(super) use self::place::Place;
pub(super) use self::scoring::is_company;
pub(super) use self::workflow::workflow_alone;

/// What the files of one policy folder say.
#[derive(Debug)]
#[must_use = "the findings say why there is no set"]
pub struct Read {
    /// The checked policies; `None` where a finding is an error.
    pub set: Option<PolicySet>,
    /// Everything wrong or doubtful, ordered by file and place.
    pub findings: Vec<Finding>,
}

/// All files, read one by one.
#[derive(Default)]
struct Drafts {
    resources: Vec<ResourceDraft>,
    roles: Vec<RoleDraft>,
    global: GlobalDraft,
    /// Stems of resource files whose name could not be read: `lead` for `resources/lead.yaml`.
    /// What they declare is not known, but rules for them are no mistake of the role.
    unread_resources: Vec<String>,
    /// A role file could not be read, so that a name which no role has may be the one it declares.
    has_unread_role: bool,
    /// There is a `scoring.yaml`, whether or not it could be read.
    has_scoring_file: bool,
    scoring: Option<ScoringDraft>,
    companies: Vec<CompanyDraft>,
    workflows: Vec<WorkflowDraft>,
    workflow_tests: Vec<WorkflowTest>,
    /// A workflow file could not be read, so that a name which no workflow has may be its.
    has_unread_workflow: bool,
    mails: Vec<actions::MailDraft>,
}

/// Reads the files of a policy folder, in whatever order they come. The names of the files start
/// with `folder`; what a file is for depends on where below it lies.
pub fn read(folder: &Path, files: &[Arc<SourceFile>]) -> Read {
    let mut files: Vec<(PathBuf, &Arc<SourceFile>)> = files
        .iter()
        .map(|source| {
            let name = Path::new(source.name());
            (name.strip_prefix(folder).unwrap_or(name).to_owned(), source)
        })
        .collect();
    files.sort_by(|(one, source), (other, other_source)| {
        (one, source.text()).cmp(&(other, other_source.text()))
    });

    let mut drafts = Drafts::default();
    let mut findings = Vec::new();
    if files.is_empty() {
        let message = format!("`{}` holds no policy files", folder.display());
        findings.push(Finding::error("policy::no_policies", message).help(
            "policies are `resources/*.yaml`, `roles/*.yaml` and `global.yaml` in this folder",
        ));
    }
    for (relative, source) in &files {
        drafts.read_file(relative, source, &mut findings);
    }
    findings.extend(across::faults(&drafts));
    findings.extend(reveal::faults(&drafts));
    let assembled = scoring::assemble(&drafts);
    findings.extend(assembled.faults);
    let is_error = |finding: &Finding| finding.severity() == Severity::Error;
    if !findings.iter().any(is_error) {
        // A doubt about files that do not stand as meant would be noise.
        findings.extend(doubts::doubts(&drafts));
        findings.extend(assembled.doubts);
    }
    findings.sort_by(|one, other| one.position().cmp(&other.position()));
    let set = (!findings.iter().any(is_error))
        .then(|| drafts.into_set(revision(&files), assembled.scoring));
    Read { set, findings }
}

impl Drafts {
    fn read_file(
        &mut self,
        relative: &Path,
        source: &Arc<SourceFile>,
        findings: &mut Vec<Finding>,
    ) {
        let place = Place::of(relative);
        if place == Place::Misplaced {
            findings.push(misplaced(relative, source));
            return;
        }
        self.has_scoring_file |= place == Place::Scoring;
        if let Place::MailText | Place::MailHtml = place {
            let name = relative.file_stem().unwrap_or_default().to_string_lossy();
            match actions::mail(&name, place == Place::MailHtml, source) {
                Ok(mail) => self.mails.push(mail),
                Err(found) => findings.extend(found),
            }
            return;
        }
        let stem = || relative.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut reader = Reader { checker: Checker::new(Arc::clone(source)) };
        match parse(source) {
            Ok(root) => match place {
                Place::Global => self.global = reader.global(&root).unwrap_or_default(),
                Place::Role => match reader.role(&root) {
                    Some(role) => self.roles.push(role),
                    None => self.has_unread_role = true,
                },
                Place::Resource => match reader.resource(&root) {
                    Some(resource) => self.resources.push(resource),
                    None => self.unread_resources.push(stem()),
                },
                Place::Scoring => self.scoring = reader.scoring(&root),
                Place::CompanyScoring => {
                    self.companies.extend(reader.company_scoring(relative, &root));
                }
                Place::Workflow => match reader.workflow(&root) {
                    Some(workflow) => self.workflows.push(workflow),
                    None => self.has_unread_workflow = true,
                },
                Place::WorkflowTest => self.workflow_tests.extend(reader.workflow_tests(&root)),
                Place::MailText | Place::MailHtml | Place::Misplaced => {}
            },
            Err(finding) => {
                findings.push(finding);
                if place == Place::Resource {
                    self.unread_resources.push(stem());
                }
                self.has_unread_role |= place == Place::Role;
                self.has_unread_workflow |= place == Place::Workflow;
            }
        }
        findings.extend(reader.checker.into_findings());
    }

    /// The set of files that have no error: every name is known and stands once.
    fn into_set(mut self, revision: String, scoring: Option<Scoring>) -> PolicySet {
        let actions = Arc::new(self.declared());
        let default_mode = self.global.default_mode.unwrap_or(Mode::View);
        let default_mode_origin = self.global.default_origin.clone();
        let ids: BTreeMap<String, FieldPath> = self
            .resources
            .iter()
            .filter_map(|draft| Some((draft.named.name.clone(), draft.id.clone()?)))
            .collect();
        let registries = reveal::registries(&self.resources);
        let resources = self.resources.into_iter().map(|draft| {
            let name = draft.named.name;
            let resource = Resource {
                name: name.clone(),
                id: draft.id,
                combine: draft.combine,
                writes: draft.writes,
                query: draft.query.rules,
                routes: draft.routes.into_iter().map(|draft| draft.route).collect(),
                fields: draft.fields,
                emits: draft.emits,
                events: draft.events.into_events(&ids),
            };
            (name, Arc::new(resource))
        });
        let roles = self.roles.into_iter().map(|draft| {
            let name = draft.named.name;
            let sections = draft.sections.into_iter().map(|section| {
                let rules = RoleResource {
                    default: section.default,
                    default_origin: section.default_origin,
                    entries: section.entries,
                };
                (section.resource.name, rules)
            });
            let resources: BTreeMap<_, _> = sections.collect();
            let default = draft.default.unwrap_or(default_mode);
            let default_origin = draft.default_origin.or_else(|| default_mode_origin.clone());
            let default_origin = default_origin.unwrap_or(draft.named.origin);
            let reveal = reveal::rights(draft.reveal, &registries);
            (name.clone(), Arc::new(Role { name, default, default_origin, resources, reveal }))
        });
        PolicySet {
            revision,
            resources: resources.collect(),
            roles: roles.collect(),
            global: self.global.global,
            scoring,
            workflows: self
                .workflows
                .into_iter()
                .map(|draft| (draft.named.name, Arc::new(draft.workflow)))
                .collect(),
            workflow_tests: self.workflow_tests,
            actions,
        }
    }

    /// Takes what is declared for actions.
    fn declared(&mut self) -> Declared {
        let mut declared = Declared::default();
        for draft in &self.resources {
            let Some(list) = &draft.actions.list else { continue };
            let Some(records) = actions::records_of(self, list) else { continue };
            let (target, paging) = (list.target.clone(), list.paging.clone());
            let call = ListCall { target, records, paging, origin: list.origin.clone() };
            declared.lists.insert(draft.named.name.clone(), call);
        }
        for draft in &mut self.resources {
            let calls = std::mem::take(&mut draft.actions.calls).into_iter();
            let calls: BTreeMap<_, _> = calls.map(|draft| (draft.kind, draft.call)).collect();
            declared.calls.insert(draft.named.name.clone(), calls);
        }
        for mail in std::mem::take(&mut self.mails) {
            let text = declared.mails.entry(mail.name).or_default();
            let place = if mail.is_html { &mut text.html } else { &mut text.text };
            *place = Some(mail.text);
        }
        declared
    }
}

/// The tree of one file. An empty file is a fault: someone meant it to say something.
fn parse(source: &Arc<SourceFile>) -> Result<Node, Finding> {
    match yaml::parse(source) {
        Ok(Node { value: Value::Null, .. }) => {
            Err(Finding::error("policy::empty_file", format!("`{}` is empty", source.name()))
                .at(source, Span::default())
                .label("nothing stands here")
                .help("write the policy, or delete the file"))
        }
        Ok(root) => Ok(root),
        Err(finding) if has_unquoted_template(source.text()) => Err(finding.help(
            "inside `{ ... }` a path with braces needs quotes: `path: \"/api/v1/leads/{id}/\"`",
        )),
        Err(finding) => Err(finding),
    }
}

/// `{ path: /leads/{id}/ }`, the mistake that YAML explains worst.
fn has_unquoted_template(text: &str) -> bool {
    text.lines().any(|line| {
        line.split_once("path:").is_some_and(|(before, path)| {
            before.contains('{') && path.trim_start().starts_with('/') && path.contains('{')
        })
    })
}

fn misplaced(relative: &Path, source: &Arc<SourceFile>) -> Finding {
    let is_yml = relative.extension().is_some_and(|extension| extension != "yaml");
    let help = if is_yml {
        "policy files end in `.yaml`, in lower case"
    } else {
        "policies are `resources/*.yaml`, `roles/*.yaml`, `global.yaml`, `scoring.yaml`, `companies/*/scoring.yaml`, `workflows/*.yaml`, `workflows/tests/*.yaml`, `templates/*.txt` and `templates/*.html`; nothing else is read"
    };
    Finding::error("policy::misplaced", format!("`{}` is not where policies are", source.name()))
        .at(source, Span::default())
        .label("this file would be ignored")
        .help(help)
}

/// First 12 hex digits of the SHA-256 over names and contents, each with its length before it.
fn revision(files: &[(PathBuf, &Arc<SourceFile>)]) -> String {
    let mut digest = Sha256::new();
    for (relative, source) in files {
        for part in [relative.to_string_lossy().as_bytes(), source.text().as_bytes()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    let mut hex = data_encoding::HEXLOWER.encode(&digest.finalize());
    hex.truncate(12);
    hex
}

#[cfg(test)]
mod tests;
