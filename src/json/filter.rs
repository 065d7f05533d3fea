//! The splicing filter: chunks in, filtered chunks out.
//!
//! One pass over the text finds the values that the navigator names and removes or replaces them;
//! every other byte leaves as it came. Any chunking gives the same bytes. Memory is bounded by the
//! depth and by the longest value that is replaced or held, never by the document.

use super::Refusal;
use super::navigate::{Action, Navigator, Note, Slot};
use super::observe::{Tap, observe};
use super::text;
use super::tokenizer::{Child, Kind, Piece, Token, Tokenizer};

/// Bounds on what the filter keeps in memory.
#[derive(Debug, Clone, Copy)]
pub struct FilterLimits {
    /// Longest value that is replaced.
    pub replaced_value: usize,
    /// Longest value that is held to be decided.
    pub held_value: usize,
}

/// Longest member name, with the comma before it and the white space around it.
const NAME_LIMIT: usize = 64 * 1024;

/// Containers inside each other that there is room for from the start.
const USUAL_DEPTH: usize = 8;

/// Room for notes is made for so many at once.
const USUAL_NOTES: usize = 32;

/// Room for a captured value is made for so many bytes at once.
const USUAL_CAPTURE: usize = 256;

/// Makes the replacement of a value.
pub trait Replacer {
    /// Appends one JSON value to `out`, in place of `raw`: a scalar as it was written, or a
    /// container without white space between its tokens.
    fn replace(&mut self, slot: Slot, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// The values that come next stand in this record, which was held whole.
    fn record_begins(&mut self, _raw: &[u8]) {}

    /// That record has ended.
    fn record_ends(&mut self) {}
}

/// Is told what the filter comes by. What it learns has not been filtered, so it must go nowhere
/// without a filter of its own.
pub trait Observer {
    /// A record begins. In the output of this chunk it stands from `at` on, where it is sent.
    fn record_begins(&mut self, _at: Option<usize>) {}

    /// A watched place has this value, as it came; `slots` tells which paths select it. A value
    /// longer than the limit is not told.
    fn watched(&mut self, _slots: u128, _raw: &[u8]) {}

    /// A record ends: its closing bracket is what comes next in `out`. Members may be appended
    /// now, each with a comma before it but the first where the record `is_empty`.
    fn record_ends(&mut self, _is_empty: bool, _out: &mut Vec<u8>) {}
}

/// Nobody looks.
impl Observer for () {}

/// Somebody may look.
impl<O: Observer> Observer for Option<O> {
    fn record_begins(&mut self, at: Option<usize>) {
        if let Some(observer) = self {
            observer.record_begins(at);
        }
    }

    fn watched(&mut self, slots: u128, raw: &[u8]) {
        if let Some(observer) = self {
            observer.watched(slots, raw);
        }
    }

