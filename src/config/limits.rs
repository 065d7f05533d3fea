//! `limits`: what one request, and all of them together, may use.

use super::section::{Reader, Section};
use super::settings::Limits;
use super::units::show_size;
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Limits> {
    let usual = Limits::default();
    let mut at = Section::open(reader, node, name)?;
    let held_total = at.or("held_total", value::size, usual.held_total);
    // A small total lowers the bounds that are not written; it contradicts those that are.
    let limits = Limits {
        hold: at.or("hold", value::size, usual.hold.min(held_total)),
        request_body: at.or("request_body", value::size, usual.request_body.min(held_total)),
        response_body: at.or("response_body", value::size, usual.response_body),
        masked_value: at.or("masked_value", value::size, usual.masked_value.min(held_total)),
        record: at.or("record", value::size, usual.record.min(held_total)),
        header_timeout: at.or("header_timeout", value::timeout, usual.header_timeout),
        body_timeout: at.or("body_timeout", value::timeout, usual.body_timeout),
        header_bytes: at.or("header_bytes", value::size, usual.header_bytes),
        connections: at.or("connections", value::count(1..=1_000_000), usual.connections),
        requests: at.or("requests", value::count(1..=1_000_000), usual.requests),
        held_total,
    };
    let held = [
        ("hold", limits.hold),
        ("request_body", limits.request_body),
        ("masked_value", limits.masked_value),
        ("record", limits.record),
    ];
    for (key, bytes) in held.into_iter().filter(|(_, bytes)| *bytes > held_total) {
        let (one, all) = (show_size(bytes as u64), show_size(held_total as u64));
        let message = format!("`{key}` is {one}, and all requests together may hold {all}");
        let finding = Finding::error("config::held_total", message)
            .label("could never be held")
            .help("raise `held_total`, or lower the other");
        at.report(finding, &[key]);
    }
    at.close();
    Some(limits)
}
