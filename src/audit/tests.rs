//! A ledger through its store: written, looked up, damaged in every way, and what `verify` says.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::chain::Link;
use super::writer::{insert, move_head, put};
use super::*;
use crate::config::{Audit as Settings, AuditMode, Telemetry as TelemetrySettings};
use crate::diagnostic::SourceFile;
use crate::mask::KeyRing;
use crate::store::{DATABASE, Options, Store};
use crate::telemetry::{Act, Exchange, FieldRule, MemoryLog, Moment, Telemetry, Touched};

const NOW: OffsetDateTime = time::macros::datetime!(2026-03-04 05:06:07.89 UTC);

struct NoSecrets;

impl crate::mask::SecretSource for NoSecrets {
    fn environment(&self, _: &str) -> Result<secrecy::SecretString, crate::mask::SecretError> {
        Err(crate::mask::SecretError::Missing)
    }

    fn file(&self, _: &str) -> Result<secrecy::SecretString, crate::mask::SecretError> {
        Err(crate::mask::SecretError::Missing)
    }
}

fn ring() -> Arc<KeyRing> {
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let text = format!("active: k1\nkeys: {{ k1: {{ secret: \"{secret}\" }} }}");
    Arc::new(KeyRing::read(&SourceFile::new("keys.yaml", text), &NoSecrets).unwrap())
}

fn telemetry() -> (Telemetry, MemoryLog) {
    let log = MemoryLog::new();
    let settings = TelemetrySettings::default();
    (Telemetry::start(&settings, Box::new(log.clone())).unwrap(), log)
}

fn exchange(telemetry: &Telemetry, user: &str, lead: &str) -> Exchange {
    let mut exchange = telemetry.begin(&http::Method::GET, Moment::now());
    exchange.set_caller(user, Some("acme"), &["sales_rep".into()]);
    exchange.route = Some("/api/v1/leads/{id}/".into());
    exchange.resource = Some("lead".into());
    exchange.status = Some(200);
    exchange.correlation_id = "abc-1".into();
    exchange.policy_revision = Some("0123456789ab".into());
    exchange.masked = 1;
    exchange.add_object(lead);
    let rule = FieldRule {
        field: "$.email".into(),
        act: Act::Masked,
        rule: "sales_rep:$.email".into(),
        origin: "roles/sales_rep.yaml:7".into(),
    };
    exchange.touched = Touched::new([rule].into(), vec![1]);
    exchange
}

fn entry(user: &str, lead: &str) -> AuditEntry {
    let (telemetry, _log) = telemetry();
    AuditEntry::of(&exchange(&telemetry, user, lead), Outcome::Sent, NOW).unwrap()
}

#[test]
fn an_entry_says_who_saw_what_and_never_a_value() {
    let text = entry("u-7", "42").to_text().unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"time":"2026-03-04T05:06:07.890Z","kind":"answer","subject":"u-7","#,
            r#""roles":["sales_rep"],"tenant":"acme","object_type":"lead","objects":["42"],"#,
            r#""object_count":1,"fields":[{"field":"$.email","act":"masked","count":1,"#,
            r#""rule":"sales_rep:$.email","origin":"roles/sales_rep.yaml:7"}],"masked":1,"#,
            r#""hidden":0,"policy_revision":"0123456789ab","correlation_id":"abc-1","#,
            r#""method":"GET","route":"/api/v1/leads/{id}/","status":200,"outcome":"sent","#,
            r#""reason":null}"#
        )
    );
    assert_eq!(AuditEntry::read(&text).unwrap(), entry("u-7", "42"));
    let (telemetry, _log) = telemetry();
    let nobody = telemetry.begin(&http::Method::GET, Moment::now());
    assert_eq!(AuditEntry::of(&nobody, Outcome::Refused, NOW), None);
}

/// A ledger on disk with so many entries, at rest.
struct AtRest {
    folder: TempDir,
}

