//! Two JSON texts side by side, to the byte: what of the one is not in the other, and where.
//!
//! Shares no code with the filter; numbers stay text, so `1e400` and `1.10` are what they are.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in the order they came, values as they stand.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((Cow::Owned(name), value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

pub(crate) fn members(text: &str) -> Option<Members<'_>> {
    text.starts_with('{').then(|| serde_json::from_str(text).unwrap())
}

pub(crate) fn elements(text: &str) -> Option<Vec<&str>> {
    let elements = || serde_json::from_str::<Vec<&RawValue>>(text).unwrap();
    text.starts_with('[').then(|| elements().into_iter().map(RawValue::get).collect())
}

/// How a filtered text differs from the whole one. Places are dotted names, elements have none.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    pub(crate) masked: BTreeSet<String>,
    pub(crate) hidden: BTreeSet<String>,
    /// Texts of strings and numbers that are not in the filtered text at their place.
    pub(crate) withheld: BTreeSet<String>,
    /// Those that are.
    pub(crate) shown: BTreeSet<String>,
}

impl Differences {
    /// Compares; what is neither removed nor replaced must be equal to the byte and in order.
    pub(crate) fn between(whole: &str, filtered: &str) -> Self {
        let mut found = Self::default();
        found.compare(whole.trim(), filtered.trim(), "");
        found
    }

    fn compare(&mut self, whole: &str, filtered: &str, at: &str) {
        if whole == filtered {
            scalars(whole, &mut self.shown);
            return;
        }
        if filtered == "{}" || filtered == "[]" {
            // Masked as a whole, or emptied, which comes to the same.
            scalars(whole, &mut self.withheld);
            self.masked.insert(at.to_owned());
            return;
        }
        if let (Some(whole), Some(filtered)) = (members(whole), members(filtered)) {
            let mut left = filtered.0.into_iter().peekable();
            for (name, value) in whole.0 {
                let below = if at.is_empty() { name.to_string() } else { format!("{at}.{name}") };
                if let Some((_, kept)) = left.next_if(|(kept, _)| *kept == name) {
                    self.compare(value, kept, &below);
                } else {
                    scalars(value, &mut self.withheld);
                    self.hidden.insert(below);
                }
            }
            assert!(left.next().is_none(), "a member at `{at}` that is not the upstream's");
            return;
        }
        if let (Some(whole), Some(filtered)) = (elements(whole), elements(filtered)) {
            assert_eq!(whole.len(), filtered.len(), "elements at `{at}`");
            for (value, kept) in whole.into_iter().zip(filtered) {
                self.compare(value, kept, at);
            }
            return;
        }
        scalars(whole, &mut self.withheld);
        self.masked.insert(at.to_owned());
    }
}

/// The strings (without their quotes) and numbers of a text.
fn scalars(text: &str, found: &mut BTreeSet<String>) {
    if let Some(members) = members(text) {
        members.0.iter().for_each(|(_, value)| scalars(value, found));
    } else if let Some(elements) = elements(text) {
        elements.iter().for_each(|value| scalars(value, found));
    } else if text.starts_with('"') {
        found.insert(serde_json::from_str(text).unwrap());
    } else if !matches!(text, "null" | "true" | "false") {
        found.insert(text.to_owned());
    }
}

#[test]
fn differences_are_seen() {
    let whole = r#"{"a":1.10,"b":[{"c":"x","d":{}}],"e":{"f":1e400},"g":[2]}"#;
    let same = Differences::between(whole, whole);
    assert!(same.masked.is_empty() && same.hidden.is_empty() && same.withheld.is_empty());
    let found = Differences::between(whole, r#"{"a":1.1,"b":[{"d":{}}],"e":{},"g":[2]}"#);
    assert_eq!(found.masked.into_iter().collect::<Vec<_>>(), ["a", "e"]);
    assert_eq!(found.hidden.into_iter().collect::<Vec<_>>(), ["b.c"]);
    assert_eq!(found.withheld.into_iter().collect::<Vec<_>>(), ["1.10", "1e400", "x"]);
    assert_eq!(found.shown.into_iter().collect::<Vec<_>>(), ["2"]);
}
