//! What is kept, what is written again, what is told as a change, what is forgotten.

use tempfile::TempDir;
use time::macros::datetime;

use super::*;
use crate::score::{Activities, Inputs, Rules, ScoringPlan};
use crate::store::Options;

const NOW: OffsetDateTime = datetime!(2026-11-22 10:00 UTC);

fn open(folder: &TempDir) -> (Store, ScoreHistory) {
    let store = Store::open(folder.path(), &[SCHEMA], &Options::default()).unwrap();
    (store.clone(), ScoreHistory::new(Some(store)))
}

fn key(lead: &str) -> LeadKey {
    LeadKey { tenant: "acme".into(), resource: "lead".into(), lead: lead.into() }
}

/// By status alone a lead is COLD; a young one whose fields are filled is WARM.
fn scored(lead: &str, record: &str, at: OffsetDateTime) -> Scored {
    let plan = Arc::new(ScoringPlan::compile(Rules::default()).unwrap());
    let mut inputs = Inputs::at(at);
    inputs.see_record(&plan, record.as_bytes()).unwrap();
    let score = Score::of(&plan, &inputs, Activities::NONE, at);
    Scored { key: key(lead), score, basis: Basis { plan, inputs } }
}

fn score(record: &str, at: OffsetDateTime) -> Score {
    scored("7", record, at).score
}

const COLD: &str = r#"{"status":"new"}"#;
const WARM: &str = r#"{"status":"converted","created_at":"2026-11-20","email":"a","phone":"1",
    "company_name":"c","industry":"i","annual_revenue":5,"budget":1,"title":"t"}"#;

/// Work that is done soon is done before work that is waited for.
async fn settle(store: &Store) {
    store.commit(|_| Ok(())).await.unwrap();
}

async fn past(history: &ScoreHistory, lead: &str) -> Vec<(OffsetDateTime, u8)> {
    let past = history.history(key(lead), 100).await.unwrap();
    past.iter().map(|past| (past.score.calculated_at(), past.score.total())).collect()
}

#[tokio::test]
async fn a_score_outlives_the_process_with_its_words() {
    let folder = TempDir::new().unwrap();
    let made = score(WARM, NOW);
    let (store, history) = open(&folder);
    assert!(history.note(vec![scored("7", WARM, NOW)], Cause::Write).await.is_empty());
    assert_eq!(history.last(&key("7")).await.unwrap().1, Found::Memory);
    settle(&store).await;
    store.close();
    drop((store, history));

    let (_store, history) = open(&folder);
    let (last, found) = history.last(&key("7")).await.unwrap();
    assert_eq!(found, Found::Store);
    let last = last.unwrap();
    assert_eq!(last.score.keep(), made.keep());
    assert_eq!(history.last(&key("8")).await.unwrap().1, Found::Nowhere);
    let stranger = LeadKey { tenant: "globex".into(), ..key("7") };
    assert!(history.last(&stranger).await.unwrap().0.is_none());
    let changes = history.note(vec![scored("7", COLD, NOW)], Cause::Read).await;
    assert_eq!(changes.len(), 1, "the old quality is known from the store");
    assert_eq!(changes[0].old, made.quality());
}

