//! The metrics as Prometheus scrapes them, on a registry of their own.
//!
//! It refuses to make a series from input: routes and resources become labels only once
//! [`Metrics::name_routes`] has named them; anything else counts as `unmatched`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::catalogue::{self, MetricEntry, UNMATCHED};
use super::exchange::Exchange;
use super::label::{Method, StatusClass};
use super::process::ProcessCollector;
use super::refusal::Refusal;

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
}

/// The series of every configured name, found once and kept.
#[derive(Debug, Clone)]
struct Names {
    routes: HashMap<Arc<str>, Arc<RouteSeries>>,
    resources: HashMap<Arc<str>, ResourceSeries>,
    unmatched_route: Arc<RouteSeries>,
    unmatched_resource: ResourceSeries,
}

/// The series of one route. A duration appears in the scrape once it was observed.
#[derive(Debug)]
struct RouteSeries {
    durations: [[OnceLock<Histogram>; StatusClass::COUNT]; Method::COUNT],
    upstream: OnceLock<Histogram>,
    added: OnceLock<Histogram>,
}

#[derive(Debug, Clone)]
struct ResourceSeries {
    masked: IntCounter,
    hidden: IntCounter,
}

impl Metrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let maker = Maker { registry: &registry };
        let fields_masked = maker.counters(&catalogue::FIELDS_MASKED)?;
        let fields_hidden = maker.counters(&catalogue::FIELDS_HIDDEN)?;
        let write_fields = maker.counters(&catalogue::WRITE_FIELDS)?;
        let refusals = maker.counters(&catalogue::REFUSALS)?;
        let reloads = maker.counters(&catalogue::POLICY_RELOADS)?;
        let library = maker.counters(&catalogue::LIBRARY_MESSAGES)?;
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
                resources: HashMap::new(),
                unmatched_route: Arc::new(RouteSeries::new()),
                unmatched_resource: ResourceSeries::new(UNMATCHED, &fields_masked, &fields_hidden),
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
            policy_info: maker.gauges(&catalogue::POLICY_INFO)?,
            active_requests: maker.gauge(&catalogue::ACTIVE_REQUESTS)?,
            reloads_succeeded: reloads.with_label_values(&[success]),
            reloads_failed: reloads.with_label_values(&[failure]),
            access_log_dropped: maker.counter(&catalogue::ACCESS_LOG_DROPPED)?,
            application_log_dropped: maker.counter(&catalogue::APPLICATION_LOG_DROPPED)?,
            library_errors: library.with_label_values(&[error]),
            library_warnings: library.with_label_values(&[warn]),
            panics: maker.counter(&catalogue::PANICS)?,
            registry: registry.clone(),
        };
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(metrics)
    }

    /// Lets these names be labels from now on. Names known before stay, for requests under way.
    pub(super) fn name_routes(&self, routes: &[Arc<str>], resources: &[Arc<str>]) {
        self.names.rcu(|names| {
            let mut names = Names::clone(names);
            for route in routes {
                let series = || Arc::new(RouteSeries::new());
                names.routes.entry(Arc::clone(route)).or_insert_with(series);
            }
            for name in resources {
                let series = || ResourceSeries::new(name, &self.fields_masked, &self.fields_hidden);
                names.resources.entry(Arc::clone(name)).or_insert_with(series);
            }
            names
        });
    }

    /// Shows `revision` as the one in force.
    pub(super) fn show_revision(&self, revision: &str) {
        self.policy_info.reset();
        self.policy_info.with_label_values(&[revision]).set(1);
    }

    /// Counts one ended exchange.
    pub(super) fn observe(&self, exchange: &Exchange) {
        let names = self.names.load();
        let known = exchange.route.as_ref().and_then(|route| names.routes.get_key_value(route));
        let (route, series) = known
            .map_or((UNMATCHED, &names.unmatched_route), |(name, series)| (name.as_ref(), series));
        let latency = exchange.latency();
        let class = StatusClass::of(exchange.status);
        series.duration(self, route, exchange.method, class).observe(latency.as_secs_f64());
        if let Some(upstream) = exchange.upstream() {
            series.upstream(self, route).observe(upstream.as_secs_f64());
            series.added(self, route).observe(latency.saturating_sub(upstream).as_secs_f64());
        }
        self.request_bytes.inc_by(exchange.request_bytes);
        self.response_bytes.inc_by(exchange.response_bytes);
        if exchange.masked > 0 || exchange.hidden > 0 {
            let known = exchange.resource.as_ref().and_then(|name| names.resources.get(name));
            let series = known.unwrap_or(&names.unmatched_resource);
            series.masked.inc_by(exchange.masked);
            series.hidden.inc_by(exchange.hidden);
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

    /// The scrape, in Prometheus' text format.
    pub(super) fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl RouteSeries {
    fn new() -> Self {
        let durations = std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new()));
        Self { durations, upstream: OnceLock::new(), added: OnceLock::new() }
    }

    fn duration(
        &self,
        all: &Metrics,
        route: &str,
        method: Method,
        class: StatusClass,
    ) -> Histogram {
        let find = || all.request_duration.with_label_values(&[method.name(), route, class.name()]);
        let slot = self.durations.get(method as usize).and_then(|row| row.get(class as usize));
        slot.map_or_else(find, |slot| slot.get_or_init(find).clone())
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
        Self {
            masked: masked.with_label_values(&[name]),
            hidden: hidden.with_label_values(&[name]),
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