impl AtRest {
    fn with(entries: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &[SCHEMA], &Options::default()).unwrap();
        store
            .commit_blocking(move |transaction| {
                let seal = Seal::of(&ring());
                let mut last = Link::START;
                for number in 1..=entries {
                    let entry = entry(&format!("u-{}", number % 3), &number.to_string());
                    last = insert(transaction, last, &entry)?;
                    if number % 4 == 0 {
                        let mark = Mark::new(MarkKind::Checkpoint, last, 0, seal.as_ref());
                        put(transaction, &mark)?;
                    }
                }
                move_head(transaction, last, NOW, seal.as_ref())
            })
            .unwrap();
        store.close();
        Self { folder }
    }

    fn connection(&self) -> Connection {
        Connection::open(self.folder.path().join(DATABASE)).unwrap()
    }

    fn damage(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    fn verify(&self, anchor: Option<Anchor>) -> Report {
        let ring = ring();
        let key = |id: &str| PublicKey::of(&ring, Some(id)).map(|(_, key)| key);
        verify(&self.connection(), Some(&key), anchor).unwrap()
    }

    fn faults(&self) -> Vec<Fault> {
        self.verify(None).faults
    }

    fn text_of(&self, number: u64) -> String {
        let sql = "SELECT entry FROM audit_entry WHERE number = ?1";
        self.connection().query_row(sql, [number], |row| row.get(0)).unwrap()
    }
}

#[test]
fn a_ledger_that_nobody_touched_is_whole() {
    let ledger = AtRest::with(10);
    let report = ledger.verify(None);
    assert_eq!((report.entries, report.first, report.last.number), (10, 1, 10));
    assert_eq!((report.checkpoints, report.is_signed), (2, true));
    assert_eq!(report.faults, []);
    assert_eq!(AtRest::with(0).faults(), []);
}

#[track_caller]
fn check_damage(sql: &str, expect: &[Fault]) {
    let ledger = AtRest::with(10);
    ledger.damage(sql);
    assert_eq!(ledger.faults(), expect, "{sql}");
}

#[test]
fn every_damage_is_found_where_it_is() {
    // An entry edited.
    let edit =
        "UPDATE audit_entry SET entry = replace(entry, '\"u-2\"', '\"u-9\"') WHERE number = 5";
    check_damage(edit, &[Fault::Changed(5), Fault::Index(5)]);
    check_damage(
        "UPDATE audit_entry SET entry = replace(entry, ':\"masked\"', ':\"shown\"') WHERE number = 5",
        &[Fault::Changed(5)],
    );
    check_damage(
        "UPDATE audit_entry SET entry = 'x' WHERE number = 5",
        &[Fault::Changed(5), Fault::Index(5)],
    );
    // Entries removed: in the middle, at the beginning, at the end.
    check_damage(
        "DELETE FROM audit_entry WHERE number IN (5, 6)",
        &[Fault::Missing(5, 6), Fault::Orphan(5), Fault::Orphan(6)],
    );
    check_damage(
        "DELETE FROM audit_entry WHERE number = 1; DELETE FROM audit_object WHERE number = 1",
        &[Fault::Missing(1, 1)],
    );
    check_damage(
        "DELETE FROM audit_entry WHERE number >= 9; DELETE FROM audit_object WHERE number >= 9",
        &[Fault::Missing(9, 10)],
    );
    // Two swapped, whole rows with all that belongs to them.
    let swap = "
        UPDATE audit_entry SET number = -1 WHERE number = 5;
        UPDATE audit_entry SET number = 5 WHERE number = 7;
        UPDATE audit_entry SET number = 7 WHERE number = -1;
        UPDATE audit_object SET number = -1 WHERE number = 5;
        UPDATE audit_object SET number = 5 WHERE number = 7;
        UPDATE audit_object SET number = 7 WHERE number = -1;";
    let changed = [5, 6, 7, 8].map(Fault::Changed);
    check_damage(swap, &changed);
    // What finds an entry.
    check_damage("UPDATE audit_entry SET subject = 'x' WHERE number = 3", &[Fault::Index(3)]);
    check_damage("UPDATE audit_entry SET at = 1 WHERE number = 3", &[Fault::Index(3)]);
    check_damage("DELETE FROM audit_object WHERE number = 3", &[Fault::Index(3)]);
    check_damage("INSERT INTO audit_object VALUES (99, 'lead/1')", &[Fault::Orphan(99)]);
    // Marks.
    check_damage("DELETE FROM audit_mark WHERE kind = 'head'", &[Fault::NoHead]);
    check_damage(
        "UPDATE audit_mark SET signature = NULL WHERE number = 4",
        &[Fault::Signature(MarkKind::Checkpoint, 4)],
    );
    check_damage(
        "UPDATE audit_mark SET key = 'k2' WHERE number = 4",
        &[Fault::Signature(MarkKind::Checkpoint, 4)],
    );
    check_damage(
        "UPDATE audit_mark SET number = 5 WHERE number = 4",
        &[Fault::Signature(MarkKind::Checkpoint, 5), Fault::Mark(MarkKind::Checkpoint, 5)],
    );
    check_damage("UPDATE audit_mark SET kind = 'x' WHERE number = 4", &[Fault::UnknownMark]);
    // All of it.
    check_damage(
        "DELETE FROM audit_entry; DELETE FROM audit_object; DELETE FROM audit_mark",
        &[Fault::Nothing],
    );
    check_damage(
        "DELETE FROM audit_entry; DELETE FROM audit_object; DELETE FROM audit_mark WHERE kind <> 'head'",
        &[Fault::Missing(1, 10)],
    );
}

