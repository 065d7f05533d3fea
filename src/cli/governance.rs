//! Stands in for `proxy::Governance` until the proxy room is merged, with the same interface.
//!
//! To be deleted then: `crate::proxy::{AnswerFilter, Governance}` take its place.

use std::sync::Arc;

use crate::diagnostic::Finding;
use crate::json;
use crate::json::automaton::Automaton;
use crate::json::filter::{Filter, FilterLimits, Replacer, Tally};
use crate::json::navigate::{Navigator, Slot, Verdict};
use crate::mask::{KeyRing, Masker, NonceSequence};
use crate::policy::plan::{MaskSlot, Plan, PolicyJudge, Purpose, Scope};
use crate::policy::set::Role;
use crate::policy::{GovernedRoute, PolicySet, RouteTable};
use crate::telemetry::Refusal;

/// The filter of one answer.
pub(super) type AnswerFilter = Filter<Shared, Masks>;

/// Policies, routes and keys, ready to make filters.
pub(super) struct Governance {
    set: PolicySet,
    routes: RouteTable,
    keys: Option<Arc<KeyRing>>,
}

impl Governance {
    pub(super) fn prepare(
        set: PolicySet,
        keys: Option<Arc<KeyRing>>,
    ) -> Result<Self, Vec<Finding>> {
        let routes = RouteTable::new(&set).map_err(|conflict| {
            vec![Finding::error("policy::route_conflict", conflict.to_string())]
        })?;
        let mut findings = missing_keys(&set, keys.is_some());
        findings.extend(too_complex(&set));
        if findings.is_empty() { Ok(Self { set, routes, keys }) } else { Err(findings) }
    }

    pub(super) fn set(&self) -> &PolicySet {
        &self.set
    }

    pub(super) fn routes(&self) -> &RouteTable {
        &self.routes
    }

    pub(super) fn answer_filter(
        &self,
        route: Option<&GovernedRoute>,
        roles: &[String],
        tenant: Option<&str>,
        success: bool,
        limits: FilterLimits,
    ) -> Result<AnswerFilter, Refusal> {
        let known = || roles.iter().filter_map(|role| self.set.roles.get(role));
        let known: Vec<&Role> = known().map(|role| &**role).collect();
        if route.is_some() && (known.is_empty() || known.len() != roles.len()) {
            return Err(Refusal::Internal);
        }
        let scope = match route {
            None => None,
            Some(governed) => {
                let resource = &*governed.resource;
                let route = resource.routes.get(governed.route).ok_or(Refusal::Internal)?;
                Some(Scope { resource, route })
            }
        };
        let purpose = if success { Purpose::Read } else { Purpose::ReadAnything };
        let plan = Plan::compile(scope, &known, &self.set.global, purpose)
            .map_err(|_| Refusal::Internal)?;
        let maskers = plan
            .slots
            .iter()
            .map(|slot| self.masker(slot, tenant.unwrap_or_default()))
            .collect::<Result<_, Refusal>>()?;
        let masks = Masks { maskers, nonces: NonceSequence::new(rand::random()) };
        Ok(Filter::new(Shared(Arc::new(plan.automaton)), masks, limits))
    }

    fn masker(&self, slot: &MaskSlot, tenant: &str) -> Result<Masker, Refusal> {
        match &self.keys {
            Some(keys) => keys.masker(&slot.strategy, tenant, &slot.field),
            None => Masker::keyless(&slot.strategy),
        }
        .map_err(|_| Refusal::KeysNotReady)
    }
}

fn missing_keys(set: &PolicySet, have_keys: bool) -> Vec<Finding> {
    let fields = set.resources.values().flat_map(|resource| &resource.fields);
    fields
        .chain(&set.global.fields)
        .filter(|field| field.strategy.as_ref().is_some_and(crate::mask::Strategy::needs_key))
        .filter(|_| !have_keys)
        .map(|field| {
            let path = &field.path;
            let message = format!("the mask of `{path}` needs a key, and there is no key ring");
            Finding::error("policy::key_missing", message)
                .at(&field.origin.source, field.origin.span)
                .help("make one with `fieldgate keys new --out keys.yaml` and name it as `keys:`")
        })
        .collect()
}

fn too_complex(set: &PolicySet) -> Vec<Finding> {
    let all: Vec<&Role> = set.roles.values().map(|role| &**role).collect();
    let mut findings = Vec::new();
    for resource in set.resources.values() {
        for route in &resource.routes {
            let scope = Some(Scope { resource, route });
            if let Err(reason) = Plan::compile(scope, &all, &set.global, Purpose::Read) {
                let message = format!("`{}` on `{}`: {reason}", resource.name, route.path);
                findings.push(Finding::error("policy::too_complex", message));
            }
        }
    }
    findings
}

/// An automaton that the filter owns a share of.
#[derive(Debug)]
pub(super) struct Shared(Arc<Automaton<PolicyJudge>>);

impl Navigator for Shared {
    type State = <&'static Automaton<PolicyJudge> as Navigator>::State;

    fn root(&self) -> Self::State {
        (&&*self.0).root()
    }

    fn member(&self, parent: &Self::State, name: &[u8]) -> Self::State {
        (&&*self.0).member(parent, name)
    }

    fn element(&self, parent: &Self::State, index: u64) -> Self::State {
        (&&*self.0).element(parent, index)
    }

    fn verdict(&self, state: &Self::State) -> Verdict {
        (&&*self.0).verdict(state)
    }

    fn is_inert(&self, state: &Self::State) -> bool {
        (&&*self.0).is_inert(state)
    }

    fn filter_held(
        &self,
        state: &Self::State,
        raw: &[u8],
        limits: FilterLimits,
        replacer: &mut dyn Replacer,
        out: &mut Vec<u8>,
    ) -> Result<Tally, json::Refusal> {
        (&&*self.0).filter_held(state, raw, limits, replacer, out)
    }
}

/// The masks for one answer.
#[derive(Debug)]
pub(super) struct Masks {
    maskers: Vec<Masker>,
    nonces: NonceSequence,
}

impl Replacer for Masks {
    fn replace(&mut self, slot: Slot, raw: &[u8], out: &mut Vec<u8>) -> Result<(), json::Refusal> {
        let masker = usize::try_from(slot.0).ok().and_then(|slot| self.maskers.get(slot));
        let masker = masker.ok_or(json::Refusal::ReplacementFailed)?;
        masker.mask(raw, &mut self.nonces, out).map_err(|_| json::Refusal::ReplacementFailed)
    }
}
