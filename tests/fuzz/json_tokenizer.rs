//! The tokenizer: accepts what `serde_json` accepts, and any chunking gives the same tokens.

use fieldgate::json::Refusal;
use fieldgate::json::tokenizer::{Kind, Tokenizer};

use super::chunks;
use super::document::Document;

/// First byte: how the rest, the text, comes in chunks.
pub fn json_tokenizer(bytes: &[u8]) {
    let Some((seed, text)) = bytes.split_first() else { return };
    let whole = tokens([text]);
    let read = Document::read(text);
    assert_eq!(whole.is_ok(), read.is_some(), "serde_json says otherwise: {whole:?}");
    for chunks in [chunks(text, *seed), text.chunks(1).collect()] {
        let other = tokens(chunks);
        assert_eq!(other.as_ref().ok(), whole.as_ref().ok(), "the chunking makes a difference");
        assert_eq!(other.is_ok(), whole.is_ok());
    }
    let Ok(tokens) = whole else { return };
    let joined: Vec<u8> = tokens.into_iter().flat_map(|token| token.bytes).collect();
    assert_eq!(Document::read(&joined), read, "the tokens make another document");
}

/// A token put together from its pieces.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    what: &'static str,
    bytes: Vec<u8>,
    escaped: bool,
}

fn tokens<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Whole>, Refusal> {
    let mut tokenizer = Tokenizer::default();
    let mut tokens: Vec<Whole> = Vec::new();
    let mut is_open = false;
    for chunk in chunks {
        tokenizer.begin_chunk(chunk)?;
        let mut at = 0;
        while let Some(token) = tokenizer.next(chunk, at)? {
            assert!(at <= token.start && token.start <= token.end && token.end <= chunk.len());
            at = token.end;
            let bytes = chunk.get(token.start..token.end).unwrap_or_default();
            let (what, piece) = match token.kind {
                Kind::ObjectStart => ("{", None),
                Kind::ObjectEnd => ("}", None),
                Kind::ArrayStart => ("[", None),
                Kind::ArrayEnd => ("]", None),
                Kind::Comma => (",", None),
                Kind::Colon => (":", None),
                Kind::Name(piece) => ("name", Some(piece)),
                Kind::Text(piece) => ("text", Some(piece)),
                Kind::Number(piece) => ("number", Some(piece)),
                Kind::Literal(piece) => ("literal", Some(piece)),
            };
            assert_eq!(is_open, piece.is_some_and(|piece| !piece.first), "a piece goes on");
            is_open = piece.is_some_and(|piece| !piece.last);
            let escaped = piece.is_some_and(|piece| piece.escaped);
            match tokens.last_mut().filter(|_| piece.is_some_and(|piece| !piece.first)) {
                Some(begun) => {
                    assert_eq!(begun.what, what);
                    assert!(escaped || !begun.escaped, "an escape was forgotten");
                    begun.bytes.extend_from_slice(bytes);
                    begun.escaped = escaped;
                }
                None => tokens.push(Whole { what, bytes: bytes.to_vec(), escaped }),
            }
        }
    }
    tokenizer.finish()?;
    Ok(tokens)
}
