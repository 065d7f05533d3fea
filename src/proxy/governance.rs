//! The policies in force, ready for requests: routes, plans and masks, compiled once and kept.

use std::sync::Arc;

use moka::sync::Cache;

use super::masking::{AnswerFilter, Masks};
use crate::diagnostic::Finding;
use crate::guard::Rights;
use crate::guard::query::Sight;
use crate::json::filter::{Filter, FilterLimits};
use crate::json::path::FieldPath;
use crate::mask::{KeyRing, Masker};

use crate::policy::plan::{MaskSlot, Plan, Purpose, Scope, folded};
use crate::policy::query::QueryRules;
use crate::policy::set::Role;
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
}

impl PlanKey {
    fn new(route: Option<&GovernedRoute>, roles: &[String], purpose: Purpose) -> Self {
        let route = route.map(|route| (route.resource.name.clone(), route.route));
        Self { route, roles: roles.to_vec(), purpose }
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
        if scope.is_some()
            && key.purpose != Purpose::Registry
            && (roles.is_empty() || roles.len() != key.roles.len())
        {
            return Err(Refusal::Internal);
        }
        Plan::compile(scope, &roles, &self.set.global, key.purpose).map_err(|_| Refusal::Internal)
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
        let key = PlanKey::new(route, roles, purpose);
        let plan = self.plan(&key)?;
        let masks = self.masks(key, &plan, tenant.unwrap_or_default())?;
        Ok(Filter::new(Arc::clone(&plan.automaton), Masks::new(masks), limits))
    }

    /// What a request body on `route` may hold, and the masks of its fields.
    pub(super) fn write_guard<'a>(
        &'a self,
        route: &'a GovernedRoute,
        roles: &[String],
    ) -> Result<WriteGuard<'a>, Refusal> {
        let plan = self.plan(&PlanKey::new(Some(route), roles, Purpose::Write))?;
        let registry = self.plan(&PlanKey::new(Some(route), &[], Purpose::Registry))?;
        Ok(WriteGuard { route, plan, registry, keys: self.keys.as_deref() })
    }

    /// What these roles may see of the resources.
    pub(super) fn sight<'a>(&'a self, roles: &'a [String]) -> CallerSight<'a> {
        CallerSight { governance: self, roles }
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

/// What the guard of a write needs, kept together for as long as the write is decided.
pub(super) struct WriteGuard<'a> {
    route: &'a GovernedRoute,
    plan: Arc<Plan>,
    registry: Arc<Plan>,
    keys: Option<&'a KeyRing>,
}

impl WriteGuard<'_> {
    /// The rights of a caller of this tenant.
    pub(super) fn rights<'g>(&'g self, tenant: &'g str) -> Result<Rights<'g>, Refusal> {
        let route = self.route.declared().ok_or(Refusal::Internal)?;
        Ok(Rights {
            writes: self.route.resource.writes,
            plan: &self.plan,
            registry: &self.registry,
            body: route.records_in_body(),
            keys: self.keys,
            tenant,
        })
    }
}

/// What a caller may see, for the guard of questions.
pub(super) struct CallerSight<'a> {
    governance: &'a Governance,
    roles: &'a [String],
}

impl Sight for CallerSight<'_> {
    fn rules(&self, resource: &str) -> Option<&QueryRules> {
        self.governance.set.resources.get(resource).map(|resource| &resource.query)
    }

    /// A plan of [`Purpose::Record`] is the same for every route of the resource.
    fn plan(&self, resource: &str) -> Option<Arc<Plan>> {
        let key = PlanKey {
            route: Some((resource.to_owned(), 0)),
            roles: self.roles.to_vec(),
            purpose: Purpose::Record,
        };
        self.governance.plan(&key).ok()
    }

    fn sees_all(&self, resource: &str) -> bool {
        self.plan(resource).is_some_and(|plan| plan.sees_all())
    }

    fn knows(&self, resource: &str, name: &str) -> bool {
        let set = &self.governance.set;
        let Some(resource) = set.resources.get(resource) else { return false };
        let is_it =
            |path: &FieldPath| path.last_name().is_some_and(|known| folded(known) == folded(name));
        let registered = resource.fields.iter().map(|field| &field.path);
        let ruled = set.roles.values().filter_map(|role| role.resources.get(&resource.name));
        let ruled = ruled.flat_map(|here| &here.entries).map(|entry| &entry.path);
        registered.chain(&resource.id).chain(ruled).any(is_it)
    }
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
