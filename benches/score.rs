//! What a score costs: understanding the inputs, the calculation, telling it.
//!
//! The lead is the demo CRM's, of about 1 KB, with the shipped rules. `values` is what the street
//! pays when the filter hands it the watched values on its way; `record` is a second look at a
//! whole record, such as one that was fetched.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up must stop")]
#![allow(clippy::indexing_slicing, reason = "a bench that cannot be set up must stop")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fieldgate::demo::crm::Crm;
use fieldgate::policy;
use fieldgate::score::{
    Activities, ActivitySource, ComponentName, ComponentSet, Disclosure, HeaderNames, Inputs,
    Rendering, Score, ScoringPlan, Slot,
};
use serde_json::Value;
use time::macros::datetime;

const NOW: time::OffsetDateTime = datetime!(2026-11-22 10:00 UTC);
const ACTIVITIES: Activities = Activities { count: 7, source: ActivitySource::Observed };

fn plan() -> Arc<ScoringPlan> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let scoring = policy::load(&folder).set.unwrap().scoring.unwrap();
    Arc::clone(scoring.plan("lead", None).unwrap())
}

/// The watched values of the lead as their texts.
fn values(plan: &ScoringPlan, record: &str) -> Vec<(Slot, String)> {
    let tree: Value = serde_json::from_str(record).unwrap();
    let found = plan.inputs().filter_map(|(slot, path)| {
        let pointer = format!("/{}", path.as_str().replace('.', "/"));
        Some((slot, tree.pointer(&pointer)?.to_string()))
    });
    found.collect()
}

fn seen(plan: &ScoringPlan, values: &[(Slot, String)]) -> Inputs {
    let mut inputs = Inputs::at(NOW);
    for (slot, text) in values {
        inputs.see(plan, *slot, text.as_bytes());
    }
    inputs
}

fn one_lead(criterion: &mut Criterion) {
    let plan = plan();
    let record = Crm::with_leads(7).records("leads")[6].to_string();
    let values = values(&plan, &record);
    assert_eq!(values.len(), plan.watched_paths().len());
    let inputs = seen(&plan, &values);
    let score = Score::of(&plan, &inputs, ACTIVITIES, NOW);
    let folded = ComponentSet::NONE.with(ComponentName::Completeness);
    let rendering = Rendering::of(&score, Disclosure::Full, folded).unwrap();
    let names = HeaderNames::default();

    let mut group = criterion.benchmark_group("score");
    group.bench_function("values", |bencher| {
        bencher.iter(|| seen(&plan, black_box(&values)));
    });
    group.bench_function("calculation", |bencher| {
        bencher.iter(|| Score::of(&plan, black_box(&inputs), ACTIVITIES, NOW));
    });
    group.bench_function("values_and_calculation", |bencher| {
        bencher.iter(|| {
            let inputs = seen(&plan, black_box(&values));
            Score::of(&plan, &inputs, ACTIVITIES, NOW).total()
        });
    });
    group.bench_function("headers", |bencher| {
        bencher.iter(|| {
            let mut length = 0;
            black_box(&rendering).headers(&names, |name, value| {
                length += name.as_str().len() + value.len();
            });
            length
        });
    });
    group.bench_function("member", |bencher| {
        let mut out = Vec::with_capacity(64);
        bencher.iter(|| {
            out.clear();
            black_box(&rendering).write_member(&mut out);
            out.len()
        });
    });
    group.throughput(Throughput::Bytes(record.len() as u64));
    group.bench_function("record", |bencher| {
        bencher.iter(|| {
            let mut inputs = Inputs::at(NOW);
            inputs.see_record(&plan, black_box(record.as_bytes())).unwrap();
            inputs
        });
    });
    group.finish();
}

criterion_group!(benches, one_lead);
criterion_main!(benches);
