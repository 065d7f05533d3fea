//! Happenings off the street: one struct each, whose `emit` owns its log line and its metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tracing::Level;

use super::exchange::bounded;
use super::metrics::Named;
use super::note::Note;
use super::{Entry, Telemetry};
use crate::config::LogLevel;
use crate::identity::Asked;

/// Findings repeated in the log line of a failed reload.
const MOST_FAULTS: usize = 5;

/// Longest name of a field in a log line.
const LONGEST_FIELD: usize = 128;

pub(super) fn note(level: Level, message: &str) -> Note {
    Note::new(OffsetDateTime::now_utc(), level, "fieldgate", message)
}

/// Policies were loaded and are in force. The names given may be metric labels from now on.
#[derive(Debug, Clone)]
pub struct PolicyReloaded {
    /// The revision now in force.
    pub revision: Arc<str>,
    /// The templates of all routes, passthrough ones included.
    pub routes: Vec<Arc<str>>,
    /// The names of all resources.
    pub resources: Vec<Arc<str>>,
    /// The names of all roles.
    pub roles: Vec<Arc<str>>,
    /// A resource, and the name of a rule that speaks of it, see [`rule_name`](super::rule_name).
    pub rules: Vec<(Arc<str>, Arc<str>)>,
}

impl PolicyReloaded {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics;
        metrics.name(Named {
            routes: &self.routes,
            resources: &self.resources,
            roles: &self.roles,
            rules: &self.rules,
        });
        metrics.show_revision(&self.revision);
        metrics.reloads_succeeded.inc();
        telemetry.note(
            note(Level::INFO, "policies loaded")
                .with("policy_revision", self.revision.as_ref())
                .with("routes", self.routes.len())
                .with("resources", self.resources.len())
                .with("roles", self.roles.len()),
        );
    }
}

/// Policies were read and refused; what was in force stays so.
#[derive(Debug, Clone)]
pub struct PolicyReloadFailed {
    /// The revision that stays in force; `None` if there never was one.
    pub in_force: Option<Arc<str>>,
    /// What is wrong, one text a finding, with file and line.
    pub faults: Vec<String>,
}

impl PolicyReloadFailed {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.inner.metrics.reloads_failed.inc();
        let message = match self.in_force {
            Some(_) => "policies refused, the last good ones stay in force",
            None => "policies refused, none are in force",
        };
        let first: Vec<&str> = self.faults.iter().take(MOST_FAULTS).map(String::as_str).collect();
        telemetry.note(
            note(Level::ERROR, message)
                .with("policy_revision", self.in_force.as_deref())
                .with("faults", self.faults.len())
                .with("first_faults", first.join("; ")),
        );
    }
}

/// A source of identity has asked another server something. Counted only: a line for each would
/// let clients with false credentials fill the log.
#[derive(Debug, Clone, Copy)]
pub struct IdentityAsked(pub Asked);

impl IdentityAsked {
    /// Tells it.
    pub fn emit(self, telemetry: &Telemetry) {
        telemetry.inner.metrics.identity_asked(self.0);
    }
}

/// A write went through although the policy says that it may not (`writes: report`).
#[derive(Debug, Clone)]
pub struct WriteReported {
    /// The template of the route.
    pub route: Arc<str>,
    /// The id of the request.
    pub correlation_id: String,
    /// The roles of the caller.
    pub roles: Vec<String>,
    /// The fields, by their names.
    pub fields: Vec<String>,
}

impl WriteReported {
    /// Tells it. The metric is counted with the exchange.
    pub fn emit(&self, telemetry: &Telemetry) {
        let fields: Vec<String> =
            self.fields.iter().map(|name| bounded(name, LONGEST_FIELD)).collect();
        telemetry.note(
            note(Level::WARN, "a write that the policy does not allow was let through")
                .with("route", self.route.as_ref())
                .with("correlation_id", self.correlation_id.as_str())
                .with("roles", self.roles.join(","))
                .with("fields", fields.join(", ")),
        );
    }
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Clients of the CRM.
    Data,
    /// Operators.
    Admin,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Admin => "admin",
        }
    }
}

/// A listener accepts connections.
#[derive(Debug, Clone, Copy)]
pub struct ListenerStarted {
    /// What it is for.
    pub purpose: Purpose,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

impl ListenerStarted {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.note(
            note(Level::INFO, "listening")
                .with("purpose", self.purpose.name())
                .with("address", self.address.to_string())
                .with("tls", self.is_tls),
        );
    }
}

