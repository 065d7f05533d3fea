//! The metrics in the `OpenMetrics` text format, version 1.0.0, with exemplars.
//!
//! Pure. The library at hand writes Prometheus' older format only, which has no place for them.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use time::OffsetDateTime;

use super::catalogue::METRICS;
use super::exemplar::{Exemplar, Exemplars};

/// Writes every family, and the mark without which a reader takes the text for cut off.
pub(super) fn render(families: &[MetricFamily], exemplars: &Exemplars) -> String {
    let mut out = String::new();
    for family in families {
        // Writing into a string cannot fail.
        let _ = one(family, exemplars, &mut out);
    }
    out.push_str("# EOF\n");
    out
}

fn one(family: &MetricFamily, exemplars: &Exemplars, out: &mut String) -> std::fmt::Result {
    let name = family.name();
    let (kind, base) = match family.get_field_type() {
        MetricType::COUNTER => ("counter", name.strip_suffix("_total").unwrap_or(name)),
        MetricType::HISTOGRAM => ("histogram", name),
        MetricType::GAUGE => ("gauge", name),
        MetricType::SUMMARY | MetricType::UNTYPED => ("unknown", name),
    };
    writeln!(out, "# HELP {base} {}", escaped(family.help()))?;
    writeln!(out, "# TYPE {base} {kind}")?;
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => {
                sample(out, name, metric, None, metric.get_counter().get_value(), None)?;
            }
            MetricType::HISTOGRAM => histogram(name, metric, exemplars, out)?,
            MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
                sample(out, name, metric, None, metric.get_gauge().get_value(), None)?;
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are floating point")]
fn histogram(
    name: &str,
    metric: &Metric,
    exemplars: &Exemplars,
    out: &mut String,
) -> std::fmt::Result {
    let histogram = metric.get_histogram();
    let kept = of_series(name, metric, exemplars);
    let bucket_name = format!("{name}_bucket");
    let buckets = histogram.get_bucket();
    let is_bounded = |bound: f64| bound.is_finite();
    for (index, bucket) in buckets.iter().filter(|b| is_bounded(b.upper_bound())).enumerate() {
        let count = bucket.cumulative_count() as f64;
        let exemplar = kept.get(index).copied().flatten();
        sample(out, &bucket_name, metric, Some(bucket.upper_bound()), count, exemplar)?;
    }
    let count = histogram.get_sample_count() as f64;
    let exemplar = kept.last().copied().flatten();
    sample(out, &bucket_name, metric, Some(f64::INFINITY), count, exemplar)?;
    sample(out, &format!("{name}_sum"), metric, None, histogram.get_sample_sum(), None)?;
    sample(out, &format!("{name}_count"), metric, None, count, None)
}

fn of_series(name: &str, metric: &Metric, exemplars: &Exemplars) -> Vec<Option<Exemplar>> {
    let Some(entry) = METRICS.iter().find(|entry| entry.name == name) else { return Vec::new() };
    let value = |label: &&str| {
        let pair = metric.get_label().iter().find(|pair| pair.name() == *label);
        pair.map(|pair| pair.value().to_owned()).unwrap_or_default()
    };
    exemplars.of(entry.name, entry.labels.iter().map(value).collect())
}

fn sample(
    out: &mut String,
    name: &str,
    metric: &Metric,
    bound: Option<f64>,
    value: f64,
    exemplar: Option<Exemplar>,
) -> std::fmt::Result {
    out.push_str(name);
    let label = |pair: &LabelPair| format!("{}=\"{}\"", pair.name(), escaped(pair.value()));
    let mut labels: Vec<String> = metric.get_label().iter().map(label).collect();
    labels.extend(bound.map(|bound| format!("le=\"{}\"", number(bound))));
    if !labels.is_empty() {
        write!(out, "{{{}}}", labels.join(","))?;
    }
    write!(out, " {}", number(value))?;
    if let Some(Exemplar { trace, value, at }) = exemplar {
        let since = (at - OffsetDateTime::UNIX_EPOCH).as_seconds_f64();
        write!(out, " # {{trace_id=\"{trace}\"}} {} {since:.3}", number(value))?;
    }
    out.push('\n');
    Ok(())
}

fn number(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".to_owned() } else { format!("{value:?}") }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
