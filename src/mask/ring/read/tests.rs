//! Key ring files, good and bad; and that no finding shows a secret.

use super::*;
use crate::diagnostic::render;
use crate::mask::tests::{NoSecrets, SECRETS};
use proptest::prelude::*;
use secrecy::SecretString;

/// Knows one variable and one file.
struct OneEach;

impl SecretSource for OneEach {
    fn environment(&self, name: &str) -> Result<SecretString, SecretError> {
        if name == "K1" { Ok(SECRETS[0].into()) } else { Err(SecretError::Missing) }
    }

    fn file(&self, path: &str) -> Result<SecretString, SecretError> {
        if path == "k2.secret" { Ok(SECRETS[1].into()) } else { Err(SecretError::OpenToOthers) }
    }
}

fn read_text(text: &str) -> Result<KeyRing, Vec<Finding>> {
    KeyRing::read(&SourceFile::new("keys.yaml", text), &OneEach)
}

/// Checks all findings as `line:column code message`.
#[track_caller]
fn check_refused(text: &str, expect: &[&str]) {
    let findings = read_text(text).expect_err("the key ring is refused");
    let found: Vec<String> = findings
        .iter()
        .map(|finding| {
            let (_, line, column) = finding.position().expect("a place");
            format!("{line}:{column} {} {finding}", finding.code())
        })
        .collect();
    assert_eq!(found, expect, "{}", render(&findings, false, 100));
}

