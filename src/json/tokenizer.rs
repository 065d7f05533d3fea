//! A push tokenizer: chunks in, tokens out, at any chunking.
//!
//! Validates as it goes (RFC 8259, UTF-8, depth): what it has not refused so far is the beginning
//! of a JSON text. Keeps no bytes of the text; a token cut by the end of a chunk comes in pieces.

mod child;

pub use child::Child;

use super::Refusal;
use super::scan::{NumberScan, StringScan};

/// Most arrays and objects inside each other.
pub const MAX_DEPTH: usize = 128;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// A member name with its quotes.
    Name(Piece),
    /// A string value with its quotes.
    Text(Piece),
    /// A number.
    Number(Piece),
    /// `true`, `false` or `null`.
    Literal(Piece),
}

/// Which part of its token a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The token begins here.
    pub first: bool,
    /// The token ends here. The last piece of a number may be empty.
    pub last: bool,
    /// A string with an escape, here or in an earlier piece.
    pub escaped: bool,
}

/// A token, or a piece of one, and its bytes `start..end` of the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte in the chunk.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// What the grammar allows next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
    /// The document is complete; only white space may follow.
    Nothing,
}

/// The token that the last chunk cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    None,
    Name(StringScan),
    Text(StringScan),
    Number(NumberScan),
    Literal(&'static [u8]),
}

/// The state between two chunks. See the module.
#[derive(Debug)]
pub struct Tokenizer {
    expect: Expect,
    cut: Cut,
    depth: usize,
    /// Whether the innermost container is an object.
    in_object: bool,
    /// Bit `n` is set where the container at depth `n + 1` is an object.
    objects: u128,
    utf8: Utf8Stream,
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self {
            expect: Expect::Value,
            cut: Cut::None,
            depth: 0,
            in_object: false,
            objects: 0,
            utf8: Utf8Stream::default(),
        }
    }
}

impl Tokenizer {
    /// Must see every chunk once, before [`next`](Self::next) reads it.
    pub fn begin_chunk(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.utf8.check(chunk)
    }