    fn record_ends(&mut self, is_empty: bool, out: &mut Vec<u8>) {
        if let Some(observer) = self {
            observer.record_ends(is_empty, out);
        }
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn record_begins(&mut self, at: Option<usize>) {
        (**self).record_begins(at);
    }

    fn watched(&mut self, slots: u128, raw: &[u8]) {
        (**self).watched(slots, raw);
    }

    fn record_ends(&mut self, is_empty: bool, out: &mut Vec<u8>) {
        (**self).record_ends(is_empty, out);
    }
}

/// What the filter did so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Values replaced.
    pub replaced: u64,
    /// Members and elements removed.
    pub removed: u64,
    /// How often each [`Note`] was met, by its number; those never met may be missing at the end.
    pub notes: Vec<u64>,
}

impl Tally {
    #[inline]
    fn note(&mut self, note: Note) {
        let Some(number) = note.number() else { return };
        if number >= self.notes.len() {
            self.notes.resize((number + 1).next_multiple_of(USUAL_NOTES), 0);
        }
        if let Some(count) = self.notes.get_mut(number) {
            *count += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.replaced += other.replaced;
        self.removed += other.removed;
        if self.notes.len() < other.notes.len() {
            self.notes.resize(other.notes.len(), 0);
        }
        for (count, more) in self.notes.iter_mut().zip(&other.notes) {
            *count += more;
        }
    }
}

/// One open container on the way to the current place.
#[derive(Debug)]
struct Frame<S> {
    state: S,
    is_object: bool,
    next_index: u64,
    /// Whether a child has been kept, so that the next one needs a comma before it.
    has_kept: bool,
    /// The observer is told when it ends.
    is_record: bool,
}

/// What happens to the bytes that come.
#[derive(Debug)]
enum Mode {
    /// Children are asked about.
    Walk,
    /// Inside a container that is kept whole; it was opened at this depth.
    Keep { depth: usize },
    /// Inside a value that disappears.
    Remove { depth: usize },
    /// Inside a value that will be replaced.
    Replace { depth: usize, slot: Slot },
    /// Inside a value that is held with its white space.
    Hold { depth: usize },
}

/// The filter of one document. See the module.
#[derive(Debug)]
pub struct Filter<N: Navigator, R, O = ()> {
    navigator: N,
    replacer: R,
    observer: O,
    limits: FilterLimits,
    tokenizer: Tokenizer,
    frames: Vec<Frame<N::State>>,
    mode: Mode,
    /// The place of the value that comes next, known once its name or index is.
    here: Option<N::State>,
    /// A comma, a name and white space whose value is not decided yet, from earlier chunks.
    undecided: Vec<u8>,
    /// Whether the undecided bytes begin with a comma.
    undecided_comma: bool,
    /// A name that a chunk cut, with its quotes.
    name: Vec<u8>,
    /// Whether the place between two values is open: the value that comes is not decided yet.
    is_undecided: bool,
    /// The value that is being replaced or held, from earlier chunks or compacted.
    captured: Vec<u8>,
    /// Watched values that have begun and not ended, outermost first.
    taps: Vec<Tap<N::State>>,
    tally: Tally,
}

/// Where the bytes of the current chunk stand.
struct Cursor<'a, 'o> {
    chunk: &'a [u8],
    out: &'o mut Vec<u8>,
    /// Everything before has been written or dropped.
    done: usize,
    /// Start of the bytes whose value is not decided yet.
    undecided: Option<usize>,
}

impl<'a> Cursor<'a, '_> {
    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.chunk.get(start..end).unwrap_or_default()
    }

    /// A name, its comma and the white space around it are bounded. Checked where the value
    /// begins, so that the chunking makes no difference; `earlier` bytes came in earlier chunks.
    #[inline]
    fn check_undecided(&self, value: usize, earlier: usize) -> Result<(), Refusal> {
        let here = value - self.undecided.unwrap_or(value);
        if earlier + here > NAME_LIMIT { Err(Refusal::NameTooLong) } else { Ok(()) }
    }

    /// Writes what is kept before `end`.
    fn write_until(&mut self, end: usize) {
        let kept = self.slice(self.done, end);
        self.out.extend_from_slice(kept);
        self.done = end;
    }
}

impl<N: Navigator, R: Replacer> Filter<N, R> {
    /// A filter for one document that nobody observes.
    pub fn new(navigator: N, replacer: R, limits: FilterLimits) -> Self {
        Self::observed(navigator, replacer, (), limits)
    }
}

