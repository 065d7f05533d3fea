//! The metrics as Prometheus scrapes them, on a registry of their own.
//!
//! It refuses to make a series from input: routes, roles, resources and rules become labels only
//! once [`Metrics::name`] has named them; anything else counts as `unmatched`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::catalogue::{self, MetricEntry, NO_ROLE, SEVERAL_ROLES, UNMATCHED};
use super::depth::Depths;
use super::events::{EventMetrics, WriteMoment, WriteOutcome};
use super::exchange::Exchange;
use super::exemplar::{Exemplar, Exemplars};
use super::label::{Method, StatusClass};
use super::open_metrics;
use super::process::ProcessCollector;
use super::refusal::Refusal;
use super::scores::ScoreMetrics;
use super::touched::Act;
use super::workflows::WorkflowMetrics;
use crate::identity::{Asked, AskedOutcome, SourceKind, Unidentified};

/// All metrics of the process, or of one test.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    request_duration: HistogramVec,
    upstream_duration: HistogramVec,
    added_latency: HistogramVec,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
    fields_masked: IntCounterVec,
    fields_hidden: IntCounterVec,
    write_fields: [IntCounter; 4],
    query_parameters_dropped: IntCounter,
    refusals: HashMap<Refusal, IntCounter>,
    identified: HashMap<SourceKind, IntCounter>,
    identifications: IntCounterVec,
    identity_questions: IntCounterVec,
    policy_info: IntGaugeVec,
    names: ArcSwap<Names>,
    pub(super) active_requests: IntGauge,
    pub(super) reloads_succeeded: IntCounter,
    pub(super) reloads_failed: IntCounter,
    pub(super) access_log_dropped: IntCounter,
    pub(super) application_log_dropped: IntCounter,
    pub(super) library_errors: IntCounter,
    pub(super) library_warnings: IntCounter,
    pub(super) panics: IntCounter,
    pub(super) application_log_withheld: IntCounter,
    pub(super) spans_exported: IntCounter,
    pub(super) spans_dropped: IntCounter,
    pub(super) spans_failed: IntCounter,
    pub(super) audit_written: IntCounter,
    pub(super) audit_dropped: IntCounter,
    pub(super) audit_failed: IntCounter,
    pub(super) token_map: [IntCounter; 4],
    pub(super) reveals: [IntCounter; 4],
    pub(super) store_commits: IntCounter,
    pub(super) store_failures: IntCounter,
    pub(super) store_fsync: Histogram,
    store_healthy: IntGaugeVec,
    pub(super) events: EventMetrics,
    pub(super) workflows: WorkflowMetrics,
    pub(super) scores: ScoreMetrics,
    pub(super) depths: Depths,
    exemplars: Exemplars,
}

/// Names from the policies that may be labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) routes: &'a [Arc<str>],
    pub(super) resources: &'a [Arc<str>],
    pub(super) roles: &'a [Arc<str>],
    /// A resource, and a rule that speaks of it.
    pub(super) rules: &'a [(Arc<str>, Arc<str>)],
}

/// The series of every configured name, found once and kept.
#[derive(Debug, Clone)]
struct Names {
    routes: HashMap<Arc<str>, Arc<RouteSeries>>,
    roles: HashSet<Arc<str>>,
    no_role: Arc<str>,
    several_roles: Arc<str>,
    resources: HashMap<Arc<str>, Arc<ResourceSeries>>,
    unmatched_route: Arc<RouteSeries>,
    unmatched_resource: Arc<ResourceSeries>,
}

/// The series of one route. A duration appears in the scrape once it was observed.
#[derive(Debug)]
struct RouteSeries {
    durations: ArcSwap<HashMap<DurationKey, Histogram>>,
    upstream: OnceLock<Histogram>,
    added: OnceLock<Histogram>,
}

/// Method, class of the status, role.
type DurationKey = (Method, StatusClass, Arc<str>);

/// The series of one resource: all that is not told of a rule, and each rule by its name.
#[derive(Debug)]
struct ResourceSeries {
    unmatched: RuleSeries,
    rules: ArcSwap<HashMap<Arc<str>, RuleSeries>>,
}

#[derive(Debug, Clone)]
struct RuleSeries {
    masked: IntCounter,
    hidden: IntCounter,
}

