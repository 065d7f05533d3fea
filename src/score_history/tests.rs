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
fn score(record: &str, at: OffsetDateTime) -> Score {
    let plan = Arc::new(ScoringPlan::compile(Rules::default()).unwrap());
    let mut inputs = Inputs::at(at);
    inputs.see_record(&plan, record.as_bytes()).unwrap();
    Score::of(&plan, &inputs, Activities::NONE, at)
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
    assert!(history.note(vec![(key("7"), made.clone())], Cause::Write).await.is_empty());
    assert_eq!(history.last(&key("7")).await.unwrap().1, Found::Memory);
    settle(&store).await;
    store.close();
    drop((store, history));

    let (_store, history) = open(&folder);
    let (last, found) = history.last(&key("7")).await.unwrap();
    assert_eq!(found, Found::Store);
    let last = last.unwrap();
    assert_eq!(last.keep(), made.keep());
    assert_eq!(history.last(&key("8")).await.unwrap().1, Found::Nowhere);
    let stranger = LeadKey { tenant: "globex".into(), ..key("7") };
    assert!(history.last(&stranger).await.unwrap().0.is_none());
    let changes = history.note(vec![(key("7"), score(COLD, NOW))], Cause::Read).await;
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
        // An hour after what was written, not after what was seen.
        (WARM, NOW + minute * 62, false),
        // Late: a newer one is known.
        (COLD, NOW + minute * 30, false),
    ] {
        let changes = history.note(vec![(key("7"), score(record, at))], Cause::Read).await;
        assert_eq!(!changes.is_empty(), changed, "{at}");
    }
    settle(&store).await;
    let warm = score(WARM, NOW).total();
    let cold = score(COLD, NOW).total();
    let expected = [(NOW + minute * 62, warm), (NOW + minute * 2, warm), (NOW, cold)];
    assert_eq!(past(&history, "7").await, expected);
    assert_eq!(history.history(key("7"), 1).await.unwrap().len(), 1);

    assert_eq!(history.retire(NOW + minute * 10).await.unwrap(), 2);
    assert_eq!(past(&history, "7").await, [(NOW + minute * 62, warm)]);
    assert_eq!(history.retire(NOW + minute * 100).await.unwrap(), 1);
    assert!(history.last(&key("7")).await.unwrap().0.is_some(), "the last one stays");
}

#[tokio::test]
async fn without_a_store_memory_is_all() {
    let history = ScoreHistory::new(None);
    history.note(vec![(key("7"), score(COLD, NOW))], Cause::Read).await;
    assert_eq!(history.note(vec![(key("7"), score(WARM, NOW))], Cause::Read).await.len(), 1);
    assert!(history.last(&key("7")).await.unwrap().0.is_some());
    assert_eq!(history.last(&key("8")).await.unwrap().1, Found::Nowhere);
    assert!(past(&history, "7").await.is_empty());
}

#[tokio::test]
async fn any_number_is_forgotten() {
    let folder = TempDir::new().unwrap();
    let (_store, history) = open(&folder);
    let made = score(COLD, NOW);
    let many = (0..1203).map(|lead| (key(&lead.to_string()), made.clone())).collect();
    history.note(many, Cause::Read).await;
    assert_eq!(history.retire(NOW + Duration::SECOND).await.unwrap(), 1203);
}

#[tokio::test]
async fn activities_outlive_the_process() {
    let folder = TempDir::new().unwrap();
    let (store, history) = open(&folder);
    let seen = |activity: &str, at| SeenActivity {
        tenant: "acme".into(),
        resource: "lead".into(),
        lead: b"7"[..].into(),
        activity: activity.as_bytes().into(),
        at,
    };
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
