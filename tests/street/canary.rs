//! The canary oracle: searches what left Fieldgate for values that may not leave, in every form
//! that they could have taken on the way.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64URL, HEXLOWER};
use memchr::memmem;

use super::harness::{Answered, Gate};

/// Values that may not leave. Each must be long enough not to occur by chance.
pub(crate) struct Canaries(BTreeSet<String>);

impl Canaries {
    pub(crate) fn new<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Self {
        let values: BTreeSet<String> = values.into_iter().map(Into::into).collect();
        assert!(!values.is_empty() && values.iter().all(|value| value.len() >= 8), "{values:?}");
        Self(values)
    }

    /// None of them is in anything that left: the answers to the byte, the log, the metrics.
    pub(crate) async fn assert_absent(&self, gate: &Gate, answers: &[&Answered]) {
        for answered in answers {
            // A coded body would have to be decoded first; there is none.
            assert_eq!(answered.header("Content-Encoding"), None);
            self.assert_not_in("an answer", &answered.raw);
            self.assert_not_in("a body without its chunks", &answered.body);
        }
        self.assert_not_in("the log", gate.logged().as_bytes());
        self.assert_not_in("the metrics", gate.metrics().await.as_bytes());
    }

    #[track_caller]
    pub(crate) fn assert_not_in(&self, place: &str, bytes: &[u8]) {
        let bytes = Searched::new(bytes);
        for value in &self.0 {
            if let Some(form) = bytes.form_of(value) {
                panic!("`{value}` is in {place}, {form}");
            }
        }
    }
}

/// Bytes to search, and once more in lower case for forms that have two.
struct Searched<'a> {
    bytes: &'a [u8],
    lower: Vec<u8>,
}

impl<'a> Searched<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, lower: bytes.to_ascii_lowercase() }
    }

    /// The form in which a value is here.
    fn form_of(&self, value: &str) -> Option<&'static str> {
        let has = |form: &[u8]| memmem::find(self.bytes, form).is_some();
        let has_lower =
            |form: &str| memmem::find(&self.lower, form.to_ascii_lowercase().as_bytes()).is_some();
        let reversed: String = value.chars().rev().collect();
        let utf16: Vec<u16> = value.encode_utf16().collect();
        let escaped: String = utf16.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let little: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let every_byte: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let bytes = value.as_bytes();
        let percent = percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC);
        let json_ascii: String = value.chars().map(escaped_outside_ascii).collect();
        if has_lower(value) {
            Some("as it is")
        } else if has_lower(&json_ascii) || has_lower(&escaped) {
            Some("escaped")
        } else if base64(bytes).iter().any(|form| has(form.as_bytes())) {
            Some("in base64")
        } else if has_lower(&HEXLOWER.encode(bytes)) {
            Some("in hex")
        } else if has_lower(&percent.to_string()) || has_lower(&every_byte) {
            Some("URL-encoded")
        } else if has(&little) || has(&big) {
            Some("in UTF-16")
        } else if has(reversed.as_bytes()) {
            Some("reversed")
        } else {
            None
        }
    }
}

fn escaped_outside_ascii(character: char) -> String {
    if character.is_ascii() {
        return character.to_string();
    }
    let mut units = [0; 2];
    character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// The parts of its base64 forms that do not depend on what stands before and behind.
fn base64(value: &[u8]) -> Vec<String> {
    let at = |before: usize| {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        let whole = bytes.len() / 3 * 4;
        let of_others = [0, 2, 3][before];
        [BASE64.encode(&bytes), BASE64URL.encode(&bytes)].map(|text| {
            // Of a last group that is not full, the last character holds bits of what follows.
            let own = whole + [0, 1, 2][bytes.len() % 3];
            text[of_others..own].to_owned()
        })
    };
    (0..3).flat_map(at).collect()
}

/// The oracle finds what it is there to find.
#[test]
fn every_form_is_found() {
    let value = "zoé.secret@example.com";
    let utf16 = |bytes: fn(u16) -> [u8; 2]| value.encode_utf16().flat_map(bytes).collect();
    let forms: Vec<Vec<u8>> = vec![
        value.into(),
        value.to_uppercase().replace('É', "é").into(),
        "x\"zo\\u00E9.secret@example.com\"".into(),
        "zo%C3%A9%2Esecret%40example%2Ecom".into(),
        value.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>().into(),
        value.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>().into(),
        HEXLOWER.encode(value.as_bytes()).to_uppercase().into(),
        BASE64.encode(value.as_bytes()).into(),
        BASE64.encode(format!("a{value}").as_bytes()).into(),
        BASE64URL.encode(format!("ab{value}yz").as_bytes()).into(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        value.chars().rev().collect::<String>().into(),
    ];
    for form in forms {
        let mut around = b"\x00before ".to_vec();
        around.extend_from_slice(&form);
        around.extend_from_slice(b" behind");
        assert!(Searched::new(&around).form_of(value).is_some(), "{form:?}");
    }
    assert_eq!(Searched::new(b"zo**@example.com").form_of(value), None);
}
