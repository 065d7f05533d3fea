//! The scoring files held against each other and against the rest, and compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{CompanyDraft, LeadDraft, ScoringDraft, Worth};
use crate::diagnostic::{Finding, suggest};
use crate::policy::read::Drafts;
use crate::policy::read::draft::Named;
use crate::policy::read::resource::place_of;
use crate::policy::scoring::{LeadScoring, Scoring};
use crate::policy::set::Origin;
use crate::score::{Rules, ScoringPlan, Thousandths, TooManyInputs};

/// What became of the scoring files.
#[derive(Default)]
pub(in crate::policy::read) struct Assembled {
    /// `None` where there is no `scoring.yaml`, or one that cannot be used.
    pub(in crate::policy::read) scoring: Option<Scoring>,
    /// Errors.
    pub(in crate::policy::read) faults: Vec<Finding>,
    /// Warnings.
    pub(in crate::policy::read) doubts: Vec<Finding>,
}

pub(in crate::policy::read) fn assemble(drafts: &Drafts) -> Assembled {
    let mut assembled = Assembled::default();
    let Some(draft) = &drafts.scoring else {
        // A `scoring.yaml` that could not be read has its finding.
        if !drafts.has_scoring_file {
            assembled.faults.extend(drafts.companies.iter().map(stray));
        }
        return assembled;
    };
    unknown_names(drafts, draft, &mut assembled.faults);
    repeated_leads(&draft.leads, &mut assembled.faults);
    let mut leads = BTreeMap::new();
    for lead in &draft.leads {
        let mut rules = Rules::default();
        let own = [&draft.worth, &lead.worth];
        for places in [&draft.places, &lead.places] {
            places.lay_over(&mut rules);
        }
        // What is too much for everybody is too much for every company.
        let Some(plan) = assembled.plan(&mut rules, &own, draft) else { continue };
        let mut companies = BTreeMap::new();
        for (name, worths) in by_company(draft, &drafts.companies) {
            let mut rules = rules.clone();
            let plan = assembled.plan(&mut rules, &worths, draft);
            companies.extend(plan.map(|plan| (name.to_owned(), plan)));
        }
        let listing = lead.places.listing.as_ref().or(draft.places.listing.as_ref()).cloned();
        leads.insert(lead.resource.name.clone(), LeadScoring { plan, companies, listing });
    }
    // Several kinds of lead and companies read the same lines.
    for findings in [&mut assembled.faults, &mut assembled.doubts] {
        let mut seen = Vec::new();
        findings.retain(|finding| {
            let place =
                finding.position().map(|(file, line, column)| (file.to_owned(), line, column));
            let it = (place, finding.message().to_owned());
            let is_new = !seen.contains(&it);
            seen.push(it);
            is_new
        });
    }
    let telling = &draft.telling;
    let roles = telling.roles.iter();
    let names = |roles: &[Named]| roles.iter().map(|role| role.name.clone()).collect();
    assembled.scoring = Some(Scoring {
        leads,
        headers: telling.headers.clone(),
        list_limit: telling.list_limit,
        member: telling.member.clone(),
        api: telling.api,
        configure: names(&telling.configure),
        without_headers: names(&telling.without_headers),
        stale_after: telling.stale_after,
        refresh_every: telling.refresh_every,
        retention: telling.retention,
        disclosures: roles.map(|(role, disclosure)| (role.name.clone(), *disclosure)).collect(),
    });
    assembled
}