    /// Arrays and objects that are open.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The next token of `chunk` from `from` on; `None` when the chunk is used up.
    #[inline]
    pub fn next(&mut self, chunk: &[u8], from: usize) -> Result<Option<Token>, Refusal> {
        if !matches!(self.cut, Cut::None) {
            return self.resume(chunk, from);
        }
        let mut start = from;
        let byte = loop {
            match chunk.get(start) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => start += 1,
                Some(byte) => break *byte,
                None => return Ok(None),
            }
        };
        let after = start + 1;
        let kind = match (self.expect, byte) {
            (Expect::CommaOrEnd, b',') => {
                self.expect = if self.in_object { Expect::Name } else { Expect::Value };
                Kind::Comma
            }
            (Expect::Colon, b':') => {
                self.expect = Expect::Value;
                Kind::Colon
            }
            (Expect::Name | Expect::NameOrEnd, b'"') => {
                return self.string(chunk, start, after, StringScan::default(), true).map(Some);
            }
            (Expect::Value | Expect::ValueOrEnd, _) if byte != b']' => {
                return self.value(chunk, start, byte).map(Some);
            }
            (Expect::NameOrEnd | Expect::CommaOrEnd, b'}') if self.in_object => {
                self.close();
                Kind::ObjectEnd
            }
            (Expect::ValueOrEnd | Expect::CommaOrEnd, b']') if !self.in_object => {
                self.close();
                Kind::ArrayEnd
            }
            _ => return Err(Refusal::InvalidJson),
        };
        Ok(Some(Token { kind, start, end: after }))
    }

    /// Says that no chunk follows. The last piece of a number at the top level ends here.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        if self.utf8.is_cut() {
            return Err(Refusal::InvalidUtf8);
        }
        match self.cut {
            Cut::Number(scan) if self.depth == 0 && scan.may_end() => Ok(()),
            Cut::None if self.expect == Expect::Nothing => Ok(()),
            _ => Err(Refusal::Truncated),
        }
    }

    fn open(&mut self, object: bool) -> Result<(), Refusal> {
        if self.depth == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        let bit = 1 << self.depth;
        self.objects = if object { self.objects | bit } else { self.objects & !bit };
        self.in_object = object;
        self.depth += 1;
        self.expect = if object { Expect::NameOrEnd } else { Expect::ValueOrEnd };
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.in_object = self.depth > 0 && self.objects >> (self.depth - 1) & 1 == 1;
        self.value_ended();
    }

    fn value_ended(&mut self) {
        self.expect = if self.depth == 0 { Expect::Nothing } else { Expect::CommaOrEnd };
    }

    fn value(&mut self, chunk: &[u8], start: usize, byte: u8) -> Result<Token, Refusal> {
        let after = start + 1;
        let kind = match byte {
            b'"' => return self.string(chunk, start, after, StringScan::default(), false),
            b'{' => {
                self.open(true)?;
                Kind::ObjectStart
            }
            b'[' => {
                self.open(false)?;
                Kind::ArrayStart
            }
            b't' => return self.literal(chunk, start, after, b"rue", true),
            b'f' => return self.literal(chunk, start, after, b"alse", true),
            b'n' => return self.literal(chunk, start, after, b"ull", true),
            _ => {
                let scan = NumberScan::start(byte).ok_or(Refusal::InvalidJson)?;
                return self.number(chunk, start, after, scan, true);
            }
        };
        Ok(Token { kind, start, end: after })
    }

    fn resume(&mut self, chunk: &[u8], from: usize) -> Result<Option<Token>, Refusal> {
        if from == chunk.len() {
            return Ok(None);
        }
        match std::mem::replace(&mut self.cut, Cut::None) {
            Cut::None => Ok(None),
            Cut::Name(scan) => self.string(chunk, from, from, scan, true).map(Some),
            Cut::Text(scan) => self.string(chunk, from, from, scan, false).map(Some),
            Cut::Number(scan) => self.number(chunk, from, from, scan, false).map(Some),
            Cut::Literal(rest) => self.literal(chunk, from, from, rest, false).map(Some),
        }
    }

    /// A string from `start`, scanned from `from` on; they are the same where it is resumed.
    #[inline]
    fn string(
        &mut self,
        chunk: &[u8],
        start: usize,
        from: usize,
        mut scan: StringScan,
        is_name: bool,
    ) -> Result<Token, Refusal> {
        let (read, last) = scan.advance(chunk.get(from..).unwrap_or_default())?;
        let piece = Piece { first: start != from, last, escaped: scan.escaped() };
        let kind = if is_name { Kind::Name(piece) } else { Kind::Text(piece) };
        match (last, is_name) {
            (true, true) => self.expect = Expect::Colon,
            (true, false) => self.value_ended(),
            (false, true) => self.cut = Cut::Name(scan),
            (false, false) => self.cut = Cut::Text(scan),
        }
        Ok(Token { kind, start, end: from + read })
    }

    fn number(
        &mut self,
        chunk: &[u8],
        start: usize,
        from: usize,
        mut scan: NumberScan,
        first: bool,
    ) -> Result<Token, Refusal> {
        let (read, last) = scan.advance(chunk.get(from..).unwrap_or_default())?;
        if last {
            self.value_ended();
        } else {
            self.cut = Cut::Number(scan);
        }
        let kind = Kind::Number(Piece { first, last, escaped: false });
        Ok(Token { kind, start, end: from + read })
    }

    fn literal(
        &mut self,
        chunk: &[u8],
        start: usize,
        from: usize,
        rest: &'static [u8],
        first: bool,
    ) -> Result<Token, Refusal> {
        let here = chunk.get(from..).unwrap_or_default();
        let read = rest.len().min(here.len());
        let (now, later) = rest.split_at_checked(read).unwrap_or_default();
        if !here.starts_with(now) {
            return Err(Refusal::InvalidJson);
        }
        let last = later.is_empty();
        if last {
            self.value_ended();
        } else {
            self.cut = Cut::Literal(later);
        }
        let kind = Kind::Literal(Piece { first, last, escaped: false });
        Ok(Token { kind, start, end: from + read })
    }
}

/// UTF-8 over chunks: a character cut by the end of a chunk is checked with the next one.
#[derive(Debug, Default)]
struct Utf8Stream {
    cut: [u8; 4],
    len: usize,
}

impl Utf8Stream {
    fn is_cut(&self) -> bool {
        self.len > 0
    }

