//! The engine over a real store, with actions in memory. Time is set by hand.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use tempfile::TempDir;
use time::macros::datetime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::super::action::{ActionContext, ActionFailure, ActionKind, Performed, RenderedAction};
use super::super::catalogue::Catalogue;
use super::super::render::tests::lead;
use super::super::runs::{
    self, ActionRun, Cancelled, Cause, End, Filter, NewRun, Outcome, RunStatus, SCHEMA, Shown,
    StoredRuns,
};
use super::super::starter::Starter;
use super::*;
use crate::diagnostic::SourceFile;
use crate::event::{Causation, Delivered, Message, Sink as _};
use crate::policy::workflow::Workflow;
use crate::store::{Options, Store, Visitor};

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
const PATIENCE: Duration = Duration::from_secs(30);

/// Stands still until it is told.
#[derive(Debug)]
struct HandClock(watch::Sender<OffsetDateTime>);

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.borrow()
    }

    fn chance(&self) -> f64 {
        0.5
    }

    async fn sleep_until(&self, time: OffsetDateTime) {
        let mut now = self.0.subscribe();
        now.wait_for(|now| *now >= time).await.unwrap();
    }
}

/// What a test hears, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    /// Workflow, what the action says, attempt.
    Attempt(String, String, u32),
    Ended(String, RunStatus),
    TakenBack(String),
}

fn attempt(workflow: &str, message: &str, attempt: u32) -> Heard {
    Heard::Attempt(workflow.to_owned(), message.to_owned(), attempt)
}

fn ended(workflow: &str, status: RunStatus) -> Heard {
    Heard::Ended(workflow.to_owned(), status)
}

#[derive(Debug)]
struct Ear(mpsc::UnboundedSender<Heard>);

impl EngineObserver for Ear {
    fn attempted(
        &self,
        _: &ActionContext,
        _: ActionKind,
        _: &Outcome,
        _: Duration,
        _: Option<OffsetDateTime>,
    ) {
    }

    fn ended(&self, run: &ClaimedRun, end: &End, _: Duration) {
        let status = match end {
            End::Completed => RunStatus::Completed,
            End::Failed { .. } => RunStatus::Failed,
        };
        let _ = self.0.send(Heard::Ended(run.workflow.clone(), status));
    }

    fn taken_back(&self, run: &ClaimedRun) {
        let _ = self.0.send(Heard::TakenBack(run.workflow.clone()));
    }

    fn store_refused(&self, _: &StoreError) {}
}

/// How an attempt is to go.
#[derive(Debug, Clone)]
enum Verdict {
    Fail { retryable: bool },
    Panic,
    Hang,
}

/// Does what it is told for a message, once for each telling; all else is done.
#[derive(Debug)]
struct Actions {
    heard: mpsc::UnboundedSender<Heard>,
    verdicts: Mutex<HashMap<String, VecDeque<Verdict>>>,
    contexts: Mutex<Vec<ActionContext>>,
    /// Attempts that may go on.
    gate: Semaphore,
}

impl Actions {
    fn tell(&self, message: &str, verdict: Verdict, times: usize) {
        let mut verdicts = self.verdicts.lock().unwrap();
        let told = verdicts.entry(message.to_owned()).or_default();
        told.extend(std::iter::repeat_n(verdict, times));
    }
}

#[async_trait]
impl Perform for Actions {
    async fn perform(&self, action: &RenderedAction, context: &ActionContext) -> Performed {
        let message = action.text("message").unwrap_or_default().to_owned();
        self.contexts.lock().unwrap().push(context.clone());
        let heard = Heard::Attempt(context.workflow.clone(), message.clone(), context.attempt);
        let _ = self.heard.send(heard);
        self.gate.acquire().await.unwrap().forget();
        self.gate.add_permits(1);
        let told = self.verdicts.lock().unwrap().get_mut(&message).and_then(VecDeque::pop_front);
        match told {
            None => Performed::Completed { result: serde_json::json!({ "told": message }) },
            Some(Verdict::Fail { retryable }) => Performed::Failed {
                reason: ActionFailure::Status,
                retryable,
                error: "the receiver answered 503".to_owned(),
            },
            Some(Verdict::Panic) => panic!("told to"),
            Some(Verdict::Hang) => std::future::pending().await,
        }
    }
}

/// Runs whose leases cannot be prolonged, as while the servers do not answer.
#[derive(Debug)]
struct Unrenewed {
    runs: StoredRuns,
    refused: watch::Sender<u32>,
}

#[async_trait]
impl Runs for Unrenewed {
    async fn add(&self, runs: Vec<NewRun>, now: OffsetDateTime) -> Result<usize, StoreError> {
        self.runs.add(runs, now).await
    }

    async fn claim(&self, claim: Claim) -> Result<runs::Claimed, StoreError> {
        self.runs.claim(claim).await
    }