impl Assembled {
    /// Lays `worths` over `rules` and compiles them.
    fn plan(
        &mut self,
        rules: &mut Rules,
        worths: &[&Worth],
        draft: &ScoringDraft,
    ) -> Option<Arc<ScoringPlan>> {
        for worth in worths {
            worth.lay_over(rules);
            for alias in &worth.aliases {
                let known = || rules.statuses.iter().map(|status| status.name.as_str());
                if !known().any(|name| name.eq_ignore_ascii_case(&alias.status)) {
                    let message = format!("there is no status `{}`", alias.status);
                    self.faults.push(
                        at(Finding::error("policy::unknown_status", message), &alias.origin)
                            .label("no factor is given for it")
                            .help(suggest(&alias.status, known())),
                    );
                }
            }
        }
        let sum = rules.weights.sum();
        let weights_at = worths.iter().rev().find_map(|worth| worth.weights_at.as_ref());
        if let Some(origin) = weights_at
            && sum != Thousandths::whole(100)
        {
            let message = format!("the weights add up to {sum}, not to 100");
            self.doubts.push(
                at(Finding::warning("policy::weights_sum", message), origin)
                    .label("with those that are not named here")
                    .help("a total is cut at 100, and the qualities begin at 40, 60 and 80 of 100; name all six, or change another"),
            );
        }
        match ScoringPlan::compile(rules.clone()) {
            Ok(plan) => Some(Arc::new(plan)),
            Err(TooManyInputs(found)) => {
                let fields_at = worths.iter().rev().find_map(|worth| worth.fields_at.as_ref());
                let message = TooManyInputs(found).to_string();
                self.faults.push(
                    at(
                        Finding::error("policy::too_many_inputs", message),
                        fields_at.unwrap_or(&draft.origin),
                    )
                    .label("the last of the lists of fields")
                    .help("leave out fields that say little"),
                );
                None
            }
        }
    }
}

fn at(finding: Finding, origin: &Origin) -> Finding {
    finding.at(&origin.source, origin.span)
}

/// What each company says for itself: in a section, then in a file of its own.
fn by_company<'d>(
    draft: &'d ScoringDraft,
    files: &'d [CompanyDraft],
) -> BTreeMap<&'d str, Vec<&'d Worth>> {
    let mut companies: BTreeMap<&str, Vec<&Worth>> = BTreeMap::new();
    for company in draft.companies.iter().chain(files) {
        companies.entry(&company.company.name).or_default().push(&company.worth);
    }
    companies
}

fn stray(company: &CompanyDraft) -> Finding {
    let Named { name, origin } = &company.company;
    let message = format!("the company `{name}` scores leads, and nothing says what a lead is");
    at(Finding::error("policy::stray_company", message), origin)
        .label("laid over `scoring.yaml`, which is not there")
        .help("write `scoring.yaml` with `leads: [lead]`, or delete this file")
}

fn unknown_names(drafts: &Drafts, draft: &ScoringDraft, faults: &mut Vec<Finding>) {
    let declared = drafts.resources.iter().map(|draft| draft.named.name.as_str());
    let resources: Vec<&str> =
        declared.chain(drafts.unread_resources.iter().map(String::as_str)).collect();
    let of_activities =
        draft.leads.iter().filter_map(|lead| lead.places.activity_resource.as_ref());
    let named = draft.leads.iter().map(|lead| &lead.resource);
    for resource in named.chain(&draft.places.activity_resource).chain(of_activities) {
        if !resources.contains(&resource.name.as_str()) {
            let message = format!("there is no resource `{}`", resource.name);
            faults.push(
                at(Finding::error("policy::unknown_resource", message), &resource.origin)
                    .label("no file of `resources/` declares it")
                    .help(suggest(&resource.name, resources.iter().copied())),
            );
        }
    }
    if drafts.has_unread_role {
        return;
    }
    let roles = || drafts.roles.iter().map(|role| role.named.name.as_str());
    let told = draft.telling.roles.iter().map(|(role, _)| role);
    let lists = [&draft.telling.configure, &draft.telling.without_headers];
    for role in told.chain(lists.into_iter().flatten()) {
        if !roles().any(|known| known == role.name) {
            let message = format!("there is no role `{}`", role.name);
            faults.push(
                at(Finding::error("policy::unknown_role", message), &role.origin)
                    .label("no file of `roles/` declares it")
                    .help(suggest(&role.name, roles())),
            );
        }
    }
}

/// A list may name a resource twice; a mapping cannot.
fn repeated_leads(leads: &[LeadDraft], faults: &mut Vec<Finding>) {
    for (number, lead) in leads.iter().enumerate() {
        let Named { name, origin } = &lead.resource;
        let before = leads.iter().take(number).find(|before| before.resource.name == *name);
        if let Some(before) = before {
            let place = place_of(&before.resource.origin, &origin.source);
            let message = format!("`{name}` is named on {place} already");
            faults.push(
                at(Finding::error("policy::duplicate_resource", message), origin)
                    .label("the second one of this name")
                    .help("delete one of them"),
            );
        }
    }
}
