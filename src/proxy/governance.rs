//! The policies in force, ready for requests: routes, plans and masks, compiled once and kept.

use std::sync::Arc;

use moka::sync::Cache;

use super::masking::{AnswerFilter, Masks};
use crate::diagnostic::Finding;
use crate::json::filter::{Filter, FilterLimits, Observer};
use crate::mask::{KeyRing, Masker};

use crate::json::path::FieldPath;
use crate::policy::plan::{Interest, MaskSlot, Plan, Purpose, Scope};
use crate::policy::set::{Resource, Role};
use crate::policy::{GovernedRoute, PolicySet, RouteTable};
use crate::telemetry::Refusal;

/// Most plans kept: a plan is one route for one set of roles and one purpose.
const MOST_PLANS: u64 = 4096;

/// Most mask sets kept: one for a plan and a tenant.
const MOST_MASK_SETS: u64 = 16_384;

/// Everything a request needs of the policies. Immutable but for its caches.
#[derive(Debug)]
pub struct Governance {
    set: PolicySet,
    routes: RouteTable,
    keys: Option<Arc<KeyRing>>,
    plans: Cache<PlanKey, Arc<Plan>>,
    masks: Cache<(PlanKey, String), Arc<[Masker]>>,
}

/// What a plan depends on, within one set of policies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PlanKey {
    /// Resource name and place of the route; `None` where only global entries govern.
    route: Option<(String, usize)>,
    /// Known roles, sorted.
    roles: Vec<String>,
    purpose: Purpose,
    /// Whether the watched paths of the resource are told.
    observed: bool,
}

impl PlanKey {
    fn new(route: Option<&GovernedRoute>, roles: &[String], purpose: Purpose) -> Self {
        let route = route.map(|route| (route.resource.name.clone(), route.route));
        Self { route, roles: roles.to_vec(), purpose, observed: false }
    }
}

impl Governance {
    /// Prepares a checked set of policies.
    ///
    /// # Errors
    /// What a set can only be refused for now: paths that are too rich to compile together, and
    /// masks that need keys where there are none.
    pub fn prepare(set: PolicySet, keys: Option<Arc<KeyRing>>) -> Result<Self, Vec<Finding>> {
        let routes = RouteTable::new(&set).map_err(|conflict| {
            vec![Finding::error("plan::route_conflict", conflict.to_string())]
        })?;
        let mut findings = missing_keys(&set, keys.is_some());
        findings.extend(too_complex(&set));
        if !findings.is_empty() {
            return Err(findings);
        }
        Ok(Self {
            set,
            routes,
            keys,
            plans: Cache::new(MOST_PLANS),
            masks: Cache::new(MOST_MASK_SETS),
        })
    }

    /// The checked policies.
    #[must_use]
    pub fn set(&self) -> &PolicySet {
        &self.set
    }

    /// The key ring of the masks; `None` where there is none.
    #[must_use]
    pub fn keys(&self) -> Option<Arc<KeyRing>> {
        self.keys.clone()
    }

    /// The declared routes.
    #[must_use]
    pub fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// The plan for a key.
    fn plan(&self, key: &PlanKey) -> Result<Arc<Plan>, Refusal> {
        if let Some(plan) = self.plans.get(key) {
            return Ok(plan);
        }
        self.plans
            .try_get_with_by_ref(key, || self.compile(key).map(Arc::new))
            .map_err(|_| Refusal::Internal)
    }

    fn compile(&self, key: &PlanKey) -> Result<Plan, Refusal> {
        let roles: Vec<&Role> = key
            .roles
            .iter()
            .filter_map(|role| self.set.roles.get(role))
            .map(|role| &**role)
            .collect();
        let scope = match &key.route {
            None => None,
            Some((name, route)) => {
                let resource = self.set.resources.get(name).ok_or(Refusal::Internal)?;
                let route = resource.routes.get(*route).ok_or(Refusal::Internal)?;
                Some(Scope { resource, route })
            }
        };
        // Without a role there is nothing that could give a right.
        if scope.is_some() && (roles.is_empty() || roles.len() != key.roles.len()) {
            return Err(Refusal::Internal);
        }
        let watched = scope.map(|scope| watched_paths(scope.resource)).unwrap_or_default();
        let interest = key.observed.then_some(Interest { watched: &watched, shown: false });
        Plan::compile_for(scope, &roles, &self.set.global, key.purpose, interest)
            .map_err(|_| Refusal::Internal)
    }

    /// The filter of one answer. `roles` are known ones, sorted; `success` says whether the answer
    /// is a success, for an error holds no record.
    ///
    /// # Errors
    /// No filter, so nothing may be sent.
    pub fn answer_filter(
        &self,
        route: Option<&GovernedRoute>,
        roles: &[String],
        tenant: Option<&str>,
        success: bool,
        limits: FilterLimits,
    ) -> Result<AnswerFilter, Refusal> {
        let purpose = if success { Purpose::Read } else { Purpose::ReadAnything };
        self.filter(PlanKey::new(route, roles, purpose), tenant, (), limits)
    }