impl<N: Navigator, R: Replacer, O: Observer> Filter<N, R, O> {
    /// A filter for one document whose watched places `observer` is told of.
    pub fn observed(navigator: N, replacer: R, observer: O, limits: FilterLimits) -> Self {
        let here = Some(navigator.root());
        Self {
            navigator,
            replacer,
            observer,
            limits,
            tokenizer: Tokenizer::default(),
            frames: Vec::with_capacity(USUAL_DEPTH),
            mode: Mode::Walk,
            here,
            undecided: Vec::new(),
            is_undecided: false,
            undecided_comma: false,
            name: Vec::new(),
            captured: Vec::new(),
            taps: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Who makes the replacements.
    pub fn replacer(&mut self) -> &mut R {
        &mut self.replacer
    }

    /// Who is told of watched places.
    pub fn observer(&mut self) -> &mut O {
        &mut self.observer
    }

    /// Takes the next chunk and appends what may leave to `out`.
    ///
    /// # Errors
    /// Refuses at the first byte that cannot be part of an acceptable document. What was appended
    /// before is filtered, but the document is not; after a refusal the filter is of no use.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.tokenizer.begin_chunk(chunk)?;
        let undecided = self.is_undecided.then_some(0);
        let mut cursor = Cursor { chunk, out, done: 0, undecided };
        let mut at = 0;
        loop {
            at = self.children(&mut cursor, at)?;
            let Some(token) = self.tokenizer.next(chunk, at)? else { break };
            at = token.end;
            self.act(&mut cursor, token)?;
            while let Some(tap) = self.taps.last()
                && self.ends_value(token, tap.depth)
            {
                self.end_tap(&cursor, token.end);
            }
        }
        self.end_chunk(&mut cursor)
    }

    /// Takes children of the innermost container for as long as they come whole, and answers where
    /// the next token begins.
    #[inline]
    fn children(&mut self, cursor: &mut Cursor, from: usize) -> Result<usize, Refusal> {
        let mut at = from;
        // A value that is being copied ends at a token, and so does what another chunk began.
        if !self.taps.is_empty() || !self.undecided.is_empty() {
            return Ok(at);
        }
        match self.mode {
            Mode::Walk => {
                while matches!(self.mode, Mode::Walk)
                    && self.taps.is_empty()
                    && !self.frames.is_empty()
                    && let Some(child) = self.tokenizer.child(cursor.chunk, at)
                {
                    at = child.value.end;
                    self.walk_child(cursor, &child)?;
                }
            }
            Mode::Keep { .. } | Mode::Remove { .. } | Mode::Hold { .. } => {
                at = self.tokenizer.pass_children(cursor.chunk, at);
            }
            Mode::Replace { .. } => {
                while let Some(child) = self.tokenizer.child(cursor.chunk, at) {
                    at = child.value.end;
                    self.capture_child(cursor, &child)?;
                }
            }
        }
        Ok(at)
    }

    #[inline]
    fn walk_child(&mut self, cursor: &mut Cursor, child: &Child) -> Result<(), Refusal> {
        let Some(frame) = self.frames.last_mut() else { return Err(Refusal::InvalidJson) };
        if child.has_comma {
            cursor.undecided = Some(child.start);
            self.undecided_comma = true;
        }
        cursor.check_undecided(child.value.start, 0)?;
        let state = if let Some((start, end)) = child.name {
            self.navigator.member(&frame.state, cursor.slice(start, end))
        } else {
            let index = frame.next_index;
            frame.next_index += 1;
            self.navigator.element(&frame.state, index)
        };
        match child.value.kind {
            Kind::ObjectStart => self.container(cursor, child.value, true, state),
            Kind::ArrayStart => self.container(cursor, child.value, false, state),
            // Nothing to write now and nothing to remember: the bytes leave with what follows.
            _ if frame.has_kept && self.navigator.passes(&state) => {
                cursor.undecided = None;
                Ok(())
            }
            Kind::Text(piece) | Kind::Number(piece) | Kind::Literal(piece) => {
                self.scalar(cursor, child.value, piece, &state)
            }
            Kind::ObjectEnd | Kind::ArrayEnd | Kind::Comma | Kind::Colon | Kind::Name(_) => {
                Err(Refusal::InvalidJson)
            }
        }
    }

    /// Captures a child without its white space.
    fn capture_child(&mut self, cursor: &Cursor, child: &Child) -> Result<(), Refusal> {
        if child.is_compact() {
            return self.capture(cursor.slice(child.start, child.value.end));
        }
        if child.has_comma {
            self.capture(b",")?;
        }
        if let Some((start, end)) = child.name {
            self.capture(cursor.slice(start - 1, end + 1))?;
            self.capture(b":")?;
        }
        self.capture(cursor.slice(child.value.start, child.value.end))
    }

    fn act(&mut self, cursor: &mut Cursor, token: Token) -> Result<(), Refusal> {
        match self.mode {
            Mode::Walk => self.walk(cursor, token)?,
            Mode::Keep { depth } => {
                if self.ends_value(token, depth) {
                    self.mode = Mode::Walk;
                }
            }
            Mode::Remove { depth } => {
                if self.ends_value(token, depth) {
                    self.mode = Mode::Walk;
                    cursor.done = token.end;
                }
            }
            Mode::Replace { depth, slot } => {
                let ends = self.ends_value(token, depth);
                self.capture(cursor.slice(token.start, token.end))?;
                if ends {
                    self.replace_captured(cursor, slot, token.end)?;
                }
            }
            Mode::Hold { depth } => {
                if self.ends_value(token, depth) {
                    self.decide_held(cursor, token.end)?;
                }
            }
        }
        Ok(())
    }

    /// Says that the document has ended.
    ///
    /// # Errors
    /// Refuses a document that is not complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.tokenizer.finish()?;
        // A number at the top level has no byte behind it that could end it.
        if let Mode::Replace { slot, .. } = self.mode {
            let mut cursor = Cursor { chunk: &[], out, done: 0, undecided: None };
            self.replace_captured(&mut cursor, slot, 0)?;
        }
        Ok(())
    }