/// Whoever has the file can compute hashes; what they cannot do is sign.
#[test]
fn an_end_that_was_cut_off_and_sealed_anew_is_not_signed() {
    let ledger = AtRest::with(10);
    ledger.damage(
        "DELETE FROM audit_entry WHERE number > 8; DELETE FROM audit_object WHERE number > 8",
    );
    // The checkpoint at 8 is genuine; passed off as the head, its signature does not hold.
    ledger.damage("DELETE FROM audit_mark WHERE kind = 'head'; UPDATE audit_mark SET kind = 'head' WHERE number = 8");
    assert_eq!(ledger.faults(), [Fault::Signature(MarkKind::Head, 8)]);
}

#[test]
fn an_edit_with_all_hashes_computed_anew_is_not_signed() {
    let ledger = AtRest::with(10);
    let connection = ledger.connection();
    let mut last = Link::START;
    for number in 1..=10_u64 {
        let text = ledger.text_of(number).replace("sales_rep", "admin");
        last = last.then(&text);
        let hash = last.hash.as_bytes();
        let sql = "UPDATE audit_entry SET entry = ?2, hash = ?3 WHERE number = ?1";
        connection.execute(sql, params![number, text, hash]).unwrap();
        let sql = "UPDATE audit_mark SET hash = ?2 WHERE number = ?1";
        connection.execute(sql, params![number, hash]).unwrap();
    }
    let marks = [(MarkKind::Checkpoint, 4), (MarkKind::Checkpoint, 8), (MarkKind::Head, 10)];
    assert_eq!(ledger.faults(), marks.map(|(kind, number)| Fault::Signature(kind, number)));
    // Without the keys it cannot be told, and the report says that nothing was checked.
    let blind = verify(&ledger.connection(), None, None).unwrap();
    assert!(blind.faults.is_empty() && !blind.is_signed);
}

/// Put back to an older copy, a ledger is whole in itself; a checkpoint from the log tells.
#[test]
fn an_older_copy_is_found_by_a_place_that_was_noted_elsewhere() {
    let ledger = AtRest::with(10);
    let last = ledger.verify(None).last;
    let anchor = Anchor::parse(&format!("{}:{}", last.number, last.hash)).unwrap();
    assert_eq!(ledger.verify(Some(anchor)).faults, []);
    let older = AtRest::with(6);
    assert_eq!(older.faults(), []);
    assert_eq!(older.verify(Some(anchor)).faults, [Fault::Anchor(10)]);
    for text in ["", "10", "x:00", "10:00"] {
        assert_eq!(Anchor::parse(text), None, "{text}");
    }
}

fn numbers(ledger: &AtRest, wanted: &Query) -> Vec<u64> {
    query(&ledger.connection(), wanted).unwrap().iter().map(|stored| stored.number).collect()
}

