//! Masks that come back: what of a write is only what its sender was shown.
//!
//! A client reads a masked record, changes one field and sends all of it. What it was shown is held
//! against what it sends: equal, it means "as it is", and the value of the CRM stays. Only what was
//! shown is ever compared: if the real value counted as well, a write would tell who guesses right.

use std::collections::HashMap;

use super::equal::equal;
use super::tree::{Content, Tree, Value};
use crate::json::navigate::{Action, Navigator as _};
use crate::json::path::FieldPath;
use crate::mask::{KeyRing, Recognised, Strategy, VaultToken, may_be_mask};
use crate::policy::plan::{MaskSlot, Plan};

/// A record as it is now: the whole answer of a fresh read by the caller.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// As the CRM gave it. None of it may go anywhere but back to the CRM.
    pub real: &'a [u8],
    /// As the caller is shown it.
    pub shown: &'a [u8],
    /// Where the record stands in either.
    pub records: &'a FieldPath,
}

/// What is known of the record that a write changes.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// It was read.
    Record(Current<'a>),
    /// There is none yet.
    Absent,
    /// It cannot be read.
    Unknown,
}

/// A token of the token map in a write, and the field that it was made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Vaulted {
    /// As in [`MaskSlot::field`].
    pub field: String,
    /// The token.
    pub token: VaultToken,
}

/// The values behind tokens of the token map, as far as they were looked up: JSON text, or `None`
/// where the map has none.
pub type LookedUp = HashMap<Vaulted, Option<Vec<u8>>>;

/// The two readings of the current record, as trees.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) real: Tree<'a>,
    pub(super) shown: Tree<'a>,
}

impl<'a> Pair<'a> {
    /// `None` where there is not exactly one record in it.
    pub(super) fn read(current: &Current<'a>) -> Option<Self> {
        let real = Tree::parse(current.real).ok()?;
        let shown = Tree::parse(current.shown).ok()?;
        let has_one = real.one(current.records).is_some() && shown.one(current.records).is_some();
        has_one.then_some(Self { real, shown })
    }
}

/// Knows the masks of a resource's fields for one tenant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registry<'a> {
    pub(super) plan: &'a Plan,
    pub(super) keys: Option<&'a KeyRing>,
    pub(super) tenant: &'a str,
    /// The id of the record that is written; `None` where there is none, or nobody knows it.
    pub(super) record: Option<&'a str>,
}

/// A place in a record, for [`Registry`].
pub(super) type Spot = crate::json::automaton::StateId;

/// What a text in a write is, seen from the field that it stands in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// A value like any other.
    Plain,
    /// A mask of this field. `value` is the JSON text behind it, where the policy lets it be turned
    /// back.
    Mask { value: Option<Vec<u8>> },
    /// A mask of this field whose value stands in the token map, and may be turned back into it.
    Vaulted(Vaulted),
    /// A mask of another field, tenant or key.
    Foreign,
}