    /// Keeps what the next chunk will need and writes the rest.
    fn end_chunk(&mut self, cursor: &mut Cursor) -> Result<(), Refusal> {
        let end = cursor.chunk.len();
        self.is_undecided = cursor.undecided.is_some();
        for tap in &mut self.taps {
            tap.copy(cursor.chunk, end, self.limits.held_value);
        }
        match self.mode {
            Mode::Walk => {
                if let Some(start) = cursor.undecided {
                    cursor.write_until(start.max(cursor.done));
                    let rest = cursor.slice(cursor.done, end);
                    if self.undecided.len() + rest.len() > NAME_LIMIT {
                        return Err(Refusal::NameTooLong);
                    }
                    self.undecided.extend_from_slice(rest);
                } else {
                    cursor.write_until(end);
                }
            }
            Mode::Keep { .. } => cursor.write_until(end),
            // A replaced value was captured token by token.
            Mode::Remove { .. } | Mode::Replace { .. } => {}
            Mode::Hold { .. } => {
                let rest = cursor.slice(cursor.done, end);
                self.hold(rest)?;
            }
        }
        Ok(())
    }

    /// Whether `token` is the last of the value that was entered at `depth`.
    fn ends_value(&self, token: Token, depth: usize) -> bool {
        self.tokenizer.depth() == depth
            && match token.kind {
                Kind::ObjectEnd | Kind::ArrayEnd => true,
                Kind::Text(piece) | Kind::Number(piece) | Kind::Literal(piece) => piece.last,
                Kind::ObjectStart
                | Kind::ArrayStart
                | Kind::Comma
                | Kind::Colon
                | Kind::Name(_) => false,
            }
    }

    fn walk(&mut self, cursor: &mut Cursor, token: Token) -> Result<(), Refusal> {
        match token.kind {
            Kind::Comma => {
                cursor.undecided = Some(token.start);
                self.undecided_comma = true;
            }
            Kind::Colon => {}
            Kind::Name(piece) => self.name_piece(cursor, token, piece)?,
            Kind::Text(piece) | Kind::Number(piece) | Kind::Literal(piece) => {
                if piece.first {
                    let state = self.enter(cursor, token)?;
                    self.scalar(cursor, token, piece, &state)?;
                }
            }
            Kind::ObjectStart | Kind::ArrayStart => {
                let state = self.enter(cursor, token)?;
                self.container(cursor, token, token.kind == Kind::ObjectStart, state)?;
            }
            Kind::ObjectEnd | Kind::ArrayEnd => {
                // Whatever was undecided is white space before the bracket.
                self.write_undecided(cursor, false);
                if let Some(frame) = self.frames.pop()
                    && frame.is_record
                {
                    cursor.write_until(token.start);
                    self.observer.record_ends(!frame.has_kept, cursor.out);
                }
            }
        }
        Ok(())
    }

    fn name_piece(&mut self, cursor: &Cursor, token: Token, piece: Piece) -> Result<(), Refusal> {
        let Some(frame) = self.frames.last() else { return Err(Refusal::InvalidJson) };
        let bytes = cursor.slice(token.start, token.end);
        if piece.first && piece.last {
            let inner = bytes.get(1..bytes.len() - 1).unwrap_or_default();
            self.here = Some(if piece.escaped {
                self.navigator.member(&frame.state, &text::unescape(inner))
            } else {
                self.navigator.member(&frame.state, inner)
            });
            return Ok(());
        }
        if self.name.len() + bytes.len() > NAME_LIMIT {
            return Err(Refusal::NameTooLong);
        }
        self.name.extend_from_slice(bytes);
        if piece.last {
            let inner = self.name.get(1..self.name.len() - 1).unwrap_or_default();
            self.here = Some(self.navigator.member(&frame.state, &text::unescape(inner)));
            self.name.clear();
        }
        Ok(())
    }

    /// The place of the value that begins with `token`.
    fn enter(&mut self, cursor: &Cursor, token: Token) -> Result<N::State, Refusal> {
        cursor.check_undecided(token.start, self.undecided.len())?;
        match self.frames.last_mut() {
            Some(frame) if !frame.is_object => {
                let index = frame.next_index;
                frame.next_index += 1;
                Ok(self.navigator.element(&frame.state, index))
            }
            _ => self.here.take().ok_or(Refusal::InvalidJson),
        }
    }