#[test]
fn entries_are_looked_up_by_what_they_say() {
    let ledger = AtRest::with(10);
    let all: Vec<u64> = (1..=10).collect();
    let check = |wanted: Query, expect: &[u64]| {
        assert_eq!(numbers(&ledger, &wanted), expect, "{wanted:?}");
    };
    let at = entry::milliseconds(NOW);
    check(Query::default(), &all);
    check(Query { user: Some("u-0".into()), ..Query::default() }, &[3, 6, 9]);
    check(Query { object: Some("lead/7".into()), ..Query::default() }, &[7]);
    check(Query { object: Some("deal/7".into()), ..Query::default() }, &[]);
    for field in ["$.email", "email"] {
        check(Query { field: Some(field.into()), ..Query::default() }, &all);
    }
    check(Query { field: Some("mail".into()), ..Query::default() }, &[]);
    check(Query { since: Some(at), until: Some(at + 1), ..Query::default() }, &all);
    check(Query { until: Some(at), ..Query::default() }, &[]);
    check(Query { after: 7, limit: Some(2), ..Query::default() }, &[8, 9]);
    let nasty = Query { user: Some("' OR 1=1 --".into()), ..Query::default() };
    check(nasty, &[]);
}

#[test]
fn times_as_people_write_them() {
    let at = |text| moment(text, NOW);
    assert_eq!(at("2026-03-04T05:06:07.890Z"), Some(entry::milliseconds(NOW)));
    assert_eq!(at("2026-03-04T07:06:07.890+02:00"), Some(entry::milliseconds(NOW)));
    assert_eq!(at("1970-01-02"), Some(86_400_000));
    for (text, ago) in [("0m", 0), ("90m", 5_400_000), ("2h", 7_200_000), ("1d", 86_400_000)] {
        assert_eq!(at(text), Some(entry::milliseconds(NOW) - ago), "{text}");
    }
    for text in ["", "d", "7", "-1d", "7w", "yesterday", "2026-13-01", "99999999999999999d", "7é"]
    {
        assert_eq!(at(text), None, "{text}");
    }
}

#[test]
fn lines_for_people_and_programs() {
    let ledger = AtRest::with(1);
    let stored = query(&ledger.connection(), &Query::default()).unwrap().remove(0);
    assert_eq!(
        Format::Text.line(&stored),
        "1 2026-03-04T05:06:07.890Z u-1 (sales_rep) GET lead/1 $.email=masked masked=1 hidden=0 \
         sent id=abc-1\n"
    );
    let line: serde_json::Value = serde_json::from_str(&Format::Jsonl.line(&stored)).unwrap();
    assert_eq!(line["hash"], stored.hash.unwrap().to_string());
    assert!(Format::Jsonl.line(&stored).contains(&stored.text), "what was hashed, to the byte");
    assert_eq!(
        Format::Csv.line(&stored),
        "1,2026-03-04T05:06:07.890Z,u-1,sales_rep,acme,lead,1,\
         masked $.email 1 roles/sales_rep.yaml:7,1,0,0123456789ab,abc-1,GET,/api/v1/leads/{id}/,\
         200,sent\r\n"
    );
    let columns = Format::Csv.header().split(',').count();
    assert_eq!(columns, Format::Csv.line(&stored).split(',').count());
}

#[test]
fn a_cell_is_no_formula_and_no_two_cells() {
    let ledger = AtRest::with(0);
    let mut one = entry("=HYPERLINK(\"http://x\"),\n", "1");
    one.roles.clear();
    let text = one.to_text().unwrap();
    let stored = Stored { number: 1, hash: None, text, entry: Some(one) };
    let line = Format::Csv.line(&stored);
    assert!(line.contains("\"'=HYPERLINK(\"\"http://x\"\"),\n\""), "{line}");
    assert!(!Format::Text.line(&stored).trim_end().contains('\n'));
    drop(ledger);
}

/// A ledger that is written by its own thread.
struct Live {
    ledger: Ledger,
    store: Store,
    folder: TempDir,
    telemetry: Telemetry,
    log: MemoryLog,
}