    async fn recover(&self, now: OffsetDateTime) -> Result<usize, StoreError> {
        self.runs.recover(now).await
    }

    async fn renew(&self, _: Arc<str>, _: Vec<Uuid>, _: OffsetDateTime) -> Result<(), StoreError> {
        self.refused.send_modify(|refused| *refused += 1);
        Err(StoreError::Unhealthy)
    }

    async fn settle(&self, step: runs::Step) -> Result<runs::Settled, StoreError> {
        self.runs.settle(step).await
    }

    async fn taken_back(&self, runs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        self.runs.taken_back(runs).await
    }

    async fn definition(&self, digest: String) -> Result<Option<(String, String)>, StoreError> {
        self.runs.definition(digest).await
    }

    async fn retire(&self, ended_before: OffsetDateTime) -> Result<usize, StoreError> {
        self.runs.retire(ended_before).await
    }

    async fn list(&self, filter: Filter, limit: usize) -> Result<Vec<runs::Listed>, StoreError> {
        self.runs.list(filter, limit).await
    }

    async fn show(&self, run: Uuid) -> Result<Option<Shown>, StoreError> {
        self.runs.show(run).await
    }

    async fn cancel(&self, run: Uuid, now: OffsetDateTime) -> Result<Cancelled, StoreError> {
        self.runs.cancel(run, now).await
    }

    async fn retry(&self, run: Uuid) -> Result<runs::Retried, StoreError> {
        self.runs.retry(run).await
    }

    async fn counts(&self) -> Result<runs::Counts, StoreError> {
        self.runs.counts().await
    }

    fn occasions(&self) -> watch::Receiver<u64> {
        self.runs.occasions()
    }

    fn foreign_writes(&self) -> watch::Receiver<u64> {
        self.runs.foreign_writes()
    }
}

/// A store with an engine, and what a test holds of it.
struct Bench {
    folder: TempDir,
    runs: StoredRuns,
    clock: Arc<HandClock>,
    actions: Arc<Actions>,
    in_force: InForce,
    heard: mpsc::UnboundedReceiver<Heard>,
    parts: Parts,
    settings: Settings,
    engine: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    owners: usize,
}

/// A workflow file of notifications.
fn workflow(name: &str, head: &str, actions: &[&str]) -> Arc<Workflow> {
    let actions: Vec<String> = actions.iter().map(|action| format!("  - {action}\n")).collect();
    let actions = actions.concat();
    let head = if head.contains("triggers") {
        head.to_owned()
    } else {
        format!("{head}\ntriggers: [{{ event: lead.created }}]")
    };
    let text = format!("name: {name}\nrole: sales\nstatus: active\n{head}\nactions:\n{actions}");
    let source = SourceFile::new(format!("workflows/{name}.yaml"), text.clone());
    Arc::new(Workflow::alone(&source).unwrap_or_else(|| panic!("{text}")))
}

fn notify(message: &str) -> String {
    format!("send_notification: {{ recipient: sales, message: \"{message}\" }}")
}

fn bench(workflows: &[Arc<Workflow>]) -> Bench {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path(), &[SCHEMA], &options()).unwrap();
    let (tell, heard) = mpsc::unbounded_channel();
    let runs = StoredRuns::new(store);
    let clock = Arc::new(HandClock(watch::channel(NOW).0));
    let actions = Arc::new(Actions {
        heard: tell.clone(),
        verdicts: Mutex::default(),
        contexts: Mutex::default(),
        gate: Semaphore::new(1),
    });
    let in_force = InForce::new(Catalogue::of(workflows.iter().map(Arc::clone)));
    let parts = Parts {
        runs: Arc::new(runs.clone()),
        in_force: in_force.clone(),
        renderer: Arc::default(),
        perform: Arc::clone(&actions) as _,
        clock: Arc::clone(&clock) as _,
        observer: Arc::new(Ear(tell)),
    };
    let settings = Settings { parallel: 1, grace: Duration::ZERO, ..Settings::default() };
    Bench {
        folder,
        runs,
        clock,
        actions,
        in_force,
        heard,
        parts,
        settings,
        engine: None,
        owners: 0,
    }
}

fn options() -> Options {
    Options { look: Duration::from_millis(5), ..Options::default() }
}

impl Bench {
    fn start(&mut self) {
        self.owners += 1;
        let owner = format!("owner-{}", self.owners);
        let engine = Engine::new(self.parts.clone(), self.settings, &owner);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(engine.run(async move { drop(stopped.await) }));
        self.engine = Some((stop, task));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.engine.take().unwrap();
        stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }

    /// The engine is gone in the middle of whatever it did, and the store is opened anew.
    async fn crash(&mut self) {
        let (_, task) = self.engine.take().unwrap();
        task.abort();
        let _ = task.await;
        self.runs.store().close();
        let store = loop {
            // What was under way may hold the store a moment longer.
            match Store::open(self.folder.path(), &[SCHEMA], &options()) {
                Ok(store) => break store,
                Err(crate::store::OpenError::Owned(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        self.runs = StoredRuns::new(store);
        self.parts.runs = Arc::new(self.runs.clone());
        self.runs.recover(self.now()).await.unwrap();
    }

    fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    fn pass(&self, time: Duration) {
        self.clock.0.send_modify(|now| *now += time);
    }

    async fn hear(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("nothing was heard").unwrap()
    }

    #[track_caller]
    fn hear_nothing(&mut self) {
        let heard = self.heard.try_recv();
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Brings an event to the engine, as the journal would.
    async fn bring(&self, event: &Message) {
        let starter = Starter::new(
            "sales",
            Arc::new(self.runs.clone()),
            self.in_force.clone(),
            Arc::clone(&self.clock) as _,
        );
        assert_eq!(starter.deliver(event, 1).await, Delivered::Accepted);
    }

    /// The runs, the oldest first.
    fn shown(&self) -> Vec<Shown> {
        let read = |connection: &rusqlite::Connection| {
            let listed = runs::list(connection, &Filter::default(), 1000)?;
            let shown = listed.iter().rev().map(|listed| runs::show(connection, listed.id));
            shown.collect::<rusqlite::Result<Option<Vec<_>>>>()
        };
        self.runs.store().read_blocking(read).unwrap().unwrap()
    }

    /// `workflow status failure`, then each action: `status attempts failure`.
    fn told(&self) -> Vec<String> {
        let action = |action: &ActionRun| {
            let failure = action.failure.as_deref().unwrap_or("-");
            format!("{} {} {failure}", action.status.word(), action.attempts)
        };
        let told = self.shown().into_iter().map(|shown| {
            let run = &shown.run;
            let actions: Vec<String> = shown.actions.iter().map(action).collect();
            let failure = run.failure.as_deref().unwrap_or("-");
            let (workflow, status) = (&run.workflow, run.status.word());
            format!("{workflow} {status} {failure}: {}", actions.join(", "))
        });
        told.collect()
    }
}

fn event(number: u128) -> Message {
    let data = r#"{"record":{"id":7,"budget":80000,"name":"Ann"}}"#;
    Message { id: Uuid::from_u128(number), ..lead(data) }
}

#[tokio::test]
async fn a_run_from_event_to_end() {
    let greet = workflow("greet", "", &[&notify("one {{lead.name}}"), &notify("two")]);
    let mut bench = bench(&[greet]);
    bench.start();
    bench.bring(&event(1)).await;
    assert_eq!(bench.hear().await, attempt("greet", "one Ann", 1));
    assert_eq!(bench.hear().await, attempt("greet", "two", 1));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    assert_eq!(bench.told(), ["greet completed -: completed 1 -, completed 1 -"]);

    let shown = bench.shown().remove(0);
    assert_eq!(shown.run.event, Uuid::from_u128(1));
    assert_eq!(shown.run.subject.as_deref(), Some("lead/7"));
    assert_eq!((shown.run.started, shown.run.duration_ms), (Some(NOW), Some(0)));
    assert_eq!(shown.actions[0].result.as_deref(), Some("{\"told\":\"one Ann\"}"));
    let contexts = bench.actions.contexts.lock().unwrap().clone();
    let keys: Vec<&str> = contexts.iter().map(|one| one.idempotency_key.as_str()).collect();
    assert_eq!(keys, [format!("{}-0", shown.run.id), format!("{}-1", shown.run.id)]);
    assert_eq!((contexts[0].causation_depth, contexts[0].role.as_str()), (1, "sales"));
    assert_eq!(contexts[0].correlation_id, "req-1");
    bench.stop().await;
}

#[tokio::test]
async fn an_event_brought_again_starts_nothing_new() {
    let mut bench = bench(&[workflow("greet", "", &[&notify("x")])]);
    bench.bring(&event(1)).await;
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "x", 1));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    bench.bring(&event(1)).await;
    assert_eq!(bench.told().len(), 1);
    bench.stop().await;
    bench.hear_nothing();
}

#[tokio::test]
async fn only_what_is_meant_starts() {
    let triggers = |event: &str, rest: &str| format!("triggers: [{{ event: {event}{rest} }}]");
    let when = |operator: &str, value: &str| {
        triggers(
            "lead.created",
            &format!(
                ", conditions: {{ field: lead.budget, operator: {operator}, value: {value} }}"
            ),
        )
    };
    let cases = [
        ("plain", triggers("lead.created", ""), true),
        ("other_event", triggers("lead.updated", ""), false),
        ("holds", when("gt", "50000"), true),
        ("does_not_hold", when("lt", "50000"), false),
        ("other_kind", when("ne", "\"5\""), false),
        (
            "not_known",
            triggers("lead.created", ", conditions: { field: old_stage, operator: eq, value: x }"),
            false,
        ),
        ("own_tenant", format!("tenant: acme\n{}", triggers("lead.created", "")), true),
        ("other_tenant", format!("tenant: other\n{}", triggers("lead.created", "")), false),
        ("either", "triggers: [{ event: lead.updated }, { event: lead.created }]".to_owned(), true),
    ];
    let workflows: Vec<_> =
        cases.iter().map(|(name, head, _)| workflow(name, head, &[&notify("x")])).collect();
    let bench = bench(&workflows);
    bench.bring(&event(1)).await;
    let mut expect: Vec<&str> =
        cases.iter().filter(|(_, _, starts)| *starts).map(|(name, _, _)| *name).collect();
    expect.sort_unstable();
    let mut started: Vec<String> =
        bench.shown().into_iter().map(|shown| shown.run.workflow).collect();
    started.sort();
    assert_eq!(started, expect);
    let other_role = Starter::new(
        "finance",
        Arc::new(bench.runs.clone()),
        bench.in_force.clone(),
        Arc::clone(&bench.clock) as _,
    );
    assert_eq!(other_role.deliver(&event(2), 1).await, Delivered::Accepted);
    assert_eq!(bench.shown().len(), expect.len());
}

#[tokio::test]
async fn only_active_workflows_start() {
    let all = ["draft", "active", "paused", "archived"].map(|status| {
        let text = format!(
            "name: {status}\nrole: sales\nstatus: {status}\ntriggers: [{{ event: lead.created }}]\nactions: [{}]\n",
            format_args!("{{ {} }}", notify("x"))
        );
        Arc::new(Workflow::alone(&SourceFile::new(status, text)).unwrap())
    });
    let bench = bench(&all);
    bench.bring(&event(1)).await;
    let started: Vec<String> = bench.shown().into_iter().map(|shown| shown.run.workflow).collect();
    assert_eq!(started, ["active"]);
}

#[tokio::test]
async fn higher_priority_goes_first() {
    let with = |name: &str, priority: i64| {
        let head = format!("triggers: [{{ event: lead.created, priority: {priority} }}]");
        workflow(name, &head, &[&notify("x")])
    };
    let mut bench = bench(&[with("low", -5), with("high", 10), with("middle", 0)]);
    bench.bring(&event(1)).await;
    bench.start();
    for name in ["high", "middle", "low"] {
        assert_eq!(bench.hear().await, attempt(name, "x", 1));
        assert_eq!(bench.hear().await, ended(name, RunStatus::Completed));
    }
    bench.stop().await;
}

/// What becomes of three actions of which the second fails.
async fn second_fails(beside: &str, failures: usize, retryable: bool, expect: &str) {
    let second = format!("{}\n    {beside}", notify("two"));
    let greet = workflow("greet", "", &[&notify("one"), &second, &notify("three")]);
    let mut bench = bench(&[greet]);
    bench.actions.tell("two", Verdict::Fail { retryable }, failures);
    bench.bring(&event(1)).await;
    bench.start();
    let mut attempts = 0;
    loop {
        match bench.hear().await {
            Heard::Attempt(_, message, _) if message == "two" => {
                attempts += 1;
                // Whatever the pause is, it is over.
                if attempts <= failures {
                    let due = loop {
                        let shown = bench.shown().remove(0);
                        if shown.run.due.is_some() || shown.run.status.is_final() {
                            break shown.run.due;
                        }
                        if shown.actions[1].status.is_final() {
                            break None;
                        }
                        tokio::task::yield_now().await;
                    };
                    if let Some(due) = due {
                        bench.clock.0.send_replace(due);
                    }
                }
            }
            Heard::Attempt(..) => {}
            Heard::Ended(..) | Heard::TakenBack(_) => break,
        }
    }
    assert_eq!(bench.told(), [expect], "{beside} {failures}");
    bench.stop().await;
}

#[tokio::test]
async fn a_failing_action_ends_the_run_unless_it_may() {
    let end = "greet failed status: completed 1 -, failed 1 status, cancelled 0 -";
    second_fails("", 1, true, end).await;
    second_fails("retry: { attempts: 3 }", 1, false, end).await;
    let end = "greet completed -: completed 1 -, failed 1 status, completed 1 -";
    second_fails("allow_failure: true", 1, true, end).await;
}

#[tokio::test]
async fn a_failing_action_is_tried_again() {
    let end = "greet completed -: completed 1 -, completed 3 -, completed 1 -";
    second_fails("retry: { attempts: 3, backoff: 10s }", 2, true, end).await;
    let end = "greet failed status: completed 1 -, failed 3 status, cancelled 0 -";
    second_fails("retry: { attempts: 3, backoff: 10s }", 3, true, end).await;
    let end = "greet completed -: completed 1 -, failed 2 status, completed 1 -";
    second_fails("retry: { attempts: 2 }\n    allow_failure: true", 2, true, end).await;
}

#[tokio::test]
async fn attempts_wait_twice_as_long_each_time() {
    let again = format!("{}\n    retry: {{ attempts: 3, backoff: 10s }}", notify("x"));
    let mut bench = bench(&[workflow("greet", "", &[&again])]);
    bench.actions.tell("x", Verdict::Fail { retryable: true }, 3);
    bench.bring(&event(1)).await;
    bench.start();
    let mut waits = Vec::new();
    for number in 1..=3 {
        assert_eq!(bench.hear().await, attempt("greet", "x", number));
        let before = bench.now();
        let due = loop {
            let run = bench.shown().remove(0).run;
            if run.due.is_some() || run.status.is_final() {
                break run.due;
            }
            tokio::task::yield_now().await;
        };
        if let Some(due) = due {
            waits.push((due - before).whole_seconds());
            bench.clock.0.send_replace(due);
        }
    }
    assert_eq!(waits, [10, 20]);
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Failed));
    bench.stop().await;
}

#[tokio::test]
async fn an_action_whose_condition_does_not_hold_is_left_out() {
    let when = |message: &str, operator: &str, value: &str| {
        format!(
            "{}\n    when: {{ field: lead.budget, operator: {operator}, value: {value} }}",
            notify(message)
        )
    };
    let greet = workflow(
        "greet",
        "",
        &[
            &when("poor", "lt", "1000"),
            &when("rich", "gte", "80000"),
            &when("end", "exists", "false"),
        ],
    );
    let mut bench = bench(&[greet]);
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "rich", 1));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    assert_eq!(bench.told(), ["greet completed -: completed 0 -, completed 1 -, completed 0 -"]);
    let result = bench.shown().remove(0).actions[0].result.clone().unwrap();
    assert!(result.contains("skipped") && !result.contains("80000"), "{result}");
    bench.stop().await;
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_has_failed() {
    let slow = format!("{}\n    timeout: 5s", notify("slow"));
    let mut bench = bench(&[workflow("greet", "", &[&slow])]);
    bench.actions.tell("slow", Verdict::Hang, 1);
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "slow", 1));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Failed));
    assert_eq!(bench.told(), ["greet failed timeout: failed 1 timeout"]);
    bench.stop().await;
}