    fn check(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let mut rest = chunk;
        while self.len > 0 {
            let Some((&byte, after)) = rest.split_first() else { return Ok(()) };
            rest = after;
            let slot = self.cut.get_mut(self.len).ok_or(Refusal::InvalidUtf8)?;
            *slot = byte;
            self.len += 1;
            match std::str::from_utf8(self.cut.get(..self.len).unwrap_or_default()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return Err(Refusal::InvalidUtf8),
                Err(_) => {}
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(rest) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(Refusal::InvalidUtf8);
        }
        let tail = rest.get(error.valid_up_to()..).unwrap_or_default();
        for (slot, byte) in self.cut.iter_mut().zip(tail) {
            *slot = *byte;
        }
        self.len = tail.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of a text cut into chunks of `size`, pieces joined again.
    fn tokens(text: &[u8], size: usize) -> Result<Vec<String>, Refusal> {
        let mut tokenizer = Tokenizer::default();
        let mut found: Vec<Vec<u8>> = Vec::new();
        for chunk in text.chunks(size) {
            tokenizer.begin_chunk(chunk)?;
            let mut at = 0;
            while let Some(token) = tokenizer.next(chunk, at)? {
                at = token.end;
                let bytes = &chunk[token.start..token.end];
                let resumed = match token.kind {
                    Kind::Name(piece)
                    | Kind::Text(piece)
                    | Kind::Number(piece)
                    | Kind::Literal(piece) => !piece.first,
                    _ => false,
                };
                match found.last_mut() {
                    Some(last) if resumed => last.extend_from_slice(bytes),
                    _ => found.push(bytes.to_vec()),
                }
            }
        }
        tokenizer.finish()?;
        Ok(found.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect())
    }

    #[track_caller]
    fn check(text: impl AsRef<[u8]>, expect: Result<&[&str], Refusal>) {
        let text = text.as_ref();
        let expect = expect.map(|list| list.iter().map(|&token| token.to_owned()).collect());
        for size in 1..=text.len().max(1) {
            assert_eq!(tokens(text, size), expect, "chunks of {size}");
        }
    }

    #[test]
    fn documents() {
        check("{}", Ok(&["{", "}"]));
        check(" [ ] ", Ok(&["[", "]"]));
        check("-12.5e3", Ok(&["-12.5e3"]));
        check("null ", Ok(&["null"]));
        check(
            r#"{"a" : [1, true,"x\"é"], "b":{}}"#,
            Ok(&[
                "{",
                "\"a\"",
                ":",
                "[",
                "1",
                ",",
                "true",
                ",",
                r#""x\"é""#,
                "]",
                ",",
                "\"b\"",
                ":",
                "{",
                "}",
                "}",
            ]),
        );
    }

    #[test]
    fn refusals() {
        for text in [
            "{,}",
            "[1,]",
            r#"{"a":1,}"#,
            "[1 2]",
            r#"{"a" 1}"#,
            r#"{"a":}"#,
            "]",
            "{]",
            "[}",
            "tru ",
            "nul1",
            "1 1",
            "{} {}",
            "// x",
            "NaN",
            "'a'",
            "01",
            "[01]",
            "{a:1}",
            "\u{feff}{}",
            "[\"\t\"]",
            r#"["\ud800"]"#,
            "[-]",
            r#"{"a"}"#,
        ] {
            check(text, Err(Refusal::InvalidJson));
        }
        for text in ["", " ", "{", "[1", "\"abc", "tru", "-", "1e", r#"{"a":"#] {
            check(text, Err(Refusal::Truncated));
        }
        check(b"[\"\xff\"]", Err(Refusal::InvalidUtf8));
        check(b"[\"\xc3\"]", Err(Refusal::InvalidUtf8));
        check(b"[\"\xed\xa0\x80\"]", Err(Refusal::InvalidUtf8));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(tokens(deep(MAX_DEPTH).as_bytes(), 7).is_ok());
        assert_eq!(tokens(deep(MAX_DEPTH + 1).as_bytes(), 7), Err(Refusal::TooDeep));
    }

    proptest::proptest! {
        /// Accepts what serde_json accepts and refuses what it refuses, at any chunking. (Numbers
        /// out of a float's range are the one difference: they are JSON all the same.)
        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{},:\"a0-9eE.+\\- \\\\untrlsf]{0,24}", size in 1usize..8) {
            let ours = tokens(text.as_bytes(), size).is_ok();
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            proptest::prop_assert_eq!(ours, theirs, "{:?}", text);
        }
    }
}