fn live(settings: Settings, folder: TempDir) -> Live {
    let (telemetry, log) = telemetry();
    let store = Store::open(folder.path(), &[SCHEMA], &Options::default()).unwrap();
    let ledger = Ledger::start(LedgerParts {
        store: store.clone(),
        settings,
        keys: Box::new(|| Some(ring())),
        telemetry: telemetry.clone(),
    })
    .unwrap();
    Live { ledger, store, folder, telemetry, log }
}

impl Live {
    fn at_rest(self) -> (AtRest, MemoryLog) {
        self.ledger.close();
        self.store.close();
        assert!(self.telemetry.flush(Duration::from_secs(30)));
        (AtRest { folder: self.folder }, self.log)
    }

    fn audited(&self, outcome: &str) -> u64 {
        let scrape = self.telemetry.scrape().unwrap();
        let series = format!("fieldgate_audit_entries_total{{outcome=\"{outcome}\"}} ");
        scrape.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    }
}

const REQUIRED: Settings =
    Settings { mode: AuditMode::Required, keep: Duration::from_secs(3600), queue: 64 };

#[tokio::test]
async fn a_required_entry_is_on_disk_when_it_says_so() {
    let live = live(REQUIRED, tempfile::tempdir().unwrap());
    assert!(live.ledger.is_required());
    live.ledger.require(entry("u-1", "42")).await.unwrap();
    let seen = live.ledger.query(Query { object: Some("lead/42".into()), ..Query::default() });
    assert_eq!(seen.await.unwrap().len(), 1);
    // Another process can look while the ledger is open.
    let visitor = crate::store::Visitor::reader(live.folder.path(), &[SCHEMA]).unwrap();
    let report = visitor.read(|connection| verify(connection, None, None)).unwrap();
    assert_eq!((report.entries, report.faults), (1, vec![]));
    assert_eq!(live.audited("written"), 1);
    let (at_rest, log) = live.at_rest();
    assert_eq!(at_rest.faults(), []);
    let checkpoints: Vec<_> =
        log.json_lines().into_iter().filter(|line| line["message"] == "audit checkpoint").collect();
    assert_eq!(checkpoints.len(), 1);
    let anchor = format!("1:{}", checkpoints[0]["hash"].as_str().unwrap());
    assert_eq!(at_rest.verify(Anchor::parse(&anchor)).faults, []);
}

#[tokio::test]
async fn without_a_store_nothing_is_acknowledged() {
    let live = live(REQUIRED, tempfile::tempdir().unwrap());
    live.ledger.require(entry("u-1", "1")).await.unwrap();
    live.store.close();
    assert_eq!(live.ledger.require(entry("u-1", "2")).await, Err(AuditError));
    assert_eq!((live.audited("written"), live.audited("failed")), (1, 1));
    let (at_rest, log) = live.at_rest();
    assert_eq!(at_rest.verify(None).entries, 1);
    let said = "the audit ledger cannot be written";
    assert_eq!(log.json_lines().iter().filter(|line| line["message"] == said).count(), 1);
}

#[tokio::test]
async fn a_closed_ledger_acknowledges_nothing() {
    let live = live(REQUIRED, tempfile::tempdir().unwrap());
    live.ledger.close();
    assert_eq!(live.ledger.require(entry("u-1", "2")).await, Err(AuditError));
}

#[test]
fn best_effort_never_waits_and_counts_what_is_lost() {
    let settings = Settings { mode: AuditMode::BestEffort, queue: 16, ..REQUIRED };
    let live = live(settings, tempfile::tempdir().unwrap());
    let one = entry("u-1", "1");
    for _ in 0..5_000 {
        live.ledger.record(one.clone());
    }
    let dropped = live.audited("dropped");
    assert!(dropped > 0);
    live.ledger.close();
    assert_eq!(live.audited("written") + live.audited("dropped"), 5_000);
    let written = live.audited("written");
    let (at_rest, _log) = live.at_rest();
    let report = at_rest.verify(None);
    assert_eq!((report.entries, report.faults), (written, vec![]));
}