#[tokio::test]
async fn a_run_that_takes_too_long_has_failed() {
    let slow = format!("{}\n    timeout: 5s\n    allow_failure: true", notify("slow"));
    let greet = workflow("greet", "max_execution_time: 8s", &[&slow, &slow, &notify("never")]);
    let mut bench = bench(&[greet]);
    bench.actions.tell("slow", Verdict::Hang, 2);
    bench.bring(&event(1)).await;
    bench.start();
    for seconds in [5, 3] {
        assert_eq!(bench.hear().await, attempt("greet", "slow", 1));
        bench.pass(Duration::from_secs(seconds));
    }
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Failed));
    let end = "greet failed max_execution_time: failed 1 timeout, failed 1 timeout, cancelled 0 -";
    assert_eq!(bench.told(), [end]);
    bench.stop().await;
}

#[tokio::test]
async fn no_run_has_more_actions_than_the_engine_allows() {
    let greet = workflow("greet", "", &[&notify("one"), &notify("two"), &notify("three")]);
    let mut bench = bench(&[greet]);
    bench.settings.max_actions = 2;
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "one", 1));
    assert_eq!(bench.hear().await, attempt("greet", "two", 1));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Failed));
    assert_eq!(
        bench.told(),
        ["greet failed max_actions: completed 1 -, completed 1 -, cancelled 0 -"]
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_chain_of_runs_is_cut() {
    let mut bench = bench(&[workflow("greet", "", &[&notify("x")])]);
    bench.start();
    for (number, depth) in [(1, 4), (2, 5)] {
        let causation = Some(Causation { run: Uuid::from_u128(99), depth });
        bench.bring(&Message { causation, ..event(number) }).await;
        if depth == 4 {
            assert_eq!(bench.hear().await, attempt("greet", "x", 1));
            assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
        } else {
            assert_eq!(bench.hear().await, ended("greet", RunStatus::Failed));
        }
    }
    assert_eq!(
        bench.told(),
        ["greet completed -: completed 1 -", "greet failed causation_depth: cancelled 0 -"]
    );
    assert_eq!(bench.shown()[0].run.depth, 5);
    assert_eq!(bench.actions.contexts.lock().unwrap()[0].causation_depth, 5);
    bench.stop().await;
}

#[tokio::test]
async fn a_template_that_cannot_be_filled_in_is_a_failure() {
    let mut bench = bench(&[workflow("greet", "", &[&notify("{{env.SECRET}}")])]);
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Failed));
    assert_eq!(bench.told(), ["greet failed template: failed 1 template"]);
    bench.stop().await;
}