impl Registry<'_> {
    pub(super) fn root(&self) -> Spot {
        self.plan.automaton.root()
    }

    pub(super) fn member(&self, spot: Spot, name: &str) -> Spot {
        self.plan.automaton.member(&spot, name.as_bytes())
    }

    pub(super) fn element(&self, spot: Spot, index: u64) -> Spot {
        self.plan.automaton.element(&spot, index)
    }

    fn entry(&self, spot: Spot) -> Option<&MaskSlot> {
        let Action::Replace(number) = self.plan.automaton.verdict(&spot).scalar else {
            return None;
        };
        self.plan.slots.get(usize::try_from(number.0).ok()?)
    }

    /// What a text is that stands where the caller may write.
    pub(super) fn recognise(&self, spot: Spot, text: &str) -> Text {
        let (Some(entry), Some(keys)) = (self.entry(spot), self.keys) else {
            return self.by_form(text);
        };
        if !entry.strategy.needs_key() {
            return self.by_form(text);
        }
        match keys.recognise(text, self.tenant, &entry.field, self.record) {
            Recognised::Value(value) => Text::Mask { value: entry.detokenize.then_some(value) },
            Recognised::Vaulted(token) if entry.detokenize => {
                Text::Vaulted(Vaulted { field: entry.field.clone(), token })
            }
            Recognised::Vaulted(_) => Text::Mask { value: None },
            Recognised::Foreign => Text::Foreign,
            Recognised::NoMask if entry.strategy == Strategy::Hash => {
                let quoted = format!("\"{text}\"");
                if may_be_mask(&entry.strategy, quoted.as_bytes()) {
                    Text::Mask { value: None }
                } else {
                    Text::Plain
                }
            }
            Recognised::NoMask => Text::Plain,
        }
    }

    /// What a text is that stands where no field has masks of its own. A mask of some other field is
    /// nothing that anybody means to store there.
    pub(super) fn by_form(&self, text: &str) -> Text {
        let is_mask = self.keys.is_some_and(|keys| keys.is_mask_by_form(text));
        if is_mask { Text::Foreign } else { Text::Plain }
    }

    /// Whether a value could be a mask of the field, where the current value is not known.
    pub(super) fn may_be_mask(&self, spot: Spot, raw: &[u8]) -> bool {
        match self.entry(spot) {
            Some(entry) => may_be_mask(&entry.strategy, raw),
            None => may_be_mask(&Strategy::default(), raw),
        }
    }

    /// Whether `given` is what the caller was shown of this place. `real` is what stands there.
    pub(super) fn is_as_shown(
        &self,
        spot: Spot,
        given: &Value,
        shown: &Value,
        real: Option<&Value>,
    ) -> bool {
        match (&given.content, &shown.content) {
            (Content::Object(members), Content::Object(others)) => {
                members.len() == others.len()
                    && members.iter().all(|member| {
                        let name = member.name.as_str();
                        shown.member(name).is_some_and(|shown| {
                            let real = real.and_then(|real| real.member(name));
                            self.is_as_shown(self.member(spot, name), &member.value, shown, real)
                        })
                    })
            }
            (Content::List(elements), Content::List(others)) => {
                let real = real.filter(|real| real.elements().len() == others.len());
                elements.len() == others.len()
                    && (0_u64..).zip(elements.iter().zip(others)).all(|(index, (given, shown))| {
                        let at = usize::try_from(index).unwrap_or(usize::MAX);
                        let real = real.and_then(|real| real.element(at));
                        let spot = self.element(spot, index);
                        self.is_as_shown(spot, &given.value, &shown.value, real)
                    })
            }
            (Content::Text(given), _) => {
                equal_text(given, shown)
                    || real.is_some_and(|real| self.is_mask_of(spot, given, real))
            }
            _ => equal(given, shown),
        }
    }

    /// Whether a text is a mask of `real` under any key: encryption never gives the same text
    /// twice, and keys rotate between a read and a write.
    fn is_mask_of(&self, spot: Spot, text: &str, real: &Value) -> bool {
        let (Some(entry), Some(keys)) = (self.entry(spot), self.keys) else { return false };
        match keys.recognise(text, self.tenant, &entry.field, self.record) {
            // Encryption hides which values are equal. If only the right one counted, a write
            // would tell; so whatever was encrypted for this field means "as it is".
            Recognised::Value(_) if entry.strategy == Strategy::Encrypt => true,
            Recognised::Value(value) => {
                Tree::parse(&value).is_ok_and(|tree| equal(&tree.root, real))
            }
            Recognised::Vaulted(token) => {
                keys.is_token_of(&token, &compact(real), self.tenant, &entry.field)
            }
            Recognised::Foreign => false,
            Recognised::NoMask => {
                entry.strategy == Strategy::Hash
                    && keys.is_hash_of(text, &compact(real), self.tenant, &entry.field)
            }
        }
    }
}

fn equal_text(given: &str, shown: &Value) -> bool {
    shown.as_text() == Some(given)
}

/// A value as masks take it: without white space between its tokens, strings as plain as can be.
fn compact(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_compact(value, &mut out);
    out
}

fn write_compact(value: &Value, out: &mut Vec<u8>) {
    use crate::json::text::quote;
    let mut list = |open: u8, close: u8, children: &[super::tree::Child], named: bool| {
        out.push(open);
        for (at, child) in children.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if named {
                quote(&child.name, out);
                out.push(b':');
            }
            write_compact(&child.value, out);
        }
        out.push(close);
    };
    match &value.content {
        Content::Null => out.extend_from_slice(b"null"),
        Content::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Content::Number(digits) => out.extend_from_slice(digits.as_bytes()),
        Content::Text(text) => quote(text, out),
        Content::List(children) => list(b'[', b']', children, false),
        Content::Object(children) => list(b'{', b'}', children, true),
    }
}
