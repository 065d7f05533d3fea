//! The policies in force, ready for requests: routes, plans and masks, compiled once and kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use moka::Equivalent;
use moka::sync::Cache;
use time::OffsetDateTime;

use super::admit::Call;
use super::collector::{Collector, WatchList};
use super::field_rules::field_rules;
use super::masking::{AnswerFilter, Masks};
use super::scorer::Terms;
use super::sightings::ActivityPaths;
use crate::diagnostic::Finding;
use crate::event::detect::Values;
use crate::guard::query::Sight;
use crate::guard::{LookedUp, Rights};
use crate::json::filter::{Filter, FilterLimits, Observer};
use crate::json::path::FieldPath;
use crate::mask::{KeyRing, Masker, NonceSequence, Strategy, VaultToken};
use crate::policy::plan::{Interest, MaskSlot, Plan, Purpose, Scope, folded};
use crate::policy::query::QueryRules;
use crate::policy::scoring::{Listing, Told};
use crate::policy::set::Role;
use crate::policy::{CanonicalPath, GovernedRoute, Match, PolicySet, RouteTable};
use crate::score::{ActivityRule, Rendering, Score};
use crate::telemetry::{FieldRule, Refusal};
use crate::token_map::TokenMap;

/// Most plans kept: a plan is one route for one set of roles and one purpose.
const MOST_PLANS: u64 = 4096;

/// Most paths that are watched in one record.
const MOST_WATCHED: usize = 128;

/// Most mask sets kept: one for a plan and a tenant.
const MOST_MASK_SETS: u64 = 16_384;

/// Everything a request needs of the policies. Immutable but for its caches.
#[derive(Debug)]
pub struct Governance {
    set: Arc<PolicySet>,
    routes: RouteTable,
    keys: Option<Arc<KeyRing>>,
    tokens: Tokens,
    /// By resource.
    watched: BTreeMap<String, Arc<WatchList>>,
    /// By resource, company and roles.
    terms: Cache<(String, Option<String>, Vec<String>), Arc<Terms>>,
    plans: Cache<PlanKey, Arc<Plan>>,
    ready: Cache<(PlanKey, String), Arc<Ready>>,
}

/// A plan with its masks for one tenant.
#[derive(Debug)]
struct Ready {
    plan: Arc<Plan>,
    /// By slot.
    masks: Arc<[Masker]>,
    /// By account.
    rules: Arc<[FieldRule]>,
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
    /// Whether fields of the registry that are shown are counted.
    accounted: bool,
}

/// Where the values behind tokens of the token map are kept.
#[derive(Debug, Clone)]
pub enum Tokens {
    /// Here.
    Kept(TokenMap),
    /// Nowhere, so no policy may ask for it.
    Impossible,
    /// Nowhere, and nobody will ask: masks are only looked at.
    Forgotten,
}

/// A [`PlanKey`] to look for, made of what the request has: no text is copied for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PlanQuery<'a> {
    route: Option<(&'a str, usize)>,
    roles: &'a [String],
    purpose: Purpose,
    observed: bool,
    accounted: bool,
}

impl<'a> PlanQuery<'a> {
    fn new(route: Option<&'a GovernedRoute>, roles: &'a [String], purpose: Purpose) -> Self {
        let route = route.map(|route| (route.resource.name.as_str(), route.route));
        Self { route, roles, purpose, observed: false, accounted: false }
    }

    /// For members of one record. Where the records of a route stand does not matter, so any will
    /// do.
    fn part(resource: &'a str, roles: &'a [String]) -> Self {
        let purpose = Purpose::ReadPart;
        Self { route: Some((resource, 0)), roles, purpose, observed: false, accounted: false }
    }

    fn owned(self) -> PlanKey {
        PlanKey {
            route: self.route.map(|(resource, route)| (resource.to_owned(), route)),
            roles: self.roles.to_vec(),
            purpose: self.purpose,
            observed: self.observed,
            accounted: self.accounted,
        }
    }
}

