//! The text of a key ring file as findings may show it.
//!
//! Findings print the line they are about and its neighbours. So they are about a copy in which
//! every word is blanked but those that cannot be key material. It works on bare text, because a
//! secret may stand under a misspelt key, in a comment, or in a file that is not even YAML.

/// The words of the format.
const WORDS: [&str; 7] =
    ["active", "keys", "secret", "secret_env", "secret_file", "created", "retired"];

/// `text` with the same length, the same lines, and a `*` for each byte that might be secret.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_structure) {
        let word = piece.trim_end_matches(is_structure);
        if WORDS.contains(&word) || is_date(word) {
            shown.push_str(piece);
        } else {
            shown.extend(std::iter::repeat_n('*', word.len()));
            shown.push_str(piece.strip_prefix(word).unwrap_or_default());
        }
    }
    shown
}

/// One of the characters that YAML needs around words and that base64 does not use.
fn is_structure(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | ':' | ',' | '{' | '}')
}

fn is_date(word: &str) -> bool {
    word.len() == 10
        && word.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(without_secrets(text), expect);
    }

    #[test]
    fn words_of_the_format_and_dates_stay() {
        check(
            "active: k2\nkeys:\n  k2: { secret: Ab+/-_9=, created: 2026-11-22 }\n",
            "active: **\nkeys:\n  **: { secret: ********, created: 2026-11-22 }\n",
        );
    }

    #[test]
    fn secrets_in_wrong_places_are_blanked() {
        check("secert: \"hunter2\" # was: hunter1", "******: ********* * ***: *******");
        check("secret: >\n  secrets\n  keys1\té", "secret: *\n  *******\n  *****\t**");
        check("hunter2", "*******");
    }

    proptest! {
        #[test]
        fn the_shape_stays_and_no_other_word_does(text in "[ \n:{},a-zA-Z0-9+/=_é\"-]{0,80}") {
            let shown = without_secrets(&text);
            prop_assert_eq!(shown.len(), text.len());
            prop_assert_eq!(shown.lines().count(), text.lines().count());
            for word in shown.split(is_structure).filter(|word| !word.is_empty()) {
                prop_assert!(WORDS.contains(&word) || is_date(word) || word.bytes().all(|byte| byte == b'*'));
            }
        }
    }
}
