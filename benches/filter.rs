//! The byte filter beside what one would write without it: parse to a tree, mask, print.
//!
//! All of it in one run over the same bytes, with the shipped policies of `sales_rep`: the same
//! fields are masked with the same masks and removed. `memcpy` is the floor. Every contender
//! validates the whole text (RFC 8259 and UTF-8). What is measured is the time on the processor,
//! so that others on the same machine do not count.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot be set up must stop"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fieldgate::demo::crm::Crm;
use fieldgate::diagnostic::SourceFile;
use fieldgate::json::filter::FilterLimits;
use fieldgate::mask::{KeyId, KeyRing, Masker, NonceSequence, SecretError, SecretSource, Strategy};
use fieldgate::policy::{self, CanonicalPath, GovernedRoute, Match, RouteTable};
use fieldgate::proxy::{Governance, Tokens};
use secrecy::{ExposeSecret, SecretString};

const LIMITS: FilterLimits = FilterLimits { replaced_value: 1 << 20, held_value: 1 << 20 };
const TENANT: Option<&str> = Some("acme");

/// Time that this thread was on a processor.
struct OnProcessor;

impl OnProcessor {
    fn now() -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(now).unwrap()
    }
}

impl Measurement for OnProcessor {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, began: Duration) -> Duration {
        Self::now().saturating_sub(began)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn environment(&self, _name: &str) -> Result<SecretString, SecretError> {
        Err(SecretError::Missing)
    }

    fn file(&self, _path: &str) -> Result<SecretString, SecretError> {
        Err(SecretError::Missing)
    }
}

fn keys() -> Arc<KeyRing> {
    let id = KeyId::parse("b1").unwrap();
    let date = time::macros::date!(2026 - 11 - 22);
    let text = KeyRing::generate_file(&mut rand::rng(), &id, date);
    let source = SourceFile::new("keys.yaml", text.expose_secret());
    Arc::new(KeyRing::read(&source, &NoSecrets).unwrap())
}

fn governance(keys: &Arc<KeyRing>) -> Governance {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    Governance::prepare(
        policy::load(&folder).set.unwrap(),
        Some(Arc::clone(keys)),
        Tokens::Forgotten,
    )
    .unwrap()
}

fn route(table: &RouteTable, path: &str) -> GovernedRoute {
    let path = CanonicalPath::parse(path).unwrap();
    match table.find(&http::Method::GET, &path) {
        Match::Governed(route) => route,
        other => unreachable!("{other:?}"),
    }
}

/// A lead, or a page of them. 1e400 is JSON, but no tree here can hold it.
fn document(leads: u64) -> Vec<u8> {
    let records = Crm::with_leads(leads).records("leads");
    let records: Vec<String> = records.iter().map(ToString::to_string).collect();
    let text = match records.as_slice() {
        [one] => one.clone(),
        many => format!(
            r#"{{"count":{},"next":null,"previous":null,"results":[{}]}}"#,
            many.len(),
            many.join(",")
        ),
    };
    text.replace("1e400", "1e300").into_bytes()
}

/// What the shipped policies make of a lead for `sales_rep`, written out for trees. It works on
/// the known places of this document only, which favours the trees.
struct TreeMasks {
    email: Masker,
    phone: Masker,
    custom_fields: Masker,
    nonces: NonceSequence,
    scratch: Vec<u8>,
}

impl TreeMasks {
    fn new(governance: &Governance, keys: &KeyRing) -> Self {
        let strategy = |path: &str| -> Strategy {
            let resource = &governance.set().resources["lead"];
            let field = resource.fields.iter().find(|field| field.path.as_str() == path);
            field.and_then(|field| field.strategy.clone()).unwrap_or_default()
        };
        let masker =
            |path: &str| keys.masker(&strategy(path), "acme", &format!("lead.{path}")).unwrap();
        Self {
            email: masker("$..email"),
            phone: masker("$..phone"),
            custom_fields: masker("$..custom_fields"),
            nonces: NonceSequence::new([7; 8]),
            scratch: Vec::new(),
        }
    }
}

