//! The dispatcher between a real journal and sinks in memory. Time is set by hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Transaction;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::super::journal::tests::{NOW, due, id, open_with, plan, with_sinks, write};
use super::super::journal::{Backlog, Chosen, SCHEMA, backlog, replay, retry};
use super::*;
use crate::store::{Fault, Options, Visitor};

const PATIENCE: Duration = Duration::from_secs(20);

/// Stands still until it is told.
#[derive(Debug)]
struct HandClock(watch::Sender<OffsetDateTime>);

impl HandClock {
    fn set(&self, time: OffsetDateTime) {
        self.0.send_replace(time);
    }
}

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
    /// At the sink: record, attempt.
    Attempt(String, u32),
    Delivered(String, u32, Duration),
    Failed(String, u32, DeliveryFailure, OffsetDateTime),
    Dead(String, u32, DeliveryFailure),
    Disabled(String),
    Refused,
}

#[derive(Debug)]
struct Ear {
    heard: mpsc::UnboundedSender<Heard>,
    backlog: watch::Sender<Backlog>,
}

fn record(message: &Message) -> String {
    message.record.clone().unwrap_or_default()
}

impl Ear {
    fn hear(&self, heard: Heard) {
        // The test may have heard enough.
        let _ = self.heard.send(heard);
    }
}

impl DispatchObserver for Ear {
    fn delivered(&self, _: &str, message: &Message, attempt: u32, lag: Duration) {
        self.hear(Heard::Delivered(record(message), attempt, lag));
    }

    fn failed(
        &self,
        _: &str,
        message: &Message,
        attempt: u32,
        reason: DeliveryFailure,
        again: OffsetDateTime,
    ) {
        self.hear(Heard::Failed(record(message), attempt, reason, again));
    }

    fn dead(&self, _: &str, message: &Message, attempt: u32, reason: DeliveryFailure) {
        self.hear(Heard::Dead(record(message), attempt, reason));
    }

    fn disabled(&self, _: &str, message: &Message) {
        self.hear(Heard::Disabled(record(message)));
    }

    fn backlog(&self, _: &str, backlog: &Backlog) {
        self.backlog.send_replace(*backlog);
    }

    fn journal_refused(&self, _: &str, _: &JournalError) {
        self.hear(Heard::Refused);
    }
}

/// Does what it is told for a record, and accepts what it was told nothing about.
#[derive(Debug)]
struct MemorySink {
    name: &'static str,
    heard: mpsc::UnboundedSender<Heard>,
    verdicts: Mutex<HashMap<String, Delivered>>,
    /// Ids of what it has accepted, with record and sequence.
    accepted: Mutex<Vec<(uuid::Uuid, String, Option<u64>)>>,
    /// Attempts that may go on; closed for all.
    gate: Semaphore,
    flying: Mutex<(usize, usize)>,
}

impl MemorySink {
    fn tell(&self, record: &str, delivered: Delivered) {
        self.verdicts.lock().unwrap().insert(record.to_owned(), delivered);
    }

    fn accepted(&self) -> Vec<(uuid::Uuid, String, Option<u64>)> {
        self.accepted.lock().unwrap().clone()
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn name(&self) -> &str {
        self.name
    }

    fn role(&self) -> &'static str {
        "sales"
    }

    async fn deliver(&self, message: &Message, attempt: u32) -> Delivered {
        let record = record(message);
        let _ = self.heard.send(Heard::Attempt(record.clone(), attempt));
        {
            let mut flying = self.flying.lock().unwrap();
            flying.0 += 1;
            flying.1 = flying.1.max(flying.0);
        }
        let permit = self.gate.acquire().await;
        permit.into_iter().for_each(tokio::sync::SemaphorePermit::forget);
        self.flying.lock().unwrap().0 -= 1;
        assert_ne!(record, "panic", "part of the test");
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = verdicts.get(&record).cloned().unwrap_or(Delivered::Accepted);
        if verdict == Delivered::Accepted {
            self.accepted.lock().unwrap().push((message.id, record, message.sequence));
        }
        verdict
    }
}

struct Bench {
    folder: TempDir,
    journal: Journal,
    clock: Arc<HandClock>,
    sink: Arc<MemorySink>,
    ear: Arc<Ear>,
    heard: mpsc::UnboundedReceiver<Heard>,
    service: Service,
}

