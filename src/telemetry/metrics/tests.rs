//! The metrics against their catalogue, and against hostile input.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::catalogue::{Kind, METRICS};
use super::super::exchange::{InFlight, Moment};
use super::super::touched::{FieldRule, Touched};
use super::*;
use crate::correlation::TraceContext;

fn exchange(metrics: &Metrics, method: &str) -> Exchange {
    let method = Method::of(&http::Method::from_bytes(method.as_bytes()).unwrap());
    Exchange::begin(method, Moment::now(), InFlight::enter(&metrics.active_requests))
}

fn observe(metrics: &Metrics, mut exchange: Exchange, latency: Duration) {
    let end: Instant = exchange.begun().monotonic + latency;
    exchange.end(end);
    metrics.observe(&exchange, true);
}

/// The values of a scrape whose line begins with `series` and a space.
fn value(scrape: &str, series: &str) -> Option<String> {
    let line = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(str::to_owned)
}

#[track_caller]
fn check(scrape: &str, series: &str, expect: &str) {
    assert_eq!(value(scrape, series).as_deref(), Some(expect), "{series} in:\n{scrape}");
}

fn named() -> Metrics {
    let metrics = Metrics::new().unwrap();
    metrics.name(Named {
        routes: &["/api/v1/leads/".into()],
        resources: &["lead".into()],
        roles: &["sales_rep".into(), "support".into()],
        rules: &[("lead".into(), "sales_rep:$.email".into())],
    });
    let queue = || Some((3, 100));
    metrics.show_store(true);
    metrics.depths.watch(super::super::Waiting::Audit, Box::new(queue));
    metrics
}

#[test]
fn the_scrape_is_what_the_catalogue_says() {
    let metrics = named();
    let mut one = exchange(&metrics, "GET");
    one.waited_for_upstream(Duration::from_millis(1));
    observe(&metrics, one, Duration::from_millis(2));
    metrics.show_revision("abc");
    metrics.show_store(true);
    metrics.events.recorded.with_label_values(&["deal.won"]).inc();
    metrics.events.deliveries.with_label_values(&["bus", "delivered"]).inc();
    metrics.events.lag.with_label_values(&["bus"]).observe(1.0);
    metrics.events.backlog.with_label_values(&["bus"]).set(0);
    metrics.events.dead.with_label_values(&["bus"]).set(0);
    metrics.workflows.runs.with_label_values(&["qualify", "completed"]).inc();
    metrics.workflows.actions.with_label_values(&["qualify", "add_note", "retried"]).inc();
    metrics.workflows.duration.with_label_values(&["qualify"]).observe(1.0);
    metrics.workflows.standing.with_label_values(&["pending"]).set(0);
    metrics.scores.scores.with_label_values(&["lead", "HOT"]).inc();
    metrics.scores.calculation.with_label_values(&["lead"]).observe(0.0);
    metrics.scores.leads.with_label_values(&["other", "HOT"]).set(1);
    metrics.scores.refreshed.with_label_values(&["lead", "scored"]).inc();
    metrics.scores.refresh_left.with_label_values(&["lead"]).set(1);

    let families = metrics.registry.gather();
    let found: BTreeSet<(String, String, String)> = families
        .iter()
        .map(|family| {
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            let labels: BTreeSet<&str> = family
                .get_metric()
                .iter()
                .flat_map(prometheus::proto::Metric::get_label)
                .map(prometheus::proto::LabelPair::name)
                .collect();
            let labels: Vec<&str> = labels.into_iter().collect();
            (family.name().to_owned(), kind + " " + &labels.join(","), family.help().to_owned())
        })
        .collect();
    let expect: BTreeSet<(String, String, String)> = METRICS
        .iter()
        .map(|metric| {
            let mut labels = metric.labels.to_vec();
            labels.sort_unstable();
            let kind = match metric.kind {
                Kind::Counter => "counter ",
                Kind::Gauge => "gauge ",
                Kind::Histogram => "histogram ",
            };
            (metric.name.to_owned(), kind.to_owned() + &labels.join(","), metric.help.to_owned())
        })
        .collect();
    assert_eq!(found, expect);
}