#[tokio::test]
async fn an_action_that_panics_has_failed() {
    let greet = workflow("greet", "", &[&notify("x"), &notify("y")]);
    let mut bench = bench(&[greet]);
    bench.actions.tell("x", Verdict::Panic, 1);
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "x", 1));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Failed));
    assert_eq!(bench.told(), ["greet failed internal: failed 1 internal, cancelled 0 -"]);
    bench.bring(&event(2)).await;
    assert_eq!(bench.hear().await, attempt("greet", "x", 1));
    bench.stop().await;
}

/// It may be made again, and may be allowed, like any failure.
#[tokio::test]
async fn an_action_that_panics_fails_like_any_other() {
    let again = format!("{}\n    retry: {{ attempts: 2, backoff: 0s }}", notify("again"));
    let allowed = format!("{}\n    allow_failure: true", notify("allowed"));
    let mut bench = bench(&[workflow("greet", "", &[&again, &allowed, &notify("last")])]);
    bench.actions.tell("again", Verdict::Panic, 1);
    bench.actions.tell("allowed", Verdict::Panic, 1);
    bench.bring(&event(1)).await;
    bench.start();
    for (message, count) in [("again", 1), ("again", 2), ("allowed", 1), ("last", 1)] {
        assert_eq!(bench.hear().await, attempt("greet", message, count));
    }
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    let told = ["greet completed -: completed 2 -, failed 1 internal, completed 1 -"];
    assert_eq!(bench.told(), told);
    bench.stop().await;
}

