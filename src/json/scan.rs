//! Validating scanners for strings, numbers and literals that can stop and go on at any byte.

use wide::u8x16;

use super::Refusal;

/// Length of the longest start of `bytes` without a quote, backslash or control character.
#[inline]
pub(super) fn plain_prefix(bytes: &[u8]) -> usize {
    let mut at = 0;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for block in blocks {
        let special = specials(*block);
        if special != 0 {
            return at + special.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    at + rest.iter().take_while(|byte| **byte >= 0x20 && !matches!(**byte, b'"' | b'\\')).count()
}

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// A bit for each special byte.
#[inline]
fn specials(block: [u8; BLOCK]) -> u32 {
    let bytes = u8x16::new(block);
    let quote = bytes.simd_eq(u8x16::splat(b'"'));
    let backslash = bytes.simd_eq(u8x16::splat(b'\\'));
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    (quote | backslash | control).to_bitmask()
}

/// Where a string scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum StringState {
    #[default]
    Plain,
    Backslash,
    /// Inside `\uXXXX`: digits still to come and the value so far.
    Hex {
        left: u8,
        value: u16,
        low_half: bool,
    },
    /// A high surrogate was read; only `\uDC00` to `\uDFFF` may follow.
    LowBackslash,
    LowU,
}

/// Scans a string after its opening quote. UTF-8 is the stream's business, see the tokenizer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StringScan {
    state: StringState,
    escaped: bool,
}

impl StringScan {
    /// Whether the string so far has an escape in it.
    pub(super) fn escaped(self) -> bool {
        self.escaped
    }

    /// Reads on. Answers the bytes consumed and whether the closing quote is among them.
    #[inline]
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refusal> {
        if self.state == StringState::Plain {
            let plain = plain_prefix(bytes);
            if bytes.get(plain) == Some(&b'"') {
                return Ok((plain + 1, true));
            }
            if plain == bytes.len() {
                return Ok((plain, false));
            }
        }
        self.advance_escaped(bytes)
    }

