//! Members and elements read in one go, where the chunk holds them whole.
//!
//! A shorter way through the common case and nothing else: whatever is not quite common, or wrong,
//! is left to [`Tokenizer::next`], which alone knows the whole grammar and says what is refused.

use super::super::scan::{StringScan, plain_prefix};
use super::{Cut, Expect, Kind, MAX_DEPTH, Piece, Token, Tokenizer};

/// A child of the innermost open container: from the comma before it to the end of its value, or
/// to the bracket that its value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// The comma, or the first byte of a first child.
    pub start: usize,
    /// Whether a comma stands there.
    pub has_comma: bool,
    /// Where the name of a member stands, without its quotes. It has no escape.
    pub name: Option<(usize, usize)>,
    /// The value: one whole token, or the bracket that opens it.
    pub value: Token,
}

impl Child {
    /// Whether no white space stands in it.
    #[must_use]
    pub fn is_compact(&self) -> bool {
        let comma = usize::from(self.has_comma);
        let name = self.name.map_or(0, |(start, end)| end - start + "\"\":".len());
        self.value.start - self.start == comma + name
    }
}

const WHOLE: Piece = Piece { first: true, last: true, escaped: false };

impl Tokenizer {
    /// The next child of the innermost container, from `from` on. `None` says that it must be read
    /// token by token, and nothing has been read then.
    #[expect(clippy::inline_always, reason = "a fifth of the filter's time is the call otherwise")]
    #[inline(always)]
    pub fn child(&mut self, chunk: &[u8], from: usize) -> Option<Child> {
        if !matches!(self.cut, Cut::None) {
            return None;
        }
        let start = skip_space(chunk, from);
        let mut at = start;
        let has_comma = match self.expect {
            Expect::CommaOrEnd if chunk.get(at) == Some(&b',') => {
                at = skip_space(chunk, at + 1);
                true
            }
            Expect::NameOrEnd | Expect::ValueOrEnd => false,
            _ => return None,
        };
        let name = if self.in_object {
            let name = at + 1;
            let end = if chunk.get(at) == Some(&b'"') {
                name + plain_prefix(chunk.get(name..)?)
            } else {
                return None;
            };
            if chunk.get(end..end + 2) != Some(b"\":") {
                return None;
            }
            at = skip_space(chunk, end + 2);
            Some((name, end))
        } else {
            None
        };
        let value = self.whole_value(chunk, at)?;
        Some(Child { start, has_comma, name, value })
    }

    /// Reads children for as long as they come whole, and answers where the next token begins.
    #[inline]
    pub fn pass_children(&mut self, chunk: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(child) = self.child(chunk, at) {
            at = child.value.end;
        }
        at
    }

    #[expect(clippy::inline_always, reason = "the same")]
    #[inline(always)]
    fn whole_value(&mut self, chunk: &[u8], start: usize) -> Option<Token> {
        let (kind, end) = match *chunk.get(start)? {
            b'"' => {
                let text = chunk.get(start + 1..)?;
                let plain = plain_prefix(text);
                if text.get(plain) == Some(&b'"') {
                    (Kind::Text(WHOLE), start + plain + 2)
                } else {
                    let mut scan = StringScan::default();
                    let (read, is_whole) = scan.advance(text).ok()?;
                    let piece = Piece { escaped: scan.escaped(), ..WHOLE };
                    is_whole.then_some((Kind::Text(piece), start + 1 + read))?
                }
            }
            bracket @ (b'{' | b'[') => {
                if self.depth == MAX_DEPTH {
                    return None;
                }
                let is_object = bracket == b'{';
                self.open(is_object).ok()?;
                let kind = if is_object { Kind::ObjectStart } else { Kind::ArrayStart };
                return Some(Token { kind, start, end: start + 1 });
            }
            b't' if chunk.get(start..start + 4) == Some(b"true") => {
                (Kind::Literal(WHOLE), start + 4)
            }
            b'n' if chunk.get(start..start + 4) == Some(b"null") => {
                (Kind::Literal(WHOLE), start + 4)
            }
            b'f' if chunk.get(start..start + 5) == Some(b"false") => {
                (Kind::Literal(WHOLE), start + 5)
            }
            b'-' | b'0'..=b'9' => (Kind::Number(WHOLE), plain_number(chunk, start)?),
            _ => return None,
        };
        self.expect = Expect::CommaOrEnd;
        Some(Token { kind, start, end })
    }
}

#[inline]
fn skip_space(chunk: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = chunk.get(at) {
        at += 1;
    }
    at
}

#[inline]
fn skip_digits(chunk: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(b'0'..=b'9') = chunk.get(at) {
        at += 1;
    }
    at
}