/// An operator has changed the level of the application log.
#[derive(Debug, Clone, Copy)]
pub struct LogLevelChanged {
    /// The level before.
    pub before: LogLevel,
    /// The level from now on.
    pub now: LogLevel,
}

impl LogLevelChanged {
    /// Tells it, whatever the level: who looks at the log must see why it goes quiet.
    pub fn emit(&self, telemetry: &Telemetry) {
        let note = note(Level::INFO, "log level changed")
            .with("before", self.before.name())
            .with("now", self.now.name());
        telemetry.push(Entry::Note(Box::new(note)));
    }
}

/// The collector does not take spans; until it does, all are lost and counted.
#[derive(Debug, Clone)]
pub struct SpansLost {
    /// The collector.
    pub endpoint: String,
    /// Why, from a closed list.
    pub reason: &'static str,
}

impl SpansLost {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.note(
            note(Level::WARN, "the collector does not take spans, they are lost")
                .with("endpoint", self.endpoint.as_str())
                .with("reason", self.reason),
        );
    }
}

/// The collector takes spans again.
#[derive(Debug, Clone)]
pub struct SpansTakenAgain {
    /// The collector.
    pub endpoint: String,
}

impl SpansTakenAgain {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.note(
            note(Level::INFO, "the collector takes spans again")
                .with("endpoint", self.endpoint.as_str()),
        );
    }
}

/// Entries of the audit ledger are on disk, or are not.
#[derive(Debug, Clone, Copy)]
pub struct AuditWritten {
    /// How many.
    pub count: u64,
    /// Whether they are.
    pub is_written: bool,
}

impl AuditWritten {
    /// Counts it; a line for each would be a second ledger.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics;
        let counter = if self.is_written { &metrics.audit_written } else { &metrics.audit_failed };
        counter.inc_by(self.count);
    }
}

/// An entry of the audit ledger did not fit into the queue.
#[derive(Debug, Clone, Copy)]
pub struct AuditDropped;

impl AuditDropped {
    /// Counts and tells it; lines that repeat are withheld.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.inner.metrics.audit_dropped.inc();
        telemetry.note(note(Level::WARN, "an audit entry was dropped, too many wait"));
    }
}

/// What became of values of the token map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMapOutcome {
    /// They are on disk.
    Written,
    /// Too many waited.
    Dropped,
    /// The store did not take them.
    Failed,
    /// Their time was over, or there were too many.
    Removed,
}

/// Something became of values of the token map.
#[derive(Debug, Clone, Copy)]
pub struct TokenMapChanged {
    /// How many.
    pub count: u64,
    /// What.
    pub outcome: TokenMapOutcome,
}

impl TokenMapChanged {
    /// Counts it, and tells what was lost; lines that repeat are withheld.
    pub fn emit(&self, telemetry: &Telemetry) {
        let [written, dropped, failed, removed] = &telemetry.inner.metrics.token_map;
        let (counter, told) = match self.outcome {
            TokenMapOutcome::Written => (written, None),
            TokenMapOutcome::Dropped => (dropped, Some("too many wait")),
            TokenMapOutcome::Failed => (failed, Some("the store did not take them")),
            TokenMapOutcome::Removed => (removed, None),
        };
        counter.inc_by(self.count);
        if let Some(reason) = told {
            let message = "values of tokens were not kept: until they are masked again, their tokens cannot be turned back";
            telemetry.note(note(Level::WARN, message).with("reason", reason));
        }
    }
}

/// What came of a question for the value behind a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevealOutcome {
    /// The value was told.
    Revealed,
    /// It was not.
    Refused,
    /// The caller asks too often.
    Limited,
    /// The ledger or the store is missing or does not work.
    Unavailable,
}

/// Somebody asked for the value behind a mask. The ledger knows who and what.
#[derive(Debug, Clone, Copy)]
pub struct RevealAsked(pub RevealOutcome);

impl RevealAsked {
    /// Counts it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let [revealed, refused, limited, unavailable] = &telemetry.inner.metrics.reveals;
        match self.0 {
            RevealOutcome::Revealed => revealed.inc(),
            RevealOutcome::Refused => refused.inc(),
            RevealOutcome::Limited => limited.inc(),
            RevealOutcome::Unavailable => unavailable.inc(),
        }
    }
}

