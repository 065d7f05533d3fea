//! The handle as the street uses it.

use std::sync::mpsc;

use serde_json::Value;

use super::*;
use crate::config::LogFormat;

const LONG: Duration = Duration::from_secs(30);

fn settings(log_format: LogFormat, log_level: LogLevel) -> Settings {
    Settings {
        correlation_header: http::HeaderName::from_static("x-correlation-id"),
        service: "gate".into(),
        environment: "test".into(),
        log_format,
        log_level,
        ..Settings::default()
    }
}

pub(super) fn started(format: LogFormat, level: LogLevel) -> (Telemetry, MemoryLog) {
    let log = MemoryLog::new();
    let telemetry = Telemetry::start(&settings(format, level), Box::new(log.clone())).unwrap();
    (telemetry, log)
}

fn exchange(telemetry: &Telemetry, status: u16) -> Exchange {
    let mut exchange = telemetry.begin(&http::Method::GET, Moment::now());
    exchange.status = Some(status);
    exchange
}

#[test]
fn an_accounted_exchange_is_a_line_and_a_count() {
    // The access log does not depend on the level of the application log.
    let (telemetry, log) = started(LogFormat::Json, LogLevel::Error);
    let one = exchange(&telemetry, 200);
    let end = one.begun().monotonic + Duration::from_millis(1500);
    telemetry.account_at(one, end);
    assert!(telemetry.flush(LONG));
    let lines = log.json_lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["latency_ms"], 1500.0);
    assert_eq!(lines[0]["status_code"], 200);
    let count = "http_server_request_duration_seconds_count{method=\"GET\",role=\"none\",route=\"unmatched\",status_class=\"2xx\"} 1\n";
    assert!(telemetry.scrape().unwrap().contains(count));
}

#[test]
fn lines_keep_their_order_across_batches() {
    let (telemetry, log) = started(LogFormat::Json, LogLevel::Info);
    for index in 0..3_000 {
        let mut one = exchange(&telemetry, 200);
        one.correlation_id = index.to_string();
        telemetry.account(one);
        if index % 1_000 == 0 {
            assert!(telemetry.flush(LONG));
        }
    }
    assert!(telemetry.flush(LONG));
    let ids: Vec<Value> =
        log.json_lines().iter().map(|line| line["correlation_id"].clone()).collect();
    let expect: Vec<Value> = (0..3_000).map(|index| index.to_string().into()).collect();
    assert_eq!(ids, expect);
}

#[test]
fn the_text_form_is_no_json() {
    let (telemetry, log) = started(LogFormat::Text, LogLevel::Info);
    telemetry.account(exchange(&telemetry, 404));
    Draining { limit: Duration::from_secs(1) }.emit(&telemetry);
    assert!(telemetry.flush(LONG));
    let text = log.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains(" WARN  404 GET "), "{text}");
    assert!(lines[1].ends_with(" INFO  draining under_way=0 limit_seconds=1.0"), "{text}");
}

#[test]
fn the_level_holds_for_happenings() {
    let (telemetry, log) = started(LogFormat::Json, LogLevel::Warn);
    Draining { limit: Duration::from_secs(1) }.emit(&telemetry);
    PolicyReloadFailed { in_force: None, faults: vec![] }.emit(&telemetry);
    assert!(telemetry.flush(LONG));
    assert_eq!(log.json_lines().len(), 1);
}