impl Metrics {
    #[expect(clippy::too_many_lines, reason = "one line for each metric")]
    pub(super) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let maker = Maker { registry: &registry };
        let fields_masked = maker.counters(&catalogue::FIELDS_MASKED)?;
        let fields_hidden = maker.counters(&catalogue::FIELDS_HIDDEN)?;
        let write_fields = maker.counters(&catalogue::WRITE_FIELDS)?;
        let refusals = maker.counters(&catalogue::REFUSALS)?;
        let identifications = maker.counters(&catalogue::IDENTIFICATIONS)?;
        let identity_questions = maker.counters(&catalogue::IDENTITY_QUESTIONS)?;
        for source in [SourceKind::Jwt, SourceKind::Introspection, SourceKind::WhoAmI] {
            for outcome in AskedOutcome::ALL {
                identity_questions.with_label_values(&[source.name(), outcome.name()]);
            }
        }
        let reloads = maker.counters(&catalogue::POLICY_RELOADS)?;
        let library = maker.counters(&catalogue::LIBRARY_MESSAGES)?;
        let spans = maker.counters(&catalogue::SPANS)?;
        let [exported, dropped, failed] = catalogue::SPAN_OUTCOMES;
        let audit = maker.counters(&catalogue::AUDIT_ENTRIES)?;
        let [audit_written, audit_dropped, audit_failed] = catalogue::AUDIT_OUTCOMES;
        let token_map = maker.counters(&catalogue::TOKEN_MAP_ENTRIES)?;
        let reveals = maker.counters(&catalogue::REVEALS)?;
        let store = maker.counters(&catalogue::STORE_COMMITS)?;
        let [committed, not_committed] = catalogue::COMMIT_OUTCOMES;
        let fsync = maker.histograms(&catalogue::STORE_FSYNC, catalogue::FSYNC_BUCKETS)?;
        let events = EventMetrics {
            recorded: maker.counters(&catalogue::EVENTS)?,
            observed: maker.counters(&catalogue::WRITES_OBSERVED)?,
            left_out: maker.counter(&catalogue::RECORDS_LEFT_OUT)?,
            unrecorded: maker.counters(&catalogue::WRITES_UNRECORDED)?,
            deliveries: maker.counters(&catalogue::DELIVERIES)?,
            lag: maker.histograms(&catalogue::DELIVERY_LAG, catalogue::LAG_BUCKETS)?,
            backlog: maker.gauges(&catalogue::DELIVERY_BACKLOG)?,
            dead: maker.gauges(&catalogue::DEAD_LETTERS)?,
        };
        let workflows = WorkflowMetrics {
            runs: maker.counters(&catalogue::WORKFLOW_RUNS)?,
            actions: maker.counters(&catalogue::WORKFLOW_ACTIONS)?,
            duration: maker
                .histograms(&catalogue::WORKFLOW_RUN_DURATION, catalogue::RUN_BUCKETS)?,
            standing: maker.gauges(&catalogue::WORKFLOW_BACKLOG)?,
        };
        for outcome in WriteOutcome::ALL {
            events.observed.with_label_values(&[outcome.name()]);
        }
        for moment in WriteMoment::ALL {
            events.unrecorded.with_label_values(&[moment.name()]);
        }
        let scores = ScoreMetrics {
            scores: maker.counters(&catalogue::SCORES)?,
            calculation: maker
                .histograms(&catalogue::SCORE_CALCULATION, catalogue::SCORE_BUCKETS)?,
            lookups: maker.counters(&catalogue::SCORE_CACHE)?,
            dropped: maker.counter(&catalogue::SCORES_DROPPED)?,
            leads: maker.gauges(&catalogue::SCORED_LEADS)?,
            refreshed: maker.counters(&catalogue::SCORES_REFRESHED)?,
            refresh_left: maker.gauges(&catalogue::SCORE_REFRESH_LEFT)?,
        };
        for found in catalogue::SCORE_PLACES {
            scores.lookups.with_label_values(&[found]);
        }
        let depths = maker.register(Depths::new()?)?;
        maker
            .gauges(&catalogue::BUILD_INFO)?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let [success, failure] = catalogue::RELOAD_OUTCOMES;
        let [error, warn] = catalogue::LIBRARY_LEVELS;
        let metrics = Self {
            request_duration: maker
                .histograms(&catalogue::REQUEST_DURATION, catalogue::REQUEST_BUCKETS)?,
            upstream_duration: maker
                .histograms(&catalogue::UPSTREAM_DURATION, catalogue::REQUEST_BUCKETS)?,
            added_latency: maker.histograms(&catalogue::ADDED_LATENCY, catalogue::ADDED_BUCKETS)?,
            request_bytes: maker.counter(&catalogue::REQUEST_BYTES)?,
            response_bytes: maker.counter(&catalogue::RESPONSE_BYTES)?,
            names: ArcSwap::from_pointee(Names {
                routes: HashMap::new(),
                roles: HashSet::new(),
                no_role: NO_ROLE.into(),
                several_roles: SEVERAL_ROLES.into(),
                resources: HashMap::new(),
                unmatched_route: Arc::new(RouteSeries::new()),
                unmatched_resource: Arc::new(ResourceSeries::new(
                    UNMATCHED,
                    &fields_masked,
                    &fields_hidden,
                )),
            }),
            fields_masked,
            fields_hidden,
            write_fields: catalogue::WRITE_OUTCOMES
                .map(|outcome| write_fields.with_label_values(&[outcome])),
            query_parameters_dropped: maker.counter(&catalogue::QUERY_PARAMETERS_DROPPED)?,
            // Every reason is there from the start, so that its first increase is seen as one.
            refusals: Refusal::ALL
                .iter()
                .map(|refusal| (*refusal, refusals.with_label_values(&[refusal.name()])))
                .collect(),
            identified: SourceKind::ALL
                .iter()
                .map(|source| {
                    let labels = [source.name(), catalogue::IDENTIFIED];
                    (*source, identifications.with_label_values(&labels))
                })
                .collect(),
            identifications,
            identity_questions,
            policy_info: maker.gauges(&catalogue::POLICY_INFO)?,
            active_requests: maker.gauge(&catalogue::ACTIVE_REQUESTS)?,
            reloads_succeeded: reloads.with_label_values(&[success]),
            reloads_failed: reloads.with_label_values(&[failure]),
            access_log_dropped: maker.counter(&catalogue::ACCESS_LOG_DROPPED)?,
            application_log_dropped: maker.counter(&catalogue::APPLICATION_LOG_DROPPED)?,
            library_errors: library.with_label_values(&[error]),
            library_warnings: library.with_label_values(&[warn]),
            panics: maker.counter(&catalogue::PANICS)?,
            application_log_withheld: maker.counter(&catalogue::APPLICATION_LOG_WITHHELD)?,
            spans_exported: spans.with_label_values(&[exported]),
            spans_dropped: spans.with_label_values(&[dropped]),
            spans_failed: spans.with_label_values(&[failed]),
            audit_written: audit.with_label_values(&[audit_written]),
            audit_dropped: audit.with_label_values(&[audit_dropped]),
            audit_failed: audit.with_label_values(&[audit_failed]),
            token_map: catalogue::TOKEN_MAP_OUTCOMES
                .map(|outcome| token_map.with_label_values(&[outcome])),
            reveals: catalogue::REVEAL_OUTCOMES
                .map(|outcome| reveals.with_label_values(&[outcome])),
            store_commits: store.with_label_values(&[committed]),
            store_failures: store.with_label_values(&[not_committed]),
            store_fsync: fsync.with_label_values::<&str>(&[]),
            store_healthy: maker.gauges(&catalogue::STORE_HEALTHY)?,
            events,
            workflows,
            scores,
            depths,
            exemplars: Exemplars::default(),
            registry: registry.clone(),
        };
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(metrics)
    }

    /// Lets these names be labels from now on. Names known before stay, for requests under way.
    pub(super) fn name(&self, named: Named<'_>) {
        let series = |name: &str| {
            Arc::new(ResourceSeries::new(name, &self.fields_masked, &self.fields_hidden))
        };
        self.names.rcu(|names| {
            let mut names = Names::clone(names);
            for route in named.routes {
                let series = || Arc::new(RouteSeries::new());
                names.routes.entry(Arc::clone(route)).or_insert_with(series);
            }
            names.roles.extend(named.roles.iter().map(Arc::clone));
            for name in named.resources {
                names.resources.entry(Arc::clone(name)).or_insert_with(|| series(name));
            }
            names
        });
        let names = self.names.load();
        for (resource, rule) in named.rules {
            if let Some(series) = names.resources.get(resource) {
                series.name_rule(rule, resource, &self.fields_masked, &self.fields_hidden);
            }
        }
    }

    /// Shows `revision` as the one in force.
    pub(super) fn show_revision(&self, revision: &str) {
        self.policy_info.reset();
        self.policy_info.with_label_values(&[revision]).set(1);
    }

    /// Shows whether the store takes writes. Before the first call there is nothing to show.
    pub(super) fn show_store(&self, is_healthy: bool) {
        self.store_healthy.with_label_values::<&str>(&[]).set(i64::from(is_healthy));
    }

    /// Counts one ended exchange. One whose spans are kept becomes an exemplar.
    pub(super) fn observe(&self, exchange: &Exchange, is_kept: bool) {
        let names = self.names.load();
        let known = exchange.route.as_ref().and_then(|route| names.routes.get_key_value(route));
        let (route, series) = known
            .map_or((UNMATCHED, &names.unmatched_route), |(name, series)| (name.as_ref(), series));
        let class = StatusClass::of(exchange.status);
        let role = names.role_of(exchange);
        let latency = exchange.latency().as_secs_f64();
        series.duration(self, route, exchange.method, class, role).observe(latency);
        let added = exchange.upstream().map(|upstream| {
            series.upstream(self, route).observe(upstream.as_secs_f64());
            let added = exchange.latency().saturating_sub(upstream).as_secs_f64();
            series.added(self, route).observe(added);
            added
        });
        if let Some(trace) = exchange.trace.as_ref().filter(|_| is_kept) {
            let at = exchange.begun().wall + exchange.latency();
            let exemplar = |value| Exemplar { trace: trace.trace_id(), value, at };
            let keep = |entry: MetricEntry, labels: &[&str], bounds, value| {
                self.exemplars.keep(entry.name, labels, bounds, exemplar(value));
            };
            let labels = [exchange.method.name(), route, class.name(), role];
            keep(catalogue::REQUEST_DURATION, &labels, catalogue::REQUEST_BUCKETS, latency);
            if let Some(added) = added {
                keep(catalogue::ADDED_LATENCY, &[route], catalogue::ADDED_BUCKETS, added);
            }
        }
        self.request_bytes.inc_by(exchange.request_bytes);
        self.response_bytes.inc_by(exchange.response_bytes);
        let known = exchange.resource.as_ref().and_then(|name| names.resources.get(name));
        known.unwrap_or(&names.unmatched_resource).count(exchange);
        if let Some(outcome) = exchange.identification {
            self.identification(outcome);
        }
        let written = exchange.written;
        let counts = [written.stripped, written.kept, written.detokenized, written.reported];
        for (counter, count) in self.write_fields.iter().zip(counts) {
            counter.inc_by(count);
        }
        self.query_parameters_dropped.inc_by(exchange.parameters_dropped);
        if let Some(counter) = exchange.refusal.and_then(|refusal| self.refusals.get(&refusal)) {
            counter.inc();
        }
    }

    fn identification(&self, outcome: Result<SourceKind, Unidentified>) {
        match outcome {
            Ok(source) => {
                if let Some(counter) = self.identified.get(&source) {
                    counter.inc();
                }
            }
            Err(unidentified) => {
                let source =
                    unidentified.source_kind().map_or(catalogue::NO_SOURCE, SourceKind::name);
                self.identifications.with_label_values(&[source, unidentified.as_str()]).inc();
            }
        }
    }

    /// Counts a question that a source of identity has asked.
    pub(super) fn identity_asked(&self, asked: Asked) {
        let labels = [asked.source.name(), asked.outcome.name()];
        self.identity_questions.with_label_values(&labels).inc();
    }

    /// The scrape, in Prometheus' text format.
    pub(super) fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// The scrape, in the `OpenMetrics` format, with exemplars.
    pub(super) fn render_open(&self) -> String {
        open_metrics::render(&self.registry.gather(), &self.exemplars)
    }
}