    fn scalar(
        &mut self,
        cursor: &mut Cursor,
        token: Token,
        piece: Piece,
        state: &N::State,
    ) -> Result<(), Refusal> {
        let depth = self.tokenizer.depth();
        let verdict = self.navigator.verdict(state);
        self.tally.note(verdict.scalar_note);
        if verdict.watch.slots != 0 {
            if piece.last {
                let raw = cursor.slice(token.start, token.end);
                self.observer.watched(verdict.watch.slots, raw);
            } else {
                self.taps.push(Tap::new(depth, verdict.watch.slots, None, token.start));
            }
        }
        match verdict.scalar {
            Action::Keep => self.keep_child(cursor),
            Action::Remove => {
                self.remove_child(cursor, token.start);
                if piece.last {
                    cursor.done = token.end;
                } else {
                    self.mode = Mode::Remove { depth };
                }
            }
            Action::Replace(slot) => {
                self.keep_child(cursor);
                cursor.write_until(token.start);
                if piece.last {
                    let raw = cursor.slice(token.start, token.end);
                    self.replace(cursor.out, slot, raw)?;
                    cursor.done = token.end;
                } else {
                    self.capture(cursor.slice(token.start, token.end))?;
                    self.mode = Mode::Replace { depth, slot };
                }
            }
        }
        Ok(())
    }

    fn container(
        &mut self,
        cursor: &mut Cursor,
        token: Token,
        is_object: bool,
        state: N::State,
    ) -> Result<(), Refusal> {
        // The bracket has been read, so the depth outside of it is one less.
        let depth = self.tokenizer.depth() - 1;
        let verdict = self.navigator.verdict(&state);
        self.tally.note(verdict.container_note);
        let is_walked = verdict.container == Action::Keep;
        let is_watched = verdict.watch.slots != 0 || (verdict.watch.below && !is_walked);
        if is_watched && !(is_walked && verdict.holds) {
            let inside = (!is_walked).then(|| state.clone());
            self.taps.push(Tap::new(depth, verdict.watch.slots, inside, token.start));
        }
        match verdict.container {
            Action::Keep if verdict.holds => {
                self.keep_child(cursor);
                cursor.write_until(token.start);
                self.here = Some(state);
                self.mode = Mode::Hold { depth };
            }
            Action::Keep => {
                self.keep_child(cursor);
                if self.navigator.is_inert(&state) {
                    self.mode = Mode::Keep { depth };
                } else {
                    let is_record = is_object && verdict.watch.record;
                    if is_record {
                        cursor.write_until(token.start);
                        self.observer.record_begins(Some(cursor.out.len()));
                    }
                    self.frames.push(Frame {
                        state,
                        is_object,
                        next_index: 0,
                        has_kept: false,
                        is_record,
                    });
                    cursor.undecided = Some(token.end);
                    self.undecided_comma = false;
                }
            }
            Action::Remove => {
                self.remove_child(cursor, token.start);
                self.mode = Mode::Remove { depth };
            }
            Action::Replace(slot) => {
                self.keep_child(cursor);
                cursor.write_until(token.start);
                self.capture(cursor.slice(token.start, token.end))?;
                self.mode = Mode::Replace { depth, slot };
            }
        }
        Ok(())
    }

    /// The value that begins now is kept, in some form: so are its comma and its name.
    fn keep_child(&mut self, cursor: &mut Cursor) {
        let first = self.frames.last_mut().is_some_and(|frame| {
            let first = !frame.has_kept;
            frame.has_kept = true;
            first
        });
        self.write_undecided(cursor, first && self.undecided_comma);
    }

    /// Writes undecided bytes of earlier chunks; those of this chunk are kept by not dropping
    /// them. `without_comma` leaves out the comma they begin with.
    fn write_undecided(&mut self, cursor: &mut Cursor, without_comma: bool) {
        let skip = usize::from(without_comma);
        if self.undecided.is_empty() {
            if without_comma && let Some(start) = cursor.undecided {
                cursor.write_until(start);
                cursor.done = start + skip;
            }
        } else {
            cursor.out.extend_from_slice(self.undecided.get(skip..).unwrap_or_default());
            self.undecided.clear();
        }
        cursor.undecided = None;
    }

