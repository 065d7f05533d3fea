//! Watched values on their way to the observer: those that a chunk cut, and those that lie inside
//! of something that is not walked.

use super::filter::Observer;
use super::navigate::Navigator;
use super::text::unescape;
use super::tokenizer::{Kind, Tokenizer};

/// A value that is copied while it passes, whatever becomes of it in the output.
#[derive(Debug)]
pub(super) struct Tap<S> {
    /// The depth outside of the value.
    pub(super) depth: usize,
    /// The paths that select it.
    pub(super) slots: u128,
    /// Set where places inside of it are told as well, because nobody walks through it.
    pub(super) inside: Option<S>,
    /// Where the value goes on in the current chunk.
    pub(super) from: usize,
    /// What earlier chunks held of it.
    pub(super) copied: Vec<u8>,
    /// It became longer than the limit: nothing is told.
    pub(super) is_too_long: bool,
}

impl<S> Tap<S> {
    pub(super) fn new(depth: usize, slots: u128, inside: Option<S>, from: usize) -> Self {
        Self { depth, slots, inside, from, copied: Vec::new(), is_too_long: false }
    }

    /// Copies what the current chunk holds of the value.
    pub(super) fn copy(&mut self, chunk: &[u8], end: usize, limit: usize) {
        let piece = chunk.get(self.from..end).unwrap_or_default();
        self.from = 0;
        if self.is_too_long || self.copied.len() + piece.len() > limit {
            self.is_too_long = true;
            self.copied = Vec::new();
            return;
        }
        self.copied.extend_from_slice(piece);
    }
}

/// One open container on the way to the current place.
struct Open<S> {
    state: S,
    is_object: bool,
    next_index: u64,
    here: Option<S>,
    start: usize,
    is_record: bool,
}

/// Tells `observer` of every watched place in `raw`, a whole value that stands at `state`.
pub(super) fn observe<N: Navigator>(
    navigator: &N,
    state: &N::State,
    raw: &[u8],
    observer: &mut impl Observer,
) {
    let mut tokenizer = Tokenizer::default();
    if tokenizer.begin_chunk(raw).is_err() {
        return;
    }
    let mut open: Vec<Open<N::State>> = Vec::new();
    // Nobody sees what is appended to a record that is not sent.
    let mut unsent = Vec::new();
    let mut at = 0;
    // The text has been read once before, so it can be read again.
    while let Ok(Some(token)) = tokenizer.next(raw, at) {
        at = token.end;
        match token.kind {
            Kind::Comma | Kind::Colon => {}
            Kind::Name(_) => {
                let Some(parent) = open.last_mut() else { return };
                let quoted = raw.get(token.start..token.end).unwrap_or_default();
                let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
                parent.here = Some(navigator.member(&parent.state, &unescape(inner)));
            }
            Kind::ObjectEnd | Kind::ArrayEnd => {
                let Some(ended) = open.pop() else { return };
                let slots = navigator.verdict(&ended.state).watch.slots;
                if slots != 0 {
                    observer.watched(slots, raw.get(ended.start..token.end).unwrap_or_default());
                }
                if ended.is_record {
                    observer.record_ends(ended.next_index == 0, &mut unsent);
                    unsent.clear();
                }
            }
            Kind::ObjectStart | Kind::ArrayStart => {
                let Some(state) = enter(navigator, state, open.last_mut()) else { return };
                let is_object = token.kind == Kind::ObjectStart;
                let is_record = is_object && navigator.verdict(&state).watch.record;
                if is_record {
                    observer.record_begins(None);
                }
                let start = token.start;
                open.push(Open { state, is_object, next_index: 0, here: None, start, is_record });
            }
            Kind::Text(_) | Kind::Number(_) | Kind::Literal(_) => {
                let Some(state) = enter(navigator, state, open.last_mut()) else { return };
                let slots = navigator.verdict(&state).watch.slots;
                if slots != 0 {
                    observer.watched(slots, raw.get(token.start..token.end).unwrap_or_default());
                }
            }
        }
    }
}