    fn advance_escaped(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refusal> {
        let mut rest = bytes;
        loop {
            if self.state == StringState::Plain {
                rest = rest.get(plain_prefix(rest)..).unwrap_or_default();
            }
            let Some((&byte, after)) = rest.split_first() else {
                return Ok((bytes.len(), false));
            };
            rest = after;
            self.state = match self.state {
                StringState::Plain if byte == b'"' => {
                    return Ok((bytes.len() - rest.len(), true));
                }
                StringState::Plain if byte == b'\\' => {
                    self.escaped = true;
                    StringState::Backslash
                }
                StringState::Backslash => match byte {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => StringState::Plain,
                    b'u' => StringState::Hex { left: 4, value: 0, low_half: false },
                    _ => return Err(Refusal::InvalidJson),
                },
                StringState::Hex { left, value, low_half } => {
                    let digit = char::from(byte).to_digit(16).ok_or(Refusal::InvalidJson)?;
                    let value = (value << 4) | u16::try_from(digit).unwrap_or_default();
                    match (left, value, low_half) {
                        (2.., _, _) => StringState::Hex { left: left - 1, value, low_half },
                        (_, 0xD800..=0xDBFF, false) => StringState::LowBackslash,
                        (_, 0xDC00..=0xDFFF, true) => StringState::Plain,
                        // A surrogate without its other half is no character.
                        (_, 0xDC00..=0xDFFF, false) | (_, _, true) => {
                            return Err(Refusal::InvalidJson);
                        }
                        (_, _, false) => StringState::Plain,
                    }
                }
                StringState::LowBackslash if byte == b'\\' => StringState::LowU,
                StringState::LowU if byte == b'u' => {
                    StringState::Hex { left: 4, value: 0, low_half: true }
                }
                // A control character, or a high surrogate that stays alone.
                StringState::Plain | StringState::LowBackslash | StringState::LowU => {
                    return Err(Refusal::InvalidJson);
                }
            };
        }
    }
}

/// Where a number scan stands; the grammar of RFC 8259, section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberScan {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl NumberScan {
    /// A scan that has seen `first`, if a number can begin with it.
    pub(super) fn start(first: u8) -> Option<Self> {
        match first {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Integer),
            _ => None,
        }
    }

    /// Whether the number may end here.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }

    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Some(Self::ExponentDigits)
            }
            _ => None,
        }
    }

    /// Reads on. Answers the bytes consumed and whether a byte that is no part of it came.
    #[inline]
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refusal> {
        for (at, byte) in bytes.iter().enumerate() {
            match self.next(*byte) {
                Some(next) => *self = next,
                None if self.may_end() => return Ok((at, true)),
                None => return Err(Refusal::InvalidJson),
            }
        }
        Ok((bytes.len(), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_string(text: &str, expect: Result<(usize, bool), Refusal>) {
        assert_eq!(StringScan::default().advance(text.as_bytes()), expect, "whole: {text:?}");
        // Byte by byte it must come to the same end.
        let mut scan = StringScan::default();
        let mut answer = Ok((text.len(), false));
        for (at, byte) in text.bytes().enumerate() {
            match scan.advance(&[byte]) {
                Ok((_, true)) => {
                    answer = Ok((at + 1, true));
                    break;
                }
                Ok(_) => {}
                Err(refusal) => {
                    answer = Err(refusal);
                    break;
                }
            }
        }
        assert_eq!(answer, expect, "byte by byte: {text:?}");
    }

    #[test]
    fn strings() {
        check_string(r#"abc" rest"#, Ok((4, true)));
        check_string(r#"a long plain text of many words" rest"#, Ok((32, true)));
        check_string(r#"a\"b" rest"#, Ok((5, true)));
        check_string(r#"\\" rest"#, Ok((3, true)));
        check_string(r#"é\u00e9" "#, Ok((9, true)));
        check_string(r#"\ud83d\ude00" "#, Ok((13, true)));
        check_string("no end", Ok((6, false)));
        check_string("\n\"", Err(Refusal::InvalidJson));
        check_string("0123456\u{1}\"", Err(Refusal::InvalidJson));
        check_string(r#"\x""#, Err(Refusal::InvalidJson));
        check_string(r#"\u12g4""#, Err(Refusal::InvalidJson));
        check_string(r#"\ud83d""#, Err(Refusal::InvalidJson));
        check_string(r#"\ud83d\n""#, Err(Refusal::InvalidJson));
        check_string(r#"\ud83dA""#, Err(Refusal::InvalidJson));
        check_string(r#"\ude00""#, Err(Refusal::InvalidJson));
    }

    #[test]
    fn a_special_byte_is_found_at_every_distance() {
        for distance in 0..40 {
            for special in ["\"", "\\", "\u{1f}"] {
                let text = format!("{}{special}{}", "é".repeat(distance), "x".repeat(9));
                assert_eq!(plain_prefix(text.as_bytes()), distance * 2);
            }
        }
    }

    #[track_caller]
    fn check_number(text: &str, expect: bool) {
        let (first, rest) = text.as_bytes().split_first().unwrap();
        let scan = NumberScan::start(*first)
            .and_then(|mut scan| scan.advance(rest).ok().filter(|(_, ended)| !ended).map(|_| scan));
        assert_eq!(scan.is_some_and(NumberScan::may_end), expect, "{text}");
    }

    #[test]
    fn numbers() {
        for good in ["0", "-0", "1.10", "9007199254740993", "1e400", "-1.5E+10", "0e0", "2E-3"] {
            check_number(good, true);
        }
        for bad in ["-", "01", "1.", ".5", "+1", "1e", "1e+", "--1", "NaN", "0x1", "1_0", "1.e1"] {
            check_number(bad, false);
        }
    }
}
