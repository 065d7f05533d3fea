//! Notifications to people in the console: the last ones in memory, in order, each with a number.
//!
//! Bounded, and lost with the process. Whoever reads says which one was the last, and gets what came
//! after it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Who is told.
    pub recipient: String,
    /// What.
    pub message: String,
    /// `info`, `warning`, or whatever the workflow says.
    pub kind: String,
    /// Where there is more.
    pub link: Option<String>,
    /// The workflow that tells.
    pub workflow: String,
    /// The run.
    pub run: String,
    /// The same in every attempt, so that nothing is told twice.
    pub key: String,
    /// When.
    pub time: OffsetDateTime,
}

/// A notification and its number.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// What a reader says it has read last: `START-NUMBER`.
    pub id: String,
    number: u64,
    /// The notification.
    pub note: Note,
}

/// The last notifications. Clones share them.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Tells the numbers of this process from an earlier one's.
    start: i64,
    keep: usize,
    notes: Mutex<VecDeque<Arc<Numbered>>>,
    last: watch::Sender<u64>,
}

impl Feed {
    /// Keeps the last `keep`. `start` tells the numbers of this process from an earlier one's.
    #[must_use]
    pub fn new(keep: usize, start: OffsetDateTime) -> Self {
        let start = start.unix_timestamp();
        let (notes, last) = (Mutex::default(), watch::channel(0).0);
        Self(Arc::new(Shared { start, keep: keep.max(1), notes, last }))
    }

    /// Adds one. Says whether it was not there already.
    pub fn add(&self, note: Note) -> bool {
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.iter().any(|known| known.note.key == note.key) {
            return false;
        }
        let number = *self.0.last.borrow() + 1;
        let id = format!("{}-{number}", self.0.start);
        notes.push_back(Arc::new(Numbered { id, number, note }));
        while notes.len() > self.0.keep {
            notes.pop_front();
        }
        drop(notes);
        self.0.last.send_replace(number);
        true
    }

    /// What came after the notification with this id; everything for one that is not known.
    #[must_use]
    pub fn after(&self, id: Option<&str>) -> Vec<Arc<Numbered>> {
        let read = id.and_then(|id| {
            let (start, number) = id.split_once('-')?;
            (start.parse() == Ok(self.0.start)).then(|| number.parse::<u64>().ok()).flatten()
        });
        let read = read.unwrap_or(0);
        let notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().filter(|note| note.number > read).map(Arc::clone).collect()
    }

    /// Changes with every notification.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }
}

impl Note {
    /// As readers get it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "recipient": self.recipient,
            "message": self.message,
            "notification_type": self.kind,
            "link": self.link,
            "workflow": self.workflow,
            "run": self.run,
            "time": self.time.format(&Rfc3339).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn note(key: &str) -> Note {
        Note {
            recipient: "ann".to_owned(),
            message: key.to_owned(),
            kind: "info".to_owned(),
            link: None,
            workflow: "w".to_owned(),
            run: "r".to_owned(),
            key: key.to_owned(),
            time: datetime!(2026-03-01 12:00 UTC),
        }
    }

    fn keys(notes: &[Arc<Numbered>]) -> Vec<&str> {
        notes.iter().map(|note| note.note.key.as_str()).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let feed = Feed::new(3, datetime!(2026-03-01 12:00 UTC));
        for key in ["a", "b"] {
            assert!(feed.add(note(key)));
        }
        let first = feed.after(None);
        assert_eq!(keys(&first), ["a", "b"]);
        assert!(!feed.add(note("b")), "one attempt more is not told again");
        for key in ["c", "d"] {
            assert!(feed.add(note(key)));
        }
        assert_eq!(keys(&feed.after(Some(&first[1].id))), ["c", "d"]);
        assert_eq!(keys(&feed.after(None)), ["b", "c", "d"], "the oldest has gone");
        assert_eq!(*feed.changes().borrow(), 4);
    }

    #[test]
    fn ids_of_another_process_or_of_nobody_get_everything() {
        let feed = Feed::new(3, datetime!(2026-03-01 12:00 UTC));
        feed.add(note("a"));
        for id in ["", "x", "1-1", "1772366400-", "1772366400-x", "-"] {
            assert_eq!(keys(&feed.after(Some(id))), ["a"], "{id}");
        }
        assert_eq!(keys(&feed.after(Some("1772366400-1"))), [""; 0]);
    }
}