/// The place of the value that begins now.
fn enter<N: Navigator>(
    navigator: &N,
    root: &N::State,
    parent: Option<&mut Open<N::State>>,
) -> Option<N::State> {
    let Some(parent) = parent else { return Some(root.clone()) };
    let index = parent.next_index;
    parent.next_index += 1;
    if parent.is_object {
        return parent.here.take();
    }
    Some(navigator.element(&parent.state, index))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Refusal;
    use super::super::automaton::{Automaton, Found, Groups, Judge, Pattern, Ruling};
    use super::super::filter::{Filter, FilterLimits, Replacer};
    use super::super::navigate::{Action, Slot, Verdict, Watch};
    use super::super::path::FieldPath;
    use super::*;

    /// What a path of a case stands for.
    #[derive(Clone, Copy)]
    enum Means {
        Record,
        Watch,
        Do(Action),
    }

    struct Meanings(Vec<Means>, bool);

    impl Judge for Meanings {
        type Context = ();

        fn outset(&self) {}

        fn judge(&self, (): &(), found: &Found) -> Ruling<()> {
            let bit = |id: &usize| match self.0[*id] {
                Means::Watch => 1_u128 << id,
                Means::Record | Means::Do(_) => 0,
            };
            let record = found.accepted.iter().any(|id| matches!(self.0[*id], Means::Record));
            let action = found.accepted.iter().find_map(|id| match self.0[*id] {
                Means::Do(action) => Some(action),
                Means::Record | Means::Watch => None,
            });
            let mut verdict = Verdict::both(action.unwrap_or(Action::Keep));
            verdict.holds = record && self.1;
            verdict.watch = Watch {
                slots: found.accepted.iter().map(bit).sum(),
                below: verdict.container != Action::Keep,
                record,
            };
            Ruling { context: (), verdict, live_groups: Groups::ALL }
        }
    }

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Observer for Seen {
        fn record_begins(&mut self, _at: Option<usize>) {
            self.0.push("(".to_owned());
        }

        fn watched(&mut self, slots: u128, raw: &[u8]) {
            self.0.push(format!("{slots}:{}", std::str::from_utf8(raw).unwrap()));
        }

        fn record_ends(&mut self, is_empty: bool, out: &mut Vec<u8>) {
            out.extend_from_slice(if is_empty { b"\"_s\":1" } else { b",\"_s\":1" });
            self.0.push(")".to_owned());
        }
    }

    struct Stars;

    impl Replacer for Stars {
        fn replace(&mut self, _slot: Slot, _raw: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
            out.extend_from_slice(b"\"*\"");
            Ok(())
        }
    }

    /// Filters in chunks of every size: what is seen and what is sent must always be the same.
    #[track_caller]
    fn check(rules: &[(&str, Means)], text: &str, seen: &[&str], sent: &str) {
        let paths: Vec<_> = rules.iter().map(|(path, _)| FieldPath::parse(path).unwrap()).collect();
        let holds = paths.iter().any(FieldPath::needs_whole_record);
        let patterns = paths.iter().map(|path| (Pattern::new(path), 0)).collect();
        let meanings = Meanings(rules.iter().map(|(_, means)| *means).collect(), holds);
        let automaton = Arc::new(Automaton::compile(patterns, meanings).unwrap());
        let limits = FilterLimits { replaced_value: 64, held_value: 64 };
        for size in 1..=text.len() {
            let mut filter =
                Filter::observed(Arc::clone(&automaton), Stars, Seen::default(), limits);
            let mut out = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                filter.push(chunk, &mut out).unwrap();
            }
            filter.finish(&mut out).unwrap();
            assert_eq!(filter.observer().0, seen, "chunks of {size}: {text}");
            assert_eq!(String::from_utf8(out).unwrap(), sent, "chunks of {size}: {text}");
        }
    }

    const HIDE: Means = Means::Do(Action::Remove);
    const MASK: Means = Means::Do(Action::Replace(Slot(0)));

    #[test]
    fn values_are_told_as_they_came_whatever_becomes_of_them() {
        let text = r#"{"a":12 ,"b":"x\u0041","c":[1, {"d":null}],"e":{}}"#;
        let watch = [("$.a", Means::Watch), ("$.b", Means::Watch), ("$.c", Means::Watch)];
        let seen = ["1:12", r#"2:"x\u0041""#, r#"4:[1, {"d":null}]"#];
        check(&watch, text, &seen, text);
        let mut hidden = watch.to_vec();
        hidden.extend([("$.a", HIDE), ("$.b", MASK), ("$.c", HIDE)]);
        check(&hidden, text, &seen, r#"{ "b":"*","e":{}}"#);
    }

    #[test]
    fn places_inside_of_removed_and_replaced_values_are_told() {
        let text = r#"{"o":{"e":[true,"y"],"f":3},"p":{"q":{"e":4}}}"#;
        let rules = [("$..e", Means::Watch), ("$.o", HIDE), ("$.p", MASK), ("$.o.f", Means::Watch)];
        check(&rules, text, &[r#"1:[true,"y"]"#, "8:3", "1:4"], r#"{"p":"*"}"#);
        let nested = [("$.o", Means::Watch), ("$.o.e[*]", Means::Watch), ("$.o.f", HIDE)];
        check(
            &nested,
            text,
            &["2:true", r#"2:"y""#, r#"1:{"e":[true,"y"],"f":3}"#],
            r#"{"o":{"e":[true,"y"]},"p":{"q":{"e":4}}}"#,
        );
    }

    #[test]
    fn members_are_appended_to_records() {
        let rules = [("$[*]", Means::Record), ("$[*].id", Means::Watch), ("$[*].x", HIDE)];
        check(
            &rules,
            r#"[{"id":1, "x":2 }, {"x":3} ,{},7]"#,
            &["(", "2:1", ")", "(", ")", "(", ")"],
            r#"[{"id":1 ,"_s":1}, {"_s":1} ,{"_s":1},7]"#,
        );
        let all_hidden = [("$[*]", Means::Record), ("$[*].id", Means::Watch), ("$[*]", HIDE)];
        check(&all_hidden, r#"[{"id":1},{}]"#, &["(", "2:1", ")", "(", ")"], "[]");
    }

    #[test]
    fn held_records_are_observed_too() {
        let rules = [("$", Means::Record), ("$.n[?@.a==1].b", MASK), ("$.n[*].b", Means::Watch)];
        check(
            &rules,
            r#"{"n":[{"a":1,"b":2},{"b":3}]}"#,
            &["(", "4:2", "4:3", ")"],
            r#"{"n":[{"a":1,"b":"*"},{"b":3}],"_s":1}"#,
        );
    }

    #[test]
    fn values_beyond_the_limit_are_not_told_and_sent_all_the_same() {
        let text = format!(r#"{{"a":["{}"],"b":1}}"#, "x".repeat(80));
        check(&[("$.a", Means::Watch), ("$.b", Means::Watch)], &text, &["2:1"], &text);
    }
}