/// A dispatcher at work.
struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Ended>,
}

impl Bench {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let journal = with_sinks(&folder).await;
        Self::over(folder, journal)
    }

    fn over(folder: TempDir, journal: Journal) -> Self {
        let (send, heard) = mpsc::unbounded_channel();
        let sink = MemorySink {
            name: "one",
            heard: send.clone(),
            verdicts: Mutex::default(),
            accepted: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            flying: Mutex::default(),
        };
        let ear = Ear { heard: send, backlog: watch::channel(Backlog::default()).0 };
        let clock = Arc::new(HandClock(watch::channel(NOW).0));
        let (sink, ear, service) = (Arc::new(sink), Arc::new(ear), Service::default());
        Self { folder, journal, clock, sink, ear, heard, service }
    }

    /// Lets no attempt go on until the test says so.
    fn shut_gate(&self) {
        self.sink.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn start(&self) -> Running {
        let dispatcher = Dispatcher::new(
            self.journal.clone(),
            Arc::clone(&self.sink) as _,
            self.service.clone(),
            Arc::clone(&self.clock) as _,
            Arc::clone(&self.ear) as _,
        );
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        Running { stop, ended: tokio::spawn(dispatcher.run(stopped)) }
    }

    async fn next(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.unwrap().unwrap()
    }

    #[track_caller]
    fn check_silence(&mut self) {
        assert!(self.heard.try_recv().is_err(), "something more was heard");
    }

    async fn backlog(&self, expected: Backlog) {
        let mut backlog = self.ear.backlog.subscribe();
        let seen = backlog.wait_for(|backlog| *backlog == expected);
        tokio::time::timeout(PATIENCE, seen).await.unwrap().unwrap();
    }
}

impl Running {
    async fn stop(self) -> Ended {
        drop(self.stop);
        tokio::time::timeout(PATIENCE, self.ended).await.unwrap().unwrap()
    }
}

fn refused(retry_after: Option<u64>) -> Delivered {
    let retry_after = retry_after.map(Duration::from_secs);
    Delivered::Failed { reason: DeliveryFailure::Status(503), retry_after }
}

fn attempt(record: &str, attempt: u32) -> Heard {
    Heard::Attempt(record.to_owned(), attempt)
}

fn delivered(record: &str, attempt: u32) -> Heard {
    Heard::Delivered(record.to_owned(), attempt, Duration::ZERO)
}

fn failed(record: &str, attempt: u32, again: OffsetDateTime) -> Heard {
    Heard::Failed(record.to_owned(), attempt, DeliveryFailure::Status(503), again)
}

#[tokio::test]
async fn it_delivers_what_waits_and_what_comes() {
    let mut bench = Bench::new().await;
    write(&bench.journal, 1, "7").await;
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    assert_eq!(bench.next().await, delivered("7", 1));
    bench.clock.set(NOW + Duration::from_secs(3));
    write(&bench.journal, 2, "7").await;
    assert_eq!(bench.next().await, attempt("7", 1));
    let lag = Duration::from_secs(3);
    assert_eq!(bench.next().await, Heard::Delivered("7".to_owned(), 1, lag));
    assert_eq!(running.stop().await, Ended::Stopped);
    let accepted = bench.sink.accepted();
    let record = || "7".to_owned();
    let expected = [(id(1_000_001), record(), Some(1)), (id(1_000_002), record(), Some(2))];
    assert_eq!(accepted, expected);
    assert_eq!(bench.journal.backlog("one").await.unwrap(), Backlog::default());
    assert_eq!(due(&bench.journal, "two", NOW).await, [1], "the other sink has its own place");
}

