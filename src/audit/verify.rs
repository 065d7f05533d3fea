//! Walks the whole ledger and says where it is not what it was.

use std::fmt;

use rusqlite::{Connection, Rows};

use super::chain::{Digest, Link, hash};
use super::entry::{AuditEntry, Kind, read_timestamp};
use super::mark::{Mark, MarkKind, PublicKey};

/// Most faults told; a ledger with more is not worth reading on.
const MOST_FAULTS: usize = 100;

/// A place of the chain that is known from elsewhere, such as the application log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor(pub Link);

impl Anchor {
    /// Reads `1000:<64 hex digits>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, hash) = text.split_once(':')?;
        let number = number.parse().ok()?;
        Some(Self(Link { number, hash: Digest::parse(hash)? }))
    }
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Entries are gone, from the first number to the last.
    Missing(u64, u64),
    /// The entry is not the one that was written there.
    Changed(u64),
    /// What finds the entry does not fit what it says.
    Index(u64),
    /// The ledger itself has noted there that it was found damaged.
    Noted(u64),
    /// Something is found under a number that has no entry.
    Orphan(u64),
    /// A mark does not fit the chain.
    Mark(MarkKind, u64),
    /// A mark is not signed, or not by a key at hand.
    Signature(MarkKind, u64),
    /// A row of the marks is none.
    UnknownMark,
    /// There are entries and no head.
    NoHead,
    /// There is nothing at all, not even the head of a ledger that was begun.
    Nothing,
    /// The place that was named is not in the chain.
    Anchor(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(from, to) if from == to => write!(formatter, "entry {from} is missing"),
            Self::Missing(from, to) => write!(formatter, "entries {from} to {to} are missing"),
            Self::Changed(number) => {
                write!(formatter, "entry {number} was changed, or another was put in its place")
            }
            Self::Index(number) => {
                write!(formatter, "entry {number} cannot be found by what it says")
            }
            Self::Noted(number) => {
                write!(formatter, "entry {number} notes that the ledger was found damaged")
            }
            Self::Orphan(number) => {
                write!(formatter, "an object is found under {number}, which is no entry")
            }
            Self::Mark(kind, number) => {
                write!(formatter, "the {} at {number} does not fit the chain", kind.name())
            }
            Self::Signature(kind, number) => write!(
                formatter,
                "the {} at {number} is not signed by a key of the key ring",
                kind.name()
            ),
            Self::UnknownMark => formatter.write_str("a mark was written by somebody else"),
            Self::NoHead => formatter.write_str("the head is missing"),
            Self::Nothing => {
                formatter.write_str("no ledger was ever begun here, or all of it was removed")
            }
            Self::Anchor(number) => {
                write!(formatter, "entry {number} is not the one that was named")
            }
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Entries walked over.
    pub entries: u64,
    /// Where the chain begins: 1, or behind the last cut.
    pub first: u64,
    /// Where it ends.
    pub last: Link,
    /// Checkpoints that fit.
    pub checkpoints: u64,
    /// Whether signatures were checked.
    pub is_signed: bool,
    /// What is wrong, in the order of the entries; the first hundred.
    pub faults: Vec<Fault>,
}

/// The public key of an id, where there is one.
pub type KeyFinder<'a> = &'a dyn Fn(&str) -> Option<PublicKey>;

/// Walks over the ledger. `key` finds the public key with an id; without it no signature is
/// checked, and an end that was cut off by somebody who rewrote the head stays unseen.
///
/// # Errors
/// The store cannot be read.
pub fn verify(
    connection: &Connection,
    key: Option<KeyFinder<'_>>,
    anchor: Option<Anchor>,
) -> rusqlite::Result<Report> {
    let mut walk = Walk::default();
    let marks = walk.read_marks(connection)?;
    walk.check_signatures(&marks, key);
    let cut = marks.iter().rfind(|mark| mark.kind == MarkKind::Cut).map(|mark| mark.link);
    let start = cut.unwrap_or(Link::START);
    let mut checkpoints = marks.iter().filter(|mark| mark.kind == MarkKind::Checkpoint).peekable();

    let mut entries = connection
        .prepare("SELECT number, hash, entry, at, subject FROM audit_entry ORDER BY number")?;
    let mut entries = entries.query([])?;
    let mut objects =
        connection.prepare("SELECT number, object FROM audit_object ORDER BY number, object")?;
    let mut objects = Objects { rows: objects.query([])?, next: None };
    objects.advance()?;

    let mut last = start;
    let mut is_anchored = anchor.is_none_or(|Anchor(link)| link == start);
    while let Some(row) = entries.next()? {
        let found = Found::read(row)?;
        let expected = last.number.saturating_add(1);
        if found.link.number != expected {
            walk.fault(Fault::Missing(expected, found.link.number.saturating_sub(1)));
        } else if hash(last.hash, expected, &found.text) != found.link.hash {
            walk.fault(Fault::Changed(expected));
        }
        // From here on, what is written is believed, so that one fault is one finding.
        last = found.link;
        walk.report.entries += 1;
        let objects = objects.of(last.number, &mut walk)?;
        let entry = AuditEntry::read(&found.text).ok();
        if entry.as_ref().is_some_and(|entry| entry.kind == Kind::Damage) {
            walk.fault(Fault::Noted(last.number));
        }
        if !entry.is_some_and(|entry| found.fits_index(&entry, &objects)) {
            walk.fault(Fault::Index(last.number));
        }
        is_anchored |= anchor.is_some_and(|Anchor(link)| link == last);
        while let Some(mark) = checkpoints.next_if(|mark| mark.link.number <= last.number) {
            let is_before = mark.link.number < start.number || mark.link == start;
            if mark.link == last || is_before {
                walk.report.checkpoints += 1;
            } else {
                walk.fault(Fault::Mark(mark.kind, mark.link.number));
            }
        }
    }
    if objects.next.is_some() {
        objects.of(u64::MAX, &mut walk)?;
    }
    for mark in checkpoints.filter(|mark| mark.link.number > start.number) {
        walk.fault(Fault::Mark(mark.kind, mark.link.number));
    }
    let head = marks.iter().find(|mark| mark.kind == MarkKind::Head).map(|mark| mark.link);
    walk.check_end(last, head, marks.is_empty());
    if let (false, Some(Anchor(link))) = (is_anchored, anchor) {
        walk.fault(Fault::Anchor(link.number));
    }
    walk.report.first = start.number.saturating_add(1);
    walk.report.last = last;
    walk.report.is_signed = key.is_some();
    Ok(walk.report)
}