#[tokio::test]
async fn only_what_is_new_is_written() {
    let folder = TempDir::new().unwrap();
    let (store, history) = open(&folder);
    let minute = Duration::minutes(1);
    for (record, at, changed) in [
        (COLD, NOW, false),
        (COLD, NOW + minute, false),
        (WARM, NOW + minute * 2, true),
        (WARM, NOW + minute * 3, false),
        // An hour after what was written, not after what was seen; and no news for the history.
        (WARM, NOW + minute * 62, false),
        // Late: a newer one is known.
        (COLD, NOW + minute * 30, false),
    ] {
        let changes = history.note(vec![scored("7", record, at)], Cause::Read).await;
        assert_eq!(!changes.is_empty(), changed, "{at}");
    }
    settle(&store).await;
    let warm = score(WARM, NOW).total();
    let cold = score(COLD, NOW).total();
    assert_eq!(past(&history, "7").await, [(NOW + minute * 2, warm), (NOW, cold)]);
    assert_eq!(history.history(key("7"), 1).await.unwrap().len(), 1);
    let rules = scored("7", WARM, NOW).basis.plan.digest().clone();
    let stale = |at| history.count_stale(("acme", "lead"), &rules, at);
    let seen_last = NOW + minute * 62;
    let just_before = seen_last - Duration::milliseconds(1);
    assert_eq!(stale(just_before).await.unwrap(), 0, "the last one was seen an hour later");
    assert_eq!(stale(seen_last).await.unwrap(), 1);

    assert_eq!(history.retire(NOW + minute).await.unwrap(), 1);
    assert_eq!(past(&history, "7").await, [(NOW + minute * 2, warm)]);
    assert_eq!(history.retire(NOW + minute * 100).await.unwrap(), 1);
    assert!(history.last(&key("7")).await.unwrap().0.is_some(), "the last one stays");
}

#[tokio::test]
async fn without_a_store_memory_is_all() {
    let history = ScoreHistory::new(None);
    history.note(vec![scored("7", COLD, NOW)], Cause::Read).await;
    assert_eq!(history.note(vec![scored("7", WARM, NOW)], Cause::Read).await.len(), 1);
    assert!(history.last(&key("7")).await.unwrap().0.is_some());
    assert_eq!(history.last(&key("8")).await.unwrap().1, Found::Nowhere);
    assert!(past(&history, "7").await.is_empty());
}

#[tokio::test]
async fn any_number_is_forgotten() {
    let folder = TempDir::new().unwrap();
    let (_store, history) = open(&folder);
    let many = (0..1203).map(|lead| scored(&lead.to_string(), COLD, NOW)).collect();
    history.note(many, Cause::Read).await;
    assert_eq!(history.retire(NOW + Duration::SECOND).await.unwrap(), 1203);
}

#[tokio::test]
async fn activities_outlive_the_process() {
    let folder = TempDir::new().unwrap();
    let (store, history) = open(&folder);
    let seen = |activity: &str, at| SeenActivity { key: key("7"), activity: activity.into(), at };
    let old = seen("1", NOW - Duration::days(40));
    let (second, third) = (seen("2", NOW - Duration::days(2)), seen("3", NOW));
    history.saw(vec![old, third.clone(), second.clone()]);
    history.saw(vec![third.clone()]);
    settle(&store).await;
    let since = NOW - Duration::days(30);
    assert_eq!(history.activities_since(since).await.unwrap(), [second, third]);
    assert_eq!(history.retire_activities(since).await.unwrap(), 1);
    assert_eq!(history.retire_activities(since).await.unwrap(), 0);
}

#[tokio::test]
async fn the_oldest_are_refreshed_first_and_the_gone_are_forgotten() {
    let folder = TempDir::new().unwrap();
    let (store, history) = open(&folder);
    let hour = Duration::hours(1);
    let leads = [("1", NOW), ("2", NOW - hour), ("3", NOW - hour * 2)];
    let leads = leads.map(|(lead, at)| scored(lead, COLD, at));
    // On disk at once: nobody has to settle.
    history.note(leads.into(), Cause::Refresh).await;
    let rules = scored("1", COLD, NOW).basis.plan.digest().clone();
    let stale = async |before, most| -> Vec<String> {
        let found = history.stale(("acme", "lead"), &rules, before, most).await.unwrap();
        found.into_iter().map(|key| key.lead).collect()
    };
    let just_before = NOW - Duration::milliseconds(1);
    assert_eq!(stale(just_before, 9).await, ["3", "2"]);
    assert_eq!(stale(NOW, 9).await, ["3", "2", "1"], "as old as that is old");
    assert_eq!(stale(NOW, 1).await, ["3"]);
    assert!(history.stale(("globex", "lead"), &rules, NOW, 9).await.unwrap().is_empty());
    let share = |quality, leads| Share { tenant: "acme".into(), quality, leads };
    assert_eq!(history.distribution().await.unwrap(), [share(Quality::Cold, 3)]);
    assert!(history.basis(&key("3")).is_some());

    history.forget(&key("3"));
    settle(&store).await;
    assert_eq!(stale(just_before, 9).await, ["2"]);
    assert_eq!(history.last(&key("3")).await.unwrap().1, Found::Nowhere);
    assert!(past(&history, "3").await.is_empty());
    assert!(history.basis(&key("3")).is_none());
}

