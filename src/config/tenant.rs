//! `tenant`: where a request itself names a company.

use super::section::{Reader, Section, one_or_each};
use super::settings::{PathPattern, TenantNames};
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

/// The parameter that stands for the company.
pub(crate) const PARAMETER: &str = "tenant";

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<TenantNames> {
    let mut at = Section::open(reader, node, name)?;
    let header = at.optional("header", value::header);
    let paths = at.optional("path", |reader, node, name| one_or_each(reader, node, name, path));
    if !at.is_written("header") && !at.is_written("path") && !at.has_more() {
        let finding = Finding::error("config::tenant", format!("`{name}` names no place"))
            .help("write `header`, `path` or both, or leave `tenant` out");
        at.report(finding, &[]);
    }
    at.close();
    Some(TenantNames { header, paths: paths.unwrap_or_default() })
}

fn path(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<PathPattern> {
    let pattern = value::path(reader, node, name)?;
    if pattern.names_once(PARAMETER) {
        return Some(pattern);
    }
    let message =
        format!("`{name}`: {} does not say where the company stands", reader.written(node));
    let finding = Finding::error("config::tenant", message)
        .help("put `{tenant}` in place of the segment, once, as in `/t/{tenant}/...`");
    reader.report(finding, node.span);
    None
}
