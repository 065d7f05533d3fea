//! From a key ring file as written to a [`KeyRing`], or to everything that is wrong with it.
//!
//! Nothing that a person wrote is repeated in a message but key ids that are well-formed where a
//! key id belongs: what stands in the wrong place may be a secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretBox};
use time::macros::format_description;

use super::secret::{SecretFault, decode};
use super::shown::without_secrets;
use super::{Key, KeyId, KeyRing, SecretError, SecretSource};
use crate::diagnostic::{Finding, SourceFile, Span, suggest};
use crate::yaml::{self, Checker, Fields, Node};

pub(super) fn read(
    source: &Arc<SourceFile>,
    secrets: &dyn SecretSource,
) -> Result<KeyRing, Vec<Finding>> {
    let shown = SourceFile::new(source.name(), without_secrets(source.text()));
    let document = match yaml::parse(source) {
        Ok(document) => document,
        Err(finding) => return Err(vec![syntax(&finding, &shown)]),
    };
    let mut reader = Reader { checker: Checker::new(shown), secrets };
    let ring = reader.ring(&document);
    let findings = reader.checker.into_findings();
    ring.filter(|_| findings.is_empty()).ok_or(findings)
}

/// The parser's own message may quote the file, so only its place is kept.
fn syntax(finding: &Finding, shown: &Arc<SourceFile>) -> Finding {
    Finding::error("keys::syntax", "this is not well-formed YAML, or a key stands here twice")
        .at(shown, finding.span().unwrap_or_default())
        .help("compare it with what `fieldgate keys new` prints")
}

struct Reader<'a> {
    /// Reports places in the blanked copy of the file.
    checker: Checker,
    secrets: &'a dyn SecretSource,
}

