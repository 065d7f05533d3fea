//! The byte filter: any chunking gives one result, and what comes out is what a tree would give.

use std::sync::LazyLock;

use fieldgate::policy::Mode;
use fieldgate::policy::plan::{Plan, Purpose};

use super::chunks;
use super::document::Document;
use super::plans::{MASK, filter, path, plan};

/// Where a text with this in it comes out, and every one stood at a hidden or masked place, it leaked.
const CANARY: &str = "CANARY";

/// Of each plan: the records, the default, the entries.
type Words = (&'static str, Mode, &'static [(&'static str, Mode)]);

/// The first is the one with an oracle.
const PLANS: [Words; 6] = [
    ("$", Mode::View, &[("$..secret", Mode::Hidden), ("$..ssn", Mode::Mask)]),
    ("$.a[*]", Mode::Hidden, &[("b", Mode::View), ("a.b", Mode::Mask), ("$[1:].c", Mode::View)]),
    ("$", Mode::Mask, &[("a", Mode::View), ("$.b[0]", Mode::Hidden), ("$..c.*", Mode::Edit)]),
    ("$[*]", Mode::View, &[("$.a[::2]", Mode::Hidden), ("$.*.b", Mode::Mask), ("a.c", Mode::View)]),
    ("$", Mode::View, &[("$.a[?@.b==1]", Mode::Hidden), ("$.c[-1]", Mode::Mask)]),
    ("$.a", Mode::Edit, &[("$[?@.b]..c", Mode::Mask), ("$..a", Mode::Hidden)]),
];

static COMPILED: LazyLock<Vec<Plan>> = LazyLock::new(|| {
    let compile = |(records, default, entries): &Words| {
        let entries = entries.iter().map(|(text, mode)| (path(text), *mode)).collect();
        plan(records, *default, entries, Purpose::Read).expect("these plans are simple")
    };
    PLANS.iter().map(compile).collect()
});

/// First byte: which plan. Second: how the rest, the document, comes in chunks.
pub fn json_filter(bytes: &[u8]) {
    let Some(([number, seed], text)) = bytes.split_first_chunk::<2>() else { return };
    let number = usize::from(*number) % PLANS.len();
    let Some(plan) = COMPILED.get(number) else { return };
    let (whole, end) = filter(plan, [text]);
    for chunks in [chunks(text, *seed), text.chunks(1).collect()] {
        let (out, other) = filter(plan, chunks);
        if end.is_ok() || other.is_ok() {
            assert_eq!((&out, &other), (&whole, &end), "the chunking makes a difference");
        }
        // How much leaves before a refusal may differ, but never what.
        assert!(out.starts_with(&whole) || whole.starts_with(&out), "two outputs disagree");
    }

    let read = Document::read(text);
    let came_out = Document::read(&whole);
    if end.is_ok() {
        assert!(read.is_some(), "accepted what is no JSON");
        assert!(came_out.is_some(), "what came out is no JSON");
    }
    let Some(read) = read.filter(|_| number == 0) else { return };
    let mut changes = Changes::default();
    let expected = changes.apply(&read);
    let tally = end.expect("a document without a fault is accepted");
    assert_eq!(came_out.as_ref(), Some(&expected));
    assert_eq!((tally.removed, tally.replaced), (changes.removed, changes.replaced));
    if changes == Changes::default() {
        assert_eq!(whole, text, "untouched bytes stay as they are");
    }
    if changes.canaries > 0 && changes.canaries == count(text) {
        assert_eq!(count(&whole), 0, "a canary came out");
        check_cut(plan, text, usize::from(*seed));
    }
}

/// The same document, broken off: what left before the fault shows no more than the whole.
fn check_cut(plan: &Plan, text: &[u8], seed: usize) {
    let (beginning, _) = text.split_at(text.len() * seed / 256);
    let (out, end) = filter(plan, [beginning, b"\x01"]);
    assert!(end.is_err());
    assert_eq!(count(&out), 0, "a canary came out of a broken document");
}

fn count(text: &[u8]) -> usize {
    text.windows(CANARY.len()).filter(|window| *window == CANARY.as_bytes()).count()
}

/// What the first plan does to a tree.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    removed: u64,
    replaced: u64,
    canaries: usize,
}

impl Changes {
    fn apply(&mut self, document: &Document) -> Document {
        match document {
            Document::Scalar(_) => document.clone(),
            Document::List(items) => {
                Document::List(items.iter().map(|item| self.apply(item)).collect())
            }
            Document::Object(members) => Document::Object(
                members.iter().filter_map(|(name, value)| self.member(name, value)).collect(),
            ),
        }
    }

    fn member(&mut self, name: &str, value: &Document) -> Option<(String, Document)> {
        let kept = match name {
            "secret" => {
                self.removed += 1;
                self.canaries += canaries(value);
                return None;
            }
            "ssn" => {
                self.replaced += 1;
                self.canaries += canaries(value);
                Document::Scalar(MASK.to_owned())
            }
            _ => self.apply(value),
        };
        Some((name.to_owned(), kept))
    }
}

/// How often the canary stands in the scalars of `document`; names do not matter.
fn canaries(document: &Document) -> usize {
    match document {
        Document::Scalar(text) => count(text.as_bytes()),
        Document::List(items) => items.iter().map(canaries).sum(),
        Document::Object(members) => members.iter().map(|(_, value)| canaries(value)).sum(),
    }
}