/// A terminal that nobody reads: every write waits until the gate is dropped.
struct Stuck {
    gate: mpsc::Receiver<()>,
    log: MemoryLog,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.gate.recv();
        self.log.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The value of a counter without labels.
fn counter(telemetry: &Telemetry, name: &str) -> u64 {
    let scrape = telemetry.scrape().unwrap();
    let line = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_stuck_reader_costs_lines_and_never_the_street() {
    let (open, gate) = mpsc::channel();
    let log = MemoryLog::new();
    let output = Box::new(Stuck { gate, log: log.clone() });
    let telemetry = Telemetry::start(&settings(LogFormat::Json, LogLevel::Info), output).unwrap();
    // If accounting waited for the reader, this would never end.
    for _ in 0..50_000 {
        telemetry.account(exchange(&telemetry, 200));
    }
    PolicyReloadFailed { in_force: None, faults: vec![] }.emit(&telemetry);
    assert!(!telemetry.flush(Duration::from_millis(1)));
    let dropped = counter(&telemetry, "fieldgate_access_log_dropped_total");
    assert!(dropped > 30_000, "{dropped}");
    assert_eq!(counter(&telemetry, "fieldgate_application_log_dropped_total"), 1);

    drop(open);
    assert!(telemetry.flush(LONG));
    let written = log.json_lines().len() as u64;
    assert_eq!(written + dropped, 50_000, "every line is either written or counted");
}

/// A pipe that nobody holds any more.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let settings = settings(LogFormat::Json, LogLevel::Info);
    let telemetry = Telemetry::start(&settings, Box::new(Closed)).unwrap();
    for _ in 0..3 {
        telemetry.account(exchange(&telemetry, 200));
    }
    assert!(telemetry.flush(LONG));
    assert_eq!(counter(&telemetry, "fieldgate_access_log_dropped_total"), 3);
    telemetry.account(exchange(&telemetry, 200));
    assert!(telemetry.flush(LONG), "the writer goes on");
    assert_eq!(counter(&telemetry, "fieldgate_access_log_dropped_total"), 4);
}

#[test]
fn what_was_told_is_written_after_the_last_handle_is_gone() {
    /// Says when it is dropped.
    struct Watched(MemoryLog, mpsc::Sender<()>);
    impl Write for Watched {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Drop for Watched {
        fn drop(&mut self) {
            let _ = self.1.send(());
        }
    }
    let (ended, end) = mpsc::channel();
    let log = MemoryLog::new();
    let settings = settings(LogFormat::Json, LogLevel::Info);
    let output = Box::new(Watched(log.clone(), ended));
    let telemetry = Telemetry::start(&settings, output).unwrap();
    telemetry.account(exchange(&telemetry, 200));
    drop(telemetry);
    end.recv_timeout(LONG).expect("the thread ends");
    assert_eq!(log.json_lines().len(), 1);
}

#[test]
fn the_level_can_be_changed_while_it_runs() {
    let (telemetry, log) = started(LogFormat::Json, LogLevel::Error);
    Draining { limit: Duration::from_secs(1) }.emit(&telemetry);
    telemetry.set_log_level(LogLevel::Info);
    Draining { limit: Duration::from_secs(2) }.emit(&telemetry);
    telemetry.set_log_level(LogLevel::Error);
    Draining { limit: Duration::from_secs(3) }.emit(&telemetry);
    assert_eq!(telemetry.log_level(), LogLevel::Error);
    assert!(telemetry.flush(LONG));
    let said: Vec<String> =
        log.json_lines().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect();
    // The change itself is told whatever the level.
    assert_eq!(said, ["log level changed", "draining", "log level changed"]);
}

#[test]
fn warnings_that_repeat_are_counted() {
    let (telemetry, log) = started(LogFormat::Json, LogLevel::Info);
    for _ in 0..100 {
        PolicyReloadFailed { in_force: None, faults: vec![] }.emit(&telemetry);
    }
    for _ in 0..100 {
        Draining { limit: Duration::from_secs(1) }.emit(&telemetry);
    }
    assert!(telemetry.flush(LONG));
    assert_eq!(log.json_lines().len(), 110, "what is no warning is never withheld");
    assert_eq!(counter(&telemetry, "fieldgate_application_log_withheld_total"), 90);
}

#[test]
fn queues_are_shown_as_long_as_they_are_there() {
    let (telemetry, _log) = started(LogFormat::Json, LogLevel::Info);
    let scrape = telemetry.scrape().unwrap();
    assert!(scrape.contains("fieldgate_queue_capacity{queue=\"log\"} 4096\n"), "{scrape}");
    assert!(!scrape.contains("queue=\"spans\""), "there is no collector");
    let queue = Arc::new(Queue::new(7, Duration::ZERO));
    queue.push(()).unwrap();
    telemetry.watch(Waiting::Audit, &queue);
    assert!(telemetry.scrape().unwrap().contains("fieldgate_queue_depth{queue=\"audit\"} 1\n"));
    drop(queue);
    assert!(!telemetry.scrape().unwrap().contains("queue=\"audit\""));
}
