//! Scoring as checked: which resources are leads, what each company counts, what each role is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::Duration;

use super::mode::Combine;
use super::set::{PolicySet, Role};
use super::sight::Sight;
use crate::json::automaton::TooComplex;
use crate::json::path::FieldPath;
use crate::score::{
    ActivityRule, ComponentSet, Disclosure, HeaderNames, Kept, ScoringPlan, Visible,
};

/// How leads are scored, and who is told.
#[derive(Debug)]
pub struct Scoring {
    /// By resource.
    pub leads: BTreeMap<String, LeadScoring>,
    /// What the headers are called; `None` where there are none.
    pub headers: Option<HeaderNames>,
    /// Most leads that the header of a list names.
    pub list_limit: usize,
    /// The member that is spliced into each record; `None` where none is.
    pub member: Option<String>,
    /// Where the API is.
    pub api: ScoreApi,
    /// Roles that may change how their company counts, where the API is on the data listener.
    pub configure: BTreeSet<String>,
    /// Roles whose answers have no score in their heads.
    pub without_headers: BTreeSet<String>,
    /// A score of this age is calculated anew before it is told.
    pub stale_after: Duration,
    /// How often stale scores are looked for.
    pub refresh_every: Duration,
    /// How long the history of a score is kept.
    pub retention: Duration,
    /// Roles that are not told the whole score.
    pub disclosures: BTreeMap<String, Disclosure>,
}

/// The rules for one kind of lead, compiled.
#[derive(Debug)]
pub struct LeadScoring {
    /// For every company without rules of its own.
    pub plan: Arc<ScoringPlan>,
    /// For those with.
    pub companies: BTreeMap<String, Arc<ScoringPlan>>,
    /// How all of them are read, one page after the other; `None` where nobody says.
    pub listing: Option<Listing>,
}

/// How the CRM lists leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Path and query of the first page, on a route of the resource.
    pub target: String,
    /// Where a page links to the next one; without it there is one page.
    pub next: Option<FieldPath>,
    /// Where a page says how many leads there are in all.
    pub total: Option<FieldPath>,
}

/// Where the scoring API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScoreApi {
    /// Nowhere.
    Off,
    /// On the admin listener.
    #[default]
    Admin,
    /// On the data listener too, under the caller's own roles.
    Data,
}

/// What some roles may know of the scores of one kind of lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// How much of a score.
    pub disclosure: Disclosure,
    /// Which inputs they see. What rests on the others is folded.
    pub visible: Visible,
    /// They see the ids of records, so that a list header may name them.
    pub ids: bool,
    /// Scores stand in the heads of their answers.
    pub headers: bool,
}

impl Told {
    /// Nothing at all.
    pub const NOTHING: Self = Self {
        disclosure: Disclosure::Withhold,
        visible: Visible::NONE,
        ids: false,
        headers: false,
    };
}

impl Scoring {
    /// The rules for a kind of lead and a company; `None` where the resource holds no leads.
    #[must_use]
    pub fn plan(&self, resource: &str, company: Option<&str>) -> Option<&Arc<ScoringPlan>> {
        let lead = self.leads.get(resource)?;
        Some(company.and_then(|company| lead.companies.get(company)).unwrap_or(&lead.plan))
    }

    /// Whether a company has rules of its own.
    #[must_use]
    pub fn names(&self, company: &str) -> bool {
        self.leads.values().any(|lead| lead.companies.contains_key(company))
    }

    /// How much of a score the roles of one caller get together.
    #[must_use]
    pub fn disclosure<'r>(
        &self,
        roles: impl IntoIterator<Item = &'r str>,
        combine: Combine,
    ) -> Disclosure {
        let each =
            roles.into_iter().map(|role| self.disclosures.get(role).copied().unwrap_or_default());
        let together = match combine {
            Combine::MostRestrictive => each.max(),
            Combine::Union => each.min(),
        };
        together.unwrap_or(Disclosure::Withhold)
    }

    /// What `roles` may know of a score that was kept: how much of it, and what of it is folded.
    /// `plan` is the one of today.
    ///
    /// # Errors
    /// When the paths multiply beyond what is sensible.
    pub fn told_of_kept(
        &self,
        set: &PolicySet,
        resource: &str,
        roles: &[&Role],
        plan: &ScoringPlan,
        kept: &Kept,
    ) -> Result<(Disclosure, ComponentSet), TooComplex> {
        let Some(resource) = set.resources.get(resource) else {
            return Ok((Disclosure::Withhold, ComponentSet::ALL));
        };
        let sight = Sight::of(set, resource, roles)?;
        // Where activities stand in the record today, nobody knows where they stood then.
        let activities =
            plan.counts_elsewhere() && sees_activities(set, roles, plan.activity_rule())?;
        let names = roles.iter().map(|role| role.name.as_str());
        let disclosure = self.disclosure(names, resource.combine);
        Ok((disclosure, kept.folded(activities, |path| sight.sees(path))))
    }

    /// What `roles` may know of the scores that `plan` makes of `resource`. Worth keeping: it
    /// depends on the policies, the roles and the plan alone.
    ///
    /// # Errors
    /// When the paths multiply beyond what is sensible.
    pub fn told(
        &self,
        set: &PolicySet,
        resource: &str,
        roles: &[&Role],
        plan: &ScoringPlan,
    ) -> Result<Told, TooComplex> {
        let Some(resource) = set.resources.get(resource) else { return Ok(Told::NOTHING) };
        let sight = Sight::of(set, resource, roles)?;
        let activities = sees_activities(set, roles, plan.activity_rule())?;
        let names = roles.iter().map(|role| role.name.as_str());
        let has_headers = |role: &&Role| !self.without_headers.contains(&role.name);
        Ok(Told {
            disclosure: self.disclosure(names, resource.combine),
            visible: Visible::of(plan, activities, |path| sight.sees(path)),
            ids: resource.id.as_ref().is_some_and(|id| sight.sees(id)),
            headers: match resource.combine {
                Combine::MostRestrictive => roles.iter().all(has_headers),
                Combine::Union => roles.iter().any(has_headers),
            },
        })
    }
}

/// Whether roles see what activities outside of the record are counted by: the lead and the time.
fn sees_activities(
    set: &PolicySet,
    roles: &[&Role],
    rule: &ActivityRule,
) -> Result<bool, TooComplex> {
    let (resource, paths): (&str, [Option<&FieldPath>; 2]) = match rule {
        ActivityRule::Nowhere | ActivityRule::Count(_) | ActivityRule::Moments(_) => {
            return Ok(true);
        }
        ActivityRule::Observed { resource, lead, at } => (resource, [Some(lead), at.as_ref()]),
        ActivityRule::Fetch(fetch) => (&fetch.resource, [Some(&fetch.at), None]),
    };
    let Some(resource) = set.resources.get(resource) else { return Ok(false) };
    let sight = Sight::of(set, resource, roles)?;
    Ok(paths.into_iter().flatten().all(|path| sight.sees(path)))
}