impl Equivalent<PlanKey> for PlanQuery<'_> {
    fn equivalent(&self, key: &PlanKey) -> bool {
        let route = key.route.as_ref().map(|(resource, route)| (resource.as_str(), *route));
        let PlanKey { roles, purpose, observed, accounted, .. } = key;
        let (purpose, observed, accounted) = (*purpose, *observed, *accounted);
        *self == PlanQuery { route, roles, purpose, observed, accounted }
    }
}

/// A plan with its masks for one tenant, to look for. Hashes as the pair that it stands for.
#[derive(Debug, Hash)]
struct ReadyQuery<'a> {
    plan: PlanQuery<'a>,
    tenant: &'a str,
}

impl Equivalent<(PlanKey, String)> for ReadyQuery<'_> {
    fn equivalent(&self, (plan, tenant): &(PlanKey, String)) -> bool {
        self.tenant == tenant && self.plan.equivalent(plan)
    }
}

impl Governance {
    /// Prepares a checked set of policies.
    ///
    /// # Errors
    /// What a set can only be refused for now: paths that are too rich to compile together, and
    /// masks that need keys where there are none.
    pub fn prepare(
        set: PolicySet,
        keys: Option<Arc<KeyRing>>,
        tokens: Tokens,
    ) -> Result<Self, Vec<Finding>> {
        let routes = RouteTable::new(&set).map_err(|conflict| {
            vec![Finding::error("plan::route_conflict", conflict.to_string())]
        })?;
        let mut findings = missing_keys(&set, keys.is_some());
        findings.extend(missing_map(&set, &tokens));
        findings.extend(too_complex(&set));
        let watched: BTreeMap<String, Arc<WatchList>> = set
            .resources
            .iter()
            .map(|(name, resource)| {
                let scored = scored_paths(&set, name);
                (name.clone(), Arc::new(WatchList::of(resource, scored)))
            })
            .collect();
        findings.extend(too_many_watched(&watched));
        findings.extend(listings_elsewhere(&set, &routes));
        if !findings.is_empty() {
            return Err(findings);
        }
        Ok(Self {
            watched,
            terms: Cache::new(MOST_PLANS),
            set: Arc::new(set),
            routes,
            keys,
            tokens,
            plans: Cache::new(MOST_PLANS),
            ready: Cache::new(MOST_MASK_SETS),
        })
    }

    /// The checked policies.
    #[must_use]
    pub fn set(&self) -> &PolicySet {
        &self.set
    }

    /// The checked policies, to keep beyond a request.
    #[must_use]
    pub fn shared_set(&self) -> Arc<PolicySet> {
        Arc::clone(&self.set)
    }

