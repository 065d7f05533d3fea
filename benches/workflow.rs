//! What workflows cost: how many runs a second the engine carries out over a store on disk, and what
//! an event costs that a thousand workflows wait for and none wants.
//!
//! The run is that of a workflow with two conditions and one action that does nothing, so what is
//! measured is the engine: the event is read, the conditions are asked, the run is inserted, taken,
//! performed and settled, each step on disk before the next. `FIELDGATE_BENCH_RUNS` makes it longer.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up must stop")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fieldgate::diagnostic::SourceFile;
use fieldgate::event::dispatch::SystemClock;
use fieldgate::event::{Delivered, Message, Sink as _};
use fieldgate::policy::workflow::Workflow;
use fieldgate::store::{Options, Store};
use fieldgate::workflow::action::{ActionContext, ActionKind, Perform, Performed, RenderedAction};
use fieldgate::workflow::catalogue::{Catalogue, InForce};
use fieldgate::workflow::engine::{Engine, EngineObserver, Parts, Settings};
use fieldgate::workflow::render::Renderer;
use fieldgate::workflow::runs::{self, ClaimedRun, End, Outcome, Runs, StoredRuns};
use fieldgate::workflow::starter::Starter;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Workflows that wait for the event and do not want it.
const UNWANTED: usize = 1000;

/// Events that are brought at once, as the dispatcher does.
const PARALLEL: usize = 64;

const RECORD: &str = r#"{"record":{"id":7,"first_name":"Ada","company_name":"Stone Ltd","status":"new","annual_revenue":2000000,"budget":80000}}"#;

fn main() {
    // `cargo test --benches` runs it too; then a little is enough.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let runs = std::env::var("FIELDGATE_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok());
    let runs = runs.unwrap_or(if is_test { 50 } else { 10_000 });
    unwanted(if is_test { 3 } else { 2000 });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(carried_out(runs));
}

/// A workflow with two conditions.
fn workflow(name: &str, revenue: u64, budget: u64) -> Arc<Workflow> {
    let text = format!(
        "name: {name}\nrole: sales\nstatus: active\ntriggers:\n  - event: lead.created\n    \
         conditions:\n      and:\n        - {{ field: annual_revenue, operator: gt, value: {revenue} }}\n        \
         - {{ field: budget, operator: gt, value: {budget} }}\n\
         actions:\n  - send_notification: {{ recipient: sales, message: \"{{{{lead.company_name}}}}\" }}\n"
    );
    let source = SourceFile::new(format!("workflows/{name}.yaml"), text);
    Arc::new(Workflow::alone(&source).unwrap())
}

fn event() -> Message {
    Message {
        id: Uuid::now_v7(),
        event_type: "lead.created".to_owned(),
        source: "/bench".to_owned(),
        resource: "lead".to_owned(),
        record: Some("7".to_owned()),
        time: OffsetDateTime::now_utc(),
        tenant: None,
        actor: None,
        correlation_id: "bench".to_owned(),
        traceparent: None,
        policy_revision: String::new(),
        sequence: None,
        causation: None,
        data: RawValue::from_string(RECORD.to_owned()).unwrap(),
    }
}

/// The cost of an event that starts nothing.
fn unwanted(events: usize) {
    let workflows = (0..UNWANTED).map(|number| workflow(&format!("w{number}"), 1_000_000, 90_000));
    let catalogue = Catalogue::of(workflows);
    let event = event();
    let began = Instant::now();
    for _ in 0..events {
        assert!(catalogue.started_by("sales", &event).is_empty());
    }
    let each = began.elapsed() / u32::try_from(events).unwrap();
    println!("an event that {UNWANTED} workflows do not want: {each:.1?}");
}

/// Does nothing, at once.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Perform for Nothing {
    async fn perform(&self, _: &RenderedAction, _: &ActionContext) -> Performed {
        Performed::Completed { result: serde_json::json!({}) }
    }
}

/// Counts the ends of runs.
#[derive(Debug)]
struct Ends {
    ended: AtomicUsize,
    told: watch::Sender<usize>,
}

impl EngineObserver for Ends {
    fn attempted(
        &self,
        _: &ActionContext,
        _: ActionKind,
        _: &Outcome,
        _: Duration,
        _: Option<OffsetDateTime>,
    ) {
    }

    fn ended(&self, _: &ClaimedRun, end: &End, _: Duration) {
        assert_eq!(*end, End::Completed);
        self.told.send_replace(self.ended.fetch_add(1, Ordering::SeqCst) + 1);
    }

    fn taken_back(&self, _: &ClaimedRun) {}

    fn store_refused(&self, error: &fieldgate::store::StoreError) {
        println!("the store refused: {error}");
    }
}

/// Runs a second, from the first event to the end of the last run.
async fn carried_out(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &[runs::SCHEMA], &Options::default()).unwrap();
    let runs: Arc<dyn Runs> = Arc::new(StoredRuns::new(store));
    let in_force = InForce::new(Catalogue::of([workflow("qualify", 1_000_000, 50_000)]));
    let (told, mut ended) = watch::channel(0);
    let parts = Parts {
        runs: Arc::clone(&runs),
        in_force: in_force.clone(),
        renderer: Arc::new(Renderer::default()),
        perform: Arc::new(Nothing),
        clock: Arc::new(SystemClock),
        observer: Arc::new(Ends { ended: AtomicUsize::new(0), told }),
    };
    let engine = Engine::new(parts, Settings::default(), "bench");
    let (stop, stopped) = oneshot::channel::<()>();
    let engine = tokio::spawn(engine.run(async {
        stopped.await.unwrap_or_default();
    }));

    let starter = Arc::new(Starter::new("sales", runs, in_force, Arc::new(SystemClock)));
    let began = Instant::now();
    let mut flying = JoinSet::new();
    for _ in 0..count {
        if flying.len() >= PARALLEL {
            flying.join_next().await;
        }
        let starter = Arc::clone(&starter);
        flying.spawn(async move {
            assert_eq!(starter.deliver(&event(), 1).await, Delivered::Accepted);
        });
    }
    flying.join_all().await;
    let brought = began.elapsed();
    ended.wait_for(|ended| *ended == count).await.unwrap();
    let elapsed = began.elapsed();
    drop(stop);
    engine.await.unwrap();

    let mut text = String::new();
    let rate = count as f64 / elapsed.as_secs_f64();
    writeln!(text, "{count} runs in {elapsed:.2?}: {rate:.0} runs/s").unwrap();
    writeln!(text, "all events were brought after {brought:.2?}").unwrap();
    print!("{text}");
}