#[tokio::test]
async fn a_ledger_goes_on_where_it_ended() {
    let first = live(REQUIRED, tempfile::tempdir().unwrap());
    for lead in ["1", "2", "3"] {
        first.ledger.require(entry("u-1", lead)).await.unwrap();
    }
    let (at_rest, _log) = first.at_rest();
    let second = live(REQUIRED, at_rest.folder);
    second.ledger.require(entry("u-1", "4")).await.unwrap();
    let (at_rest, log) = second.at_rest();
    let report = at_rest.verify(None);
    assert_eq!((report.entries, report.faults), (4, vec![]));
    assert!(!log.text().contains("damaged"));
}

#[track_caller]
fn check_not_healed(damage: &str, expect: &[Fault]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = live(REQUIRED, tempfile::tempdir().unwrap());
    runtime.block_on(async {
        for lead in ["1", "2", "3", "4"] {
            first.ledger.require(entry("u-1", lead)).await.unwrap();
        }
    });
    let (at_rest, _log) = first.at_rest();
    at_rest.damage(damage);
    let second = live(REQUIRED, at_rest.folder);
    runtime.block_on(second.ledger.require(entry("u-1", "5"))).unwrap();
    let (at_rest, log) = second.at_rest();
    assert!(log.text().contains("the audit ledger is damaged"), "{damage}");
    assert_eq!(at_rest.faults(), expect, "{damage}");
}

#[test]
fn a_damage_is_not_healed_by_going_on() {
    check_not_healed(
        "DELETE FROM audit_entry WHERE number >= 3; DELETE FROM audit_object WHERE number >= 3;
         DELETE FROM audit_mark WHERE kind = 'checkpoint'",
        &[Fault::Missing(3, 4), Fault::Noted(5)],
    );
    check_not_healed("DELETE FROM audit_mark WHERE kind = 'head'", &[Fault::Noted(5)]);
    check_not_healed(
        "UPDATE audit_entry SET hash = zeroblob(32) WHERE number = 4;
         DELETE FROM audit_mark WHERE kind = 'checkpoint'",
        &[Fault::Changed(4), Fault::Changed(5), Fault::Noted(5)],
    );
}

#[test]
fn what_is_too_old_is_removed_and_the_rest_can_be_verified() {
    let ledger = AtRest::with(10);
    let store = Store::open(ledger.folder.path(), &[SCHEMA], &Options::default()).unwrap();
    let removed = store
        .commit_blocking(|transaction| {
            retention::remove(transaction, 1, 7, Seal::of(&ring()).as_ref())
        })
        .unwrap();
    assert_eq!(removed.map(|link| link.number), Some(8), "as far as there is a checkpoint");
    let again = store
        .commit_blocking(|transaction| {
            retention::remove(transaction, 1, 7, Seal::of(&ring()).as_ref())
        })
        .unwrap();
    assert_eq!(again, None);
    store.close();
    let report = ledger.verify(None);
    assert_eq!((report.first, report.entries, report.faults), (9, 2, vec![]));

    // A beginning that somebody else cut off has no signed cut.
    ledger.damage(
        "DELETE FROM audit_entry WHERE number = 9; DELETE FROM audit_object WHERE number = 9",
    );
    assert_eq!(ledger.faults(), [Fault::Missing(9, 9)]);
    ledger.damage(
        "UPDATE audit_mark SET number = 9, hash = (SELECT hash FROM audit_entry WHERE number = 10)
         WHERE kind = 'cut'",
    );
    assert!(ledger.faults().contains(&Fault::Signature(MarkKind::Cut, 9)), "{:?}", ledger.faults());
}

#[test]
fn a_damage_is_not_removed_by_age() {
    let ledger = AtRest::with(10);
    ledger.damage("UPDATE audit_entry SET hash = zeroblob(32) WHERE number = 8");
    let store = Store::open(ledger.folder.path(), &[SCHEMA], &Options::default()).unwrap();
    let removed =
        store.commit_blocking(|transaction| retention::remove(transaction, 1, 7, None)).unwrap();
    assert_eq!(removed, None);
}