#[test]
fn a_ring_with_secrets_from_everywhere() {
    let text = format!(
        "active: k2\nkeys:\n  k1: {{ secret_env: K1 }}\n  k2: {{ secret_file: k2.secret, created: 2026-11-22 }}\n  \
         k3: {{ secret: \"{}\" }}\n",
        SECRETS[2]
    );
    let ring = read_text(&text).unwrap();
    assert_eq!(format!("{ring:?}"), r#"KeyRing { active: "k2", keys: ["k1", "k2", "k3"] }"#);
}

#[test]
fn debug_prints_no_secret() {
    let ring = read_text("active: k1\nkeys: { k1: { secret_env: K1 } }").unwrap();
    assert!(format!("{:?}", ring.active).contains("REDACTED"));
}

#[test]
fn every_fault_at_once() {
    check_refused(
        "active: k9\nkeys:\n  k1: { secret: c2hvcnQ= }\n  k-2: {}\n  k3: { created: today }\n  \
         k4: { secret: a, secret_env: K1 }\n  k5: { secret_env: K2 }\n  k6: { secret_file: x }\n  \
         k7: { secret: 7 }\n  k8: text\nextra: 1\n",
        &[
            "11:1 yaml::unknown_key this key is not known here",
            "3:17 keys::bad_secret the secret of key `k1` is 5 bytes long, not 32",
            "4:3 keys::bad_id this is not a key id",
            "5:18 keys::bad_date `created` of key `k3` is not a date",
            "5:7 keys::one_secret key `k3` needs exactly one secret",
            "6:7 keys::one_secret key `k4` needs exactly one secret",
            "7:21 keys::secret_unavailable what `secret_env` of key `k5` points to does not exist",
            "8:22 keys::secret_unavailable what `secret_file` of key `k6` points to is open to others than its owner",
            "9:17 yaml::wrong_kind `secret` of key `k7` is a number, not a string",
            "10:7 yaml::wrong_kind key `k8` is a string, not a mapping",
            "1:9 keys::unknown_active there is no key `k9`",
        ],
    );
}

#[test]
fn nothing_there() {
    check_refused(
        "other: 1",
        &[
            "1:1 yaml::missing_key `active` is missing",
            "1:1 yaml::missing_key `keys` is missing",
            "1:1 yaml::unknown_key this key is not known here",
        ],
    );
    check_refused("[]", &["1:1 yaml::wrong_kind the key ring is a list, not a mapping"]);
    check_refused(
        "active: k1\nkeys: {}",
        &[
            "2:7 keys::none the key ring has no key",
            "1:9 keys::unknown_active there is no key `k1`",
        ],
    );
    check_refused(
        "active: k1\nkeys: { k1: { secret: } }",
        &["2:13 keys::one_secret key `k1` needs exactly one secret"],
    );
}

#[test]
fn broken_yaml_has_a_place_too() {
    for text in ["active: k1\nkeys: [", "active: k1\nactive: k2"] {
        let findings = read_text(text).unwrap_err();
        let place = yaml::parse(&SourceFile::new("keys.yaml", text)).unwrap_err();
        assert_eq!(findings[0].code(), "keys::syntax");
        assert_eq!(findings[0].position(), place.position());
    }
}

#[test]
fn one_secret_belongs_to_one_key() {
    check_refused(
        &format!("active: a\nkeys:\n  a: {{ secret: {0} }}\n  b: {{ secret: {0} }}\n", SECRETS[0]),
        &["4:3 keys::duplicate_secret keys `a` and `b` have the same secret"],
    );
}

#[test]
fn placeholders_are_no_secrets() {
    check_refused(
        &format!("active: a\nkeys:\n  a: {{ secret: {}= }}\n", "A".repeat(43)),
        &["3:16 keys::bad_secret the secret of key `a` repeats itself, as no random bytes do"],
    );
}

/// Renders what is found in a file with the canary in it, and looks for every piece of the canary.
#[track_caller]
fn check_silent(text: &str) {
    let canary = SECRETS[0];
    assert!(text.contains(canary), "the test is about a text with the secret in it");
    let findings = read_text(text).expect_err("the key ring is refused");
    let told = format!("{}\n{findings:?}", render(&findings, true, 100));
    for piece in canary.as_bytes().windows(6) {
        let piece = std::str::from_utf8(piece).unwrap();
        assert!(!told.contains(piece), "`{piece}` is told:\n{told}");
    }
}

#[test]
fn no_finding_shows_a_secret() {
    let secret = SECRETS[0];
    for text in [
        // Next to another fault, in the same line and in a neighbouring one.
        format!("active: no\nkeys: {{ k1: {{ secret: {secret} }} }}"),
        format!("active: k1\nkeys:\n  k1:\n    secret: {secret}\n    extra: 1"),
        format!("active: k1\nkeys:\n  # was {secret}\n  k1: {{}}"),
        // The secret itself is the fault.
        format!("active: k1\nkeys: {{ k1: {{ secret: {secret}AAAA }} }}"),
        format!("active: k1\nkeys: {{ k1: {{ secret: '{secret}!' }} }}"),
        // In a place where something else belongs.
        format!("active: {secret}\nkeys: {{ k1: {{ secret_env: K1 }} }}"),
        format!("active: k1\nkeys: {{ {secret}: k1 }}"),
        format!("active: k1\nkeys: {{ k1: {{ {secret} }} }}"),
        format!("active: k1\nkeys: {{ k1: {secret} }}"),
        format!("active: k1\nkeys: {{ k1: {{ secert: {secret} }} }}"),
        format!("active: k1\nkeys: {{ k1: {{ secret_env: {secret} }} }}"),
        format!("active: k1\nkeys: {{ k1: {{ secret_file: {secret} }} }}"),
        format!("active: k1\nkeys: {{ k1: {{ created: {secret} }} }}"),
        secret.to_owned(),
        format!("active: k1\n{secret}: 1\nkeys: {{ k1: {{ secret_env: K1 }} }}"),
        // Not even YAML.
        format!("active: k1\nkeys: {{ k1: {{ secret: {secret}"),
        format!("active: k1\nkeys: {{ k1: {{ secret: *{secret} }} }}"),
        format!("active: k1\nkeys: {{ k1: {{ secret: !{secret} x }} }}"),
        format!("active: k1\nkeys: {{ k1: {{ secret: \"\\{secret}\" }} }}"),
        format!("keys:\n  k1: {{ {secret}: 1, {secret}: 2 }}\nactive: k1"),
        format!("active: k1\nkeys:\n\tk1: {{ secret: {secret} }}"),
    ] {
        check_silent(&text);
    }
}

proptest! {
    #[test]
    fn reading_never_panics_and_never_tells(
        before in "[ \n:{}\\[\\]#&*!|>'\"%@`,a-z0-9é-]{0,30}", after in "[ \n:{}\\[\\]#&*!|>'\"%@`,a-z0-9é-]{0,30}",
    ) {
        let text = format!("active: k1\nkeys: {before}{}{after}", SECRETS[0]);
        if read_text(&text).is_err() {
            check_silent(&text);
        }
    }
}

#[test]
fn a_finding_looks_like_this() {
    let text = format!(
        "# my keys\nactive: k1\nkeys:\n  k1: {{ secret: {}, created: 2026-11-22 }}\n",
        SECRETS[0].trim_end_matches("Hh8=")
    );
    insta::assert_snapshot!(render(&read_text(&text).unwrap_err(), false, 100), @r"
    keys::bad_secret

      × the secret of key `k1` is 30 bytes long, not 32
       ╭─[keys.yaml:4:17]
     3 │ keys:
     4 │   **: { secret: ****************************************, created: 2026-11-22 }
       ·                 ────────────────────┬───────────────────
       ·                                     ╰── here
       ╰────
      help: a secret is 32 random bytes in base64; `fieldgate keys new` makes one
    ");
}

#[test]
fn secrets_that_are_not_to_be_had() {
    let source = SourceFile::new("keys.yaml", "active: k1\nkeys: { k1: { secret_file: k1 } }");
    let findings = KeyRing::read(&source, &NoSecrets).unwrap_err();
    assert_eq!(findings[0].code(), "keys::secret_unavailable");
}
