//! The policies in force, ready for requests: routes, plans and masks, compiled once and kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use moka::sync::Cache;

use super::collector::{Collector, WatchList};
use super::masking::{AnswerFilter, Masks};
use crate::diagnostic::Finding;
use crate::event::detect::Values;
use crate::json::filter::{Filter, FilterLimits, Observer};
use crate::mask::{KeyRing, Masker, NonceSequence, Strategy};

use crate::policy::plan::{Interest, MaskSlot, Plan, Purpose, Scope};
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
    /// By resource.
    watched: BTreeMap<String, Arc<WatchList>>,
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
        let watched = set.resources.iter();
        let watched =
            watched.map(|(name, resource)| (name.clone(), Arc::new(WatchList::of(resource))));
        Ok(Self {
            watched: watched.collect(),
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
        if scope.is_some() && (roles.is_empty() || roles.len() != key.roles.len()) {
            return Err(Refusal::Internal);
        }
        let watched = scope.and_then(|scope| self.watched.get(&scope.resource.name));
        let watched = watched.map(|watched| watched.paths()).unwrap_or_default();
        let interest = key.observed.then_some(Interest { watched, shown: false });
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

    /// The filter of one answer, whose watched places `observer` is told of if there is one.
    pub(super) fn street_filter<O: Observer>(
        &self,
        route: Option<&GovernedRoute>,
        roles: &[String],
        tenant: Option<&str>,
        success: bool,
        observer: Option<O>,
        limits: FilterLimits,
    ) -> Result<AnswerFilter<Option<O>>, Refusal> {
        let purpose = if success { Purpose::Read } else { Purpose::ReadAnything };
        let observed = observer.is_some();
        let key = PlanKey { observed, ..PlanKey::new(route, roles, purpose) };
        self.filter(key, tenant, observer, limits)
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
        resource: &str,
        roles: &[String],
        tenant: Option<&str>,
        limits: FilterLimits,
    ) -> Result<AnswerFilter, Refusal> {
        // Where the records of a route stand does not matter, so any will do.
        let route = Some((resource.to_owned(), 0));
        let roles = roles.to_vec();
        let key = PlanKey { route, roles, purpose: Purpose::ReadPart, observed: false };
        self.filter(key, tenant, (), limits)
    }

    /// What is watched in the records of a resource.
    pub(super) fn watched(&self, resource: &str) -> Option<Arc<WatchList>> {
        self.watched.get(resource).map(Arc::clone)
    }

    /// Whether event rules want to know what records of a resource were before.
    pub(super) fn remembers(&self, resource: &str) -> bool {
        self.watched.get(resource).is_some_and(|watched| watched.remembers())
    }

    /// The watched values of the one record in `body`, an answer on `route`.
    pub(super) fn watched_values(
        &self,
        route: &GovernedRoute,
        roles: &[String],
        body: &[u8],
        limits: FilterLimits,
    ) -> Option<Values> {
        let collector = Collector::new(self.watched(&route.resource.name)?);
        let mut filter = self.observed_filter(route, roles, None, collector, limits).ok()?;
        let mut unseen = Vec::new();
        filter.push(body, &mut unseen).ok()?;
        filter.finish(&mut unseen).ok()?;
        match filter.observer().take().as_mut_slice() {
            [record] => Some(std::mem::take(&mut record.values)),
            _ => None,
        }
    }

    /// Seals a JSON text for one field of one tenant; `None` where there are no keys.
    pub(super) fn seal(&self, tenant: &str, field: &str, text: &str) -> Option<Vec<u8>> {
        let masker = self.keys.as_ref()?.masker(&Strategy::Encrypt, tenant, field).ok()?;
        let mut sealed = Vec::new();
        let mut nonces = NonceSequence::new(rand::random());
        masker.mask(text.as_bytes(), &mut nonces, &mut sealed).ok()?;
        Some(sealed)
    }

    /// The JSON text that was sealed.
    pub(super) fn open(&self, tenant: &str, field: &str, sealed: &[u8]) -> Option<Box<str>> {
        let sealed = std::str::from_utf8(sealed).ok()?;
        if matches!(sealed, "null" | "\"\"") {
            // As a mask leaves them.
            return Some(sealed.into());
        }
        let sealed = sealed.trim_matches('"');
        let text = self.keys.as_ref()?.reveal(sealed, tenant, field).ok()?;
        String::from_utf8(text).ok().map(String::into_boxed_str)
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