#[tokio::test]
async fn runs_at_the_same_time_are_bounded() {
    let bounded = workflow("bounded", "concurrency: 2", &[&notify("b")]);
    let free =
        workflow("free", "triggers: [{ event: lead.created, priority: -1 }]", &[&notify("f")]);
    let mut bench = bench(&[bounded, free]);
    bench.settings.parallel = 10;
    bench.actions.gate.forget_permits(1);
    for number in 1..=3 {
        bench.bring(&event(number)).await;
    }
    bench.start();
    let mut begun = Vec::new();
    for _ in 0..5 {
        begun.push(bench.hear().await);
    }
    let of = |name: &str, begun: &[Heard]| {
        begun.iter().filter(|heard| matches!(heard, Heard::Attempt(of, ..) if of == name)).count()
    };
    assert_eq!((of("bounded", &begun), of("free", &begun)), (2, 3));
    bench.hear_nothing();
    bench.actions.gate.add_permits(1);
    let mut ends = 0;
    while ends < 6 {
        ends += usize::from(matches!(bench.hear().await, Heard::Ended(_, RunStatus::Completed)));
    }
    bench.stop().await;
}

#[tokio::test]
async fn starts_within_a_minute_are_bounded() {
    let mut bench = bench(&[workflow("greet", "rate: 2", &[&notify("x")])]);
    for number in 1..=5 {
        bench.bring(&event(number)).await;
    }
    bench.start();
    for minute in 0..3 {
        let starts = if minute == 2 { 1 } else { 2 };
        for _ in 0..starts {
            assert_eq!(bench.hear().await, attempt("greet", "x", 1));
            assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
        }
        let pending = bench.told().iter().filter(|told| told.contains("pending")).count();
        assert_eq!(pending, 3_usize.saturating_sub(2 * minute));
        bench.pass(Duration::from_millis(60_001));
    }
    bench.stop().await;
}

#[tokio::test]
async fn runs_of_a_paused_workflow_wait() {
    let active = workflow("greet", "", &[&notify("x")]);
    let mut bench = bench(&[Arc::clone(&active)]);
    bench.bring(&event(1)).await;
    let text = active.origin.source.text().replace("status: active", "status: paused");
    let paused = Arc::new(Workflow::alone(&SourceFile::new("greet", text)).unwrap());
    bench.in_force.swap(Catalogue::of([paused]));
    bench.bring(&event(2)).await;
    bench.start();
    let other = workflow("other", "", &[&notify("y")]);
    bench.runs.add(vec![by_hand(&other)], NOW).await.unwrap();
    assert_eq!(bench.hear().await, attempt("other", "y", 1));
    assert_eq!(bench.hear().await, ended("other", RunStatus::Completed));
    assert_eq!(bench.told()[0], "greet pending -: pending 0 -");
    bench.in_force.swap(Catalogue::of([active]));
    bench.runs.wake();
    assert_eq!(bench.hear().await, attempt("greet", "x", 1));
    bench.stop().await;
}

