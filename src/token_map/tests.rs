//! The map through a real store: kept, found, lost, and kept again.

use std::time::Duration;

use rusqlite::params;
use tempfile::TempDir;

use super::rows::{find, put};
use super::*;
use crate::config::Telemetry as TelemetrySettings;
use crate::diagnostic::SourceFile;
use crate::mask::{KeyRing, NonceSequence, SecretError, SecretSource, Strategy};
use crate::store::{DATABASE, Fault, Options};
use crate::telemetry::MemoryLog;

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn environment(&self, _: &str) -> Result<secrecy::SecretString, SecretError> {
        Err(SecretError::Missing)
    }

    fn file(&self, _: &str) -> Result<secrecy::SecretString, SecretError> {
        Err(SecretError::Missing)
    }
}

fn ring() -> KeyRing {
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let text = format!("active: k1\nkeys: {{ k1: {{ secret: \"{secret}\" }} }}");
    KeyRing::read(&SourceFile::new("keys.yaml", text), &NoSecrets).unwrap()
}

struct Stage {
    folder: TempDir,
    options: Options,
    ring: KeyRing,
    telemetry: Telemetry,
    map: TokenMap,
    store: Store,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let options = Options { look: Duration::from_millis(5), ..Options::default() };
        let store = Store::open(folder.path(), &[SCHEMA], &options).unwrap();
        let log = Box::new(MemoryLog::new());
        let telemetry = Telemetry::start(&TelemetrySettings::default(), log).unwrap();
        let map = TokenMap::start(store.clone(), Settings::default(), telemetry.clone()).unwrap();
        Self { folder, options, ring: ring(), telemetry, map, store }
    }

    /// Masks a value of `acme`'s phones and hands it over.
    fn keep(&self, value: &str) -> VaultToken {
        let masker = self.ring.masker(&Strategy::Vault, "acme", "lead.phone").unwrap();
        let mut nonces = NonceSequence::new([0; 8]);
        let raw = format!("\"{value}\"");
        let minted = masker.mask_in(raw.as_bytes(), None, &mut nonces, &mut Vec::new());
        let minted = minted.unwrap().unwrap();
        self.map.keep(&minted);
        minted.token()
    }

    async fn value(&self, token: &VaultToken) -> Option<String> {
        let sealed = self.map.look_up("acme", "lead.phone", token).await.unwrap()?;
        let opened = self.ring.open_vaulted(token, &sealed, "acme", "lead.phone").unwrap();
        Some(String::from_utf8(opened).unwrap())
    }

    fn counted(&self, outcome: &str) -> String {
        let name = format!("fieldgate_token_map_entries_total{{outcome=\"{outcome}\"}} ");
        let scrape = self.telemetry.scrape().unwrap();
        scrape.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
    }
}

#[tokio::test]
async fn what_was_handed_over_is_found_at_once_and_by_its_owner_only() {
    let stage = Stage::new();
    let tokens: Vec<_> = (0..2000).map(|number| stage.keep(&format!("555-{number}"))).collect();
    assert_eq!(stage.value(&tokens[1999]).await.as_deref(), Some("\"555-1999\""));
    assert_eq!(stage.value(&tokens[0]).await.as_deref(), Some("\"555-0\""));
    for (tenant, field) in [("globex", "lead.phone"), ("acme", "lead.email"), ("", "")] {
        assert_eq!(stage.map.look_up(tenant, field, &tokens[0]).await.unwrap(), None);
    }
    // Seen again, a value is not written again.
    stage.keep("555-0");
    stage.map.close();
    assert_eq!(stage.counted("written"), "2000");
    let canary = b"555-1999";
    for file in std::fs::read_dir(stage.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(canary.len()).any(|part| part == canary), "a value lies open");
    }
}

#[tokio::test]
async fn what_the_store_does_not_take_is_counted_and_comes_again() {
    let stage = Stage::new();
    stage.options.faults.set(Some(Fault::Full));
    let token = stage.keep("555-1");
    // Flushing waits until the attempt is over.
    assert_eq!(stage.value(&token).await, None);
    assert_eq!(stage.counted("failed"), "1");
    assert_eq!(stage.counted("written"), "0");
    stage.options.faults.set(None);
    let began = std::time::Instant::now();
    while stage.value(&stage.keep("555-1")).await.is_none() {
        assert!(began.elapsed() < Duration::from_secs(20), "the store does not recover");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_waits_is_written_at_the_end_and_is_there_after_a_restart() {
    let stage = Stage::new();
    let token = stage.keep("555-1");
    stage.map.close();
    let other = stage.keep("555-2");
    assert_eq!(stage.counted("dropped"), "1", "a closed map keeps nothing more");
    let Stage { folder, store, map, ring, .. } = stage;
    drop(map);
    store.close();
    drop(store);
    let connection = rusqlite::Connection::open(folder.path().join(DATABASE)).unwrap();
    let key = |token: &VaultToken| Key {
        tenant: "acme".into(),
        field: "lead.phone".into(),
        token: token.clone(),
    };
    let sealed = find(&connection, &key(&token)).unwrap().unwrap();
    assert_eq!(ring.open_vaulted(&token, &sealed, "acme", "lead.phone").unwrap(), b"\"555-1\"");
    assert_eq!(find(&connection, &key(&other)).unwrap(), None);
}

#[test]
fn age_and_number_are_bounded() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path(), &[SCHEMA], &Options::default()).unwrap();
    let masker = ring().masker(&Strategy::Vault, "acme", "lead.phone").unwrap();
    let rows = |from: usize, to: usize| -> Vec<Row> {
        let row = |number: usize| {
            let mut nonces = NonceSequence::new([0; 8]);
            let raw = number.to_string();
            let minted = masker.mask_in(raw.as_bytes(), None, &mut nonces, &mut Vec::new());
            let minted = minted.unwrap().unwrap();
            let key =
                Key { tenant: "acme".into(), field: "lead.phone".into(), token: minted.token() };
            Row { key, sealed: minted.seal().unwrap() }
        };
        (from..to).map(row).collect()
    };
    let days: Vec<(i64, Vec<Row>)> =
        vec![(10, rows(0, 5)), (20, rows(5, 10)), (30, rows(10, 15)), (31, rows(0, 1))];
    store
        .commit_blocking(move |inside| {
            days.iter().try_for_each(|(day, rows)| put(inside, rows, *day))
        })
        .unwrap();
    let held = |from: i64| {
        let sql = "SELECT count(*) FROM token_map WHERE seen >= ?1";
        store.read_blocking(|look| look.query_row(sql, params![from], |row| row.get(0))).unwrap()
    };
    let remove = |before: i64, most: u64| {
        store.commit_blocking(move |inside| retention::remove(inside, before, most)).unwrap()
    };
    assert_eq!(held(0), 15_i64);
    assert_eq!(remove(10, 100), 0);
    assert_eq!(remove(11, 100), 4, "what was seen again is as young as that");
    assert_eq!(remove(0, 7), 4, "the longest unseen go first");
    assert_eq!((held(0), held(30)), (7, 6));
}