#[tokio::test]
async fn a_failed_attempt_waits_for_its_time_and_holds_back_only_its_subject() {
    let mut bench = Bench::new().await;
    bench.sink.tell("7", refused(None));
    for (number, record) in [(1, "7"), (2, "7")] {
        write(&bench.journal, number, record).await;
    }
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    let again = NOW + Duration::from_secs(5);
    assert_eq!(bench.next().await, failed("7", 1, again));
    write(&bench.journal, 3, "8").await;
    assert_eq!(bench.next().await, attempt("8", 1));
    assert_eq!(bench.next().await, delivered("8", 1));
    bench.clock.set(again);
    assert_eq!(bench.next().await, attempt("7", 2));
    let later = again + Duration::from_mins(5);
    assert_eq!(bench.next().await, failed("7", 2, later));
    bench.sink.tell("7", Delivered::Accepted);
    bench.clock.set(later);
    assert_eq!(bench.next().await, attempt("7", 3));
    let lag = Duration::try_from(later - NOW).unwrap();
    assert_eq!(bench.next().await, Heard::Delivered("7".to_owned(), 3, lag));
    assert_eq!(bench.next().await, attempt("7", 1));
    assert_eq!(bench.next().await, Heard::Delivered("7".to_owned(), 1, lag));
    running.stop().await;
    let sequences: Vec<_> =
        bench.sink.accepted().into_iter().map(|(_, _, number)| number).collect();
    assert_eq!(sequences, [Some(1), Some(1), Some(2)]);
}

#[tokio::test]
async fn the_receiver_may_ask_for_a_longer_pause() {
    let mut bench = Bench::new().await;
    bench.sink.tell("7", refused(Some(90)));
    write(&bench.journal, 1, "7").await;
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    assert_eq!(bench.next().await, failed("7", 1, NOW + Duration::from_secs(90)));
    running.stop().await;
}

#[tokio::test]
async fn after_the_last_attempt_it_is_a_dead_letter_and_the_subject_goes_on() {
    let mut bench = Bench::new().await;
    bench.service.schedule.pauses = vec![Duration::from_secs(5)];
    bench.sink.tell("7", refused(None));
    write(&bench.journal, 1, "7").await;
    write(&bench.journal, 2, "7").await;
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    let mut now = NOW + Duration::from_secs(5);
    assert_eq!(bench.next().await, failed("7", 1, now));
    bench.clock.set(now);
    assert_eq!(bench.next().await, attempt("7", 2));
    let dead = Heard::Dead("7".to_owned(), 2, DeliveryFailure::Status(503));
    assert_eq!(bench.next().await, dead);
    assert_eq!(bench.next().await, attempt("7", 1));
    now += Duration::from_secs(5);
    assert_eq!(bench.next().await, failed("7", 1, now));
    bench.clock.set(now);
    assert_eq!(bench.next().await, attempt("7", 2));
    assert_eq!(bench.next().await, dead);
    bench.clock.set(now + Duration::from_secs(1));
    bench.backlog(Backlog { waiting: 0, dead: 2, oldest: None }).await;
    // Somebody sends them again, from another process.
    bench.sink.tell("7", Delivered::Accepted);
    let mut visitor = Visitor::writer(bench.folder.path(), &[SCHEMA]).unwrap();
    assert_eq!(visitor.write(|inside| retry(inside, Chosen::All, None, now)).unwrap(), 2);
    for _ in 0..2 {
        assert_eq!(bench.next().await, attempt("7", 1));
        assert!(matches!(bench.next().await, Heard::Delivered(_, 1, _)));
    }
    running.stop().await;
    assert_eq!(bench.sink.accepted().len(), 2);
}