fn by_hand(workflow: &Arc<Workflow>) -> NewRun {
    NewRun {
        id: Uuid::now_v7(),
        workflow: Arc::clone(workflow),
        cause: Cause::Hand(Uuid::now_v7()),
        priority: 0,
        event: Arc::new(event(77)),
        depth: 1,
    }
}

#[tokio::test]
async fn a_run_goes_on_with_the_definition_that_it_began_with() {
    let before = workflow("greet", "", &[&notify("old one"), &notify("old two")]);
    let after = workflow("greet", "", &[&notify("new")]);
    let mut bench = bench(&[before]);
    bench.bring(&event(1)).await;
    bench.in_force.swap(Catalogue::of([after]));
    bench.bring(&event(2)).await;
    bench.start();
    for message in ["old one", "old two"] {
        assert_eq!(bench.hear().await, attempt("greet", message, 1));
    }
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    assert_eq!(bench.hear().await, attempt("greet", "new", 1));
    bench.stop().await;
}

#[tokio::test]
async fn a_crash_goes_on_at_the_action_that_was_not_finished() {
    let greet = workflow("greet", "", &[&notify("one"), &notify("two"), &notify("three")]);
    let mut bench = bench(&[greet]);
    bench.actions.tell("two", Verdict::Hang, 1);
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "one", 1));
    assert_eq!(bench.hear().await, attempt("greet", "two", 1));
    assert_eq!(bench.told(), ["greet running -: completed 1 -, running 0 -, pending 0 -"]);
    bench.crash().await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "two", 1));
    assert_eq!(bench.hear().await, attempt("greet", "three", 1));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    let contexts = bench.actions.contexts.lock().unwrap().clone();
    assert_eq!(contexts[1].idempotency_key, contexts[2].idempotency_key);
    bench.stop().await;
}

/// As long as nobody else takes it, a run whose lease is out goes on where it is, and only there.
#[tokio::test]
async fn an_outage_longer_than_the_lease_does_nothing_twice() {
    let patient = |message| format!("{}\n    timeout: 240s", notify(message));
    let mut bench = bench(&[workflow("greet", "", &[&patient("one"), &patient("two")])]);
    let refused = watch::channel(0).0;
    let mut refusals = refused.subscribe();
    bench.parts.runs = Arc::new(Unrenewed { runs: bench.runs.clone(), refused });
    bench.settings.parallel = 10;
    bench.actions.gate.forget_permits(1);
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "one", 1));
    for count in 1..=4 {
        // Refused, it asks again soon, and not after a third of the lease.
        bench.pass(if count == 1 { bench.settings.lease * 2 } else { AFTER_REFUSAL });
        let heard = refusals.wait_for(|refused| *refused >= count);
        tokio::time::timeout(PATIENCE, heard).await.expect("not asked again").unwrap();
    }
    // The look that this one is found by is behind all of that.
    bench.bring(&event(2)).await;
    assert_eq!(bench.hear().await, attempt("greet", "one", 1));
    bench.actions.gate.add_permits(1);
    let mut heard = Vec::new();
    while heard.iter().filter(|heard| matches!(heard, Heard::Ended(..))).count() < 2 {
        heard.push(bench.hear().await);
    }
    let second = heard.iter().filter(|heard| **heard == attempt("greet", "two", 1)).count();
    assert_eq!((second, heard.len()), (2, 4), "{heard:?}");
    bench.hear_nothing();
    assert_eq!(bench.shown()[0].interruptions, 0);
    bench.stop().await;
}

/// Whoever starts a workflow that is paused means it.
#[tokio::test]
async fn a_paused_workflow_that_is_started_by_hand_runs() {
    let text = workflow("greet", "", &[&notify("x")]).origin.source.text().to_owned();
    let text = text.replace("status: active", "status: paused");
    let paused = Arc::new(Workflow::alone(&SourceFile::new("greet", text)).unwrap());
    let mut bench = bench(&[Arc::clone(&paused)]);
    bench.runs.add(vec![by_hand(&paused)], NOW).await.unwrap();
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "x", 1));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    bench.stop().await;
}

#[tokio::test]
async fn an_action_that_ends_the_process_every_time_is_given_up() {
    let mut bench = bench(&[workflow("greet", "", &[&notify("deadly")])]);
    bench.settings.most_interruptions = 2;
    bench.actions.tell("deadly", Verdict::Hang, 10);
    bench.bring(&event(1)).await;
    for _ in 0..3 {
        bench.start();
        assert_eq!(bench.hear().await, attempt("greet", "deadly", 1));
        bench.crash().await;
    }
    bench.start();
    while bench.told() != ["greet failed interrupted: cancelled 0 -"] {
        tokio::task::yield_now().await;
    }
    bench.stop().await;
    bench.hear_nothing();
}

