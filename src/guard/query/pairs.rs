//! A query string as pairs: every reading that servers have of it, or none.

use percent_encoding::percent_decode_str;

/// The query has no reading, or more than one that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the query has no reading, or more than one")]
pub struct Malformed;

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// Decoded; a `+` is a space.
    pub(super) name: String,
    /// Decoded; a `+` is a space.
    pub(super) value: String,
    /// Which of the `&`-separated parts it stands in.
    pub(super) raw: usize,
}

/// Most parameters of one query.
const MOST_PAIRS: usize = 1024;

/// Whether a `;` inside of brackets can separate pairs. It does so for servers that know no
/// brackets; `OData` gives it another meaning there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Semicolons {
    Anywhere,
    OutsideBrackets,
}

/// The pairs of a query string. Where a `;` may separate pairs, both readings are among them.
pub(super) fn read(query: &str, semicolons: Semicolons) -> Result<Vec<Pair>, Malformed> {
    let mut pairs = Vec::new();
    for (raw, part) in query.split('&').enumerate() {
        if part.is_empty() {
            continue;
        }
        pairs.push(pair(part, raw)?);
        let mut depth = 0_usize;
        let mut separates = |found: char| {
            match found {
                '(' if semicolons == Semicolons::OutsideBrackets => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            found == ';' && depth == 0
        };
        let pieces: Vec<&str> = part.split(&mut separates).collect();
        if pieces.len() > 1 {
            for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                pairs.push(pair(piece, raw)?);
            }
        }
        if pairs.len() > MOST_PAIRS {
            return Err(Malformed);
        }
    }
    Ok(pairs)
}

fn pair(part: &str, raw: usize) -> Result<Pair, Malformed> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    Ok(Pair { name: decode(name)?, value: decode(value)?, raw })
}

fn decode(text: &str) -> Result<String, Malformed> {
    let bytes = text.as_bytes();
    let is_broken = bytes.iter().enumerate().any(|(at, byte)| {
        let digits = bytes.get(at + 1..at + 3);
        *byte == b'%' && !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| Malformed)?;
    let is_cut_short = decoded.contains('\0');
    if is_broken || is_cut_short { Err(Malformed) } else { Ok(decoded.into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expect: Option<&[(&str, &str)]>) {
        let found = read(query, Semicolons::Anywhere).ok();
        let found = found
            .map(|pairs| pairs.into_iter().map(|pair| (pair.name, pair.value)).collect::<Vec<_>>());
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        assert_eq!(found, expect.map(|pairs| pairs.iter().map(own).collect()), "{query}");
    }

    #[test]
    fn readings() {
        check("", Some(&[]));
        check("a=1&&b", Some(&[("a", "1"), ("b", "")]));
        check("%61=x+y%2Bz=", Some(&[("a", "x y+z=")]));
        check("a=1;b=2", Some(&[("a", "1;b=2"), ("a", "1"), ("b", "2")]));
        let inside = read("a=(1;b=2);c=3", Semicolons::OutsideBrackets).unwrap();
        assert_eq!(inside.len(), 3);
        check("a=1%3Bb=2", Some(&[("a", "1;b=2")]));
        for broken in ["a=%", "%zz=1", "a=%f", "a=%ff", "a=%00", "a=%C0%AF"] {
            check(broken, None);
        }
    }
}