#[tokio::test]
async fn what_is_in_flight_is_bounded_and_one_of_a_subject() {
    let mut bench = Bench::new().await;
    bench.service.parallel = 3;
    bench.shut_gate();
    for number in 1..=40 {
        write(&bench.journal, number, &(number % 10).to_string()).await;
    }
    let running = bench.start();
    let mut aboard: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..3 {
        let Heard::Attempt(record, _) = bench.next().await else { panic!("no attempt") };
        *aboard.entry(record).or_default() += 1;
    }
    assert_eq!(aboard.len(), 3, "{aboard:?}");
    bench.check_silence();
    bench.sink.gate.add_permits(40);
    let mut count = 0;
    while count < 40 {
        count += u32::from(matches!(bench.next().await, Heard::Delivered(..)));
    }
    running.stop().await;
    assert_eq!(bench.sink.flying.lock().unwrap().1, 3);
    let mut sequences: BTreeMap<String, Vec<Option<u64>>> = BTreeMap::new();
    for (_, record, sequence) in bench.sink.accepted() {
        sequences.entry(record).or_default().push(sequence);
    }
    let expected: Vec<_> = (1..=4).map(Some).collect();
    assert!(sequences.values().all(|found| *found == expected), "{sequences:?}");
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_gets_no_more_until_the_next_start() {
    let mut bench = Bench::new().await;
    bench.service.parallel = 1;
    bench.sink.tell("7", Delivered::Disabled);
    for (number, record) in [(1, "7"), (2, "8")] {
        write(&bench.journal, number, record).await;
    }
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    assert_eq!(bench.next().await, Heard::Disabled("7".to_owned()));
    let ended = tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap();
    assert_eq!(ended, Ended::Disabled);
    bench.check_silence();
    assert_eq!(bench.journal.backlog("one").await.unwrap().waiting, 2);

    bench.sink.tell("7", Delivered::Accepted);
    bench.journal.configure_sinks(vec![plan("one", "sales")], NOW).await.unwrap();
    let running = bench.start();
    for (record, count) in [("7", 2), ("8", 1)] {
        assert_eq!(bench.next().await, attempt(record, count));
        assert_eq!(bench.next().await, delivered(record, count));
    }
    running.stop().await;
}

/// The receiver has it, and the process dies before it knows: again, with the same id.
#[tokio::test]
async fn a_crash_between_acceptance_and_its_record_brings_the_event_again() {
    let mut bench = Bench::new().await;
    let options = Options::default();
    bench.journal.store().close();
    let folder = bench.folder;
    drop(bench.journal);
    let journal = open_with(&folder, &options);
    bench = Bench::over(folder, journal);
    bench.journal.configure_sinks(vec![plan("one", "sales")], NOW).await.unwrap();
    write(&bench.journal, 1, "7").await;
    bench.shut_gate();
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    // From here on nothing reaches the disk.
    options.faults.set(Some(Fault::Fsync));
    bench.sink.gate.add_permits(1);
    assert_eq!(bench.next().await, Heard::Refused);
    running.ended.abort();
    assert!(running.ended.await.unwrap_err().is_cancelled());
    bench.journal.store().close();
    let folder = bench.folder;
    let first = bench.sink.accepted();
    drop(bench.journal);

    let journal = with_sinks(&folder).await;
    let mut bench = Bench::over(folder, journal);
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    assert_eq!(bench.next().await, delivered("7", 1));
    running.stop().await;
    assert_eq!(first.len(), 1);
    assert_eq!(bench.sink.accepted(), first, "the same event, with the same id");
}

/// A journal that refuses does not make the receiver get an event twice.
#[tokio::test]
async fn what_cannot_be_recorded_now_is_recorded_later() {
    let folder = TempDir::new().unwrap();
    let look = Duration::from_millis(5);
    let options = Options { look, ..Options::default() };
    let journal = open_with(&folder, &options);
    journal.configure_sinks(vec![plan("one", "sales")], NOW).await.unwrap();
    write(&journal, 1, "7").await;
    let mut bench = Bench::over(folder, journal);
    bench.shut_gate();
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    options.faults.set(Some(Fault::Full));
    bench.sink.gate.add_permits(1);
    assert_eq!(bench.next().await, Heard::Refused);
    options.faults.set(None);
    let mut now = NOW;
    loop {
        now += AFTER_REFUSAL;
        bench.clock.set(now);
        match bench.next().await {
            // Until the store has found out that it can write again.
            Heard::Refused => tokio::time::sleep(look).await,
            Heard::Delivered(record, 1, _) if record == "7" => break,
            heard => panic!("{heard:?}"),
        }
    }
    running.stop().await;
    assert_eq!(bench.sink.accepted().len(), 1);
    assert_eq!(bench.journal.backlog("one").await.unwrap(), Backlog::default());
}

#[tokio::test]
async fn a_sink_that_panics_has_failed() {
    let mut bench = Bench::new().await;
    write(&bench.journal, 1, "panic").await;
    write(&bench.journal, 2, "8").await;
    let running = bench.start();
    let mut heard = Vec::new();
    while heard.len() < 4 {
        heard.push(bench.next().await);
    }
    let again = NOW + Duration::from_secs(5);
    let failed = Heard::Failed("panic".to_owned(), 1, DeliveryFailure::Broken, again);
    assert!(heard.contains(&failed), "{heard:?}");
    assert!(heard.contains(&delivered("8", 1)), "{heard:?}");
    bench.clock.set(again);
    assert_eq!(bench.next().await, attempt("panic", 2));
    running.stop().await;
}

#[tokio::test]
async fn stopping_lets_land_what_is_in_flight_but_not_for_ever() {
    let mut bench = Bench::new().await;
    bench.shut_gate();
    write(&bench.journal, 1, "7").await;
    write(&bench.journal, 2, "7").await;
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    drop(running.stop);
    bench.sink.gate.add_permits(1);
    assert_eq!(bench.next().await, delivered("7", 1));
    assert_eq!(running.ended.await.unwrap(), Ended::Stopped);
    bench.check_silence();

    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    drop(running.stop);
    let grace = bench.service.grace;
    // It has to notice first that it is to stop; then its patience counts from now.
    while !running.ended.is_finished() {
        let now = bench.clock.now();
        bench.clock.set(now + grace);
        tokio::task::yield_now().await;
    }
    assert_eq!(running.ended.await.unwrap(), Ended::Stopped);
    assert_eq!(due(&bench.journal, "one", NOW).await, [2], "it is still to come");
}

#[tokio::test]
async fn the_end_of_the_store_is_its_end() {
    let mut bench = Bench::new().await;
    write(&bench.journal, 1, "7").await;
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    assert_eq!(bench.next().await, delivered("7", 1));
    bench.journal.store().close();
    let ended = tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap();
    assert_eq!(ended, Ended::Stopped);
}

#[tokio::test]
async fn a_dead_sink_blocks_no_other() {
    let mut bench = Bench::new().await;
    bench.shut_gate();
    for number in 1..=20 {
        write(&bench.journal, number, &number.to_string()).await;
    }
    let stuck = bench.start();
    let (send, _heard) = mpsc::unbounded_channel();
    let other = Arc::new(MemorySink {
        name: "two",
        heard: send.clone(),
        verdicts: Mutex::default(),
        accepted: Mutex::default(),
        gate: Semaphore::new(Semaphore::MAX_PERMITS),
        flying: Mutex::default(),
    });
    let ear = Arc::new(Ear { heard: send, backlog: watch::channel(Backlog::default()).0 });
    let backlog = ear.backlog.subscribe();
    let dispatcher = Dispatcher::new(
        bench.journal.clone(),
        Arc::clone(&other) as _,
        Service::default(),
        Arc::clone(&bench.clock) as _,
        ear,
    );
    let running = tokio::spawn(dispatcher.run(std::future::pending()));
    let clock = Arc::clone(&bench.clock);
    let all = async {
        while other.accepted().len() < 20 || backlog.borrow().waiting > 0 {
            clock.set(clock.now() + COUNT_EVERY);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    assert_eq!(bench.sink.accepted(), []);
    running.abort();
    bench.sink.gate.add_permits(20);
    while !matches!(bench.next().await, Heard::Delivered(..)) {}
    stuck.stop().await;
}

#[tokio::test]
async fn it_sleeps_when_there_is_nothing_to_do() {
    let mut bench = Bench::new().await;
    bench.sink.tell("7", refused(None));
    write(&bench.journal, 1, "7").await;
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    assert!(matches!(bench.next().await, Heard::Failed(..)));
    // Time passes, but not enough for the next attempt.
    write(&bench.journal, 2, "7").await;
    bench.clock.set(NOW + Duration::from_millis(4999));
    let waiting = Backlog { waiting: 2, dead: 0, oldest: Some(NOW) };
    bench.backlog(waiting).await;
    bench.check_silence();
    let seen = bench.journal.store().read_blocking(|all| backlog(all, "one")).unwrap();
    assert_eq!(seen, waiting);
    running.stop().await;
}

#[tokio::test]
async fn a_replay_comes_again_without_a_restart() {
    let mut bench = Bench::new().await;
    write(&bench.journal, 1, "7").await;
    let running = bench.start();
    assert_eq!(bench.next().await, attempt("7", 1));
    assert_eq!(bench.next().await, delivered("7", 1));
    let mut visitor = Visitor::writer(bench.folder.path(), &[SCHEMA]).unwrap();
    let again = |inside: &Transaction<'_>| replay(inside, Chosen::Since(NOW), Some("one"), NOW);
    assert_eq!(visitor.write(again).unwrap(), 1);
    assert_eq!(bench.next().await, attempt("7", 1));
    assert_eq!(bench.next().await, delivered("7", 1));
    running.stop().await;
    let accepted = bench.sink.accepted();
    assert_eq!(accepted[0], accepted[1]);
}
