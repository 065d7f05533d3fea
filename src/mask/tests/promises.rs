//! What holds for every strategy and any JSON value.

use data_encoding::{BASE32_NOPAD_NOCASE, BASE64URL_NOPAD};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use serde_json::Value;

use super::{SECRETS, Strategy, inner, masked, masked_email, ring};
use crate::mask::{JsonReplacement, MaskError, Masker, NonceSequence, Partial};

const KEYED: [Strategy; 4] =
    [Strategy::Hash, Strategy::Encrypt, Strategy::Tokenize, Strategy::Vault];

#[test]
fn an_encrypted_value_belongs_to_one_record() {
    let ring = ring(&["k1"]);
    let masker = ring.masker(&Strategy::Encrypt, "acme", "lead.email").unwrap();
    let sealed = |record: Option<&str>| -> String {
        let mut out = Vec::new();
        let mut nonces = NonceSequence::new(*b"response");
        assert!(masker.mask_in(b"\"john\"", record, &mut nonces, &mut out).unwrap().is_none());
        serde_json::from_slice(&out).unwrap()
    };
    let records = [None, Some("42"), Some("43"), Some(""), Some("4")];
    for own in records {
        for asked in records {
            let revealed = ring.reveal(&sealed(own), "acme", "lead.email", asked);
            if own == asked {
                assert_eq!(revealed.as_deref(), Ok(&b"\"john\""[..]), "{own:?}");
            } else {
                assert_eq!(revealed, Err(MaskError::RevealRefused), "{own:?} {asked:?}");
            }
        }
    }
}

#[test]
fn a_retired_key_reverses_and_recognises_nothing() {
    let all = ring(&["k1", "k2"]);
    let text = format!(
        "active: k2\nkeys: {{ k1: {{ secret: {}, retired: 2026-11-25 }}, k2: {{ secret: {} }} }}",
        SECRETS[0], SECRETS[1]
    );
    let source = super::SourceFile::new("keys.yaml", text);
    let retired = super::KeyRing::read(&source, &super::NoSecrets).unwrap();
    let old = ring(&["k1"]);
    for strategy in [Strategy::Encrypt, Strategy::Tokenize] {
        let printed = masked_email(&old, &strategy, "7");
        assert!(all.reveal(inner(&printed), "acme", "lead.email", None).is_ok());
        let refused = retired.reveal(inner(&printed), "acme", "lead.email", None);
        assert_eq!(refused, Err(MaskError::UnknownKey));
    }
    let token = masked_email(&old, &Strategy::Vault, "7");
    assert!(all.vault_token(inner(&token), "acme", "lead.email").is_ok());
    let refused = retired.vault_token(inner(&token), "acme", "lead.email");
    assert_eq!(refused, Err(MaskError::UnknownKey));
    let hash = masked_email(&old, &Strategy::Hash, "7");
    assert!(all.is_hash_of(inner(&hash), b"7", "acme", "lead.email"));
    assert!(!retired.is_hash_of(inner(&hash), b"7", "acme", "lead.email"));
    // What it signed can still be checked.
    assert_eq!(retired.derived(Some("k1"), "audit"), all.derived(Some("k1"), "audit"));
}

/// Every strategy that shows nothing of the value.
fn silent() -> Vec<Strategy> {
    let replacements = [
        JsonReplacement::Null,
        JsonReplacement::Bool(false),
        JsonReplacement::Integer(0),
        JsonReplacement::Text("n/a \"".to_owned()),
        JsonReplacement::EmptyList,
        JsonReplacement::EmptyObject,
    ];
    let mut strategies = KEYED.to_vec();
    strategies.extend([Strategy::default(), Strategy::Redact { text: "\"\\\n".to_owned() }]);
    strategies.extend(replacements.map(Strategy::Typed));
    strategies
}

fn partial() -> Strategy {
    Strategy::Partial(Partial::default())
}