    /// The value behind a token of the token map, as JSON text; `None` where it has none, or cannot
    /// be asked.
    pub(super) async fn value_of(
        &self,
        tenant: &str,
        field: &str,
        token: &VaultToken,
    ) -> Option<Vec<u8>> {
        let Tokens::Kept(map) = &self.tokens else { return None };
        let sealed = map.look_up(tenant, field, token).await.ok()??;
        self.keys.as_ref()?.open_vaulted(token, &sealed, tenant, field).ok()
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
    fn plan(&self, query: PlanQuery<'_>) -> Result<Arc<Plan>, Refusal> {
        if let Some(plan) = self.plans.get(&query) {
            return Ok(plan);
        }
        let key = query.owned();
        self.plans
            .try_get_with_by_ref(&key, || self.compile(&key).map(Arc::new))
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
        let watched = scope.and_then(|scope| self.watched.get(&scope.resource.name));
        let watched = watched.filter(|_| key.observed);
        let watched = watched.map(|watched| watched.paths()).unwrap_or_default();
        let interest = Interest { watched, shown: key.accounted };
        let interest = (key.observed || key.accounted).then_some(interest);
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
        self.filter(PlanQuery::new(route, roles, purpose), tenant, (), limits)
    }

    /// The filter of one answer, whose watched places `observer` is told of if there is one. Where
    /// it is `accounted` for, what is shown is counted as well.
    pub(super) fn street_filter<O: Observer>(
        &self,
        call: &Call,
        success: bool,
        observer: Option<O>,
        accounted: bool,
        limits: FilterLimits,
    ) -> Result<AnswerFilter<Option<O>>, Refusal> {
        let purpose = if success { Purpose::Read } else { Purpose::ReadAnything };
        let observed = observer.is_some();
        let query = PlanQuery::new(call.route.as_ref(), &call.roles, purpose);
        let query = PlanQuery { observed, accounted, ..query };
        self.filter(query, call.tenant.as_deref(), observer, limits)
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
        let read = PlanQuery::new(Some(route), roles, Purpose::Read);
        self.filter(PlanQuery { observed: true, ..read }, tenant, observer, limits)
    }

    /// The filter of some members of one record, put together by ourselves. `record` is its id, if
    /// that is not among them.
    pub(super) fn part_filter(
        &self,
        resource: &str,
        roles: &[String],
        tenant: Option<&str>,
        record: Option<&str>,
        limits: FilterLimits,
    ) -> Result<AnswerFilter, Refusal> {
        let mut filter = self.filter(PlanQuery::part(resource, roles), tenant, (), limits)?;
        filter.replacer().is_of_record(record);
        Ok(filter)
    }

    /// What is watched in the records of a resource.
    pub(super) fn watched(&self, resource: &str) -> Option<Arc<WatchList>> {
        self.watched.get(resource).map(Arc::clone)
    }

    /// How the leads of a resource are scored for some roles; `None` where it holds no leads.
    pub(super) fn score_terms(
        &self,
        resource: &str,
        tenant: Option<&str>,
        roles: &[String],
    ) -> Option<Arc<Terms>> {
        let scoring = self.set.scoring.as_ref()?;
        let plan = scoring.plan(resource, tenant)?;
        // Companies without rules of their own share the terms.
        let company = scoring.leads.get(resource)?.companies.keys();
        let company = company.into_iter().find(|company| Some(company.as_str()) == tenant).cloned();
        let key = (resource.to_owned(), company, roles.to_vec());
        if let Some(terms) = self.terms.get(&key) {
            return Some(terms);
        }
        let known: Vec<&Role> =
            roles.iter().filter_map(|role| self.set.roles.get(role)).map(|role| &**role).collect();
        // What cannot be worked out is told to nobody.
        let told = scoring.told(&self.set, resource, &known, plan).unwrap_or(Told::NOTHING);
        let watched = self.watched.get(resource)?;
        let terms = Arc::new(Terms::new(scoring, plan, told, watched.paths()));
        self.terms.insert(key, Arc::clone(&terms));
        Some(terms)
    }

    /// Whether a resource holds leads.
    pub(super) fn scores(&self, resource: &str) -> bool {
        self.set.scoring.as_ref().is_some_and(|scoring| scoring.leads.contains_key(resource))
    }

    /// A score that was kept, as `roles` may see it. The rules may have changed since, so it is
    /// folded by what it rested on itself.
    pub(super) fn kept_rendering<'s>(
        &self,
        resource: &str,
        tenant: Option<&str>,
        roles: &[String],
        score: &'s Score,
    ) -> Option<Rendering<'s>> {
        let scoring = self.set.scoring.as_ref()?;
        let plan = scoring.plan(resource, tenant)?;
        let known: Vec<&Role> =
            roles.iter().filter_map(|role| self.set.roles.get(role)).map(|role| &**role).collect();
        let kept = score.keep();
        let (disclosure, folded) =
            scoring.told_of_kept(&self.set, resource, &known, plan, &kept).ok()?;
        Rendering::of(score, disclosure, folded)
    }

    /// The headers that tell the last known score of a lead.
    pub(super) fn last_known_headers(
        &self,
        resource: &str,
        tenant: Option<&str>,
        roles: &[String],
        score: &Score,
        now: OffsetDateTime,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let Some(terms) = self.score_terms(resource, tenant, roles) else { return Vec::new() };
        let rendering = self.kept_rendering(resource, tenant, roles, score);
        rendering.map_or_else(Vec::new, |rendering| terms.headers(&rendering, Some(now)))
    }

    /// What the records of a resource tell of the activities of leads.
    pub(super) fn activity_paths(
        &self,
        resource: &str,
        tenant: Option<&str>,
    ) -> Option<ActivityPaths> {
        let scoring = self.set.scoring.as_ref()?;
        let watched = self.watched.get(resource)?;
        let number = |path: &FieldPath| {
            watched.paths().iter().position(|known| known.as_str() == path.as_str())
        };
        scoring.leads.keys().find_map(|leads| {
            let plan = scoring.plan(leads, tenant)?;
            let ActivityRule::Observed { resource: of, lead, at } = plan.activity_rule() else {
                return None;
            };
            let at = match at {
                Some(at) => Some(number(at)?),
                None => None,
            };
            let lead = number(lead).filter(|_| of == resource)?;
            Some(ActivityPaths { leads: leads.clone(), lead, at, plan: Arc::clone(plan) })
        })
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
        let text = self.keys.as_ref()?.reveal(sealed, tenant, field, None).ok()?;
        String::from_utf8(text).ok().map(String::into_boxed_str)
    }

    fn filter<O: Observer>(
        &self,
        query: PlanQuery<'_>,
        tenant: Option<&str>,
        observer: O,
        limits: FilterLimits,
    ) -> Result<AnswerFilter<O>, Refusal> {
        let ready = self.ready(query, tenant.unwrap_or_default())?;
        let map = match &self.tokens {
            Tokens::Kept(map) => Some(map.clone()),
            Tokens::Impossible | Tokens::Forgotten => None,
        };
        let (masks, rules) = (Arc::clone(&ready.masks), Arc::clone(&ready.rules));
        let masks = Masks::new(masks, rules, ready.plan.record_id.clone(), map);
        Ok(Filter::observed(Arc::clone(&ready.plan.automaton), masks, observer, limits))
    }

    /// What a request body on `route` may hold, and the masks of its fields.
    pub(super) fn write_guard<'a>(
        &'a self,
        route: &'a GovernedRoute,
        roles: &[String],
    ) -> Result<WriteGuard<'a>, Refusal> {
        let plan = self.plan(PlanQuery::new(Some(route), roles, Purpose::Write))?;
        let registry = self.plan(PlanQuery::new(Some(route), &[], Purpose::Registry))?;
        Ok(WriteGuard { route, plan, registry, keys: self.keys.as_deref() })
    }

    /// What these roles may see of the resources.
    pub(super) fn sight<'a>(&'a self, roles: &'a [String]) -> CallerSight<'a> {
        CallerSight { governance: self, roles }
    }

    fn ready(&self, query: PlanQuery<'_>, tenant: &str) -> Result<Arc<Ready>, Refusal> {
        if let Some(ready) = self.ready.get(&ReadyQuery { plan: query, tenant }) {
            return Ok(ready);
        }
        let plan = self.plan(query)?;
        let masks = plan.slots.iter().map(|slot| self.masker(slot, tenant));
        let masks = masks.collect::<Result<Arc<[Masker]>, Refusal>>()?;
        let rules = field_rules(&plan.accounts);
        let ready = Arc::new(Ready { plan, masks, rules });
        self.ready.insert((query.owned(), tenant.to_owned()), Arc::clone(&ready));
        Ok(ready)
    }

    fn masker(&self, slot: &MaskSlot, tenant: &str) -> Result<Masker, Refusal> {
        match &self.keys {
            Some(keys) => keys.masker(&slot.strategy, tenant, &slot.field),
            None => Masker::keyless(&slot.strategy),
        }
        .map_err(|_| Refusal::KeysNotReady)
    }
}