#[tokio::test]
async fn a_wait_outlives_a_crash() {
    let again = format!("{}\n    retry: {{ attempts: 2, backoff: 10s }}", notify("x"));
    let mut bench = bench(&[workflow("greet", "", &[&again])]);
    bench.actions.tell("x", Verdict::Fail { retryable: true }, 1);
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "x", 1));
    while bench.shown()[0].run.due.is_none() {
        tokio::task::yield_now().await;
    }
    bench.crash().await;
    bench.start();
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.hear().await, attempt("greet", "x", 2));
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    bench.stop().await;
}

#[tokio::test]
async fn another_process_takes_a_run_back() {
    let greet = workflow("greet", "", &[&notify("one"), &notify("two")]);
    let mut bench = bench(&[greet]);
    bench.actions.tell("one", Verdict::Hang, 1);
    bench.bring(&event(1)).await;
    bench.bring(&event(2)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "one", 1));
    let (running, pending) = (bench.shown()[0].run.id, bench.shown()[1].run.id);
    let mut visitor = Visitor::writer(bench.folder.path(), &[SCHEMA]).unwrap();
    let mut cancel = |run| visitor.write(|inside| runs::cancel(inside, run, NOW)).unwrap();
    assert_eq!(cancel(Uuid::from_u128(5)), Cancelled::Unknown);
    assert_eq!(cancel(pending), Cancelled::Yes);
    assert_eq!(cancel(running), Cancelled::Yes);
    assert_eq!(cancel(running), Cancelled::Ended(RunStatus::Cancelled));
    assert_eq!(bench.hear().await, Heard::TakenBack("greet".to_owned()));
    assert_eq!(
        bench.told(),
        [
            "greet cancelled -: cancelled 1 -, cancelled 0 -",
            "greet cancelled -: cancelled 0 -, cancelled 0 -"
        ]
    );
    bench.stop().await;
    bench.hear_nothing();
}

#[tokio::test]
async fn a_failed_run_is_begun_again_where_it_failed() {
    let greet = workflow("greet", "", &[&notify("one"), &notify("two"), &notify("three")]);
    let mut bench = bench(&[greet]);
    bench.actions.tell("two", Verdict::Fail { retryable: false }, 1);
    bench.bring(&event(1)).await;
    bench.start();
    for message in ["one", "two"] {
        assert_eq!(bench.hear().await, attempt("greet", message, 1));
    }
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Failed));
    let run = bench.shown()[0].run.id;
    let mut visitor = Visitor::writer(bench.folder.path(), &[SCHEMA]).unwrap();
    let mut retry = || visitor.write(|inside| runs::retry(inside, run)).unwrap();
    assert_eq!(retry(), runs::Retried::Yes);
    for message in ["two", "three"] {
        assert_eq!(bench.hear().await, attempt("greet", message, 1));
    }
    assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
    assert_eq!(retry(), runs::Retried::Standing(RunStatus::Completed));
    let contexts = bench.actions.contexts.lock().unwrap().clone();
    assert_eq!(contexts[1].idempotency_key, contexts[2].idempotency_key);
    bench.stop().await;
}

#[tokio::test]
async fn a_stop_hands_back_what_is_not_done() {
    let greet = workflow("greet", "", &[&notify("one"), &notify("two")]);
    let mut bench = bench(&[greet]);
    bench.settings.grace = Duration::from_secs(20);
    bench.actions.gate.forget_permits(1);
    bench.bring(&event(1)).await;
    bench.start();
    assert_eq!(bench.hear().await, attempt("greet", "one", 1));
    let (stop, task) = bench.engine.take().unwrap();
    stop.send(()).unwrap();
    // The engine has heard of the stop once it does not take what comes now.
    tokio::task::yield_now().await;
    bench.actions.gate.add_permits(1);
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    let told = bench.told();
    assert!(
        told == ["greet running -: completed 1 -, pending 0 -"]
            || told == ["greet completed -: completed 1 -, completed 1 -"],
        "{told:?}"
    );
    assert_eq!(bench.shown()[0].interruptions, 0);
}

#[tokio::test]
async fn what_has_ended_goes_after_its_time() {
    let mut bench = bench(&[workflow("greet", "", &[&notify("x")])]);
    bench.start();
    for number in 1..=2 {
        bench.bring(&event(number)).await;
        assert_eq!(bench.hear().await, attempt("greet", "x", 1));
        assert_eq!(bench.hear().await, ended("greet", RunStatus::Completed));
        bench.pass(Duration::from_secs(60));
    }
    let retired = bench.runs.retire(NOW + Duration::from_secs(30)).await.unwrap();
    assert_eq!((retired, bench.shown().len()), (1, 1));
    let left = |connection: &rusqlite::Connection| {
        let count = |table: &str| {
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        };
        Ok::<(i64, i64), _>((count("workflow_events")?, count("workflow_definitions")?))
    };
    assert_eq!(bench.runs.store().read_blocking(left).unwrap(), (1, 1));
    bench.stop().await;
}