fn any_json() -> impl Generator<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The bytes that an encrypted value or a token spells; nothing for other masks.
fn payload(printed: &str) -> Vec<u8> {
    if let Some(body) = printed.strip_prefix("\"enc:k1.") {
        return BASE64URL_NOPAD.decode(body.trim_end_matches('"').as_bytes()).unwrap();
    }
    if let Some(body) = printed.strip_prefix("\"token_") {
        return BASE32_NOPAD_NOCASE.decode(body.trim_end_matches('"').as_bytes()).unwrap();
    }
    Vec::new()
}

/// `text` as a JSON string in which every character is an escape.
fn all_escapes(text: &str) -> String {
    let escapes: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{}\"", escapes.concat())
}

#[test]
fn nothing_stays_nothing() {
    let ring = ring(&["k1"]);
    for strategy in silent().into_iter().chain([partial()]) {
        for raw in ["null", "\"\""] {
            assert_eq!(masked_email(&ring, &strategy, raw), raw, "{strategy:?}");
        }
    }
}

#[test]
fn fixed_answers() {
    let answers: Vec<String> = silent()
        .iter()
        .skip(KEYED.len())
        .map(|strategy| masked_email(&ring(&["k1"]), strategy, "[1]"))
        .collect();
    assert_eq!(
        answers,
        [r#""[REDACTED]""#, r#""\"\\\n""#, "null", "false", "0", r#""n/a \"""#, "[]", "{}"]
    );
}

#[track_caller]
fn check_partial(raw: &str, expect: &str) {
    let phone = Strategy::Partial(Partial { show_first: 0, show_last: 4, ..Partial::default() });
    assert_eq!(masked(&Masker::keyless(&phone).unwrap(), raw).as_deref(), Ok(expect));
}

#[test]
fn partial_takes_strings_and_numbers_apart_and_nothing_else() {
    check_partial("5551234567", r#""******4567""#);
    check_partial("-1.5e10", r#""***5e10""#);
    check_partial(r#""555\u00201234""#, r#""****1234""#);
    for raw in ["true", "false", "[5551234567]", r#"{"phone":"5551234567"}"#, "{}", "[]"] {
        check_partial(raw, r#""[REDACTED]""#);
    }
}

#[test]
fn no_key_no_mask() {
    for strategy in KEYED {
        assert!(strategy.needs_key());
        assert_eq!(Masker::keyless(&strategy).err(), Some(MaskError::KeysMissing));
    }
    for strategy in silent().into_iter().skip(KEYED.len()).chain([partial()]) {
        assert!(!strategy.needs_key());
        assert!(Masker::keyless(&strategy).is_ok());
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let ring = ring(&["k1"]);
    for strategy in silent().into_iter().chain([partial()]) {
        let masker = ring.masker(&strategy, "", "f").unwrap();
        for raw in ["", " ", "nil", "secret"] {
            assert_eq!(masked(&masker, raw), Err(MaskError::NotJson), "{strategy:?} {raw}");
        }
    }
    for strategy in [Strategy::Hash, Strategy::Tokenize, Strategy::Vault, partial()] {
        let masker = ring.masker(&strategy, "", "f").unwrap();
        assert_eq!(masked(&masker, r#""\ud800""#), Err(MaskError::NotJson), "{strategy:?}");
    }
}

#[test]
fn nothing_is_encrypted_once_the_nonces_are_used_up() {
    let masker = ring(&["k1"]).masker(&Strategy::Encrypt, "", "f").unwrap();
    let mut nonces = NonceSequence::used_up();
    let mut out = Vec::new();
    assert_eq!(masker.mask(b"1", &mut nonces, &mut out), Err(MaskError::NoncesUsedUp));
    assert!(out.is_empty());
}

#[test]
fn tenants_fields_and_keys_have_nothing_in_common() {
    let (one, other) = (ring(&["k1"]), ring(&["k2"]));
    for strategy in [Strategy::Hash, Strategy::Tokenize, Strategy::Vault] {
        let texts = [
            one.masker(&strategy, "acme", "lead.email"),
            one.masker(&strategy, "acme", "lead.phone"),
            one.masker(&strategy, "globex", "lead.email"),
            other.masker(&strategy, "acme", "lead.email"),
        ]
        .map(|masker| masked(&masker.unwrap(), "\"john\"").unwrap());
        for (at, text) in texts.iter().enumerate() {
            assert!(!texts[at + 1..].contains(text), "{strategy:?} {at}");
        }
    }
}

#[test]
fn reveal_refuses_other_tenants_fields_and_rings() {
    let own = ring(&["k1"]);
    for strategy in [Strategy::Encrypt, Strategy::Tokenize] {
        let printed = masked_email(&own, &strategy, "\"john\"");
        let text = inner(&printed);
        assert_eq!(own.reveal(text, "acme", "lead.email", None).as_deref(), Ok(&b"\"john\""[..]));
        let refused = Err(MaskError::RevealRefused);
        assert_eq!(own.reveal(text, "globex", "lead.email", None), refused);
        assert_eq!(own.reveal(text, "acme", "lead.phone", None), refused);
        assert_eq!(own.reveal(text, "", "", None), refused);
        let stranger = ring(&["k2"]);
        assert_eq!(stranger.reveal(text, "acme", "lead.email", None), Err(MaskError::UnknownKey));
        let namesake = super::KeyRing::read(
            &super::SourceFile::new(
                "x",
                format!("active: k1\nkeys: {{ k1: {{ secret: {} }} }}", SECRETS[1]),
            ),
            &super::NoSecrets,
        );
        assert_eq!(namesake.unwrap().reveal(text, "acme", "lead.email", None), refused);
    }
}

#[test]
fn old_keys_reveal_and_new_ones_mask() {
    let (before, after) = (ring(&["k1"]), ring(&["k1", "k2"]));
    for strategy in [Strategy::Encrypt, Strategy::Tokenize] {
        let old = masked_email(&before, &strategy, "1.10");
        assert_eq!(
            after.reveal(inner(&old), "acme", "lead.email", None).as_deref(),
            Ok(&b"1.10"[..])
        );
        let new = masked_email(&after, &strategy, "1.10");
        assert_ne!(old, new);
        assert_eq!(
            before.reveal(inner(&new), "acme", "lead.email", None),
            Err(MaskError::UnknownKey)
        );
    }
}

#[test]
fn reveal_refuses_what_is_no_mask() {
    let ring = ring(&["k1"]);
    for text in [
        "",
        "john",
        "hash:7e481f36b43db1f43caa2290be717def",
        "[REDACTED]",
        "enc:",
        "enc:k1",
        "enc:k1.",
        "enc:k1.****",
        "enc:k1.AAAA",
        "token_",
        "token_a",
        "token_aa======",
        "token_1",
        "token_77",
        "TOKEN_AJVTD3564",
        "token_AJVTC4ACTT6BWO2PMGMT5XKW2OR4QTDN6J6MNRYSNLMB3UPKJL7EOC2X",
    ] {
        assert_eq!(
            ring.reveal(text, "acme", "lead.email", None),
            Err(MaskError::NotReversible),
            "{text}"
        );
    }
    assert_eq!(ring.reveal("enc:k9.AAAA", "acme", "lead.email", None), Err(MaskError::UnknownKey));
    // `token_` and the key id `k1` with nothing, or with too little, behind it.
    for text in ["token_ajvtc", "token_ajvtcaaa"] {
        let refused = ring.reveal(text, "acme", "lead.email", None);
        assert_eq!(refused, Err(MaskError::RevealRefused), "{text}");
    }
}

#[test]
fn maskers_are_shared_between_threads_and_print_no_key() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let ring = ring(&["k1"]);
    for (strategy, name) in KEYED.iter().zip(["hash", "encrypt", "tokenize", "vault"]) {
        let masker = ring.masker(strategy, "acme", "lead.email").unwrap();
        is_shared(&masker);
        assert_eq!(format!("{masker:?}"), format!("Masker({name})"));
    }
}

proptest! {
    #[test]
    fn any_value_becomes_one_json_value(value in any_json()) {
        let ring = ring(&["k1"]);
        let raw = value.to_string();
        for strategy in silent().into_iter().chain([partial()]) {
            let printed = masked_email(&ring, &strategy, &raw);
            prop_assert!(serde_json::from_str::<Value>(&printed).is_ok(), "{:?} {}", strategy, printed);
        }
    }

    #[test]
    fn any_bytes_are_masked_or_refused(raw in prop::collection::vec(any::<u8>(), 0..20), first in "[\"{\\[0-9tfn-]") {
        let raw = [first.as_bytes(), &raw].concat();
        let ring = ring(&["k1"]);
        for strategy in silent().into_iter().chain([partial()]) {
            let mut out = Vec::new();
            let masker = ring.masker(&strategy, "", "f").unwrap();
            match masker.mask(&raw, &mut NonceSequence::new([0; 8]), &mut out) {
                Ok(()) => prop_assert!(serde_json::from_slice::<Value>(&out).is_ok()),
                Err(_) => prop_assert!(out.is_empty()),
            }
        }
    }

    #[test]
    fn a_canary_is_never_seen(canary in "[a-z0-9]{12,24}", before in "[^\u{0}]{0,8}", is_list: bool) {
        let ring = ring(&["k1"]);
        let value = Value::from(format!("{before}{canary}"));
        let raw = if is_list { Value::from(vec![value]) } else { value }.to_string();
        for strategy in silent() {
            let printed = masked_email(&ring, &strategy, &raw);
            prop_assert!(!printed.contains(&canary), "{:?} {}", strategy, printed);
            let payload = payload(&printed);
            let is_seen = payload.windows(canary.len()).any(|bytes| bytes == canary.as_bytes());
            prop_assert!(!is_seen, "{:?} only spells the value differently", strategy);
        }
    }

    #[test]
    fn what_is_masked_can_be_revealed(value in any_json()) {
        prop_assume!(!value.is_null() && value != "");
        let ring = ring(&["k1"]);
        let raw = value.to_string();
        for strategy in [Strategy::Encrypt, Strategy::Tokenize] {
            let printed = masked_email(&ring, &strategy, &raw);
            let revealed = ring.reveal(inner(&printed), "acme", "lead.email", None).unwrap();
            prop_assert_eq!(std::str::from_utf8(&revealed).unwrap(), &raw);
        }
    }

    #[test]
    fn spelling_does_not_matter_and_time_does_not(text in ".{1,12}") {
        let ring = ring(&["k1"]);
        for strategy in [Strategy::Hash, Strategy::Tokenize, Strategy::Vault, partial()] {
            let plain = masked_email(&ring, &strategy, &Value::from(text.clone()).to_string());
            prop_assert_eq!(&masked_email(&ring, &strategy, &all_escapes(&text)), &plain);
        }
    }

    #[test]
    fn one_changed_character_is_noticed(at: prop::sample::Index, letter in "[a-z2-7]") {
        let ring = ring(&["k1"]);
        for strategy in [Strategy::Encrypt, Strategy::Tokenize] {
            let printed = masked_email(&ring, &strategy, "\"john@example.com\"");
            let mut text = inner(&printed).to_owned();
            let at = at.index(text.len());
            text.replace_range(at..=at, &letter);
            prop_assume!(text != inner(&printed));
            prop_assert!(ring.reveal(&text, "acme", "lead.email", None).is_err());
        }
    }

    #[test]
    fn revealing_never_panics(body in "[a-z2-7k1.A-Z_-]{0,80}") {
        let ring = ring(&["k1"]);
        for text in [format!("enc:{body}"), format!("enc:k1.{body}"), format!("token_{body}"), format!("token_ajvtc{body}")] {
            prop_assert!(ring.reveal(&text, "acme", "lead.email", None).is_err());
        }
    }
}