    /// The value that begins at `start` disappears with its comma and its name.
    fn remove_child(&mut self, cursor: &mut Cursor, start: usize) {
        self.tally.removed += 1;
        if self.undecided.is_empty() {
            cursor.write_until(cursor.undecided.unwrap_or(start));
        }
        self.undecided.clear();
        cursor.undecided = None;
        cursor.done = start;
        if self.frames.is_empty() {
            // A document cannot disappear.
            cursor.out.extend_from_slice(b"null");
        }
    }

    /// Tells of the watched value that ends at `end` of this chunk.
    fn end_tap(&mut self, cursor: &Cursor, end: usize) {
        let Some(mut tap) = self.taps.pop() else { return };
        let raw = if tap.copied.is_empty() && !tap.is_too_long {
            cursor.slice(tap.from, end)
        } else {
            tap.copy(cursor.chunk, end, self.limits.held_value);
            &tap.copied
        };
        if tap.is_too_long || raw.len() > self.limits.held_value {
            return;
        }
        match &tap.inside {
            Some(state) => observe(&self.navigator, state, raw, &mut self.observer),
            None => self.observer.watched(tap.slots, raw),
        }
    }

    fn capture(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.captured.len() + bytes.len() > self.limits.replaced_value {
            return Err(Refusal::ValueTooLong);
        }
        if self.captured.capacity() == 0 {
            self.captured.reserve(USUAL_CAPTURE);
        }
        self.captured.extend_from_slice(bytes);
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.captured.len() + bytes.len() > self.limits.held_value {
            return Err(Refusal::RecordTooLong);
        }
        self.captured.extend_from_slice(bytes);
        Ok(())
    }

    fn replace(&mut self, out: &mut Vec<u8>, slot: Slot, raw: &[u8]) -> Result<(), Refusal> {
        if raw.len() > self.limits.replaced_value {
            return Err(Refusal::ValueTooLong);
        }
        self.tally.replaced += 1;
        self.replacer.replace(slot, raw, out)
    }

    fn replace_captured(
        &mut self,
        cursor: &mut Cursor,
        slot: Slot,
        end: usize,
    ) -> Result<(), Refusal> {
        let mut raw = std::mem::take(&mut self.captured);
        self.replace(cursor.out, slot, &raw)?;
        raw.clear();
        self.captured = raw;
        self.mode = Mode::Walk;
        cursor.done = end;
        Ok(())
    }

    /// Filters the value that was held, which ends at `end` of this chunk.
    fn decide_held(&mut self, cursor: &mut Cursor, end: usize) -> Result<(), Refusal> {
        let rest = cursor.slice(cursor.done, end);
        self.hold(rest)?;
        let raw = std::mem::take(&mut self.captured);
        let state = self.here.take().ok_or(Refusal::InvalidJson)?;
        self.replacer.record_begins(&raw);
        let tally = self.navigator.filter_held(
            &state,
            &raw,
            self.limits,
            &mut self.replacer,
            &mut self.observer,
            cursor.out,
        )?;
        self.replacer.record_ends();
        self.tally.add(&tally);
        self.mode = Mode::Walk;
        cursor.done = end;
        Ok(())
    }
}

impl<R: Replacer + ?Sized> Replacer for &mut R {
    fn replace(&mut self, slot: Slot, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        (**self).replace(slot, raw, out)
    }

    fn record_begins(&mut self, raw: &[u8]) {
        (**self).record_begins(raw);
    }