impl Reader<'_> {
    fn ring(&mut self, document: &Node) -> Option<KeyRing> {
        let mut fields = self.checker.map(document, "the key ring")?;
        let active = fields.require(&mut self.checker, "active");
        let keys = fields.require(&mut self.checker, "keys");
        self.refuse_rest(fields, &["active", "keys"]);

        let keys = keys.and_then(|node| self.keys(node));
        let active = active.and_then(|node| self.active(node, keys.as_ref()));
        let keys: BTreeMap<KeyId, Arc<Key>> = keys?
            .into_iter()
            .filter_map(|(id, key)| {
                let KeyDraft { secret, created, retired } = key;
                let key = Key { id: id.clone(), secret: secret?, created, retired };
                Some((id, Arc::new(key)))
            })
            .collect();
        Some(KeyRing { active: Arc::clone(keys.get(&active?)?), keys })
    }

    /// Every key with a good id; its secret is `None` where a finding says why.
    fn keys(&mut self, node: &Node) -> Option<BTreeMap<KeyId, KeyDraft>> {
        let mut fields = self.checker.map(node, "`keys`")?;
        let entries = fields.take_rest();
        if entries.is_empty() {
            let finding = Finding::error("keys::none", "the key ring has no key")
                .help("make one with `fieldgate keys new`");
            self.checker.report(finding, node.span);
        }
        let mut keys: BTreeMap<KeyId, KeyDraft> = BTreeMap::new();
        for (key, node) in entries {
            let Ok(id) = KeyId::parse(&key.name) else {
                self.refuse_id(key.span);
                continue;
            };
            let draft = self.key(&id, node);
            let twin = keys
                .iter()
                .find(|(_, other)| are_equal(other.secret.as_ref(), draft.secret.as_ref()));
            if let Some((twin, _)) = twin {
                let message = format!("keys `{twin}` and `{id}` have the same secret");
                let finding = Finding::error("keys::duplicate_secret", message)
                    .help("a key that was copied protects nothing; `fieldgate keys new` makes one");
                self.checker.report(finding, key.span);
            }
            keys.insert(id, draft);
        }
        Some(keys)
    }

    fn key(&mut self, id: &KeyId, node: &Node) -> KeyDraft {
        let Some(mut fields) = self.checker.map(node, &format!("key `{id}`")) else {
            return KeyDraft::default();
        };
        let mut date = |name| fields.take(name).and_then(|node| self.date(id, name, node));
        let (created, retired) = (date("created"), date("retired"));
        KeyDraft { secret: self.secret(id, node, fields), created, retired }
    }

    fn secret(
        &mut self,
        id: &KeyId,
        node: &Node,
        mut fields: Fields<'_>,
    ) -> Option<SecretBox<[u8; 32]>> {
        let written = ["secret", "secret_env", "secret_file"]
            .map(|name| fields.take(name).map(|node| (name, node)));
        self.refuse_rest(fields, &["secret", "secret_env", "secret_file", "created", "retired"]);

        let mut written = written.into_iter().flatten();
        let (Some((name, place)), None) = (written.next(), written.next()) else {
            let message = format!("key `{id}` needs exactly one secret");
            let finding = Finding::error("keys::one_secret", message)
                .help("give it one of `secret`, `secret_env` and `secret_file`");
            self.checker.report(finding, node.span);
            return None;
        };
        let text = self.checker.text(place, &format!("`{name}` of key `{id}`"))?;
        let found = match name {
            "secret_env" => self.secrets.environment(text),
            "secret_file" => self.secrets.file(text),
            _ => Ok(text.into()),
        };
        let report = match found.map(|text| decode(text.expose_secret())) {
            Ok(Ok(secret)) => return Some(secret),
            Ok(Err(fault)) => bad_secret(id, fault),
            Err(error) => unavailable_secret(id, name, error),
        };
        self.checker.report(report, place.span);
        None
    }

    /// A date is for people; only its form is checked.
    fn date(&mut self, id: &KeyId, name: &str, node: &Node) -> Option<Box<str>> {
        let text = self.checker.text(node, &format!("`{name}` of key `{id}`"))?;
        if time::Date::parse(text, format_description!("[year]-[month]-[day]")).is_ok() {
            return Some(text.into());
        }
        let message = format!("`{name}` of key `{id}` is not a date");
        let finding = Finding::error("keys::bad_date", message).help("write it as 2026-11-22");
        self.checker.report(finding, node.span);
        None
    }

    fn active(&mut self, node: &Node, keys: Option<&BTreeMap<KeyId, KeyDraft>>) -> Option<KeyId> {
        let text = self.checker.text(node, "`active`")?;
        let Ok(id) = KeyId::parse(text) else {
            self.refuse_id(node.span);
            return None;
        };
        if let Some(key) = keys?.get(&id) {
            if key.retired.is_some() {
                let message = format!("the active key `{id}` is retired");
                let finding = Finding::error("keys::retired_active", message)
                    .help("name another key in `active`; `fieldgate keys rotate` makes one");
                self.checker.report(finding, node.span);
                return None;
            }
            return Some(id);
        }
        let finding = Finding::error("keys::unknown_active", format!("there is no key `{id}`"))
            .help(suggest(id.as_str(), keys?.keys().map(KeyId::as_str)));
        self.checker.report(finding, node.span);
        None
    }

    fn refuse_id(&mut self, span: Span) {
        let finding = Finding::error("keys::bad_id", "this is not a key id")
            .help("a key id has 1 to 16 ASCII letters and digits, such as `k1`");
        self.checker.report(finding, span);
    }

    /// Reports unknown keys without their names, for a secret may stand where a name belongs.
    fn refuse_rest(&mut self, mut fields: Fields<'_>, known: &[&str]) {
        for (key, _) in fields.take_rest() {
            let finding = Finding::error("yaml::unknown_key", "this key is not known here")
                .label("nothing reads this")
                .help(suggest(&key.name, known.iter().copied()));
            self.checker.report(finding, key.span);
        }
    }
}

/// A key as far as it could be read.
#[derive(Default)]
struct KeyDraft {
    secret: Option<SecretBox<[u8; 32]>>,
    created: Option<Box<str>>,
    retired: Option<Box<str>>,
}

fn are_equal(one: Option<&SecretBox<[u8; 32]>>, other: Option<&SecretBox<[u8; 32]>>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.expose_secret() == other.expose_secret())
}

fn bad_secret(id: &KeyId, fault: SecretFault) -> Finding {
    Finding::error("keys::bad_secret", format!("the secret of key `{id}` {fault}"))
        .help("a secret is 32 random bytes in base64; `fieldgate keys new` makes one")
}

fn unavailable_secret(id: &KeyId, name: &str, error: SecretError) -> Finding {
    let message = format!("what `{name}` of key `{id}` points to {error}");
    let help = match error {
        SecretError::OpenToOthers => "run `chmod 600` on the file".to_owned(),
        SecretError::Missing
        | SecretError::NotAFile
        | SecretError::TooLarge
        | SecretError::Unreadable => format!("check the name after `{name}`"),
    };
    Finding::error("keys::secret_unavailable", message).help(help)
}

#[cfg(test)]
mod tests;
