//! What a role sees of an observed write. Events are kept like this: masked for each role that
//! will read them, before anything is written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::governance::Governance;
use super::masking::reason;
use crate::event::detect::Values;
use crate::json::filter::{FilterLimits, Observer};
use crate::policy::GovernedRoute;
use crate::telemetry::Refusal;

/// An observed write whose views are asked for.
#[derive(Clone, Copy)]
pub(super) struct Views<'a> {
    pub(super) governance: &'a Governance,
    pub(super) route: &'a GovernedRoute,
    pub(super) tenant: Option<&'a str>,
    pub(super) limits: FilterLimits,
}

impl Views<'_> {
    /// The records in the CRM's answer as `role` sees them, in their order, `None` for one that it
    /// does not see at all; and the whole answer.
    pub(super) fn records(&self, role: &str, body: &[u8]) -> Result<Shown, Refusal> {
        if body.is_empty() {
            return Ok(Shown::default());
        }
        let roles = [role.to_owned()];
        let mut filter = self.governance.observed_filter(
            self.route,
            &roles,
            self.tenant,
            Places::default(),
            self.limits,
        )?;
        let mut out = Vec::with_capacity(body.len());
        filter.push(body, &mut out).map_err(reason)?;
        filter.finish(&mut out).map_err(reason)?;
        let text = |(start, end): (usize, usize)| {
            let text = out.get(start..end).and_then(|text| std::str::from_utf8(text).ok());
            text.map(Box::from)
        };
        let records = filter.observer().ended.iter().map(|place| place.and_then(text)).collect();
        Ok((records, out))
    }

    /// A record of nothing but these members, given by dotted path, as `role` sees it. `id` is the
    /// record's.
    pub(super) fn part(
        &self,
        role: &str,
        id: Option<&str>,
        members: &Values,
    ) -> Result<Vec<u8>, Refusal> {
        self.as_record_of(&self.route.resource.name, role, id, nested(members).as_bytes())
    }

    /// A record, or a part of one, as `role` sees records of `resource`.
    pub(super) fn as_record_of(
        &self,
        resource: &str,
        role: &str,
        id: Option<&str>,
        record: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let roles = [role.to_owned()];
        let mut filter =
            self.governance.part_filter(resource, &roles, self.tenant, id, self.limits)?;
        let mut out = Vec::with_capacity(record.len());
        filter.push(record, &mut out).map_err(reason)?;
        filter.finish(&mut out).map_err(reason)?;
        Ok(out)
    }
}

/// Records and the answer that they stand in.
pub(super) type Shown = (Vec<Option<Box<str>>>, Vec<u8>);

/// Where the records stand in the output.
#[derive(Debug, Default)]
pub(super) struct Places {
    begun: Vec<Option<usize>>,
    ended: Vec<Option<(usize, usize)>>,
}

impl Observer for Places {
    fn record_begins(&mut self, at: Option<usize>) {
        self.begun.push(at);
    }

    fn record_ends(&mut self, _is_empty: bool, out: &mut Vec<u8>) {
        // The closing bracket comes next.
        let end = out.len() + 1;
        self.ended.push(self.begun.pop().flatten().map(|start| (start, end)));
    }
}

/// The members as one object, with objects inside for the dots. A value that stands on the way to
/// another holds that one already.
fn nested(members: &Values) -> String {
    enum Node<'a> {
        Value(&'a str),
        Object(BTreeMap<&'a str, Node<'a>>),
    }

    fn insert<'a>(object: &mut BTreeMap<&'a str, Node<'a>>, path: &'a str, value: &'a str) {
        match path.split_once('.') {
            None => {
                object.insert(path, Node::Value(value));
            }
            Some((first, rest)) => {
                let below = object.entry(first).or_insert_with(|| Node::Object(BTreeMap::new()));
                if let Node::Object(below) = below {
                    insert(below, rest, value);
                }
            }
        }
    }

    fn write(object: &BTreeMap<&str, Node>, out: &mut String) {
        out.push('{');
        for (at, (name, node)) in object.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(out, "{comma}{}:", serde_json::Value::from(*name));
            match node {
                Node::Value(value) => out.push_str(value),
                Node::Object(below) => write(below, out),
            }
        }
        out.push('}');
    }

    let mut root = BTreeMap::new();
    // An empty text stands for a value that nobody knows.
    for (path, value) in members.iter().filter(|(_, value)| !value.is_empty()) {
        insert(&mut root, path, value);
    }
    let mut out = String::new();
    write(&root, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_nest_by_their_dots() {
        let members = |list: &[(&str, &str)]| {
            let own = |(path, value): &(&str, &str)| (Box::from(*path), Box::from(*value));
            list.iter().map(own).collect::<Values>()
        };
        let check = |list, expect: &str| assert_eq!(nested(&members(list)), expect);
        check(&[], "{}");
        check(&[("stage", "\"won\""), ("amount", "1.10")], r#"{"amount":1.10,"stage":"won"}"#);
        check(&[("o.e", "1"), ("o.p.q", "2")], r#"{"o":{"e":1,"p":{"q":2}}}"#);
        check(&[("o", "{\"e\":1}"), ("o.e", "1")], r#"{"o":{"e":1}}"#);
        check(&[("a\"b", "1"), ("c", "")], r#"{"a\"b":1}"#);
    }
}