/// The audit ledger cannot be written.
#[derive(Debug, Clone, Copy)]
pub struct AuditStopped {
    /// Why, from a closed list.
    pub reason: &'static str,
}

impl AuditStopped {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.note(
            note(Level::ERROR, "the audit ledger cannot be written").with("reason", self.reason),
        );
    }
}

/// The audit ledger is written again.
#[derive(Debug, Clone, Copy)]
pub struct AuditWorksAgain;

impl AuditWorksAgain {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.note(note(Level::INFO, "the audit ledger is written again"));
    }
}

/// The audit ledger was found damaged when it was opened. It goes on, and says so in itself.
#[derive(Debug, Clone, Copy)]
pub struct AuditDamaged {
    /// What was found.
    pub what: &'static str,
}

impl AuditDamaged {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let message = "the audit ledger is damaged, `fieldgate audit verify` says where";
        telemetry.note(note(Level::ERROR, message).with("found", self.what));
    }
}

/// How far the audit ledger has come. Kept elsewhere, the line proves later that nothing up to here
/// is missing: `fieldgate audit verify --anchor NUMBER:HASH`.
#[derive(Debug, Clone)]
pub struct AuditCheckpoint {
    /// The last entry.
    pub number: u64,
    /// Its hash.
    pub hash: String,
    /// The id of the key that signed it.
    pub key: Option<String>,
}

impl AuditCheckpoint {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.note(
            note(Level::INFO, "audit checkpoint")
                .with("number", self.number)
                .with("hash", self.hash.as_str())
                .with("key", self.key.as_deref()),
        );
    }
}

/// A transaction of the store is on disk.
#[derive(Debug, Clone, Copy)]
pub struct StoreCommitted {
    /// What the commit took.
    pub fsync: Duration,
}

impl StoreCommitted {
    /// Counts it.
    pub fn emit(&self, telemetry: &Telemetry) {
        let metrics = &telemetry.inner.metrics;
        metrics.store_commits.inc();
        metrics.store_fsync.observe(self.fsync.as_secs_f64());
    }
}

/// A transaction of the store could not be committed.
#[derive(Debug, Clone, Copy)]
pub struct StoreFailed {
    /// Why, from a closed list.
    pub fault: &'static str,
}

impl StoreFailed {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.inner.metrics.store_failures.inc();
        telemetry.note(note(Level::ERROR, "the store could not commit").with("fault", self.fault));
    }
}

/// The store takes writes, or does not.
#[derive(Debug, Clone, Copy)]
pub struct StoreHealth {
    /// What ails it, from a closed list; `None` where it is healthy.
    pub fault: Option<&'static str>,
}

impl StoreHealth {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.inner.metrics.show_store(self.fault.is_none());
        telemetry.note(match self.fault {
            None => note(Level::INFO, "the store takes writes"),
            Some(fault) => {
                note(Level::ERROR, "the store does not take writes").with("fault", fault)
            }
        });
    }
}

/// No new requests are taken; those under way may end.
#[derive(Debug, Clone, Copy)]
pub struct Draining {
    /// How long they may take.
    pub limit: Duration,
}

impl Draining {
    /// Tells it.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.note(
            note(Level::INFO, "draining")
                .with("under_way", telemetry.inner.metrics.active_requests.get())
                .with("limit_seconds", self.limit.as_secs_f64()),
        );
    }
}

/// The process is about to end. The caller flushes the telemetry afterwards.
#[derive(Debug, Clone, Copy)]
pub struct Stopped {
    /// How long the drain took.
    pub drained_for: Duration,
}