/// The end of a number without an exponent that something ends in this chunk.
#[inline]
fn plain_number(chunk: &[u8], start: usize) -> Option<usize> {
    let first = start + usize::from(chunk.get(start) == Some(&b'-'));
    let mut end = skip_digits(chunk, first);
    let has_leading_zero = chunk.get(first) == Some(&b'0') && end > first + 1;
    if end == first || has_leading_zero {
        return None;
    }
    if chunk.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = skip_digits(chunk, fraction);
        if end == fraction {
            return None;
        }
    }
    match chunk.get(end)? {
        b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' => Some(end),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Refusal;
    use super::*;

    /// Kinds and bytes of a text's tokens, pieces of one token joined.
    type Read = Result<Vec<(&'static str, Vec<u8>)>, Refusal>;

    fn word(kind: Kind) -> (&'static str, bool) {
        match kind {
            Kind::ObjectStart => ("{", true),
            Kind::ObjectEnd => ("}", true),
            Kind::ArrayStart => ("[", true),
            Kind::ArrayEnd => ("]", true),
            Kind::Comma => (",", true),
            Kind::Colon => (":", true),
            Kind::Name(piece) => ("name", piece.first),
            Kind::Text(piece) => ("text", piece.first),
            Kind::Number(piece) => ("number", piece.first),
            Kind::Literal(piece) => ("literal", piece.first),
        }
    }

    fn read(text: &[u8], size: usize, by_children: bool) -> Read {
        let mut tokenizer = Tokenizer::default();
        let mut found: Vec<(&'static str, Vec<u8>)> = Vec::new();
        for chunk in text.chunks(size) {
            tokenizer.begin_chunk(chunk)?;
            let mut at = 0;
            loop {
                if by_children && let Some(child) = tokenizer.child(chunk, at) {
                    if child.has_comma {
                        found.push((",", b",".to_vec()));
                    }
                    if let Some((start, end)) = child.name {
                        found.push(("name", chunk[start - 1..=end].to_vec()));
                        found.push((":", b":".to_vec()));
                    }
                    let value = chunk[child.value.start..child.value.end].to_vec();
                    found.push((word(child.value.kind).0, value));
                    at = child.value.end;
                    continue;
                }
                let Some(token) = tokenizer.next(chunk, at)? else { break };
                at = token.end;
                let bytes = &chunk[token.start..token.end];
                let (kind, is_new) = word(token.kind);
                match found.last_mut() {
                    Some(last) if !is_new => last.1.extend_from_slice(bytes),
                    _ => found.push((kind, bytes.to_vec())),
                }
            }
        }
        tokenizer.finish()?;
        Ok(found)
    }

    #[track_caller]
    fn check(text: &str) {
        for size in 1..=text.len().max(1) {
            let expect = read(text.as_bytes(), size, false);
            assert_eq!(read(text.as_bytes(), size, true), expect, "chunks of {size}: {text}");
        }
    }

    #[test]
    fn the_shorter_way_leads_to_the_same_tokens_and_refusals() {
        for text in [
            r#"{"a":1,"b":-0.50,"c":[true,false,null,"x"],"d":{},"e":[]}"#,
            "{ \"a\" : 1 ,\n  \"b\": [ 1 , 2.5e3 ] }",
            r#"{"a\"b":"c\\d","é":"ü","long":"0123456789abcdef0123456789abcdef\n"}"#,
            "[0,-0,10,1.10,9007199254740993,1e400,00]",
            r#"{"a":1,}"#,
            r#"{"a":tru}"#,
            r#"{"a":nulll}"#,
            "[1.,2]",
            "[-]",
            "[1 2]",
            r#"{"a":"\x"}"#,
            r#"{"a":{"b":{"c":[{"d":1}]}}}"#,
            "[\"\u{1}\"]",
            r#"{"a" "b"}"#,
            "[1,2",
        ] {
            check(text);
        }
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for depth in [MAX_DEPTH, MAX_DEPTH + 1] {
            let text = deep(depth);
            assert_eq!(read(text.as_bytes(), 999, true), read(text.as_bytes(), 999, false));
        }
    }

    #[test]
    fn a_common_child_is_read_in_one_go() {
        let text = br#"{"name":"value"}"#;
        let mut tokenizer = Tokenizer::default();
        tokenizer.begin_chunk(text).unwrap();
        tokenizer.next(text, 0).unwrap();
        let child = tokenizer.child(text, 1).unwrap();
        assert_eq!((child.start, child.name, child.value.end), (1, Some((2, 6)), 15));
        assert!(child.is_compact() && !child.has_comma);
        assert_eq!(tokenizer.child(text, 15), None, "an end is no child");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_alike_by_either_way(
            text in "[\\[\\]{},:\"a0-9eE.+\\- \\\\untrlsf]{0,32}",
            size in 1usize..12,
        ) {
            let bytes = text.as_bytes();
            proptest::prop_assert_eq!(read(bytes, size, true), read(bytes, size, false));
        }

        #[test]
        fn any_document_is_read_alike_by_either_way(
            text in r#"\{"a":(1|-2\.5|"x\\n"|true|\[( ?[0-9]{1,3},)*null\]|\{"b" ?: ?"é"\})(, ?"c":("|[0-9e]|\[\]|\{\}){1,2})*\}?"#,
            size in 1usize..40,
        ) {
            let bytes = text.as_bytes();
            proptest::prop_assert_eq!(read(bytes, size, true), read(bytes, size, false));
        }
    }
}