struct Walk {
    report: Report,
}

impl Default for Walk {
    fn default() -> Self {
        let report = Report {
            entries: 0,
            first: 1,
            last: Link::START,
            checkpoints: 0,
            is_signed: false,
            faults: Vec::new(),
        };
        Self { report }
    }
}

impl Walk {
    fn fault(&mut self, fault: Fault) {
        if self.report.faults.len() < MOST_FAULTS && !self.report.faults.contains(&fault) {
            self.report.faults.push(fault);
        }
    }

    fn read_marks(&mut self, connection: &Connection) -> rusqlite::Result<Vec<Mark>> {
        let sql = "SELECT kind, number, hash, at, key, signature FROM audit_mark ORDER BY number";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut marks = Vec::new();
        while let Some(row) = rows.next()? {
            match Mark::read(row)? {
                Some(mark) => marks.push(mark),
                None => self.fault(Fault::UnknownMark),
            }
        }
        Ok(marks)
    }

    fn check_signatures(&mut self, marks: &[Mark], key: Option<KeyFinder<'_>>) {
        let Some(key) = key else { return };
        for mark in marks {
            let public = mark.signature.as_ref().and_then(|(id, _)| key(id));
            if !public.is_some_and(|public| mark.is_signed_by(&public)) {
                self.fault(Fault::Signature(mark.kind, mark.link.number));
            }
        }
    }

    fn check_end(&mut self, last: Link, head: Option<Link>, is_unmarked: bool) {
        match head {
            None if last == Link::START && is_unmarked => self.fault(Fault::Nothing),
            None => self.fault(Fault::NoHead),
            Some(head) if head.number > last.number => {
                self.fault(Fault::Missing(last.number.saturating_add(1), head.number));
            }
            Some(head) if head != last => self.fault(Fault::Mark(MarkKind::Head, head.number)),
            Some(_) => {}
        }
    }
}

/// A row of the entries.
struct Found {
    link: Link,
    text: String,
    at: i64,
    subject: Option<String>,
}

impl Found {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let hash: Vec<u8> = row.get(1)?;
        let hash = Digest::from_slice(&hash).unwrap_or(Digest::NONE);
        Ok(Self {
            link: Link { number: row.get(0)?, hash },
            text: row.get(2)?,
            at: row.get(3)?,
            subject: row.get(4)?,
        })
    }

    fn fits_index(&self, entry: &AuditEntry, objects: &[String]) -> bool {
        let mut named: Vec<String> = entry.object_names().collect();
        named.sort_unstable();
        named.dedup();
        read_timestamp(&entry.time) == Some(self.at)
            && entry.subject == self.subject
            && named == objects
    }
}

/// The objects of the entries, walked beside them.
struct Objects<'a> {
    rows: Rows<'a>,
    next: Option<(u64, String)>,
}

impl Objects<'_> {
    fn advance(&mut self) -> rusqlite::Result<()> {
        self.next = match self.rows.next()? {
            Some(row) => Some((row.get(0)?, row.get(1)?)),
            None => None,
        };
        Ok(())
    }

    /// Those of one entry. What stands before it belongs to none.
    fn of(&mut self, number: u64, walk: &mut Walk) -> rusqlite::Result<Vec<String>> {
        let mut found = Vec::new();
        while let Some((of, object)) = self.next.take() {
            if of > number {
                self.next = Some((of, object));
                break;
            }
            if of < number {
                walk.fault(Fault::Orphan(of));
            } else {
                found.push(object);
            }
            self.advance()?;
        }
        Ok(found)
    }
}