impl Stopped {
    /// Tells it. Requests still under way are broken off by the end of the process: a warning.
    pub fn emit(&self, telemetry: &Telemetry) {
        let under_way = telemetry.inner.metrics.active_requests.get();
        let level = if under_way == 0 { Level::INFO } else { Level::WARN };
        telemetry.note(
            note(level, "stopped")
                .with("under_way", under_way)
                .with("drained_for_seconds", self.drained_for.as_secs_f64()),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{LogFormat, LogLevel};
    use crate::telemetry::Moment;
    use crate::telemetry::tests::started;

    /// Emits, and compares the level, the message and the fields of the one line.
    #[track_caller]
    fn check(emit: impl FnOnce(&Telemetry), expect: &Value) {
        let (telemetry, log) = started(LogFormat::Json, LogLevel::Info);
        emit(&telemetry);
        assert!(telemetry.flush(Duration::from_secs(30)));
        let lines = log.json_lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let mut line = lines[0].clone();
        for base in ["timestamp", "service", "environment", "target"] {
            assert!(line.as_object_mut().unwrap().remove(base).is_some(), "{base}");
        }
        assert_eq!(&line, expect);
    }

    #[test]
    fn policies_loaded() {
        let happening = PolicyReloaded {
            revision: "abc".into(),
            routes: vec!["/api/v1/leads/".into()],
            resources: vec!["lead".into(), "deal".into()],
            roles: vec!["sales_rep".into(), "support".into()],
            rules: vec![("deal".into(), "sales_rep:$.amount".into())],
        };
        check(
            |telemetry| {
                happening.emit(telemetry);
                let scrape = telemetry.scrape().unwrap();
                assert!(scrape.contains("fieldgate_policy_info{revision=\"abc\"} 1"));
                assert!(scrape.contains("policy_reloads_total{outcome=\"success\"} 1"));
                let masked = "fieldgate_fields_masked_total{resource=\"deal\"";
                assert!(scrape.contains(&format!("{masked},rule=\"unmatched\"}} 0")));
                assert!(scrape.contains(&format!("{masked},rule=\"sales_rep:$.amount\"}} 0")));
            },
            &json!({
                "level": "INFO", "message": "policies loaded", "policy_revision": "abc",
                "routes": 1, "resources": 2, "roles": 2
            }),
        );
    }

    #[test]
    fn policies_refused() {
        let faults: Vec<String> = (1..=9).map(|line| format!("lead.yaml:{line}: no")).collect();
        let mut happening = PolicyReloadFailed { in_force: None, faults };
        let first_faults =
            "lead.yaml:1: no; lead.yaml:2: no; lead.yaml:3: no; lead.yaml:4: no; lead.yaml:5: no";
        check(
            |telemetry| {
                happening.emit(telemetry);
                let scrape = telemetry.scrape().unwrap();
                assert!(scrape.contains("policy_reloads_total{outcome=\"failure\"} 1"));
            },
            &json!({
                "level": "ERROR", "message": "policies refused, none are in force",
                "policy_revision": null, "faults": 9, "first_faults": first_faults
            }),
        );
        happening.in_force = Some("abc".into());
        check(
            |telemetry| happening.emit(telemetry),
            &json!({
                "level": "ERROR", "message": "policies refused, the last good ones stay in force",
                "policy_revision": "abc", "faults": 9, "first_faults": first_faults
            }),
        );
    }

    #[test]
    fn a_write_that_is_only_reported() {
        let happening = WriteReported {
            route: "/api/v1/leads/{id}/".into(),
            correlation_id: "abc-1".to_owned(),
            roles: vec!["sales_rep".to_owned()],
            fields: vec!["ssn".to_owned(), "owner.email".to_owned()],
        };
        check(
            |telemetry| happening.emit(telemetry),
            &json!({
                "level": "WARN",
                "message": "a write that the policy does not allow was let through",
                "route": "/api/v1/leads/{id}/", "correlation_id": "abc-1",
                "roles": "sales_rep", "fields": "ssn, owner.email"
            }),
        );
    }

    #[test]
    fn listening() {
        let address = "127.0.0.1:8080".parse().unwrap();
        check(
            |telemetry| {
                ListenerStarted { purpose: Purpose::Data, address, is_tls: true }.emit(telemetry);
            },
            &json!({
                "level": "INFO", "message": "listening", "purpose": "data",
                "address": "127.0.0.1:8080", "tls": true
            }),
        );
    }

    #[test]
    fn the_end() {
        check(
            |telemetry| {
                let _under_way = telemetry.begin(&http::Method::GET, Moment::now());
                Draining { limit: Duration::from_secs(30) }.emit(telemetry);
            },
            &json!({
                "level": "INFO", "message": "draining", "under_way": 1, "limit_seconds": 30.0
            }),
        );
        let stopped = Stopped { drained_for: Duration::from_millis(1500) };
        check(
            |telemetry| stopped.emit(telemetry),
            &json!({
                "level": "INFO", "message": "stopped", "under_way": 0, "drained_for_seconds": 1.5
            }),
        );
        check(
            |telemetry| {
                let _under_way = telemetry.begin(&http::Method::GET, Moment::now());
                stopped.emit(telemetry);
            },
            &json!({
                "level": "WARN", "message": "stopped", "under_way": 1, "drained_for_seconds": 1.5
            }),
        );
    }
}