macro_rules! tree {
    ($name:ident, $library:ident, $remove:expr) => {
        fn $name(text: &[u8], masks: &mut TreeMasks) -> Vec<u8> {
            use $library::Value;
            #[allow(unused_imports, reason = "one of the two libraries has traits for this")]
            use $library::*;

            fn replace(
                value: &mut Value,
                masker: &Masker,
                nonces: &mut NonceSequence,
                scratch: &mut Vec<u8>,
            ) {
                scratch.clear();
                let raw = $library::to_vec(&*value).unwrap();
                masker.mask(&raw, nonces, scratch).unwrap();
                *value = $library::from_slice(scratch).unwrap();
            }

            fn walk(value: &mut Value, masks: &mut TreeMasks) {
                if let Some(object) = value.as_object_mut() {
                    $remove(object, "ssn");
                    $remove(object, "internal_notes");
                    for (name, child) in object.iter_mut() {
                        let name: &str = name.as_ref();
                        let masker = match name {
                            "email" => masks.email.clone(),
                            "value" => masks.email.clone(),
                            "phone" => masks.phone.clone(),
                            "custom_fields" => masks.custom_fields.clone(),
                            _ => {
                                walk(child, masks);
                                continue;
                            }
                        };
                        let mut scratch = std::mem::take(&mut masks.scratch);
                        replace(child, &masker, &mut masks.nonces, &mut scratch);
                        masks.scratch = scratch;
                    }
                } else if let Some(array) = value.as_array_mut() {
                    for child in array.iter_mut() {
                        walk(child, masks);
                    }
                }
            }

            let mut value: Value = $library::from_slice(text).unwrap();
            walk(&mut value, masks);
            $library::to_vec(&value).unwrap()
        }
    };
}

tree!(with_serde_json, serde_json, |object: &mut serde_json::Map<String, Value>, name| {
    object.remove(name);
});
tree!(with_sonic_rs, sonic_rs, |object: &mut sonic_rs::Object, name| {
    object.remove(&name);
});

fn filtered(governance: &Governance, route: &GovernedRoute, text: &[u8], out: &mut Vec<u8>) {
    let roles = ["sales_rep".to_owned()];
    let filter = governance.answer_filter(Some(route), &roles, TENANT, true, LIMITS);
    let mut filter = filter.unwrap();
    for chunk in text.chunks(64 * 1024) {
        filter.push(chunk, out).unwrap();
    }
    filter.finish(out).unwrap();
}

/// All contenders must come to the same document, or the comparison is worth nothing.
fn must_agree(ours: &[u8], others: [Vec<u8>; 2]) {
    let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    for other in others {
        assert!(read(&other) == read(ours), "the contenders disagree");
    }
}

fn compare(criterion: &mut Criterion<OnProcessor>) {
    let keys = keys();
    let governance = governance(&keys);
    let mut masks = TreeMasks::new(&governance, &keys);
    for (name, leads, path) in [
        ("one lead", 1, "/api/v1/leads/1/"),
        ("50 leads", 50, "/api/v1/leads/"),
        ("5000 leads", 5_000, "/api/v1/leads/"),
    ] {
        let text = document(leads);
        let route = route(governance.routes(), path);
        let mut ours = Vec::new();
        filtered(&governance, &route, &text, &mut ours);
        must_agree(&ours, [with_sonic_rs(&text, &mut masks), with_serde_json(&text, &mut masks)]);
        let mut group = criterion.benchmark_group("filter");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.sample_size(if leads > 1_000 { 20 } else { 100 });
        group.bench_function(BenchmarkId::new("memcpy", name), |bencher| {
            let mut out = Vec::with_capacity(text.len());
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(&text));
                out.len()
            });
        });
        group.bench_function(BenchmarkId::new("fieldgate", name), |bencher| {
            let mut out = Vec::with_capacity(text.len() * 2);
            bencher.iter(|| {
                out.clear();
                filtered(&governance, &route, black_box(&text), &mut out);
                out.len()
            });
        });
        group.bench_function(BenchmarkId::new("sonic-rs", name), |bencher| {
            bencher.iter(|| with_sonic_rs(black_box(&text), &mut masks).len());
        });
        group.bench_function(BenchmarkId::new("serde_json", name), |bencher| {
            bencher.iter(|| with_serde_json(black_box(&text), &mut masks).len());
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(OnProcessor);
    targets = compare
}
criterion_main!(benches);