/// The inputs of the scores of a resource, for every company.
fn scored_paths<'s>(set: &'s PolicySet, resource: &str) -> Vec<&'s FieldPath> {
    let lead = set.scoring.as_ref().and_then(|scoring| scoring.leads.get(resource));
    let plans = lead
        .into_iter()
        .flat_map(|lead| std::iter::once(&lead.plan).chain(lead.companies.values()));
    let mut paths: Vec<&FieldPath> = plans.flat_map(|plan| plan.watched_paths()).collect();
    // Activities name their lead and their time.
    let leads = set.scoring.iter().flat_map(|scoring| scoring.leads.values());
    let all = leads.flat_map(|lead| std::iter::once(&lead.plan).chain(lead.companies.values()));
    for plan in all {
        if let ActivityRule::Observed { resource: of, lead, at } = plan.activity_rule()
            && of == resource
        {
            paths.extend(std::iter::once(lead).chain(at));
        }
    }
    paths
}

/// Resources of which more is watched than there are bits for.
fn too_many_watched(watched: &BTreeMap<String, Arc<WatchList>>) -> Vec<Finding> {
    let too_many = watched.iter().filter(|(_, watched)| watched.paths().len() > MOST_WATCHED);
    too_many
        .map(|(name, watched)| {
            let count = watched.paths().len();
            let message = format!(
                "events and scores of `{name}` look at {count} fields, more than {MOST_WATCHED}"
            );
            Finding::error("plan::too_many_watched", message)
                .help("let companies score by the same fields, or let fewer rules read fields")
        })
        .collect()
}

