//! `partial`: some characters stay, the others become mask characters.
//!
//! Counts Unicode scalar values. When in doubt it shows less: a value that is not longer than what
//! may be shown is masked wholly, and a domain is kept only where the text really ends in one.

use super::json_text::{push_character, push_escaped};
use super::strategy::Partial;

/// Appends the masked form of `text` as a JSON string.
pub(super) fn write(options: &Partial, text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    match split_domain(text).filter(|_| options.keep_domain) {
        Some((local, domain)) => {
            write_masked(options, local, out);
            out.push(b'@');
            push_escaped(domain, out);
        }
        None => write_masked(options, text, out),
    }
    out.push(b'"');
}

/// The short way for what most texts are, and their mask characters too: printable ASCII without
/// escapes. It comes to the same as [`write`], byte by byte. `inner` stands between the quotes of
/// a JSON string; answers whether the way could be gone, and has written nothing if not.
pub(super) fn write_plain(options: &Partial, inner: &[u8], out: &mut Vec<u8>) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & !matches!(byte, b'"' | b'\\');
    let Some(mask) = u8::try_from(options.mask_char).ok().filter(|byte| is_plain(*byte)) else {
        return false;
    };
    // All of them are looked at, so that many are looked at together.
    let all_plain = inner.iter().fold(true, |so_far, byte| so_far & is_plain(*byte));
    if !all_plain || options.fixed_length.is_some() {
        return false;
    }
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(inner);
    out.push(b'"');
    let masked = if options.keep_domain { before_domain(inner) } else { inner.len() };
    let masked = out.get_mut(start..start + masked).unwrap_or_default();

    let (first, last) = (options.show_first, options.show_last);
    let stays = |byte: u8| options.keep_separators && is_separator(char::from(byte));
    let countable = masked.iter().filter(|byte| !stays(**byte)).count();
    if countable <= first.saturating_add(last) {
        masked.fill(mask);
        return true;
    }
    let tail = countable - last;
    let counted = masked.iter_mut().filter(|byte| !stays(**byte)).enumerate();
    for (at, byte) in counted {
        if at >= first && at < tail {
            *byte = mask;
        }
    }
    true
}

/// How many bytes stand before the `@` of an e-mail address; all, where a text is none.
fn before_domain(text: &[u8]) -> usize {
    let Some(at) = text.iter().rposition(|byte| *byte == b'@') else { return text.len() };
    let domain = text.get(at + 1..).unwrap_or_default();
    let is_domain = !domain.is_empty()
        && domain.len() <= 253
        && domain.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if is_domain && at > 0 { at } else { text.len() }
}

/// Local part and domain of an e-mail address, parted at the last `@`.
///
/// What follows the `@` must look like a domain. Free text that merely mentions an address
/// (`ask ann@example.com about 555-1234`) would otherwise show everything behind the `@`.
fn split_domain(text: &str) -> Option<(&str, &str)> {
    let (local, domain) = text.rsplit_once('@')?;
    let is_domain = !domain.is_empty()
        && domain.len() <= 253
        && domain.chars().all(|found| found.is_alphanumeric() || found == '-' || found == '.');
    (is_domain && !local.is_empty()).then_some((local, domain))
}

fn is_separator(character: char) -> bool {
    matches!(character, '-' | ' ' | '.' | '/' | '(' | ')' | '+')
}

fn write_masked(options: &Partial, text: &str, out: &mut Vec<u8>) {
    let (first, last) = (options.show_first, options.show_last);
    let stays = |character| options.keep_separators && is_separator(character);
    let countable = text.chars().filter(|character| !stays(*character)).count();
    if countable <= first.saturating_add(last) {
        // Masked wholly means separators too: a text of separators only must not pass as it is.
        let length = options.fixed_length.unwrap_or_else(|| text.chars().count());
        return push_mask(options, length, out);
    }

    let tail = countable - last;
    let mut counted = 0;
    let mut fixed_length = options.fixed_length;
    for character in text.chars() {
        if stays(character) {
            // With a fixed length the masked stretch has no places that separators could mark.
            if options.fixed_length.is_none() || counted < first || counted > tail {
                push_character(character, out);
            }
            continue;
        }
        if counted < first || counted >= tail {
            push_character(character, out);
        } else if options.fixed_length.is_none() {
            push_character(options.mask_char, out);
        } else if let Some(length) = fixed_length.take() {
            push_mask(options, length, out);
        }
        counted += 1;
    }
}

