//! Changes to the text of a key ring file: a new key, another active one, a retired one.
//!
//! Works on the text by the places that the YAML reader knows, so that comments, order and secrets
//! of other keys stay as they are. What was changed is read again: a file whose form is too unusual
//! is refused instead of being written wrong.

use data_encoding::BASE64;
use rand::CryptoRng;
use secrecy::SecretString;
use time::Date;
use zeroize::Zeroizing;

use super::{KeyId, KeyRing};
use crate::diagnostic::{SourceFile, Span};
use crate::yaml::{self, Key, Node, Value};

/// Why a key ring file was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It has such a key already.
    #[error("the key ring has a key `{0}` already")]
    Exists(KeyId),
    /// It has no such key.
    #[error("the key ring has no key `{0}`")]
    Unknown(KeyId),
    /// The key is the active one.
    #[error("key `{0}` is the active one")]
    Active(KeyId),
    /// The key is retired.
    #[error("key `{0}` is retired")]
    Retired(KeyId),
    /// The text cannot be changed without a doubt.
    #[error("the key ring file has a form that is only changed by hand")]
    Form,
}

/// What a key ring file says, as far as changes must know.
struct Outline {
    active: (KeyId, Span),
    keys: Vec<(KeyId, Key, Node)>,
}

impl Outline {
    fn read(text: &str) -> Option<Self> {
        let Value::Map(entries) = yaml::parse(&SourceFile::new("keys", text)).ok()?.value else {
            return None;
        };
        let of = |name: &str| entries.iter().find(|(key, _)| key.name == name);
        let (_, active) = of("active")?;
        let id = match &active.value {
            Value::Text(text) => KeyId::parse(text).ok()?,
            _ => return None,
        };
        let Value::Map(keys) = &of("keys")?.1.value else { return None };
        let keys = keys
            .iter()
            .map(|(key, node)| Some((KeyId::parse(&key.name).ok()?, key.clone(), node.clone())));
        Some(Self { active: (id, active.span), keys: keys.collect::<Option<_>>()? })
    }

    fn key(&self, id: &KeyId) -> Result<&(KeyId, Key, Node), EditError> {
        let found = self.keys.iter().find(|(known, ..)| known == id);
        found.ok_or_else(|| EditError::Unknown(id.clone()))
    }

    fn ids(&self) -> Vec<KeyId> {
        let mut ids: Vec<_> = self.keys.iter().map(|(id, ..)| id.clone()).collect();
        ids.sort();
        ids
    }

    fn is_retired(node: &Node) -> bool {
        matches!(&node.value, Value::Map(entries) if entries.iter().any(|(key, _)| key.name == "retired"))
    }
}

impl KeyRing {
    /// The text of a key ring file with one more key, made on `created`. It is the active one where
    /// `is_active`.
    ///
    /// # Errors
    /// The id is taken, or the form of the file is too unusual.
    pub fn file_with_new_key(
        text: &str,
        random: &mut impl CryptoRng,
        id: &KeyId,
        created: Date,
        is_active: bool,
    ) -> Result<SecretString, EditError> {
        let outline = Outline::read(text).ok_or(EditError::Form)?;
        if outline.key(id).is_ok() {
            return Err(EditError::Exists(id.clone()));
        }
        let (_, first, _) = outline.keys.first().ok_or(EditError::Form)?;
        let mut secret = Zeroizing::new([0; 32]);
        random.fill_bytes(secret.as_mut_slice());
        let secret = Zeroizing::new(BASE64.encode(secret.as_slice()));
        let key = Zeroizing::new(format!(
            "\"{id}\": {{ secret: \"{}\", created: {created} }}",
            secret.as_str()
        ));
        let with_key = Zeroizing::new(insert(text, unquoted(text, first.span.start), &key)?);
        let mut ids = outline.ids();
        ids.push(id.clone());
        ids.sort();
        if is_active {
            let outline = Outline::read(&with_key).ok_or(EditError::Form)?;
            let changed = Zeroizing::new(with_active(&with_key, &outline, id));
            return checked(&changed, id, &ids);
        }
        checked(&with_key, &outline.active.0, &ids)
    }