    /// The filter of a successful answer whose watched places `observer` is told of.
    pub(super) fn observed_filter<O: Observer>(
        &self,
        route: &GovernedRoute,
        roles: &[String],
        tenant: Option<&str>,
        observer: O,
        limits: FilterLimits,
    ) -> Result<AnswerFilter<O>, Refusal> {
        let key = PlanKey { observed: true, ..PlanKey::new(Some(route), roles, Purpose::Read) };
        self.filter(key, tenant, observer, limits)
    }

    /// The filter of some members of one record, put together by ourselves.
    pub(super) fn part_filter(
        &self,
        route: &GovernedRoute,
        roles: &[String],
        tenant: Option<&str>,
        limits: FilterLimits,
    ) -> Result<AnswerFilter, Refusal> {
        self.filter(PlanKey::new(Some(route), roles, Purpose::ReadPart), tenant, (), limits)
    }

    fn filter<O: Observer>(
        &self,
        key: PlanKey,
        tenant: Option<&str>,
        observer: O,
        limits: FilterLimits,
    ) -> Result<AnswerFilter<O>, Refusal> {
        let plan = self.plan(&key)?;
        let masks = self.masks(key, &plan, tenant.unwrap_or_default())?;
        let masks = Masks::new(masks);
        Ok(Filter::observed(Arc::clone(&plan.automaton), masks, observer, limits))
    }

    /// What a request body on `route` may hold.
    pub(super) fn write_plan(
        &self,
        route: &GovernedRoute,
        roles: &[String],
    ) -> Result<Arc<Plan>, Refusal> {
        self.plan(&PlanKey::new(Some(route), roles, Purpose::Write))
    }

    /// The masks of a plan for one tenant, by slot.
    fn masks(&self, key: PlanKey, plan: &Plan, tenant: &str) -> Result<Arc<[Masker]>, Refusal> {
        let masks_key = (key, tenant.to_owned());
        if let Some(masks) = self.masks.get(&masks_key) {
            return Ok(masks);
        }
        let masks = plan
            .slots
            .iter()
            .map(|slot| self.masker(slot, tenant))
            .collect::<Result<Arc<[Masker]>, Refusal>>()?;
        self.masks.insert(masks_key, Arc::clone(&masks));
        Ok(masks)
    }

    fn masker(&self, slot: &MaskSlot, tenant: &str) -> Result<Masker, Refusal> {
        match &self.keys {
            Some(keys) => keys.masker(&slot.strategy, tenant, &slot.field),
            None => Masker::keyless(&slot.strategy),
        }
        .map_err(|_| Refusal::KeysNotReady)
    }
}

/// What is watched in the records of a resource. The id comes first.
fn watched_paths(resource: &Resource) -> Vec<FieldPath> {
    resource.id.iter().cloned().collect()
}

/// Fields whose mask needs a key although no key ring is configured.
fn missing_keys(set: &PolicySet, have_keys: bool) -> Vec<Finding> {
    if have_keys {
        return Vec::new();
    }
    let fields = set.resources.values().flat_map(|resource| &resource.fields);
    fields
        .chain(&set.global.fields)
        .filter(|field| field.strategy.as_ref().is_some_and(|strategy| strategy.needs_key()))
        .map(|field| {
            Finding::error(
                "plan::key_missing",
                format!("the mask of `{}` needs a key, and no key ring is configured", field.path),
            )
            .at(&field.origin.source, field.origin.span)
            .help("make one with `fieldgate keys new --out keys.yaml` and name it as `keys:` in the configuration")
        })
        .collect()
}

/// Routes whose paths cannot be compiled, for one role or for all of them together.
fn too_complex(set: &PolicySet) -> Vec<Finding> {
    let all: Vec<&Role> = set.roles.values().map(|role| &**role).collect();
    let mut findings = Vec::new();
    for resource in set.resources.values() {
        for route in &resource.routes {
            let scope = Some(Scope { resource, route });
            let alone = all.iter().map(std::slice::from_ref);
            for roles in alone.chain(std::iter::once(all.as_slice())) {
                let compiled = Plan::compile(scope, roles, &set.global, Purpose::Read);
                if let Err(reason) = compiled {
                    let message = format!("`{}` on `{}`: {reason}", resource.name, route.path);
                    findings.push(
                        Finding::error("plan::too_complex", message)
                            .help("write fewer recursive paths with several steps (`$..a..b`)"),
                    );
                    break;
                }
            }
        }
    }
    findings
}
