//! How often is asked, what is kept and for how long, and what makes it be forgotten.

use std::sync::atomic::AtomicUsize;

use tokio::sync::Notify;

use super::*;
use crate::identity::tests::Heard;

const TTL: Duration = Duration::from_secs(300);
const NEGATIVE: Duration = Duration::from_secs(10);

fn answers(heard: &Heard) -> Arc<Answers> {
    let keep = Keep { ttl: TTL, negative_ttl: NEGATIVE, timeout: Duration::from_secs(5) };
    Arc::new(Answers::new(SourceKind::WhoAmI, keep, &mut rand::rng(), heard.told()))
}

fn digest(answers: &Answers, credential: &str) -> Digest {
    let mut digest = answers.digest();
    digest.part(credential.as_bytes());
    digest.finish()
}

fn ann() -> Said {
    let roles = vec!["sales_rep".to_owned()];
    Said::Known(Principal { subject: "ann".to_owned(), roles, tenant: None }, Duration::MAX)
}

/// Asks at `at`, where the answer would be `said`; tells whether somebody was asked.
async fn check(
    answers: &Answers,
    credential: &str,
    at: Instant,
    said: fn() -> Said,
    expected: (Result<&str, Unknown>, bool),
) {
    let mut asked = false;
    let ask = || {
        asked = true;
        async move { said() }
    };
    let found = answers.find(digest(answers, credential), at, ask).await;
    let subject = found.as_ref().map(|principal| principal.subject.as_str());
    assert_eq!((subject.map_err(|unknown| *unknown), asked), expected, "{credential} at {at:?}");
}

#[tokio::test]
async fn what_is_kept_and_how_long() {
    let answers = answers(&Heard::default());
    let start = Instant::now();
    let no = || Said::Refused(Refusal::NotRecognised);
    let refused = Err(Unknown::Refused(Refusal::NotRecognised));
    let almost = |kept: Duration| start + kept.saturating_sub(Duration::from_millis(1));

    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
    check(&answers, "a", almost(TTL), no, (Ok("ann"), false)).await;
    check(&answers, "a", start + TTL, no, (refused, true)).await;

    check(&answers, "b", start, no, (refused, true)).await;
    check(&answers, "b", almost(NEGATIVE), ann, (refused, false)).await;
    check(&answers, "b", start + NEGATIVE, ann, (Ok("ann"), true)).await;

    let brief = || match ann() {
        Said::Known(principal, _) => Said::Known(principal, Duration::from_secs(7)),
        other => other,
    };
    check(&answers, "c", start, brief, (Ok("ann"), true)).await;
    check(&answers, "c", start + Duration::from_secs(7), no, (refused, true)).await;
}

#[tokio::test]
async fn that_there_was_no_answer_is_never_kept() {
    let heard = Heard::default();
    let answers = answers(&heard);
    let start = Instant::now();
    check(&answers, "a", start, || Said::Nothing, (Err(Unknown::Unavailable), true)).await;
    check(&answers, "a", start, || Said::Nothing, (Err(Unknown::Unavailable), true)).await;
    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
    let failed = AskedOutcome::Failed;
    assert_eq!(heard.outcomes(), [failed, failed, AskedOutcome::Answered]);
}

#[test]
fn parts_are_set_off_from_each_other_and_keyed() {
    let one = answers(&Heard::default());
    let of = |answers: &Answers, parts: &[&str]| {
        let mut digest = answers.digest();
        for part in parts {
            digest.part(part.as_bytes());
        }
        digest.finish()
    };
    assert_eq!(of(&one, &["ab", "c"]), of(&one, &["ab", "c"]));
    assert_ne!(of(&one, &["ab", "c"]), of(&one, &["a", "bc"]));
    assert_ne!(of(&one, &["ab", "c"]), of(&answers(&Heard::default()), &["ab", "c"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_ask_once() {
    let heard = Heard::default();
    let answers = answers(&heard);
    let (questions, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let start = Instant::now();
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let (answers, questions) = (Arc::clone(&answers), Arc::clone(&questions));
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                let credential = digest(&answers, "one");
                let ask = || async {
                    questions.fetch_add(1, Ordering::SeqCst);
                    answered.notified().await;
                    ann()
                };
                answers.find(credential, start, ask).await
            })
        })
        .collect();
    while questions.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    answered.notify_one();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().subject, "ann");
    }
    assert_eq!(questions.load(Ordering::SeqCst), 1);
    assert_eq!(heard.outcomes(), [AskedOutcome::Answered]);
}

#[tokio::test]
async fn who_leaves_while_asking_leaves_the_question_to_the_next() {
    let answers = answers(&Heard::default());
    let credential = digest(&answers, "a");
    let start = Instant::now();
    {
        let mut leaving = Box::pin(answers.find(credential, start, std::future::pending));
        let polled = poll_once(leaving.as_mut());
        assert!(polled.is_none());
    }
    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_logout_is_felt_at_once() {
    let answers = answers(&Heard::default());
    let start = Instant::now();
    let no = || Said::Refused(Refusal::NotRecognised);
    let refused = Err(Unknown::Refused(Refusal::NotRecognised));
    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
    check(&answers, "a2", start, ann, (Ok("ann"), true)).await;

    let ending = answers.end(digest(&answers, "a"));
    // While it is under way every request asks for itself, and nothing is kept.
    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
    check(&answers, "a2", start, no, (Ok("ann"), false)).await;
    drop(ending);

    let later = Instant::now() + Duration::from_millis(1);
    check(&answers, "a", later, no, (refused, true)).await;
    // Another session of the same person: a changed password may have ended it too.
    check(&answers, "a2", later, ann, (Ok("ann"), true)).await;
    check(&answers, "a2", later, no, (Ok("ann"), false)).await;
}

#[tokio::test]
async fn endings_may_overlap() {
    let answers = answers(&Heard::default());
    let start = Instant::now();
    let (first, second) = (answers.end(digest(&answers, "a")), answers.end(digest(&answers, "a")));
    drop(first);
    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
    drop(second);
    check(&answers, "a", start, ann, (Ok("ann"), true)).await;
    check(&answers, "a", start, ann, (Ok("ann"), false)).await;
}
