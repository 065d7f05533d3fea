//! What a score costs: understanding the inputs, the calculation, telling it.
//!
//! The lead is the demo CRM's, of about 1 KB, with the shipped rules. `values` is what the street
//! pays when the filter hands it the watched values on its way; `record` is a second look at a
//! whole record, such as one that was fetched.
//!
//! Then the whole of it through the street, with scoring beside without, in one run: CPU of a gate
//! per request, for one lead and for a list of 50 with `_score` spliced into each record. Rounds
//! alternate between two gates, so that whatever else the machine does hits both. Scoring is all that
//! comes with it: headers, members, and scores that are kept in the store. It must cost less than 5 us
//! for a lead and less than 10 % for the list.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up must stop")]
#![allow(clippy::indexing_slicing, reason = "a bench that cannot be set up must stop")]
#![allow(clippy::print_stdout, reason = "it is what a bench is for")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group};
use fieldgate::demo::crm::Crm;
use fieldgate::policy;
use fieldgate::score::{
    Activities, ActivitySource, ComponentName, ComponentSet, Disclosure, HeaderNames, Inputs,
    Rendering, Score, ScoringPlan, Slot,
};
use serde_json::Value;
use time::macros::datetime;

#[path = "street/gates.rs"]
mod gates;

use gates::{CONNECTIONS, Gate, document, upstream};

const ROUNDS: usize = 16;

/// As the shipped rules, with a member in each record.
const MEMBER: (&str, &str) = ("member: off", "member: _score");

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

/// Alternates between two gates and prints what a request costs each of them.
fn street(folder: &Path, leads: u64, requests: usize) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/scoring.yaml");
    let scoring = std::fs::read_to_string(shipped).unwrap();
    assert!(scoring.contains(MEMBER.0));
    let scoring = scoring.replace(MEMBER.0, MEMBER.1);
    let body = document(leads);
    let upstream = upstream(&body);
    let config = "data_dir: data\naudit: { mode: off }\n";
    let gates = [
        Gate::start(&folder.join(format!("off{leads}")), upstream, config, None),
        Gate::start(&folder.join(format!("on{leads}")), upstream, config, Some(&scoring)),
    ];
    let path = if leads == 1 { "/api/v1/leads/1/" } else { "/api/v1/leads/" };
    let mut spent = [Duration::ZERO; 2];
    for round in 0..=ROUNDS {
        for (gate, spent) in gates.iter().zip(&mut spent) {
            let before = gate.cpu();
            gate.ask(path, requests);
            // What is kept a moment later counts.
            std::thread::sleep(Duration::from_millis(300));
            if round > 0 {
                *spent += gate.cpu() - before;
            }
        }
    }
    let [off, on] =
        spent.map(|spent| spent.as_secs_f64() * 1e6 / (ROUNDS * requests * CONNECTIONS) as f64);
    let more = (on / off - 1.0) * 100.0;
    let (bytes, added) = (body.len(), on - off);
    println!(
        "{leads:>2} leads {bytes:>6} B {off:>10.1} us {on:>10.1} us {added:>7.1} us {more:>6.1} %"
    );
}

criterion_group!(benches, one_lead);

fn main() {
    // `cargo test` runs benches too, to see whether they build.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let is_street = std::env::args().any(|argument| argument == "street");
    if !is_street {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
    if !is_test {
        println!("{:>17} {:>13} {:>13} {:>10} {:>8}", "answer", "off", "on", "added", "more");
        let folder = tempfile::tempdir().unwrap();
        for (leads, requests) in [(1, 3_000), (50, 500)] {
            street(folder.path(), leads, requests);
        }
    }
}