    /// The text of a key ring file with another active key.
    ///
    /// # Errors
    /// There is no such key, it is retired, or the form of the file is too unusual.
    pub fn file_with_active(text: &str, id: &KeyId) -> Result<SecretString, EditError> {
        let outline = Outline::read(text).ok_or(EditError::Form)?;
        let (_, _, node) = outline.key(id)?;
        if Outline::is_retired(node) {
            return Err(EditError::Retired(id.clone()));
        }
        let changed = Zeroizing::new(with_active(text, &outline, id));
        checked(&changed, id, &outline.ids())
    }

    /// The text of a key ring file with a key retired on `day`.
    ///
    /// # Errors
    /// There is no such key, it is the active one or retired already, or the form of the file is
    /// too unusual.
    pub fn file_with_retired(text: &str, id: &KeyId, day: Date) -> Result<SecretString, EditError> {
        let outline = Outline::read(text).ok_or(EditError::Form)?;
        let (_, _, node) = outline.key(id)?;
        if *id == outline.active.0 {
            return Err(EditError::Active(id.clone()));
        }
        if Outline::is_retired(node) {
            return Err(EditError::Retired(id.clone()));
        }
        let start = node.span.start;
        let changed = if text.get(start..).is_some_and(|rest| rest.starts_with('{')) {
            spliced(text, start + 1, start + 1, &format!(" retired: {day},"))
        } else {
            insert(text, unquoted(text, start), &format!("retired: {day}"))?
        };
        let changed = Zeroizing::new(changed);
        let sealed = checked(&changed, &outline.active.0, &outline.ids())?;
        let outline = Outline::read(&changed).ok_or(EditError::Form)?;
        let (_, _, node) = outline.key(id)?;
        if Outline::is_retired(node) { Ok(sealed) } else { Err(EditError::Form) }
    }
}

fn with_active(text: &str, outline: &Outline, id: &KeyId) -> String {
    let span = outline.active.1;
    let start = unquoted(text, span.start);
    let mut end = span.start + span.len;
    if start < span.start && text.get(end..).is_some_and(|rest| rest.starts_with(['"', '\''])) {
        end += 1;
    }
    spliced(text, start, end, &format!("\"{id}\""))
}

/// Puts an entry of a mapping before the one at `start`: on a line of its own in block style, with
/// a comma in flow style.
fn insert(text: &str, start: usize, entry: &str) -> Result<String, EditError> {
    let before = text.get(..start).ok_or(EditError::Form)?;
    let indent = before.rsplit('\n').next().unwrap_or_default();
    let separator =
        if indent.bytes().all(|byte| byte == b' ') { format!("\n{indent}") } else { ", ".into() };
    Ok(spliced(text, start, start, &Zeroizing::new(format!("{entry}{separator}"))))
}

/// The start of a scalar, with the quote before it.
fn unquoted(text: &str, start: usize) -> usize {
    let before = text.get(..start).unwrap_or_default();
    if before.ends_with(['"', '\'']) { start - 1 } else { start }
}

fn spliced(text: &str, start: usize, end: usize, new: &str) -> String {
    [text.get(..start), Some(new), text.get(end..)].map(Option::unwrap_or_default).concat()
}

