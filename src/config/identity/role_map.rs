//! `roles` of an entry: what its source's names for roles mean here.

use std::collections::BTreeMap;

use crate::config::section::{Reader, Section, one_or_each};
use crate::config::settings::{MAX_ROLE_CHARS, RoleMap, Unmapped, is_role_name};
use crate::config::units::Remedy;
use crate::config::value;
use crate::diagnostic::Finding;
use crate::yaml::{Node, Value};

type Names = BTreeMap<String, Vec<String>>;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<RoleMap> {
    if let Value::Text(_) | Value::List(_) = node.value {
        let message = format!("`{name}` of an entry is {}, not a mapping", node.value.kind());
        let finding = Finding::error("yaml::wrong_kind", message)
            .label("`map` belongs here")
            .help("write `roles: { map: { \"CRM Admins\": [admin] } }`");
        reader.report(finding, node.span);
        return None;
    }
    let mut at = Section::open(reader, node, name)?;
    let map = at.optional("map", names);
    let tenants = at.optional("tenants", tenants);
    let unmapped = at.or("unmapped", value::word(&Unmapped::ALL), Unmapped::default());
    if !at.is_written("map") && !at.is_written("tenants") && !at.has_more() {
        let finding = Finding::error("config::role_map", format!("`{name}` maps nothing"))
            .help("write `map` with the names of the source, or leave `roles` out");
        at.report(finding, &[]);
    }
    at.close();
    Some(RoleMap { map: map.unwrap_or_default(), tenants: tenants.unwrap_or_default(), unmapped })
}

fn tenants(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<BTreeMap<String, Names>> {
    let entries = reader.checker.map(node, &format!("`{name}`"))?.take_rest();
    let read: Vec<_> = entries
        .into_iter()
        .map(|(key, node)| {
            let names = names(reader, node, &format!("{name}.{}", key.name))?;
            Some((key.name.clone(), names))
        })
        .collect();
    read.into_iter().collect()
}

fn names(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Names> {
    let entries = reader.checker.map(node, &format!("`{name}`"))?.take_rest();
    let read: Vec<_> = entries
        .into_iter()
        .map(|(key, node)| {
            let place = format!("{name}.{}", key.name);
            // No role at all is a meaning too.
            let roles = match &node.value {
                Value::List(items) if items.is_empty() => Vec::new(),
                _ => one_or_each(reader, node, &place, role)?,
            };
            Some((key.name.clone(), roles))
        })
        .collect();
    read.into_iter().collect()
}

fn role(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "the name of a role", |text| {
        if is_role_name(text) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Owned(format!(
            "a role of the policies has 1 to {MAX_ROLE_CHARS} of `A-Z a-z 0-9 _ . : -`"
        )))
    })
}