/// Lists of leads that no route of their resource answers.
fn listings_elsewhere(set: &PolicySet, routes: &RouteTable) -> Vec<Finding> {
    let leads = set.scoring.iter().flat_map(|scoring| &scoring.leads);
    let listings = leads.filter_map(|(name, lead)| Some((name, lead.listing.as_ref()?)));
    let strays = listings.filter(|(name, listing)| lists(routes, name, &listing.target).is_none());
    let finding = |(name, listing): (&String, &Listing)| {
        let message = format!("`{}` is on no route that lists records of `{name}`", listing.target);
        Finding::error("plan::listing", message).help(
            "declare a `GET` route for it in the resource, or change `listing` in `scoring.yaml`",
        )
    };
    strays.map(finding).collect()
}

/// The route that answers a target with records of a resource.
pub(super) fn lists(routes: &RouteTable, resource: &str, target: &str) -> Option<GovernedRoute> {
    let path = target.split(['?', '#']).next()?;
    let path = CanonicalPath::parse(path).ok()?;
    match routes.find(&Method::GET, &path) {
        Match::Governed(route) if route.resource.name == resource => Some(route),
        Match::Governed(_)
        | Match::Passthrough { .. }
        | Match::MethodNotDeclared { .. }
        | Match::Suspicious { .. }
        | Match::Unmatched => None,
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
    pub(super) fn rights<'g>(
        &'g self,
        tenant: &'g str,
        vaulted: &'g LookedUp,
    ) -> Result<Rights<'g>, Refusal> {
        let route = self.route.declared().ok_or(Refusal::Internal)?;
        Ok(Rights {
            writes: self.route.resource.writes,
            plan: &self.plan,
            registry: &self.registry,
            body: route.records_in_body(),
            keys: self.keys,
            tenant,
            vaulted,
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

    /// A plan of [`Purpose::ReadPart`] is the same for every route of the resource.
    fn plan(&self, resource: &str) -> Option<Arc<Plan>> {
        self.governance.plan(PlanQuery::part(resource, self.roles)).ok()
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
        .filter(|field| field.strategy.as_ref().is_some_and(Strategy::needs_key))
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

/// Fields whose tokens stand for values that would be kept nowhere.
fn missing_map(set: &PolicySet, tokens: &Tokens) -> Vec<Finding> {
    if !matches!(tokens, Tokens::Impossible) {
        return Vec::new();
    }
    let fields = set.resources.values().flat_map(|resource| &resource.fields);
    fields
        .chain(&set.global.fields)
        .filter(|field| field.strategy == Some(Strategy::Vault))
        .map(|field| {
            let message = format!(
                "the values behind the tokens of `{}` are kept in a token map, and there is no `data_dir`",
                field.path
            );
            Finding::error("plan::token_map_missing", message)
                .at(&field.origin.source, field.origin.span)
                .help("name a folder as `data_dir:` in the configuration, or write `mask: tokenize` for tokens that carry their value")
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