impl Names {
    /// The role as it may stand in a label.
    fn role_of(&self, exchange: &Exchange) -> &Arc<str> {
        let mut known = exchange.roles().iter().filter_map(|role| self.roles.get(role.as_str()));
        match (known.next(), known.next()) {
            (None, _) => &self.no_role,
            (Some(role), None) => role,
            (Some(_), Some(_)) => &self.several_roles,
        }
    }
}

impl RouteSeries {
    fn new() -> Self {
        Self { durations: ArcSwap::default(), upstream: OnceLock::new(), added: OnceLock::new() }
    }

    fn duration(
        &self,
        all: &Metrics,
        route: &str,
        method: Method,
        class: StatusClass,
        role: &Arc<str>,
    ) -> Histogram {
        let key = (method, class, Arc::clone(role));
        if let Some(known) = self.durations.load().get(&key) {
            return known.clone();
        }
        let labels = [method.name(), route, class.name(), role];
        let found = all.request_duration.with_label_values(&labels);
        self.durations.rcu(|durations| {
            let mut durations = HashMap::clone(durations);
            durations.insert(key.clone(), found.clone());
            durations
        });
        found
    }

    fn upstream(&self, all: &Metrics, route: &str) -> &Histogram {
        self.upstream.get_or_init(|| all.upstream_duration.with_label_values(&[route]))
    }