    fn record_ends(&mut self) {
        (**self).record_ends();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::automaton::{Automaton, Found, Groups, Judge, Pattern, Ruling};
    use super::super::navigate::Verdict;
    use super::super::path::FieldPath;
    use super::*;

    /// Every pattern stands for one action; the last that selects a place wins.
    struct Actions(Vec<Action>, bool);

    impl Judge for Actions {
        type Context = bool;

        fn outset(&self) -> bool {
            true
        }

        fn judge(&self, above_root: &bool, found: &Found) -> Ruling<bool> {
            let action = found.accepted.last().map_or(Action::Keep, |id| self.0[*id]);
            let holds = *above_root && self.1;
            let verdict = Verdict { holds, ..Verdict::both(action) };
            Ruling { context: false, verdict, live_groups: Groups::ALL }
        }
    }

    struct Stars;

    impl Replacer for Stars {
        fn replace(&mut self, slot: Slot, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
            out.extend_from_slice(format!("<{}:", slot.0).as_bytes());
            out.extend_from_slice(raw);
            out.push(b'>');
            Ok(())
        }
    }

    const LIMITS: FilterLimits = FilterLimits { replaced_value: 64, held_value: 128 };
    const MASK: Action = Action::Replace(Slot(7));

    fn run(rules: &[(&str, Action)], text: &[u8], size: usize) -> Result<String, Refusal> {
        let paths: Vec<_> = rules.iter().map(|(path, _)| FieldPath::parse(path).unwrap()).collect();
        let holds = paths.iter().any(FieldPath::needs_whole_record);
        let patterns = paths.iter().map(|path| (Pattern::new(path), 0)).collect();
        let actions = rules.iter().map(|(_, action)| *action).collect();
        let automaton = Automaton::compile(patterns, Actions(actions, holds)).unwrap();
        let mut filter = Filter::new(Arc::new(automaton), Stars, LIMITS);
        let mut out = Vec::new();
        for chunk in text.chunks(size) {
            filter.push(chunk, &mut out)?;
        }
        filter.finish(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[track_caller]
    fn check(rules: &[(&str, Action)], text: &str, expect: Result<&str, Refusal>) {
        for size in 1..=text.len().max(1) {
            let found = run(rules, text.as_bytes(), size);
            assert_eq!(found.as_deref(), expect.as_deref(), "chunks of {size}: {text}");
        }
    }

    #[test]
    fn untouched_text_keeps_every_byte() {
        for text in [
            r#" {"a" : [ 1.10 ,9007199254740993, 1e400,-0 ] , "b":{ } ,"c":[ ],"d":"\u00e9é\/"} "#,
            "12",
            " null ",
            r#""text""#,
            "[]",
        ] {
            check(&[("nothing", MASK)], text, Ok(text));
        }
    }

    #[test]
    fn hidden_members_take_the_right_commas_along() {
        let hide = |names: &[&'static str]| -> Vec<(&str, Action)> {
            names.iter().map(|name| (*name, Action::Remove)).collect()
        };
        let text = r#"{ "a" : 1 , "b" : [2] , "c" : {"x":3} }"#;
        check(&hide(&["a"]), text, Ok(r#"{  "b" : [2] , "c" : {"x":3} }"#));
        check(&hide(&["b"]), text, Ok(r#"{ "a" : 1  , "c" : {"x":3} }"#));
        check(&hide(&["c"]), text, Ok(r#"{ "a" : 1 , "b" : [2]  }"#));
        check(&hide(&["a", "b"]), text, Ok(r#"{   "c" : {"x":3} }"#));
        check(&hide(&["a", "c"]), text, Ok(r#"{  "b" : [2]  }"#));
        check(&hide(&["b", "c"]), text, Ok(r#"{ "a" : 1   }"#));
        check(&hide(&["a", "b", "c"]), text, Ok("{   }"));
        check(&hide(&["c.x"]), text, Ok(r#"{ "a" : 1 , "b" : [2] , "c" : {} }"#));
        check(&[("$.b[0]", Action::Remove)], r#"{"b":[1,2,3]}"#, Ok(r#"{"b":[2,3]}"#));
        check(&[("$[1:]", Action::Remove)], "[1 , 2 , 3]", Ok("[1  ]"));
        check(&[("$[*]", Action::Remove)], "[1,[2],{}]", Ok("[]"));
        check(&[("$", Action::Remove)], r#" {"a":1}"#, Ok(" null"));
        check(&[("$", Action::Remove)], "12", Ok("null"));
    }

    #[test]
    fn replaced_values_come_whole_and_compact() {
        check(&[("a", MASK)], r#"{"a":"x\"y","b":1}"#, Ok(r#"{"a":<7:"x\"y">,"b":1}"#));
        check(&[("a", MASK)], r#"{"a":[ 1, {"b": "c d"} ] }"#, Ok(r#"{"a":<7:[1,{"b":"c d"}]> }"#));
        check(
            &[("$..a", MASK)],
            r#"[{"a":1},{"b":{"a":true}}]"#,
            Ok(r#"[{"a":<7:1>},{"b":{"a":<7:true>}}]"#),
        );
        check(&[("$", MASK)], "-1.5", Ok("<7:-1.5>"));
        check(&[("$", MASK)], "[ ]", Ok("<7:[]>"));
    }

    #[test]
    fn names_are_compared_unescaped_and_every_occurrence_counts() {
        check(
            &[("email", MASK)],
            r#"{"em\u0061il":1,"email":2,"email":3}"#,
            Ok(r#"{"em\u0061il":<7:1>,"email":<7:2>,"email":<7:3>}"#),
        );
        check(
            &[("$['\\u00e9']", MASK)],
            r#"{"é":1,"\u00E9":2}"#,
            Ok(r#"{"é":<7:1>,"\u00E9":<7:2>}"#),
        );
    }

    #[test]
    fn dotted_paths_walk_through_arrays_and_jsonpath_does_not() {
        let text = r#"{"o":[{"e":1},[{"e":2}]]}"#;
        check(&[("o.e", MASK)], text, Ok(r#"{"o":[{"e":<7:1>},[{"e":<7:2>}]]}"#));
        check(&[("$.o.e", MASK)], text, Ok(text));
        check(&[("$.o[*].e", MASK)], text, Ok(r#"{"o":[{"e":<7:1>},[{"e":2}]]}"#));
    }

    #[test]
    fn indices_and_slices() {
        check(&[("$[1]", MASK)], "[0,1,2]", Ok("[0,<7:1>,2]"));
        check(&[("$[1:6:2]", MASK)], "[0,1,2,3,4,5,6,7]", Ok("[0,<7:1>,2,<7:3>,4,<7:5>,6,7]"));
        check(&[("$[0,2]", MASK)], "[0,1,2]", Ok("[<7:0>,1,<7:2>]"));
        check(
            &[("$[::2]", MASK), ("$[::3]", Action::Remove)],
            "[0,1,2,3,4]",
            Ok("[1,<7:2>,<7:4>]"),
        );
    }

    #[test]
    fn expressions_hold_the_record() {
        check(
            &[("$.n[?@.who==$.me].t", MASK)],
            r#"{ "n":[{"who":"a","t":1},{"t":2,"who":"b"}], "me":"b" }"#,
            Ok(r#"{ "n":[{"who":"a","t":1},{"t":<7:2>,"who":"b"}], "me":"b" }"#),
        );
        check(&[("$[-1]", Action::Remove)], "[1, 2 ,3]", Ok("[1, 2 ]"));
        check(&[("$[?@>1e3]", MASK)], "[1,1e400,1001]", Ok("[1,<7:1e400>,<7:1001>]"));
        check(&[("$[?@.a==1]", MASK)], r#"[{"a":1,"a":2}]"#, Err(Refusal::AmbiguousRecord));
        let long = format!("[{}1]", "1, ".repeat(60));
        check(&[("$[-1]", MASK)], &long, Err(Refusal::RecordTooLong));
    }

    #[test]
    fn what_is_refused() {
        check(&[("a", MASK)], r#"{"a":1"#, Err(Refusal::Truncated));
        check(&[("a", MASK)], r#"{"a":1}}"#, Err(Refusal::InvalidJson));
        check(
            &[("a", MASK)],
            &format!(r#"{{"a":"{}"}}"#, "x".repeat(80)),
            Err(Refusal::ValueTooLong),
        );
        check(&[("b", MASK)], r#"{"a":[1,}"#, Err(Refusal::InvalidJson));
        let name = format!(r#"{{"{}":1}}"#, "n".repeat(NAME_LIMIT));
        assert_eq!(run(&[("a", MASK)], name.as_bytes(), 1000), Err(Refusal::NameTooLong));
        let space = format!("[1,{}2]", " ".repeat(NAME_LIMIT));
        for size in [1000, usize::MAX] {
            assert_eq!(run(&[("$..a", MASK)], space.as_bytes(), size), Err(Refusal::NameTooLong));
        }
    }

    #[test]
    fn what_was_done_is_counted() {
        let path = FieldPath::parse("$..a").unwrap();
        let automaton =
            Automaton::compile(vec![(Pattern::new(&path), 0)], Actions(vec![MASK], false)).unwrap();
        let mut filter = Filter::new(Arc::new(automaton), Stars, LIMITS);
        filter.push(br#"[{"a":1},{"a":2,"b":{"a":3}}]"#, &mut Vec::new()).unwrap();
        assert_eq!(filter.tally(), &Tally { replaced: 3, removed: 0, notes: Vec::new() });
    }
}