/// What was changed must say what was meant, and nothing else.
fn checked(text: &str, active: &KeyId, ids: &[KeyId]) -> Result<SecretString, EditError> {
    let outline = Outline::read(text).ok_or(EditError::Form)?;
    if outline.active.0 != *active || outline.ids() != ids {
        return Err(EditError::Form);
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use secrecy::ExposeSecret as _;
    use time::macros::date;

    use super::*;
    use crate::mask::tests::{NoSecrets, SECRETS};

    const TODAY: Date = date!(2026 - 11 - 25);

    fn id(text: &str) -> KeyId {
        KeyId::parse(text).unwrap()
    }

    fn read(text: &SecretString) -> KeyRing {
        KeyRing::read(&SourceFile::new("keys.yaml", text.expose_secret()), &NoSecrets).unwrap()
    }

    /// The same ring in the forms that people write.
    fn forms() -> [String; 5] {
        let [one, two, _] = SECRETS;
        [
            format!(
                "# mine\nactive: k2 # now\nkeys:\n  # old\n  k1: {{ secret: {one} }}\n  k2: {{ secret: {two} }}\n"
            ),
            format!(
                "active: \"k2\"\nkeys:\n  \"k1\": {{ secret: \"{one}\", created: 2025-01-01 }}\n  'k2': {{ secret: '{two}' }}\n"
            ),
            format!(
                "keys:\n    k1:\n        secret: {one}\n    k2:\n        created: 2026-01-01\n        secret: {two}\nactive: 'k2'\n"
            ),
            format!("active: k2\nkeys: {{ k1: {{ secret: {one} }}, k2: {{ secret: {two} }} }}"),
            format!(
                "{{ active: k2, keys: {{ \"k1\": {{ secret: \"{one}\" }}, k2: {{ secret: {two} }} }} }}"
            ),
        ]
    }

    #[test]
    fn a_new_key_is_active_or_waits_and_the_others_stay() {
        for text in forms() {
            for is_active in [true, false] {
                let mut random = StdRng::seed_from_u64(7);
                let changed =
                    KeyRing::file_with_new_key(&text, &mut random, &id("k3"), TODAY, is_active)
                        .unwrap();
                let ring = read(&changed);
                assert_eq!(ring.active().as_str(), if is_active { "k3" } else { "k2" }, "{text}");
                assert_eq!(
                    ring.facts().map(|key| key.id.as_str()).collect::<Vec<_>>(),
                    ["k1", "k2", "k3"]
                );
                let made = ring.facts().find(|key| key.id.as_str() == "k3").unwrap();
                assert_eq!(made.created, Some("2026-11-25"));
                for line in text.lines().filter(|line| line.contains('#')) {
                    let comment = line.get(line.find('#').unwrap()..).unwrap();
                    assert!(changed.expose_secret().contains(comment), "{text}");
                }
                let again = KeyRing::file_with_new_key(
                    changed.expose_secret(),
                    &mut random,
                    &id("k3"),
                    TODAY,
                    true,
                );
                assert_eq!(again.unwrap_err(), EditError::Exists(id("k3")));
            }
        }
    }

    #[test]
    fn the_active_key_changes_and_old_ones_retire() {
        for text in forms() {
            let changed = KeyRing::file_with_active(&text, &id("k1")).unwrap();
            assert_eq!(read(&changed).active().as_str(), "k1", "{text}");
            let retired =
                KeyRing::file_with_retired(changed.expose_secret(), &id("k2"), TODAY).unwrap();
            let ring = read(&retired);
            let gone = ring.facts().find(|key| key.id.as_str() == "k2").unwrap();
            assert_eq!(gone.retired, Some("2026-11-25"), "{text}");
            let refused = |done: Result<SecretString, EditError>| done.unwrap_err();
            let text = retired.expose_secret();
            assert_eq!(
                refused(KeyRing::file_with_retired(text, &id("k2"), TODAY)),
                EditError::Retired(id("k2"))
            );
            assert_eq!(
                refused(KeyRing::file_with_retired(text, &id("k1"), TODAY)),
                EditError::Active(id("k1"))
            );
            assert_eq!(
                refused(KeyRing::file_with_active(text, &id("k2"))),
                EditError::Retired(id("k2"))
            );
            assert_eq!(
                refused(KeyRing::file_with_active(text, &id("k9"))),
                EditError::Unknown(id("k9"))
            );
        }
    }

    #[test]
    fn unusual_forms_are_left_to_people() {
        let [one, ..] = SECRETS;
        for text in [
            String::new(),
            "active: k1".to_owned(),
            format!("active: k1\nkeys: {{\n  k1: {{ secret: {one} }} }}"),
            format!("active: k1\nkeys:\n\tk1: {{ secret: {one} }}"),
        ] {
            let mut random = StdRng::seed_from_u64(7);
            let changed = KeyRing::file_with_new_key(&text, &mut random, &id("k3"), TODAY, true);
            assert_eq!(changed.unwrap_err(), EditError::Form, "{text}");
        }
    }
}