    fn added(&self, all: &Metrics, route: &str) -> &Histogram {
        self.added.get_or_init(|| all.added_latency.with_label_values(&[route]))
    }
}

impl ResourceSeries {
    fn new(name: &str, masked: &IntCounterVec, hidden: &IntCounterVec) -> Self {
        let unmatched = RuleSeries::new(name, UNMATCHED, masked, hidden);
        Self { unmatched, rules: ArcSwap::default() }
    }

    fn name_rule(
        &self,
        rule: &Arc<str>,
        resource: &str,
        masked: &IntCounterVec,
        hidden: &IntCounterVec,
    ) {
        if self.rules.load().contains_key(rule) {
            return;
        }
        let series = RuleSeries::new(resource, rule, masked, hidden);
        self.rules.rcu(|rules| {
            let mut rules = HashMap::clone(rules);
            rules.insert(Arc::clone(rule), series.clone());
            rules
        });
    }

    /// Counts what each rule did, and what no rule is told of under no rule's name, so that the
    /// sum over the rules is always the whole.
    fn count(&self, exchange: &Exchange) {
        if exchange.masked == 0 && exchange.hidden == 0 {
            return;
        }
        let rules = self.rules.load();
        let (mut masked, mut hidden) = (exchange.masked, exchange.hidden);
        for (touched, count) in exchange.touched.met() {
            let (left, is_masked) = match touched.act {
                Act::Shown => continue,
                Act::Masked => (&mut masked, true),
                Act::Hidden => (&mut hidden, false),
            };
            let Some(series) = rules.get(&touched.rule) else { continue };
            let count = count.min(*left);
            *left -= count;
            if is_masked { &series.masked } else { &series.hidden }.inc_by(count);
        }
        self.unmatched.masked.inc_by(masked);
        self.unmatched.hidden.inc_by(hidden);
    }
}

impl RuleSeries {
    fn new(resource: &str, rule: &str, masked: &IntCounterVec, hidden: &IntCounterVec) -> Self {
        Self {
            masked: masked.with_label_values(&[resource, rule]),
            hidden: hidden.with_label_values(&[resource, rule]),
        }
    }
}

/// Makes metrics from their entries in the catalogue and registers them.
struct Maker<'a> {
    registry: &'a Registry,
}

impl Maker<'_> {
    fn register<C: Collector + Clone + 'static>(&self, made: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn counter(&self, entry: &MetricEntry) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(entry.name, entry.help)?)
    }

    fn counters(&self, entry: &MetricEntry) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(entry.name, entry.help), entry.labels)?)
    }

    fn gauge(&self, entry: &MetricEntry) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(entry.name, entry.help)?)
    }

    fn gauges(&self, entry: &MetricEntry) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(entry.name, entry.help), entry.labels)?)
    }

    fn histograms(&self, entry: &MetricEntry, bounds: &[f64]) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(entry.name, entry.help).buckets(bounds.to_vec());
        self.register(HistogramVec::new(options, entry.labels)?)
    }
}

#[cfg(test)]
mod tests;