fn push_mask(options: &Partial, length: usize, out: &mut Vec<u8>) {
    for _ in 0..length {
        push_character(options.mask_char, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(options: &Partial, text: &str, expect: &str) {
        let mut out = Vec::new();
        write(options, text, &mut out);
        let mut short = Vec::new();
        if write_plain(options, text.as_bytes(), &mut short) {
            assert_eq!(short, out, "the short way of {text}");
        }
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), expect);
    }

    fn show(show_first: usize, show_last: usize) -> Partial {
        Partial { show_first, show_last, ..Partial::default() }
    }

    #[test]
    fn either_end_or_both() {
        check(&Partial::default(), "jonathan", "jo****an");
        check(&show(3, 0), "jonathan", "jon*****");
        check(&show(0, 3), "jonathan", "*****han");
        check(&show(1, 2), "jonathan", "j*****an");
    }

    #[test]
    fn nothing_shown_is_nothing_shown() {
        check(&show(0, 0), "jonathan", "********");
        check(&show(0, 0), "j", "*");
    }

    #[test]
    fn short_values_are_masked_wholly() {
        check(&show(2, 2), "john", "****");
        check(&show(2, 2), "johnny", "jo**ny");
        check(&show(4, 0), "john", "****");
        check(&show(3, 0), "john", "joh*");
        check(&show(usize::MAX, usize::MAX), "john", "****");
        check(&show(2, 2), "j", "*");
    }

    #[test]
    fn characters_count_and_bytes_do_not() {
        check(&show(1, 1), "äöü😀é", "ä***é");
        check(&show(2, 2), "😀😀😀😀", "****");
        check(&show(1, 1), "\"\\\n\u{1}\"", "\"***\"");
        check(&Partial { mask_char: '"', ..show(1, 0) }, "abc", "a\"\"");
        check(&Partial { mask_char: '•', ..show(1, 0) }, "abc", "a••");
    }

    #[test]
    fn the_domain_stays_where_there_is_one() {
        let email = Partial { keep_domain: true, ..show(2, 0) };
        check(&email, "john@example.com", "jo**@example.com");
        check(&email, "jo@example.com", "**@example.com");
        check(&email, "\"a@b c\"@example.com", "\"a*****@example.com");
        check(&email, "jürgen@bücher.example", "jü****@bücher.example");
        check(&Partial { keep_domain: true, ..show(2, 0) }, "johnny@x.org", "jo****@x.org");
        check(&Partial { keep_domain: true, ..show(2, 2) }, "johnny@x.org", "jo**ny@x.org");
        check(&Partial { keep_domain: true, ..show(0, 0) }, "johnny@x.org", "******@x.org");
    }

    #[test]
    fn what_is_no_domain_is_masked() {
        let email = Partial { keep_domain: true, ..show(2, 0) };
        check(&email, "@example.com", "@e**********");
        check(&email, "johnny@", "jo*****");
        check(&email, "johnny", "jo****");
        check(&email, "ann@x.org 555-1234", "an****************");
        check(&email, "Ann <ann@x.org>", "An*************");
    }

    #[test]
    fn separators_stay_and_do_not_count() {
        let phone = Partial { keep_separators: true, ..show(0, 4) };
        check(&phone, "555-123-1234", "***-***-1234");
        check(&phone, "+1 (555) 123-12-34", "+* (***) ***-12-34");
        check(&phone, "555_123_1234", "********1234");
        check(&Partial { keep_separators: true, ..show(2, 0) }, "555.123", "55*.***");
        check(&Partial { keep_separators: true, ..show(0, 0) }, "555.123", "***.***");
    }

    #[test]
    fn short_values_lose_their_separators_too() {
        let phone = Partial { keep_separators: true, ..show(0, 4) };
        check(&phone, "12-34", "*****");
        check(&phone, "---- ----", "*********");
    }

    #[test]
    fn a_fixed_length_hides_the_length() {
        let fixed = Partial { fixed_length: Some(5), ..show(2, 2) };
        check(&fixed, "jonathan", "jo*****an");
        check(&fixed, "jonathan the third", "jo*****rd");
        check(&fixed, "john", "*****");
        check(&fixed, "j", "*****");
        check(&Partial { keep_domain: true, ..fixed.clone() }, "jo@x.org", "*****@x.org");
        check(&Partial { fixed_length: Some(0), ..show(0, 0) }, "john", "");
    }

    #[test]
    fn a_fixed_length_has_no_separators_inside() {
        let fixed = Partial { keep_separators: true, fixed_length: Some(3), ..show(2, 4) };
        check(&fixed, "55-5-123-12-34", "55***12-34");
        check(&fixed, "(555) 123-1234", "(55***1234");
        check(&Partial { show_first: 0, ..fixed }, "(555) 123-1234", "***1234");
    }

    proptest! {
        #[test]
        fn the_short_way_comes_to_the_same(
            text in "[a-z0-9 .+\\-@é\"\\\\]{0,24}(@[a-z]{1,5}\\.[a-z]{2})?", first in 0_usize..8, last in 0_usize..8,
            keep_domain: bool, keep_separators: bool, mask_char in prop::char::any(),
            fixed_length in proptest::option::of(0_usize..9),
        ) {
            let options = Partial {
                show_first: first, show_last: last, mask_char, keep_domain, keep_separators, fixed_length,
            };
            let options = if mask_char.is_alphabetic() { Partial { mask_char: '*', ..options } } else { options };
            let (mut long, mut short) = (Vec::new(), Vec::new());
            write(&options, &text, &mut long);
            if write_plain(&options, text.as_bytes(), &mut short) {
                prop_assert_eq!(short, long);
            } else {
                prop_assert!(short.is_empty());
            }
        }

        #[test]
        fn shows_no_more_than_it_was_told(
            local in "[a-z0-9 .+\\-é😀\"]{0,20}", domain in proptest::option::of("[a-z]{1,5}\\.[a-z]{2}"),
            first in 0_usize..8, last in 0_usize..8,
            keep_domain: bool, keep_separators: bool, fixed_length in proptest::option::of(0_usize..9),
        ) {
            let options = Partial {
                show_first: first, show_last: last, mask_char: '█', keep_domain, keep_separators, fixed_length,
            };
            let text = domain.as_ref().map_or_else(|| local.clone(), |domain| format!("{local}@{domain}"));
            let mut out = Vec::new();
            write(&options, &text, &mut out);
            let masked: String = serde_json::from_slice(&out).unwrap();

            let kept_domain = domain.filter(|_| keep_domain && !local.is_empty());
            let masked = match &kept_domain {
                Some(domain) => masked.strip_suffix(&format!("@{domain}")).unwrap(),
                None => &masked,
            };
            let masked_length = if kept_domain.is_some() { &local } else { &text }.chars().count();
            let shown = masked
                .chars()
                .filter(|found| *found != '█' && !(keep_separators && is_separator(*found)))
                .count();
            prop_assert!(shown <= first + last, "`{}` shows {}", masked, shown);
            match fixed_length {
                None => prop_assert_eq!(masked.chars().count(), masked_length),
                Some(length) if masked_length > 0 => {
                    prop_assert_eq!(masked.chars().filter(|found| *found == '█').count(), length);
                }
                Some(_) => {}
            }
        }
    }
}