#[tokio::test]
async fn a_refresh_is_known_to_the_next_process() {
    let folder = TempDir::new().unwrap();
    let (store, history) = open(&folder);
    let half = Refresh {
        tenant: "acme".into(),
        resource: "lead".into(),
        kind: RefreshKind::All,
        began: NOW,
        ended: None,
        next: Some("/api/v1/leads/?page=6".into()),
        done: 500,
        total: Some(1000),
    };
    assert_eq!(history.refresh_of("acme", "lead").await.unwrap(), None);
    history.keep_refresh(half.clone()).await.unwrap();
    store.close();
    drop((store, history));

    let (_store, history) = open(&folder);
    assert_eq!(history.refresh_of("acme", "lead").await.unwrap(), Some(half.clone()));
    assert_eq!(history.refresh_of("", "lead").await.unwrap(), None);
    let whole = Refresh { ended: Some(NOW), next: None, done: 1000, ..half };
    history.keep_refresh(whole.clone()).await.unwrap();
    assert_eq!(history.refresh_of("acme", "lead").await.unwrap(), Some(whole));
}

/// By `weight` for the status instead of the usual one.
fn scored_by(weight: u32, at: OffsetDateTime) -> Scored {
    let status = crate::score::StatusFactor {
        name: "new".to_owned(),
        factor: crate::score::Thousandths::new(weight),
    };
    let rules = Rules { statuses: vec![status], ..Rules::default() };
    let plan = Arc::new(ScoringPlan::compile(rules).unwrap());
    let mut inputs = Inputs::at(at);
    inputs.see_record(&plan, COLD.as_bytes()).unwrap();
    let score = Score::of(&plan, &inputs, Activities::NONE, at);
    Scored { key: key("7"), score, basis: Basis { plan, inputs } }
}

#[tokio::test]
async fn a_score_by_other_rules_is_stale_and_by_the_same_ones_it_is_not() {
    let folder = TempDir::new().unwrap();
    let (store, history) = open(&folder);
    let week = Duration::days(7);
    let first = scored_by(300, NOW);
    // What a reload of the same rules makes: another plan, and no other rules.
    let again = scored_by(300, NOW);
    let other = scored_by(400, NOW);
    assert!(!Arc::ptr_eq(&first.basis.plan, &again.basis.plan));
    history.note(vec![first], Cause::Read).await;
    let knows = |scored: &Scored| {
        history.knows(&scored.key, &scored.score, &scored.basis.plan, &scored.basis.inputs)
    };
    assert!(knows(&again) && !knows(&other));
    settle(&store).await;
    let count = async |scored: &Scored| {
        let rules = scored.basis.plan.digest();
        history.count_stale(("acme", "lead"), rules, NOW - week).await.unwrap()
    };
    assert_eq!((count(&again).await, count(&other).await), (0, 1));
    let last = history.last(&key("7")).await.unwrap().0.unwrap();
    let (same, others) = (again.basis.plan.digest(), other.basis.plan.digest());
    assert!(!last.is_stale(same, NOW - week) && last.is_stale(others, NOW - week));
    // Seven days and not a moment less.
    assert!(last.is_stale(same, NOW) && !last.is_stale(same, NOW - Duration::NANOSECOND));

    // By other rules it is written, although it was written a moment ago.
    history.note(vec![scored_by(400, NOW + Duration::SECOND)], Cause::Read).await;
    settle(&store).await;
    assert_eq!((count(&again).await, count(&other).await), (1, 0));
    let (_, reopened) = (history.clone(), ScoreHistory::new(Some(store)));
    let last = reopened.last(&key("7")).await.unwrap();
    assert_eq!(last.1, Found::Store);
    assert!(!last.0.unwrap().is_stale(others, NOW - week));
}