#[test]
fn one_exchange_is_counted_everywhere() {
    let metrics = named();
    let mut one = exchange(&metrics, "GET");
    one.route = Some("/api/v1/leads/".into());
    one.resource = Some("lead".into());
    one.status = Some(200);
    one.masked = 3;
    one.hidden = 2;
    one.request_bytes = 10;
    one.response_bytes = 1000;
    one.refusal = Some(Refusal::JsonInvalid);
    one.set_caller("u", None, &["guest".into(), "support".into()]);
    let rule = |act, rule: &str| FieldRule {
        field: "$.email".into(),
        act,
        rule: rule.into(),
        origin: "roles/sales_rep.yaml:3".into(),
    };
    let rules = [
        rule(Act::Masked, "sales_rep:$.email"),
        rule(Act::Hidden, "nobody:knows"),
        rule(Act::Shown, "sales_rep:$.email"),
    ];
    one.touched = Touched::new(rules.into(), vec![2, 2, 9]);
    one.waited_for_upstream(Duration::from_millis(30));
    check(&metrics.render().unwrap(), "http_server_active_requests", "1");
    observe(&metrics, one, Duration::from_millis(31));

    let scrape = metrics.render().unwrap();
    let labels = r#"method="GET",role="support",route="/api/v1/leads/",status_class="2xx""#;
    let duration = "http_server_request_duration_seconds";
    check(&scrape, &format!("{duration}_count{{{labels}}}"), "1");
    check(&scrape, &format!("{duration}_bucket{{{labels},le=\"0.025\"}}"), "0");
    check(&scrape, &format!("{duration}_bucket{{{labels},le=\"0.05\"}}"), "1");
    check(&scrape, r#"fieldgate_upstream_duration_seconds_sum{route="/api/v1/leads/"}"#, "0.03");
    check(&scrape, r#"fieldgate_added_latency_seconds_sum{route="/api/v1/leads/"}"#, "0.001");
    let masked = r#"fieldgate_fields_masked_total{resource="lead",rule="#;
    check(&scrape, &format!("{masked}\"sales_rep:$.email\"}}"), "2");
    check(&scrape, &format!("{masked}\"unmatched\"}}"), "1");
    let hidden = r#"fieldgate_fields_hidden_total{resource="lead",rule="#;
    check(&scrape, &format!("{hidden}\"sales_rep:$.email\"}}"), "0");
    check(&scrape, &format!("{hidden}\"unmatched\"}}"), "2");
    check(&scrape, r#"fieldgate_queue_depth{queue="audit"}"#, "3");
    check(&scrape, r#"fieldgate_refusals_total{reason="json_invalid"}"#, "1");
    check(&scrape, r#"fieldgate_refusals_total{reason="client_gone"}"#, "0");
    check(&scrape, "fieldgate_request_bytes_total", "10");
    check(&scrape, "fieldgate_response_bytes_total", "1000");
    check(&scrape, "http_server_active_requests", "0");
}

#[test]
fn the_added_latency_is_never_negative() {
    let metrics = named();
    let mut one = exchange(&metrics, "GET");
    one.waited_for_upstream(Duration::from_secs(9));
    observe(&metrics, one, Duration::from_secs(1));
    let scrape = metrics.render().unwrap();
    check(&scrape, r#"fieldgate_added_latency_seconds_sum{route="unmatched"}"#, "0");
}

#[test]
fn only_one_revision_is_shown() {
    let metrics = Metrics::new().unwrap();
    metrics.show_revision("old");
    metrics.show_revision("new");
    let scrape = metrics.render().unwrap();
    assert_eq!(value(&scrape, r#"fieldgate_policy_info{revision="old"}"#), None);
    check(&scrape, r#"fieldgate_policy_info{revision="new"}"#, "1");
}

#[test]
fn naming_again_keeps_what_was_counted() {
    let metrics = named();
    let count = |metrics: &Metrics| {
        let mut one = exchange(metrics, "PUT");
        one.route = Some("/api/v1/leads/".into());
        one.status = Some(403);
        observe(metrics, one, Duration::from_millis(1));
    };
    count(&metrics);
    metrics.name(Named {
        routes: &["/api/v1/leads/".into(), "/api/v1/deals/".into()],
        resources: &["deal".into()],
        roles: &["marketing".into()],
        rules: &[],
    });
    count(&metrics);
    let series = r#"http_server_request_duration_seconds_count{method="PUT",role="none",route="/api/v1/leads/",status_class="4xx"}"#;
    check(&metrics.render().unwrap(), series, "2");
}

#[test]
fn series_stay_bounded_under_hostile_input() {
    let metrics = named();
    let mut expected_at_most = None;
    for index in 0..100_000_u32 {
        // A fixed scramble; every path, resource, revision and most methods are new.
        let noise = index.wrapping_mul(2_654_435_761);
        let mut one = exchange(&metrics, &format!("M{noise}"));
        one.route = Some(format!("/{noise}/x").into());
        one.resource = Some(format!("r{noise}").into());
        one.set_path(&format!("/{noise}/x"));
        one.set_caller("u", None, &[format!("role{noise}")]);
        one.policy_revision = Some(format!("{noise}").into());
        one.status = u16::try_from(noise % 1000).ok();
        one.masked = 1;
        let rule = FieldRule {
            field: format!("f{noise}").into(),
            act: Act::Masked,
            rule: format!("rule{noise}").into(),
            origin: "x:1".into(),
        };
        one.touched = Touched::new([rule].into(), vec![1]);
        one.trace = Some(TraceContext::begin(&mut rand::rng()));
        one.refusal = Refusal::ALL.get(noise as usize % Refusal::ALL.len()).copied();
        one.waited_for_upstream(Duration::from_micros(1));
        observe(&metrics, one, Duration::from_micros(2));
        if index == 5_000 {
            let lines = metrics.render().unwrap().lines().count();
            expected_at_most = Some((lines, metrics.render_open().lines().count()));
        }
    }
    let scrape = metrics.render().unwrap();
    let lines = (scrape.lines().count(), metrics.render_open().lines().count());
    assert_eq!(Some(lines), expected_at_most);
    let masked = r#"fieldgate_fields_masked_total{resource="unmatched",rule="unmatched"}"#;
    check(&scrape, masked, "100000");
    let refused: u64 = Refusal::ALL
        .iter()
        .map(|refusal| format!("fieldgate_refusals_total{{reason=\"{refusal}\"}}"))
        .map(|series| value(&scrape, &series).unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(refused, 100_000);
}

#[test]
fn several_roles_are_no_series_of_their_own() {
    for (roles, role) in [
        (&[][..], "none"),
        (&["guest"][..], "none"),
        (&["support"][..], "support"),
        (&["support", "guest"][..], "support"),
        (&["support", "sales_rep"][..], "several"),
    ] {
        let metrics = named();
        let mut one = exchange(&metrics, "GET");
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        one.set_caller("u", None, &roles);
        observe(&metrics, one, Duration::ZERO);
        let series = format!(
            "http_server_request_duration_seconds_count{{method=\"GET\",role=\"{role}\",route=\"unmatched\",status_class=\"none\"}}"
        );
        check(&metrics.render().unwrap(), &series, "1");
    }
}

#[test]
fn kept_traces_are_exemplars_in_open_metrics() {
    let metrics = named();
    let mut one = exchange(&metrics, "GET");
    one.route = Some("/api/v1/leads/".into());
    one.status = Some(200);
    one.waited_for_upstream(Duration::from_millis(30));
    let trace = TraceContext::begin(&mut rand::rng());
    one.trace = Some(trace.clone());
    observe(&metrics, one, Duration::from_millis(31));
    let scrape = metrics.render_open();
    let exemplar = format!(" # {{trace_id=\"{}\"}} 0.031 ", trace.trace_id());
    let with: Vec<&str> = scrape.lines().filter(|line| line.contains(&exemplar)).collect();
    assert_eq!(with.len(), 1, "{scrape}");
    let series = r#"http_server_request_duration_seconds_bucket{method="GET",role="none",route="/api/v1/leads/",status_class="2xx",le="0.05"} 1.0 # "#;
    assert!(with[0].starts_with(series), "{}", with[0]);
    let added = format!("# {{trace_id=\"{}\"}} 0.001 ", trace.trace_id());
    assert_eq!(scrape.lines().filter(|line| line.contains(&added)).count(), 1, "{scrape}");
    assert!(
        scrape.contains(
            "# TYPE fieldgate_request_bytes counter\nfieldgate_request_bytes_total 0.0\n"
        )
    );
    assert!(scrape.ends_with("\n# EOF\n"));

    let mut dropped = exchange(&metrics, "GET");
    dropped.trace = Some(TraceContext::begin(&mut rand::rng()));
    dropped.end(dropped.begun().monotonic + Duration::from_secs(60));
    let unseen = dropped.trace.as_ref().unwrap().trace_id().to_string();
    metrics.observe(&dropped, false);
    assert!(
        !metrics.render_open().contains(&unseen),
        "nobody can look up a trace that was not kept"
    );
}
